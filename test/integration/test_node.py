"""Node applications, through the binary: how they are found and started, what they see, how they end, websockets.
The door table of all languages is test_doors.py."""
import base64
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest

from lib import apache, client, procs
from lib.passenger import TOP
from lib.wait import in_time, wait_until

LOADER = os.path.join(TOP, 'modules', 'apps', 'node.js')


def start(box, behaviour, processes=1, passenger=None, **options):
    """passenger with this application alone, found by its files."""
    section = dict({'root': box.folder('node', behaviour), 'min_instances': processes}, **options)
    return box.start(passenger=dict({'max_pool_size': max(1, processes)}, **(passenger or {})), apps={behaviour: section},
                     processes=processes)


def roads(p):
    """(name, request function, connect function, headers) of the front listener and of the first process's door."""
    door = p.doors()[0]
    return (('front', p.get, p.connect, {}), ('door', door.request, door.connect, dict(door.headers())))


# --- requests ------------------------------------------------------------------

def test_hello(box):
    p = start(box, 'hello')
    for name, request, _, _ in roads(p):
        r = request('/')
        assert (r.status, r.reason, r.text) == (200, 'OK', 'hello world\n'), name
        assert len(r.all('date')) == 1 and not r.all('keep-alive')
        assert request('/', 'HEAD').header('content-length') == '12'
    wait_until(lambda: p.processes()[0]['processed'] == 4 and p.processes()[0]['processed_direct'] == 2)


def test_echo(box):
    """GET, POST, chunked, Expect and pipelined, over connections that are kept."""
    p = start(box, 'echo')
    body = os.urandom(300_000)
    sha1 = hashlib.sha1(body).hexdigest()
    for name, _, connect, headers in roads(p):
        with connect() as c:
            r = c.request('GET', '/a%2Fb?c=%20d&e', {**headers, 'X-Two': 'é'}).json()
            assert (r['method'], r['url'], r['length']) == ('GET', '/a%2Fb?c=%20d&e', 0), name
            assert r['headers']['x-two'] == 'é' and r['headers']['host'] == 'localhost'
            r = c.request('POST', '/', headers, body).json()
            assert (r['method'], r['length'], r['sha1']) == ('POST', len(body), sha1)
            c.send(client.head_of('PUT', '/', {**headers, 'Transfer-Encoding': 'chunked'}) +
                   client.chunked(body[:1], body[1:70_000], body[70_000:]))
            r = c.response().json()
            assert (r['method'], r['length'], r['sha1']) == ('PUT', len(body), sha1)
            c.start('POST', '/', {**headers, 'Content-Length': '4', 'Expect': '100-continue'})
            assert c.head().status == 100
            c.send(b'body')
            assert c.response().json()['length'] == 4
            c.send(b''.join(client.head_of('GET', '/%d' % i, headers) for i in range(20)))
            assert [c.response().json()['url'] for _ in range(20)] == ['/%d' % i for i in range(20)]


def test_streamed_upload(box):
    """Without buffering the body reaches the application as it comes."""
    p = start(box, 'upload', buffer_upload='off')
    for _, request, connect, headers in roads(p):
        with connect() as c:
            c.send(client.head_of('POST', '/', {**headers, 'Transfer-Encoding': 'chunked'}) + b'3\r\nabc\r\n')
            time.sleep(0.2)
            c.send(b'2\r\nde\r\n0\r\n\r\n')
            assert c.response().text == '5\n'
        assert request('/?early=1', 'POST', body=b'x' * 2_000_000).text == 'early\n'


def test_stream_comes_as_it_is_written(box):
    p = start(box, 'stream')
    for _, request, connect, headers in roads(p):
        assert request('/?n=3').text == 'part 0\npart 1\npart 2\n'
        with connect() as c:
            c.start('GET', '/?n=2&ms=600', headers)
            begin = time.monotonic()
            c.final_head()
            in_time(begin, 0.5)


