"""Requests that do what no request should: /sleep, /spin (in C, so that it is the whole program), /leak (100 MB, kept)."""
import http.server
import os
import re
import time

kept = []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        if self.path.endswith('/sleep'):
            time.sleep(3600)
        if self.path.endswith('/spin'):
            re.match('(a*)*b', 'a' * 60)
        if self.path.endswith('/leak'):
            kept.append(b'x' * 100_000_000)
        body = b'%d\n' % os.getpid()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
