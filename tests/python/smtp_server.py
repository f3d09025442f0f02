"""An SMTP server (aiosmtpd) for tests: prints `{"port": N}`, then each mail as a line of JSON.

Arguments: PORT MODE CERTIFICATE KEY USER PASSWORD; MODE is off, starttls or tls, empty ones are `-`. Recipients at
`unknown.` domains are refused for good (550), those at `busy.` for now (451).
"""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

port, mode, certificate, key, user, password = sys.argv[1:7]


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if "@unknown." in address:
            return "550 5.1.1 no such user"
        if "@busy." in address:
            return "451 4.3.0 come again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        print(
            json.dumps(
                {
                    "from": envelope.mail_from,
                    "to": envelope.rcpt_tos,
                    "text": envelope.content.decode(),
                    "tls": session.ssl is not None or mode == "tls",
                    "authenticated": session.authenticated,
                }
            ),
            flush=True,
        )
        return "250 OK"


def authenticator(server, session, envelope, mechanism, data):
    fine = data.login == user.encode() and data.password == password.encode()
    return AuthResult(success=fine, handled=fine)


context = None
if mode != "off":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
options = {"enable_SMTPUTF8": True, "hostname": "relay.lab"}
if mode == "starttls":
    options |= {"tls_context": context, "require_starttls": True}
if user != "-":
    options |= {"authenticator": authenticator, "auth_required": True, "auth_require_tls": mode == "starttls"}


async def serve():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Handler(), loop=loop, **options),
        "127.0.0.1",
        int(port),
        ssl=context if mode == "tls" else None,
    )
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


asyncio.run(serve())