def test_client_that_leaves_is_told(box):
    p = start(box, 'stream')
    with p.connect() as c:
        c.start('GET', '/?n=1000&ms=20')
        c.final_head()
    p.wait_log('stream: the client is gone')
    p.wait_idle()


@pytest.mark.parametrize('query', ['n=5000000', 'n=5000000&length=1', 'n=0', 'n=1'])
def test_big(box, query):
    p = start(box, 'big')
    size = int(re.search(r'n=(\d+)', query).group(1))
    for _, request, _, _ in roads(p):
        r = request('/?' + query, timeout=60)
        assert len(r.body) == size and r.body.strip(b'x') == b''


def test_requests_run_beside_one_another(box):
    """Concurrency without limit, and the counters see each."""
    p = start(box, 'sleep')
    gate = box.gate()
    connections = p.hold(20, gate.at('/'))
    wait_until(lambda: gate.inside() == 20, 5, 'all to run')
    assert p.processes()[0]['sessions'] == 20
    gate.open()
    assert all(c.response().status == 200 for c in connections)
    p.wait_idle()
    wait_until(lambda: p.processes()[0]['processed'] == 20)
    assert 'PID: %d' % p.processes()[0]['pid'] in p.text()


def test_idle_connection_is_not_closed_by_node(box):
    """Node's own default is 5 seconds, which a request could meet half-way."""
    p = start(box, 'listen_forms', **{'env.FORM': 'tuned'})
    assert p.get('/').status == 200
    pid = p.processes()[0]['pid']
    wait_until(lambda: p.status()['balancer']['clients'] == 0, 5, 'our own connection to be closed')
    sockets = [target for target in procs.descriptors(p.balancer).values() if target.startswith('socket:')]
    time.sleep(2.5)
    assert [t for t in procs.descriptors(p.balancer).values() if t.startswith('socket:')] == sockets
    assert p.get('/', 'POST', body=b'').status == 200 and p.processes()[0]['pid'] == pid


# --- what the application finds ------------------------------------------------

def test_environment(box):
    p = start(box, 'env', app_env='staging', **{'env.COLOUR': 'green'})
    root = box.path('env')
    process = p.processes()[0]
    found = p.get('/x').json()
    env = found['env']
    assert (env['NODE_ENV'], env['PASSENGER_APP_ENV'], env['COLOUR']) == ('staging', 'staging', 'green')
    assert not re.search(process['password'], json.dumps(found))
    assert env['RAILS_ENV'] == 'staging', 'a program that it starts may be of another language'
    assert 'NODE_CHANNEL_FD' not in env and 'PORT' not in env
    assert found['argv'][1:] == [root + '/app.js'] and os.path.isabs(found['argv'][0])
    assert found['cwd'] == root and found['main'] is True
    assert found['title'] == 'Passenger NodeApp: %s (staging)' % root
    assert procs.read(process['pid'], 'cmdline').rstrip(b'\0').decode() == found['title']
    assert found['address'] == {'address': '127.0.0.1', 'family': 'IPv4', 'port': 3000}
    assert found['remote'] == ['127.0.0.1', 0]
    assert (found['options']['app_root'], found['options']['environment']) == (root, 'staging')
    assert found['headers']['x-request-id'] and found['headers']['x-forwarded-for'] == '127.0.0.1'


def test_descriptors_stay_with_the_process(box):
    """Standard input is /dev/null; a child gets neither our listener nor our control descriptor."""
    p = start(box, 'env')
    found = p.get('/x').json()
    assert (found['stdin'], found['input']) == ('/dev/null', '')
    inherited = dict(line.split(' ', 1) for line in found['child'])
    assert inherited['0'] == '/dev/null'
    ours = procs.descriptors(p.processes()[0]['pid'])
    assert ours[3].startswith('socket:') and ours[4].startswith('socket:')
    assert not {ours[3], ours[4]} & set(inherited.values())
    pipes = [target for fd, target in ours.items() if target.startswith('pipe:') and fd > 4]
    # Node's own pipes are made anew in the child, so none of ours may be there.
    assert not set(pipes) & set(inherited.values())


