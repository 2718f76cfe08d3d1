"""The Python loader (modules/apps/python.py) by itself, over the session protocol: WSGI first, then
ASGI with its websockets.

Every test ends with an audit: the process is gone by its own doing, its group is empty, no descriptor
of ours is left. PYTHON=/path/to/python runs the loader with another interpreter."""

import base64
import hashlib
import json
import os
import re
import signal
import socket
import struct
import threading
import time

import pytest

from lib.loader_tests import *  # noqa: F401, F403
from lib.passenger import Gate
from lib.wait import Late, in_time, wait_until
from session_client import Loader, default_environment, frame, pairs

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LOADER = os.environ.get("PYTHON_LOADER", os.path.join(ROOT, "modules", "apps", "python.py"))
APPS = os.path.join(ROOT, "test", "apps", "python")
PYTHON = os.environ.get("PYTHON", "/usr/bin/python3")


# All other applications run within wsgiref.validate and its like for ASGI (lib/validate). They hide what these tests are
# about, or the application breaks the rules on purpose, or costs are looked at.
COMPLAINT = re.compile(r"in (assert_|check|checked|validated)\n\s+(assert|raise AssertionError)")
NOT_VALIDATED = {
    "test_a_line_break_never_makes_a_header", "test_a_request_is_cheap", "test_answers_that_are_refused", "test_big",
    "test_detection", "test_environ", "test_error_after_the_head", "test_every_way_to_read", "test_file",
    "test_framing_of_odd_answers", "test_head", "test_headers", "test_hello",
    "test_memory_of_a_large_body_is_bounded", "test_no_body_reads_as_empty", "test_one_write_for_head_and_body",
}


@pytest.fixture
def start(request):
    """start(app, **arguments) gives a Loader that is ready; all are audited at the end."""
    loaders = []
    validates = request.node.originalname not in NOT_VALIDATED

    def make(app, ready=True, env=None, options=(), **arguments):
        root = app if os.path.isabs(app) else os.path.join(APPS, app)
        found = [name for name in ("passenger_wsgi.py", "wsgi.py", "asgi.py") if os.path.exists(os.path.join(root, name))]
        settings = {"type": "python", "startup_file": found[0] if found else ""}
        settings.update(arguments)
        environment = {"PYTHONDONTWRITEBYTECODE": "1", **(env or {})}
        if validates:
            folders = [os.path.join(HERE, "lib", "validate"), environment.get("PYTHONPATH")]
            environment["PYTHONPATH"] = ":".join(filter(None, folders))
        loader = Loader([PYTHON] + list(options) + [LOADER], root, settings, environment)
        loaders.append(loader)
        if ready:
            loader.told = loader.wait_ready()
        return loader

    yield make
    complaints = []
    for loader in reversed(loaders):
        try:
            assert not COMPLAINT.search(loader.stderr()), loader.stderr()
        except AssertionError as error:
            complaints.append(str(error))
        try:
            loader.audit()
        except AssertionError as error:
            complaints.append(str(error))
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def application(tmp_path):
    """application(text) makes an application of this passenger_wsgi.py; returns its root."""
    def make(text, file="passenger_wsgi.py", **files):
        (tmp_path / file).write_text(text)
        for name, content in files.items():
            (tmp_path / (name + ".py")).write_text(content)
        return str(tmp_path)
    return make


