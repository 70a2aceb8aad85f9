"""Runs acme2certifier (PyPI) over HTTPS on loopback: port, folder with acme_srv.cfg, api.pem and api.key, and whether it honours `replaces`.

What new orders ask for is appended to the file `orders`, a JSON object a line. acme2certifier has renewal information (RFC 9773), but takes
no notice of an order's `replaces`; section 5 of that is added here, on top of its own database, when the third argument is "replaces".
"""

import base64
import json
import os
import ssl
import sys

port, folder, honours = int(sys.argv[1]), sys.argv[2], sys.argv[3:] == ["replaces"]
os.environ["HTTPS"] = "on"  # before wsgiref reads it: the directory's links are https
os.chdir(folder)

from wsgiref.simple_server import make_server  # noqa: E402

from acme2certifier.acme_srv.helpers import config  # noqa: E402

config.DEB_DEPLOY_BASE_DIR = folder  # it looks for its configuration in system folders only

from acme2certifier.acme_srv.message import finish_response  # noqa: E402
from acme2certifier.acme_srv.order import Order  # noqa: E402
from acme2certifier.acme_srv.renewalinfo import Renewalinfo  # noqa: E402
from acme2certifier.share import acme2certifier_wsgi as server  # noqa: E402


class Recorded(Order):
    """Orders that are written down, and that may name what they replace."""

    successors = {}  # the last order that named a certificate, by the certificate's identifier

    def create_from_content(self, content):
        payload = json.loads(content)["payload"]
        asked = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        replaces = asked.get("replaces") if honours else None
        problem = self.stands_against(replaces) if replaces else None
        if problem:
            code, _message, _detail, _protected, _payload, account = self.message.check(content)
            answer = finish_response(self.message, {}, problem[0], problem[1], "replaces", account_name=account)
        else:
            answer = super().create_from_content(content)
        accepted = answer["code"] == 201
        if replaces and accepted:
            answer["data"]["replaces"] = replaces
            self.successors[replaces] = answer["header"]["Location"].rsplit("/", 1)[-1]
        names = [identifier["value"] for identifier in asked["identifiers"]]
        line = {"names": names, "accepted": accepted, **{k: asked.get(k) for k in ("profile", "replaces")}}
        with open("orders", "a", encoding="utf-8") as orders:
            orders.write(json.dumps(line) + "\n")
        return answer

    def stands_against(self, replaces):
        """The status and the kind of problem, if a certificate cannot be replaced."""
        with Renewalinfo(self.debug, self.server_name, self.logger, config_dic=server.CONFIG) as info:
            if info.get(f"{self.server_name}/acme/renewal-info/{replaces}")["code"] != 200:
                return 400, "urn:ietf:params:acme:error:malformed"
        successor = self.successors.get(replaces)
        if successor and self.repository.order_lookup("name", successor, ["status__name"])["status"] == "valid":
            return 409, "urn:ietf:params:acme:error:alreadyReplaced"
        return None


server.Order = Recorded
httpd = make_server("127.0.0.1", port, server.application, handler_class=server.get_handler_cls())
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("api.pem", "api.key")
httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
httpd.serve_forever()
