"""The front listeners: what a client of ours (as a rule Apache) sends and gets."""
import json
import os
import re
import socket
import stat
import struct
import threading

import pytest

from lib import client, procs
from lib.passenger import PASSWORD_HEADER, ini_text
from lib.wait import wait_until


def test_hello(box, kind):
    p = box.serve(kind)
    r = p.get('/hello')
    pid = p.processes()[0]['pid']
    assert (r.status, r.text) == (200, 'hello from %d\n' % pid)
    assert re.match(r'^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$', r.header('date'))
    assert len(r.all('date')) == 1 and len(r.all('server')) == 1
    assert r.reason == 'OK'


def test_detects_application_in_its_folder(box):
    p = box.start(app_dir=box.rack())
    assert p.get('/hello').status == 200
    assert p.processes()[0]['pid'] == p.get('/x').json()['pid']


def test_c_program(box):
    root, _ = box.program()
    program = os.path.join(root, 'hello')
    source = os.path.join(os.path.dirname(__file__), '..', 'apps', 'command', 'hello.c')
    assert os.system('gcc -O1 -o %s %s' % (program, source)) == 0
    p = box.start(app={'root': root, 'command': program})
    assert p.get('/').text == 'hello from %d\n' % p.processes()[0]['pid']


def test_listener_may_be_a_descendant(box):
    root, command = box.program()
    box.program('descendant.sh', 'command')
    p = box.start(app={'root': root, 'type': 'command',
                       'command': '/bin/sh %s %s' % (box.path('command', 'descendant.sh'), command)})
    assert p.get('/hello').status == 200
    assert p.get('/x').json()['pid'] != p.processes()[0]['pid']


# --- routing -----------------------------------------------------------------

ROUTES = [
    # host, path, application, SCRIPT_NAME, PATH_INFO
    ('a.example.org', '/x', 'a', '', '/x'),
    ('A.Example.ORG:8080', '/x', 'a', '', '/x'),
    ('b.example.org', '/x', 'b', '', '/x'),
    ('b.example.org', '/sub', 'sub', '/sub', ''),
    ('b.example.org', '/sub/', 'sub', '/sub', '/'),
    ('b.example.org', '/sub/x?y=1', 'sub', '/sub', '/x'),
    ('b.example.org', '/submarine', 'b', '', '/submarine'),
    ('w.wild.example.org', '/x', 'wild', '', '/x'),
]


def test_routes_by_host_and_base_uri(box):
    def app(name, **options):
        return dict({'root': box.rack(name), 'env.WHO': name}, **options)
    p = box.start(passenger={'max_pool_size': 4}, processes=4, apps={
        'a': app('a', host='a.example.org'),
        'b': app('b', host='b.example.org'),
        'sub': app('sub', host='b.example.org', base_uri='/sub'),
        'wild': app('wild', host='*.wild.example.org'),
    })
    for host, path, who, script_name, path_info in ROUTES:
        r = p.get(path, host=host).json()
        assert (r['environ']['WHO'], r['env']['SCRIPT_NAME'], r['env']['PATH_INFO']) == (who, script_name, path_info), \
            (host, path)
    assert p.get('/x', host='nobody.example.org').status == 404


def test_routes_by_listener(box):
    p = box.start(ini_text({'listen': '127.0.0.1:0', 'max_pool_size': 2},
                           {'one': {'root': box.rack('one'), 'env.WHO': 'one'},
                            'two': {'root': box.rack('two'), 'env.WHO': 'two'}},
                           {'second': {'address': 'unix:' + box.path('two.sock'), 'app': 'two'}}), processes=2)
    assert p.get('/x').json()['environ']['WHO'] == 'one'
    assert client.request('unix:' + box.path('two.sock'), '/x').json()['environ']['WHO'] == 'two'


