"""The main road: Apache (with the vhost of docs/apache.conf) → passenger → a Sinatra application."""
import base64
import hashlib
import json
import os
import re
import threading
import time

import pytest

from lib import apache, client, procs
from lib.lives import lives_through
from lib.passenger import HERE, PASSWORD_HEADER, TOP
from lib.wait import wait_until

pytestmark = pytest.mark.skipif(not apache.available(), reason='needs apache2')


@pytest.fixture
def road(box):
    """(passenger, Apache): a Sinatra application with two processes behind Apache."""
    with open(os.path.join(HERE, 'sinatra.ru')) as f:
        root = box.rack('shop', f.read())
    path = box.path('apache.sock')
    p = box.start(passenger={'max_pool_size': 2, 'max_request_queue_size': 400},
                  apps={'shop': {'root': root, 'min_instances': 2}}, listeners={'apache': apache.listener(path)}, listen=None, processes=2)
    public = box.path('public')
    os.mkdir(public)
    box.write('public/logo.txt', 'static by Apache\n')
    extra = '''
<Location "/private">
    AuthType Basic
    AuthName private
    AuthUserFile @DIR@/users
    Require valid-user
</Location>
'''
    vhost = apache.documented_vhost(TOP, path, public)
    os.makedirs(box.path('apache'), exist_ok=True)
    box.write('apache/users', 'ada:{SHA}' + base64.b64encode(
        hashlib.sha1(b'lovelace').digest()).decode() + '\n')
    web = apache.Apache(box.path('apache'), vhost.replace('</VirtualHost>', extra + '</VirtualHost>'))
    yield p, web
    web.stop()


class Sampler:
    """The largest resident memory of spawner and balancer together while it runs."""

    def __init__(self, p):
        self.pids = [p.pid, p.balancer]
        self.most = 0
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.end.wait(0.02):
            self.most = max(self.most, sum(procs.rss_kb(pid) for pid in self.pids))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()


def test_page(road):
    p, web = road
    r = client.request(web.address, '/', host='www.example.org')
    assert r.status == 200 and r.text.startswith('<h1>Shop</h1>')
    assert int(r.text[13:]) in [x['pid'] for x in p.processes()]
    assert client.request(web.address, '/none').status == 404


def test_sinatra_lives_through_restart_and_death(box, road):
    p, web = road

    def look(address, headers):
        r = client.request(address, '/', headers=headers)
        assert r.status == 200 and r.text.startswith('<h1>Shop</h1>')
        sent = dict(headers, **{'Content-Type': 'application/octet-stream'})
        assert client.request(address, '/upload', 'POST', sent, b'u' * 300_000).text == '300000'
        assert client.request(address, '/none', headers=headers).status == 404
        assert client.request(address, '/env?a=%C3%BC', headers=headers).json()['QUERY_STRING'] == 'a=%C3%BC'
    lives_through(box, p, web.address, look, app='shop')


def test_static_file_is_served_by_apache(road):
    p, web = road
    before = p.status()['balancer']['requests']
    assert client.request(web.address, '/logo.txt').text == 'static by Apache\n'
    assert p.status()['balancer']['requests'] == before


def test_environment_behind_apache(road):
    """REMOTE_ADDR, SERVER_NAME and the rest are what they would be under mod_passenger."""
    p, web = road
    env = client.request(web.address, '/env?a=b', host='www.example.org:%d' % web.port).json()
    want = {'REMOTE_ADDR': '127.0.0.1', 'SERVER_NAME': 'www.example.org', 'SERVER_PORT': str(web.port),
            'QUERY_STRING': 'a=b', 'HTTP_HOST': 'www.example.org:%d' % web.port, 'rack.url_scheme': 'http'}
    assert {k: env.get(k) for k in want} == want
    assert 'HTTPS' not in env and 'REMOTE_USER' not in env
    assert re.match(r'^t=\d{16}$', env['HTTP_X_REQUEST_START'])


SPOOFED = {'X-Forwarded-For': '6.6.6.6', 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'evil.example.org',
           'X-Remote-User': 'evil', 'Remote-User': 'evil', 'X_Remote_User': 'evil', 'X_Forwarded_For': '6.6.6.6',
           'Proxy': 'evil', 'X-Passenger-Connect-Password': 'evil', 'X-Passenger-Evil': 'evil',
           'X-Passenger_Connect_Password': 'evil', '!~Passenger-App-Root': 'evil'}


def test_spoofed_headers_do_not_arrive(road):
    p, web = road
    env = client.request(web.address, '/env', headers=SPOOFED, host='www.example.org').json()
    env.pop('HTTP_REMOTE_USER', None)  # an ordinary header of that name; REMOTE_USER it is not
    assert 'evil' not in json.dumps(env) and '6.6.6.6' not in json.dumps(env)
    assert env['REMOTE_ADDR'] == '127.0.0.1' and 'REMOTE_USER' not in env and env['rack.url_scheme'] == 'http'
    assert env['SERVER_NAME'] == 'www.example.org'


def test_user_that_apache_has_checked(road):
    p, web = road
    key = base64.b64encode(b'ada:lovelace').decode()
    assert client.request(web.address, '/private/env').status == 401
    r = client.request(web.address, '/private/env', headers={'Authorization': 'Basic ' + key, 'X-Remote-User': 'evil'})
    assert r.status == 200 and r.json()['REMOTE_USER'] == 'ada'


