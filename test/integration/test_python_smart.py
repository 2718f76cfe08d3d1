"""Python applications that are loaded once, in a preloader, and forked for each process: WSGI and ASGI alike."""
import os
import re
import shutil
import signal
import subprocess

import pytest

from lib import procs
from lib.smart import fork_fails
from lib.wait import wait_until

PYTHON = shutil.which('python3', path='/usr/bin:/bin')

# Tells of its process; WSGI and ASGI at once.
COMMON = '''
import atexit, json, os, random, sys
LOADED_BY = os.getpid()
with open(os.environ["LOADS"], "a") as f:
    f.write("%d\\n" % os.getpid())
here = os.path.dirname(os.path.abspath(__file__))
VERSION = open(here + "/version").read() if os.path.exists(here + "/version") else "1"
hooked = []
os.register_at_fork(before=lambda: hooked.append("before"), after_in_child=lambda: hooked.append("child"))
atexit.register(lambda: print("at exit %d" % os.getpid(), file=sys.stderr))
print("half a line", end="")

def told():
    return json.dumps({"pid": os.getpid(), "ppid": os.getppid(), "loaded_by": LOADED_BY, "hooked": hooked,
        "version": VERSION, "random": random.getrandbits(60), "mark": os.environ["PASSENGER_PROCESS"],
        "stdin": sys.stdin.read()}).encode()
'''
WSGI = COMMON + '''
def application(environ, start_response):
    body = told()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
'''
ASGI = COMMON + '''
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            step = (await receive())["type"]
            print("%s %d" % (step, os.getpid()), file=sys.stderr)
            await send({"type": step + ".complete"})
            if step.endswith("shutdown"):
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": told()})
'''
BOTH = pytest.mark.parametrize('code', [WSGI, ASGI], ids=['wsgi', 'asgi'])


@pytest.fixture
def smart(box):
    def start(code=WSGI, processes=3, extra='', ready=True, passenger=None, **options):
        root = box.path('app')
        os.makedirs(root, exist_ok=True)
        box.write('app/wsgi.py', code.replace('LOADED_BY', extra + '\nLOADED_BY', 1))
        loads = os.path.join(box.work, 'loads')
        section = {'root': root, 'python': PYTHON, 'min_instances': processes, 'spawn_method': 'smart',
                   'env.LOADS': loads}
        section.update(options)
        p = box.start(passenger=dict({'max_pool_size': processes, 'log_level': 4}, **(passenger or {})), app=section,
                      processes=processes, ready=ready)
        p.loads = lambda: [int(pid) for pid in open(loads)] if os.path.exists(loads) else []
        return p
    return start


def pids(p):
    return [process['pid'] for process in p.processes()]


def told(p):
    return [door.request('/').json() for door in p.doors() if door.state == 'enabled']


@BOTH
def test_processes_are_forked_and_ours(smart, code):
    p = smart(code)
    answers = told(p)
    first = p.group()['preloader_pid']
    assert p.loads() == [first] and procs.parent(first) == p.pid and first not in pids(p)
    assert len({a['pid'] for a in answers}) == len({a['random'] for a in answers}) == len({a['mark'] for a in answers}) == 3
    for answer in answers:
        assert answer['ppid'] == p.pid and answer['loaded_by'] == first and answer['stdin'] == ''
        assert answer['hooked'][-3:] == ['child', 'before', 'child']
        fields = procs.stat_of(answer['pid'])
        assert int(fields[2]) == int(fields[3]) == answer['pid'], 'a group and a session of its own'
        # its own descriptors and no others: those of the preloader stay with that
        own = procs.descriptors(answer['pid'])
        shared = set(own.values()) & set(procs.descriptors(first).values())
        assert all(name.startswith(('/', 'anon_inode')) for name in shared), shared
    if code is ASGI:
        for pid in pids(p):
            p.wait_log(r'^App main %d output: lifespan.startup %d$' % (pid, pid))
    all_pids = pids(p)
    assert p.stop() == 0
    for pid in all_pids:
        assert re.search(r'^App main %d output: at exit %d$' % (pid, pid), p.log(), re.M)
    assert 'at exit %d' % first not in p.log() and 'Traceback' not in p.log()
    assert p.log().count('half a line') == 1, 'what a buffer holds is not forked with it'


@BOTH
def test_direct_unless_it_is_asked_for(smart, code):
    p = smart(code, spawn_method='auto', processes=2)
    counts = [len(procs.descriptors(pid)) for pid in pids(p)]
    assert p.group()['preloader_pid'] is None and sorted(p.loads()) == sorted(pids(p))
    p.stop()
    p = smart(code, processes=2)
    assert [len(procs.descriptors(pid)) for pid in pids(p)] == counts


def test_threads_of_a_process(smart):
    p = smart(thread_count=4, processes=2)
    assert {process['concurrency'] for process in p.processes()} == {4} and len(p.loads()) == 1
    assert len(told(p)) == 2


