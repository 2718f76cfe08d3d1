"""Python applications through the binary: what the loader's own tests (test_python_loader.py) can not
see. WSGI and ASGI, on a front listener and through a door."""
import base64
import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import time

import pytest

from lib import client
from lib.lives import lives_through
from lib.passenger import PASSWORD_HEADER, PYTHON, TOP
from lib.wait import in_time, wait_until
from test_node import behind_apache

APPS = os.path.join(TOP, 'test', 'apps', 'python')
KEY = base64.b64encode(b'0123456789abcdef').decode()


@pytest.fixture
def python(box):
    """python(app, …): passenger with one of test/apps/python."""
    def start(name, processes=1, **options):
        root = box.path(name)
        if not os.path.exists(root):
            shutil.copytree(os.path.join(APPS, name), root)
        section = dict({'root': root, 'min_instances': processes, 'python': PYTHON}, **options)
        return box.start(passenger={'max_pool_size': processes}, app=section, processes=processes)
    return start


FIRST = pytest.mark.parametrize('name, kind', [('hello', 'wsgi'), ('asgi_hello', 'asgi')])


@FIRST
def test_hello(python, name, kind):
    # without a validator, which would hide that the body is a list, and with it its length
    p = python(name, **{'env.PYTHONPATH': ''})
    for address, headers in ((p.front, ()), (p.doors()[0].address, p.doors()[0].headers())):
        with client.Connection(address) as c:
            for _ in range(3):
                r = c.request('GET', '/', headers)
                assert (r.status, r.reason, r.body, r.header('content-type')) == (200, 'OK', b'hello world\n', 'text/plain')
                assert r.header('content-length') == '12' and len(r.all('date')) == 1
    wait_until(lambda: p.processes()[0]['processed'] == 6 and p.processes()[0]['processed_direct'] == 3)
    assert p.stop() == 0


@FIRST
def test_door_needs_its_password(python, name, kind):
    p = python(name, processes=2)
    one, two = p.doors()
    assert one.request('/').status == 200 and two.request('/').status == 200
    assert client.request(one.address, '/').status == 403
    assert client.request(one.address, '/', headers={PASSWORD_HEADER: two.password}).status == 403


def test_what_the_application_sees(python):
    p = python('env')
    door = p.doors()[0]
    seen = door.request('/a%20b?x=1', 'POST', {'X-Other': 'yes', 'Content-Type': 'text/x'}, b'body').json()
    assert seen['PATH_INFO'] == '/a b' and seen['REQUEST_URI'] == '/a%20b?x=1' and seen['QUERY_STRING'] == 'x=1'
    assert seen['HTTP_X_OTHER'] == 'yes' and seen['CONTENT_TYPE'] == 'text/x' and seen['CONTENT_LENGTH'] == '4'
    assert seen['wsgi.url_scheme'] == 'http' and seen['wsgi.multithread'] is False and seen['REMOTE_ADDR'] == '127.0.0.1'
    assert 'PASSWORD' not in json.dumps(seen) and door.password not in json.dumps(seen)


REPEATED = b'GET /headers HTTP/1.1\r\nHost: a\r\nX-A: 1, 2\r\nAccept: x\r\nx-a: 3\r\nCookie: a=1\r\nX-A:\r\nCookie: b=2\r\n\r\n'


def test_headers_that_come_several_times(python, box):
    """ASGI: "duplicates are possible and must be preserved"; WSGI, as CGI, has one variable for all."""
    box.write('plain/asgi.py', '''
async def application(scope, receive, send):
    if scope['type'] == 'lifespan':
        return
    body = b'|'.join(name + b'=' + value for name, value in scope['headers'] if name in (b'x-a', b'cookie', b'accept'))
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': body})
''')
    p = python('plain')
    with p.connect() as c:
        c.send(REPEATED)
        assert c.response().body == b'x-a=1, 2|x-a=3|x-a=|accept=x|cookie=a=1; b=2'
    p.stop()
    p = python('env')
    with p.connect() as c:
        c.send(REPEATED)
        seen = c.response().json()
        assert (seen['HTTP_X_A'], seen['HTTP_ACCEPT'], seen['HTTP_COOKIE']) == ('1, 2, 3, ', 'x', 'a=1; b=2')


