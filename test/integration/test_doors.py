"""The doors: one test a row of the table "the original's per-process access", for every language and for a C program
started by `command`; then what else a door promises."""
import json
import os
import re
import subprocess
import threading
import time

import pytest

from lib import client
from lib.passenger import PASSWORD_HEADER, PASSWORD_PATTERN
from lib.wait import in_time, wait_until


@pytest.fixture(params=['ruby', 'wsgi', 'asgi', 'node', 'c'])
def kind(request):
    return request.param


# --- the rows ----------------------------------------------------------------

def test_row_password(box, kind):
    """One for each process, new with each process."""
    p = box.serve(kind, processes=3)
    before = p.doors()
    assert len({d.password for d in before}) == 3 and len({d.url for d in before}) == 3
    for door in before:
        assert re.match(PASSWORD_PATTERN, door.password)
        assert re.match(r'^http://127\.0\.0\.1:\d+$', door.url)
        assert door.request('/x').json()['pid'] == door.pid
        other = [d for d in before if d is not door][0]
        assert client.request(door.address, '/x', headers={PASSWORD_HEADER: other.password}).status == 403
    os.kill(before[0].pid, 9)
    wait_until(lambda: p.process(before[0].pid) is None and len(p.doors()) == 3, 10, 'a replacement')
    after = p.doors()
    new = {d.password for d in after} - {d.password for d in before}
    assert len(new) == 1
    assert {d.key() for d in before[1:]} <= {d.key() for d in after}


BAD = [('none', []), ('wrong', [(PASSWORD_HEADER, 'A' * 16)]), ('empty', [(PASSWORD_HEADER, '')]),
       ('prefix', [(PASSWORD_HEADER, '@prefix')]), ('suffix', [(PASSWORD_HEADER, '@suffix')]),
       ('other case', [(PASSWORD_HEADER, '@swap')]), ('underscores', [(PASSWORD_HEADER.replace('-', '_'), '@')]),
       ('in Authorization', [('Authorization', 'Basic @')]), ('in a cookie', [('Cookie', PASSWORD_HEADER + '=@')])]


def with_password(value, password):
    for mark, text in (('@prefix', password[:-1]), ('@suffix', password + 'x'), ('@swap', password.swapcase()),
                       ('@', password)):
        value = value.replace(mark, text)
    return value


def test_row_wrong_or_no_password(box, kind):
    """403 with a body that says what to do, connection closed, counted, logged without the value."""
    p = box.serve(kind)
    door = p.doors()[0]
    for name, headers in BAD:
        headers = [(n, with_password(v, door.password)) for n, v in headers]
        for method in ('GET', 'OPTIONS', 'POST'):
            with client.Connection(door.address) as c:
                r = c.request(method, '/count?file=%s/count' % box.work, headers, b'x' if method == 'POST' else None)
                assert r.status == 403, (name, method, r)
                assert PASSWORD_HEADER in r.text and 'passenger' in r.text and 'status --verbose' in r.text
                assert door.password not in r.text
                assert r.closes and c.ended()
                assert r.header('content-type').startswith('text/plain')
                assert not r.all('www-authenticate') and not r.all('access-control-allow-origin')
    assert not os.path.exists(box.work + '/count')
    wait_until(lambda: p.processes()[0]['refused_direct'] == 3 * len(BAD), 5, 'all to be counted')
    assert p.processes()[0]['processed'] == 0
    p.wait_log(r'(?i)password')
    assert door.password not in p.log() and 'A' * 16 not in p.log()


def test_row_two_headers(box, kind):
    p = box.serve(kind)
    door = p.doors()[0]
    for values in ((door.password, 'x'), ('x', door.password), (door.password, door.password),
                   (door.password + ', ' + door.password,)):
        r = client.request(door.address, '/x', headers=[(PASSWORD_HEADER, v) for v in values])
        assert r.status == 403, values


def test_row_application_never_sees_the_password(box, kind):
    p = box.serve(kind)
    door = p.doors()[0]
    r = door.request('/x', 'POST', {'X-Other': '1'}, b'x').json()
    assert r['headers']['x-other'] == '1'
    everything = json.dumps(r)
    assert door.password not in everything and 'connect-password' not in everything.lower().replace('_', '-')
    with open('/proc/%d/environ' % door.pid, 'rb') as f:
        assert door.password.encode() not in f.read()
    with open('/proc/%d/cmdline' % door.pid, 'rb') as f:
        assert door.password.encode() not in f.read()


