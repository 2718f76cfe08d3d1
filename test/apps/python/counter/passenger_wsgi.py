# Counts in the memory of its process. GET /count tells, POST /inc adds one. The addition is not
# atomic on purpose, with ?ms= between reading and writing: two requests at once lose an update.
import time
from urllib.parse import parse_qs

count = 0


def application(environ, start_response):
    global count
    status = "200 OK"
    wanted = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if wanted == ("POST", "/inc"):
        before = count
        time.sleep(int(parse_qs(environ["QUERY_STRING"]).get("ms", ["0"])[0]) / 1000)
        count = before + 1
    elif wanted != ("GET", "/count"):
        status = "404 Not Found"
    start_response(status, [("Content-Type", "text/plain")])
    return [b"%d\n" % count]
