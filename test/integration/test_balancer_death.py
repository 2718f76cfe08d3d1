"""kill -9 of the balancer under load: no process lost, same doors and passwords, no connection
refused, only requests in flight at that moment fail, and the counters go on."""
import os
import threading
import time

import pytest

from lib import client, procs
from lib.wait import in_time, wait_until


class Load:
    """Clients, half of them with keep-alive, with a strict account of every failure."""

    def __init__(self, address, clients):
        self.address = address
        self.end = threading.Event()
        self.lock = threading.Lock()
        self.ok = self.refused = self.cut = 0
        self.wrong = []
        self.cut_times = []
        self.longest = 0.0
        self.threads = [threading.Thread(target=self.work, args=(i,), daemon=True) for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def work(self, number):
        connection = None
        while not self.end.is_set():
            begin = time.monotonic()
            try:
                if connection is None:
                    connection = client.Connection(self.address, 15)
                r = connection.request('GET', '/load%d' % number)
                with self.lock:
                    if r.status == 200 and r.json()['path'] == '/load%d' % number:
                        self.ok += 1
                    else:
                        self.wrong.append(r)
                    self.longest = max(self.longest, time.monotonic() - begin)
                if number % 2 or r.closes:
                    connection.close()
                    connection = None
            except ConnectionRefusedError:
                with self.lock:
                    self.refused += 1
            except (client.Closed, ConnectionError):
                with self.lock:
                    self.cut += 1
                    self.cut_times.append((begin, time.monotonic()))
                connection = connection.close() if connection else None
            except Exception as e:  # a thread must tell, whatever it was
                with self.lock:
                    self.wrong.append(e)
                connection = connection.close() if connection else None

    def stop(self):
        self.end.set()
        for thread in self.threads:
            thread.join(30)


def kill_balancer(p, previous):
    pid = p.status()['balancer']['pid']
    assert pid and pid != previous
    when = time.monotonic()
    os.kill(pid, 9)
    return pid, when


def counters(p, status):
    return {x['pid']: x['processed'] for x in p.processes(status)}, status['balancer']['requests']


@pytest.mark.parametrize('kills', [3, pytest.param(20, marks=pytest.mark.slow)])
def test_balancer_dies_under_load(box, kind, kills):
    p = box.serve(kind, processes=2)
    doors = {d.key() for d in p.doors()}
    identities = {pid: procs.identity(pid) for pid, _, _ in doors}
    front = p.front
    load = Load(front, 8)
    try:
        previous, seen, total, moments = None, {}, 0, []
        for number in range(kills):
            target = load.ok + 100
            wait_until(lambda: load.ok >= target, 30, 'load to flow after kill %d' % number)
            previous, when = kill_balancer(p, previous)
            moments.append(when)

            def back():
                status = p.status()
                return status and status['balancer']['pid'] not in (0, None, previous) and status
            status = wait_until(back, 10, 'a new balancer')
            assert {d.key() for d in p.doors()} == doors
            now, requests = counters(p, status)
            assert all(now[pid] >= seen.get(pid, 0) for pid in now), (seen, now)
            assert requests >= total
            seen, total = now, requests
            assert all(procs.alive(i) for i in identities.values())
        target = load.ok + 100
        wait_until(lambda: load.ok >= target, 30, 'load to flow at the end')
    finally:
        load.stop()
    assert load.refused == 0
    assert not load.wrong, load.wrong[:3]
    # Only what was in flight: at most one a client and kill, each at the moment of a kill.
    assert load.cut <= 8 * kills
    assert all(any(begin - 1 < m < end for m in moments) for begin, end in load.cut_times), (moments, load.cut_times)
    assert load.longest < 5
    for door in p.doors():
        assert door.request('/hello').status == 200
    p.wait_idle()
    # One answer a kill may have left just before it was counted.
    assert sum(x['processed'] for x in p.processes()) >= load.ok - kills
    print('kills %d, answered %d, cut %d, refused 0, longest %.0f ms' % (kills, load.ok, load.cut, load.longest * 1000))


def test_busy_process_is_not_given_twice(box, kind):
    """A process that was busy when its balancer died is recovering: nothing new until it says idle."""
    p, gate = box.serve(kind, one_at_a_time=True), box.gate()
    with p.connect(20) as busy:
        busy.start('GET', gate.at('/inside'))
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5)
        dead, _ = kill_balancer(p, None)
        wait_until(lambda: p.balancer not in (None, dead), 10, 'another balancer')
    with p.connect(30) as waits:
        waits.start('GET', '/inside?ms=0')
        if kind == 'ruby':
            wait_until(lambda: p.group()['queued'] == 1, 10, 'the second request in the queue')
            assert p.processes()[0]['state'] == 'recovering'
        gate.open()
        r = waits.response()
        assert r.status == 200
        if kind == 'ruby':
            assert r.json()['inside'] == 1
    p.wait_idle()


