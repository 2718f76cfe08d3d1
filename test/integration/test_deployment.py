"""A deployment whose version raises at boot, exits, hangs or opens no socket: the version before serves on, the
reason stands in status, log and page, and starts are not tried again and again."""
import os
import re
import shutil
import signal
import time

import pytest

from lib import procs
from lib.load import Load
from lib.wait import wait_until
from test_restart import pids, restart

# kind, good version, bad version, part of the reason
CASES = {
    'raise': ('ruby', 'hello', 'boot_raise', r'\w'),
    'exit': ('python', 'hello', 'boot_exit', r'exit\(3\)'),
    'hang': ('python', 'hello', 'boot_hang', r'start_timeout'),
    'no_socket': ('node', 'hello', 'never_listens', r'\w'),
    'no_port': ('command', 'origin.py', 'never_ready.py', r'start_timeout'),
}


def deploy(box, kind, version):
    shutil.rmtree(box.path('app'), ignore_errors=True)
    if kind == 'command':
        root, _ = box.program(version, name='app')
        os.rename(os.path.join(root, version), os.path.join(root, 'server.py'))
    else:
        box.folder(kind, version, name='app')


def failures(p):
    return re.findall(r'could not be started \(error (\w{8})\)', p.log())


@pytest.mark.parametrize('case', ['raise'] + [pytest.param(c, marks=pytest.mark.slow) for c in sorted(CASES) if c != 'raise'])
def test_deployment(box, case):
    kind, good, bad, reason = CASES[case]
    deploy(box, kind, good)
    section = {'root': box.path('app'), 'type': kind, 'start_timeout': '2s', 'max_instances': 1}
    if kind == 'command':
        section['command'] = '/usr/bin/python3 server.py'
    p = box.start(app=dict(section, start_timeout='30s'), passenger={'max_pool_size': 4})
    before = pids(p)
    # the time limit is live: the first start may take its time on a busy machine
    box.write('passenger.ini', open(box.path('passenger.ini')).read().replace('start_timeout = 30s', 'start_timeout = 2s'))
    assert box.run('reload', '--instance-dir', p.instance_dir).returncode == 0
    deploy(box, kind, bad)
    with Load(p.front):
        done = restart(box, p, 'main', '--wait')
        assert done.returncode == 1 and 'older processes serve on' in done.stderr, done
        time.sleep(1.5)  # a storm would begin now
    found = failures(p)
    failure = p.group()['last_spawn_failure']
    assert p.group()['restart'] == 'failed' and pids(p) == before
    assert failure['id'] == found[0] and re.search(reason, failure['text']), failure
    assert found[0] in done.stderr and found[0] in p.text()
    print('%s: %d attempts while the old version served' % (case, len(set(found))))
    assert len(set(found)) == 1, found
    # the last process of the old version dies: the page tells, and starts are tried slower and slower
    os.kill(before.pop(), signal.SIGKILL)
    answer = wait_until(lambda: (lambda a: a if a.status == 500 else None)(p.get()), 20, 'an error page')
    assert any(failure in answer.text for failure in failures(p)), (answer, failures(p))
    began = time.monotonic()
    while time.monotonic() < began + 2:
        p.get(timeout=20)
    attempts = len(set(failures(p)))
    print('%s: %d attempts after %.1f s without any' % (case, attempts, time.monotonic() - began))
    assert attempts <= 5


def test_reason_that_lies_unread_when_the_process_has_ended(box):
    """Whoever looks after one that has ended reaps all of them: the last words of the others must not be lost."""
    box.write('slow/wsgi.py', '''
import os, time
print('begun', flush=True)
while not os.path.exists('../go'):
    time.sleep(0.01)
raise ValueError('the last words')
''')
    p = box.start(passenger={'max_pool_size': 4}, processes=0, apps={
        'good': {'root': box.folder('ruby', 'hello'), 'host': 'good', 'min_instances': 1},
        'slow': {'root': box.path('slow'), 'host': 'slow', 'min_instances': 1}})
    p.allow('.')
    victim = p.wait_processes(1, app='good') and p.processes(app='good')[0]['pid']
    pid = int(p.wait_log(r'App slow (\d+) output: begun').group(1))
    p.signal(signal.SIGSTOP)
    try:
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: procs.status_field(victim, 'State').startswith('Z'), 10, 'a first one that has ended')
        box.write('go', '')
        wait_until(lambda: procs.status_field(pid, 'State').startswith('Z'), 10, 'a second one that has ended')
    finally:
        p.signal(signal.SIGCONT)
    assert 'ValueError: the last words' in p.wait_log(r'application slow: a process could not be started.*').group()