def test_unix_listener_has_its_mode(box):
    path = box.path('front.sock')
    p = box.start(ini_text({}, {'main': {'root': box.rack()}}, {'web': {'address': 'unix:' + path, 'mode': '0604'}}))
    assert p.fronts == ['unix:' + path]
    mode = os.stat(path).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o604
    assert client.request('unix:' + path, '/hello').status == 200
    p.stop()
    assert not os.path.exists(path)


@pytest.mark.root
def test_unix_listener_has_its_owner(box):
    path = box.path('front.sock')
    box.start(ini_text({}, {'main': {'root': box.rack()}},
                       {'web': {'address': 'unix:' + path, 'owner': 'www-data', 'group': 'nogroup'}}))
    import grp
    import pwd
    st = os.stat(path)
    assert (pwd.getpwuid(st.st_uid).pw_name, grp.getgrgid(st.st_gid).gr_name) == ('www-data', 'nogroup')


# --- what the application is told --------------------------------------------

FORWARDED = {'X-Forwarded-For': '203.0.113.7', 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'www.example.org',
             'X-Remote-User': 'ada'}


def test_forwarded_headers_only_from_trusted_listeners(box):
    p = box.start(ini_text({}, {'main': {'root': box.rack()}},
                           {'trusted': {'address': 'unix:' + box.path('t.sock')},
                            'plain': {'address': '127.0.0.1:0'},
                            'believed': {'address': '127.0.0.1:0', 'trusted': 'on'}}))
    fronts = {re.sub(r':\d+$', '', a): a for a in p.fronts}
    tcp = [a for a in p.fronts if not a.startswith('unix:')]
    assert len(fronts) == 2 and len(tcp) == 2
    believed = 0
    for address in p.fronts:
        env = client.request(address, '/x', headers=FORWARDED, host='here:8123').json()['env']
        if env.get('REMOTE_ADDR') == '203.0.113.7':
            believed += 1
            assert env['HTTPS'] == 'on' and env['rack.url_scheme'] == 'https'
            assert (env['SERVER_NAME'], env['SERVER_PORT'], env['REMOTE_USER']) == ('www.example.org', '443', 'ada')
        else:
            assert address in tcp
            assert env['REMOTE_ADDR'] == '127.0.0.1' and 'HTTPS' not in env and 'REMOTE_USER' not in env
            assert (env['SERVER_NAME'], env['SERVER_PORT']) == ('here', '8123')
            assert env['rack.url_scheme'] == 'http'
    assert believed == 2


def test_rack_environment(box):
    p = box.serve('ruby')
    r = p.get('/a%2Fb/c?d=e%20f', headers=[('X-Twice', '1'), ('X-Twice', '2'), ('Cookie', 'a=1'), ('Cookie', 'b=2'),
                                           ('Content-Type', 'text/x')], host='h.example.org:81').json()
    env = r['env']
    want = {'REQUEST_METHOD': 'GET', 'SCRIPT_NAME': '', 'PATH_INFO': '/a%2Fb/c', 'QUERY_STRING': 'd=e%20f',
            'REQUEST_URI': '/a%2Fb/c?d=e%20f', 'SERVER_PROTOCOL': 'HTTP/1.1', 'SERVER_NAME': 'h.example.org',
            'SERVER_PORT': '81', 'HTTP_HOST': 'h.example.org:81', 'HTTP_X_TWICE': '1, 2', 'HTTP_COOKIE': 'a=1; b=2',
            'CONTENT_TYPE': 'text/x', 'REMOTE_ADDR': '127.0.0.1'}
    assert {k: env.get(k) for k in want} == want
    assert r['multithread'] is False and 'HTTP_CONTENT_TYPE' not in env


HOSTILE_NAMES = ['X_Forwarded_For', 'X-Forwarded_Proto', 'Remote_User', 'Proxy', 'X-Passenger-Anything', PASSWORD_HEADER,
                 'X-Passenger-Connect_Password', 'X.Dotted', '!~Passenger-App-Root', 'X-Sendfile-Type', 'X-Accel-Mapping']


