"""What passenger says about what it served: status, access log, slow-request log, and no secret in any of them."""
import json
import os
import re

from lib import client
from lib.passenger import PASSWORD_HEADER
from lib.wait import wait_until


# --- status agrees -----------------------------------------------------------

def test_status_counts_what_was_sent(box, kind):
    p = box.serve(kind, processes=2)
    for _ in range(7):
        p.get('/hello')
    for _ in range(2):
        p.get('/status?code=404')
    p.doors()[1].request('/hello')
    wait_until(lambda: sum(x['processed'] for x in p.processes()) >= 10, 5, 'the last to be counted')
    status = p.status()
    processes = p.processes(status)
    assert sum(x['processed'] for x in processes) == 10
    assert sum(x['processed_direct'] for x in processes) == 1 and processes[1]['processed_direct'] == 1
    assert p.group(status=status)['requests'] == 10
    processed = [int(n) for n in re.findall(r'Processed: (\d+)', p.text())]
    assert processed == [x['processed'] for x in processes]


def test_status_shows_the_running_request(box, kind):
    p, gate = box.serve(kind, one_at_a_time=True), box.gate()
    c = p.hold(1, gate.at())[0]
    running = wait_until(lambda: p.processes()[0]['requests'], 5, 'a running request')
    assert running[0]['method'] == 'GET' and running[0]['path'].startswith('/sleep')
    assert p.processes()[0]['sessions'] == 1
    gate.open()
    assert c.response().status == 200
    c.close()
    p.wait_idle()


def test_text_has_the_original_grammar(box):
    p = box.serve('ruby', processes=2)
    p.get('/hello')
    wait_until(lambda: 'Processed: 1 ' in p.text(), 5, 'it to be counted')
    text = p.text()
    for line in (r'^Version : \S+', r'^Date    : \d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}$', r'^Instance: .+',
                 r'^----------- General information -----------$', r'^Max pool size : 2$', r'^App groups    : 1$',
                 r'^Processes     : 2$', r'^Requests in top-level queue : 0$',
                 r'^----------- Application groups -----------$', r'^.*/ruby \(production\):$', r'^  App root: .*/ruby$',
                 r'^  Requests in queue: 0$',
                 r'^  \* PID: \d+ +Sessions: 0 +Processed: 1 +Uptime: (\dm )?\d+s$',
                 r'^    CPU: \d+% +Memory  : \d+M +Last used: \d+s ago$'):
        assert re.search(line, text, re.M), line + '\n' + text
    assert 'Password' not in text and 'URL' not in text
    verbose = p.text('--verbose')
    assert len(re.findall(r'^    URL     : http://127\.0\.0\.1:\d+$', verbose, re.M)) == 2
    assert len(set(re.findall(r'^    Password: ([A-Za-z0-9]{16})$', verbose, re.M))) == 2


# --- logs --------------------------------------------------------------------

def access_lines(box, p, count):
    def lines():
        try:
            with open(box.path('access.log')) as f:
                return [line.rstrip('\n') for line in f]
        except FileNotFoundError:
            return []
    return wait_until(lambda: len(lines()) >= count and lines(), 5, '%d access log lines' % count)


def test_access_log_common(box):
    p = box.serve('ruby', passenger={'access_log_format': 'common', 'access_log': box.path('access.log')})
    p.get('/hello?a=b')
    line = access_lines(box, p, 1)[0]
    assert re.match(r'^127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] '
                    r'"GET /hello\?a=b HTTP/1\.1" 200 \d+', line), line


def test_access_log_combined_escapes(box):
    p = box.serve('ruby', passenger={'access_log_format': 'combined', 'access_log': box.path('access.log')})
    p.get('/hello', headers={'Referer': 'http://r/', 'User-Agent': 'a"b\\c\xe9'})
    line = access_lines(box, p, 1)[0]
    assert '"http://r/"' in line and re.match(r'^[\x20-\x7e]+$', line)
    assert 'a"b' not in line.replace('\\"', '')


def test_access_log_json(box, kind):
    p = box.serve(kind, passenger={'access_log_format': 'json', 'access_log': box.path('access.log')})
    p.get('/sleep?ms=50', headers={'X-Request-Id': 'id-1'})
    p.get('/status?code=404')
    p.doors()[0].request('/hello')
    first, second, third = [json.loads(x) for x in access_lines(box, p, 3)][:3]
    assert (first['method'], first['status'], second['status']) == ('GET', 200, 404)
    text = json.dumps(first)
    assert 'id-1' in text and str(p.processes()[0]['pid']) in text
    assert p.doors()[0].password not in json.dumps(third)


def test_slow_request_log(box):
    p = box.serve('ruby', passenger={'slow_request_threshold': '1s', 'slow_request_log': box.path('slow.log')})
    p.get('/hello')
    p.get('/sleep?ms=1100')
    wait_until(lambda: os.path.exists(box.path('slow.log')) and '/sleep' in open(box.path('slow.log')).read(), 5)
    assert '/hello' not in open(box.path('slow.log')).read()


def test_no_password_in_any_log(box, kind):
    p = box.serve(kind, passenger={'access_log_format': 'json', 'access_log': box.path('access.log'), 'log_level': '5'})
    door = p.doors()[0]
    door.request('/x')
    client.request(door.address, '/x', headers={PASSWORD_HEADER: 'wrongwrongwrong1'})
    p.get('/x', headers={PASSWORD_HEADER: door.password})
    access_lines(box, p, 2)
    p.stop()
    everything = p.log() + open(box.path('access.log')).read()
    assert door.password not in everything and 'wrongwrongwrong1' not in everything
