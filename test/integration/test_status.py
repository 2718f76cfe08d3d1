"""`passenger status` and the other operator's commands, as a person and as a script see them."""
import json
import os
import re
import shutil
import socket
import subprocess
import time
import xml.etree.ElementTree as ElementTree

import pytest

from lib import procs
from lib.passenger import BIN, PASSWORD_PATTERN
from lib.wait import in_time, wait_until

DURATION = r'(?:(?:(?:\d+d )?\d+h )?\d+m )?\d+s'
PROCESS = re.compile(
    r'^  \* PID: (?P<pid>\d+) *   Sessions: (?P<sessions>\d+) *      Processed: (?P<processed>\d+) *   Uptime: ' + DURATION +
    r'\n    CPU: (?P<cpu>\d+)% *   Memory  : (?P<memory>\d+)M *   Last used: ' + DURATION + r' ago$', re.M)
DOOR = re.compile(r'^    URL     : http://127\.0\.0\.1:(\d+)\n    Password: ([A-Za-z0-9]{16})$', re.M)
TEXT = re.compile(
    r'Version : \S+\nDate    : \d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\nInstance: .+ \(.+\)\n\n'
    r'----------- General information -----------\nMax pool size : \d+\nApp groups    : \d+\nProcesses     : \d+\n'
    r'Requests in top-level queue : \d+\n\n----------- Application groups -----------\n')
NOBODY = 65534


def as_nobody(*command):
    """The binary lies where nobody may not look, perhaps: a copy is run."""
    def become():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20, cwd='/',
                          preexec_fn=become)