def test_row_status_without_verbose_has_no_password(box, kind):
    p = box.serve(kind)
    door = p.doors()[0]
    for arguments in ([], ['--format', 'xml'], ['--format', 'json'], ['--format', 'text'], ['--show=xml'], ['--show=json'],
                      ['--show=pool']):
        assert door.password not in p.text(*arguments), arguments
    for arguments in (['--format', 'xml'], ['--format', 'json'], []):
        assert door.password in p.text('--verbose', *arguments), arguments


def test_row_body_in_the_packet_of_the_head(box, kind):
    """curl -d, exactly as a person types it."""
    p = box.serve(kind)
    door = p.doors()[0]
    done = subprocess.run(['curl', '-sS', '-m', '5', '-H', '%s: %s' % (PASSWORD_HEADER, door.password), '-d', 'a=1&b=2',
                           door.url + '/x'], stdout=subprocess.PIPE, check=True)
    r = json.loads(done.stdout)
    assert (r['method'], r['length'], r['pid']) == ('POST', 7, door.pid)
    with door.connect() as c:
        c.send(client.head_of('POST', '/x', door.headers({'Content-Length': '3'})) + b'abc')
        assert c.response().json()['length'] == 3


def test_row_chunked_post(box, kind):
    p = box.serve(kind)
    door = p.doors()[0]
    with door.connect() as c:
        for pieces in ([b'a'], [b'b' * 100000, b'c'], []):
            c.send(client.head_of('POST', '/x', door.headers({'Transfer-Encoding': 'chunked'})) + client.chunked(*pieces))
            assert c.response().json()['length'] == sum(map(len, pieces))


def test_row_expect_100_continue(box, kind):
    p = box.serve(kind)
    door = p.doors()[0]
    with door.connect() as c:
        c.start('POST', '/x', door.headers({'Content-Length': '4', 'Expect': '100-continue'}))
        assert c.head().status == 100
        c.send(b'body')
        assert c.response().json()['length'] == 4
    with client.Connection(door.address) as c:  # without the password no body is asked for
        c.start('POST', '/x', {'Content-Length': '4', 'Expect': '100-continue'})
        r = c.response()
        assert (r.status, r.interim) == (403, [])


def test_row_pipelined_second_request(box, kind):
    p = box.serve(kind)
    door = p.doors()[0]
    with door.connect() as c:
        c.send(b''.join(client.head_of('GET', '/%d' % i, door.headers()) for i in range(10)))
        assert [c.response().json()['path'] for _ in range(10)] == ['/%d' % i for i in range(10)]
        c.send(client.head_of('GET', '/good', door.headers()) + client.head_of('GET', '/bad') +
               client.head_of('GET', '/after', door.headers()))
        assert c.response().json()['path'] == '/good'
        assert c.response().status == 403 and c.ended()


def test_row_connection_close_and_http10(box, kind):
    p = box.serve(kind)
    door = p.doors()[0]
    for version, extra, closes in (('HTTP/1.1', {}, False), ('HTTP/1.1', {'Connection': 'close'}, True),
                                   ('HTTP/1.0', {}, True), ('HTTP/1.0', {'Connection': 'keep-alive'}, False)):
        with door.connect() as c:
            assert c.request('GET', '/hello', door.headers(extra), version=version).status == 200
            assert c.ended() if closes else c.request('GET', '/hello', door.headers(extra), version=version).status == 200


def test_row_reason_phrase_and_date(box, kind):
    p = box.serve(kind)
    door = p.doors()[0]
    r = door.request('/hello')
    assert (r.status, r.reason, len(r.all('date'))) == (200, 'OK', 1)
    assert door.request('/status?code=404').reason == 'Not Found'


def test_row_application_raises(box, kind):
    """500 by the loader or the program; 502 where there is no answer: an exception that nobody catches ends Node."""
    p = box.serve(kind)
    door = p.doors()[0]
    if kind in ('node', 'c'):
        assert door.request('/status?code=500').status == 500
        assert door.request('/drop').status == 502
        assert door.request('/hello').status == 200
    assert door.request('/raise').status == (502 if kind == 'node' else 500)
    if kind == 'node':
        wait_until(lambda: [d for d in p.doors() if d.pid != door.pid], 10, 'another process')
        p.wait_log('Error: raised in a handler')
    assert p.doors()[0].request('/hello').status == 200


