"""A plain ASGI application, for whoever serves it: "PID METHOD PATH LENGTH", and a websocket that answers what it gets."""
import os


async def app(scope, receive, send):
    if scope['type'] == 'lifespan':
        while (await receive())['type'] != 'lifespan.shutdown':
            await send({'type': 'lifespan.startup.complete'})
        await send({'type': 'lifespan.shutdown.complete'})
    elif scope['type'] == 'websocket':
        await receive()
        await send({'type': 'websocket.accept'})
        while True:
            message = await receive()
            if message['type'] == 'websocket.disconnect' or message.get('text') == 'end':
                break
            await send({'type': 'websocket.send', 'text': message['text']})
        if message['type'] != 'websocket.disconnect':
            await send({'type': 'websocket.close'})
    else:
        length, more = 0, True
        while more:
            message = await receive()
            length, more = length + len(message.get('body', b'')), message.get('more_body', False)
        text = '%d %s %s %d\n' % (os.getpid(), scope['method'], scope['path'], length)
        await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-type', b'text/plain')]})
        await send({'type': 'http.response.body', 'body': text.encode()})
