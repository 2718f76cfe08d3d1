"""Files of an application's public/ on a listener that no web server stands before."""
import gzip
import os
import random
import shutil
import socket
import time

import pytest

from lib import client
from lib.wait import in_time, wait_until

BIG = bytes(range(256)) * 16 * 1024  # 4 MiB
DATE = 'Sun, 06 Nov 1994 08:49:37 GMT'
DATE_S = 784111777
GZ = [('Accept-Encoding', 'br, gzip;q=0.5')]


def put(root, name, content, mode=0o644):
    path = os.path.join(root, 'public', name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as f:
        f.write(content)
    os.chmod(path, mode)
    os.utime(path, (DATE_S, DATE_S))
    return path


@pytest.fixture
def root(box):
    root = box.rack()
    put(root, 'index.html', b'<h1>home</h1>')
    put(root, 'a.css', b'body{}')
    put(root, 'app.js', b'let long = 1')
    put(root, 'app.js.gz', gzip.compress(b'let packed = 1'))
    put(root, 'about.html', b'about')
    put(root, 'sub/index.html', b'sub')
    put(root, 'sub/a b+c.txt', b'blank')
    put(root, '.secret', b'secret')
    put(root, '.git/config', b'secret')
    put(root, '.well-known/acme/x', b'token')
    put(root, 'closed.txt', b'closed', 0o600)
    put(root, 'empty.txt', b'')
    put(root, 'big.bin', BIG)
    box.write('ruby/config/database.yml', 'secret')
    public = os.path.join(root, 'public')
    os.mkfifo(os.path.join(public, 'pipe.txt'), 0o644)
    os.symlink('a.css', os.path.join(public, 'link.css'))
    os.symlink('../config/database.yml', os.path.join(public, 'out.txt'))
    os.symlink('/etc/passwd', os.path.join(public, 'passwd.txt'))
    os.symlink('/proc/self', os.path.join(public, 'proc'))
    os.symlink('loop', os.path.join(public, 'loop'))
    return root


@pytest.fixture
def p(box, root):
    return box.start(passenger={'access_log_format': 'json', 'access_log': box.path('access.log')},
                     app={'root': root})


FILES = [
    ('/', b'<h1>home</h1>', 'text/html; charset=utf-8'),
    ('/index.html', b'<h1>home</h1>', 'text/html; charset=utf-8'),
    ('/a.css', b'body{}', 'text/css; charset=utf-8'),
    ('/a.css?v=1', b'body{}', 'text/css; charset=utf-8'),
    ('/%61%2ecss', b'body{}', 'text/css; charset=utf-8'),
    ('/link.css', b'body{}', 'text/css; charset=utf-8'),
    ('/about', b'about', 'text/html; charset=utf-8'),
    ('/sub/', b'sub', 'text/html; charset=utf-8'),
    ('/sub/a%20b+c.txt', b'blank', 'text/plain; charset=utf-8'),
    ('/.well-known/acme/x', b'token', 'application/octet-stream'),
    ('/empty.txt', b'', 'text/plain; charset=utf-8'),
    ('/big.bin', BIG, 'application/octet-stream'),
]

# Each is the application's affair: nothing of it is a file that may be shown.
NO_FILES = [
    '/none.css', '/sub', '/a.css/', '/a.css/x', '//a.css', '/sub//index.html', '/./a.css', '/sub/../a.css',
    '/%2e%2e/config/database.yml', '/..%2fconfig%2fdatabase.yml', '/sub/%2e%2e/a.css', '/sub%2fa%20b+c.txt',
    '/%2e/a.css', '/a.css%00', '/a.css%00.png', '/a%', '/a%2', '/a%zz', '/%', '/.secret', '/%2esecret', '/.git/config',
    '/out.txt', '/passwd.txt', '/proc/environ', '/proc/maps', '/loop', '/pipe.txt', '/' + 'a' * 9000,
    '/' + 'a/' * 2000, '/' + '%61' * 1000, '/a.css%2f', '/%5c..%5ca.css', '/.well-known/../.secret',
    '/.well-known/.secret', '/...', '/..;/a.css', '/%c0%ae%c0%ae/config/database.yml',
]


def test_files(p):
    with p.connect() as c:
        for path, body, kind in FILES:
            r = c.request('GET', path)
            assert (r.status, r.body, r.header('content-type')) == (200, body, kind), path
            assert r.header('last-modified') == DATE and r.header('accept-ranges') == 'bytes', path
            r = c.request('HEAD', path)
            assert (r.status, r.header('content-length')) == (200, str(len(body))), path
        for method in ('POST', 'PUT', 'DELETE', 'OPTIONS'):
            r = c.request(method, '/a.css', body=b'x')
            assert r.json()['env']['REQUEST_METHOD'] == method
        assert c.request('GET', '/a.css', body=b'x').json()['env']['PATH_INFO'] == '/a.css'
    # HTTP/1.0 ends after it
    with p.connect() as c:
        assert c.request('GET', '/a.css', version='HTTP/1.0').body == b'body{}' and c.ended()


def test_what_is_no_file_is_the_applications(p):
    with p.connect() as c:
        for path in NO_FILES:
            r = c.request('GET', path)
            assert r.status == 200 and b'"PATH_INFO"' in r.body, (path, r)
            assert b'secret' not in r.body.replace(path.encode(), b''), path
    if os.getuid() == 0:
        # Nobody but its owner may read it, so the balancer can not, and says it.
        assert b'"PATH_INFO"' in p.get('/closed.txt').body
        p.wait_log('closed.txt in public can not be read')


def test_no_path_shows_a_file_that_may_not_be_shown(p):
    """Any sequence of what is tempting: a file that may be shown, or the application."""
    tokens = ['/', '/', '..', '.', '%2e', '%2E%2e', '%2f', '%00', '%', '%5c', ';', '//', 'sub', 'a.css', 'config',
              'database.yml', '.git', 'config', '.secret', 'out.txt', 'proc', 'self', 'pipe.txt', '.well-known', 'acme',
              'index.html', 'public', 'closed.txt', '.gz', 'about', 'etc/passwd', '.html', '%252e']
    allowed = {body for _, body, _ in FILES}
    chance = random.Random(7)
    with p.connect() as c:
        for _ in range(800):
            path = '/' + ''.join(chance.choice(tokens) for _ in range(chance.randrange(1, 9)))
            r = c.request('GET', path, GZ if chance.random() < 0.3 else [])
            assert r.status == 200 and (b'"PATH_INFO"' in r.body or r.body in allowed), (path, r)


def test_doors_and_trusted_listeners_leave_files_to_others(box, root):
    p = box.start(app={'root': root}, listen=None,
                  listeners={'apache': {'address': 'unix:' + box.path('s'), 'mode': '0666'},
                             'plain': {'address': '127.0.0.1:0', 'static_files': 'off'},
                             'both': {'address': 'unix:' + box.path('t'), 'static_files': 'on'}})
    for address, own in zip(p.fronts, (False, False, True)):
        assert (client.request(address, '/a.css').body == b'body{}') is own, address
    assert p.doors()[0].request('/a.css').json()['env']['PATH_INFO'] == '/a.css'


def test_conditions(p):
    r = p.get('/a.css')
    etag = r.header('etag')
    assert etag.startswith('"') and etag != p.get('/about.html').header('etag')
    for headers, status in [
            ({'If-None-Match': etag}, 304), ({'If-None-Match': 'W/' + etag}, 304),
            ({'If-None-Match': '"x", %s' % etag}, 304), ({'If-None-Match': '*'}, 304), ({'If-None-Match': '"x"'}, 200),
            ({'If-Modified-Since': DATE}, 304), ({'If-Modified-Since': 'Mon, 07 Nov 1994 00:00:00 GMT'}, 304),
            ({'If-Modified-Since': 'Sun, 06 Nov 1994 08:49:36 GMT'}, 200), ({'If-Modified-Since': 'yesterday'}, 200),
            ({'If-Modified-Since': 'Fri, 31 Dec 1993 23:59:59 GMT'}, 200),
            ({'If-Modified-Since': DATE, 'If-None-Match': '"x"'}, 200),
            ({'If-Match': etag}, 200), ({'If-Match': '*'}, 200), ({'If-Match': 'W/' + etag}, 412),
            ({'If-Match': '"x"'}, 412), ({'If-Unmodified-Since': DATE}, 200),
            ({'If-Unmodified-Since': 'Sun, 06 Nov 1994 08:49:36 GMT'}, 412),
            ({'If-Match': etag, 'If-None-Match': etag}, 304)]:
        for method in ('GET', 'HEAD'):
            r = p.get('/a.css', method, headers)
            assert (r.status, r.body) == (status, b'body{}' if status == 200 and method == 'GET' else b''), headers
            if status == 304:
                assert r.header('etag') == etag and not r.all('content-type'), headers


def test_ranges(p):
    etag, size = p.get('/big.bin').header('etag'), len(BIG)
    with p.connect() as c:
        for headers, status, low, high in [
                ({'Range': 'bytes=0-0'}, 206, 0, 0), ({'Range': 'bytes=5-9'}, 206, 5, 9),
                ({'Range': 'bytes=%d-' % (size - 3)}, 206, size - 3, size - 1),
                ({'Range': 'bytes=-5'}, 206, size - 5, size - 1), ({'Range': 'Bytes=1-%d' % (size * 9)}, 206, 1, size - 1),
                ({'Range': 'bytes=-%d' % (size * 2)}, 206, 0, size - 1),
                ({'Range': 'bytes=%d-' % size}, 416, 0, 0), ({'Range': 'bytes=-0'}, 416, 0, 0),
                ({'Range': 'bytes=9-5'}, 200, 0, 0), ({'Range': 'bytes=0-1,3-4'}, 200, 0, 0),
                ({'Range': 'lines=0-1'}, 200, 0, 0), ({'Range': 'bytes=-'}, 200, 0, 0), ({'Range': 'bytes='}, 200, 0, 0),
                ({'Range': 'bytes=a-b'}, 200, 0, 0), ({'Range': 'bytes=18446744073709551616-'}, 200, 0, 0),
                ({'Range': 'bytes=5-9', 'If-Range': etag}, 206, 5, 9),
                ({'Range': 'bytes=5-9', 'If-Range': DATE}, 206, 5, 9),
                ({'Range': 'bytes=5-9', 'If-Range': '"x"'}, 200, 0, 0),
                ({'Range': 'bytes=5-9', 'If-None-Match': etag}, 304, 0, 0)]:
            r = c.request('GET', '/big.bin', headers)
            assert r.status == status, headers
            if status == 206:
                assert r.header('content-range') == 'bytes %d-%d/%d' % (low, high, size), headers
                assert r.body == BIG[low:high + 1], headers
            elif status == 416:
                assert (r.header('content-range'), r.body) == ('bytes */%d' % size, b''), headers
        assert c.request('HEAD', '/big.bin', {'Range': 'bytes=5-9'}).status == 200
        assert c.request('GET', '/empty.txt', {'Range': 'bytes=0-'}).status == 416


def test_packed_beside_it(p):
    r = p.get('/app.js', headers=GZ)
    assert (r.header('content-encoding'), gzip.decompress(r.body)) == ('gzip', b'let packed = 1')
    assert r.header('content-type') == 'text/javascript; charset=utf-8' and r.header('vary') == 'Accept-Encoding'
    plain = p.get('/app.js', headers={'Accept-Encoding': 'gzip;q=0.0, br'})
    assert plain.body == b'let long = 1' and plain.header('vary') == 'Accept-Encoding'
    assert plain.header('etag') != r.header('etag') and not plain.all('content-encoding')
    assert p.get('/a.css', headers=GZ).body == b'body{}'
    assert p.get('/app.js.gz').header('content-type') == 'application/gzip'


def test_slow_and_leaving_clients(box, p):
    slow = [p.connect() for _ in range(8)]
    for c in slow:
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        c.start('GET', '/big.bin')
    started = time.monotonic()
    assert p.get('/a.css').body == b'body{}' and p.get('/x').status == 200
    in_time(started, 2)
    for c in slow[:4]:
        c.close()
    for c in slow[4:]:
        assert c.response().body == BIG
        assert c.request('GET', '/a.css').body == b'body{}'
        assert c.request('GET', '/x').status == 200
        c.close()
    if os.getuid() == 0:
        descriptors = '/proc/%d/fd/' % p.balancer
        wait_until(lambda: not any(os.readlink(descriptors + fd).endswith('big.bin') for fd in os.listdir(descriptors)),
                   10, 'the file to be closed again')


def test_a_file_that_shrinks_breaks_the_answer_off(p, root):
    path = put(root, 'shrinks.bin', BIG)
    with p.connect() as c:
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        c.start('GET', '/shrinks.bin')
        head = c.final_head()
        os.truncate(path, 65536)
        with pytest.raises((client.Closed, ConnectionError)):
            c.octets(int(head.header('content-length')))
    # replaced as deployments do it, the answer stays whole
    with p.connect() as c:
        put(root, 'replaced.bin', BIG)
        c.start('GET', '/replaced.bin')
        c.final_head()
        put(root, 'new.bin', b'new')
        os.rename(os.path.join(root, 'public/new.bin'), os.path.join(root, 'public/replaced.bin'))
        assert c.octets(len(BIG)) == BIG
        assert c.request('GET', '/replaced.bin').body == b'new'


def test_is_logged_and_counted(box, p):
    def counted():
        answers = p.group()['answers']
        return answers['2xx'], answers['3xx']
    before = counted()
    assert p.get('/a.css').status == 200
    assert p.get('/a.css', headers={'If-None-Match': '*'}).status == 304
    log = wait_until(lambda: open(box.path('access.log')).read().count('\n') >= 2 and
                     open(box.path('access.log')).read(), 5, 'two lines in the access log')
    assert '"/a.css"' in log and '"status":304' in log.replace(' ', '')
    assert counted() == (before[0] + 1, before[1] + 1)
    assert p.processes()[0]['processed'] == 0


def test_base_uri_and_another_folder(box, root):
    shutil.move(os.path.join(root, 'public'), box.path('elsewhere'))
    p = box.start(app={'root': root, 'base_uri': '/shop', 'static_files_dir': box.path('elsewhere')})
    assert p.get('/shop/a.css').body == b'body{}'
    assert p.get('/shop').body == b'<h1>home</h1>'
    assert p.get('/a.css').status == 404


def test_the_folder_is_looked_for_again(box, root):
    """A release's folder comes with its restart; reload looks as well."""
    public = os.path.join(root, 'public')
    os.rename(public, public + '.old')
    ini = {'root': root}
    p = box.start(app=ini)
    assert b'"PATH_INFO"' in p.get('/a.css').body
    os.rename(public + '.old', public)
    assert box.run('reload', '--instance-dir', p.instance_dir).returncode == 0
    wait_until(lambda: p.get('/a.css').body == b'body{}', 10, 'the folder after a reload')
    os.rename(public, public + '.old')
    put(root, 'a.css', b'new{}')
    assert p.get('/a.css').body == b'body{}'
    assert box.run('restart', 'main', '--instance-dir', p.instance_dir).returncode == 0
    wait_until(lambda: p.get('/a.css').body == b'new{}', 10, 'the folder after a restart')
    # and a new balancer is told
    balancer = p.balancer
    os.kill(balancer, 9)
    wait_until(lambda: p.balancer not in (None, balancer), 10, 'a new balancer')
    assert wait_until(lambda: p.get('/a.css'), 10, 'an answer').body == b'new{}'
    p.allow('.*')


def test_off(box, root):
    p = box.start(app={'root': root, 'static_files': 'off'})
    assert p.get('/a.css').json()['env']['PATH_INFO'] == '/a.css'