def test_row_ping_and_oobw_are_ordinary_methods(box, kind):
    p = box.serve(kind)
    door = p.doors()[0]
    for method in ('PING', 'OOBW', 'PROPFIND', 'M-SEARCH', 'PATCH', 'OPTIONS'):
        r = door.request('/x', method)
        if kind == 'node' and method in ('PING', 'OOBW'):
            assert r.status == 400  # by Node's own parser, which does not know them
        else:
            assert (r.status, r.json()['method']) == (200, method)
    assert p.processes()[0]['pid'] == door.pid


def parallel(count, work):
    """Runs work(i) in so many threads at once; their results in order."""
    out = [None] * count

    def run(i):
        try:
            out[i] = work(i)
        except Exception as e:  # a thread must tell, whatever it was
            out[i] = e
    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return out


def test_row_ten_parallel(box, kind):
    """By the process's concurrency, queued, with a limit."""
    p = box.serve(kind, one_at_a_time=True)
    door = p.doors()[0]
    answers = parallel(10, lambda i: door.request('/inside?ms=30', timeout=20).json()['inside'])
    assert answers == [1] * 10
    p.wait_idle()
    wait_until(lambda: p.processes()[0]['processed_direct'] == 10, 5, 'all to be counted')


@pytest.mark.parametrize('kind', ['asgi', 'node', 'c'])
def test_row_ten_parallel_unlimited(box, kind):
    door, gate = box.serve(kind).doors()[0], box.gate()
    clients = [door.connect(20) for _ in range(10)]
    for c in clients:
        c.start('GET', gate.at('/inside'), door.headers())
    wait_until(lambda: door.request('/inside?ms=0').json()['inside'] == 11, 5, 'ten at once, and who asks')
    gate.open()
    for c in clients:
        assert c.response().status == 200
        c.close()


def test_row_ten_parallel_limit(box, kind):
    p = box.serve(kind, one_at_a_time=True, direct_wait_ms=400)
    door = p.doors()[0]
    gate = box.gate()
    with door.connect(20) as inside:
        inside.start('GET', gate.at(), door.headers())
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5)
        assert parallel(9, lambda i: door.request('/hello', timeout=20).status) == [503] * 9
        gate.open()
        assert inside.response().status == 200


def test_row_idle_connections_block_nobody(box, kind):
    """Idle, half a head, a right password and half a body: each alone keeps nobody waiting, and ends."""
    p = box.serve(kind, one_at_a_time=True, passenger={'head_timeout': '1s', 'body_timeout': '1s', 'idle_timeout': '1s'})
    door = p.doors()[0]
    half = [b'', b'GET / HT', b'GET /x HTTP/1.1\r\nHost: x\r\n',
            client.head_of('POST', '/x', door.headers({'Content-Length': '10'})) + b'12345',
            client.head_of('POST', '/x', door.headers({'Transfer-Encoding': 'chunked'})) + b'5\r\n12']
    idle = [door.connect() for _ in half]
    for c, data in zip(idle, half):
        c.send(data)
    start = time.monotonic()
    assert door.request('/hello', timeout=5).status == 200
    assert p.get('/hello', timeout=5).status == 200
    in_time(start, 0.9)
    for c, data in zip(idle, half):
        came = client.closes_without_answer(c)
        assert came in ([], [408]), (data, came)
        c.close()
    assert door.request('/hello').status == 200


def test_row_worker_busy_with_a_front_request(box, kind):
    """Waits for the slot: no lost update, no second request beside the first."""
    p = box.serve(kind, one_at_a_time=True)
    door = p.doors()[0]
    answers = parallel(4, lambda i: (p.get if i % 2 else door.request)('/inside?ms=200', timeout=20).json())
    assert [a['inside'] for a in answers] == [1] * 4
    if kind in ('ruby', 'wsgi'):
        assert all(a['multithread'] is False for a in answers)


