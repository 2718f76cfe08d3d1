# The WSGI twin of test/apps/command/origin.py: the same routes, the same JSON, so that the same tests run.
import hashlib
import json
import os
import threading
import time
from urllib.parse import parse_qs

lock = threading.Lock()
inside = {"now": 0, "most": 0}


def seen(environ):
    length, digest = 0, hashlib.sha1()
    while True:
        piece = environ["wsgi.input"].read(262_144)
        if not piece:
            break
        length += len(piece)
        digest.update(piece)
    headers = {name[5:].lower().replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.lower().replace("_", "-")] = environ[name]
    return {
        "pid": os.getpid(), "method": environ["REQUEST_METHOD"], "target": environ["REQUEST_URI"], "path": environ["PATH_INFO"],
        "query": environ["QUERY_STRING"], "headers": headers, "length": length, "sha1": digest.hexdigest(),
        "remote": environ["REMOTE_ADDR"], "env": {name: value for name, value in environ.items() if isinstance(value, str)},
        "multithread": environ["wsgi.multithread"], "environ": dict(os.environ),
    }


def answer_json(start_response, value, status="200 OK"):
    body = json.dumps(value).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def big(left):
    while left > 0:
        yield b"z" * min(left, 65536)
        left -= 65536


def pause(query, ms):
    """Waits ?ms=N, or until the file ?gate=FILE is there."""
    if "gate" not in query:
        time.sleep(int(query.get("ms", ms)) / 1000)
        return
    end = time.monotonic() + 60
    while not os.path.exists(query["gate"]) and time.monotonic() < end:
        time.sleep(0.01)


def in_here(query):
    with lock:
        inside["now"] += 1
        inside["most"] = max(inside["most"], inside["now"])
    pause(query, 50)
    with lock:
        inside["now"] -= 1
        return inside["most"]


def application(environ, start_response):
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    path = environ["PATH_INFO"]
    if path == "/hello":
        body = b"hello from %d\n" % os.getpid()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
    if path == "/big":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", query["n"])])
        return big(int(query["n"]))
    if path == "/raise":
        raise RuntimeError("the program failed")
    if path == "/sleep":
        pause(query, 100)
    if path == "/count":
        with open(query["file"], "a") as f:
            f.write("%d %s\n" % (os.getpid(), query.get("tag", "")))
        pause(query, 0)
    if path == "/inside":
        return answer_json(start_response, dict(seen(environ), inside=in_here(query)))
    status = {"404": "404 Not Found"}.get(query.get("code"), query.get("code", "200 OK"))
    return answer_json(start_response, seen(environ), status if path == "/status" else "200 OK")
