# The ASGI twin of test/apps/command/origin.py: the same routes, the same JSON, so that the same tests run.
import asyncio
import hashlib
import json
import os
import time
from urllib.parse import parse_qs

inside = {"now": 0, "most": 0}


async def seen(scope, receive):
    length, digest, more = 0, hashlib.sha1(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        length += len(message.get("body", b""))
        digest.update(message.get("body", b""))
        more = message.get("more_body", False)
    return {
        "pid": os.getpid(), "method": scope["method"], "target": scope["raw_path"].decode("latin-1"), "path": scope["path"],
        "query": scope["query_string"].decode("latin-1"),
        "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        "length": length, "sha1": digest.hexdigest(), "remote": scope["client"][0] if scope["client"] else None,
        "environ": dict(os.environ),
    }


async def respond(send, body, status=200, kind=b"application/json"):
    await send({"type": "http.response.start", "status": status,
                "headers": [(b"content-type", kind), (b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def big(send, left):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % left)]})
    while left > 0:
        await send({"type": "http.response.body", "body": b"z" * min(left, 65536), "more_body": left > 65536})
        left -= 65536


async def pause(query, ms):
    """Waits ?ms=N, or until the file ?gate=FILE is there."""
    if "gate" not in query:
        await asyncio.sleep(int(query.get("ms", ms)) / 1000)
        return
    end = time.monotonic() + 60
    while not os.path.exists(query["gate"]) and time.monotonic() < end:
        await asyncio.sleep(0.01)


async def in_here(query):
    inside["now"] += 1
    inside["most"] = max(inside["most"], inside["now"])
    await pause(query, 50)
    inside["now"] -= 1
    return inside["most"]


async def application(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    query = {name.decode(): values[0].decode() for name, values in parse_qs(scope["query_string"]).items()}
    path, status, more = scope["path"], 200, {}
    if path == "/hello":
        await respond(send, b"hello from %d\n" % os.getpid(), kind=b"text/plain")
        return
    if path == "/big":
        await big(send, int(query["n"]))
        return
    if path == "/raise":
        raise RuntimeError("the program failed")
    if path == "/sleep":
        await pause(query, 100)
    if path == "/count":
        with open(query["file"], "a") as f:
            f.write("%d %s\n" % (os.getpid(), query.get("tag", "")))
        await pause(query, 0)
    if path == "/inside":
        more = {"inside": await in_here(query)}
    if path == "/status":
        status = int(query["code"])
    await respond(send, json.dumps(dict(await seen(scope, receive), **more)).encode(), status)
