# Does what its path says, message by message, as the ASGI specification (HTTP and WebSocket 2.4,
# Lifespan 2.0) knows them. What it is told and what is raised goes to stderr as JSON lines.
import asyncio
import json
import os
import sys


def plain(value):
    if isinstance(value, (bytes, bytearray)):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value


def tell(what, value=None):
    sys.stderr.write(json.dumps([what, plain(value)]) + "\n")


async def tried(send, message, what="raised"):
    try:
        await send(message)
    except Exception as error:
        tell(what, [type(error).__name__, isinstance(error, OSError), str(error)])
        return True
    return False


START = {"type": "http.response.start", "status": 200, "headers": [[b"content-type", b"text/plain"]]}


def body_of(text, more=False):
    return {"type": "http.response.body", "body": text, "more_body": more}


async def http(scope, receive, send):
    path = scope["path"]
    if path == "/scope":
        tell("scope", {name: value for name, value in scope.items()})
        tell("types", {name: type(value).__name__ for name, value in scope.items()})
        await send(START)
        await send(body_of(b"ok"))
    elif path == "/requests":
        while True:
            message = await receive()
            tell("message", {"type": message["type"], "length": len(message.get("body", b"")), "more": message.get("more_body")})
            if not message.get("more_body"):
                break
        await send(START)
        await send(body_of(b"ok"))
        tell("message", await receive())
    elif path == "/defaults":
        await send({"type": "http.response.start", "status": 201})
        await send({"type": "http.response.body"})
    elif path == "/start_is_held":
        await send(START)
        await asyncio.sleep(0.3)
        await send(body_of(b"now", True))
        await send(body_of(b""))
    elif path == "/length":
        await send(dict(START, headers=[(b"content-length", b"6")]))
        await send(body_of(b"abc", True))
        await send(body_of(b"def"))
    elif path == "/too_short":
        await send(dict(START, headers=[(b"content-length", b"6")]))
        await send(body_of(b"abc"))
    elif path == "/empty_parts":
        await send(START)
        for part in (b"", b"a", b"", b"b"):
            await send(body_of(part, True))
        await send(body_of(b"c"))
    elif path == "/body_first":
        await tried(send, body_of(b"x"))
        await send(START)
        await send(body_of(b"ok"))
    elif path == "/start_twice":
        await send(START)
        await tried(send, START)
        await send(body_of(b"ok"))
    elif path == "/unknown":
        await tried(send, {"type": "http.response.nonsense"})
        await tried(send, {"type": "websocket.accept"})
        await send(START)
        await send(body_of(b"ok"))
    elif path == "/bad_header":
        await send(dict(START, headers=[(b"x-bad", b"a\r\nx-injected: yes")]))
        await send(body_of(b"never"))
    elif path == "/after_the_end":
        await send(START)
        await send(body_of(b"ok"))
        await tried(send, body_of(b"more"))
        tell("done")
    elif path == "/background":
        await send(START)
        await send(body_of(b"ok"))
        await asyncio.sleep(0.4)
        tell("background")
    elif path == "/raise":
        raise RuntimeError("a secret of the application")
    elif path == "/raise_late":
        await send(START)
        await send(body_of(b"first part\n", True))
        raise RuntimeError("a late secret")
    elif path == "/return":
        await send(START)
    elif path == "/no_more":
        await send(START)
        await send(body_of(b"part", True))
    elif path == "/disconnect":
        await receive()
        tell("message", await receive())
        await tried(send, START)
        tell("message", await receive())
    elif path == "/exit":
        sys.exit(5)
    elif path == "/sleep":
        gate = scope["query_string"].decode().partition("gate=")[2]
        if gate:
            with open(gate + ".inside", "a") as f:
                f.write(".")
            for _ in range(6000):
                if os.path.exists(gate):
                    break
                await asyncio.sleep(0.01)
        else:
            await asyncio.sleep(float(scope["query_string"]))
        await send(START)
        await send(body_of(b"slept"))
    elif path == "/read":
        message = await receive()
        await send(START)
        await send(body_of(b"%d" % min(3, len(message["body"]))))
    elif path == "/big":
        await send(START)
        for _ in range(100):
            await send(body_of(b"x" * 100000, True))
        await send(body_of(b""))
    else:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send(body_of(b"nothing here\n"))


async def websocket(scope, receive, send):
    path = scope["path"]
    tell("message", await receive())
    if path == "/scope":
        tell("scope", {name: value for name, value in scope.items()})
        await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][1], "headers": [(b"x-mine", b"yes")]})
    elif path == "/refuse":
        await send({"type": "websocket.close", "code": 4000})
        tell("message", await receive())
        await tried(send, {"type": "websocket.accept"})
        return
    elif path == "/deny":
        await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-mine", b"yes")]})
        await send({"type": "websocket.http.response.body", "body": b"who ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"are you?"})
        tell("message", await receive())
        return
    elif path == "/return_early":
        return
    elif path == "/raise_early":
        raise RuntimeError("a secret of the websocket")
    elif path == "/send_early":
        await tried(send, {"type": "websocket.send", "text": "early"})
        await send({"type": "websocket.accept"})
    elif path == "/bad_accept":
        await tried(send, {"type": "websocket.accept", "headers": [(b"sec-websocket-accept", b"x")]})
        await tried(send, {"type": "websocket.accept", "subprotocol": "a\r\nx: y"})
        await send({"type": "websocket.accept"})
    elif path == "/return":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "last words"})
        return
    else:
        await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        tell("message", message)
        if message["type"] == "websocket.disconnect":
            await tried(send, {"type": "websocket.send", "text": "too late"})
            tell("again", await receive())
            return
        text = message["text"]
        if text == "bytes":
            await send({"type": "websocket.send", "bytes": b"\x00\xff"})
        elif text == "large":
            for size in (125, 126, 65535, 65536):
                await send({"type": "websocket.send", "text": "l" * size})
        elif text == "neither":
            await tried(send, {"type": "websocket.send"})
        elif text == "both":
            await tried(send, {"type": "websocket.send", "text": "a", "bytes": b"a"})
        elif text == "unknown":
            await tried(send, {"type": "websocket.nonsense"})
            await tried(send, {"type": "http.response.start", "status": 200})
            await tried(send, {"type": "websocket.accept"})
        elif text == "close":
            await send({"type": "websocket.close"})
        elif text == "close reason":
            await send({"type": "websocket.close", "code": 4001, "reason": "gr\u00fcn"})
            await tried(send, {"type": "websocket.send", "text": "after"})
        elif text == "slow":
            await asyncio.sleep(0.5)
        elif text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


async def lifespan(scope, receive, send):
    tell("lifespan scope", {name: value for name, value in scope.items()})
    tell("lifespan", await receive())
    await tried(send, {"type": "lifespan.shutdown.complete"}, "lifespan raised")
    await send({"type": "lifespan.startup.complete"})
    await tried(send, {"type": "lifespan.startup.complete"}, "lifespan raised")
    tell("lifespan", await receive())
    await send({"type": "lifespan.shutdown.complete"})


async def application(scope, receive, send):
    await {"http": http, "websocket": websocket, "lifespan": lifespan}[scope["type"]](scope, receive, send)