WSGI = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [%s]
"""

ASGI = """
async def application(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": %s})
"""


def in_background(work, *arguments, **more):
    thread = threading.Thread(target=work, args=arguments, kwargs=more)
    thread.start()
    return thread


# ---- start

def test_ready_says_what_it_can(start):
    assert start("hello").told == {"concurrency": "1", "bypass": "0"}
    assert start("hello", thread_count="4").told == {"concurrency": "4", "bypass": "0"}
    assert start("hello", direct_bypass="on").told == {"concurrency": "1", "bypass": "1"}
    assert start("asgi_hello").told == {"concurrency": "4096", "bypass": "0"}
    assert start("asgi_hello", direct_bypass="on").told == {"concurrency": "4096", "bypass": "1"}


@pytest.mark.parametrize("app, summary, detail", [
    ("boot_raise", "ERROR RuntimeError: this application can not be loaded", 'boot_raise/passenger_wsgi.py", line 2'),
    ("boot_exit", "ERROR the application called exit(3) while it was loaded", 'boot_exit/passenger_wsgi.py", line 3'),
])
def test_application_that_does_not_load(start, app, summary, detail):
    loader = start(app, ready=False)
    assert loader.control_line() == summary
    assert loader.wait() == 1
    assert detail in loader.stderr() and PYTHON in loader.stderr()


@pytest.mark.parametrize("text, summary", [
    ("this is not (python", "SyntaxError"),
    ("import no_such_library_at_all", "ModuleNotFoundError: No module named 'no_such_library_at_all'"),
    ("import sys; sys.exit('enough')", "called exit(1) while it was loaded: enough"),
    ("raise BaseException('first\\nsecond')", "ERROR BaseException: first"),
    ("application = 42", "is not callable"),
    ("other = 42", "has no application"),
    ("raise UnicodeError('\\udcff')", "UnicodeError"),
])
def test_load_errors_in_words(start, application, text, summary):
    loader = start(application(text), ready=False)
    line = loader.control_line()
    assert line.startswith("ERROR ") and summary in line, line
    assert "second" not in line
    assert loader.wait() == 1


def test_missing_startup_file(start, tmp_path):
    loader = start(str(tmp_path), ready=False)
    assert "passenger_wsgi.py" in loader.control_line()
    assert loader.wait() == 1


@pytest.mark.parametrize("file, text, kind", [
    ("wsgi.py", WSGI, "1"),
    ("passenger_wsgi.py", WSGI.replace("def application", "def app"), "1"),
    ("asgi.py", ASGI, "4096"),
    ("passenger_wsgi.py", ASGI, "4096"),
    ("wsgi.py", ASGI.replace("application", "app"), "4096"),
    ("asgi.py", WSGI, "1"),
    ("wsgi.py", ASGI + "\ninner = application\nclass App:\n    async def __call__(self, scope, receive, send):\n"
                       "        await inner(scope, receive, send)\napplication = App()", "4096"),
    ("wsgi.py", ASGI + "\ninner = application\nclass App:\n    def __call__(self, scope, receive, send):\n"
                       "        return inner(scope, receive, send)\napplication = App()", "4096"),
    ("asgi.py", ASGI + "\ninner = application\ndef application(*arguments):\n    return inner(*arguments)", "4096"),
    ("wsgi.py", WSGI + "\ninner = application\ndef application(*arguments):\n    return inner(*arguments)", "1"),
], ids=["wsgi", "app", "asgi", "asgi by its look", "asgi app", "wsgi by its look", "async call", "call", "any asgi", "any wsgi"])
def test_detection(start, application, file, text, kind):
    loader = start(application(text % "b'found'", file))
    assert loader.told["concurrency"] == kind
    with loader.connect() as client:
        assert client.get().body == b"found"


@pytest.mark.parametrize("option, value, text, body", [
    ("wsgi_module", "pack.web:make", WSGI.replace("application", "make"), b"pack.web"),
    ("wsgi_module", "pack.web", WSGI, b"pack.web"),
    ("wsgi_module", "pack.web:holder.inner", WSGI + "\nclass holder:\n    inner = staticmethod(application)\n", b"pack.web"),
    ("wsgi_module", "pack.web:make()", WSGI + "\ndef make(config=None):\n    return application\n", b"pack.web"),
    ("asgi_module", "pack.web:make", ASGI.replace("application", "make"), b"pack.web"),
    ("asgi_module", "pack.web:make().inner", ASGI + "\nclass make:\n    inner = staticmethod(application)\n", b"pack.web"),
])
def test_module(start, tmp_path, option, value, text, body):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "pack" / "web.py").write_text(text % "__name__.encode()")
    loader = start(str(tmp_path), **{option: value})
    assert loader.told["concurrency"] == ("1" if option == "wsgi_module" else "4096")
    with loader.connect() as client:
        assert client.get().body == body


def test_module_that_is_not_there(start, tmp_path):
    for value in ("nowhere.web:app", "json:no_such_name"):
        loader = start(str(tmp_path), ready=False, wsgi_module=value)
        assert value.split(":")[0].split(".")[0] in loader.control_line()
        assert loader.wait() == 1


def test_other_startup_file(start, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "my-site.py").write_text(WSGI % "b'other'")
    with start(str(tmp_path), startup_file="sub/my-site.py").connect() as client:
        assert client.get().body == b"other"


def test_stop_while_loading(start):
    loader = start("boot_hang", ready=False)
    time.sleep(0.5)
    loader.cut_lifeline()
    assert loader.wait() == 0
    loader = start("boot_hang", ready=False)
    wait_until(lambda: loader.command("BACKTRACE") or "boot_hang/passenger_wsgi.py" in loader.stderr(), 10, every=0.2)
    loader.signal(signal.SIGTERM)
    assert loader.wait() == 0


def test_surroundings(start, application):
    root = application("""
import os, subprocess, sys
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    inherited = subprocess.run(["ls", "-l", "/proc/self/fd"], stdout=subprocess.PIPE, close_fds=False).stdout
    numbers = [line.split()[8] for line in inherited.decode().splitlines() if "socket" in line or "pipe" in line]
    numbers = [number for number in numbers if len(number) == 1]  # those of the test itself are higher
    return [repr([sys.stdin.read(), sys.argv, sys.path[0], __name__, numbers, os.getcwd()]).encode()]""")
    loader = start(root)
    with loader.connect() as client:
        assert eval(client.get().body) == ["", [root + "/passenger_wsgi.py"], root, "passenger_wsgi", ["1"], root]


def test_app_root_is_in_the_path(start, application):
    root = application("from beside import BESIDE\n" + WSGI % "BESIDE", beside="BESIDE = b'beside'")
    with start(root).connect() as client:
        assert client.get().body == b"beside"


def test_modules_beside_do_not_hide_the_library(start, application):
    root = application(WSGI % "b'mine'", queue="raise SystemExit('the wrong queue')", select="1/0", python="1/0")
    for mode in MODES:
        with start(root, **mode).connect() as client:
            assert client.get().body == b"mine"


def test_what_it_defines_can_be_pickled(start, application):
    root = application("import pickle\nclass Thing: pass\n" + WSGI % "type(pickle.loads(pickle.dumps(Thing()))).__module__.encode()")
    with start(root).connect() as client:
        assert client.get().body == b"passenger_wsgi"


def test_without_a_locale(start, application):
    text = "# Gr\u00fc\u00dfe\nimport sys\nprint('gr\u00fcn')\n" + WSGI % "'\u00fc'.encode()"
    root = application(text)
    with start(root, env={"LC_ALL": "C"}).connect() as client:
        assert client.get().body == "\u00fc".encode()


def test_default_timeout_of_sockets_does_not_matter(start, application):
    root = application("import socket\nsocket.setdefaulttimeout(0.1)\n" + WSGI % "b'ok'")
    for mode in MODES:
        with start(root, **mode).connect() as client:
            client.get()
            time.sleep(0.3)
            assert client.get().body == b"ok"


# ---- requests

@pytest.mark.parametrize("app", ["hello", "asgi_hello"])
def test_one_write_for_head_and_body(start, app):
    with start(app).connect() as client:
        client.request()
        data = client.socket.recv(65536)
        assert data.endswith(b"\r\n\r\nhello world\n")


@each_mode
def test_environ(start, mode):
    with start("env", **mode).connect() as client:
        answer = client.get("/a%20b%C3%A9", "x=1&y=%20", HTTPS="on", HTTP_COOKIE="a=1; b=2", HTTP_X_BYTES=b"\xe9",
                            HTTP_X_EMPTY="", SCRIPT_NAME="/s%75b", REMOTE_USER="me")
    expected = default_environment("GET", "/a b\xc3\xa9", "x=1&y=%20", REQUEST_URI="/a%20b%C3%A9?x=1&y=%20")
    expected.update({
        "HTTPS": "on", "HTTP_COOKIE": "a=1; b=2", "HTTP_X_BYTES": "\xe9", "HTTP_X_EMPTY": "", "SCRIPT_NAME": "/sub",
        "REMOTE_USER": "me", "SERVER_SOFTWARE": "Passenger/7.0.0", "wsgi.url_scheme": "https",
        "wsgi.multiprocess": True, "wsgi.run_once": False, "wsgi.multithread": bool(mode), "wsgi.version": "tuple",
        "wsgi.input_terminated": True, "wsgi.errors": "TextIOWrapper", "wsgi.input": "BytesIO", "wsgi.file_wrapper": "type",
    })
    assert json.loads(answer.body) == expected


@pytest.mark.parametrize("app", ["hello", "env", "echo", "stream", "upload", "big", "filewrapper", "write_callable"])
@each_mode
def test_validate(start, app, mode):
    loader = start("validate", env={"VALIDATE": app}, **mode)
    with loader.connect() as client:
        for method, body in (("GET", None), ("POST", b"body " * 30000), ("POST", b""), ("HEAD", None)):
            client.request(method, "/path", "n=30", body=body, CONTENT_TYPE="text/plain")
            answer = client.answer(head_only=method == "HEAD")
            assert (answer.status, answer.complete) == (200, True), loader.stderr()
        client.request("POST", chunks=[b"a", b"b" * 70000])
        assert client.answer().status == 200, loader.stderr()
    loader.stop()
    assert "Error" not in loader.stderr()


def test_two_frames_in_one_write(start):
    for app in ("echo", "asgi_echo"):
        with start(app).connect() as client:
            one = frame(b"R", 1, pairs(default_environment("POST", "/1", CONTENT_LENGTH="3"))) + b"abc"
            client.send(one + frame(b"P", 0) + one)
            assert json.loads(client.answer().body)["length"] == 3
            assert client.pong()
            assert json.loads(client.answer().body)["length"] == 3


@pytest.mark.parametrize("app", ["echo", "asgi_echo"])
def test_frame_byte_by_byte(start, app):
    with start(app).connect() as client:
        data = frame(b"R", 2, pairs(default_environment("POST", "/slow"))) + struct.pack(">I", 3) + b"abc" + struct.pack(">I", 0)
        for index in range(len(data)):
            client.send(data[index:index + 1])
            if index % 16 == 0:
                time.sleep(0.002)
        assert json.loads(client.answer().body) == {
            "method": "POST", "path": "/slow", "query": "", "length": 3, "sha1": hashlib.sha1(b"abc").hexdigest()}


BAD_FRAMES = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "kind": frame(b"X", 0),
    "ping_with_payload": frame(b"P", 0, b"x"),
    "too_long": b"R\0\0\0" + struct.pack(">I", 131073),
    "no_end": frame(b"R", 0, b"no end"),
    "odd": frame(b"R", 0, b"name without value\0"),
    "empty": frame(b"R", 0, b"\0" * 131072),
    "no_path": frame(b"R", 0, pairs({"REQUEST_METHOD": "GET", "SCRIPT_NAME": ""})),
    "negative_length": frame(b"R", 1, pairs(default_environment("POST", CONTENT_LENGTH="-1"))),
    "no_length": frame(b"R", 1, pairs(default_environment("POST"))),
}


@pytest.mark.parametrize("name", list(BAD_FRAMES))
@pytest.mark.parametrize("app, mode", [("hello", {}), ("hello", {"thread_count": "3"}), ("asgi_hello", {})], ids=["solo", "threads", "asgi"])
def test_bad_frames_close_the_connection(start, app, mode, name):
    loader = start(app, **mode)
    with loader.connect() as client, loader.connect() as other:
        client.send(BAD_FRAMES[name])
        assert client.ended()
        assert other.get().status == 200
    loader.wait_stderr("was not understood")


@pytest.mark.parametrize("app, mode", [("hello", {}), ("hello", {"thread_count": "3"}), ("asgi_hello", {})], ids=["solo", "threads", "asgi"])
def test_half_frames_and_vanishing_clients(start, app, mode):
    loader = start(app, **mode)
    for data in (b"R", b"R\0\0\0\0\0", frame(b"R", 0, b"abc\0")[:-2]):
        client = loader.connect()
        client.send(data)
        client.close()
    with loader.connect() as client:
        assert client.get().status == 200
    assert "Traceback" not in loader.stderr()


# ---- bodies of requests

@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 300000, 3000000])
@pytest.mark.parametrize("app, query", [("echo", "piece=1000"), ("echo", "piece=10000000"), ("asgi_echo", "")])
def test_body_with_length(start, app, size, query):
    body = os.urandom(size)
    with start(app).connect() as client:
        for _ in range(2):
            sender = in_background(client.request, "POST", "/", query, body)
            seen = json.loads(client.answer().body)
            sender.join()
            assert (seen["length"], seen["sha1"]) == (size, hashlib.sha1(body).hexdigest())


@pytest.mark.parametrize("sizes", [[], [1], [5, 70000, 1, 1, 200000], [1] * 300])
@pytest.mark.parametrize("app, mode", [("echo", {}), ("echo", {"thread_count": "3"}), ("asgi_echo", {})], ids=["solo", "threads", "asgi"])
def test_body_in_frames(start, app, sizes, mode):
    chunks = [os.urandom(size) for size in sizes]
    with start(app, **mode).connect() as client:
        for _ in range(2):
            sender = in_background(client.request, "POST", "/", chunks=chunks)
            seen = json.loads(client.answer().body)
            sender.join()
            assert (seen["length"], seen["sha1"]) == (sum(sizes), hashlib.sha1(b"".join(chunks)).hexdigest())


INPUT_APP = """
def application(environ, start_response):
    source = environ["wsgi.input"]
    seen = [source.readline(), source.read(3), source.readline(), source.read(0), source.readline(2), source.readline(0)]
    seen += [next(iter(source)), source.readlines(6), list(source), source.readline(), source.read(), source.read(5), source.readlines()]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(seen).encode()]
