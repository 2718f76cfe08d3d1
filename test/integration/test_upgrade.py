"""`passenger upgrade` and SIGUSR2: a new version takes over in place, or the old one goes on."""
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from lib import broken, passenger, procs
from lib.load import Load
from lib.wait import wait_until

COUNTER = '''
count = 0
run ->(env) {
  count += 1
  sleep env['QUERY_STRING'].to_f
  gate = env['QUERY_STRING'][/gate=(.+)/, 1]
  6000.times { File.exist?(gate) ? break : sleep(0.01) } if gate
  [200, {'Content-Type' => 'text/plain'}, ["#{$$} #{count}"]]
}
'''


def upgrade(p, *arguments, code=0):
    done = p.box.run('upgrade', '--instance-dir', p.instance_dir, *arguments)
    assert done.returncode == code, done
    return done.stdout + done.stderr


def exe(p):
    return os.readlink('/proc/%d/exe' % p.pid)


def facts(p):
    """What an upgrade leaves alone."""
    return sorted((d.pid, d.url, d.password) for d in p.doors())


def wait_alone(p):
    wait_until(lambda: p.status()['balancer']['before_pid'] is None, 20, 'the balancer before has gone')


@pytest.fixture
def shop(box):
    root = box.rack('shop', COUNTER)
    p = box.start(passenger={'max_pool_size': 3}, apps={'main': {'root': root, 'type': 'ruby', 'min_instances': 3}},
                  processes=3)
    return p


def descriptors(p):
    return sorted(re.sub(r'\d+', '#', target) for target in procs.descriptors(p.pid).values())


def test_everything_stays(box, shop):
    p = shop
    new = broken.copy(box)
    before, balancer, started = facts(p), p.balancer, p.status()['instance']['started_unix_us']
    kept = p.connect(20)
    assert kept.request('GET', '/').status == 200
    gate = box.gate()
    running = p.hold(2, gate.at('/'))
    wait_until(lambda: sum(x['sessions'] for x in p.processes()) == 2, 5, 'two requests')
    idle = [door for door in p.doors() if p.process(door.pid)['sessions'] == 0][0]
    door = idle.connect(20)
    first = door.request('GET', '/', idle.headers())
    wait_until(lambda: sum(x['processed'] for x in p.processes()) == 2, 5, 'both to be counted')
    said = upgrade(p, '--binary', new)
    assert 'has taken over' in said and exe(p) == new
    assert p.child.poll() is None and p.balancer != balancer
    assert facts(p) == before
    # Connections that were idle go on, at the front and at a door, and were not told to close.
    again = kept.request('GET', '/')
    assert again.status == 200 and not again.closes
    second = door.request('GET', '/', idle.headers())
    assert second.status == 200 and second.text.split()[0] == first.text.split()[0]
    # What ran is finished.
    gate.open()
    for connection in running:
        assert connection.response().status == 200
        connection.close()
    wait_alone(p)
    assert sum(x['processed'] for x in p.processes()) == 6
    assert p.group()['requests'] >= 6
    status = p.status()
    assert status['upgrade']['outcome'] == 'done' and status['instance']['started_unix_us'] == started
    assert 'Upgrade : ' in p.text() and procs.parent(before[0][0]) == p.pid
    kept.close()
    door.close()


def test_again_and_again(box, shop):
    """Nothing grows; restarts, reloads and balancers' deaths work as before."""
    p = shop
    upgrade(p)
    wait_alone(p)
    before = descriptors(p)
    for _ in range(4):
        upgrade(p)
        wait_alone(p)
    wait_until(lambda: len(descriptors(p)) <= len(before) + 1, 5, lambda: (before, descriptors(p)))
    old = {x['pid'] for x in p.processes()}
    assert box.run('restart', 'main', '--wait', '--instance-dir', p.instance_dir).returncode == 0
    assert not old & {x['pid'] for x in p.processes() if x['state'] == 'enabled'}
    assert box.run('reload', '--instance-dir', p.instance_dir).returncode == 0
    balancer = p.balancer
    os.kill(balancer, signal.SIGKILL)
    assert p.get('/').status == 200
    wait_until(lambda: p.balancer not in (None, balancer), 10, 'another balancer')
    pid = p.processes()[0]['pid']
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in [x['pid'] for x in p.processes()], 10, 'its end is noticed')
    p.wait_processes(3)
    assert box.run('stop', '--instance-dir', p.instance_dir).returncode == 0
    p.wait_exit()


