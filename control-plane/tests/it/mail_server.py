"""A real mail server for one test: aiosmtpd with AUTH. Prints its port, then one JSON line per mail it takes."""

import asyncio
import json
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Sink:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such mailbox <%s>" % address
        if address.startswith("later@"):
            return "451 4.2.1 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        said = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "user": session.auth_data.login.decode() if session.auth_data else None,
            "data": envelope.content.decode(),
        }
        print(json.dumps(said), flush=True)
        if any(to.startswith("scanned@") for to in envelope.rcpt_tos):
            await asyncio.sleep(17)  # it has all of it, and looks through it
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    if isinstance(data, LoginPassword) and data.password == b"open sesame":
        return AuthResult(success=True, auth_data=data)
    return AuthResult(success=False, handled=False)


async def main():
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        lambda: SMTP(Sink(), authenticator=authenticate, auth_require_tls=False, auth_required=True, loop=loop),
        host="127.0.0.1",
        port=int(sys.argv[1]) if len(sys.argv) > 1 else 0,
    )
    print(listener.sockets[0].getsockname()[1], flush=True)
    # Ends with the test that holds our standard input.
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
