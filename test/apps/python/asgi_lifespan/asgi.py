# Takes part in lifespan and says so. $LIFESPAN: failed, raise_late, shutdown_failed, hang.
import asyncio
import os
import sys

HOW = os.environ.get("LIFESPAN", "")


async def lifespan(scope, receive, send):
    message = await receive()
    print("lifespan: %s" % message["type"], file=sys.stderr)
    if HOW == "failed":
        await send({"type": "lifespan.startup.failed", "message": "no database\nsecond line"})
        return
    if HOW == "exit":
        sys.exit(4)
    if HOW == "hang":
        await asyncio.sleep(3600)
    scope["state"]["count"] = [0]
    scope["state"]["word"] = "from lifespan"
    await send({"type": "lifespan.startup.complete"})
    if HOW == "raise_late":
        raise RuntimeError("lifespan is broken")
    message = await receive()
    print("lifespan: %s" % message["type"], file=sys.stderr)
    if HOW == "shutdown_failed":
        await send({"type": "lifespan.shutdown.failed", "message": "no way out"})
    else:
        await send({"type": "lifespan.shutdown.complete"})


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    state = scope["state"]
    state["count"][0] += 1
    text = "%s %d %s\n" % (state["word"], state["count"][0], state.get("mine"))
    state["mine"] = "of one request"
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": text.encode()})