def test_hostile_header_names_do_not_arrive(box, kind):
    p = box.serve(kind)
    for name in HOSTILE_NAMES:
        r = p.get('/x', headers={name: 'hostile', 'X-Harmless': 'yes'})
        assert r.status == 200, (name, r)
        seen = r.json()
        assert 'hostile' not in json.dumps([seen['headers'], seen.get('env')]), name
        assert seen['headers']['x-harmless'] == 'yes'


def test_request_id(box, kind):
    p = box.serve(kind)
    kept = p.get('/x', headers={'X-Request-Id': 'abc-123_X.y'})
    assert kept.json()['headers']['x-request-id'] == 'abc-123_X.y'
    made = [p.get('/x').json()['headers']['x-request-id'] for _ in range(3)]
    assert len(set(made)) == 3 and all(re.match(r'^[0-9a-zA-Z-]{16,64}$', m) for m in made)
    bad = p.get('/x', headers={'X-Request-Id': 'a"b<c> ' + 'x' * 300}).json()['headers']['x-request-id']
    assert re.match(r'^[0-9a-zA-Z._-]{1,128}$', bad)


def test_request_start_is_handed_on(box, kind):
    p = box.serve(kind)
    value = p.get('/x').json()['headers']['x-request-start']
    assert re.match(r'^t=\d{16}$', value)


# --- HTTP/1.1 ----------------------------------------------------------------

def test_keep_alive_and_pipelining(box, kind):
    p = box.serve(kind)
    with p.connect() as c:
        for i in range(5):
            assert c.request('GET', '/k%d' % i).json()['path'] == '/k%d' % i
        c.send(b''.join(client.head_of('GET', '/p%d' % i) for i in range(20)) +
               client.head_of('POST', '/body', {'Content-Length': '5'}) + b'12345' +
               client.head_of('GET', '/last', {'Connection': 'close'}) + client.head_of('GET', '/never'))
        assert [c.response().json()['path'] for _ in range(20)] == ['/p%d' % i for i in range(20)]
        assert c.response().json()['length'] == 5
        last = c.response()
        assert last.json()['path'] == '/last' and last.closes and c.ended()


def test_connection_close_and_http10(box, kind):
    p = box.serve(kind)
    cases = [('HTTP/1.1', [], False), ('HTTP/1.1', [('Connection', 'close')], True), ('HTTP/1.0', [], True),
             ('HTTP/1.0', [('Connection', 'keep-alive')], False)]
    for version, headers, closes in cases:
        with p.connect() as c:
            r = c.request('GET', '/hello', headers, version=version)
            assert r.status == 200 and r.text.startswith('hello')
            assert 'transfer-encoding' not in [n.lower() for n, _ in r.headers]
            if closes:
                assert c.ended(), (version, headers)
            else:
                assert c.request('GET', '/hello', headers, version=version).status == 200, (version, headers)


def test_streamed_answer_to_http10_is_ended_by_close(box, kind):
    p = box.serve(kind)
    with p.connect() as c:
        r = c.request('GET', '/stream?n=3', [('Connection', 'keep-alive')], version='HTTP/1.0')
        assert r.body == b's' * 3000 and not r.all('transfer-encoding') and c.ended()


def test_head(box, kind):
    p = box.serve(kind)
    with p.connect() as c:
        r = c.request('HEAD', '/hello')
        assert r.status == 200 and r.body == b''
        r = c.request('HEAD', '/big?n=1000000')
        assert r.status == 200 and r.header('content-length') in ('1000000', None)
        assert c.request('GET', '/hello').text.startswith('hello')


def test_expect_100_continue(box, kind):
    p = box.serve(kind)
    with p.connect() as c:
        c.start('POST', '/x', {'Content-Length': '5', 'Expect': '100-continue'})
        assert c.head().status == 100
        c.send(b'hello')
        r = c.response('POST')
        assert (r.status, r.json()['length'], r.interim) == (200, 5, [])
        assert 'expect' not in r.json()['headers']
        assert c.request('POST', '/x', {'Expect': '100-continue'}, b'at once').json()['length'] == 7