@pytest.mark.root
def test_runs_as_the_owner_of_its_startup_file(box):
    root = box.folder('node', 'env')
    shutil.chown(root + '/app.js', 'www-data', 'www-data')
    p = box.start(app={'root': root})
    assert p.get('/x').json()['env']['USER'] == 'www-data' and p.get('/x').json()['stdin'] == '/dev/null'


def test_output_is_in_the_log(box):
    p = start(box, 'noisy')
    assert p.get('/one').status == 200
    pid = p.processes()[0]['pid']
    for line in ('boot out 49', 'by name', 'listening', 'out for /one', 'err for /one'):
        p.wait_log(r'^App noisy %d output: %s$' % (pid, line))
    p.stop()
    p.wait_log('output: without an end of line$')


# --- which file, and how ---------------------------------------------------------

def test_es_module(box):
    p = start(box, 'esm')
    r = p.get('/').json()
    assert r['greeting'] == 'hello from a module' and r['main'] is True and r['same'] is True
    assert r['url'] == 'file://' + box.path('esm/index.js') and r['argv'][1:] == [box.path('esm/index.js')]
    assert 'min_instances' in r['refusal']


@pytest.mark.parametrize('behaviour, answer', [('mjs', 'mjs\n'), ('package_main', 'true\n')])
def test_package_json_names_the_file(box, behaviour, answer):
    p = start(box, behaviour)
    assert p.processes()[0]['pid'] and p.get('/').text == answer


@pytest.mark.parametrize('package, sentence', [
    ('{}', 'names neither "main" nor a start script'), ('{', 'JSON'), ('{"main": "gone.js"}', 'Cannot find module')])
def test_package_json_of_no_use(box, package, sentence):
    box.write('app/package.json', package)
    p = box.start(app={'root': box.path('app'), 'type': 'node'}, processes=0)
    p.wait_log(r'could not be started \(error \w+\): .*' + sentence)


def test_startup_file_that_is_named(box):
    box.write('app/config.ru', '')
    box.write('app/bin/www', "require('../app')")
    shutil.copytree(os.path.join(TOP, 'test/apps/node/pid'), box.path('app'), dirs_exist_ok=True)
    p = box.start(app={'root': box.path('app'), 'type': 'node', 'startup_file': 'bin/www'})
    assert p.get('/').text == '%d\n' % p.processes()[0]['pid']


def test_ruby_wins_where_both_stand(box):
    """A Rails application has a package.json too."""
    box.rack('app', **{'package.json': '{"main": "x.js"}', 'index.js': ''})
    p = box.start(app_dir=box.path('app'))
    assert p.get('/x').json()['env']['PATH_INFO'] == '/x'


def test_interpreter_option(box):
    box.write('wrapped', '#!/bin/sh\nCOLOUR=blue exec node "$@"\n', 0o755)
    p = start(box, 'env', nodejs=box.path('wrapped'))
    assert p.get('/').json()['env']['COLOUR'] == 'blue'


def test_interpreter_that_is_too_old(box):
    box.write('old.cjs', "Object.defineProperty(process, 'version', { value: 'v12.22.12' })")
    old = box.write('node', '#!/bin/sh\nexec node -r %s "$@"\n' % box.path('old.cjs'), 0o755)
    root = box.folder('node', 'hello')
    p = box.start(app={'root': root, 'nodejs': old, 'friendly_error_pages': 'on'}, processes=0)
    assert 'Node 16 or later is needed' in p.get('/').text
    done = box.run('check', '--config', box.path('passenger.ini'))
    assert done.returncode == 1 and 'Node 16 or later is needed' in done.stdout


def test_interpreter_that_is_not_there(box):
    p = box.start(app={'root': box.folder('node', 'hello'), 'nodejs': '/nowhere/node'}, processes=0)
    p.wait_log(r"could not be started .*can not execute '/nowhere/node'")


