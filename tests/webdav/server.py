"""A WebDAV server on loopback for tests: server.py FOLDER, which lets in `me` with the password `s=cret`.

Prints its port once it listens. One request at a time: this server looks whether a name is taken and then moves, which is exact only so.
"""

import sys
import threading

from cheroot import wsgi
from wsgidav.wsgidav_app import WsgiDAVApp

app = WsgiDAVApp(
    {
        "provider_mapping": {"/files": sys.argv[1]},
        "simple_dc": {"user_mapping": {"*": {"me": {"password": "s=cret"}}}},
        "lock_storage": False,
        "property_manager": None,
        "logging": {"enable": False},
        "verbose": 0,
    }
)
turn = threading.Lock()


def one_at_a_time(environ, start_response):
    with turn:
        answer = app(environ, start_response)
        try:
            return list(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()


server = wsgi.Server(("127.0.0.1", 0), one_at_a_time)
server.prepare()
print(server.bind_addr[1], flush=True)
server.serve()
