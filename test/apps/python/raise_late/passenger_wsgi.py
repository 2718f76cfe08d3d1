# Raises when a part of the body has been sent already; with ?length=1 after it announced a
# length, with ?short=1 it does not raise but ends early, with ?start=1 it tries to start anew.
import sys


class Broken:
    def __init__(self, query, start_response):
        self.query, self.start_response = query, start_response

    def __iter__(self):
        yield b"first part\n"
        if "start=1" in self.query:
            try:
                raise RuntimeError("a late secret")
            except RuntimeError:
                self.start_response("500 Oops", [], sys.exc_info())
        if "short=1" not in self.query:
            raise RuntimeError("a late secret")

    def close(self):
        print("raise_late: closed", file=sys.stderr)


def application(environ, start_response):
    query = environ["QUERY_STRING"]
    headers = [("Content-Type", "text/plain")]
    if "length=1" in query or "short=1" in query:
        headers.append(("Content-Length", "1000"))
    start_response("200 OK", headers)
    return Broken(query, start_response)
