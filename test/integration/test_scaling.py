"""How many processes there are: under a load that rises and falls, of two applications that want more than there is, of
two hundred that nobody uses."""
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib import client, passenger
from lib.load import Threads
from lib.wait import wait_until


class Clients(Threads):
    """So many that ask one after another, each on a connection of its own, until it is over."""

    def __init__(self, p, count, host='localhost', path='/sleep?ms=20'):
        super().__init__(count, self.run)
        self.answered, self.faults = 0, []
        self.p, self.host, self.path = p, host, path

    def run(self, _):
        while not self.over.is_set():
            try:
                answer = client.request(self.p.front, self.path, host=self.host, timeout=30)
                self.answered += 1
                if answer.status != 200:
                    self.faults.append(answer)
            except Exception as error:  # a thread must tell, whatever it was
                self.faults.append(repr(error))

    def __enter__(self):
        self.p.front
        return super().__enter__()

    def __exit__(self, *fault):
        super().__exit__(*fault)
        assert not self.faults, self.faults[:3]


def sizes(p, *apps):
    """Processes in rotation by application; all of them never exceed max_pool_size."""
    status = p.status()
    assert len(p.processes(status)) + sum(g['processes_spawning'] for g in p.groups(status)) <= status['pool']['max_pool_size']
    return [len([x for x in p.processes(status, app) if x['state'] == 'enabled']) for app in apps]


@pytest.mark.slow
def test_stepped_load(box):
    """From one process to max_pool_size and back; no more than there are clients."""
    p = box.start(passenger={'max_pool_size': 5},
                  app=box.app('command', one_at_a_time=True, pool_idle_time='1s', min_instances=1))
    for clients in (1, 2, 3, 8):
        with Clients(p, clients) as load:
            wait_until(lambda: sizes(p, 'main') == [min(clients, 5)], 20, 'a process for each of %d clients' % clients)
            enough = load.answered + 100
            while load.answered < enough and not load.faults:
                assert sizes(p, 'main')[0] <= min(clients, 5)
                time.sleep(0.02)
    wait_until(lambda: sizes(p, 'main') == [1], 20, 'one process again')
    assert p.get('/hello').status == 200


@pytest.mark.slow
def test_two_starving_applications_share(box):
    """Whoever was there first gives half of what it has."""
    apps = {name: box.app('command', name, host=name, one_at_a_time=True, min_instances=0) for name in ('a', 'b')}
    p = box.start(passenger={'max_pool_size': 6}, apps=apps, processes=0)
    with Clients(p, 9, 'a') as a:
        wait_until(lambda: sizes(p, 'a', 'b') == [6, 0], 20)
        with Clients(p, 9, 'b') as b:
            wait_until(lambda: sizes(p, 'a', 'b') == [3, 3], 20, 'three for each')
            before, enough = (a.answered, b.answered), b.answered + 300
            while b.answered < enough and not b.faults:
                # On a busy machine clients are late, and a process that waits for them may change hands.
                assert min(sizes(p, 'a', 'b')) >= 1
                time.sleep(0.02)
            ratio = (a.answered - before[0]) / (b.answered - before[1])
            print('answers of a for one of b: %.2f' % ratio)
            assert 0.5 < ratio < 2
    with Clients(p, 9, 'b'):
        wait_until(lambda: sizes(p, 'a', 'b') == [0, 6], 20, 'all for the one that is used')


def test_a_busy_client_keeps_its_process(box):
    """It is idle for a moment after each answer; whoever has one already does not get it for that."""
    apps = {name: box.app('command', name, host=name, one_at_a_time=True, min_instances=1) for name in ('a', 'b')}
    p = box.start(passenger={'max_pool_size': 2}, apps=apps, processes=2)
    before = {x['pid'] for x in p.processes()}
    with Clients(p, 1, 'a') as a, Clients(p, 4, 'b') as b:
        wait_until(lambda: min(a.answered, b.answered) >= 50, 20, 'answers')
    assert {x['pid'] for x in p.processes()} == before


def test_more_starving_applications_than_processes(box):
    """None is forgotten."""
    apps = {name: box.app('command', name, host=name, one_at_a_time=True, min_instances=0) for name in ('a', 'b')}
    p = box.start(passenger={'max_pool_size': 1}, apps=apps, processes=0)
    with Clients(p, 3, 'a') as a:
        wait_until(lambda: a.answered > 20, 20)
        assert p.get('/hello', host='b', timeout=30).status == 200
        again = a.answered + 20
        wait_until(lambda: a.answered > again, 20)


def test_status_says_why_a_request_waits(box):
    apps = {name: box.app('command', name, host=name, one_at_a_time=True, min_instances=0) for name in ('a', 'b')}
    p = box.start(passenger={'max_pool_size': 1}, apps=apps, processes=0)
    assert p.get('/hello', host='a').status == 200
    gate = box.gate()
    with p.connect(30) as busy, p.connect(30) as waits:
        busy.start('GET', gate.at(), host='a')
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5)
        assert p.group('a')['waiting_for'] is None and p.status()['pool']['top_level_queue'] == 0
        waits.start('GET', '/hello', host='b')
        wait_until(lambda: p.status()['pool']['top_level_queue'] == 1, 5)
        assert p.group('b')['waiting_for'] == 'a free process: max_pool_size is reached'
        text = p.text()
        assert 'Requests in top-level queue : 1' in text
        assert '  (requests wait for a free process: max_pool_size is reached)\n  Requests in queue: 1\n' in text
        gate.open()
        assert busy.response().status == waits.response().status == 200


@pytest.mark.slow
def test_two_hundred_applications(box):
    """Nothing runs before the first request; each answers it; then nothing runs again."""
    program = box.path('hello')
    subprocess.run(['gcc', '-O1', '-o', program, os.path.join(passenger.COMMAND_APPS, 'hello.c')], check=True)
    names = ['app%d' % number for number in range(200)]
    apps = {name: {'root': box.dir, 'type': 'command', 'command': program, 'host': name, 'pool_idle_time': '1s',
                   'min_instances': 0} for name in names}
    begin = time.monotonic()
    p = box.start(passenger={'max_pool_size': 8}, apps=apps, processes=0)
    print('ready after %.2f s' % (time.monotonic() - begin))
    assert len(p.groups(p.status())) == 200 and p.processes() == []
    begin = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda name: client.request(p.front, '/', host=name, timeout=60).status, names))
    print('200 first answers in %.2f s' % (time.monotonic() - begin))
    assert answers == [200] * 200
    wait_until(lambda: p.processes() == [], 20, 'no process')