REFUSED = {
    'no program': lambda box: box.write('text', 'hello\n', 0o755),
    'no passenger': lambda box: shutil.which('true'),
    'crashes': lambda box: broken.broken(box, 'upgrade_check_command'),
    'reads no state': lambda box: broken.broken(box, 'carry_read'),
}


@pytest.mark.parametrize('what', REFUSED)
def test_refused(box, shop, what):
    p = shop
    before, balancer, program = facts(p), p.balancer, exe(p)
    said = upgrade(p, '--binary', REFUSED[what](box), code=1)
    assert 'nothing was changed' in said, said
    assert (facts(p), p.balancer, exe(p)) == (before, balancer, program)
    assert p.status()['upgrade']['outcome'] == 'refused' and p.get('/').status == 200


def test_a_wrong_ini_is_found_by_the_check(box, shop):
    p = shop
    with open(box.path('passenger.ini'), 'a') as f:
        f.write('min_instances = many\n')
    said = upgrade(p, code=1)
    assert 'passenger.ini:' in said and 'min_instances = many' in said, said


def test_another_layout_is_refused(box, shop):
    """What is shared in memory with the balancer of before is compared as a whole, names of messages too."""
    said = upgrade(shop, '--binary', broken.renamed(box, b'HAND_OVER', b'HAND_OVEN'), code=1)
    assert 'restart passenger instead' in said, said


def test_only_a_check(box, shop):
    p = shop
    balancer = p.balancer
    assert 'can take over' in upgrade(p, '--check')
    assert p.balancer == balancer and p.status()['upgrade'] is None
    assert upgrade(p, '--binary', box.path('none'), code=2)


# From the first line of the new image on; balance_command: its balancer never serves, which takes 10 s.
POINTS = ['random_init', 'upgrade_serving'] + [pytest.param(name, marks=pytest.mark.slow) for name in (
    'place_add_loader', 'spawner_run', 'scoreboard_map', 'restart_files_open', 'worker_restore', 'supervisor_restore',
    'tell_everything', 'image_is_ready')]


@pytest.mark.parametrize('function', POINTS)
def test_a_crash_leads_back(box, shop, function):
    p = shop
    before, program = facts(p), exe(p)
    p.allow('.')
    with Load(p.front, '/', pause=0.02) as load:
        answered = load.answered
        said = upgrade(p, '--binary', broken.broken(box, function), code=1)
        assert 'was started and left again' in said and 'signal 4' in said, said
        wait_until(lambda: load.answered > answered + 20, 10, 'requests')
    assert facts(p) == before and exe(p) == program
    assert p.status()['upgrade']['outcome'] == 'rolled_back'
    # All that is ours works as ever, and so does the next upgrade.
    assert box.run('restart', 'main', '--wait', '--instance-dir', p.instance_dir).returncode == 0
    wait_alone(p)
    assert 'has taken over' in upgrade(p)
    wait_alone(p)


@pytest.mark.slow
@pytest.mark.parametrize('how', ['crash', 'hang'])
def test_not_ready_in_time(box, shop, how):
    p = shop
    before, program, balancer = facts(p), exe(p), p.balancer
    p.allow('.')
    with Load(p.front, '/', pause=0.02):
        said = upgrade(p, '--binary', broken.broken(box, 'balance_command', how), code=1)
        assert 'not ready within 10 s' in said, said
    assert facts(p) == before and exe(p) == program and p.balancer == balancer
    assert p.get('/').status == 200


def test_a_crash_after_it_served(box, shop):
    """For 10 s more the way back starts from what is by then."""
    p = shop
    program = exe(p)
    upgrade(p, '--binary', broken.copy(box))
    wait_alone(p)
    pid = p.processes()[0]['pid']
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in [x['pid'] for x in p.processes()], 10, 'its end is noticed')
    p.wait_processes(3)
    before = facts(p)
    with Load(p.front, '/', pause=0.02):
        p.signal(signal.SIGSEGV)
        wait_until(lambda: exe(p) == program, 5, 'the program before')
        wait_until(lambda: p.status() and p.status()['upgrade']['outcome'] == 'rolled_back', 5, 'status')
    assert facts(p) == before


