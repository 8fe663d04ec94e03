"""A WebDAV server on loopback for tests: server.py FOLDER, which lets in `me` with the password `s=cret`.

Prints its port once it listens. One request at a time: this server looks whether a name is taken and then moves, which is exact only so.
"""

import sys

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
server = wsgi.Server(("127.0.0.1", 0), app, numthreads=1)
server.prepare()
print(server.bind_addr[1], flush=True)
server.serve()
