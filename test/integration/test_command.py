"""`command`: servers that others wrote, and a C program, on a port, a unix socket of their own and a descriptor that they
are passed; through Apache and doors, with a restart and a kill."""
import os
import re
import shutil
import signal
import stat

import pytest

from lib import apache, client
from lib.load import Load
from lib.passenger import COMMAND_APPS, TOP
from lib.wait import wait_until
from test_node import PROXY_HTTP, WebSocket

PUMA = 'puma --quiet --environment production --threads 1:4 --config /dev/null'
# name: (file of the application, command, options)
SERVERS = {
    'uvicorn-port': ('asgi_app.py', 'uvicorn --port $PORT asgi_app:app', {}),
    'uvicorn-socket': ('asgi_app.py', 'uvicorn --uds $PASSENGER_SOCKET asgi_app:app', {}),
    'uvicorn-descriptor': ('asgi_app.py', 'uvicorn --fd 3 asgi_app:app', {'readiness': 'descriptor'}),
    'gunicorn-socket': ('wsgi_app.py', 'gunicorn --bind unix:${PASSENGER_SOCKET} wsgi_app:app', {'concurrency': 1}),
    'gunicorn-descriptor': ('wsgi_app.py', 'gunicorn wsgi_app:app', {'readiness': 'descriptor', 'concurrency': 1}),
    'puma-socket': ('rack_app.ru', PUMA + ' --bind "unix://$PASSENGER_SOCKET" rack_app.ru', {'concurrency': 4}),
    'puma-descriptor': ('rack_app.ru', PUMA + ' --bind-to-activated-sockets only rack_app.ru',
                        {'readiness': 'descriptor', 'concurrency': 4}),
    'php-port': ('index.php', 'php -S 127.0.0.1:$PORT index.php', {'concurrency': 1}),
    'c-port': ('hello.c', './hello', {}),
    'c-descriptor': ('hello.c', './hello', {'readiness': 'descriptor'}),
}


def section(box, name, **options):
    """The [app] section of one of these servers in a folder of its own."""
    file, command, own = SERVERS[name]
    root = box.path(name)
    os.makedirs(root)
    os.chmod(root, 0o755)
    shutil.copy(os.path.join(COMMAND_APPS, file), root)
    if file.endswith('.c'):
        assert os.system('gcc -O1 -o %s/hello %s/hello.c' % (root, root)) == 0
    return {'root': root, 'command': command, **own, **options}


def behind_apache(box, **sections):
    path = box.path('apache.sock')
    p = box.start(listeners={'apache': apache.listener(path)}, listen=None, **sections)
    os.makedirs(box.path('public'))
    vhost = apache.documented_vhost(TOP, path, box.path('public'))
    for old, new in PROXY_HTTP:
        vhost = vhost if new in vhost else vhost.replace(old, new)
    return p, apache.Apache(box.path('apache'), vhost)


def pids(p):
    return {process['pid'] for process in p.processes() if process['state'] == 'enabled'}


def pid_of(response):
    assert response.status == 200, response
    return int(re.search(r'\d+', response.text).group())


def programs_left(p):
    folder = os.path.join(p.instance_dir, 'programs')
    return sorted(os.listdir(folder))


QUICK = {'uvicorn-socket', 'php-port', 'c-descriptor'}


@pytest.mark.parametrize('name', [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in SERVERS])
def test_server(box, name):
    p, web = behind_apache(box, passenger={'max_pool_size': 2}, apps={'main': section(box, name, min_instances=2)},
                           processes=2)
    try:
        before = pids(p)
        assert {pid_of(client.request(web.address, '/')) for _ in range(8)} <= before
        for door in p.doors():
            assert pid_of(door.request('/at/the/door')) == door.pid
            if not name.startswith('c-'):
                r = door.request('/x', 'POST', body=b'b' * 300_000)
                assert r.text == '%d POST /x 300000\n' % door.pid
                assert client.request(web.address, '/y', 'PUT', body=b'c').text.endswith(' PUT /y 1\n')
        concurrency = SERVERS[name][2].get('concurrency', 0)
        assert [process['concurrency'] for process in p.processes()] == [concurrency] * 2

        with Load(web.address, '/', keeping=1, new=1):
            done = box.run('restart', 'main', '--instance-dir', p.instance_dir, '--wait')
            assert done.returncode == 0, done.stderr
        wait_until(lambda: len(pids(p)) == 2 and not pids(p) & before, 20, 'two new processes')

        victim = min(pids(p))
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(pids(p)) == 2 and victim not in pids(p), 20, 'another process')
        assert pid_of(client.request(web.address, '/')) in pids(p)
        if name.endswith('-socket'):
            wait_until(lambda: len(programs_left(p)) == 2, 5, 'only the folders of the two that live')
    finally:
        web.stop()


