"""refork_after_requests: a process that has served becomes the preloader, and the others are forked from it."""
import os
import re
import shutil
import signal
import threading

import pytest

from lib import procs
from lib.load import Load
from lib.wait import wait_until

PYTHON = shutil.which('python3', path='/usr/bin:/bin')
# Who answered the first request of all, in whatever process that was, and how many such there were.
RUBY = '''
require "json"
LOADED_BY = Process.pid
$warmed_by = []
PhusionPassenger.on_event(:starting_worker_process) { |forked| $stderr.puts "starting #{Process.pid} #{forked}" }
PhusionPassenger.on_event(:stopping_worker_process) { $stderr.puts "stopping #{Process.pid}" }
run lambda { |env|
  $warmed_by |= [Process.pid] if $warmed_by.last != Process.pid
  told = { pid: Process.pid, ppid: Process.ppid, loaded_by: LOADED_BY, warmed_by: $warmed_by, random: rand(1 << 60) }
  [200, { "content-type" => "application/json" }, [JSON.generate(told)]]
}
'''
COMMON = '''
import json, os, random, sys
LOADED_BY = os.getpid()
warmed_by = []
def told():
    if os.getpid() not in warmed_by:
        warmed_by.append(os.getpid())
    return json.dumps({"pid": os.getpid(), "ppid": os.getppid(), "loaded_by": LOADED_BY, "warmed_by": warmed_by,
                       "random": random.getrandbits(60)}).encode()
'''
WSGI = COMMON + '''
def application(environ, start_response):
    body = told()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
'''
ASGI = COMMON + '''
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        for _ in range(2):
            step = (await receive())["type"]
            print("%s %d" % (step, os.getpid()), file=sys.stderr)
            await send({"type": step + ".complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": told()})
'''
CODES = {'ruby': ('config.ru', RUBY), 'wsgi': ('wsgi.py', WSGI), 'asgi': ('asgi.py', ASGI)}


@pytest.fixture
def warm(box):
    def start(kind='ruby', processes=3, extra='', passenger=None, **options):
        file, code = CODES[kind]
        box.write('app/' + file, extra + code)
        section = {'root': box.path('app'), 'min_instances': processes, 'spawn_method': 'smart',
                   'refork_after_requests': 20}
        if kind != 'ruby':
            section['python'] = PYTHON
        section.update(options)
        return box.start(passenger=dict({'max_pool_size': processes + 1, 'log_level': 4}, **(passenger or {})),
                         app=section, processes=processes)
    return start


def pids(p):
    return [process['pid'] for process in p.processes() if process['state'] == 'enabled']


def told(p):
    return [door.request('/').json() for door in p.doors() if door.state == 'enabled']


def wait_reforked(p, first, count, pause=0.3):
    """Under load, until the preloader is another one and all are its children; the preloader's pid.
    The load is so light, then, that it is not enough for the next time."""
    said = len(p.log())
    before = {process['pid'] for process in p.processes()}
    for _ in range(30):
        p.get('/')
    with Load(p.front, '/', 1, 1, pause):
        # the log has each one: a heavy load may bring about another one before status is looked at
        found = wait_until(lambda: re.search(r'process (\d+) is warm', p.log()[said:]), 20, 'a warm preloader')
        new = int(found.group(1))
        assert new in before and new != first
        wait_until(lambda: p.rolled(count), 20, 'its processes')
    for pid in before:
        p.seen.pop(pid, None)
    return new


@pytest.mark.parametrize('kind,threads', [
    ('ruby', 1), ('ruby', 4), pytest.param('wsgi', 1, marks=pytest.mark.slow), ('wsgi', 4), ('asgi', 1)])
def test_warm_process_becomes_the_preloader(warm, kind, threads):
    p = warm(kind, thread_count=threads)
    first = p.group()['preloader_pid']
    new = wait_reforked(p, first, 3)
    p.wait_log(r'process %d has answered \d+ requests and is to be the preloader' % new)
    wait_until(lambda: procs.identity(first) is None, 5, 'the end of the one before')
    answers = told(p)
    assert len({a['random'] for a in answers}) == len(answers) == 3
    for answer in answers:
        assert answer['loaded_by'] == first, 'loaded once'
        assert answer['warmed_by'] == [new, answer['pid']], 'what it had cached is there'
        assert answer['ppid'] == p.pid
        assert procs.stat_of(answer['pid'])[2] == str(answer['pid']), 'a group of its own'
    every = [len(procs.descriptors(pid)) for pid in pids(p)]
    assert max(every) - min(every) <= 1, 'none comes with the generations (a connection may be there)'
    if kind == 'ruby':
        assert re.search(r'^App main %d output: stopping %d$' % (new, new), p.log(), re.M)
        for answer in answers:
            assert re.search(r'^App main \d+ output: starting %d true$' % answer['pid'], p.log(), re.M)
    if kind == 'asgi':
        assert re.search(r'^App main %d output: lifespan.shutdown %d$' % (new, new), p.log(), re.M)
    # no descriptor of a listener or a request stays in it
    assert os.readlink('/proc/%d/fd/3' % new) == '/dev/null'
    assert p.group()['spawn_failures'] == 0 and p.stop() == 0
    assert 'spawn_failed' not in p.log() and 'killing' not in p.log()


