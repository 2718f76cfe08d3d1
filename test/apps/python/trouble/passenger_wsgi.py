# Requests that do what no request should: /sleep, /spin, /hold (the interpreter, in one call of C), /leak (100 MB, kept).
import os
import re
import time

kept = []


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/sleep":
        time.sleep(3600)
    while path == "/spin":
        pass
    if path == "/hold":
        re.match("(a*)*b", "a" * 60)
    if path == "/leak":
        kept.append(b"x" * 100_000_000)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d\n" % os.getpid()]
