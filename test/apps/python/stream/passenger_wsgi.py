# Streams ?n= parts (3) with ?ms= between them (0), from a body that says when it is closed.
import sys
import time
from urllib.parse import parse_qs


class Parts:
    def __init__(self, count, seconds):
        self.count, self.seconds, self.closed = count, seconds, 0

    def __iter__(self):
        for index in range(self.count):
            yield b"part %d\n" % index
            time.sleep(self.seconds)

    def close(self):
        self.closed += 1
        print("stream: closed %d" % self.closed, file=sys.stderr)


def application(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Parts(int(query.get("n", ["3"])[0]), int(query.get("ms", ["0"])[0]) / 1000)