"""


@pytest.mark.parametrize("framed", [False, True])
def test_every_way_to_read(start, application, framed):
    body = b"one\ntwo\nthree\nfour\nfive\nsix\nlast"
    how = {"chunks": [body[i:i + 5] for i in range(0, len(body), 5)]} if framed else {"body": body}
    with start(application(INPUT_APP)).connect() as client:
        client.request("POST", **how)
        assert eval(client.answer().body) == [b"one\n", b"two", b"\n", b"", b"th", b"", b"ree\n", [b"four\n", b"five\n"],
                                              [b"six\n", b"last"], b"", b"", b"", []]


def test_no_body_reads_as_empty(start, application):
    with start(application(INPUT_APP.replace("next(iter(source))", "b''"))).connect() as client:
        assert eval(client.get().body) == [b""] * 7 + [[], [], b"", b"", b"", []]


@pytest.mark.parametrize("app", ["upload", "asgi_conformance"])
def test_body_is_read_lazily(start, app):
    loader = start(app)
    with loader.connect() as client:
        client.send(frame(b"R", 1, pairs(default_environment("POST", "/read", "read=3", CONTENT_LENGTH="1000"))) + b"abc")
        assert b"3" in client.answer().body


@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("app, mode", [("upload", {}), ("upload", {"thread_count": "3"}), ("asgi_conformance", {})], ids=["solo", "threads", "asgi"])
def test_unread_rest_is_dropped(start, app, framed, mode):
    loader = start(app, **mode)
    body = b"z" * 500000
    how = {"chunks": [body[:100], body[100:]]} if framed else {"body": body}
    with loader.connect() as client:
        for _ in range(3):
            sender = in_background(client.request, "POST", "/read", "read=3", **how)
            answer = client.answer()
            assert b"3" in answer.body and answer.header("connection") is None
            sender.join()
        assert client.get("/").status in (200, 404)


@pytest.mark.parametrize("app, mode", [("upload", {}), ("upload", {"thread_count": "1", "direct_bypass": "on"}), ("asgi_conformance", {})],
                         ids=["solo", "threads", "asgi"])
def test_dropping_the_rest_keeps_nobody_waiting(start, app, mode):
    loader = start(app, **mode)
    with loader.connect() as client, loader.connect() as other:
        client.send(frame(b"R", 1, pairs(default_environment("POST", "/read", "read=3", CONTENT_LENGTH="1000"))) + b"abc")
        client.answer()
        assert other.get().status in (200, 404)
        client.send(b"x" * 997 + frame(b"P", 0))
        assert client.pong()


@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("app, mode", [("upload", {}), ("upload", {"thread_count": "3"}), ("asgi_conformance", {})], ids=["solo", "threads", "asgi"])
def test_too_much_rest_ends_the_connection(start, app, mode, framed):
    loader = start(app, **mode)
    with loader.connect() as client:
        environment = default_environment("POST", "/read", "read=3")
        if framed:
            data = frame(b"R", 2, pairs(environment)) + struct.pack(">I", 2000000) + b"abc"
        else:
            environment["CONTENT_LENGTH"] = "2000000"
            data = frame(b"R", 1, pairs(environment)) + b"abc"
        client.send(data)
        answer = client.answer()
        assert b"3" in answer.body and answer.header("connection") == "close"
        assert client.ended()


@pytest.mark.parametrize("app, mode", [("echo", {}), ("echo", {"thread_count": "3"}), ("asgi_echo", {})], ids=["solo", "threads", "asgi"])
def test_client_gone_within_a_body(start, app, mode):
    loader = start(app, **mode)
    for data in (frame(b"R", 1, pairs(default_environment("POST", CONTENT_LENGTH="9"))) + b"abc",
                 frame(b"R", 2, pairs(default_environment("POST"))) + struct.pack(">I", 9) + b"abc",
                 frame(b"R", 2, pairs(default_environment("POST"))) + b"\0\0"):
        client = loader.connect()
        client.send(data)
        client.close()
        client = loader.connect()
        client.send(data)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.ended()
        client.close()
    with loader.connect() as client:
        client.request("POST", body=b"x")
        assert client.answer().status == 200
    assert "Traceback" not in loader.stderr()


# ---- answers

@pytest.mark.parametrize("app", ["stream", "asgi_stream"])
def test_stream_comes_as_it_is_written(start, app):
    with start(app).connect() as client:
        client.request("GET", "/", "n=2&ms=600")
        before = time.monotonic()
        client.head()
        assert client.read_line() == b"7" and client.read_line() == b"part 0\n"
        in_time(before, 0.5)
        assert client.read_line() == b"7"
        assert time.monotonic() - before > 0.5


def test_slow_reader(start):
    for app, path in (("big", "/"), ("asgi_conformance", "/big")):
        with start(app).connect() as client:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.request("GET", path, "n=10000000&array=1")
            time.sleep(0.3)
            assert client.answer().body == b"x" * 10000000


@each_mode
def test_head(start, mode):
    with start("hello", **mode).connect() as client:
        answer = client.get("/", method="HEAD")
        assert answer.header("content-length") == "12"
        assert client.get().body == b"hello world\n"
    with start("big", **mode).connect() as client:
        assert client.get("/", "n=99&length=1", method="HEAD").header("content-length") == "99"
        assert client.get("/", "n=99", method="HEAD").header("content-length") is None
        assert client.get("/", "n=99").body == b"x" * 99
    with start("headers", **mode).connect() as client:
        assert client.get("/", "case=no_parts", method="HEAD").header("content-length") is None
        assert client.get("/", "case=late_start", method="HEAD").status == 200
        assert client.get("/").body == b"headers\n"


@each_mode
def test_raise(start, mode):
    loader = start("raise", **mode)
    with loader.connect() as client:
        answer = client.get()
        assert (answer.status, answer.body) == (500, b"The application could not answer this request.\n")
        assert 'raise/passenger_wsgi.py", line 3' in loader.wait_stderr("a secret of the application")
        assert client.get("/", method="HEAD").status == 500
        client.request("POST", body=b"unread" * 1000)
        assert client.answer().status == 500
        assert client.get().status == 500


@pytest.mark.parametrize("query", ["", "length=1", "short=1", "start=1"])
@each_mode
def test_error_after_the_head(start, query, mode):
    loader = start("raise_late", **mode)
    with loader.connect() as client:
        answer = client.get("/", query)
        assert (answer.status, answer.body, answer.complete) == (200, b"first part\n", False)
        assert client.ended()
    text = loader.wait_stderr("bytes of the body were missing" if query == "short=1" else "a late secret")
    loader.stop()
    assert loader.stderr().count("raise_late: closed") == 1, text


@pytest.mark.parametrize("case, expected", [
    ("cookies", [("set-cookie", "a=1"), ("set-cookie", "b=2")]),
    ("latin", [("x-name", "Gr\xfc\xdfe")]),
    ("hop", []), ("several", []), ("sized", []), ("late_start", []), ("bare_status", []),
])
def test_headers(start, case, expected):
    loader = start("headers")
    with loader.connect() as client:
        for _ in range(2):
            answer = client.get("/", "case=" + case)
            assert answer.status == 200, loader.stderr()
            assert [h for h in answer.headers if h[0] not in ("content-type", "content-length", "transfer-encoding")] == expected
            assert answer.body == b"headers\n"
            assert (answer.header("content-length") == "8") == (case != "late_start")


@pytest.mark.parametrize("case", ["cr", "crlf", "lf", "nul", "bad_name", "not_a_string", "unicode", "bad_length", "bad_status",
                                  "status_lf", "bare_100", "text", "text_iterated", "none", "no_start", "twice"])
def test_answers_that_are_refused(start, case):
    loader = start("headers")
    with loader.connect() as client:
        for _ in range(2):
            answer = client.get("/", "case=" + case)
            assert answer.status == 500, (case, answer.headers)
            assert answer.header("x-injected") is None
        assert client.get().status == 200
    loader.wait_stderr("*** Exception")


def test_a_line_break_never_makes_a_header(start):
    with start("headers").connect() as client:
        for case in ("crlf", "status_lf"):
            client.request("GET", "/", "case=" + case)
            assert b"Injected: yes" not in client.socket.recv(65536)


def test_framing_of_odd_answers(start):
    loader = start("headers")
    with loader.connect() as client:
        assert client.get("/", "case=wrong_length").body == b"headers\n"
        assert client.get("/", "case=odd_status").status == 299
        assert client.get("/", "case=replaced").status == 503
        for case in ("no_parts", "no_parts_iterated"):
            assert client.get("/", "case=" + case).header("content-length") == "0"
        for case, status in (("empty", 204), ("empty_with_body", 204), ("not_modified", 304)):
            answer = client.get("/", "case=" + case)
            assert answer.status == status
            assert answer.header("content-length") is None and answer.header("transfer-encoding") is None
        answer = client.get("/", "case=close")
        assert answer.header("connection") == "close" and client.ended()
    with loader.connect() as client:
        answer = client.get("/", "case=too_long")
        assert answer.body == b"hea" and client.ended()
    loader.wait_stderr("the body was longer")


@each_mode
def test_write_callable(start, mode):
    written = b"written 0\nwritten 1\nwritten 2\nreturned\n"
    with start("write_callable", **mode).connect() as client:
        for query in ("", "empty=1", "length=1", "length=1&empty=1"):
            answer = client.get("/", query)
            assert (answer.status, answer.body, answer.complete) == (200, written, True)
            assert (answer.header("content-length") == str(len(written))) == ("length" in query)
        assert client.get("/", "n=0").body == b"returned\n"
        assert client.get("/", method="HEAD").status == 200
        assert client.get("/").body == written


@pytest.mark.parametrize("how", ["plain", "seek", "raw", "memory", "gzip"])
@each_mode
def test_file(start, how, mode):
    loader = start("filewrapper", **mode)
    with loader.connect() as client:
        for size in (3000000, 10, 1000):
            answer = client.get("/", "n=%d&how=%s" % (size, how))
            expected = b"0123456789" + b"x" * (size - 10)
            assert answer.complete and answer.body == (expected[10:] if how == "seek" else expected)
            assert (answer.header("content-length") is not None) == (how not in ("memory", "gzip")) or how == "seek"
        assert client.get("/", "n=100&length=100&how=" + how.replace("seek", "plain")).header("content-length") == "100"
        answer = client.get("/", "n=100&length=50&how=" + how.replace("seek", "plain"))
        assert len(answer.body) == 50 and answer.complete
    with loader.connect() as client:
        assert client.get("/", "n=10&how=" + how, method="HEAD").status == 200
        answer = client.get("/", "n=1000&length=1001&how=" + how.replace("seek", "plain"))
        assert len(answer.body) == 1000 and not answer.complete
    loader.stop()
    assert loader.stderr().count("filewrapper: closed") == (7 if how in ("memory", "gzip") else 0)


def test_output(start):
    loader = start("noisy")
    with loader.connect() as client:
        client.get("/a")
        assert loader.stdout().startswith("noisy: loading, stdout\nnoisy: stdout /a\n")
        assert loader.stderr() == "noisy: loading, stderr\nnoisy: stderr /a\nnoisy: wsgi.errors /a\n"
    loader.stop()
    assert loader.stdout().endswith("noisy: no line end")


# ---- connections and threads

def test_solo_runs_on_the_main_thread(start):
    with start("pid").connect() as client:
        assert client.get("/threads").body == b"main False\n"
    with start("pid", thread_count="2").connect() as client:
        assert client.get("/threads").body == b"other True\n"


EACH_APP = pytest.mark.parametrize("app, mode", [("hello", {}), ("hello", {"thread_count": "3"}), ("hello", {"direct_bypass": "on"}),
                                                 ("asgi_hello", {})], ids=["solo", "threads", "bypass", "asgi"])


@EACH_APP
def test_idle_connections_keep_nobody_waiting(start, app, mode):
    loader = start(app, **mode)
    idle = [loader.connect() for _ in range(30)]
    try:
        with loader.connect() as client:
            for _ in range(3):
                assert client.get().status == 200
        for client in idle:
            assert client.get().status == 200
    finally:
        for client in idle:
            client.close()


@EACH_APP
def test_connections_that_end_leave_nothing(start, app, mode):
    loader = start(app, **mode)
    with loader.connect() as client:
        client.get()
    time.sleep(0.1)
    before = loader.descriptor_count()
    for _ in range(30):
        with loader.connect() as client:
            client.get()
    wait_until(lambda: loader.descriptor_count() <= before, 5, "their descriptors to be closed")
    assert len(os.listdir("/proc/%d/task" % loader.process.pid)) <= 6


def test_asgi_runs_all_at_once(start, tmp_path):
    loader, gate = start("asgi_conformance"), Gate(str(tmp_path / "gate"))
    clients = [loader.connect() for _ in range(50)]
    for client in clients:
        client.request("GET", "/sleep", "gate=" + gate.path)
    wait_until(lambda: gate.inside() == 50, 5, "all to run")
    gate.open()
    for client in clients:
        assert client.answer().body == b"slept"
        client.close()


# ---- stop, signals, commands

SLEEPING = pytest.mark.parametrize("app, mode", [("sleep", {}), ("sleep", {"thread_count": "3"}), ("sleep", {"direct_bypass": "on"}),
                                                 ("asgi_conformance", {})], ids=["solo", "threads", "bypass", "asgi"])


def asleep(client, app, ms):
    if app == "sleep":
        client.request("GET", "/", "ms=%d" % ms)
    else:
        client.request("GET", "/sleep", str(ms / 1000))


@SLEEPING
@pytest.mark.parametrize("how", ["lifeline", "term"])
def test_stop_finishes_what_has_begun(start, tmp_path, app, mode, how):
    loader, gate = start(app, **mode), Gate(str(tmp_path / "gate"))
    with loader.connect() as client, loader.connect() as idle:
        asleep(idle, app, 1)
        idle.answer()
        client.request("GET", "/sleep", "gate=" + gate.path)
        wait_until(lambda: gate.inside() == 1, 5, "the request to run")
        if how == "term":
            loader.signal(signal.SIGTERM)
        else:
            loader.cut_lifeline()
        time.sleep(0.3)  # nothing tells from outside that it knows
        gate.open()
        answer = client.answer()
        assert answer.body.startswith(b"slept") and answer.header("connection") == "close"
        assert client.ended() and idle.ended()
        assert loader.wait() == 0


@SLEEPING
def test_stop_answers_what_lies_in_the_socket(start, app, mode):
    loader = start(app, **mode)
    with loader.connect() as first, loader.connect() as second:
        asleep(first, app, 300)
        time.sleep(0.1)
        asleep(second, app, 1)
        if app != "sleep":
            second.answer()
        time.sleep(0.05)
        loader.cut_lifeline()
        assert first.answer().status == 200
        if app == "sleep":
            assert second.answer().status == 200
        assert loader.wait() == 0


@SLEEPING
def test_second_term_is_at_once(start, app, mode):
    loader = start(app, **mode)
    with loader.connect() as client:
        asleep(client, app, 8000)
        time.sleep(0.2)
        loader.signal(signal.SIGTERM)
        time.sleep(0.1)
        assert loader.process.poll() is None
        loader.signal(signal.SIGTERM)
        assert loader.wait(5) == 143
        assert client.ended()


@EACH_APP
def test_stop_when_idle_is_quick(start, app, mode):
    loader = start(app, **mode)
    with loader.connect() as client:
        client.get()
        begin = time.monotonic()
        assert loader.stop() == 0
        in_time(begin, 1)


def test_exit_runs_what_the_application_wants_at_exit(start, application):
    root = application("import atexit\natexit.register(print, 'at exit')\n" + WSGI % "b''")
    for mode in MODES:
        loader = start(root, **mode)
        loader.stop()
        assert loader.stdout() == "at exit\n"


@each_mode
def test_exit_in_a_request_stops_the_process(start, application, mode):
    loader = start(application("import sys\ndef application(environ, start_response):\n    sys.exit(5)"), **mode)
    with loader.connect() as client:
        answer = client.get()
        assert answer.status == 500 and answer.header("connection") == "close"
        assert loader.wait() == 5


@SLEEPING
def test_backtrace_command_while_busy(start, tmp_path, app, mode):
    loader, gate = start(app, **mode), Gate(str(tmp_path / "gate"))
    with loader.connect() as client:
        client.request("GET", "/sleep", "gate=" + gate.path)
        wait_until(lambda: gate.inside() == 1, 5, "the request to run")
        loader.command("NONSENSE")
        loader.command("BACKTRACE")
        text = loader.wait_stderr("end of backtraces", 5)
        assert ("await asyncio.sleep(" if "asgi" in app else "sleep/passenger_wsgi.py") in text
        gate.open()
        assert client.answer().status == 200


COMPUTING = """
import time
def application(environ, start_response):
    end = time.time() + 1.5
    while time.time() < end:
        pass
    start_response("200 OK", [("Content-Type", "text/plain")])
    return []
