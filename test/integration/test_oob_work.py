"""Out-of-band work: asked for by an answer, done out of rotation, in each language in its own way."""
import os
import textwrap
import time

import pytest

from lib.wait import wait_until

RUBY = '''
    PhusionPassenger.on_event(:oob_work) do
      File.write(%(log)r, "#{Process.pid}\\n", mode: "a")
      sleep 0.01 while File.exist?(%(gate)r)
      raise "out of band" if File.exist?(%(log)r + ".raise")
    end
    run(lambda do |env|
      headers = env["PATH_INFO"] == "/ask" ? { "!~Request-OOB-Work" => "true" } : {}
      [200, headers, [Process.pid.to_s]]
    end)
'''
PYTHON = '''
    NOT_VALIDATED = True  # "!~" may stand in no name of a header by PEP 3333's validator
    import os, time
    def oob_work():
        with open(%(log)r, "a") as f:
            f.write("%%d\\n" %% os.getpid())
        while os.path.exists(%(gate)r):
            time.sleep(0.01)
        if os.path.exists(%(log)r + ".raise"):
            raise RuntimeError("out of band")
    def application(environ, start_response):
        start_response("200 OK", [("!~Request-OOB-Work", "true")] if environ["PATH_INFO"] == "/ask" else [])
        return [b"%%d" %% os.getpid()]
'''
ASGI = '''
    import asyncio, os
    async def oob_work():
        with open(%(log)r, "a") as f:
            f.write("%%d\\n" %% os.getpid())
        while os.path.exists(%(gate)r):
            await asyncio.sleep(0.01)
        if os.path.exists(%(log)r + ".raise"):
            raise RuntimeError("out of band")
    async def application(scope, receive, send):
        if scope["type"] != "http":
            return
        headers = [(b"!~request-oob-work", b"true")] if scope["path"] == "/ask" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"%%d" %% os.getpid()})
'''
NODE = '''
    const fs = require("fs");
    PhusionPassenger.on("oob_work", async () => {
      fs.appendFileSync(%(log)r, process.pid + "\\n");
      while (fs.existsSync(%(gate)r)) await new Promise(done => setTimeout(done, 10));
      if (fs.existsSync(%(log)r + ".raise")) throw new Error("out of band");
    });
    require("http").createServer((req, res) => {
      if (req.url === "/ask") res.setHeader("!~Request-OOB-Work", "true");
      res.end(String(process.pid));
    }).listen(0);
'''
PROGRAM = '''
    import http.server, os, time
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def answer(self):
            self.send_response(200)
            if self.path == "/ask":
                self.send_header("!~Request-OOB-Work", "true")
            self.send_header("Content-Length", str(len(str(os.getpid()))))
            self.end_headers()
            self.wfile.write(b"%%d" %% os.getpid())
        def do_OOBW(self):
            with open(%(log)r, "a") as f:
                f.write("%%d\\n" %% os.getpid())
            while os.path.exists(%(gate)r):
                time.sleep(0.01)
            self.answer()
        do_GET = answer
        def log_message(self, *words):
            pass
    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''
FILES = {'ruby': ('config.ru', RUBY), 'python': ('passenger_wsgi.py', PYTHON), 'asgi': ('asgi.py', ASGI),
         'node': ('app.js', NODE), 'command': ('server.py', PROGRAM)}


def lines(path):
    try:
        with open(path) as f:
            return f.read().split()
    except FileNotFoundError:
        return []


def serve(box, language, processes, **options):
    name, text = FILES[language]
    log, gate = os.path.join(box.work, 'log'), os.path.join(box.work, 'gate')
    box.write('app/' + name, textwrap.dedent(text) % {'log': log, 'gate': gate})
    app = dict({'root': box.path('app'), 'min_instances': processes}, **options)
    if language == 'command':
        app['command'] = '/usr/bin/python3 server.py'
    return box.start(passenger={'max_pool_size': max(processes, 2)}, app=app, processes=processes), log, gate


def state(p, pid):
    return p.process(int(pid))['state']


@pytest.mark.parametrize('language', list(FILES))
def test_work(box, language):
    p, log, gate = serve(box, language, 2)
    open(gate, 'w').close()
    answer = p.get('/ask')
    assert answer.status == 200 and answer.header('!~request-oob-work') is None
    worker = answer.text
    assert wait_until(lambda: lines(log), 10) == [worker]
    wait_until(lambda: state(p, worker) == 'out_of_band', 10)
    assert 'Out-of-band work...' in p.text()
    # the other one serves, and does not leave as well, whatever it asks for
    others = {p.get('/ask').text for _ in range(5)}
    assert len(others) == 1 and worker not in others
    os.unlink(gate)
    assert wait_until(lambda: len(lines(log)) == 2 and lines(log), 10) == [worker] + list(others)
    wait_until(lambda: {x['state'] for x in p.processes()} == {'enabled'}, 10)
    assert {p.get('/').text for _ in range(3)} <= {worker} | others
    assert len(p.processes()) == 2


@pytest.mark.parametrize('language', ['ruby', 'python', 'asgi', 'node'])
def test_work_that_fails(box, language):
    """It is logged, and the process serves on."""
    p, log, gate = serve(box, language, 2)
    open(log + '.raise', 'w').close()
    worker = p.get('/ask').text
    p.wait_log(r'[Oo]ob_work(?s:.*)out of band|out of band(?s:.*)oob_work')
    wait_until(lambda: state(p, worker) == 'enabled', 10)
    assert {p.get('/').status for _ in range(3)} == {200}


@pytest.mark.parametrize('language', ['ruby', 'node'])
def test_work_without_an_end(box, language):
    """After oob_work_timeout it is in rotation, and gets requests when it says that it is free."""
    p, log, gate = serve(box, language, 2, oob_work_timeout='300ms')
    open(gate, 'w').close()
    worker = p.get('/ask').text
    wait_until(lambda: state(p, worker) == 'out_of_band', 10)
    p.wait_log('process %s: out-of-band work: it takes longer than oob_work_timeout' % worker)
    wait_until(lambda: state(p, worker) == ('enabled' if language == 'node' else 'recovering'), 10)
    if language == 'ruby':
        assert worker not in {p.get('/').text for _ in range(4)}
    os.unlink(gate)
    wait_until(lambda: state(p, worker) == 'enabled', 10)
    wait_until(lambda: p.get('/').text == worker, 10)


def test_the_last_one_stays(box):
    p, log, gate = serve(box, 'ruby', 1, max_instances=1)
    worker = p.get('/ask').text
    assert [p.get('/ask').text for _ in range(3)] == [worker] * 3
    time.sleep(0.3)
    assert lines(log) == [] and state(p, worker) == 'enabled'


def test_a_wish_outlives_its_balancer(box):
    """The second one waits for the first one's work to end."""
    p, log, gate = serve(box, 'ruby', 2)
    open(gate, 'w').close()
    first = p.get('/ask').text
    wait_until(lambda: lines(log) == [first], 10)
    second = p.get('/ask').text
    os.kill(p.balancer, 9)
    wait_until(lambda: (p.status() or {}).get('balancer', {}).get('starts') == 2 and len(p.processes()) == 2, 10)
    os.unlink(gate)
    assert wait_until(lambda: len(lines(log)) == 2 and lines(log), 10) == [first, second]


def test_the_balancer_dies_meanwhile(box):
    """The process is not given a request before it has finished."""
    p, log, gate = serve(box, 'ruby', 2)
    open(gate, 'w').close()
    worker = p.get('/ask').text
    wait_until(lambda: lines(log), 10)
    os.kill(p.balancer, 9)
    wait_until(lambda: (p.status() or {}).get('balancer', {}).get('starts') == 2 and len(p.processes()) == 2, 10)
    assert worker not in {p.get('/', timeout=20).text for _ in range(4)}
    assert state(p, worker) == 'recovering'
    os.unlink(gate)
    wait_until(lambda: state(p, worker) == 'enabled', 10)