def test_instance_directory_below_an_es_package(box):
    """The loader is CommonJS wherever it lies."""
    box.write('deep/package.json', '{"type": "module"}')
    assert box.start(app={'root': box.folder('node', 'hello')}, instance='deep/instance').get('/').status == 200


# --- listen ------------------------------------------------------------------------

ANY = {'address': '127.0.0.1', 'family': 'IPv4', 'port': 3000}
FORMS = {
    'port': ANY, 'text': ANY, 'host': dict(ANY, address='0.0.0.0'), 'backlog': dict(ANY, address='0.0.0.0'),
    'path': '/nowhere/at/all.sock', 'options': dict(ANY, address='::'), 'options_path': '/nowhere/at/all.sock',
    'nothing': dict(ANY, port=0), 'only_callback': dict(ANY, port=0), 'missing': dict(ANY, port=0), 'zero': dict(ANY, port=0),
    'passenger': 'passenger', 'chained': ANY, 'event': ANY, 'promise': ANY, 'tuned': ANY}


def test_listen_in_every_form(box):
    root = box.folder('node', 'listen_forms')
    names = list(FORMS)
    p = box.start(passenger={'max_pool_size': len(names)}, processes=len(names), apps={
        name: {'root': root, 'host': name.replace('_', '-') + '.example.org', 'env.FORM': name} for name in names})
    for name in names:
        r = p.get('/', host=name.replace('_', '-') + '.example.org').json()
        assert r == {'heard': [] if name == 'nothing' else ['callback'], 'address': FORMS[name]}, name
    listening = {int(port) for pid in [x['pid'] for x in p.processes()] for port in tcp_ports_of(pid)}
    assert not listening


def tcp_ports_of(pid):
    """Ports that this process listens on over TCP."""
    inodes = {t[8:-1] for t in procs.descriptors(pid).values() if t.startswith('socket:[')}
    out = []
    for name in ('tcp', 'tcp6'):
        with open('/proc/net/' + name) as f:
            for line in list(f)[1:]:
                fields = line.split()
                if fields[3] == '0A' and fields[9] in inodes:
                    out.append(int(fields[1].rsplit(':', 1)[1], 16))
    return out


def test_second_server_listens_for_itself(box):
    p = start(box, 'two_servers')
    r = p.get('/').json()
    assert r['first'] == {'address': 'localhost', 'family': 'IPv4', 'port': 3000}
    assert tcp_ports_of(p.processes()[0]['pid']) == [r['second']['port']]
    assert client.request('127.0.0.1:%d' % r['second']['port'], '/').text == 'second\n'


def test_server_chosen_by_the_application(box):
    """configure({ autoInstall: false }) and listen('passenger'), as the original's documentation says."""
    p = start(box, 'named')
    r = p.get('/').json()
    assert r['address'] == 'passenger' and 'before' in r['again']
    assert client.request('127.0.0.1:%d' % r['other'], '/').text == 'other\n'


def test_cluster(box):
    """A program that asks is a worker; we make the processes."""
    p = start(box, 'cluster', processes=2)
    pids = {x['pid'] for x in p.processes()}
    assert {d.request('/').text for d in p.doors()} == {'worker 1 of %d\n' % pid for pid in pids}
    assert not [pid for pid in pids if procs.descendants(pid)]


# --- boot failures -----------------------------------------------------------------

BOOT = [
    ('boot_raise', 'TypeError: no database today', 'app.js:2'),
    ('boot_raise_esm', 'TypeError: no database today', 'app.js:3'),
    ('boot_syntax', "SyntaxError: Unexpected token '.'", 'app.js:2'),
    ('boot_exit', r'it ended with exit status 3 before an http.Server listened', 'giving up'),
    ('never_listens', r'it ended with exit status 0 before an http.Server listened.*startup_file', None),
    ('listen_throws', 'Error: thrown while listening', 'app.js:3'),
    ('cluster_fork', r'Error: cluster.fork\(\) is not for use under passenger', 'app.js:2'),
    ('boot_hang', r'(start_timeout|not ready within)', None),
    ('closes_again', r'it closed its server before that had listened', None),
]


