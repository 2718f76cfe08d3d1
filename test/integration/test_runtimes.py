"""[runtime NAME]: a language that passenger has never heard of, by ini text alone."""
import os
import re
import signal

import pytest

from lib import client
from lib.passenger import COMMAND_APPS, TOP, ini_text
from lib.wait import wait_until

# The interpreter of a language whose programs are the texts that they answer with.
INTERPRETER = '''#!/usr/bin/python3
import http.server, os, sys, time
if '--version' in sys.argv:
    print('textlang 1.2.3')
    sys.exit()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        if self.path == '/slow':
            time.sleep(0.5)
        text = '%d %s %s' % (os.getpid(), open(sys.argv[1]).read(), os.environ.get('FLAVOUR'))
        self.send_response(200)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
'''


def runtime(box, **options):
    interpreter = box.write('textlang', INTERPRETER, 0o755)
    return dict({'detect': 'main.text other.text', 'command': '$PASSENGER_INTERPRETER $PASSENGER_STARTUP_FILE',
                 'interpreter': interpreter, 'concurrency': 1, 'env.FLAVOUR': 'plain'}, **options)


def pids(p):
    return {process['pid'] for process in p.processes() if process['state'] == 'enabled'}


def test_serves_scales_restarts_and_has_a_door(box):
    box.write('app/main.text', 'hello')
    p = box.start(runtimes={'textlang': runtime(box)}, passenger={'max_pool_size': 2}, apps={'main': {'root': box.path('app')}})
    process = p.processes()[0]
    assert p.get('/').text == '%d hello plain' % process['pid']
    assert (p.group()['type'], process['concurrency']) == ('textlang', 1)
    door = p.doors()[0]
    assert door.request('/').text == '%d hello plain' % process['pid'] and client.request(door.address, '/').status == 403

    waiting = [p.connect(20) for _ in range(2)]
    for connection in waiting:
        connection.start('GET', '/slow')
    answers = {int(connection.response().text.split()[0]) for connection in waiting}
    p.wait_processes(2)
    assert answers <= pids(p)

    before = pids(p)
    box.write('app/main.text', 'again')
    os.makedirs(box.path('app', 'tmp'))
    box.write('app/tmp/restart.txt', '')
    wait_until(lambda: pids(p) and not pids(p) & before, 20, 'new processes alone')
    assert p.get('/').text.endswith(' again plain')

    victim = min(pids(p))
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: pids(p) - {victim} and victim not in pids(p), 20, 'another process')


def test_reload(box):
    """What changes in a runtime restarts those that use it, and nobody else; what is wrong changes nothing."""
    box.write('app/main.text', 'hello')
    box.write('named/start.txt', 'named')
    box.write('usual/second.here', '')
    box.write('usual/deep/start.text', 'usual')
    apps = {'usual': {'root': box.path('usual'), 'host': 'usual'},
            'main': {'root': box.path('app'), 'host': 'main'},
            'named': {'root': box.path('named'), 'host': 'named', 'type': 'textlang', 'startup_file': 'start.txt',
                      'env.FLAVOUR': 'own'},
            'other': {'root': box.path('app'), 'host': 'other', 'type': 'second'}}
    runtimes = {'textlang': runtime(box), 'second': runtime(box, weight=10),
                'usual': runtime(box, detect='second.here', startup_file='deep/start.text')}
    p = box.start(runtimes=runtimes, apps=apps)
    assert p.get('/', host='named').text.endswith(' named own') and p.get('/', host='other').text.endswith(' hello plain')
    assert p.get('/', host='usual').text.endswith(' usual plain')

    def reload(**changes):
        text = ini_text({'listen': '127.0.0.1:0'}, apps, None, {**runtimes, 'textlang': runtime(box, **changes)})
        box.write('passenger.ini', text)
        return box.run('reload', '--instance-dir', p.instance_dir)

    done = reload()
    assert (done.returncode, done.stdout) == (0, 'reloaded: 0 applications added, 0 removed, 0 restarted\n')
    assert reload(protocol='fastcgi').returncode == 1
    before = {name: p.processes(app=name)[0]['pid'] for name in apps}
    done = reload(**{'env.FLAVOUR': 'other'})
    assert (done.returncode, done.stdout) == (0, 'reloaded: 0 applications added, 0 removed, 1 restarted\n')
    wait_until(lambda: p.get('/', host='main').text.endswith(' hello other'), 10, 'the new flavour')
    done = reload(command='$PASSENGER_INTERPRETER $PASSENGER_STARTUP_FILE --more')
    assert done.stdout == 'reloaded: 0 applications added, 0 removed, 2 restarted\n'
    wait_until(lambda: [q['pid'] for q in p.processes(app='named')] not in ([], [before['named']]), 10, 'another process')
    assert p.processes(app='other')[0]['pid'] == before['other']


def test_balancer_that_dies_finds_them_again(box):
    box.write('app/main.text', 'hello')
    p = box.start(runtimes={'textlang': runtime(box)}, apps={'main': {'root': box.path('app')}})
    pid = p.processes()[0]['pid']
    os.kill(p.status()['balancer']['pid'], signal.SIGKILL)
    assert wait_until(lambda: p.get('/').text == '%d hello plain' % pid, 10)


@pytest.mark.parametrize('name, file, source', [('php', 'public/index.php', 'index.php'), ('uvicorn', 'main.py', 'asgi_app.py')])
def test_example_of_passenger_ini(box, name, file, source):
    """The very lines, without their comment signs."""
    with open(os.path.join(TOP, 'passenger.ini')) as f:
        example = re.search(r'^#\[runtime %s\]\n(#.*\n)+' % name, f.read(), re.M).group()
    with open(os.path.join(COMMAND_APPS, source)) as f:
        box.write('app/' + file, f.read())
    p = box.start('[passenger]\nlisten = 127.0.0.1:0\n%s\n[app main]\nroot = app\n' % re.sub('^#', '', example, flags=re.M))
    assert p.get('/x').text == '%d GET /x 0\n' % p.processes()[0]['pid'] and p.group()['type'] == name


@pytest.mark.parametrize('text, error', [
    ('[runtime ruby]\ncommand = x', '[runtime ruby]: this type is built in; expected another name'),
    ('[runtime x]\ndetect = y', '[runtime x]: command is missing'),
    ('[runtime x]\ncommand = y\n[runtime x]', '[runtime x]: stands in line'),
])
def test_errors_name_file_and_line(box, text, error):
    path = box.write('p.ini', '[app a]\nroot = .\n' + text + '\n')
    done = box.run('serve', '--check', '--config', path)
    assert done.returncode == 2 and done.stderr.startswith('passenger serve: %s:' % path) and error in done.stderr
