# Streams ?n= parts (3) with ?ms= between them (0); says on stderr when the client is gone.
import asyncio
import sys
from urllib.parse import parse_qs


async def watch(receive):
    while (await receive())["type"] != "http.disconnect":
        pass
    print("asgi_stream: http.disconnect", file=sys.stderr)


async def application(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    query = parse_qs(scope["query_string"].decode())
    count, seconds = int(query.get("n", ["3"])[0]), int(query.get("ms", ["0"])[0]) / 1000
    watcher = asyncio.ensure_future(watch(receive))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        for index in range(count):
            await send({"type": "http.response.body", "body": b"part %d\n" % index, "more_body": True})
            await asyncio.sleep(seconds)
        await send({"type": "http.response.body", "body": b""})
    except OSError:
        print("asgi_stream: send failed", file=sys.stderr)
    await watcher
