# Answers method, path, query, and length and SHA-1 of the body, as JSON. The body is read in
# pieces of ?piece= bytes (16384), so it is never in memory whole.
import hashlib
import json
from urllib.parse import parse_qs


def application(environ, start_response):
    piece_bytes = int(parse_qs(environ["QUERY_STRING"]).get("piece", ["16384"])[0])
    digest = hashlib.sha1()
    length = 0
    while True:
        piece = environ["wsgi.input"].read(piece_bytes)
        if not piece:
            break
        digest.update(piece)
        length += len(piece)
    body = json.dumps({"method": environ["REQUEST_METHOD"], "path": environ["PATH_INFO"],
                       "query": environ["QUERY_STRING"], "length": length, "sha1": digest.hexdigest()}).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