def test_a_package_is_upgraded(box, monkeypatch):
    """The file is replaced by mv: the running program's own is deleted."""
    installed = broken.copy(box, 'installed')
    monkeypatch.setattr(passenger, 'BIN', installed)
    p = box.serve('command', 1)
    before = facts(p)
    os.rename(broken.copy(box, 'fresh'), installed)
    assert exe(p) == installed + ' (deleted)'
    balancer = p.balancer
    p.signal(signal.SIGUSR2)
    wait_until(lambda: exe(p) == installed, 10, 'the new program')
    wait_until(lambda: p.balancer not in (None, balancer), 10, 'its balancer')
    assert facts(p) == before and p.get('/hello').status == 200
    # A way back leads to a file that has no name any more.
    os.rename(broken.broken(box, 'tell_everything'), installed)
    wait_alone(p)
    p.allow('.')
    assert 'was started and left again' in upgrade(p, code=1)
    assert exe(p) == installed + ' (deleted)' and facts(p) == before and p.get('/hello').status == 200


SLOW = {
    'smart': {'type': 'ruby', 'spawn_method': 'smart'},
    'direct': {'type': 'ruby', 'spawn_method': 'direct'},
    'warmed': {'type': 'ruby', 'warmup_uris': '/?1'},
    'command': {'type': 'command', 'command': '/usr/bin/python3 slow.py'},
}


@pytest.mark.parametrize('how', SLOW)
def test_a_start_goes_on(box, how):
    """A process that is being started, and who waits for it, notice nothing."""
    root = box.rack('slow', '$stdout.write("half a li"); $stdout.flush; sleep 1; puts "ne"\n' + COUNTER)
    program = os.path.join(box.program()[0], 'origin.py')
    box.write('slow/slow.py', 'import runpy, sys, time\nprint("half a li", end="", flush=True)\ntime.sleep(1)\n'
              'print("ne", flush=True)\nsys.argv = ["origin.py"]\nrunpy.run_path(%r, run_name="__main__")\n'
              % program)
    p = box.start(apps={'main': {'root': root, 'min_instances': 0, 'max_instances': 1, 'start_timeout': '20s', **SLOW[how]}}, processes=0)
    front = p.front
    with p.connect(20) as waiting:
        waiting.start('GET', '/hello')
        wait_until(lambda: '(spawning 1' in p.text() or p.processes(), 10, 'a start')
        upgrade(p)
        with p.connect(20) as another:
            another.start('GET', '/hello')
            assert another.response().status == 200 and waiting.response().status == 200
    wait_alone(p)
    assert p.front == front and len(p.processes()) == 1
    assert len(re.findall('process \\d+ is ready', p.log())) == 1
    assert len(re.findall('half a line', p.log())) == 1
    pid = p.processes()[0]['pid']
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: p.get('/hello', timeout=20).status == 200, 20, 'another one')


def test_one_at_a_time(box, shop):
    """While requests of before run there is no second upgrade; a stop in the middle of it stops all."""
    p = shop
    gate = box.gate()
    running = p.hold(1, gate.at('/'))
    wait_until(lambda: sum(x['sessions'] for x in p.processes()) == 1, 5, 'a request')
    upgrade(p)
    said = upgrade(p, code=1)
    assert 'still finishes its requests' in said, said
    with subprocess.Popen([passenger.BIN, 'stop', '--instance-dir', p.instance_dir]) as stop:
        p.wait_log('stopping')
        gate.open()
        assert running[0].response().status == 200
        running[0].close()
        assert stop.wait(20) == 0
    p.wait_exit()


def test_a_place_is_given_once(box):
    """Two balancers, one thread: no process ever gets a second request while the first runs."""
    guard = '''
busy = false
run ->(env) {
  raise 'two at once' if busy
  busy = true
  sleep 0.02
  busy = false
  [200, {'Content-Type' => 'text/plain'}, ['one']]
}
'''
    root = box.rack('one', guard)
    p = box.start(passenger={'max_pool_size': 2}, processes=2,
                  apps={'main': {'root': root, 'type': 'ruby', 'min_instances': 2, 'max_request_queue_size': 0}})
    with Load(p.front, '/', keeping=8, new=8, pause=0):
        for _ in range(3):
            upgrade(p)
            wait_alone(p)
    assert p.group()['processes'] and sum(x['errors'] for x in p.processes()) == 0