def test_next_time_after_twice_as_many(warm):
    p = warm(processes=2, refork_after_requests=30)
    first = p.group()['preloader_pid']
    wait_reforked(p, wait_reforked(p, first, 2, 0.005), 2, 0.005)
    wait_until(lambda: p.rolled(2), 20, 'the end of what the load has brought about')
    counts = [int(n) for n in re.findall(r'has answered (\d+) requests', p.log())]
    assert len(counts) >= 2 and all(n >= 30 << i for i, n in enumerate(counts)), counts
    warm_ones = [int(pid) for pid in re.findall(r'process (\d+) is warm', p.log())]
    for answer in told(p):
        assert answer['warmed_by'] == warm_ones + [answer['pid']]
    # what one of them leaves behind is known as theirs: they live through the search for strays
    victim, other = pids(p)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(set(pids(p)) - {victim}) == 2, 10, 'a replacement')
    assert other in pids(p)
    p.seen.pop(victim, None)


@pytest.mark.slow
def test_restart_loads_the_application(box, warm):
    p = warm(processes=2)
    new = wait_reforked(p, p.group()['preloader_pid'], 2)
    assert box.run('restart', '--wait', '--instance-dir', p.instance_dir, 'main').returncode == 0
    wait_until(lambda: procs.identity(new) is None, 5, 'the end of the warm preloader')
    first = p.group()['preloader_pid']
    assert {a['loaded_by'] for a in told(p)} == {first} != {new}


@pytest.mark.slow
def test_warm_preloader_is_killed(warm):
    """It costs the next process a load, and no other anything."""
    p = warm(processes=2)
    new = wait_reforked(p, p.group()['preloader_pid'], 2)
    before = pids(p)
    os.kill(new, signal.SIGKILL)
    p.wait_log(r'preloader %d ended: killed by signal 9' % new)
    assert sorted(a['pid'] for a in told(p)) == sorted(before)
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(set(pids(p)) - {before[0]}) == 2, 10, 'a replacement')
    assert p.group()['spawn_failures'] == 0
    p.seen.pop(before[0], None)


@pytest.mark.parametrize('kind', ['wsgi', pytest.param('asgi', marks=pytest.mark.slow)])
def test_threads_of_the_application_are_not_forked(warm, kind):
    extra = '''
import os, threading, time
os.register_at_fork(after_in_child=lambda: threading.Thread(target=time.sleep, args=(600,), name="pump", daemon=True).start())
'''
    p = warm(kind, processes=2, extra=extra)
    first = p.group()['preloader_pid']
    with Load(p.front, '/', 1, 1):
        p.wait_log(r'can not be the preloader .*: pump', 20)
        p.wait_processes(2, 10)
    assert p.group()['preloader_pid'] == first and p.group()['spawn_failures'] == 0


@pytest.mark.parametrize('heard', [True, False])
def test_balancer_dies_meanwhile(warm, heard):
    """The one that is drained to be the preloader when the balancer dies becomes it with the next one; so does one of whose
    choice no balancer has heard."""
    extra = 'PhusionPassenger.on_event(:stopping_worker_process) { sleep 0.3 }\n'
    p = warm(processes=2, extra=extra)
    first, before = p.group()['preloader_pid'], set(pids(p))
    old = p.balancer
    for _ in range(25):
        p.get('/')
    if not heard:
        os.kill(old, signal.SIGSTOP)
    p.wait_log('is to be the preloader')
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: p.balancer not in (None, old), 10, 'a new balancer')
    wait_until(lambda: p.group()['preloader_pid'] in before, 10, 'the warm preloader')
    wait_until(lambda: p.rolled(2), 10, 'its processes')
    assert {a['loaded_by'] for a in told(p)} == {first}
    for pid in before:
        p.seen.pop(pid, None)


@pytest.mark.slow
def test_never_without_a_second_process(warm):
    p = warm(processes=1)
    first = p.group()['preloader_pid']
    for _ in range(60):
        p.get('/')
    # status is looked at as often as the spawner looks
    done = threading.Event()
    done.wait(2.5)
    assert p.group()['preloader_pid'] == first and 'is to be the preloader' not in p.log()


@pytest.mark.slow
def test_upgrade_keeps_the_warm_preloader(box, warm):
    p = warm(processes=2)
    new = wait_reforked(p, p.group()['preloader_pid'], 2)
    before, balancer = pids(p), p.balancer
    done = box.run('upgrade', '--instance-dir', p.instance_dir)
    assert done.returncode == 0, done
    wait_until(lambda: p.balancer not in (None, balancer), 20, 'another balancer')
    assert pids(p) == before and p.group()['preloader_pid'] == new
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(set(pids(p)) - {before[0]}) == 2, 10, 'a replacement')
    assert all(new in a['warmed_by'] for a in told(p)) and p.group()['spawn_failures'] == 0
    p.seen.pop(before[0], None)
