"""Runs acme2certifier (PyPI) over HTTPS on loopback: port, folder with acme_srv.cfg, api.pem and api.key."""

import os
import ssl
import sys

port, folder = int(sys.argv[1]), sys.argv[2]
os.environ["HTTPS"] = "on"  # before wsgiref reads it: the directory's links are https
os.chdir(folder)

from wsgiref.simple_server import make_server  # noqa: E402

from acme2certifier.acme_srv.helpers import config  # noqa: E402

config.DEB_DEPLOY_BASE_DIR = folder  # it looks for its configuration in system folders only

from acme2certifier.share import acme2certifier_wsgi as server  # noqa: E402

httpd = make_server("127.0.0.1", port, server.application, handler_class=server.get_handler_cls())
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("api.pem", "api.key")
httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
httpd.serve_forever()
