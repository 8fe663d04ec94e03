"""Takes one HTTP request and writes it to the file that is named."""

import http.server
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with open(sys.argv[1], "wb") as file:
            file.write(f"{self.command} {self.path}\n{self.headers}\n".encode() + body)
        self.send_response(200)
        self.end_headers()

    do_PUT = do_POST


http.server.HTTPServer(("127.0.0.1", 8090), Handler).serve_forever()