"""


def test_backtrace_while_computing(start, application):
    loader = start(application(COMPUTING))
    with loader.connect() as client:
        client.request()
        time.sleep(0.2)
        loader.command("BACKTRACE")
        assert 'passenger_wsgi.py", line' in loader.wait_stderr("end of backtraces", 1.0)
        client.answer()


def test_quit_while_an_extension_holds_the_interpreter(start, application):
    """PyDLL calls without letting go of the interpreter's lock: no other thread can run."""
    root = application("""
import ctypes
def application(environ, start_response):
    ctypes.PyDLL(None).usleep(1500000)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"over"]""")
    loader = start(root)
    with loader.connect() as client:
        client.request()
        time.sleep(0.3)
        loader.signal(signal.SIGQUIT)
        assert "passenger_wsgi.py" in loader.wait_stderr("most recent call first", 0.8)
        assert client.answer().body == b"over"


@EACH_APP
def test_quit_prints_and_goes_on(start, app, mode):
    loader = start(app, **mode)
    loader.signal(signal.SIGQUIT)
    loader.wait_stderr("Thread 0x")
    with loader.connect() as client:
        assert client.get().status == 200


def test_abort_prints_and_aborts(start):
    loader = start("hello")
    loader.signal(signal.SIGABRT)
    assert loader.wait() == -signal.SIGABRT
    assert "Thread 0x" in loader.stderr()


