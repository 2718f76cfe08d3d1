"""Time limits, and that a slow client costs nobody else anything."""
import os
import re
import time

import pytest

from lib import client, procs
from lib.wait import in_time, wait_until


def short(**more):
    limits = {'head_timeout': '1s', 'body_timeout': '1s', 'idle_timeout': '1s', 'write_timeout': '2s'}
    limits.update(more)
    return limits


def ends_in_time(connection, low, high, begin):
    """Waits for the end; the statuses that came before it."""
    came = client.closes_without_answer(connection)
    assert connection.ended()
    in_time(begin, high, low)
    return came


def test_slow_head(box):
    """408 and close at head_timeout from the first octet, however the octets drip."""
    p = box.serve('command', passenger=short(idle_timeout='30s'))
    with p.connect() as c:
        begin = time.monotonic()
        c.send(b'GET / HTTP/1.1\r\nHost: x\r\n')
        assert ends_in_time(c, 0.8, 3, begin) == [408]
    with p.connect() as c:
        begin = time.monotonic()
        client.drip(c, b'GET /' + b'x' * 40, 0.05)
        assert ends_in_time(c, 0.8, 4, begin) == [408]
    assert p.get('/hello').status == 200


def test_slow_body(box, kind):
    """A body that makes no progress is ended; one that does, is not."""
    p = box.serve(kind, passenger=short())
    with p.connect() as c:
        begin = time.monotonic()
        c.start('POST', '/x', {'Content-Length': '100'})
        c.send(b'some')
        assert ends_in_time(c, 0.8, 3, begin) == [408]
    with p.connect() as c:
        c.start('POST', '/x', {'Content-Length': '20'})
        client.drip(c, b'12345678901234567890', 0.1)
        assert c.response().json()['length'] == 20
    p.wait_idle()


def test_idle_connection(box):
    p = box.serve('command', passenger=short())
    with p.connect() as fresh, p.connect() as used:
        begin = time.monotonic()
        assert used.request('GET', '/hello').status == 200
        assert fresh.ended() and used.ended()
        in_time(begin, 3, 0.8)


def test_silent_application(box, kind):
    p, gate = box.serve(kind, response_timeout='1s'), box.gate()
    with p.connect() as c:
        begin = time.monotonic()
        assert c.request('GET', gate.at()).status == 504
        in_time(begin, 2.5, 0.8)
    gate.open()
    assert p.get('/late?n=100').body.endswith(b'line 99\n')  # two seconds, but never silent
    assert p.get('/hello', timeout=30).status == 200


def test_queue_time(box, kind):
    p, gate = box.serve(kind, one_at_a_time=True, max_request_queue_time='300ms'), box.gate()
    with p.connect() as busy:
        busy.start('GET', gate.at())
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5)
        assert p.get('/hello').status == 504
        gate.open()
        assert busy.response().status == 200


def test_thousand_idle_connections(box):
    """They cost little memory and no time."""
    p = box.serve('command', passenger={'idle_timeout': '60s'})
    p.get('/hello')
    roles = [p.pid, p.balancer]
    before = sum(procs.pss_kb(pid) for pid in roles)
    idle = []
    try:
        for _ in range(1000):
            c = p.connect()
            idle.append(c)
            c.start('GET', '/hello')
        for c in idle:
            assert c.response().status == 200
        begin = time.monotonic()
        for _ in range(20):
            assert p.get('/hello').status == 200
        in_time(begin, 1)
        grown = sum(procs.pss_kb(pid) for pid in roles) - before
        assert grown < 16 * 1024, grown
        assert p.status()['balancer']['clients'] >= 1000
    finally:
        for c in idle:
            c.close()
    wait_until(lambda: p.status()['balancer']['clients'] <= 1, 10, 'the idle clients to be gone')
    wait_until(lambda: len(procs.descriptors(p.balancer)) < 100, 5, 'their descriptors to be closed')


def test_slow_reader_does_not_hold_the_process(box):
    """One Ruby process, a download that nobody reads, and a second request: served at once."""
    p = box.serve('ruby')
    with p.connect(30) as slow:
        slow.start('GET', '/big?n=30000000')
        slow.final_head()
        begin = time.monotonic()
        assert p.get('/hello').status == 200
        in_time(begin, 2)
        p.wait_idle(5)
        slow.skip(30000000)  # and all of it arrives


def test_slow_uploader_does_not_hold_the_process(box):
    """The body is read whole before a process is taken."""
    p = box.serve('ruby')
    with p.connect(30) as slow:
        slow.start('POST', '/x', {'Content-Length': '1000000'})
        slow.send(b'x' * 500000)
        assert p.get('/hello', timeout=5).status == 200
        p.wait_idle(2)
        slow.send(b'x' * 500000)
        assert slow.response().json()['length'] == 1000000