def test_stopped_while_it_takes_over(box, shop):
    """The one before still serves then: what it has is finished, and who waits for the upgrade is told."""
    p = shop
    gate = box.gate()
    running = p.hold(1, gate.at('/'))
    wait_until(lambda: sum(x['sessions'] for x in p.processes()) == 1, 5, 'a request')
    slow = broken.broken(box, 'balance_command', 'hang')
    command = [passenger.BIN, 'upgrade', '--instance-dir', p.instance_dir, '--binary', slow]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as waits:
        wait_until(lambda: exe(p) == slow, 10, 'the new program')
        with subprocess.Popen([passenger.BIN, 'stop', '--instance-dir', p.instance_dir]) as stop:
            p.wait_log('stopping')
            gate.open()
            assert running[0].response().status == 200
            running[0].close()
            assert stop.wait(60) == 0
        assert waits.wait(10) == 1 and 'passenger is stopping' in waits.stderr.read()
    p.wait_exit()


def test_a_door_in_the_overlap(box, shop):
    """A restart that the new balancer begins: who is at a door of the one before is told to come no more."""
    p = shop
    doors = p.doors()
    gate = box.gate()
    with doors[0].connect() as running:
        running.start('GET', gate.at('/'), doors[0].headers())
        wait_until(lambda: sum(x['sessions'] for x in p.processes()) == 1, 5, 'a request')
        upgrade(p)
        assert box.run('restart', 'main', '--instance-dir', p.instance_dir).returncode == 0
        wait_until(lambda: p.process(doors[0].pid)['state'] != 'enabled', 10, 'it has left rotation')
        gate.open()
        answer = running.response()
        assert answer.status == 200 and answer.closes
    wait_until(lambda: p.rolled(3), 20, 'three new ones')


@pytest.mark.parametrize('who', ['the new one', 'the one before'])
def test_a_balancer_dies_in_the_overlap(box, shop, who):
    """What ran in the other one is finished; nobody gets what is still taken."""
    p = shop
    gate = box.gate()
    running = p.hold(2, gate.at('/'))
    wait_until(lambda: sum(x['sessions'] for x in p.processes()) == 2, 5, 'two requests')
    upgrade(p)
    status = p.status()['balancer']
    assert status['before_pid'] and status['pid'] != status['before_pid']
    p.allow('.')
    os.kill(status['pid' if who == 'the new one' else 'before_pid'], signal.SIGKILL)
    with Load(p.front, '/', pause=0.02) as load:
        wait_until(lambda: load.answered > 20, 10, 'requests')
        # One process of three is free: the others are still at work, whoever asked them.
        assert len({x['pid'] for x in p.processes() if x['sessions'] > 0}) >= 2
        gate.open()
        if who == 'the new one':
            assert [c.response().status for c in running] == [200, 200]
        wait_alone(p)
        wait_until(lambda: all(x['state'] == 'enabled' for x in p.processes()), 10, 'nobody is in doubt any more')
    for connection in running:
        connection.close()
    assert 'has taken over' in upgrade(p)
    wait_alone(p)


@pytest.mark.full
def test_a_hook_that_hangs(box):
    """It has to end before; what is in the way is said, and nothing has changed."""
    gate = box.gate()
    hook = box.write('hook', '#!/bin/sh\nwhile [ ! -e %s ]; do sleep 0.1; done\n' % gate.path, 0o755)
    p = box.start(passenger={'hook_attached_process': hook}, app=box.app('command'))
    before = facts(p)
    assert 'nothing was changed: a hook still runs; try again when it has ended' in upgrade(p, code=1)
    gate.open()
    upgrade(p)
    wait_alone(p)
    assert facts(p) == before


@pytest.mark.root
def test_as_an_ordinary_user(box):
    """Without root there is no balancer's user and no change of rights."""
    root, command = box.program()
    os.chown(box.dir, 65534, 65534)
    p = box.start(apps={'main': {'root': root, 'type': 'command', 'command': command}},
                  launcher=['/usr/bin/setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'])
    before = facts(p)
    upgrade(p, '--binary', broken.copy(box))
    wait_alone(p)
    assert facts(p) == before and exe(p) == box.path('new') and p.get('/hello').status == 200


def test_the_service_manager(box):
    """NOTIFY_SOCKET and the watchdog go over; MAINPID stays."""
    said = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path = box.path('notify')
    said.bind(path)
    said.settimeout(10)
    root, command = box.program()
    p = box.start(apps={'main': {'root': root, 'type': 'command', 'command': command}},
                  env={'NOTIFY_SOCKET': path, 'WATCHDOG_USEC': '400000'})
    upgrade(p)
    said.setblocking(False)
    try:
        while True:
            said.recv(4096)
    except BlockingIOError:
        pass
    said.settimeout(10)
    assert said.recv(4096) == b'WATCHDOG=1'
    said.close()