@pytest.mark.parametrize('behaviour, cause, output', BOOT, ids=[row[0] for row in BOOT])
def test_boot_failure(box, behaviour, cause, output):
    """An id that is the same in log, page and status; the cause in log and status."""
    p = box.start(apps={behaviour: {'root': box.folder('node', behaviour), 'start_timeout': '1s'}}, processes=0)
    found = p.wait_log(r'could not be started \(error (\w+)\): .*' + cause)
    failure = wait_until(lambda: p.group(behaviour)['last_spawn_failure'], 5)
    assert re.search(cause, failure['text'])
    r = p.get('/', timeout=30)
    assert r.status in (500, 503)
    ids = re.findall(r'could not be started \(error (\w+)\)', p.log())
    assert found.group(1) in ids and any(i in r.text for i in re.findall(r'\(error (\w+)\)', p.log()))
    assert 'no database' not in r.text
    if output:
        assert output in p.log()
    assert not p.processes()


# --- deaths ------------------------------------------------------------------------

@pytest.mark.parametrize('path, message', [('/raise', 'raised in a handler'), ('/reject', 'rejected in a handler')])
def test_exception_in_a_handler_ends_the_process(box, path, message):
    p = start(box, 'raise', processes=2)
    before = {x['pid'] for x in p.processes()}
    assert p.get(path, 'POST', body=b'').status == 502
    p.wait_log('Error: ' + message)
    wait_until(lambda: len({x['pid'] for x in p.processes() if x['state'] == 'enabled'} - before) == 1, 20, 'another process')
    assert p.get('/').text == 'fine\n'


def test_killed_process_is_replaced(box):
    p = start(box, 'counter')
    assert [p.get('/').text for _ in range(3)] == ['1\n', '2\n', '3\n']
    door = p.doors()[0]
    os.kill(door.pid, 9)
    new = wait_until(lambda: [d for d in p.doors() if d.pid != door.pid], 20)[0]
    assert client.refuses(door.address) and new.password != door.password
    assert p.get('/').text == '1\n' and new.request('/').text == '2\n'


# --- the end -----------------------------------------------------------------------

def test_stop_finishes_what_has_begun(box):
    p = start(box, 'stop')
    with p.connect() as idle, p.connect() as busy:
        assert idle.request('GET', '/').text == 'done\n'
        gate = box.gate()
        busy.start('GET', gate.at('/'))
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5)
        p.signal(signal.SIGTERM)
        assert idle.ended()
        begin = time.monotonic()
        gate.open()
        assert busy.response().text == 'done\n'
    assert p.wait_exit() == 0
    in_time(begin, 4)
    assert 'output: exit 0' in p.log() and 'stopped: exited with status 0' in p.log()


@pytest.mark.parametrize('how, name', [('sigterm', 'SIGTERM'), ('event', 'exit'), ('message', 'shutdown')])
def test_application_ends_in_its_own_way(box, how, name):
    p = start(box, 'stop', **{'env.HOW': how})
    gate = box.gate()
    with p.connect() as busy:
        busy.start('GET', gate.at('/'))
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5)
        p.signal(signal.SIGTERM)
        p.wait_log('stopping')
        gate.open()
        assert busy.response().text == 'done\n'
    assert p.wait_exit() == 0
    assert re.findall(r'output: (\w+ .*)', p.log()) == ['goodbye by ' + name, 'closed well', 'exit 0']


def test_sigterm_from_somebody_else(box):
    """The process finishes and ends; another one takes its place."""
    p = start(box, 'stop')
    pid, gate = p.processes()[0]['pid'], box.gate()
    with p.connect() as busy:
        busy.start('GET', gate.at('/'))
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5)
        os.kill(pid, signal.SIGTERM)
        gate.open()
        assert busy.response().text == 'done\n'
    wait_until(lambda: [x for x in p.processes() if x['pid'] != pid], 20)
    assert p.get('/').text == 'done\n'