def test_base_uri(python):
    p = python('env', base_uri='/sub')
    seen = p.get('/sub/x').json()
    assert (seen['SCRIPT_NAME'], seen['PATH_INFO']) == ('/sub', '/x')


@pytest.mark.parametrize('name', ['echo', 'asgi_echo', 'validate'])
def test_bodies(box, python, name):
    if name == 'validate':
        shutil.copytree(os.path.join(APPS, 'echo'), box.path('echo'))
    p = python(name)
    body = os.urandom(700_000)
    expected = (len(body), hashlib.sha1(body).hexdigest())
    with p.connect() as c:
        for _ in range(2):
            r = c.request('POST', '/x', body=body).json()
            assert (r['length'], r['sha1']) == expected
            c.start('POST', '/x', {'Transfer-Encoding': 'chunked'})
            c.send(client.chunked(*(body[i:i + 100_000] for i in range(0, len(body), 100_000))))
            r = c.response().json()
            assert (r['length'], r['sha1']) == expected
            c.start('POST', '/x', {'Content-Length': '4', 'Expect': '100-continue'})
            assert c.head().status == 100
            c.send(b'body')
            assert c.response().json()['length'] == 4
            assert c.request('HEAD', '/x').status == 200
    assert 'Traceback' not in p.log()


@pytest.mark.parametrize('name', ['echo', 'asgi_echo'])
def test_unbuffered_upload(python, name):
    p = python(name, buffer_upload='off')
    with p.connect() as c:
        c.start('POST', '/x', {'Content-Length': '10'})
        c.send(b'12345')
        time.sleep(0.2)
        c.send(b'67890')
        assert c.response().json()['sha1'] == hashlib.sha1(b'1234567890').hexdigest()


@pytest.mark.parametrize('name', ['big', 'filewrapper'])
def test_big_answers(python, name):
    p = python(name)
    for query in ('', '&length=5000000', '&array=1', '&how=memory'):
        r = p.get('/?n=5000000' + query, timeout=20)
        assert len(r.body) == 5_000_000 and r.body.endswith(b'x' * 4_999_990)


def test_head_of_a_stream_that_does_not_end(python):
    """Its connection takes no other request, and the application hears that nobody listens."""
    p = python('asgi_stream')
    assert p.get('/?n=1000&ms=20', 'HEAD').status == 200
    assert p.get('/?n=1').text == 'part 0\n'
    p.wait_log('asgi_stream: http.disconnect')


@pytest.mark.parametrize('name, path', [('stream', '/?n=3&ms=200'), ('asgi_stream', '/?n=3&ms=200')])
def test_stream_comes_as_it_is_written(python, name, path):
    p = python(name)
    with p.connect() as c:
        start = time.monotonic()
        c.start('GET', path)
        c.final_head()
        in_time(start, 0.3)
        while b'part 2' not in c.buffer:
            c.fill()
        assert time.monotonic() - start > 0.3


@pytest.mark.parametrize('name, secret', [('raise', 'a secret of the application')])
def test_errors(python, name, secret):
    p = python(name)
    r = p.get('/')
    assert r.status == 500 and secret not in r.text
    p.wait_log(secret)
    assert p.doors()[0].request('/').status == 500


def test_client_that_leaves_ends_the_answer(python):
    p = python('stream')
    with p.connect() as c:
        c.start('GET', '/?n=1000&ms=10')
        c.final_head()
    p.wait_log('stream: closed 1')
    assert p.get('/?n=1').status == 200


def test_threads(python, box):
    p = python('sleep', thread_count=4)
    assert p.processes()[0]['concurrency'] == 4
    gate = box.gate()
    connections = p.hold(4, gate.at('/'))
    wait_until(lambda: gate.inside() == 4, 5, 'all four to run')
    gate.open()
    for c in connections:
        assert c.response().status == 200
        c.close()