def test_waiting_door_connection_survives_in_the_backlog(box):
    """A connection made while there is no balancer is served by the next one."""
    p = box.serve('command')
    door = p.doors()[0]
    pid = p.balancer
    os.kill(pid, 19)  # stopped: it accepts nothing
    with door.connect() as c, p.connect() as front:
        c.start('GET', '/hello', door.headers())
        front.start('GET', '/hello')
        os.kill(pid, 9)
        assert c.response().status == 200
        assert front.response().status == 200


def test_dies_again_and_again_backs_off(box):
    """Killed at once each time: replaced every time, and not in a busy loop."""
    p = box.serve('command')
    starts = p.status()['balancer']['starts']
    for _ in range(5):
        pid = wait_until(lambda: p.balancer, 20)
        os.kill(pid, 9)
        wait_until(lambda: p.balancer not in (None, 0, pid), 30, 'the next balancer')
    assert p.status()['balancer']['starts'] == starts + 5
    assert p.get('/hello', timeout=30).status == 200


def test_stop_while_a_balancer_starts(box):
    """One that is told to end before it has said that it is ready is not accused of saying so afterwards."""
    p = box.serve('command')
    old = p.balancer
    os.kill(old, 9)

    def started():
        with open('/proc/%d/task/%d/children' % (p.pid, p.pid)) as f:
            return [int(pid) for pid in f.read().split() if int(pid) != old and b'balance' in procs.read(int(pid), 'cmdline')]
    new = wait_until(started, 10, 'the next balancer', every=0)[0]
    os.kill(new, 19)  # stopped before it has read what it is told
    p.signal(15)
    p.wait_log('SIGTERM from')
    os.kill(new, 18)
    assert p.wait_exit() == 0
    assert 'not its to send' not in p.log() and 'the balancer ended: killed by signal 9 (Killed)\n' not in p.log()


def test_status_while_the_balancer_hangs(box):
    p = box.serve('command')
    pid = p.balancer
    os.kill(pid, 19)
    try:
        start = time.monotonic()
        assert 'PID: %d' % p.doors()[0].pid in p.text()
        in_time(start, 1)
    finally:
        os.kill(pid, 18)
    assert p.get('/hello').status == 200


@pytest.mark.slow
def test_hung_balancer_is_replaced(box):
    p = box.serve('command')
    p.allow('gave no sign of life')
    pid = p.balancer
    os.kill(pid, 19)
    wait_until(lambda: p.balancer not in (None, 0, pid), 30, 'a replacement for the hung balancer')
    assert p.get('/hello').status == 200
    with open(p.wait_log(r'gave no sign of life for \d+ ms; killing it; evidence: (\S+)').group(1)) as f:
        text = f.read()
    assert text.split('\n')[0].endswith('the balancer') and 'State:\tT (stopped)' in text


@pytest.mark.root
def test_balancer_keeps_no_root(box):
    p = box.serve('command')
    pid = p.balancer
    assert 0 not in procs.uids(pid)
    assert procs.status_field(pid, 'CapEff').strip('0') == ''
    assert procs.status_field(pid, 'CapPrm').strip('0') == ''
    assert procs.status_field(pid, 'NoNewPrivs') == '1'
    assert procs.uids(pid)[0] not in {procs.uids(x['pid'])[0] for x in p.processes()}


def test_when_the_spawner_dies_everything_ends(box, kind):
    p = box.serve(kind, processes=2)
    p.remember()
    p.exit_codes = (-9,)
    os.kill(p.pid, 9)
    p.wait_exit()
    wait_until(lambda: not any(procs.alive(i) for i in p.seen.values()), 5, 'everything to end')
    again = box.serve(kind, name='again')
    assert again.get('/hello').status == 200