def test_many_slow_readers_cost_little_memory(box):
    p = box.serve('ruby')
    readers = []
    try:
        for _ in range(20):
            c = p.connect(30)
            c.start('GET', '/big?n=15000000')
            readers.append(c)
        for c in readers:
            c.final_head()
        p.wait_idle(20)
        assert procs.rss_kb(p.balancer) < 30 * 1024
        assert [name for name in os.listdir(box.work)] == []  # spilled to files that have no name
        for c in readers:
            c.skip(15000000)
    finally:
        for c in readers:
            c.close()


def test_reader_that_takes_nothing_is_closed(box):
    p = box.serve('command', passenger=short(), response_buffer_high_watermark='1m')
    with p.connect(30) as c:
        c.start('GET', '/big?n=100000000')
        c.final_head()
        wait_until(lambda: p.status()['balancer']['clients'] == 0, 15, 'the reader to be closed')
    p.wait_idle()


def test_back_pressure_up(box):
    """buffer_upload = off and a program that reads late: memory stays flat."""
    p = box.serve('command', buffer_upload='off')
    with p.connect(60) as c:
        c.start('POST', '/sink', {'Content-Length': '50000000'})
        for _ in range(50):
            c.send(b'u' * 1000000)
        assert c.response().json()['length'] == 50000000
    assert procs.rss_kb(p.balancer) < 30 * 1024


def test_back_pressure_down(box):
    """Above the high mark nothing more is read from the program."""
    p = box.serve('command', response_buffer_high_watermark='2m')
    with p.connect(60) as c:
        c.start('GET', '/big?n=300000000')
        c.final_head()
        app = p.processes()[0]['pid']
        # The program blocks in send() when we stop reading; its CPU time stands still then.
        last = [None]

        def stands_still():
            now = procs.cpu_seconds(app)
            same, last[0] = now == last[0], now
            return same
        wait_until(stands_still, 20, 'the program to be held back', every=0.5)
        assert procs.rss_kb(p.balancer) < 30 * 1024
        c.skip(300000000)


def test_descriptors_return_to_base(box, kind):
    """After ordinary and rude clients, spawner and balancer hold what they held before."""
    p = box.serve(kind)
    for _ in range(3):
        p.get('/hello')
    p.wait_idle()
    wait_until(lambda: p.status()['balancer']['clients'] == 0, 5)
    balancer = p.balancer
    base = len(procs.descriptors(p.pid)), len(procs.descriptors(balancer))
    for number in range(40):
        c = p.connect()
        if number % 4 == 0:
            c.send(b'GET /x HTTP/1.1\r\nHo')
        elif number % 4 == 1:
            c.start('POST', '/x', {'Content-Length': '100'})
        elif number % 4 == 2:
            c.start('GET', '/big?n=10000000')
        else:
            assert c.request('GET', '/hello').status == 200
        c.close()
    p.status_command()
    wait_until(lambda: p.status()['balancer']['clients'] == 0, 10, 'all clients gone')
    p.wait_idle()
    # An idle connection to the process may be kept: at most its concurrency.
    wait_until(lambda: len(procs.descriptors(p.pid)) <= base[0] and len(procs.descriptors(balancer)) <= base[1] + 2, 10,
               'descriptors at base %r: %r %r' % (base, procs.descriptors(p.pid), procs.descriptors(balancer)))


def test_descriptors_of_processes(box, kind):
    """A process has nothing in common with its neighbour or with the balancer, and of the spawner's only its own."""
    p = box.serve(kind, processes=2)
    p.get('/hello')

    def held(pid):
        return {t for t in procs.descriptors(pid).values() if re.match(r'(socket|pipe):', t)}
    one, two = [held(x['pid']) for x in p.processes()]
    assert not one & two
    # Standard input, output, and a loader's listener.
    assert len(one & held(p.pid)) <= 4
    assert not one & held(p.balancer)
    for x in p.processes():
        everything = procs.descriptors(x['pid']).values()
        assert not any('memfd' in t or t.endswith('/lock') or 'pidfd' in t for t in everything), everything


@pytest.mark.slow
def test_connection_storm_when_descriptors_run_out(box):
    """With few descriptors accept pauses, and goes on when some are free; no busy loop."""
    import resource
    p = box.start(app=box.app('command'),
                  preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96)))
    connections = []
    try:
        for _ in range(150):
            connections.append(p.connect())
        balancer = p.balancer
        before = procs.cpu_seconds(balancer)
        time.sleep(2)
        assert procs.cpu_seconds(balancer) - before < 1
    finally:
        for c in connections:
            c.close()
    assert wait_until(lambda: p.get('/hello', timeout=10).status == 200, 15)
