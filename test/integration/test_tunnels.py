"""Upgraded connections (websockets) of every type: through Apache in both its ways and through a door, counted as
sessions; told of the end of their process before they are closed."""
import os
import time

import pytest

from lib import client
from lib.passenger import PYTHON
from lib.wait import in_time, wait_until
from test_node import PROXY_HTTP, WSTUNNEL, WebSocket, behind_apache

GOODBYE = b'\x88\x02' + (1001).to_bytes(2, 'big')
KINDS = ('ruby', 'asgi', 'node', 'command')


def section(box, kind, **options):
    if kind == 'ruby':
        out = {'root': box.folder('ruby', 'websocket', 'app')}
    elif kind == 'asgi':
        out = {'root': box.folder('python', 'asgi_websocket_echo', 'app'), 'python': PYTHON}
    else:
        out = {'root': box.folder('node', 'websocket_goodbye', 'app')}
    if kind == 'command':
        out.update(type='command', command='node app.js')
    return dict(out, **options)


def said_goodbye(socket):
    """The close frame of its application, which the client answers, and the end."""
    frame = socket.c.octets(4)
    if socket.c.buffer or frame[1] > 2:
        frame = frame[:1] + b'\x02' + frame[2:] + b''
        socket.c.octets(len('the server stops'))
    socket.c.send(b'\x88\x82\0\0\0\0' + frame[2:4])
    return frame == GOODBYE and socket.c.ended(5)


@pytest.mark.parametrize('kind', KINDS)
def test_roads_and_ends(box, kind):
    app = section(box, kind)
    for way, (changes, modules) in enumerate(((PROXY_HTTP, ()), (WSTUNNEL, ('proxy_wstunnel',)))):
        p, web = behind_apache(box, app, changes, modules, instance='instance%d' % way)
        try:
            door = p.doors()[0]
            sockets = []
            for address, headers in ((web.address, {}), (door.address, dict(door.headers())), (web.address, {})):
                sockets.append(WebSocket(client.Connection(address), '/socket', headers))
                assert sockets[-1].echo('one', 'two', 'three')
            wait_until(lambda: sum(x['sessions'] for x in p.processes()) == 3, 5, 'three sessions')
            before = {x['pid'] for x in p.processes()}
            if way == 0:
                started = time.monotonic()
                assert box.run('restart', 'main', '--wait', '--instance-dir', p.instance_dir).returncode == 0
                assert all(said_goodbye(s) for s in sockets)
                in_time(started, 20)
                wait_until(lambda: not before & {x['pid'] for x in p.processes()}, 10, 'the old processes to go')
                sockets = [WebSocket(client.Connection(web.address), '/socket')]
                assert sockets[0].echo('again')
            p.child.terminate()
            assert all(said_goodbye(s) for s in sockets)
            assert p.wait_exit(10) == 0
            for s in sockets:
                s.c.close()
        finally:
            web.stop()


def test_left_to_end_by_themselves(box):
    """abort_websockets_on_process_shutdown = off, for drain_timeout; then they are told all the same."""
    p = box.start(app=section(box, 'node', abort_websockets_on_process_shutdown='off', drain_timeout='2s'))
    kept, closed = [WebSocket(p.connect()) for _ in range(2)]
    old = p.processes()[0]['pid']
    assert box.run('restart', 'main', '--instance-dir', p.instance_dir).returncode == 0
    started = time.monotonic()
    wait_until(lambda: p.get('/').text != 'plain %d\n' % old, 10, 'the new process')
    assert kept.echo('still') and closed.echo('here')
    closed.c.close()
    assert said_goodbye(kept) and time.monotonic() - started > 1.5
    wait_until(lambda: p.process(old) is None, 5, 'the old process to go')
    assert 'killing' not in p.log()


def test_deaf_program_is_cut(box):
    """One that does not care that it was told loses its tunnels a second later."""
    p = box.serve('command')
    with p.connect() as c:
        c.start('GET', '/upgrade', {'Upgrade': 'echo', 'Connection': 'Upgrade'})
        assert c.response().status == 101
        os.kill(p.processes()[0]['pid'], 0)
        assert box.run('restart', 'main', '--instance-dir', p.instance_dir).returncode == 0
        assert c.ended(5)


def test_silence(box):
    p = box.start(app=section(box, 'node', upgrade_idle_timeout='1s'),
                  passenger={'access_log_format': 'json', 'access_log': box.path('access.log')})
    silent, talking = [WebSocket(p.connect()) for _ in range(2)]
    for _ in range(6):
        assert talking.echo('x')
        time.sleep(0.25)
    assert silent.c.ended(2) and talking.echo('y')
    assert 'upgraded connection silent' in wait_until(lambda: open(box.path('access.log')).read(), 5)
    talking.c.close()