def test_encoded_slashes_arrive(road):
    p, web = road
    for path in ('/echo/a%2Fb', '/echo/a%2fb/%41?c=%2F', '/echo/%E4%BD%A0', '/echo/a//b', '/echo/a%25b', '/echo/?'):
        assert client.request(web.address, path).json()['REQUEST_URI'] == path


def test_rewrite_rule_uses_the_same_worker(road):
    p, web = road
    assert client.request(web.address, '/old/page').text == 'new page'


def test_connections_to_passenger_are_used_again(road):
    p, web = road
    before = p.status()['balancer']['connections']
    for _ in range(50):
        assert client.request(web.address, '/').status == 200
    assert p.status()['balancer']['connections'] - before <= 20


def test_two_hundred_clients(road):
    """200 concurrent clients, no failed request.  A connection that Apache closed while it was idle, before any octet of
    an answer, is made anew as every HTTP client does: RFC 9112 9.3.1; that is counted too."""
    p, web = road
    failures, stale, lock = [], [], threading.Lock()

    def work():
        connection, used = None, False
        for _ in range(10):
            while True:
                try:
                    if connection is None:
                        connection, used = client.Connection(web.address, 60), False
                    r = connection.request('GET', '/')
                except (client.Closed, ConnectionError) as e:
                    connection.close()
                    if used and not connection.buffer and not getattr(e, 'data', b''):
                        connection = None
                        with lock:
                            stale.append(e)
                        continue
                    raise
                break
            if r.status != 200:
                with lock:
                    failures.append(r)
            used = True
            if r.closes:
                connection.close()
                connection = None
        if connection:
            connection.close()

    def run():
        try:
            work()
        except Exception as e:  # a thread must tell, whatever it was
            with lock:
                failures.append(e)
    threads = [threading.Thread(target=run) for _ in range(200)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, (len(failures), failures[:3], web.log()[-1000:])
    wait_until(lambda: p.status()['balancer']['requests'] >= 2000, 5, 'the last to be counted')
    print('2000 requests of 200 clients, 0 failed, %d idle connections closed by Apache' % len(stale))


SIZES = [200_000_000, pytest.param(2_000_000_000, marks=[pytest.mark.slow, pytest.mark.alone])]


@pytest.mark.parametrize('size', SIZES)
def test_big_download(road, size):
    p, web = road
    with Sampler(p) as memory, client.Connection(web.address, 120) as c:
        begin = time.monotonic()
        c.start('GET', '/download/%d' % size)
        r = c.final_head()
        assert (r.status, r.header('content-length')) == (200, str(size))
        c.skip(size)
    print('download of %d MB: %.1f s, at most %.1f MB resident' % (size // 10**6, time.monotonic() - begin, memory.most / 1024))
    assert memory.most < 50 * 1024


@pytest.mark.parametrize('size', SIZES)
def test_big_upload(road, size):
    p, web = road
    block = b'u' * 1_000_000
    with Sampler(p) as memory, client.Connection(web.address, 300) as c:
        begin = time.monotonic()
        c.start('POST', '/upload', {'Content-Length': str(size), 'Content-Type': 'application/octet-stream'})
        for _ in range(size // len(block)):
            c.send(block)
        r = c.response()
    print('upload of %d MB: %.1f s, at most %.1f MB resident' % (size // 10**6, time.monotonic() - begin, memory.most / 1024))
    assert (r.status, r.text) == (200, str(size))
    assert memory.most < 50 * 1024


def test_chunked_upload(road):
    p, web = road
    with client.Connection(web.address, 60) as c:
        c.start('POST', '/upload', {'Transfer-Encoding': 'chunked', 'Content-Type': 'application/octet-stream'})
        c.send(client.chunked(*[b'x' * 100000] * 20))
        assert c.response().text == '2000000'


def test_process_and_balancer_die_behind_apache(road):
    """Idle deaths behind Apache are not noticed by clients."""
    p, web = road
    for _ in range(3):
        os.kill(p.processes()[0]['pid'], 9)
        assert client.request(web.address, '/').status == 200
        p.wait_processes(2)
    pid = p.balancer
    os.kill(pid, 9)
    wait_until(lambda: p.balancer not in (None, 0, pid), 10, 'a new balancer')
    # Apache finds its kept connections closed: it checks them before it uses them.
    statuses = [client.request(web.address, '/').status for _ in range(20)]
    assert statuses == [200] * 20, statuses


def test_doors_behind_apache(road):
    """Apache leads nobody to a door, and the doors work beside it."""
    p, web = road
    door = p.doors()[1]
    assert door.request('/').text == '<h1>Shop</h1>%d' % door.pid
    r = client.request(web.address, '/env', headers={PASSWORD_HEADER: door.password}).json()
    assert door.password not in json.dumps(r)


def test_status_names_apache(road):
    p, web = road
    client.request(web.address, '/')
    name = p.status()['instance']['web_server']
    assert name is None or name.startswith('Apache')
    if name:
        assert name in re.search(r'^Instance: .*$', p.text(), re.M).group(0)


def test_readme_shows_this_vhost():
    with open(os.path.join(TOP, 'docs', 'apache.conf')) as f, open(os.path.join(TOP, 'README.md')) as readme:
        assert f.read().strip() in readme.read()
