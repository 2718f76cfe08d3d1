# Writes ?n= parts (3) by the callable that start_response returns, and returns one more; with
# ?length=1 it announces the length, with ?empty=1 it begins with an empty string.
from urllib.parse import parse_qs


def application(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    parts = [b"written %d\n" % index for index in range(int(query.get("n", ["3"])[0]))]
    headers = [("Content-Type", "text/plain")]
    if "length" in query:
        headers.append(("Content-Length", str(sum(map(len, parts)) + 9)))
    write = start_response("200 OK", headers)
    if "empty" in query:
        write(b"")
    for part in parts:
        write(part)
    return [b"returned\n"]
