# Answers a file of ?n= bytes (1048576) by wsgi.file_wrapper. ?how= plain; seek begins 10 bytes
# later; memory has no descriptor; gzip has one whose bytes are not its own; raw is
# unbuffered. ?length= announces that length.
import gzip
import io
import sys
import tempfile
from urllib.parse import parse_qs


class Told:
    def __init__(self, source):
        self.source = source

    def read(self, size):
        return self.source.read(size)

    def close(self):
        self.source.close()
        print("filewrapper: closed", file=sys.stderr)


def application(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    how = query.get("how", ["plain"])[0]
    data = b"0123456789" + b"x" * (int(query.get("n", ["1048576"])[0]) - 10)
    headers = [("Content-Type", "application/octet-stream")]
    if "length" in query:
        headers.append(("Content-Length", query["length"][0]))
    if how == "memory":
        body = Told(io.BytesIO(data))
    elif how == "gzip":
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb") as out:
            out.write(data)
        raw = tempfile.TemporaryFile()
        raw.write(packed.getvalue())
        raw.seek(0)
        body = Told(gzip.GzipFile(fileobj=raw))
    else:
        body = tempfile.TemporaryFile()
        body.write(data)
        body.seek(10 if how == "seek" else 0)
        if how == "raw":
            body = body.detach()
    start_response("200 OK", headers)
    return environ["wsgi.file_wrapper"](body, 16384)
