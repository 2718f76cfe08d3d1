# Answers that are hard to write: ?case= chooses which.
import sys
from urllib.parse import parse_qs


class Sized:
    def __len__(self):
        return 1

    def __iter__(self):
        yield b"headers\n"


def late_start(start_response, headers):
    start_response("200 OK", headers)
    yield b""
    yield b"headers\n"


def application(environ, start_response):
    case = parse_qs(environ["QUERY_STRING"]).get("case", [""])[0]
    headers = [("Content-Type", "text/plain")]
    status = "200 OK"
    body = [b"headers\n"]
    if case == "cookies":
        headers += [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    elif case == "latin":
        headers.append(("X-Name", "Gr\xfc\xdfe"))
    elif case == "unicode":
        headers.append(("X-Name", "\u20ac"))
    elif case == "cr":
        headers.append(("X-Bad", "a\rb"))
    elif case == "crlf":
        headers.append(("X-Bad", "a\r\nX-Injected: yes"))
    elif case == "lf":
        headers.append(("X-Bad", "a\nX-Injected: yes"))
    elif case == "nul":
        headers.append(("X-Bad", "a\0b"))
    elif case == "bad_name":
        headers.append(("X Bad", "a"))
    elif case == "not_a_string":
        headers.append(("X-Bad", 3))
    elif case == "bad_status":
        status = "42 Wrong"
    elif case == "status_lf":
        status = "200 OK\r\nX-Injected: yes"
    elif case == "bare_100":
        status = "100 Continue"
    elif case == "bare_status":
        status = "200"
    elif case == "odd_status":
        status = "299 Odd"
    elif case == "bad_length":
        headers.append(("Content-Length", "3x"))
    elif case == "wrong_length":
        headers.append(("Content-Length", "3"))
    elif case == "too_long":
        headers.append(("Content-Length", "3"))
        body = iter(body)
    elif case == "hop":
        headers += [("Transfer-Encoding", "chunked"), ("Keep-Alive", "yes"), ("Connection", "keep-alive")]
    elif case == "close":
        headers.append(("Connection", "close"))
    elif case == "empty":
        status, headers, body = "204 No Content", [], []
    elif case == "empty_with_body":
        status, headers = "204 No Content", [("Content-Length", "8")]
    elif case == "not_modified":
        status, headers, body = "304 Not Modified", [("ETag", '"a"')], iter([])
    elif case == "no_parts":
        body = []
    elif case == "no_parts_iterated":
        body = iter([])
    elif case == "sized":
        body = Sized()
    elif case == "several":
        body = (b"head", b"", b"ers\n")
    elif case == "text":
        body = ["headers\n"]
    elif case == "text_iterated":
        body = iter(["headers\n"])
    elif case == "none":
        body = None
    elif case == "no_start":
        return body
    elif case == "late_start":
        return late_start(start_response, headers)
    elif case == "twice":
        start_response(status, headers)
    elif case == "replaced":
        start_response(status, headers)
        try:
            raise ValueError("replaced")
        except ValueError:
            status = "503 Service Unavailable"
            start_response(status, headers, sys.exc_info())
            return body
    start_response(status, headers)
    return body
