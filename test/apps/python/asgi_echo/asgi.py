# As the WSGI application "echo": method, path, query, length and SHA-1 of the body, as JSON.
import hashlib
import json


async def application(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    digest = hashlib.sha1()
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        digest.update(message["body"])
        length += len(message["body"])
        more = message["more_body"]
    body = json.dumps({"method": scope["method"], "path": scope["path"], "query": scope["query_string"].decode("latin-1"),
                       "length": length, "sha1": digest.hexdigest()}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})