def test_new_code_comes_with_a_restart(box, smart):
    p = smart(processes=2, passenger={'max_pool_size': 4})
    first = p.group()['preloader_pid']
    box.write('app/version', '2')
    assert {a['version'] for a in told(p)} == {'1'}
    old = set(pids(p))
    assert box.run('restart', '--instance-dir', p.instance_dir, 'main').returncode == 0
    wait_until(lambda: len(pids(p)) == 2 and not set(pids(p)) & old, 20, 'new processes')
    assert {a['version'] for a in told(p)} == {'2'}
    wait_until(lambda: procs.identity(first) is None, 5, 'the end of the old preloader')


def test_preloader_is_killed(smart):
    p = smart(processes=2)
    before, first = pids(p), p.group()['preloader_pid']
    os.kill(first, signal.SIGKILL)
    p.wait_log(r'preloader %d ended: killed by signal 9' % first)
    assert [a['pid'] for a in told(p)] == before
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(set(pids(p)) - {before[0]}) == 2, 10, 'a replacement')
    assert p.group()['preloader_pid'] not in (None, first) and len(p.loads()) == 2
    assert p.group()['spawn_failures'] == 0
    p.seen.pop(before[0], None)


def test_idle_preloader_stops(smart):
    p = smart(processes=1, max_preloader_idle_time='1s')
    first = int(p.wait_log(r'preloader (\d+) is ready').group(1))
    p.wait_log(r'preloader %d has been idle' % first)
    wait_until(lambda: procs.identity(first) is None, 5, 'its end')
    assert told(p)[0]['loaded_by'] == first


def test_application_that_can_not_be_imported(smart):
    p = smart(processes=1, ready=False, extra='import no_such_galaxy')
    group = wait_until(lambda: p.status() and p.group()['spawn_failures'] and p.group(), 10, 'the failure')
    assert "No module named 'no_such_galaxy'" in group['last_spawn_failure']['text']
    p.wait_log(r'output: \*\*\* Exception ModuleNotFoundError while the application was loaded')


def test_fork_fails(box, smart):
    p = smart(processes=1, extra='''
real_fork = os.fork
def fork():
    if os.path.exists(os.environ["LOADS"] + "-nofork"):
        raise OSError(11, "no room for a child")
    return real_fork()
os.fork = fork
''')
    fork_fails(p, os.path.join(box.work, 'loads-nofork'))


def test_threads_of_the_preloader_are_told_of(smart):
    p = smart(processes=1, extra='import threading, time\n'
              'threading.Thread(target=time.sleep, args=(600,), name="collector", daemon=True).start()')
    p.wait_log(r'started threads while it was loaded: 1 \(collector\)\..*set spawn_method = direct')
    assert len(told(p)) == 1


def test_spawner_is_killed(smart):
    p = smart(processes=2)
    all_pids = [procs.identity(pid) for pid in pids(p) + [p.group()['preloader_pid']]]
    p.exit_codes = (-9,)
    os.kill(p.pid, signal.SIGKILL)
    p.wait_exit()
    wait_until(lambda: not [i for i in all_pids if procs.alive(i)], 3, 'the end of all')


@pytest.mark.slow
def test_memory_of_django(box):
    """6 processes of a Django project that were forked, and their preloader, against 6 that loaded it by themselves."""
    root = box.path('shop')
    os.mkdir(root)
    subprocess.run([PYTHON, '-m', 'django', 'startproject', 'shop', root], check=True, timeout=300)
    with open(root + '/shop/settings.py', 'a') as f:
        f.write('DEBUG = False\nALLOWED_HOSTS = ["*"]\n')
    subprocess.run([PYTHON, 'manage.py', 'migrate', '-v', '0'], cwd=root, check=True, timeout=300)
    sums = {}
    for method in ('direct', 'smart'):
        p = box.start(passenger={'max_pool_size': 6}, processes=6, app={
            'root': root, 'type': 'python', 'python': PYTHON, 'wsgi_module': 'shop.wsgi', 'min_instances': 6,
            'spawn_method': method, 'refork_after_requests': 6})
        for step in (method, 'reforked')[:1 if method == 'direct' else 2]:
            if step == 'reforked':
                p.get('/admin/login/')  # one more than that
                wait_until(lambda: p.group()['generation'] == 1 and p.rolled(6), 20, 'warm processes')
            for _ in range(5):
                for door in p.doors():
                    assert door.request('/admin/login/?next=/').status == 200
            everybody = pids(p) + [p.group()['preloader_pid']] * (step != 'direct')
            sums[step] = sum(procs.pss_kb(pid) for pid in everybody)
            print('%s: %d KiB in %d processes, %.1f %% of direct' % (
                step, sums[step], len(everybody), 100 * sums[step] / sums['direct']))
        p.stop()
    assert sums['smart'] <= 0.6 * sums['direct']
    assert sums['reforked'] <= 0.9 * sums['smart']