def test_chunked_request(box, kind):
    p = box.serve(kind)
    pieces = [b'a', b'b' * 100, b'c' * 70000]
    with p.connect() as c:
        c.start('POST', '/x', {'Transfer-Encoding': 'chunked'})
        c.send(client.chunked(*pieces, trailers=[('X-Trailer', '1')]))
        r = c.response('POST').json()
        assert r['length'] == 70101
        c.start('PUT', '/x', {'Transfer-Encoding': 'chunked'})
        for octet in client.chunked(b'12', b'345'):
            c.send(bytes([octet]))
        assert c.response('PUT').json()['length'] == 5


def test_chunked_answer(box, kind):
    p = box.serve(kind)
    with p.connect() as c:
        for n in (0, 1, 200):
            r = c.request('GET', '/stream?n=%d' % n)
            assert r.body == b's' * 1000 * n
        assert c.request('GET', '/late?n=5').text == ''.join('line %d\n' % i for i in range(5))


def test_streamed_answer_is_not_held_back(box, kind):
    p = box.serve(kind)
    with p.connect() as c:
        c.start('GET', '/late?n=50')
        c.final_head()
        while b'line 0' not in c.buffer:
            assert c.fill()
        assert b'line 40' not in c.buffer


def test_interim_answers(box):
    p = box.serve('command')
    with p.connect() as c:
        r = c.request('GET', '/hints')
        assert [i.status for i in r.interim] == [103] and r.interim[0].header('link') and r.status == 200
        assert c.request('GET', '/hints', [('Connection', 'keep-alive')], version='HTTP/1.0').interim == []


@pytest.mark.parametrize('size', [0, 1, 65535, 131072, 131073, 5_000_000])
def test_bodies_arrive_whole(box, kind, size):
    import hashlib
    p = box.serve(kind)
    body = os.urandom(size)
    with p.connect(30) as c:
        for _ in range(2):
            r = c.request('POST', '/x', body=body).json()
            assert (r['length'], r['sha1']) == (size, hashlib.sha1(body).hexdigest())
        assert c.request('GET', '/big?n=%d' % size).body == b'z' * size
        assert c.request('GET', '/hello').status == 200


def test_upgrade_tunnel(box, kind):
    p = box.serve(kind, one_at_a_time=True)
    with p.connect() as c:
        c.start('GET', '/upgrade', {'Upgrade': 'echo', 'Connection': 'Upgrade'})
        r = c.response()
        assert r.status == 101 and r.header('upgrade') == 'echo' and 'upgrade' in r.header('connection').lower()
        for data in (b'one', b'x' * 200000, b'\0\r\n\xff'):
            c.send(data)
            assert c.octets(len(data)) == data
        # for a moment there may be one more: whether the place is free is asked for
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5, 'one session')
        c.send(b'bye\n')
        assert c.ended()
    p.wait_idle()
    assert p.get('/hello').status == 200


def test_tunnel_ends_when_the_client_goes(box, kind):
    p = box.serve(kind)
    c = p.connect()
    c.start('GET', '/upgrade', {'Upgrade': 'echo', 'Connection': 'Upgrade'})
    assert c.response().status == 101
    c.close()
    p.wait_idle()


STATUSES = [200, 201, 204, 301, 304, 404, 418, 422, 500, 503, 599]


def test_statuses_pass(box, kind):
    p = box.serve(kind)
    with p.connect() as c:
        for status in STATUSES:
            assert c.request('GET', '/status?code=%d' % status).status == status