@pytest.mark.parametrize('name', ['uvicorn-port', 'uvicorn-socket', 'uvicorn-descriptor'])
def test_websocket(box, name):
    p, web = behind_apache(box, apps={'main': section(box, name)})
    try:
        door = p.doors()[0]
        for address, headers in ((web.address, {}), (door.address, dict(door.headers()))):
            with client.Connection(address) as c:
                ws = WebSocket(c, headers=headers)
                assert ws.echo('one', 'x' * 50_000)
                wait_until(lambda: p.processes()[0]['sessions'] == 1, 5, 'counted as a session')
                ws.send('end')
            p.wait_idle()
    finally:
        web.stop()


# --- who may connect, and what is said when it does not work ------------------------------

@pytest.mark.root
def test_socket_is_in_a_folder_of_the_applications_user(box):
    p = box.start(app=section(box, 'uvicorn-socket', user='nobody'))
    process = p.processes()[0]
    environ = open('/proc/%d/environ' % process['pid']).read().split('\0')
    path = [e.split('=', 1)[1] for e in environ if e.startswith('PASSENGER_SOCKET=')][0]
    folder = os.stat(os.path.dirname(path))
    owner = os.stat('/proc/%d' % process['pid'])
    assert (folder.st_uid, folder.st_mode & 0o777) == (owner.st_uid, 0o700) and owner.st_uid != 0
    assert not any(e.startswith('PORT=') for e in environ)
    # what the program does to the name in its folder does not lead the balancer astray
    os.unlink(path)
    os.symlink(os.path.join(p.instance_dir, 'control'), path)
    assert p.get('/').status == 200 and pid_of(p.doors()[0].request('/')) == process['pid']
    os.kill(p.status()['balancer']['pid'], signal.SIGKILL)
    wait_until(lambda: pid_of(p.get('/')) == process['pid'], 10, 'the next balancer finds it too')


def test_folder_is_swept_and_no_link_followed(box):
    """What a program leaves in its folder goes with it, and nothing else does."""
    section_ = section(box, 'uvicorn-socket', min_instances=1)
    outside = box.write('outside/kept', 'kept')
    os.chmod(os.path.dirname(outside), 0o777)
    section_['command'] = "/bin/sh -c 'cd $(dirname $PASSENGER_SOCKET); mkdir -p a/b/c; touch a/b/c/x a/y; ln -s %s a/b/l; " \
        "ln -s %s k; cd -; exec uvicorn --uds $PASSENGER_SOCKET asgi_app:app'" % (os.path.dirname(outside), outside)
    p = box.start(app=section_)
    folder, = programs_left(p)
    assert sorted(os.listdir(os.path.join(p.instance_dir, 'programs', folder))) == ['a', 'k', 'socket']
    os.kill(p.processes()[0]['pid'], signal.SIGKILL)
    wait_until(lambda: len(programs_left(p)) == 1 and programs_left(p) != [folder], 10, 'only the new folder')
    p.stop()
    assert os.path.exists(outside) and not os.path.exists(os.path.join(p.instance_dir, 'programs'))


IMPOSTOR = '''
import os, socket, time
path = os.environ['PASSENGER_SOCKET']
%s
time.sleep(60)
'''


@pytest.mark.parametrize('what', ['os.symlink(os.environ["OTHER"], path)', 'open(path, "w")', 'os.mkdir(path)',
                                  'socket.socket(socket.AF_UNIX).bind(path)', 'pass'])