def link(box, name):
    path = box.path('bin', name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.lexists(path):
        os.symlink(BIN, path)
    return path


def call(box, p, *command):
    """By one of the original's names, the instance by the environment."""
    return subprocess.run([link(box, command[0])] + list(command[1:]), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=30, cwd=box.dir,
                          env=dict(os.environ, PASSENGER_INSTANCE_REGISTRY_DIR=p.instance_dir))


def test_text(box, kind):
    p = box.serve(kind, processes=2)
    for _ in range(5):
        assert p.get('/hello').status == 200
    p.wait_idle()
    text = p.text()
    assert TEXT.match(text), text
    found = list(PROCESS.finditer(text))
    assert len(found) == 2 and sum(int(m['processed']) for m in found) == 5, text
    assert 'Processes     : 2\n' in text and '\n  Requests in queue: 0\n' in text
    assert '\n  App root: %s\n' % box.path(kind) in text
    assert not DOOR.search(text) and '\033' not in text
    assert text.endswith(' ago\n\n')
    assert p.text('--no-header') == text[text.index('-----------'):] or PROCESS.search(p.text('--no-header'))


def test_verbose_text_has_every_door(box, kind):
    p = box.serve(kind, processes=3)
    doors = DOOR.findall(p.text('--verbose'))
    assert len(doors) == len(set(doors)) == len({port for port, _ in doors}) == 3
    assert sorted(doors) == sorted((d.url.rsplit(':', 1)[1], d.password) for d in p.doors())


def test_text_shows_what_runs(box, kind):
    p, gate = box.serve(kind), box.gate()
    with p.connect() as c:
        began = time.monotonic()
        c.start('GET', gate.at())
        line = wait_until(lambda: re.search(r'^    Request : GET /sleep\S*  \d+s  127\.0\.0\.1:\d+$', p.text('-v'), re.M), 5,
                          'the request in status')
        assert line and 'Request :' not in p.text()
        request = p.processes()[0]['requests'][0]
        assert request['method'] == 'GET' and request['direct'] is False
        assert 0 < request['age_ms'] <= (time.monotonic() - began) * 1000 + 50
        gate.open()
        assert c.response().status == 200
    p.wait_idle()
    assert p.processes()[0]['requests'] == []


def test_figures(box):
    p = box.serve('ruby')
    wait_until(lambda: p.processes()[0]['metrics'], 10, 'a measurement')
    process = p.processes()[0]
    metrics = process['metrics']
    assert 1000 < metrics['pss_kb'] <= metrics['rss_kb'] <= metrics['vmsize_kb']
    assert metrics['memory_kb'] == metrics['pss_kb'] + metrics['swap_kb']
    assert metrics['threads'] >= 1 and metrics['descriptors'] >= 3
    assert process['spawn_start_unix_us'] <= process['spawn_end_unix_us'] <= time.time() * 1e6
    assert abs(process['spawn_end_unix_us'] / 1e6 + process['uptime_ms'] / 1e3 - time.time()) < 5
    assert re.match(PASSWORD_PATTERN, process['password'])


def test_json_without_verbose_has_no_address(box, kind):
    p = box.serve(kind)
    for process in p.processes(p.status(verbose=False)):
        assert not {'url', 'password', 'address', 'last_output'} & set(process)


def test_xml(box, kind):
    p = box.serve(kind, processes=2)
    done = call(box, p, 'passenger-status', '--show=xml', '--verbose')
    assert done.returncode == 0 and done.stdout.startswith('<?xml version="1.0" encoding="UTF-8"?>\n'), done
    info = ElementTree.fromstring(done.stdout.encode())
    assert (info.tag, info.get('version'), info.findtext('process_count')) == ('info', '3', '2')
    processes = info.findall('supergroups/supergroup/group/processes/process')
    doors = {d.pid: d for d in p.doors()}
    assert {int(x.findtext('pid')) for x in processes} == set(doors)
    for x in processes:
        door = doors[int(x.findtext('pid'))]
        assert x.findtext('sockets/socket/address') == 'tcp://' + door.address
        assert x.findtext('sockets/socket/password') == door.password
        assert (x.findtext('life_status'), x.findtext('enabled')) == ('ALIVE', 'ENABLED')


def test_the_originals_names(box):
    p = box.serve('command')
    assert TEXT.match(call(box, p, 'passenger-status').stdout)
    assert DOOR.search(call(box, p, 'passenger-status', '--verbose', '--show=pool', '--no-header').stdout)
    assert '\033[33m\033[44m\033[1m-----------' in call(box, p, 'passenger-status', '--force-colors').stdout
    name = p.status()['instance']['name']
    assert call(box, p, 'passenger-status', name[:-1] or name).returncode == 0
    for arguments, code in ((['no-such-instance'], 1), (['--show=server'], 1), (['--no-such-option'], 2), (['a', 'b'], 2)):
        done = call(box, p, 'passenger-status', *arguments)
        assert (done.returncode, done.stdout) == (code, '') and done.stderr, done
    listed = json.loads(call(box, p, 'passenger-config', 'list-instances', '--json').stdout)
    assert [(i['name'], i['pid'], i['state']) for i in listed] == [(name, p.pid, 'running')]
    assert call(box, p, 'passenger-config', 'reopen-logs').returncode == 0
    assert call(box, p, 'passenger-config', 'about', 'version').returncode == 1
    assert call(box, p, 'passenger-config', 'detach-process', '1', '--ignore-nonexistant-pid').returncode == 0
    assert call(box, p, 'passenger-config', 'detach-process', '1').returncode == 1
    assert call(box, p, 'passenger-config', 'restart-app', '/no/such/root').returncode == 1
    assert call(box, p, 'passenger-config', 'restart-app', '/no/such/root', '--ignore-app-not-running').returncode == 0


def test_no_instance(box):
    empty = box.path('empty')
    os.mkdir(empty)
    for command in ('status', 'stop', 'reopen-logs'):
        done = box.run(command, '--instance-dir', empty)
        assert (done.returncode, done.stdout) == (1, '') and empty in done.stderr, done
    assert box.run('list-instances', '--instance-dir', empty).returncode == 0
    assert json.loads(box.run('list-instances', '--instance-dir', empty, '--json').stdout) == []


def test_several_instances(box):
    """Both are listed; a name or its beginning chooses."""
    one = box.start(app=box.app('command', 'one'), passenger={'instance_name': 'shop-one'}, instance='registry/one')
    box.start(app=box.app('command', 'two'), passenger={'instance_name': 'shop-two'}, instance='registry/two')
    registry = box.path('registry')
    done = box.run('status', '--instance-dir', registry)
    assert (done.returncode, done.stdout) == (1, '') and 'shop-one' in done.stderr and 'shop-two' in done.stderr
    assert box.run('status', '--instance-dir', registry, '--instance', 'shop').returncode == 1
    done = box.run('status', '--instance-dir', registry, '--instance', 'shop-o')
    assert done.returncode == 0 and 'PID: %d' % one.processes()[0]['pid'] in done.stdout


@pytest.mark.skipif(os.getuid() != 0, reason='needs to become somebody else')
def test_a_stranger_is_refused(box):
    as_root = {'user': 'daemon'} if os.getuid() == 0 else {}  # root's files would be served as nobody
    p = box.serve('command', **as_root)
    binary = box.path('passenger')
    shutil.copy(BIN, binary)
    os.chmod(binary, 0o755)
    assert all(procs.status_field(x['pid'], 'Uid').split()[0] != str(NOBODY) for x in p.processes())
    for command in (['status'], ['status', '--format', 'json'], ['stop'], ['stop', '--now'], ['reopen-logs'],
                    ['detach-process', str(p.processes()[0]['pid'])]):
        done = as_nobody(binary, *command, '--instance-dir', p.instance_dir)
        assert (done.returncode, done.stdout) == (2, '') and done.stderr, (command, done)
    assert p.get('/hello').status == 200


def test_stop(box):
    """It returns when everything is gone, and what runs is finished first."""
    p, gate = box.serve('command'), box.gate()
    with p.connect() as c:
        c.start('GET', gate.at())
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5, 'the request')
        stop = subprocess.Popen([BIN, 'stop', '--instance-dir', p.instance_dir])
        p.wait_log('stopping')
        assert stop.poll() is None
        gate.open()
        assert c.response().status == 200
    assert stop.wait(20) == 0
    assert p.wait_exit(1) == 0