def test_answer_headers_of_the_application(box, kind):
    p = box.serve(kind)
    r = p.get('/header?X-One=1&Connection=X-Two&X-Two=2&X-Passenger-Connect-Password=x&Keep-Alive=timeout%3D9')
    assert r.header('x-one') == '1'
    assert not r.all('x-two') and not r.all(PASSWORD_HEADER)
    assert 'timeout=9' not in r.all('keep-alive')


def test_application_error(box, kind):
    p = box.serve(kind)
    with p.connect() as c:
        r = c.request('GET', '/raise')
        assert r.status == 500
        if kind == 'ruby':
            assert 'the program failed' not in r.text and 'probe' not in r.text and 'config.ru' not in r.text
            p.wait_log('the program failed')
            p.wait_log(r'config\.ru:\d+')
        assert c.request('GET', '/hello').status == 200 or r.closes


def test_output_of_applications_is_logged(box, kind):
    if kind == 'ruby':
        p = box.start(app_dir=box.rack(text='$stdout.sync = true\nputs "said at start"\n'
                                            'run ->(_) { warn "said in a request"; [200, {}, ["ok"]] }\n'))
        p.get('/')
        patterns = ['said at start', 'said in a request']
    else:
        p = box.serve(kind)
        p.get('/raise')
        patterns = ['origin: listening', 'origin: /raise']
    # What is said while the application is loaded comes from a preloader, where there is one.
    pids = [p.processes()[0]['pid']] + procs.descendants(p.pid)
    for pattern in patterns:
        p.wait_log(r'\b(%s)\b.*%s' % ('|'.join(map(str, pids)), pattern))


# --- refusals and limits -----------------------------------------------------

def test_limits_of_the_head(box):
    p = box.serve('command')
    cases = [('GET /' + 'u' * 200000 + ' HTTP/1.1\r\nHost: x\r\n\r\n', 414),
             ('GET / HTTP/1.1\r\nHost: x\r\nX-Big: ' + 'h' * 2_000_000 + '\r\n\r\n', 431),
             ('GET / HTTP/1.1\r\nHost: x\r\n' + 'X-Many: 1\r\n' * 5000 + '\r\n', 431)]
    for text, status in cases:
        with p.connect() as c:
            try:
                c.send(text.encode())
            except ConnectionError:
                pass
            r = c.response()
            assert (r.status, r.closes) == (status, True), text[:40]
            assert c.ended()


def test_limit_of_the_body(box, kind):
    p = box.serve(kind, request_body_max='100k')
    with p.connect() as c:
        assert c.request('POST', '/x', body=b'x' * 102400).json()['length'] == 102400
        c.start('POST', '/x', {'Content-Length': '102401'})
        assert c.response('POST').status == 413
    with p.connect() as c:
        c.start('POST', '/x', {'Content-Length': '102401', 'Expect': '100-continue'})
        r = c.response('POST')
        assert (r.status, r.interim) == (413, [])
    with p.connect() as c:
        c.start('POST', '/x', {'Transfer-Encoding': 'chunked'})
        try:
            c.send(client.chunked(b'x' * 102000, b'y' * 1000))
        except ConnectionError:
            pass
        assert c.response('POST').status == 413


def test_queue_overflows_with_503(box, kind):
    p, gate = box.serve(kind, one_at_a_time=True, max_request_queue_size=3), box.gate()
    waiting = p.hold(1, gate.at()) + p.hold(3, '/hello')
    wait_until(lambda: p.group()['queued'] == 3, 5, 'three in the queue')
    r = p.get('/hello')
    assert r.status == 503
    text = p.text()
    assert re.search(r'^  Requests in queue: 3$', text, re.M)
    gate.open()
    assert [c.response().status for c in waiting] == [200] * 4
    wait_until(lambda: p.group()['queued'] == 0 and p.group()['queue_full'] == 1, 5)
    for c in waiting:
        c.close()