def test_no_listening_socket_is_no_start(box, what):
    """A link to somebody else's socket, no socket at all, one that nobody listens on."""
    root = box.path('app')
    box.write('app/app.py', IMPOSTOR % what)
    p = box.start(app={'root': root, 'command': '/usr/bin/python3 app.py $PASSENGER_SOCKET', 'start_timeout': '700ms',
                       'env.OTHER': box.path('instance', 'control')}, ready=False)
    p.wait_log(r'still at listening on the unix socket \$PASSENGER_SOCKET')


def test_descriptor_that_nobody_accepts_on(box):
    root = box.path('app')
    box.write('app/app.py', 'import time; time.sleep(60)')
    p = box.start(app={'root': root, 'command': '/usr/bin/python3 app.py', 'readiness': 'descriptor',
                       'start_timeout': '300ms'}, ready=False)
    p.wait_log('still at accepting a first connection on descriptor 3')


def test_variables_of_a_command(box):
    """In double quotes and in braces, but not in single quotes; one that is not there stops the start."""
    root = box.path('app')
    box.write('app/app.py', '''
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(repr(sys.argv[2:]).encode())
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
''')
    command = '/usr/bin/python3 app.py ${PORT} "a $WHO" \'$WHO\' \\$WHO $WHO$WHO 5$ $PASSENGER_APP_ENV "$EMPTY"'
    p = box.start(app={'root': root, 'command': command, 'env.WHO': 'w $x', 'env.EMPTY': ''})
    assert p.get('/').text == repr(['a w $x', '$WHO', '$WHO', 'w $xw $x', '5$', 'production', ''])
    p.stop()
    p = box.start(app={'root': root, 'command': '/usr/bin/python3 app.py $NOWHERE'}, ready=False)
    p.wait_log(r'the command has \$NOWHERE in it, and there is no such variable for it')


def test_descriptor_is_given_as_systemd_gives_it(box):
    """Blocking, as number 3, with the process's own pid, and nothing else beside it."""
    root = box.path('app')
    box.write('app/app.py', '''
import os, socket
assert os.environ['LISTEN_PID'] == str(os.getpid()) and os.environ['LISTEN_FDNAMES'] == 'http'
assert sorted(map(int, os.listdir('/proc/self/fd')))[:4] == [0, 1, 2, 3] and not os.path.exists('/proc/self/fd/5')
listener = socket.socket(fileno=3)
assert os.get_blocking(3) and listener.family == socket.AF_UNIX
while True:
    connection, _ = listener.accept()
    while connection.recv(65536):
        connection.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')
''')
    p = box.start(app={'root': root, 'command': '/usr/bin/python3 app.py', 'readiness': 'descriptor', 'env.LISTEN_PID': '1',
                       'concurrency': 1})
    assert p.get('/').text == 'ok' and p.get('/').text == 'ok'
    assert stat.S_ISSOCK(os.stat('/proc/%d/fd/3' % p.processes()[0]['pid']).st_mode)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['uvicorn-socket', 'gunicorn-descriptor'])
def test_upgrade(box, name):
    """A new version of passenger takes over: same processes, same doors; then each is replaced, and its folder with it."""
    options = section(box, name)
    command = options.pop('command')
    p = box.start(runtimes={'server': {'command': command}}, apps={'main': dict(options, type='server')})
    door = p.doors()[0]
    folders = programs_left(p)
    done = box.run('upgrade', '--instance-dir', p.instance_dir)
    assert done.returncode == 0, done
    assert pid_of(p.get('/')) == pid_of(door.request('/')) == door.pid
    done = box.run('restart', 'main', '--instance-dir', p.instance_dir, '--wait')
    assert done.returncode == 0, done
    wait_until(lambda: pids(p) and door.pid not in pids(p), 10, 'another process')
    assert pid_of(p.get('/')) in pids(p)
    wait_until(lambda: len(programs_left(p)) == len(folders) and (not folders or programs_left(p) != folders), 5, 'folders')
