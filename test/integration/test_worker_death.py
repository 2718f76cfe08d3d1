"""kill -9 of application processes: idle and busy."""
import os
import re
import threading

import pytest

from lib import client
from lib.wait import wait_until


def counted(path):
    try:
        with open(path) as f:
            return [line.split() for line in f]
    except FileNotFoundError:
        return []


def test_idle_process_dies(box, kind):
    """No request notices, and it is replaced."""
    p = box.serve(kind, processes=2)
    with p.connect() as c:
        assert c.request('GET', '/hello').status == 200
        for _ in range(3):
            victim = p.processes()[0]['pid']
            os.kill(victim, 9)
            for _ in range(10):
                assert c.request('GET', '/hello').status == 200
            wait_until(lambda: len(p.processes()) == 2 and p.process(victim) is None, 10, 'a replacement')
    p.wait_log(r'\b%d\b.*(signal 9|SIGKILL|[Kk]illed)' % victim)


def test_only_process_dies_while_idle(box, kind):
    p = box.serve(kind)
    os.kill(p.processes()[0]['pid'], 9)
    assert p.get('/hello', timeout=30).status == 200


SOON_GONE = {
    'command': ('app.py', """import http.server, os, time
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
server = http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Hello)
time.sleep(0.05)
if not os.path.exists('mended'):
    print('the database is gone', flush=True)
    os._exit(3)
server.serve_forever()
""", {'type': 'command', 'command': '/usr/bin/python3 app.py'}),
    'warmed': ('app.py', """import http.server, os, threading, time
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        if not os.path.exists('mended'):
            threading.Timer(0.1, lambda: (print('the database is gone', flush=True), os._exit(3))).start()
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Hello).serve_forever()
""", {'type': 'command', 'command': '/usr/bin/python3 app.py', 'warmup_uris': '/'}),
    'ruby': ('config.ru', """Thread.new { sleep 0.05; (puts 'the database is gone'; $stdout.flush; exit!(3)) unless File.exist?('mended') }
run ->(env) { [200, {}, []] }
""", {'type': 'ruby', 'spawn_method': 'direct'}),
}


@pytest.mark.parametrize('language', SOON_GONE)
def test_ready_and_gone_is_no_storm(box, language):
    """Who ends unused as soon as it is ready, twice in a row, is a failed start: pauses, and everybody is told why."""
    name, text, options = SOON_GONE[language]
    box.write('soon/' + name, text)
    p = box.start(app={'root': box.path('soon'), **options}, processes=0)
    wait_until(lambda: p.group()['next_spawn_in_ms'] > 1000, 20, 'the second pause')
    failure = p.group()['last_spawn_failure']
    assert 'after it was ready, before any request, as did the one before: exited with status 3' in failure['text']
    assert 'the database is gone' in failure['text'] or 'the database is gone' in p.log()
    answer = p.get('/', timeout=30)
    assert answer.status == 500 and re.search(r'Error id: (\w+)', answer.text).group(1) in p.log()
    assert len(re.findall('is ready after', p.log())) in (3, 4)
    box.write('soon/mended', '')
    assert box.run('restart', 'main', '--wait', '--instance-dir', p.instance_dir).returncode == 0
    assert p.get('/', timeout=30).status == 200
    assert p.group()['last_spawn_failure'] is None


def busy_exchange(p, method, counter, tag, gate):
    """Starts a counted request that waits at the gate; (connection, pid of the process that has it)."""
    c = p.connect(30)
    c.start(method, gate.at('/count?file=%s&tag=%s' % (counter, tag)), {'Content-Length': '0'} if method == 'POST' else ())
    lines = wait_until(lambda: [x for x in counted(counter) if x[1:] == [tag]], 10, 'the request to run')
    return c, int(lines[0][0])


def test_get_is_tried_again(box, kind):
    p = box.serve(kind, processes=2, one_at_a_time=True)
    counter = os.path.join(box.work, 'count')
    gate = box.gate()
    c, pid = busy_exchange(p, 'GET', counter, 'get', gate)
    os.kill(pid, 9)
    wait_until(lambda: len(counted(counter)) == 2, 10, 'another process to have it')
    gate.open()
    r = c.response()
    assert r.status == 200 and r.json()['pid'] != pid
    assert len(counted(counter)) == 2
    c.close()


