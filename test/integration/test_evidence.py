"""Limits of processes: what leaks, spins, sleeps, stands still or never becomes ready is ended, with evidence."""
import os
import re
import signal
import stat
import subprocess
import threading
import time

import pytest

from lib import client
from lib.wait import wait_until

KINDS = ('ruby', 'python', 'node', 'command')
# What a language can tell of a request that sleeps, that spins in its own code, and that holds its interpreter.
STACKS = {
    'ruby': {'sleep': r'config\.ru:5:in `sleep', 'spin': r'config\.ru:6:in', 'hold': r'config\.ru:7:in'},
    'python': {'sleep': r'passenger_wsgi\.py", line 12', 'spin': r'passenger_wsgi\.py", line 1[34]',
               'hold': r'passenger_wsgi\.py", line 16'},
    'node': {'sleep': r'in flight: GET /slow/sleep', 'spin': r'did not answer', 'hold': r'did not answer'},
    'command': {'sleep': r'said nothing', 'spin': r'said nothing', 'hold': None},
}


def trouble(box, kind, name, **options):
    """The [app] section of test/apps/KIND/trouble."""
    if kind == 'command':
        root, command = box.program('trouble.py', name)
        section = {'root': root, 'type': 'command', 'command': command}
    else:
        section = {'root': box.folder(kind, 'trouble', name), 'type': kind}
    section.update({'base_uri': '/' + name, **options})
    return section


def evidence(p, pattern):
    """The text of the file that this log line names."""
    path = p.wait_log(pattern + r'.*; evidence: (\S+)', 30).group(1)
    status = os.stat(path)
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_uid == os.geteuid()
    with open(path, errors='replace') as f:
        return path, f.read()