@pytest.mark.parametrize("mode", [{}, {"thread_count": "2"}])
def test_a_forked_child_can_be_ended(start, application, mode):
    root = application("""
import os, signal, time
def application(environ, start_response):
    pid = os.fork()
    if pid == 0:
        time.sleep(5)
        os._exit(0)
    time.sleep(0.1)
    os.kill(pid, signal.SIGTERM)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.waitpid(pid, 0)[1]).encode()]""")
    with start(root, **mode).connect() as client:
        assert client.get().body == b"15"
        assert client.get().body == b"15"


@EACH_APP
def test_hup_is_ignored(start, app, mode):
    loader = start(app, **mode)
    loader.signal(signal.SIGHUP)
    with loader.connect() as client:
        assert client.get().status == 200


@EACH_APP
def test_idle_costs_nothing(start, app, mode):
    loader = start(app, **mode)
    with loader.connect() as client:
        client.get()
        time.sleep(0.1)  # what it does after an answer
        before = loader.cpu_seconds()
        time.sleep(0.5)
        assert loader.cpu_seconds() - before <= 0.02


# ---- ASGI: HTTP

def told(loader, what=None):
    """What the application told on stderr, as [what, value]; only the values with a name."""
    lines = [json.loads(line) for line in loader.stderr().splitlines() if line.startswith("[")]
    return [value for name, value in lines if name == what] if what else lines


def wait_told(loader, what, count=1, seconds=3.0):
    wait_until(lambda: len(told(loader, what)) >= count, seconds, loader.stderr)
    return told(loader, what)


@pytest.fixture(params=["asyncio", "uvloop"])
def conformance(request, start):
    """The application asgi_conformance on either event loop."""
    if request.param == "uvloop" and os.system("%s -c 'import uvloop' 2>/dev/null" % PYTHON) != 0:
        pytest.fail("uvloop is not there: install python3-uvloop")
    env = {}
    if request.param == "asyncio":
        env["PYTHONPATH"] = os.path.join(APPS, "asgi_conformance", "no_uvloop")
    return start("asgi_conformance", env=env)


def test_http_scope(conformance):
    with conformance.connect() as client:
        client.get("/scope", "a=%20b", SCRIPT_NAME="", HTTP_X_TWO="a, b", HTTPS="on", CONTENT_TYPE="text/x", SERVER_PROTOCOL="HTTP/1.0")
        scope = told(conformance, "scope")[0]
        types = told(conformance, "types")[0]
    state = scope.pop("state")
    assert state == {}
    assert scope.pop("asgi") == {"version": "3.0", "spec_version": "2.4"}
    assert scope == {
        "type": "http", "http_version": "1.0", "method": "GET", "scheme": "https", "path": "/scope", "raw_path": "/scope",
        "query_string": "a=%20b", "root_path": "", "client": ["127.0.0.1", 50000], "server": ["example.test", 80],
        "headers": [["host", "example.test"], ["user-agent", "session_client"], ["accept", "*/*"], ["x-two", "a, b"],
                    ["content-type", "text/x"]],
    }
    assert (types["raw_path"], types["query_string"], types["path"]) == ("bytes", "bytes", "str")


def test_http_scope_below_a_base_uri(start, application):
    root = application("""
async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": repr([scope["path"], scope["raw_path"], scope["root_path"]]).encode()})""")
    with start(root).connect() as client:
        assert eval(client.get("/x%C3%A9%2F%FF", SCRIPT_NAME="/s%20b").body) == ["/s b/x\u00e9/\ufffd", b"/s%20b/x%C3%A9%2F%FF", "/s b"]


def test_http_request(conformance):
    with conformance.connect() as client:
        client.get("/requests")
        assert wait_told(conformance, "message", 2) == [{"type": "http.request", "length": 0, "more": False},
                                                        {"type": "http.disconnect"}]
    with conformance.connect() as client:
        sender = in_background(client.request, "POST", "/requests", body=b"x" * 200000)
        assert client.answer().body == b"ok"
        sender.join()
        messages = wait_told(conformance, "message", 4)[2:]
        requests = [m for m in messages if m["type"] == "http.request"]
        assert sum(m["length"] for m in requests) == 200000
        assert [m["more"] for m in requests] == [True] * (len(requests) - 1) + [False]


def test_http_defaults(conformance):
    with conformance.connect() as client:
        answer = client.get("/defaults")
        assert (answer.status, answer.reason, answer.headers, answer.body) == (201, "Created", [("content-length", "0")], b"")


def test_http_start_is_held_back(conformance):
    with conformance.connect() as client:
        client.request("GET", "/start_is_held")
        assert client.silent(0.15)
        assert client.answer().body == b"now"


def test_http_lengths(conformance):
    with conformance.connect() as client:
        answer = client.get("/length")
        assert (answer.header("content-length"), answer.body) == ("6", b"abcdef")
        assert client.get("/empty_parts").body == b"abc"
        assert client.get("/length", method="HEAD").header("content-length") == "6"
        assert client.get("/empty_parts", method="HEAD").header("transfer-encoding") is None
        answer = client.get("/too_short")
        assert not answer.complete and client.ended()
    conformance.wait_stderr("3 bytes of the body were missing")


@pytest.mark.parametrize("path, raised, body", [
    ("/body_first", ["RuntimeError"], b"ok"), ("/start_twice", ["AssertionError"], b"ok"), ("/unknown", ["RuntimeError"] * 2, b"ok"),
    ("/after_the_end", ["RuntimeError"], b"ok"),
])
def test_http_messages_out_of_order(conformance, path, raised, body):
    with conformance.connect() as client:
        assert client.get(path).body == body
        assert [error[0] for error in wait_told(conformance, "raised", len(raised))] == raised
        assert client.get("/length").body == b"abcdef"


@pytest.mark.parametrize("path, log", [("/raise", "a secret of the application"), ("/return", "without a complete answer"),
                                       ("/bad_header", "line break")])
def test_http_errors_before_the_answer(conformance, path, log):
    with conformance.connect() as client:
        for _ in range(2):
            answer = client.get(path)
            assert (answer.status, answer.body) == (500, b"The application could not answer this request.\n")
        conformance.wait_stderr(log)


@pytest.mark.parametrize("path", ["/raise_late", "/no_more"])
def test_http_errors_within_the_answer(conformance, path):
    with conformance.connect() as client:
        answer = client.get(path)
        assert answer.status == 200 and answer.body and not answer.complete and client.ended()