def test_post_is_executed_exactly_once(box, kind):
    p = box.serve(kind, processes=2, one_at_a_time=True)
    counter = os.path.join(box.work, 'count')
    for number in range(3):
        p.wait_processes(2)
        c, pid = busy_exchange(p, 'POST', counter, 'post%d' % number, box.gate())
        os.kill(pid, 9)
        assert c.response().status == 502
        c.close()
        assert len(counted(counter)) == number + 1


def test_post_after_an_idle_process_died(box, kind):
    """Once its death is known, another one serves it.  In the moment before, a POST may still be sent to it: then it is
    502; executed twice it is never."""
    p = box.serve(kind, processes=2, one_at_a_time=True)
    counter = os.path.join(box.work, 'count')
    executed = 0
    for number in range(10):
        p.wait_processes(2)
        victim = p.processes()[0]['pid']
        os.kill(victim, 9)
        known = number % 2 == 0
        if known:
            wait_until(lambda: p.process(victim) is None, 5)
        r = p.get('/count?file=%s&tag=p%d' % (counter, number), 'POST', body=b'x')
        assert r.status == 200 or (r.status == 502 and not known)
        executed += r.status == 200
        assert len(counted(counter)) == executed
        wait_until(lambda: p.process(victim) is None, 5)


def test_half_an_answer_looks_cut(box, kind):
    """Head and some body came: never tried again, and the client sees that it is incomplete."""
    p = box.serve(kind, processes=2)
    with p.connect(20) as c:
        c.start('GET', '/late?n=1000')
        assert c.final_head().status == 200
        while b'line 3' not in c.buffer:
            assert c.fill()
        pid = [x['pid'] for x in p.processes() if x['sessions']][0]
        os.kill(pid, 9)
        while True:
            try:
                if not c.fill():
                    break
            except ConnectionError:
                break
        assert b'\r\n0\r\n\r\n' not in c.buffer


def test_process_that_exits_in_a_request(box, kind):
    """A request that kills every process that it meets is not tried for ever."""
    p = box.serve(kind, processes=2)
    assert p.get('/exit', 'POST', body=b'', timeout=30).status == 502
    r = p.get('/exit', timeout=60)
    assert r.status == 502
    p.wait_log(r'exit(ed)?\D+7')
    assert p.get('/hello', timeout=30).status == 200


def test_door_does_not_go_to_another_process(box, kind):
    """A direct request whose process dies gets 502 even when it is a GET."""
    p = box.serve(kind, processes=2)
    door = p.doors()[0]
    with door.connect(20) as c:
        c.start('GET', box.gate().at(), door.headers())
        wait_until(lambda: p.process(door.pid)['sessions'] == 1, 5)
        os.kill(door.pid, 9)
        try:
            assert c.response().status == 502
        except (client.Closed, ConnectionError):
            pytest.fail('closed without an answer')


def test_killed_at_random_under_load(box, kind):
    """Each GET is answered; the pool is back at its size."""
    p = box.serve(kind, processes=3)
    failures, done = [], [0]
    end = threading.Event()

    def work():
        while not end.is_set():
            try:
                r = p.get('/sleep?ms=5', timeout=30)
                if r.status != 200:
                    failures.append(r.status)
                done[0] += 1
            except Exception as e:  # a thread must tell, whatever it was
                failures.append(repr(e))
    p.front
    threads = [threading.Thread(target=work) for _ in range(6)]
    for t in threads:
        t.start()
    try:
        for _ in range(5):
            target = done[0] + 30
            wait_until(lambda: done[0] >= target or failures, 30)
            victim = p.processes()[0]['pid']
            os.kill(victim, 9)
            wait_until(lambda: p.process(victim) is None, 10)
            p.wait_processes(3)
    finally:
        end.set()
        for t in threads:
            t.join()
    # A GET may meet two dying processes in a row, but not here: at most one dies at a time.
    assert not failures, failures[:5]


def test_log_tells_how_a_process_ended(box, kind):
    p = box.serve(kind)
    pid = p.processes()[0]['pid']
    os.kill(pid, 11)
    p.wait_log(r'\b%d\b.*(signal 11|SIGSEGV|[Ss]egmentation)' % pid)
    p.wait_processes(1)
    assert not re.search(r'restart.*loop', p.log())
