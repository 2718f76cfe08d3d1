"""warmup_uris: a new process answers them before it gets traffic; one that does not has failed to start."""
import os
import re
import signal

import pytest

from lib.load import Load
from lib.wait import wait_until
from test_restart import pids, restart

# Answers /warm with the status in the file `answer`, after the seconds in the file `wait`; each says who asked.
PROGRAMS = {
    'ruby': ('config.ru', '''
first = nil
run lambda { |env|
  first ||= env["PATH_INFO"]
  if env["PATH_INFO"] == "/warm"
    status = File.read("answer").to_i
    sleep File.read("wait").to_f
    warn "warming up with #{env['QUERY_STRING']} for #{env['HTTP_HOST']}"
    exit!(3) if status == 0
    [status, {"content-type" => "text/plain", "location" => "/"}, ["warm"]]
  else
    [200, {"content-type" => "text/plain"}, ["first #{first} #{$$}"]]
  end
}
'''),
    'python': ('passenger_wsgi.py', '''
import os, sys, time
first = None
def application(environ, start_response):
    global first
    first = first or environ["PATH_INFO"]
    status = 200
    if environ["PATH_INFO"] == "/warm":
        status = int(open("answer").read())
        time.sleep(float(open("wait").read()))
        print("warming up with", environ["QUERY_STRING"], "for", environ["HTTP_HOST"], flush=True)
        if status == 0:
            os._exit(3)
    start_response("%d X" % status, [("Content-Type", "text/plain"), ("Location", "/")])
    return [("first %s %d" % (first, os.getpid())).encode()]
'''),
    'node': ('app.js', '''
const fs = require("fs");
let first;
require("http").createServer((request, response) => {
  const path = request.url.split("?")[0];
  first = first || path;
  let status = 200, wait = 0;
  if (path === "/warm") {
    status = +fs.readFileSync("answer");
    wait = +fs.readFileSync("wait");
    console.log(`warming up with ${request.url.split("?")[1]} for ${request.headers.host}`);
    if (status === 0) process.exit(3);
  }
  setTimeout(() => {
    response.writeHead(status, {"Content-Type": "text/plain", Location: "/"});
    response.end(`first ${first} ${process.pid}`);
  }, wait * 1000);
}).listen(3000);
'''),
    'command': ('server.py', '''
import os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
first = None
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        global first
        path, _, query = self.path.partition("?")
        first = first or path
        status = 200
        if path == "/warm":
            status = int(open("answer").read())
            time.sleep(float(open("wait").read()))
            print("warming up with", query, "for", self.headers["Host"], flush=True)
            if status == 0:
                os._exit(3)
        body = ("first %s %d" % (first, os.getpid())).encode()
        self.send_response(status)
        self.send_header("Location", "/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''),
}


def behave(box, answer, wait=0):
    box.write('app/answer', str(answer))
    box.write('app/wait', str(wait))


def start(box, kind, ready=True, pool=4, **options):
    file, text = PROGRAMS[kind]
    box.write('app/' + file, text)
    section = {'root': box.path('app'), 'type': kind, 'warmup_uris': '/warm?one /warm?two', 'host': '*.test shop.test'}
    if kind == 'command':
        section['command'] = '/usr/bin/python3 server.py'
    section.update(options)
    return box.start(app=section, passenger={'max_pool_size': pool}, ready=ready)


def get(p, path='/'):
    return p.get(path, host='shop.test')


@pytest.mark.parametrize('kind', sorted(PROGRAMS))
def test_before_traffic(box, kind):
    """At the first start, and in a restart: under load each new process has seen /warm first."""
    behave(box, 302)
    p = start(box, kind, min_instances=2, max_instances=2, rolling_restart_batch_size=2)
    p.wait_processes(2)
    before = pids(p)
    assert p.log().count('warming up with two for shop.test') == 2
    with Load(p.front, host='shop.test') as load:
        assert restart(box, p, 'main', '--wait').returncode == 0
        assert not pids(p) & before and len(pids(p)) == 2
    assert load.answered > 0
    assert get(p).text.startswith('first /warm ')


@pytest.mark.parametrize('kind', sorted(PROGRAMS))
def test_a_version_that_does_not_warm_up(box, kind):
    """The old one serves on; id, cause and output stand in the log and in status."""
    behave(box, 200)
    p = start(box, kind, warmup_timeout='2s', max_instances=1)
    before = pids(p)
    for answer, wait, cause in ((503, 0, 'GET /warm?one was answered 503'), (0, 0, ''), (200, 20, 'warmup_timeout')):
        behave(box, answer, wait)
        with Load(p.front, host='shop.test'):
            done = restart(box, p, 'main', '--wait')
        assert done.returncode == 1 and 'older processes serve on' in done.stderr and cause in done.stderr, done
        # under load several may have been on their way: each has its id
        assert 'error %s)' % re.search(r'error (\w{8})', done.stderr).group(1) in p.log()
        failure = p.group()['last_spawn_failure']
        assert failure['id'] in p.log() and failure['id'] in p.text()
        assert pids(p) == before
    assert 'warming up with one' in p.log()
    behave(box, 201)
    assert restart(box, p, 'main', '--wait').returncode == 0
    assert not pids(p) & before


def test_the_first_one_does_not(box):
    """Nobody else is there: the request is told, with the id, and starts are tried slower and slower."""
    behave(box, 500)
    p = start(box, 'ruby', ready=False, spawn_method='direct', friendly_error_pages='on')
    wait_until(lambda: p.status() is not None, 10, 'status')
    answer = get(p)
    assert answer.status == 500 and 'was answered 500' in answer.text, answer
    assert 'warming up with one' in answer.text  # its output
    wait_until(lambda: p.group()['spawn_failures'] >= 2, 10, 'the second try')
    assert p.group()['next_spawn_in_ms'] > 1000
    behave(box, 200)
    assert restart(box, p, 'main').returncode == 0
    assert get(p).text.startswith('first /warm')


def test_a_balancer_dies_meanwhile(box):
    """The next one asks once more; the process gets no traffic before."""
    behave(box, 200, 2)
    p = start(box, 'ruby', ready=False, warmup_uris='/warm')
    wait_until(lambda: p.status() and [q for q in p.processes() if q['state'] == 'warming'], 20, 'a process that warms up')
    assert 'Warming up...' in p.text()
    behave(box, 200)
    os.kill(p.balancer, signal.SIGKILL)
    assert get(p).text.startswith('first /warm')
    assert p.group()['spawn_failures'] == 0