# What an application sends wrongly, and what send raises; the answer that it then sends in order arrives.
MISTAKES = """
import sys

HTTP = {
    "no_type": [{}], "unknown": [{"type": "http.response.nonsense"}], "not_offered": [{"type": "http.response.trailers", "headers": []}],
    "push": [{"type": "http.response.push", "path": "/", "headers": []}], "early_hint": [{"type": "http.response.early_hint", "links": []}],
    "pathsend": [{"type": "http.response.pathsend", "path": "/etc/passwd"}], "debug": [{"type": "http.response.debug", "info": {}}],
    "lifespan": [{"type": "lifespan.startup.complete"}], "websocket": [{"type": "websocket.send", "text": "x"}],
    "no_status": [{"type": "http.response.start"}], "status_text": [{"type": "http.response.start", "status": "fine"}],
    "status_small": [{"type": "http.response.start", "status": 99}], "status_large": [{"type": "http.response.start", "status": 1000}],
    "status_interim": [{"type": "http.response.start", "status": 103}],
    "header_text": [{"type": "http.response.start", "status": 200, "headers": [("a", "b")]}],
    "header_three": [{"type": "http.response.start", "status": 200, "headers": [(b"a", b"b", b"c")]}],
    "header_name": [{"type": "http.response.start", "status": 200, "headers": [(b"a b", b"c")]}],
    "header_break": [{"type": "http.response.start", "status": 200, "headers": [(b"a", b"b\\nc: d")]}],
    "body_first": [{"type": "http.response.body", "body": b"x"}], "body_text": [START, {"type": "http.response.body", "body": "x"}],
    "start_twice": [START, START], "trailers_flag": [dict(START, trailers=True), {"type": "http.response.trailers", "headers": []}],
}
WEBSOCKET = {
    "no_type": [{}], "send_first": [{"type": "websocket.send", "text": "x"}], "http": [START],
    "denial_body_first": [{"type": "websocket.http.response.body", "body": b"x"}], "accept_twice": [ACCEPT, ACCEPT],
    "deny_after": [ACCEPT, dict(START, type="websocket.http.response.start")],
    "accept_header": [dict(ACCEPT, headers=[(b"sec-websocket-extensions", b"x")])],
    "accept_break": [dict(ACCEPT, headers=[(b"a", b"b\\r\\nc: d")])],
    "send_number": [ACCEPT, {"type": "websocket.send", "text": 7}], "send_text_as_bytes": [ACCEPT, {"type": "websocket.send", "bytes": "x"}],
    "close_1005": [ACCEPT, {"type": "websocket.close", "code": 1005}], "close_1006": [ACCEPT, {"type": "websocket.close", "code": 1006}],
    "close_999": [ACCEPT, {"type": "websocket.close", "code": 999}], "close_99999": [ACCEPT, {"type": "websocket.close", "code": 99999}],
    "close_text": [ACCEPT, {"type": "websocket.close", "code": "gone"}],
}

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    raised, done = [], []
    for message in {"http": HTTP, "websocket": WEBSOCKET}[scope["type"]][scope["path"][1:]]:
        try:
            await send(message)
            done.append(message["type"])
        except Exception as error:
            raised.append(type(error).__name__)
    text = " ".join(raised)
    if scope["type"] == "http":
        if not done:
            await send(START)
        await send({"type": "http.response.body", "body": text.encode()})
        return
    if not done:
        await send(ACCEPT)
    await send({"type": "websocket.send", "text": text})
    await send({"type": "websocket.close", "code": 4000, "reason": "\\u00fc" * 100})
"""
MISTAKES = ('START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}\n'
            'ACCEPT = {"type": "websocket.accept"}\n' + MISTAKES.replace("\\\\", "\\"))
HTTP_MISTAKES = {
    "no_type": "KeyError", "unknown": "RuntimeError", "not_offered": "RuntimeError", "push": "RuntimeError", "early_hint": "RuntimeError",
    "pathsend": "RuntimeError", "debug": "RuntimeError", "lifespan": "RuntimeError", "websocket": "RuntimeError", "no_status": "KeyError",
    "status_text": "ValueError", "status_small": "BadResponse", "status_large": "BadResponse", "status_interim": "BadResponse",
    "header_text": "TypeError", "header_three": "ValueError", "header_name": "BadResponse", "header_break": "BadResponse",
    "body_first": "RuntimeError", "body_text": "TypeError", "start_twice": "AssertionError", "trailers_flag": "RuntimeError",
}
WEBSOCKET_MISTAKES = {
    "no_type": "KeyError", "send_first": "RuntimeError", "http": "RuntimeError", "denial_body_first": "RuntimeError",
    "accept_twice": "RuntimeError", "deny_after": "RuntimeError", "accept_header": "BadResponse", "accept_break": "BadResponse",
    "send_number": "AttributeError", "send_text_as_bytes": "TypeError", "close_1005": "ValueError", "close_1006": "ValueError",
    "close_999": "ValueError", "close_99999": "ValueError", "close_text": "ValueError",
}


def test_http_mistakes(start, application):
    loader = start(application(MISTAKES, "asgi.py"))
    with loader.connect() as client:
        for name, raised in HTTP_MISTAKES.items():
            answer = client.get("/" + name)
            assert (name, answer.status, answer.body.decode()) == (name, 200, raised)


def test_websocket_mistakes(start, application):
    loader = start(application(MISTAKES, "asgi.py"))
    for name, raised in WEBSOCKET_MISTAKES.items():
        with loader.connect() as client:
            made = Socket(client, "/" + name)
            assert made.accepted(), name
            assert (name, made.frame()) == (name, (1, raised.encode()))
            opcode, payload = made.frame()
            # as much of the reason as there is room for, and no half character
            assert (opcode, payload) == (8, close_frame(4000, ("\u00fc" * 61).encode()))


def test_http_background_work(conformance):
    """What runs after the answer holds neither the connection nor is it cut off at the end."""
    with conformance.connect() as client:
        before = time.monotonic()
        assert client.get("/background").body == b"ok"
        assert client.get("/length").body == b"abcdef"
        in_time(before, 0.35)
    conformance.stop()
    assert told(conformance)[-2][0] == "background"


def test_http_disconnect(conformance):
    with conformance.connect() as client:
        client.request("GET", "/disconnect")
        time.sleep(0.1)
    assert wait_told(conformance, "message", 2) == [{"type": "http.disconnect"}] * 2
    assert told(conformance, "raised")[0][:2] == ["Disconnected", True]


def test_http_disconnect_while_streaming(start):
    loader = start("asgi_stream")
    client = loader.connect()
    client.request("GET", "/", "n=100&ms=20")
    client.head()
    client.close()
    loader.wait_stderr("asgi_stream: send failed")
    loader.wait_stderr("asgi_stream: http.disconnect")


def test_http_stream(start):
    loader = start("asgi_stream")
    with loader.connect() as client:
        for _ in range(2):
            answer = client.get("/", "n=3")
            assert answer.header("transfer-encoding") == "chunked" and answer.body == b"part 0\npart 1\npart 2\n"
        loader.wait_stderr("http.disconnect\nasgi_stream: http.disconnect\n")


def test_http_exit(conformance):
    with conformance.connect() as client:
        assert client.get("/exit").status == 500
        assert conformance.wait() == 5


# ---- ASGI: lifespan

def test_lifespan(start):
    loader = start("asgi_lifespan")
    assert loader.stderr() == "lifespan: lifespan.startup\n"
    with loader.connect() as client:
        assert client.get().body == b"from lifespan 1 None\n"
        assert client.get().body == b"from lifespan 2 None\n"
    assert loader.stop() == 0
    assert loader.stderr() == "lifespan: lifespan.startup\nlifespan: lifespan.shutdown\n"


