# Sleeps ?ms= milliseconds (default 100), then answers "slept N\n".
import time
from urllib.parse import parse_qs


def application(environ, start_response):
    ms = int(parse_qs(environ["QUERY_STRING"]).get("ms", ["100"])[0])
    time.sleep(ms / 1000)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"slept %d\n" % ms]
