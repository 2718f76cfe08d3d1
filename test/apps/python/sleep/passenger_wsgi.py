# Sleeps ?ms= milliseconds (default 100), then answers "slept N\n"; or until the file ?gate= is there, in whose .inside
# it leaves a dot.
import os
import time
from urllib.parse import parse_qs


def application(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    ms = int(query.get("ms", ["100"])[0])
    if "gate" in query:
        with open(query["gate"][0] + ".inside", "a") as f:
            f.write(".")
        end = time.monotonic() + 60
        while not os.path.exists(query["gate"][0]) and time.monotonic() < end:
            time.sleep(0.01)
    else:
        time.sleep(ms / 1000)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"slept %d\n" % ms]
