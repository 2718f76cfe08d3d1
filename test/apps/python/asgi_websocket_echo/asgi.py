# Echoes websocket messages; "close" closes with 3001, "raise" raises, "pid" answers the process id. Says
# on stderr how the websocket ended. HTTP requests are answered with the number of open websockets.
import os
import sys

count = 0


async def websocket(receive, send):
    global count
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    count += 1
    try:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                print("websocket: disconnect %d %s" % (message["code"], message["reason"]), file=sys.stderr)
                return
            if message["text"] == "close":
                await send({"type": "websocket.close", "code": 3001, "reason": "as told"})
            elif message["text"] == "raise":
                raise RuntimeError("a secret of the websocket")
            elif message["text"] == "pid":
                await send({"type": "websocket.send", "text": str(os.getpid())})
            else:
                await send({"type": "websocket.send", "text": message["text"], "bytes": message["bytes"]})
    finally:
        count -= 1


async def application(scope, receive, send):
    if scope["type"] == "websocket":
        await websocket(receive, send)
        return
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"%d\n" % count})