def test_asgi_serves_many_at_once(python, box):
    p, gate = python('asgi_conformance'), box.gate()
    connections = p.hold(40, gate.at())
    wait_until(lambda: gate.inside() == 40, 5, 'all to run')
    gate.open()
    for c in connections:
        assert c.response().body == b'slept'
        c.close()


@pytest.mark.parametrize('name', ['sleep', 'asgi_conformance'])
def test_stop_lets_requests_finish(python, box, name):
    p, gate = python(name), box.gate()
    with p.connect(20) as c:
        c.start('GET', gate.at())
        wait_until(lambda: gate.inside() == 1, 5, 'the request to run')
        p.signal(signal.SIGTERM)
        p.wait_log('stopping')
        gate.open()
        assert c.response().status == 200
    assert p.wait_exit() == 0


@FIRST
def test_killed_process_is_replaced(python, name, kind):
    p = python(name)
    before = p.doors()[0]
    os.kill(before.pid, signal.SIGKILL)
    after = wait_until(lambda: [d for d in p.doors() if d.pid != before.pid], 10, 'a new process')[0]
    assert after.password != before.password
    assert after.request('/').status == 200


@pytest.mark.parametrize('name, cause', [('boot_raise', 'this application can not be loaded'), ('boot_exit', r'exit\(3\)')])
def test_applications_that_do_not_start(box, name, cause):
    root = box.path(name)
    shutil.copytree(os.path.join(APPS, name), root)
    p = box.start(app={'root': root, 'min_instances': 1, 'python': PYTHON}, processes=0)
    p.wait_log(cause)
    assert p.get('/', timeout=20).status in (500, 503)


def test_lifespan(python):
    p = python('asgi_lifespan')
    assert p.get('/').body.startswith(b'from lifespan 1')
    assert p.stop() == 0
    assert 'lifespan.shutdown' in p.log()


@pytest.mark.parametrize('option, text, body', [
    ('wsgi_module', 'def make(environ, start_response):\n    start_response("200 OK", [("Content-Type", "text/plain")])\n    return [b"by module"]\n', b'by module'),
    ('asgi_module', 'async def make(scope, receive, send):\n    await send({"type": "http.response.start", "status": 200})\n'
                    '    await send({"type": "http.response.body", "body": b"by module"})\n', b'by module')])
def test_module(box, option, text, body):
    box.write('pack/web/__init__.py', '')
    box.write('pack/web/site.py', text)
    p = box.start(app={'root': box.path('pack'), 'type': 'python', option: 'web.site:make', 'python': PYTHON})
    assert p.get('/').body == body


def test_options_that_can_not_be(box):
    box.write('app/passenger_wsgi.py', 'application = None')
    for lines, words in (('wsgi_module = a:b\nasgi_module = a:b', 'wsgi_module and asgi_module'), ('ruby = x', 'ruby'),
                         ('command = x', 'command')):
        ini = box.write('bad.ini', '[passenger]\nlisten = 127.0.0.1:0\n[app main]\nroot = %s\ntype = python\n%s\n' % (box.path('app'), lines))
        done = box.run('serve', '--check', '--config', ini)
        assert done.returncode == 2 and words in done.stderr, done


def test_python_that_is_too_old(box):
    old = box.write('old', '#!/bin/sh\nexec %s -c "import runpy, sys; sys.version_info = (3, 6, 8); sys.argv = sys.argv[1:]; '
                    'runpy.run_path(sys.argv[0], run_name=\'__main__\')" "$@"\n' % PYTHON, 0o755)
    box.write('app/wsgi.py', '')
    p = box.start(app={'root': box.path('app'), 'python': old, 'friendly_error_pages': 'on'}, processes=0)
    assert '*** Python 3.7 or later is needed' in p.get('/').text