def test_row_worker_busy_too_long(box, kind):
    """503 that names the request in the way, its age and its client."""
    p = box.serve(kind, one_at_a_time=True, direct_wait_ms=300)
    door, gate = p.doors()[0], box.gate()
    with p.connect(20) as busy:
        busy.start('GET', gate.at())
        port = busy.socket.getsockname()[1]
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5)
        start = time.monotonic()
        r = door.request('/hello')
        assert r.status == 503
        in_time(start, 1.2, 0.2)
        assert '/sleep' in r.text and 'GET' in r.text and '127.0.0.1' in r.text and str(port) in r.text
        assert re.search(r'\d+(\.\d+)? ?(s|ms|second)', r.text)
        gate.open()
        assert busy.response().status == 200
    assert door.request('/hello').status == 200


@pytest.mark.parametrize('kind', ['ruby', 'wsgi', 'asgi'])
def test_row_bypass_where_it_is_switched_on(box, kind):
    p = box.serve(kind, direct_bypass='on')
    door, gate = p.doors()[0], box.gate()
    with p.connect(20) as busy:
        busy.start('GET', gate.at())
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5)
        r = door.request('/x', headers={'X-Passenger-Connect-Bypass': '1'})
        assert r.status == 200
        assert r.json().get('multithread', True) is True and r.json()['pid'] == door.pid
        assert 'bypass' not in json.dumps(r.json()['headers'])
        gate.open()
        assert busy.response().status == 200


def test_row_bypass_elsewhere(box, kind):
    """Off by default, and a program without a loader that could has no such thing and says so."""
    loader = kind in ('ruby', 'wsgi', 'asgi')
    p = box.serve(kind, one_at_a_time=True, direct_wait_ms=300, **({} if loader else {'direct_bypass': 'on'}))
    door = p.doors()[0]
    r = door.request('/hello', headers={'X-Passenger-Connect-Bypass': '1'})
    assert r.status != 200 and r.status < 600 and 'bypass' in r.text.lower()
    if kind in ('ruby', 'wsgi'):
        assert door.request('/x').json()['multithread'] is False


def test_row_counts(box, kind):
    """Sessions, Processed, Last used see direct requests."""
    p = box.serve(kind)
    door, gate = p.doors()[0], box.gate()
    with door.connect(20) as c:
        c.start('GET', gate.at(), door.headers())
        running = wait_until(lambda: p.processes()[0]['requests'], 5)
        assert p.processes()[0]['sessions'] == 1 and running[0]['path'].startswith('/sleep')
        gate.open()
        assert c.response().status == 200
    p.wait_idle()
    wait_until(lambda: p.processes()[0]['processed'] == 1, 5)
    assert p.processes()[0]['processed_direct'] == 1
    assert p.processes()[0]['last_used_ago_ms'] < 10000


def test_row_idle_timer(box, kind):
    """A process in use through its door is not idle."""
    p = box.start(passenger={'max_pool_size': 1}, app=box.app(kind, min_instances=0, pool_idle_time='2s'), processes=0)
    pid = p.get('/x', timeout=30).json()['pid']
    door = wait_until(p.doors, 5)[0]
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert door.request('/x').json()['pid'] == pid
        time.sleep(0.2)
    wait_until(lambda: p.process(pid) is None, 8, 'the idle process to go')
    wait_until(lambda: client.refuses(door.address), 2, 'its door to close')


def test_row_max_requests(box, kind):
    p = box.start(passenger={'max_pool_size': 1}, app=box.app(kind, min_instances=1, max_requests=3))
    door = p.doors()[0]
    for _ in range(3):
        assert door.request('/hello').status == 200
    wait_until(lambda: [d for d in p.doors() if d.pid != door.pid], 20, 'a new process')
    assert p.get('/hello').status == 200


# --- what else a door promises -----------------------------------------------

def test_door_goes_to_exactly_its_process(box, kind):
    p = box.serve(kind, processes=3)
    for door in p.doors():
        with door.connect() as c:
            assert {c.request('GET', '/x', door.headers()).json()['pid'] for _ in range(5)} == {door.pid}


@pytest.mark.parametrize('kind', ['ruby', 'node', 'c'])  # for ASGI, which knows websockets only: test_tunnels.py
def test_door_upgrade(box, kind):
    p = box.serve(kind)
    door = p.doors()[0]
    with door.connect() as c:
        c.start('GET', '/upgrade', door.headers({'Upgrade': 'echo', 'Connection': 'Upgrade'}))
        assert c.response().status == 101
        c.send(b'through the door')
        assert c.octets(16) == b'through the door'
        c.send(b'bye\n')
        assert c.ended()


