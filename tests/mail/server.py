"""A mail server on loopback for tests: server.py plain|starttls|implicit CERTIFICATE, which lets in `me` with the password `s=cret`.

Prints its port once it listens, and then each letter as a line of JSON. With `starttls` and `implicit` it takes letters only through TLS, of those who
have logged in; with `plain` of everybody, without TLS.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

mode, certificate = sys.argv[1:3]


class Letters:
    async def handle_DATA(self, server, session, envelope):
        letter = email.message_from_bytes(envelope.content, policy=email.policy.default)
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": {name.lower(): str(value) for name, value in letter.items()},
            "text": letter.get_content(),
            "tls": server.transport.get_extra_info("ssl_object") is not None,
            "user": session.auth_data.login.decode() if session.authenticated else None,
        }
        print(json.dumps(told), flush=True)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (b"me", b"s=cret")
    return AuthResult(success=known, handled=False, auth_data=data)


async def serve():
    context = None
    if mode != "plain":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    options = {} if mode == "plain" else {"authenticator": authenticate, "auth_required": True}
    if mode == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    if mode == "implicit":
        # What it is spoken to through is TLS already, which aiosmtpd does not see.
        options |= {"auth_require_tls": False}
    loop = asyncio.get_running_loop()
    at_once = context if mode == "implicit" else None
    server = await loop.create_server(lambda: SMTP(Letters(), **options), "127.0.0.1", 0, ssl=at_once)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(serve())
