# Reads the body without keeping it and answers its length; with ?read= only so many bytes of it.
from urllib.parse import parse_qs


def application(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    source = environ["wsgi.input"]
    if "read" in query:
        text = b"read %d\n" % len(source.read(int(query["read"][0])))
    else:
        length = 0
        while True:
            piece = source.read(65536)
            if not piece:
                break
            length += len(piece)
        text = b"%d\n" % length
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text]
