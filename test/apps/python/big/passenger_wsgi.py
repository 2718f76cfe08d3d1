# Streams ?n= bytes (1048576) of the letter x in parts of 64 KiB; with ?length=1 it says so in
# Content-Length, with ?array=1 it gives them as a list.
from urllib.parse import parse_qs

PART = b"x" * 65536


def letters(left):
    while left > 0:
        yield PART[:left]
        left -= len(PART)


def application(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    count = int(query.get("n", ["1048576"])[0])
    headers = [("Content-Type", "application/octet-stream")]
    if "length" in query:
        headers.append(("Content-Length", str(count)))
    start_response("200 OK", headers)
    return list(letters(count)) if "array" in query else letters(count)