def in_background(p, paths, method='GET'):
    answers = {}

    def get(path):
        try:
            answers[path] = p.get(path, method, timeout=90)
        except (OSError, client.ProtocolError) as error:
            answers[path] = error
    threads = [threading.Thread(target=get, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    return threads, answers


@pytest.mark.parametrize('kind', KINDS)
def test_limits_of_each_kind(box, kind):
    """A request that takes too long, one that takes memory, one that spins: each ends its process, never a second
    one; the log names request and file, the file has request, memory, descriptors and stacks."""
    p = box.start(passenger={'max_pool_size': 6, 'analytics_collection_rate': '200ms'}, apps={
        'slow': trouble(box, kind, 'slow', max_request_time='1s'),
        'large': trouble(box, kind, 'large', hard_memory_limit=80),
        'busy': trouble(box, kind, 'busy', cpu_limit='1s')})
    before = {app: p.processes(app=app)[0]['pid'] for app in ('slow', 'large', 'busy')}
    threads, answers = in_background(p, ['/slow/sleep', '/busy/spin', '/large/leak'])
    for app, limit, request in (('slow', 'max_request_time', 'sleep'), ('busy', 'cpu_limit', 'spin'),
                                ('large', 'hard_memory_limit', None)):
        where = {'slow': 'GET /slow/sleep has run for 1', 'busy': 'processor time', 'large': 'it uses'}[app]
        path, text = evidence(p, r'application %s: process %d reached %s: .*%s' % (app, before[app], limit, where))
        assert text.startswith('passenger ') and limit in text.split('\n')[0]
        for section in ('--- Requests', '--- smaps_rollup', '--- Threads', '--- Open descriptors', 'Pss:', '0 -> '):
            assert section in text, section
        if request:
            assert re.search(r'GET /%s/%s\n    began \d+\.\d+ s ago, from \S+, by the front' % (app, request), text)
            assert re.search(STACKS[kind][request], text), text[-3000:]
        wait_until(lambda: p.group(app)['limits_reached'][limit], 5, 'the count')
        assert p.group(app)['newest_evidence'] == path
    for thread in threads:
        thread.join()
    assert answers['/slow/sleep'].status == 504
    assert answers['/busy/spin'].status == 502
    # What was answered before anybody looked is answered.
    assert answers['/large/leak'].status in (200, 502)
    for app in before:
        wait_until(lambda: p.get('/%s/' % app).status == 200, 10, 'a new process')
        assert p.get('/%s/' % app).body.decode().strip() != str(before[app])
        assert sum(p.group(app)['limits_reached'].values()) == 1
    text = p.text()
    assert 'Limits reached: max_request_time 1x' in text
    assert 'Newest evidence: ' in text
    # No stacks in the log: they stand in the file.
    assert 'backtraces of all threads' not in p.log()


@pytest.mark.parametrize('kind', ('ruby', 'command'))
def test_a_tunnel_has_time(box, kind):
    """max_request_time is nothing to an upgraded connection, while it ends an ordinary request beside it."""
    p = box.serve(kind, max_request_time='500ms', **({'thread_count': 2} if kind == 'ruby' else {}))
    with p.connect() as c:
        c.start('GET', '/upgrade', {'Upgrade': 'echo', 'Connection': 'Upgrade'})
        assert c.head().status == 101
        begin = time.monotonic()
        while time.monotonic() - begin < 1.5:
            c.send(b'here')
            assert c.octets(4) == b'here'
        assert p.get('/sleep?ms=20000').status == 504
    evidence(p, r'reached max_request_time: GET /sleep\?ms=20000')


def test_time_of_a_request_outlives_its_balancer(box):
    """The deadline stands in the scoreboard: the next balancer holds the process to it, before drain_timeout."""
    p = box.start(apps={'main': trouble(box, 'ruby', 'main', max_request_time='2s')})
    pid = p.processes()[0]['pid']
    threads, _ = in_background(p, ['/main/sleep'], 'POST')
    wait_until(lambda: p.process(pid)['sessions'] == 1, 5, 'a busy one')
    os.kill(p.balancer, signal.SIGKILL)
    wait_until(lambda: (p.process(pid) or {}).get('state') == 'recovering', 5, 'the next balancer')
    assert p.process(pid)['requests'][0]['given_up']
    _, text = evidence(p, r'process %d reached max_request_time: POST /main/sleep, which was given up' % pid)
    assert re.search(STACKS['ruby']['sleep'], text)
    threads[0].join()


@pytest.mark.parametrize('kind', ('ruby', 'python'))
def test_stacks_of_a_held_interpreter(box, kind):
    """No thread of the loader can run: the language's own way, by a signal, tells where it is."""
    p = box.start(apps={'slow': trouble(box, kind, 'slow', max_request_time='500ms')})
    assert p.get('/slow/hold').status == 504
    _, text = evidence(p, 'reached max_request_time')
    assert re.search(STACKS[kind]['hold'], text), text[-3000:]


@pytest.mark.parametrize('kind', ('ruby', 'node'))
def test_a_stopped_process_is_replaced(box, kind):
    """SIGSTOP: nothing new is sent there; an idle one goes at once, a busy one after response_timeout."""
    p = box.start(passenger={'max_pool_size': 4, 'analytics_collection_rate': '200ms'}, processes=2,
                  apps={'main': dict(trouble(box, kind, 'main', min_instances=2, response_timeout='2s'))})
    first, second = p.processes()
    threads, answers = in_background(p, ['/main/sleep'])
    busy = wait_until(lambda: [x for x in p.processes() if x['sessions'] == 1], 5, 'a busy one')[0]['pid']
    idle = first['pid'] if busy == second['pid'] else second['pid']
    for pid in (busy, idle):
        os.kill(pid, signal.SIGSTOP)
    evidence(p, r'process %d reached response_timeout: it is stopped' % idle)
    evidence(p, r'process %d reached response_timeout: it is stopped' % busy)
    threads[0].join()
    assert answers['/main/sleep'].status in (502, 504)
    p.wait_processes(2)
    assert p.get('/main/').status == 200


def test_a_hung_program_is_noticed(box):
    """HTTP without a loader's word: after response_timeout of silence it is asked whether it lives."""
    p = box.start(passenger={'max_pool_size': 2}, apps={
        'main': trouble(box, 'node', 'main', response_timeout='500ms')})
    pid = p.processes()[0]['pid']
    # One that is slow, but lives, is left alone.
    assert p.get('/main/sleep').status == 504
    assert p.get('/main/').body.decode().strip() == str(pid)
    assert p.get('/main/spin').status == 504
    evidence(p, r'process %d reached response_timeout: it does not answer any more' % pid)
    wait_until(lambda: p.get('/main/').status == 200, 10, 'a new process')


def test_memory_limit_replaces_first(box):
    """Soft: the new process is there before the old one goes, and no request is lost."""
    p = box.start(passenger={'max_pool_size': 3, 'analytics_collection_rate': '200ms'}, apps={
        'main': trouble(box, 'ruby', 'main', memory_limit='80m')})
    pid = p.processes()[0]['pid']
    assert p.get('/main/leak').status == 200
    p.wait_log(r'process %d reached memory_limit: it uses (8\d|9\d|1\d\d) MB; it is replaced' % pid)
    statuses = []
    wait_until(lambda: statuses.append(p.get('/main/').status) or p.process(pid) is None, 10, 'its end')
    assert set(statuses) == {200}
    log = p.log()
    assert log.count(' is ready after') >= 2
    assert log.rindex('is ready after') < log.index('process %d stopped' % pid)
    assert p.group()['limits_reached']['memory_limit'] == 1


def test_start_timeout_says_where(box):
    root = box.rack(text='sleep\nrun nil\n')
    p = box.start(app={'root': root, 'type': 'ruby', 'start_timeout': '1s'}, processes=0)
    path = p.wait_log(r'not ready within start_timeout \(1\.000 s\): still at .*; evidence: (\S+)\. ').group(1)
    with open(path) as f:
        assert re.search(r'config\.ru:1:in `sleep', f.read())
    assert path in p.group()['last_spawn_failure']['text']


def test_backtrace_on_request(box):
    """`passenger backtrace PID` shows it all and disturbs nothing."""
    p = box.start(apps={'main': trouble(box, 'python', 'main')})
    pid = p.processes()[0]['pid']
    threads, answers = in_background(p, ['/main/hold'], 'POST')
    wait_until(lambda: p.process(pid)['sessions'] == 1, 5, 'a busy one')
    done = box.run('backtrace', str(pid), '--instance-dir', p.instance_dir)
    assert done.returncode == 0, done
    assert re.search(STACKS['python']['hold'], done.stdout), done.stdout[-3000:]
    assert 'POST /main/hold' in done.stdout and 'Kept as ' in done.stdout
    assert p.process(pid)
    assert box.run('backtrace', '1', '--instance-dir', p.instance_dir).returncode == 1
    assert box.run('backtrace', 'x', '--instance-dir', p.instance_dir).returncode == 2
    os.kill(pid, signal.SIGKILL)
    threads[0].join()
    assert answers['/main/hold'].status == 502


def test_files_are_bounded(box):
    """A folder of one's own: it is kept, and holds the newest 50."""
    folder = box.path('evidence')
    os.mkdir(folder, 0o700)
    for i in range(60):
        box.write('evidence/20200101-000000.%06d-old-1.txt' % i, 'x')
    box.write('evidence/notes', 'not ours')
    p = box.start(passenger={'evidence_dir': folder}, apps={'main': trouble(box, 'python', 'main')})
    pid = p.processes()[0]['pid']
    assert box.run('backtrace', str(pid), '--instance-dir', p.instance_dir).returncode == 0
    names = sorted(os.listdir(folder))
    assert len(names) == 51 and 'notes' in names
    assert names[0] == '20200101-000000.000011-old-1.txt'
    p.stop()
    assert len(os.listdir(folder)) == 51


def cgroups_of(p):
    """Folders that it has made, by controller or hierarchy."""
    found = []
    for folder, names, _ in os.walk('/sys/fs/cgroup'):
        found += [os.path.join(folder, name) for name in names if name.startswith('passenger-%d' % p.pid)]
    return found


def test_cgroup(box):
    """What the kernel lets us limit is limited, for all processes together, and gone afterwards; the rest is said."""
    p = box.start(passenger={'max_pool_size': 4}, apps={'main': trouble(
        box, 'ruby', 'main', cgroup_memory_max='150m', cgroup_cpu_max=90, cgroup_pids_max=50)})
    said = p.group()['cgroup']
    assert 'Cgroup: ' + said in p.text()
    pid = p.processes()[0]['pid']
    for controller, files in (('memory', ('memory.limit_in_bytes', 'memory.max')), ('pids', ('pids.max',)),
                              ('cpu', ('cpu.cfs_quota_us', 'cpu.max'))):
        if '%s limited' % controller not in said:
            assert '%s NOT limited: ' % controller in said
            p.wait_log('limits by cgroup: .*%s NOT limited' % controller)
            continue
        values = {}
        for folder in cgroups_of(p):
            for file in files:
                path = os.path.join(folder, file)
                if os.path.exists(path) and str(pid) in open(os.path.join(folder, 'cgroup.procs')).read().split():
                    values[file] = open(path).read().strip()
        assert list(values.values())[0].split()[0] == {'memory': '157286400', 'pids': '50', 'cpu': '90000'}[controller]
    if 'memory limited' in said:
        p.get('/main/leak')
        p.get('/main/leak')
        p.wait_log('beyond cgroup_memory_max the kernel has killed 1 of its processes')
        wait_until(lambda: p.get('/main/').status == 200, 10, 'a new process')
        assert p.group()['limits_reached']['cgroup_memory_max'] >= 1
    p.stop()
    assert cgroups_of(p) == []


def test_cgroup_that_can_not_be_had(box):
    """No hierarchy in sight: the application runs without, and log and status say so."""
    hide = ['unshare', '-m', 'sh', '-c', 'umount -l -R /sys/fs/cgroup; exec "$@"', 'sh']
    can_hide = subprocess.run(['unshare', '-m', 'true']).returncode == 0
    if not can_hide:  # a container without rights: then it may not write there either
        hide = []
    p = box.start(apps={'main': trouble(box, 'python', 'main', cgroup_pids_max=50)}, launcher=hide)
    p.wait_log('application main: limits by cgroup: pids NOT limited: ' + ('this machine shows no' if hide else ''))
    assert 'NOT limited' in p.group()['cgroup']
    assert p.get('/main/').status == 200