def test_stop_now(box):
    p = box.serve('command')
    with p.connect() as c:
        c.send(b'GET /sleep?ms=20000 HTTP/1.1\r\nHost: a\r\n\r\n')
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5, 'the request')
        start = time.monotonic()
        assert box.run('stop', '--now', '--instance-dir', p.instance_dir).returncode == 0
        in_time(start, 5)
    assert p.wait_exit(1) == 0


def test_quick_and_cheap(box):
    """No process of ours is started by status, and ten of them take well under a second."""
    p = box.serve('command')
    start = time.monotonic()
    for _ in range(10):
        assert p.status_command().returncode == 0
    in_time(start, 1.5)


def test_wrong_words(box):
    """What can not be is said, with what can."""
    done = box.run('serve', '--instance-dir', '', box.rack())
    assert done.returncode == 2 and '--instance-dir needs a value' in done.stderr, done
    ini = box.write('bad.ini', '[app main]\nroot = %s\nhost = shop..test\n' % box.rack())
    done = box.run('serve', '--check', '--config', ini)
    assert done.returncode != 0 and 'shop..test' in done.stderr, done
    done = box.run('status', '--show=bogus')
    assert done.returncode == 1 and 'pool, json or xml' in done.stderr, done
    assert box.run('help', 'restart').stdout == box.run('restart', '--help').stdout != ''
    assert box.run('help', 'nonsense').returncode == 2


def test_descriptors_that_somebody_sends_are_closed(box):
    """The control socket is open to everybody; what lies in a message there stays with nobody."""
    p = box.serve('command')
    path = os.path.join(p.instance_dir, 'control')
    before = len(procs.descriptors(p.pid))
    for number in range(30):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.connect(path)
            socket.send_fds(s, [b'no request'], [0] * (number % 3 + 1))
            assert s.recv(4096)
    wait_until(lambda: len(procs.descriptors(p.pid)) <= before, 10, 'the end of all that was sent')