def test_queue_overflow_status_is_an_option(box):
    p = box.serve('ruby', max_request_queue_size=1, request_queue_overflow_status_code=529)
    gate = box.gate()
    waiting = p.hold(1, gate.at()) + p.hold(1, '/hello')
    wait_until(lambda: p.group()['queued'] == 1, 5, 'one in the queue')
    assert p.get('/hello').status == 529
    gate.open()
    for c in waiting:
        assert c.response().status == 200
        c.close()


@pytest.mark.parametrize('how', ['unix', 'reset'])
def test_client_that_leaves_the_queue_never_reaches_the_application(box, kind, how):
    """Gone is a closed unix connection or a reset one; a TCP FIN alone may be a half-close, which is answered."""
    p = box.start(passenger={'max_pool_size': 1}, app=box.app(kind, one_at_a_time=True),
                  listen='unix:' + box.path('front.sock') if how == 'unix' else '127.0.0.1:0')
    counter = os.path.join(box.work, 'count')
    gate = box.gate()
    first = p.hold(1, gate.at())[0]
    wait_until(lambda: p.processes()[0]['sessions'] == 1, 5)
    gone = p.hold(3, '/count?file=' + counter)
    wait_until(lambda: p.group()['queued'] == 3, 5, 'three in the queue')
    for c in gone:
        if how == 'reset':
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        c.close()
    wait_until(lambda: p.group()['queued'] == 0, 5, 'an empty queue')
    gate.open()
    assert first.response().status == 200
    first.close()
    assert p.get('/hello').status == 200
    assert not os.path.exists(counter)


def test_client_that_leaves_frees_the_process(box):
    """An answer of a gigabyte that nobody reads any more does not hold the process."""
    p = box.serve('ruby')
    c = p.connect()
    c.start('GET', '/big?n=1000000000')
    c.final_head()
    c.close()
    p.wait_idle()
    assert p.get('/hello').status == 200


def test_unread_body_does_not_wedge(box):
    p = box.serve('ruby')
    for _ in range(20):
        c = p.connect()
        c.start('POST', '/x', {'Content-Length': '10'})
        c.send(b'12345')
        c.close()
    assert p.get('/hello').status == 200
    p.wait_idle()


# --- many at once ------------------------------------------------------------

def test_fifty_clients_on_two_processes(box, kind):
    p = box.serve(kind, processes=2)
    failures = []

    def work():
        try:
            with p.connect(30) as c:
                for i in range(10):
                    r = c.request('GET', '/w%d' % i)
                    if r.status != 200 or r.json()['path'] != '/w%d' % i:
                        failures.append(r)
        except Exception as e:  # a thread must tell, whatever it was
            failures.append(e)
    threads = [threading.Thread(target=work) for _ in range(50)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures[:3]
    wait_until(lambda: sum(x['processed'] for x in p.processes()) == 500, 5, 'all to be counted')


def test_half_close_is_answered(box, kind):
    p = box.serve(kind)
    with p.connect() as c:
        c.start('GET', '/hello')
        c.socket.shutdown(socket.SHUT_WR)
        assert c.response().status == 200 and c.ended()


def test_front_has_no_use_for_the_password(box, kind):
    """The header neither opens anything nor arrives."""
    p = box.serve(kind, processes=2)
    door = p.doors()[1]
    pids = {p.get('/x', headers={PASSWORD_HEADER: door.password}).json()['pid'] for _ in range(3)}
    assert pids == {p.doors()[0].pid}


# --- bad programs ------------------------------------------------------------

@pytest.mark.parametrize('family', ['4', '6'])
def test_wildcard_bind_is_refused(box, family):
    root, command = box.program('wildcard.py')
    p = box.start(app={'root': root, 'type': 'command', 'command': command + ' ' + family, 'min_instances': 1,
                       'start_timeout': '5s'}, processes=0)
    r = p.get('/', timeout=30)
    assert r.status in (500, 503) and 'wildcard' not in r.text
    p.wait_log(r'127\.0\.0\.1')
    assert not p.processes()