def test_lifespan_messages(conformance):
    assert conformance.stop() == 0
    assert told(conformance)[0] == ["lifespan scope", {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.4"}, "state": {}}]
    assert told(conformance, "lifespan") == [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    assert [error[0] for error in told(conformance, "lifespan raised")] == ["RuntimeError"] * 2


def test_lifespan_startup_failed(start):
    loader = start("asgi_lifespan", ready=False, env={"LIFESPAN": "failed"})
    assert loader.control_line() == "ERROR RuntimeError: lifespan.startup.failed: no database"
    assert loader.wait() == 1
    assert "second line" in loader.stderr()


def test_lifespan_exit(start):
    loader = start("asgi_lifespan", ready=False, env={"LIFESPAN": "exit"})
    assert "exit(4)" in loader.control_line()
    assert loader.wait() == 1


def test_lifespan_that_hangs_can_be_stopped(start):
    loader = start("asgi_lifespan", ready=False, env={"LIFESPAN": "hang"})
    loader.wait_stderr("lifespan.startup")
    loader.command("BACKTRACE")
    loader.wait_stderr("end of backtraces")
    loader.cut_lifeline()
    assert loader.wait() == 0


def test_lifespan_not_supported(start, application):
    with start(application(ASGI % "b'works'")).connect() as client:
        assert client.get().body == b"works"


@pytest.mark.parametrize("how, log", [("raise_late", "lifespan is broken"), ("shutdown_failed", "lifespan.shutdown.failed: no way out")])
def test_lifespan_trouble_later(start, how, log):
    loader = start("asgi_lifespan", env={"LIFESPAN": how})
    with loader.connect() as client:
        assert client.get().status == 200
    assert loader.stop() == 0
    assert log in loader.stderr()


# ---- ASGI: websocket

KEY = base64.b64encode(b"0123456789abcdef").decode()


def masked(opcode, data=b"", final=True, mask=b"\x01\x02\x03\x04", reserved=0):
    head = bytes([(128 if final else 0) | reserved | opcode])
    if len(data) < 126:
        head += bytes([128 | len(data)])
    elif len(data) < 65536:
        head += bytes([254]) + struct.pack(">H", len(data))
    else:
        head += bytes([255]) + struct.pack(">Q", len(data))
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


class Socket:
    """A websocket client over one connection to the loader."""

    def __init__(self, client, path="/", **more):
        self.client = client
        environment = {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade", "HTTP_SEC_WEBSOCKET_KEY": KEY,
                       "HTTP_SEC_WEBSOCKET_VERSION": "13"}
        environment.update(more)
        client.request("GET", path, **{name: value for name, value in environment.items() if value is not None})

    def accepted(self):
        answer = self.client.answer()
        assert answer.status == 101, (answer.status, answer.body)
        assert answer.header("upgrade") == "websocket" and answer.header("connection") == "Upgrade"
        expected = base64.b64encode(hashlib.sha1((KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        assert answer.header("sec-websocket-accept") == expected.decode()
        assert answer.header("content-length") is None
        return answer

    def send(self, *arguments, **more):
        self.client.send(masked(*arguments, **more))

    def text(self, text):
        self.send(1, text.encode())

    def frame(self):
        first, second = self.client.read_exactly(2)
        assert first & 128 and not first & 112 and not second & 128
        size = second & 127
        if size > 125:
            size = int.from_bytes(self.client.read_exactly(2 if size == 126 else 8), "big")
        return first & 15, self.client.read_exactly(size)

    def closed(self, code, reason=b""):
        assert self.frame() == (8, struct.pack(">H", code) + reason)
        assert self.client.ended()


@pytest.fixture
def websocket(conformance):
    clients = []

    def connect(path="/", accepted=True, **more):
        clients.append(conformance.connect())
        made = Socket(clients[-1], path, **more)
        if accepted:
            made.accepted()
        return made
    connect.loader = conformance
    yield connect
    for client in clients:
        client.close()


def disconnects(loader, count=1):
    def found():
        return [(m["code"], m["reason"]) for m in told(loader, "message") if m["type"] == "websocket.disconnect"]
    wait_until(lambda: len(found()) >= count, 3, loader.stderr)
    return found()


def test_websocket_scope_and_accept(websocket):
    made = websocket("/scope", accepted=False, HTTP_SEC_WEBSOCKET_PROTOCOL="one, two", HTTPS="on", QUERY_STRING="q")
    answer = made.accepted()
    assert answer.header("sec-websocket-protocol") == "two" and answer.header("x-mine") == "yes"
    scope = told(websocket.loader, "scope")[0]
    headers = dict(scope.pop("headers"))
    assert headers["sec-websocket-key"] == KEY and headers["upgrade"] == "websocket"
    assert scope == {
        "type": "websocket", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "scheme": "wss",
        "path": "/scope", "raw_path": "/scope", "query_string": "q", "root_path": "", "client": ["127.0.0.1", 50000],
        "server": ["example.test", 80], "subprotocols": ["one", "two"], "state": {},
        "extensions": {"websocket.http.response": {}}}
    assert told(websocket.loader, "message")[0] == {"type": "websocket.connect"}


@pytest.mark.parametrize("more, status", [
    ({"HTTP_SEC_WEBSOCKET_VERSION": "8"}, 426), ({"HTTP_SEC_WEBSOCKET_VERSION": None}, 426), ({"HTTP_SEC_WEBSOCKET_KEY": None}, 400),
    ({"HTTP_SEC_WEBSOCKET_KEY": "short"}, 400), ({"HTTP_SEC_WEBSOCKET_KEY": "Zm9v"}, 400), ({"HTTP_UPGRADE": "other"}, 404)])
def test_websocket_bad_handshakes(websocket, more, status):
    made = websocket(accepted=False, **more)
    answer = made.client.answer()
    assert answer.status == status
    assert (answer.header("sec-websocket-version") == "13") == (status == 426)
    assert made.client.get("/length").body == b"abcdef"


def test_websocket_refused(websocket):
    made = websocket("/refuse", accepted=False)
    assert made.client.answer().status == 403
    assert disconnects(websocket.loader) == [(1006, "")]
    assert wait_told(websocket.loader, "raised")[0][0] == "RuntimeError"
    assert made.client.get("/length").body == b"abcdef"


def test_websocket_denied_by_a_response(websocket):
    made = websocket("/deny", accepted=False)
    answer = made.client.answer()
    assert (answer.status, answer.body, answer.header("x-mine")) == (401, b"who are you?", "yes")
    assert disconnects(websocket.loader) == [(1006, "")]


@pytest.mark.parametrize("path, log", [("/return_early", "without an answer to the websocket"), ("/raise_early", "a secret of the websocket")])
def test_websocket_errors_before_it_is_accepted(websocket, path, log):
    made = websocket(path, accepted=False)
    assert made.client.answer().status == 500
    websocket.loader.wait_stderr(log)


def test_websocket_errors_in_accept(websocket):
    websocket("/send_early")
    websocket("/bad_accept")
    assert [error[0] for error in wait_told(websocket.loader, "raised", 3)] == ["RuntimeError", "BadResponse", "BadResponse"]


def test_websocket_messages(websocket):
    made = websocket()
    made.text("h\u00e4llo")
    assert made.frame() == (1, "h\u00e4llo".encode())
    made.send(2, b"\x00\xff")
    assert made.frame() == (2, b"\x00\xff")
    made.send(1, b"")
    assert made.frame() == (1, b"")
    made.send(2, b"")
    assert made.frame() == (2, b"")
    assert told(websocket.loader, "message")[1:3] == [
        {"type": "websocket.receive", "bytes": None, "text": "h\u00e4llo"},
        {"type": "websocket.receive", "bytes": "\x00\xff", "text": None}]
    made.text("bytes")
    assert made.frame() == (2, b"\x00\xff")


@pytest.mark.parametrize("size", [125, 126, 127, 65535, 65536, 300000])
def test_websocket_sizes(websocket, size):
    made = websocket()
    sender = in_background(made.send, 2, b"s" * size)
    assert made.frame() == (2, b"s" * size)
    sender.join()
    made.text("large")
    assert [len(made.frame()[1]) for _ in range(4)] == [125, 126, 65535, 65536]


def test_websocket_byte_by_byte(websocket):
    made = websocket()
    for byte in masked(1, b"slowly " * 20):
        made.client.send(bytes([byte]))
    assert made.frame() == (1, b"slowly " * 20)


def test_websocket_frames_right_behind_the_handshake(websocket):
    """A client may not do so; what the balancer has read by then comes with it all the same."""
    client = websocket.loader.connect()
    environment = default_environment("GET", "/", HTTP_UPGRADE="websocket", HTTP_CONNECTION="Upgrade", HTTP_SEC_WEBSOCKET_KEY=KEY,
                                      HTTP_SEC_WEBSOCKET_VERSION="13")
    client.send(frame(b"R", 0, pairs(environment)) + masked(1, b"early") + masked(1, b"birds"))
    assert client.answer().status == 101
    assert client.read_exactly(14) == b"\x81\x05early\x81\x05birds"
    client.close()


def test_websocket_fragments(websocket):
    made = websocket()
    made.send(1, "gr\u00fc".encode()[:3], final=False)
    made.send(9, b"between")
    made.send(0, "gr\u00fc".encode()[3:], final=False)
    made.send(10, b"nobody asked")
    made.send(0, b"n", final=True)
    assert made.frame() == (10, b"between")
    assert made.frame() == (1, "gr\u00fcn".encode())
    made.send(2, b"", final=False)
    made.send(0, b"")
    assert made.frame() == (2, b"")


def test_websocket_ping(websocket):
    made = websocket()
    for data in (b"", b"p" * 125):
        made.send(9, data)
        assert made.frame() == (10, data)


def close_frame(code, reason=b""):
    return struct.pack(">H", code) + reason


BROKEN = {
    "unmasked": (b"\x81\x01a", 1002), "reserved bit": (masked(1, b"a", reserved=64), 1002), "opcode 3": (masked(3), 1002),
    "opcode 11": (masked(11), 1002), "long ping": (masked(9, b"p" * 126), 1002), "ping in fragments": (masked(9, b"", final=False), 1002),
    "nothing to go on with": (masked(0, b"a"), 1002), "new message within one": (masked(1, b"a", final=False) + masked(1, b"b"), 1002),
    "bad UTF-8": (masked(1, b"\xff\xfe"), 1007), "cut UTF-8": (masked(1, b"\xc3"), 1007), "surrogate": (masked(1, b"\xed\xa0\x80"), 1007),
    "bad UTF-8 in fragments": (masked(1, b"\xc3", final=False) + masked(0, b"("), 1007),
    "too big": (bytes([130, 255]) + struct.pack(">Q", 16777217), 1009), "absurd": (bytes([130, 255]) + b"\xff" * 8, 1009),
    "too big in fragments": (masked(2, b"a", final=False) + bytes([128, 255]) + struct.pack(">Q", 16777216), 1009),
    "close of one byte": (masked(8, b"\x03"), 1002), "close 1005": (masked(8, close_frame(1005)), 1002),
    "close 999": (masked(8, close_frame(999)), 1002), "close 2000": (masked(8, close_frame(2000)), 1002),
    "close 5000": (masked(8, close_frame(5000)), 1002), "close with bad UTF-8": (masked(8, close_frame(1000, b"\xff")), 1007),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_websocket_violations(websocket, name):
    data, code = BROKEN[name]
    made = websocket()
    made.client.send(data)
    opcode, payload = made.frame()
    assert (opcode, payload[:2]) == (8, struct.pack(">H", code))
    assert made.client.ended()
    assert disconnects(websocket.loader)[0][0] == code
    assert wait_told(websocket.loader, "raised")[0][:2] == ["Disconnected", True]


@pytest.mark.parametrize("payload, told_code, told_reason", [
    (b"", 1005, ""), (close_frame(1000), 1000, ""), (close_frame(1001, b"away"), 1001, "away"), (close_frame(3999, b"mine"), 3999, "mine")])
def test_websocket_closed_by_the_client(websocket, payload, told_code, told_reason):
    made = websocket()
    made.send(8, payload)
    assert made.frame() == (8, payload[:2])
    assert made.client.ended()
    assert disconnects(websocket.loader) == [(told_code, told_reason)]
    assert wait_told(websocket.loader, "raised")[0][:2] == ["Disconnected", True]
    assert wait_told(websocket.loader, "again")[0]["type"] == "websocket.disconnect"


@pytest.mark.parametrize("how", ["close", "shutdown"])
def test_websocket_client_gone(websocket, how):
    made = websocket()
    if how == "close":
        made.client.close()
    else:
        made.client.socket.shutdown(socket.SHUT_WR)
    assert disconnects(websocket.loader) == [(1006, "")]


def test_websocket_closed_by_the_application(websocket):
    made = websocket()
    made.text("close")
    assert made.frame() == (8, close_frame(1000))
    made.text("too late")
    made.send(8, close_frame(1000))
    assert made.client.ended()
    made = websocket()
    made.text("close reason")
    assert made.frame() == (8, close_frame(4001, "gr\u00fcn".encode()))
    made.send(8, close_frame(4001))
    assert made.client.ended()
    assert disconnects(websocket.loader, 2) == [(1000, ""), (4001, "gr\u00fcn")]
    assert wait_told(websocket.loader, "raised", 1)[0][0] == "RuntimeError"


def test_websocket_client_that_does_not_answer_a_close(websocket):
    made = websocket()
    made.text("close")
    made.frame()
    before = time.monotonic()
    assert made.client.ended()
    assert 3 < time.monotonic() - before < 8


def test_websocket_return(websocket):
    made = websocket("/return")
    assert made.frame() == (1, b"last words")
    made.send(8, close_frame(1000))
    made.closed(1000)


def test_websocket_raise(start):
    loader = start("asgi_websocket_echo")
    with loader.connect() as client:
        made = Socket(client)
        made.accepted()
        made.text("raise")
        assert made.frame() == (8, close_frame(1011))
        made.send(8, close_frame(1011))
        assert client.ended()
    loader.wait_stderr("a secret of the websocket")


@pytest.mark.parametrize("text, errors", [("neither", ["ValueError"]), ("both", ["ValueError"]), ("unknown", ["RuntimeError"] * 3)])
def test_websocket_messages_that_are_refused(websocket, text, errors):
    made = websocket()
    made.text(text)
    assert [error[0] for error in wait_told(websocket.loader, "raised", len(errors))] == errors
    made.text("still there")
    assert made.frame() == (1, b"still there")


def test_websocket_back_pressure(websocket):
    """While the application is slow, the client is not read without end."""
    made = websocket()
    made.text("slow")
    data = masked(2, b"b" * 60000)
    made.client.socket.settimeout(0.2)
    sent = 0
    try:
        while sent < 100:
            made.client.socket.sendall(data)
            sent += 1
    except socket.timeout:
        pass
    assert 1 < sent < 30
    made.client.close()


def test_websocket_and_requests_beside_it(start):
    loader = start("asgi_websocket_echo")
    clients = [loader.connect() for _ in range(20)]
    sockets = [Socket(client) for client in clients]
    for made in sockets:
        made.accepted()
    with loader.connect() as other:
        assert other.get().body == b"20\n"
        for index, made in enumerate(sockets):
            made.text("number %d" % index)
        for index, made in enumerate(sockets):
            assert made.frame() == (1, b"number %d" % index)
        for client in clients:
            client.close()
        wait_until(lambda: other.get().body == b"0\n", 3, "nobody to be counted")


@pytest.mark.parametrize("how", ["lifeline", "term"])
def test_websocket_is_told_of_a_stop(websocket, how):
    loader = websocket.loader
    made = websocket()
    begin = time.monotonic()
    if how == "term":
        loader.signal(signal.SIGTERM)
    else:
        loader.cut_lifeline()
    assert made.frame() == (8, close_frame(1001, b"the server stops"))
    made.send(8, close_frame(1001))
    assert made.client.ended()
    assert loader.wait() == 0
    assert disconnects(loader) == [(1001, "the server stops")]
    in_time(begin, 2)


def test_websocket_that_only_sends_is_told_of_a_stop(start, application):
    """Who never asks hears of it by an OSError, as of a client that has gone."""
    loader = start(application("""
import asyncio, sys
async def application(scope, receive, send):
    assert scope["type"] == "websocket"
    await send({"type": "websocket.accept"})
    try:
        while True:
            await send({"type": "websocket.send", "text": "tick"})
            await asyncio.sleep(0.01)
    except OSError:
        print("told", file=sys.stderr)
""", "asgi.py"))
    with loader.connect() as client:
        made = Socket(client)
        made.accepted()
        loader.cut_lifeline()
        while made.frame() == (1, b"tick"):
            pass
        made.send(8, close_frame(1001))
        assert loader.wait() == 0
    loader.wait_stderr("told")
    assert "Exception" not in loader.stderr()


def test_another_client_that_has_gone(start, application):
    """Who sends to it gets an OSError; not caught, that is an exception like any: 500, and in the log."""
    loader = start(application("""
import asyncio
others = []
async def application(scope, receive, send):
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        others.append(send)
    elif scope["type"] == "http":
        for other in others:
            await other({"type": "websocket.send", "text": "news"})
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"%d" % len(others)})
""", "asgi.py"))
    with loader.connect() as client:
        Socket(client).accepted()
    with loader.connect() as client:
        wait_until(lambda: client.get().status == 500, 10, "the other one to be gone")
    loader.wait_stderr("*** Exception Disconnected in the application")


# ---- thrift

@pytest.mark.parametrize("app, microseconds", [("hello", 45), ("asgi_hello", 150)])
def test_a_request_is_cheap(start, app, microseconds):
    """Not a benchmark: twice the target, to see when something goes very wrong."""
    loader = start(app)
    with loader.connect() as client:
        data = frame(b"R", 0, pairs(default_environment()))
        for _ in range(500):
            client.send(data)
            client.socket.recv(65536)
        before = loader.cpu_seconds()
        for _ in range(4000):
            client.send(data)
            client.socket.recv(65536)
        assert (loader.cpu_seconds() - before) / 4000 < 2e-6 * microseconds


@pytest.mark.parametrize("app", ["upload", "asgi_echo"])
def test_memory_of_a_large_body_is_bounded(start, app):
    loader = start(app)
    with loader.connect() as client:
        piece = b"m" * 1000000
        client.send(frame(b"R", 1, pairs(default_environment("POST", CONTENT_LENGTH=str(100 * len(piece))))))
        for _ in range(100):
            client.send(piece)
        assert b"100000000" in client.answer().body
        status = open("/proc/%d/status" % loader.process.pid).read()
        peak_kb = int([line for line in status.splitlines() if line.startswith("VmHWM")][0].split()[1])
        assert peak_kb < 80000