def test_virtual_environment(box):
    """python = the interpreter of a virtual environment: its packages are seen."""
    venv = box.path('venv')
    assert os.system('%s -m venv --without-pip %s' % (PYTHON, venv)) == 0
    libraries = [folder for folder, _, _ in os.walk(venv) if folder.endswith('site-packages')]
    with open(libraries[0] + '/only_here.py', 'w') as f:
        f.write('BODY = b"from the environment"\n')
    box.write('app/passenger_wsgi.py', 'from only_here import BODY\ndef application(environ, start_response):\n'
                                       '    start_response("200 OK", [("Content-Type", "text/plain")])\n    return [BODY]\n')
    p = box.start(app={'root': box.path('app'), 'python': venv + '/bin/python'})
    assert p.get('/').body == b'from the environment'


# --- websockets --------------------------------------------------------------

def masked(opcode, data):
    size = bytes([128 | len(data)]) if len(data) < 126 else bytes([254]) + struct.pack('>H', len(data))
    return bytes([128 | opcode]) + size + b'\1\2\3\4' + bytes(byte ^ (1, 2, 3, 4)[i % 4] for i, byte in enumerate(data))


class Socket:
    def __init__(self, address, headers=()):
        self.c = client.Connection(address)
        self.c.start('GET', '/', list(headers) + [('Upgrade', 'websocket'), ('Connection', 'Upgrade'), ('Sec-WebSocket-Key', KEY),
                                                  ('Sec-WebSocket-Version', '13')])
        self.response = self.c.response()

    def accepted(self):
        digest = hashlib.sha1((KEY + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').encode()).digest()
        assert self.response.status == 101
        assert self.response.header('sec-websocket-accept') == base64.b64encode(digest).decode()
        return self

    def text(self, text):
        self.c.send(masked(1, text.encode()))

    def frame(self):
        first, size = self.c.octets(2)
        if size == 126:
            size = int.from_bytes(self.c.octets(2), 'big')
        return first & 15, self.c.octets(size)


def test_websocket(python):
    p = python('asgi_websocket_echo')
    door = p.doors()[0]
    for address, headers in ((p.front, ()), (door.address, door.headers())):
        made = Socket(address, headers).accepted()
        # For a moment there may be one more: whether the process is free is asked for first.
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5)
        for text in ('hello', 'x' * 5000):
            made.text(text)
            assert made.frame() == (1, text.encode())
        made.text('pid')
        assert made.frame() == (1, b'%d' % door.pid)
        assert p.get('/').body == b'1\n'
        made.text('close')
        assert made.frame() == (8, struct.pack('>H', 3001) + b'as told')
        made.c.send(masked(8, struct.pack('>H', 3001)))
        assert made.c.ended()
        p.wait_idle()
    assert client.request(door.address, '/').status == 403
    assert Socket(door.address).response.status == 403


def test_websocket_client_that_leaves(python):
    p = python('asgi_websocket_echo')
    Socket(p.front).accepted().c.close()
    p.wait_log('websocket: disconnect 1006')
    p.wait_idle()


# --- frameworks that nobody here wrote ----------------------------------------

def test_flask(box):
    box.write('app/wsgi.py', '''
from flask import Flask, Response, request

app = Flask(__name__)

@app.route("/")
def index():
    return "hello from flask\\n"

@app.route("/upload", methods=["POST"])
def upload():
    return {"length": len(request.files["file"].read()), "name": request.form["name"]}

@app.route("/stream")
def stream():
    return Response("line %d\\n" % i for i in range(3))

@app.route("/raise")
def fail():
    raise RuntimeError("a secret of flask")
''')
    p, web = behind_apache(box, {'root': box.path('app'), 'python': PYTHON}, [])
    form = (b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nme\r\n--b\r\nContent-Disposition: form-data; name="file"; '
            b'filename="f"\r\n\r\n' + b'u' * 300_000 + b'\r\n--b--\r\n')

    def look(address, headers):
        with client.Connection(address) as c:
            assert c.request('GET', '/', headers).text == 'hello from flask\n'
            assert c.request('HEAD', '/', headers).status == 200
            sent = dict(headers, **{'Content-Type': 'multipart/form-data; boundary=b'})
            assert c.request('POST', '/upload', sent, form).json() == {'length': 300_000, 'name': 'me'}
            assert c.request('GET', '/stream', headers).text == 'line 0\nline 1\nline 2\n'
            assert c.request('GET', '/nowhere', headers).status == 404
    try:
        lives_through(box, p, web.address, look)
        r = p.doors()[0].request('/raise')
        assert r.status == 500 and 'secret' not in r.text
        p.wait_log('a secret of flask')
    finally:
        web.stop()


URLS = '''
from django.contrib import admin
from django.http import JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

@csrf_exempt
def upload(request):
    return JsonResponse({"length": len(request.FILES["file"].read()), "name": request.POST["name"]})

urlpatterns = [path("admin/", admin.site.urls), path("upload", upload)]
'''


def django_project(box):
    """As django-admin makes it, with its admin, its static files collected, and a view for uploads."""
    root = box.path('app')
    os.mkdir(root)
    shell = '''cd %(root)s && PY=%(python)s && $PY -m django startproject site1 . &&
        sed -i "s/ALLOWED_HOSTS = .*/ALLOWED_HOSTS = ['*']/" site1/settings.py &&
        printf 'STATIC_ROOT = "%(public)s/static"\nSTATIC_URL = "/static/"\n%(quick)s\n' >> site1/settings.py &&
        $PY manage.py migrate && $PY manage.py collectstatic --noinput &&
        DJANGO_SUPERUSER_PASSWORD=geheim $PY manage.py createsuperuser --noinput --username root --email r@example.org &&
        chmod -R a+rwX . %(public)s''' % {'root': root, 'python': PYTHON, 'public': box.path('public'),
                                                    'quick': 'PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]'}
    done = subprocess.run(['/bin/sh', '-c', shell], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    box.write('app/site1/urls.py', URLS)
    return root


def log_in(address, headers):
    """A person at the admin pages."""
    with client.Connection(address) as c:
        assert c.request('GET', '/admin/', headers).status == 302
        r = c.request('GET', '/admin/login/', headers)
        assert r.status == 200 and 'csrfmiddlewaretoken' in r.text
        token = r.text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
        sent = dict(headers, **{'Cookie': r.header('set-cookie').split(';')[0], 'Content-Type': 'application/x-www-form-urlencoded'})
        r = c.request('POST', '/admin/login/?next=/admin/', sent,
                      ('csrfmiddlewaretoken=%s&username=root&password=geheim&next=/admin/' % token).encode())
        assert (r.status, r.header('location')) == (302, '/admin/')
        cookies = '; '.join(v.split(';')[0] for v in r.all('set-cookie'))
        r = c.request('GET', '/admin/', dict(headers, Cookie=cookies))
        assert r.status == 200 and 'Site administration' in r.text


@pytest.mark.slow
def test_django(box):
    root = django_project(box)
    form = (b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nme\r\n--b\r\nContent-Disposition: form-data; name="file"; '
            b'filename="f"\r\n\r\n' + b'u' * 300_000 + b'\r\n--b--\r\n')

    def look(address, headers):
        log_in(address, headers)
        sent = dict(headers, **{'Content-Type': 'multipart/form-data; boundary=b'})
        assert client.request(address, '/upload', 'POST', sent, form).json() == {'length': 300_000, 'name': 'me'}

    for kind in ('wsgi', 'asgi'):
        app = {'root': root, 'type': 'python', kind + '_module': 'site1.%s:application' % kind, 'python': PYTHON,
               'static_files_dir': box.path('public')}
        p, web = behind_apache(box, app, [], listeners={'plain': {'address': '127.0.0.1:0'}}, instance=kind)
        try:
            lives_through(box, p, web.address, look, path='/admin/login/')
            # The same without Apache: its static files are there.
            plain = [address for address in p.fronts if not address.startswith('unix:')][0]
            look(plain, {})
            for address in (web.address, plain):
                r = client.request(address, '/static/admin/css/base.css')
                assert (r.status, r.header('content-type').split(';')[0]) == (200, 'text/css') and 'DJANGO Admin' in r.text
            assert p.doors()[0].request('/static/admin/css/base.css').status == 404
        finally:
            web.stop()