def test_server_closed_by_the_application(box):
    """Nothing is left to serve with: what has begun is finished, and another process comes."""
    p = start(box, 'stop', **{'env.HOW': 'close'})
    pid = p.processes()[0]['pid']
    assert p.get('/?ms=1500').text == 'done\n'
    wait_until(lambda: [x for x in p.processes() if x['pid'] != pid], 20)


def test_application_that_does_not_end_is_ended(box):
    p = start(box, 'stop', drain_timeout='1s', **{'env.HOW': 'ignore'})
    assert p.get('/').status == 200
    p.signal(signal.SIGTERM)
    assert p.wait_exit(15) == 0
    assert 'output: not I' in p.log()


# --- the loader by itself ------------------------------------------------------------

class Loader:
    """The loader as the spawner starts it, with our ends of its descriptors."""

    def __init__(self, box, behaviour, **env):
        shutil.copy(LOADER, box.path('node.cjs'))
        root = box.folder('node', behaviour)
        self.lifeline_read, self.lifeline = os.pipe()
        self.listener = socket.socket(socket.AF_UNIX)
        self.path = box.path('app.sock')
        self.listener.bind(self.path)
        self.listener.listen(16)
        self.control, theirs = socket.socketpair()
        self.control.settimeout(10)
        listener, control = self.listener.fileno(), theirs.fileno()

        def arrange():
            high = [os.dup2(fd, 100 + i) for i, fd in enumerate((listener, control))]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)
        self.child = subprocess.Popen(['node', box.path('node.cjs'), 'x' * 200], cwd=root, stdin=self.lifeline_read, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=arrange, close_fds=False,
                                      env={'PATH': os.environ['PATH'], **env})
        theirs.close()
        os.close(self.lifeline_read)
        box.others.append(self.child)
        self.root = root

    def arguments(self, pieces=1, **more):
        values = dict({'app_root': self.root, 'startup_file': 'app.js', 'environment': 'test'}, **more)
        data = ''.join('%s\0%s\0' % pair for pair in values.items()).encode() + b'\0'
        size = -(-len(data) // pieces)
        for at in range(0, len(data), size):
            self.control.sendall(data[at:at + size])
            time.sleep(0.01 if pieces > 1 else 0)

    def line(self):
        return self.control.makefile('r').readline()

    def end(self, seconds=10):
        out, _ = self.child.communicate(timeout=seconds)
        return self.child.returncode, out


def test_loader_says_ready_and_stops_at_end_of_file(box):
    loader = Loader(box, 'hello')
    loader.arguments(pieces=7, empty='', name='naïve')
    assert loader.line() == 'READY concurrency=0\n'
    assert client.request('unix:' + loader.path, '/').text == 'hello world\n'
    os.close(loader.lifeline)
    assert loader.end() == (0, '')


def test_loader_says_error(box):
    loader = Loader(box, 'boot_raise')
    loader.arguments()
    assert loader.line() == 'ERROR TypeError: no database today\n'
    assert loader.end()[0] == 1


def test_loader_says_error_when_nothing_listens(box):
    loader = Loader(box, 'never_listens')
    loader.arguments()
    assert loader.line().startswith('ERROR it ended with exit status 0 before an http.Server listened')
    assert loader.end()[0] == 1


@pytest.mark.parametrize('way', ['end of file', 'SIGTERM'])
def test_loader_stops_before_it_is_ready(box, way):
    loader = Loader(box, 'boot_hang')
    loader.arguments()
    wait_until(lambda: b'Passenger NodeApp' in procs.read(loader.child.pid, 'cmdline'), 10)
    os.close(loader.lifeline) if way == 'end of file' else loader.child.terminate()
    assert loader.end()[0] == 0


def test_loader_ends_at_the_second_sigterm(box):
    loader = Loader(box, 'stop', HOW='ignore')
    loader.arguments()
    assert loader.line().startswith('READY')
    loader.child.terminate()
    wait_until(lambda: loader.child.stdout.readline() == 'not I\n', 5)
    loader.child.terminate()
    assert loader.end()[0] == 143


def test_loader_finishes_what_lies_in_its_sockets(box):
    """End of file and requests at the same moment: accepted or not, they are answered."""
    loader = Loader(box, 'sleep')
    loader.arguments()
    assert loader.line().startswith('READY')
    kept = client.Connection('unix:' + loader.path)
    assert kept.request('GET', '/?ms=0').status == 200
    gate = box.gate()
    kept.start('GET', gate.at('/?block=1'))
    wait_until(lambda: gate.inside() == 1, 5, 'it to be held')
    late = [client.Connection('unix:' + loader.path) for _ in range(3)]
    for c in late:
        c.start('GET', '/?ms=100')
    os.close(loader.lifeline)
    gate.open()
    assert kept.response().status == 200
    for c in late:
        r = c.response()
        assert r.text == 'slept 100\n' and r.closes
    assert loader.end() == (0, '')


def test_loader_tells_what_it_waits_for(box):
    loader = Loader(box, 'sleep')
    loader.arguments()
    assert loader.line().startswith('READY')
    with client.Connection('unix:' + loader.path) as c:
        c.start('GET', '/where?ms=1000')
        time.sleep(0.2)
        loader.control.sendall(b'BACKTRACE\n')
        assert c.response().status == 200
    os.close(loader.lifeline)
    status, out = loader.end()
    assert status == 0 and 'in flight: GET /where?ms=1000\n' in out and '1 × Timeout' in out


def test_loader_says_which_servers_it_does_not_take(box):
    loader = Loader(box, 'https_only')
    loader.arguments()
    assert loader.child.stdout.readline() == 'https listens\n'
    loader.control.sendall(b'BACKTRACE\n')
    loader.child.stdout.readline()
    assert 'no https, http2 or net server is taken' in loader.child.stdout.readline()
    os.close(loader.lifeline)
    assert loader.end()[0] == 0


# --- websockets ------------------------------------------------------------------------

class WebSocket:
    """A client by RFC 6455, on a client.Connection."""

    def __init__(self, connection, path='/', headers=()):
        self.c = connection
        key = base64.b64encode(os.urandom(16)).decode()
        self.c.start('GET', path, list(dict(headers).items()) + [
            ('Upgrade', 'websocket'), ('Connection', 'Upgrade'), ('Sec-WebSocket-Key', key), ('Sec-WebSocket-Version', '13')])
        self.answer = self.c.response()
        assert self.answer.status == 101, self.answer
        want = base64.b64encode(hashlib.sha1((key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').encode()).digest()).decode()
        assert self.answer.header('sec-websocket-accept') == want
        assert self.answer.header('upgrade').lower() == 'websocket' and self.answer.header('connection').lower() == 'upgrade'

    def send(self, text, opcode=1):
        data, mask = text.encode(), os.urandom(4)
        head = bytes([0x80 | opcode]) + (bytes([0x80 | len(data)]) if len(data) < 126 else
                                         b'\xfe' + struct.pack('>H', len(data)))
        self.c.send(head + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(data)))

    def receive(self):
        _, length = self.c.octets(2)
        return self.c.octets(struct.unpack('>H', self.c.octets(2))[0] if length == 126 else length).decode()

    def echo(self, *texts):
        for text in texts:
            self.send(text)
        return [self.receive() for _ in texts] == list(texts)


def test_websocket(box):
    p = start(box, 'websocket_echo')
    for name, _, connect, headers in roads(p):
        with connect() as c:
            ws = WebSocket(c, headers=headers)
            assert ws.echo('one', 'two', 'x' * 60000), name
            wait_until(lambda: p.processes()[0]['sessions'] == 1, 5)
            ws.send('end')
            assert ws.receive() == 'end' and c.ended()
        p.wait_idle()
    wait_until(lambda: p.processes()[0]['processed'] == 2)


def test_websocket_frame_in_the_packet_of_the_head(box):
    p = start(box, 'websocket_echo')
    with p.connect() as c:
        c.send(client.head_of('GET', '/', {'Upgrade': 'websocket', 'Connection': 'Upgrade', 'Sec-WebSocket-Key': 'a',
                                           'Sec-WebSocket-Version': '13'}) + b'\x81\x82\0\0\0\0hi')
        assert c.response().status == 101 and c.octets(4) == b'\x81\x02hi'


def test_websockets_beside_requests(box):
    p = start(box, 'websocket_echo', processes=2)
    sockets = [WebSocket(p.connect()) for _ in range(10)]
    assert {s.answer.header('x-pid') for s in sockets} <= {str(x['pid']) for x in p.processes()}
    assert sum(x['sessions'] for x in p.processes()) == 10
    for s in sockets:
        assert s.echo('a', 'b')
        assert p.get('/').text.startswith('plain ')
    for s in sockets:
        s.c.close()
    p.wait_idle()


def test_websocket_ends_at_stop(box):
    """An abandoned one does not hold passenger up beyond its times."""
    p = start(box, 'websocket_echo', drain_timeout='1s', passenger={'shutdown_timeout': '1s'})
    ws = WebSocket(p.connect())
    assert ws.echo('still here')
    p.signal(signal.SIGTERM)
    assert ws.c.ended(10)
    assert p.wait_exit(10) == 0


def test_websocket_ends_with_its_process(box):
    p = start(box, 'websocket_echo')
    ws = WebSocket(p.connect())
    os.kill(p.processes()[0]['pid'], 9)
    assert ws.c.ended()


# What a person adds to docs/apache.conf for websockets, in two ways.
PROXY_HTTP = [('timeout=610 ttl=60 retry=0', 'timeout=610 ttl=60 retry=0 upgrade=websocket')]
WSTUNNEL = [('    ProxyPass "/" ', '    ProxyPass "/socket" "unix:@SOCKET@|ws://passenger/socket"\n    ProxyPass "/" ')]


def behind_apache(box, app, changes, modules=(), instance='instance', listeners=None):
    """app: its [app] section, or the folder of one."""
    path = box.path(instance + '.sock')
    p = box.start(passenger={'max_pool_size': 2}, apps={'main': dict(app if isinstance(app, dict) else {'root': app}, min_instances=2)},
                  listeners=dict(listeners or {}, apache=apache.listener(path)), listen=None, processes=2, instance=instance)
    os.makedirs(box.path('public'), exist_ok=True)
    vhost = apache.documented_vhost(TOP, path, box.path('public'))
    for old, new in changes:
        if new not in vhost:
            assert old in vhost
            vhost = vhost.replace(old, new.replace('@SOCKET@', path))
    return p, apache.Apache(box.path('apache-' + instance), vhost, modules)


@pytest.mark.skipif(not apache.available(), reason='needs apache2')
@pytest.mark.parametrize('changes, modules', [(PROXY_HTTP, ()), (WSTUNNEL, ('proxy_wstunnel',))],
                         ids=['mod_proxy_http', 'mod_proxy_wstunnel'])
def test_websocket_behind_apache(box, changes, modules):
    p, web = behind_apache(box, box.folder('node', 'websocket_echo'), changes, modules)
    try:
        assert client.request(web.address, '/').text.startswith('plain ')
        with client.Connection(web.address) as c:
            ws = WebSocket(c, '/socket', {'Origin': 'http://localhost'})
            assert ws.echo('through Apache', 'x' * 50000)
            time.sleep(0.5)
            assert ws.echo('and again')
            ws.send('end')
            assert ws.receive() == 'end' and c.ended()
        p.wait_idle()
    finally:
        web.stop()