def test_door_upgrade_without_password(box, kind):
    p = box.serve(kind)
    with p.doors()[0].connect() as c:
        c.start('GET', '/upgrade', {'Upgrade': 'echo', 'Connection': 'Upgrade'})
        assert c.response().status == 403 and c.ended()


def test_door_remote_addr_is_the_peer(box):
    p = box.serve('ruby')
    r = p.doors()[0].request('/x', headers={'X-Forwarded-For': '203.0.113.9', 'X-Remote-User': 'eve',
                                            'X-Forwarded-Proto': 'https'}).json()
    assert r['remote'] == '127.0.0.1' and 'REMOTE_USER' not in r['env'] and 'HTTPS' not in r['env']


def test_door_routes_nothing(box):
    """Host and path do not matter: it is this process's, and base_uri is what the application expects."""
    p = box.start(app=dict(box.app('ruby'), host='www.example.org', base_uri='/sub'))
    door = p.doors()[0]
    assert door.request('/sub/x', host='elsewhere').json()['env']['SCRIPT_NAME'] == '/sub'


@pytest.mark.parametrize('kind, size', [
    *((kind, 50_000_000) for kind in ('ruby', 'wsgi', 'asgi', 'node', 'c')),
    pytest.param('command', 2_000_000_000, marks=pytest.mark.slow),
    pytest.param('node', 2_000_000_000, marks=pytest.mark.slow),
    pytest.param('command', 10_000_000_000, marks=pytest.mark.full)])
def test_door_big_download_and_upload(box, kind, size):
    p = box.serve(kind)
    door = p.doors()[0]
    with door.connect(300) as c:
        c.start('GET', '/big?n=%d' % size, door.headers())
        assert c.final_head().status == 200
        c.skip(size)
        c.start('POST', '/x', door.headers({'Content-Length': str(size)}))
        block = b'u' * 1_000_000
        for _ in range(size // len(block)):
            c.send(block)
        assert c.response().json()['length'] == size


def test_door_stays_while_its_process_drains(box, kind):
    """SIGTERM to passenger while a request runs: the door still belongs to the process."""
    p = box.serve(kind)
    door, gate = p.doors()[0], box.gate()
    with p.connect(20) as busy:
        busy.start('GET', gate.at())
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5)
        p.signal(15)
        p.wait_log('stopping')
        assert not client.refuses(door.address)
        gate.open()
        assert busy.response().status == 200
    assert p.wait_exit() == 0
    assert client.refuses(door.address)


def test_door_closes_with_its_process(box, kind):
    p = box.serve(kind)
    door = p.doors()[0]
    os.kill(door.pid, 9)
    wait_until(lambda: client.refuses(door.address), 5, 'the dead process\'s door to close')


def test_door_of_another_instance(box):
    """Two instances know nothing of each other's passwords."""
    one = box.serve('command')
    root = box.app('command', name='second', min_instances=1)
    two = box.start(apps={'main': root}, instance='two')
    a, b = one.doors()[0], two.doors()[0]
    assert client.request(b.address, '/x', headers={PASSWORD_HEADER: a.password}).status == 403
    assert b.request('/hello').status == 200


@pytest.mark.root
def test_status_is_refused_to_strangers(box):
    """Root and the owner see all; others a clear refusal with exit 2."""
    p = box.serve('command')
    door = p.doors()[0]
    done = p.status_command('--verbose', user=33)
    assert done.returncode == 2 and door.password not in done.stdout and done.stderr.strip()


@pytest.mark.root
def test_status_shows_a_user_its_own_groups(box):
    p = box.start(passenger={'max_pool_size': 2}, processes=2, apps={
        'mine': dict(box.app('command', name='mine'), user='www-data', host='mine'),
        'other': dict(box.app('command', name='other'), user='nobody', host='other')})
    mine, other = p.doors('mine')[0], p.doors('other')[0]
    done = p.status_command('--verbose', user=33)
    assert done.returncode == 0 and mine.password in done.stdout and other.password not in done.stdout


def test_doors_listen_on_loopback_only(box):
    p = box.serve('command', processes=2)
    for door in p.doors():
        port = '%04X' % int(door.address.rsplit(':', 1)[1])
        with open('/proc/net/tcp') as f:
            rows = [line.split()[1] for line in f if line.split()[3] == '0A' and line.split()[1].endswith(':' + port)]
        assert rows == ['0100007F:' + port]
