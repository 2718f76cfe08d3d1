"""The Ruby loader (modules/apps/ruby.rb) by itself, over the session protocol.

Every test ends with an audit: the process is gone by its own doing, its group
is empty, no descriptor of ours is left. LOADER_RACK3=/path/to/rack/lib runs the
applications with that Rack instead of the installed one."""

import hashlib
import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import pytest

from lib.loader_tests import *  # noqa: F401, F403
from lib.passenger import Gate
from lib.wait import Late, in_time, wait_until
from session_client import Loader, frame, pairs, default_environment

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LOADER = os.environ.get("RUBY_LOADER", os.path.join(ROOT, "modules", "apps", "ruby.rb"))
APPS = os.path.join(ROOT, "test", "apps", "ruby")
RUBY = os.environ.get("RUBY", "ruby")
RACK3 = os.environ.get("LOADER_RACK3")


def rack_options():
    return ["-I", RACK3] if RACK3 else []


# All other applications run within Rack::Lint. It hides what these tests are about (that a body is an array, a file, or
# is called), or the application breaks the rules on purpose, or costs and versions are looked at.
NOT_LINTED = {
    "test_a_line_break_never_makes_a_header", "test_a_request_is_cheap", "test_answers_that_are_refused", "test_big",
    "test_branches_for_rack_3_by_a_fake", "test_error_after_the_head", "test_every_way_to_read", "test_file",
    "test_framing_of_odd_answers", "test_head", "test_headers", "test_hello",
    "test_hijack_sees_what_was_read_too_early", "test_load_errors_in_words", "test_memory_of_a_large_body_is_bounded",
    "test_no_body_reads_as_empty", "test_one_write_for_head_and_body", "test_rack_3_is_what_is_loaded",
    "test_streaming_bodies_that_are_called",
}


@pytest.fixture
def start(request):
    """start(app, **arguments) gives a Loader that is ready; all are audited at the end."""
    loaders = []

    lint = request.node.originalname not in NOT_LINTED

    def make(app, ready=True, env=None, options=(), **arguments):
        root = app if os.path.isabs(app) else os.path.join(APPS, app)
        wrap = ["-r", os.path.join(HERE, "lib", "lint.rb")] if lint else []
        loader = Loader([RUBY] + list(options) + rack_options() + wrap + [LOADER], root, arguments, env)
        loaders.append(loader)
        if ready:
            loader.told = loader.wait_ready()
        return loader

    yield make
    complaints = []
    for loader in reversed(loaders):
        try:
            assert "LintError" not in loader.stderr(), loader.stderr()
        except AssertionError as error:
            complaints.append(str(error))
        try:
            loader.audit()
        except AssertionError as error:
            complaints.append(str(error))
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def application(tmp_path):
    """application(text) makes an application of this config.ru; returns its root."""
    def make(text, **files):
        (tmp_path / "config.ru").write_text(text)
        for name, content in files.items():
            (tmp_path / name).write_text(content)
        return str(tmp_path)
    return make


rack2_only = pytest.mark.skipif(RACK3 is not None, reason="Rack 2 behaviour")


def rack3_only(test):
    """Without LOADER_RACK3 there is nothing to collect: a skipped test would count as failed."""
    return test if RACK3 else None


# ---- start

def test_ready_says_what_it_can(start):
    assert start("hello").told == {"concurrency": "1", "bypass": "0"}
    assert start("hello", thread_count="4").told == {"concurrency": "4", "bypass": "0"}
    assert start("hello", direct_bypass="on").told == {"concurrency": "1", "bypass": "1"}


@pytest.mark.parametrize("level, told", [("7", "7"), ("0", "4096")])
def test_advertised_concurrency(start, level, told):
    assert start("events", env={"ADVERTISED_CONCURRENCY": level}).told["concurrency"] == told


def test_title(start):
    loader = start("hello")
    title = open("/proc/%d/cmdline" % loader.process.pid).read().rstrip("\0")
    assert title == "Passenger RubyApp: %s (production)" % os.path.join(APPS, "hello")


@pytest.mark.parametrize("app, summary, detail", [
    ("boot_raise", "ERROR RuntimeError: this application can't be loaded (config.ru:2)", "boot_raise/config.ru:2"),
    ("boot_exit", "ERROR the application called exit(3) while it was loaded (config.ru:2)", "boot_exit/config.ru:2"),
])
def test_application_that_does_not_load(start, app, summary, detail):
    loader = start(app, ready=False)
    assert loader.control_line() == summary
    assert loader.wait() == 1
    assert detail in loader.stderr()


@pytest.mark.parametrize("text, summary", [
    ("this is not (ruby", "SyntaxError"),
    ("require 'no_such_library_at_all'", "LoadError"),
    ("abort 'enough'", "called exit(1) while it was loaded: enough"),
    ("raise Exception, \"first\\nsecond\"", "ERROR Exception: first"),
    ("run 42", "does not respond to call"),
    ("PhusionPassenger.on_event(:starting_worker_process) { raise 'event' }\nrun ->(e) { [200, {}, []] }", "RuntimeError: event"),
])
def test_load_errors_in_words(start, application, text, summary):
    loader = start(application(text), ready=False)
    line = loader.control_line()
    assert line.startswith("ERROR ") and summary in line, line
    assert "second" not in line
    assert loader.wait() == 1


def test_missing_startup_file(start, tmp_path):
    loader = start(str(tmp_path), ready=False)
    assert "config.ru" in loader.control_line()
    assert loader.wait() == 1


def test_other_startup_file(start, tmp_path):
    (tmp_path / "other.ru").write_text("run ->(e) { [200, {}, ['other']] }")
    with start(str(tmp_path), startup_file="other.ru").connect() as client:
        assert client.get().body == b"other"


def test_stop_while_loading(start):
    loader = start("boot_hang", ready=False)
    time.sleep(0.5)
    loader.cut_lifeline()
    assert loader.wait() == 0
    loader = start("boot_hang", ready=False)
    wait_until(lambda: loader.command("BACKTRACE") or "boot_hang/config.ru:2" in loader.stderr(), 10, every=0.2)
    loader.signal(signal.SIGTERM)
    assert loader.wait() == 0


def test_surroundings(start):
    with start("stdin").connect() as client:
        lines = client.get().body.decode().splitlines()
    assert lines[0] == 'stdin="" argv=[] main=false constants=[:PhusionPassenger]'
    assert lines[1] == "inherited=[]" or "pipe" in lines[1]
    assert "socket" not in lines[1]


def test_no_local_variable_of_the_loader(start, application):
    root = application("$found = TOPLEVEL_BINDING.local_variables - [:builder_script, :file, :binding, :builder]\n"
                       "run ->(e) { [200, {}, [$found.inspect]] }")
    with start(root).connect() as client:
        assert client.get().body in (b"[]", b"[:_]")


def test_without_a_locale(start, application):
    text = "# Gr\u00fc\u00dfe\nrun ->(e) { [200, {}, ['\u00fc', Encoding.default_external.to_s]] }"
    root = application(text)
    with start(root, env={"LC_ALL": "C"}).connect() as client:
        assert client.get().body == "\u00fcUTF-8".encode()


def test_errors_in_any_encoding(start, application):
    root = application("""
        class \u00dcbel < StandardError; end
        run ->(e) { raise \u00dcbel, "\\xff\\xfe".b }""")
    for mode in MODES:
        loader = start(root, **mode)
        with loader.connect() as client:
            assert client.get().status == 500
            assert client.get().status == 500
        loader.command("BACKTRACE")
        loader.wait_stderr("end of backtraces")


def test_app_root_is_in_the_load_path(start, application):
    root = application("require 'beside'\nrun ->(e) { [200, {}, [BESIDE]] }", **{"beside.rb": "BESIDE = 'beside'"})
    with start(root).connect() as client:
        assert client.get().body == b"beside"


def test_bundler(start, application):
    if subprocess.run([RUBY, "-e", "require 'bundler'"], stderr=subprocess.DEVNULL).returncode != 0 or RACK3:
        pytest.skip("no bundler")
    root = application("run ->(e) { [200, {}, [defined?(Bundler::ORIGINAL_ENV) || ENV['BUNDLE_GEMFILE'] ? 'bundled' : 'bare']] }",
                       Gemfile="gem 'rack'\n")
    with start(root).connect() as client:
        assert client.get().body == b"bundled"


def test_bundler_without_the_gem(start, application):
    if subprocess.run([RUBY, "-e", "require 'bundler'"], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("no bundler")
    loader = start(application("run ->(e) { [200, {}, []] }", Gemfile="gem 'no_such_gem_at_all'\n"), ready=False)
    assert loader.control_line().startswith("ERROR ")
    assert loader.wait() == 1
    assert "no_such_gem_at_all" in loader.stderr()


# ---- requests

def test_one_write_for_head_and_body(start):
    with start("hello").connect() as client:
        client.request()
        data = client.socket.recv(65536)
        assert data.endswith(b"\r\n\r\nhello world\n")


@each_mode
def test_environment(start, mode):
    with start("env", **mode).connect() as client:
        answer = client.get("/a%20b", "x=1&y=", HTTPS="on", HTTP_COOKIE="a=1; b=2", HTTP_X_BYTES=b"\xe9",
                            HTTP_X_EMPTY="", SCRIPT_NAME="/sub", REMOTE_USER="me")
    seen = json.loads(answer.body)
    expected = default_environment("GET", "/a%20b", "x=1&y=")
    expected.update({
        "HTTPS": "on", "HTTP_COOKIE": "a=1; b=2", "HTTP_X_BYTES": "\xe9", "HTTP_X_EMPTY": "", "SCRIPT_NAME": "/sub",
        "REMOTE_USER": "me", "HTTP_VERSION": "HTTP/1.1", "SERVER_SOFTWARE": "Passenger/7.0.0",
        "rack.url_scheme": "https", "rack.multiprocess": True, "rack.run_once": False, "rack.hijack?": True,
        "rack.multithread": bool(mode),
    })
    assert seen == expected


def test_version_header_of_a_client_does_not_count(start):
    with start("env").connect() as client:
        assert json.loads(client.get(HTTP_VERSION="forged").body)["HTTP_VERSION"] == "HTTP/1.1"


@pytest.mark.parametrize("app", ["hello", "env", "echo", "stream", "upload", "big", "early_hints"])
@each_mode
def test_lint(start, app, mode):
    loader = start("lint_" + app, early_hints="on" if app == "early_hints" else "off", **mode)
    with loader.connect() as client:
        for method, body in (("GET", None), ("POST", b"body " * 30000), ("POST", b"")):
            client.request(method, "/path", "n=3", body=body)
            if app == "early_hints":
                assert client.answer().status == 103
            answer = client.answer()
            assert (answer.status, answer.complete) == (200, True), loader.stderr()
        client.request("POST", chunks=[b"a", b"b" * 70000])
        if app == "early_hints":
            client.answer()
        assert client.answer().status == 200, loader.stderr()


def test_lint_hijack(start):
    with start("lint_hijack_full").connect() as client:
        assert client.get().body == b"hijacked\n"
    with start("lint_hijack_partial").connect() as client:
        assert client.get().body == b"partially hijacked\n"
    with start("lint_upgrade").connect() as client:
        client.request(HTTP_UPGRADE="echo", HTTP_CONNECTION="Upgrade")
        assert client.answer().status == 101
        client.send(b"to and fro")
        assert client.read_exactly(10) == b"to and fro"


def test_two_frames_in_one_write(start):
    with start("echo").connect() as client:
        one = frame(b"R", 1, pairs(default_environment("POST", "/1", CONTENT_LENGTH="3"))) + b"abc"
        client.send(one + frame(b"P", 0) + one)
        assert json.loads(client.answer().body)["length"] == 3
        assert client.pong()
        assert json.loads(client.answer().body)["length"] == 3


def test_frame_byte_by_byte(start):
    with start("echo").connect() as client:
        data = frame(b"R", 2, pairs(default_environment("POST", "/slow"))) + struct.pack(">I", 3) + b"abc" + struct.pack(">I", 0)
        for index in range(len(data)):
            client.send(data[index:index + 1])
            if index % 16 == 0:
                time.sleep(0.002)
        assert json.loads(client.answer().body) == {
            "method": "POST", "path": "/slow", "query": "", "length": 3, "sha1": hashlib.sha1(b"abc").hexdigest()}


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\n\r\n",
    frame(b"X", 0),
    frame(b"P", 0, b"x"),
    b"R\0\0\0" + struct.pack(">I", 131073),
    frame(b"R", 0, b"no end"),
    frame(b"R", 0, b"name without value\0"),
    frame(b"R", 0, b"\0" * 131072),
    frame(b"R", 1, pairs(default_environment("POST", CONTENT_LENGTH="-1"))),
    frame(b"R", 1, pairs(default_environment("POST"))),
], ids=["http", "kind", "ping_with_payload", "too_long", "no_end", "odd", "too_many", "negative_length", "no_length"])
@each_mode
def test_bad_frames_close_the_connection(start, data, mode):
    loader = start("hello", **mode)
    with loader.connect() as client, loader.connect() as other:
        client.send(data)
        assert client.ended()
        assert other.get().status == 200
    loader.wait_stderr("was not understood")


@each_mode
def test_half_frames_and_vanishing_clients(start, mode):
    loader = start("hello", **mode)
    for data in (b"R", b"R\0\0\0\0\0", frame(b"R", 0, b"abc\0")[:-2]):
        client = loader.connect()
        client.send(data)
        client.close()
    with loader.connect() as client:
        assert client.get().status == 200
    assert loader.stderr() == ""


# ---- bodies of requests

SIZES = [0, 1, 65535, 65536, 65537, 300000, 3000000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [1000, 16384, 10000000])
def test_body_with_length(start, size, piece):
    body = os.urandom(size)
    with start("echo").connect() as client:
        for _ in range(2):
            sender = threading.Thread(target=client.request, args=("POST", "/", "piece=%d" % piece, body))
            sender.start()
            seen = json.loads(client.answer().body)
            sender.join()
            assert (seen["length"], seen["sha1"]) == (size, hashlib.sha1(body).hexdigest())


@pytest.mark.parametrize("sizes", [[], [1], [5, 70000, 1, 1, 200000], [1] * 300])
@each_mode
def test_body_in_frames(start, sizes, mode):
    chunks = [os.urandom(size) for size in sizes]
    with start("echo", **mode).connect() as client:
        for _ in range(2):
            sender = threading.Thread(target=client.request, args=("POST", "/"), kwargs={"chunks": chunks})
            sender.start()
            seen = json.loads(client.answer().body)
            sender.join()
            assert (seen["length"], seen["sha1"]) == (sum(sizes), hashlib.sha1(b"".join(chunks)).hexdigest())


@rack2_only
@pytest.mark.parametrize("size", [0, 10, 65536, 65537, 1000000])
@pytest.mark.parametrize("framed", [False, True])
def test_rewind(start, size, framed):
    loader = start("upload")
    with loader.connect() as client:
        body = b"x" * size
        how = {"chunks": [body] if body else []} if framed else {"body": body}
        counts = set()
        for _ in range(3):
            sender = threading.Thread(target=client.request, args=("POST", "/", "twice=1"), kwargs=how)
            sender.start()
            assert client.answer().body == b"%d %d\n" % (size, size)
            sender.join()
            client.get()
            counts.add(loader.descriptor_count())
        assert len(counts) == 1


INPUT_APP = """
run lambda { |env|
	input = env["rack.input"]
	seen = []
	seen << input.gets << input.read(3) << input.gets << input.read(0) << input.read(2, buffer = +"old").dup << buffer.dup
	seen << input.each.to_a << input.gets << input.read << input.read(5) << input.read(5, buffer) << buffer.dup << input.size
	if input.respond_to?(:rewind)
		input.rewind
		seen << input.read(4)
		input.rewind
		seen << input.read.bytesize << input.read.encoding.to_s
	end
	[200, {}, [seen.inspect]]
}
"""


@pytest.mark.parametrize("framed", [False, True])
def test_every_way_to_read(start, application, framed):
    body = b"one\ntwo\nthree\nfour\nfive\nlast"
    how = {"chunks": [body[i:i + 5] for i in range(0, len(body), 5)]} if framed else {"body": body}
    with start(application(INPUT_APP)).connect() as client:
        client.request("POST", **how)
        answer = client.answer()
    size = "nil" if framed and RACK3 else str(len(body))
    expected = '["one\\n", "two", "\\n", "", "th", "th", ["ree\\n", "four\\n", "five\\n", "last"], nil, "", nil, nil, "", ' + size
    expected += "]" if RACK3 else ', "one\\n", %d, "ASCII-8BIT"]' % len(body)
    assert answer.body.decode() == expected


def test_no_body_reads_as_empty(start, application):
    with start(application(INPUT_APP)).connect() as client:
        assert client.get().body.decode().startswith('[nil, nil, nil, "", nil, "", [], nil, "", nil, nil, "", 0')


def test_body_is_read_lazily(start):
    loader = start("upload")
    with loader.connect() as client:
        client.send(frame(b"R", 1, pairs(default_environment("POST", "/", "read=3", CONTENT_LENGTH="1000"))) + b"abc")
        assert client.answer().body == b"read 3\n"


@pytest.mark.parametrize("framed", [False, True])
@each_mode
def test_unread_rest_is_dropped(start, framed, mode):
    loader = start("upload", **mode)
    body = b"z" * 500000
    how = {"chunks": [body[:100], body[100:]]} if framed else {"body": body}
    with loader.connect() as client:
        for _ in range(3):
            sender = threading.Thread(target=client.request, args=("POST", "/", "read=10"), kwargs=how)
            sender.start()
            answer = client.answer()
            assert answer.body == b"read 10\n" and answer.header("connection") is None
            sender.join()
        assert client.get().body == b"0\n"


def test_dropping_the_rest_keeps_nobody_waiting(start):
    loader = start("upload")
    with loader.connect() as client, loader.connect() as other:
        client.send(frame(b"R", 1, pairs(default_environment("POST", "/", "read=3", CONTENT_LENGTH="1000"))) + b"abc")
        client.answer()
        assert other.get().body == b"0\n"
        client.send(b"x" * 997 + frame(b"P", 0))
        assert client.pong()


@pytest.mark.parametrize("framed", [False, True])
def test_too_much_rest_ends_the_connection(start, framed):
    loader = start("upload")
    with loader.connect() as client:
        environment = default_environment("POST", "/", "read=3")
        if framed:
            data = frame(b"R", 2, pairs(environment)) + struct.pack(">I", 2000000) + b"abc"
        else:
            environment["CONTENT_LENGTH"] = "2000000"
            data = frame(b"R", 1, pairs(environment)) + b"abc"
        client.send(data)
        answer = client.answer()
        assert answer.body == b"read 3\n" and answer.header("connection") == "close"
        assert client.ended()


@each_mode
def test_client_gone_within_a_body(start, mode):
    loader = start("echo", **mode)
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
        assert client.get().status == 200
    assert loader.stderr() == ""


# ---- answers

def test_stream_comes_as_it_is_written(start):
    with start("stream").connect() as client:
        client.request("GET", "/", "n=2&ms=600")
        before = time.monotonic()
        client.head()
        assert client.read_line() == b"7" and client.read_line() == b"part 0\n"
        in_time(before, 0.5)
        assert client.read_line() == b"7"
        assert time.monotonic() - before > 0.5


def test_slow_reader(start):
    with start("big").connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.request("GET", "/", "n=3000000&array=1")
        time.sleep(0.3)
        assert client.answer().body == b"x" * 3000000


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


@each_mode
def test_raise(start, mode):
    loader = start("raise", **mode)
    with loader.connect() as client:
        answer = client.get()
        assert (answer.status, answer.body) == (500, b"The application could not answer this request.\n")
        assert "raise/config.ru:2" in loader.wait_stderr("a secret of the application")
        assert client.get("/", method="HEAD").status == 500
        client.request("POST", body=b"unread" * 1000)
        assert client.answer().status == 500
        assert client.get().status == 500


@pytest.mark.parametrize("query", ["", "length=1", "short=1"])
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
    ("joined", [("set-cookie", "a=1"), ("set-cookie", "b=2")]),
    ("array", [("set-cookie", "a=1"), ("set-cookie", "b=2")]),
    ("rack", []), ("status", []),
    ("utf8", [("x-name", "Gr\xc3\xbc\xc3\x9fe")]),
    ("binary", [("x-name", "\xff"), ("x-other", "\xc3\xbc")]),
])
def test_headers(start, case, expected):
    loader = start("headers")
    with loader.connect() as client:
        for _ in range(2):
            answer = client.get("/", "case=" + case)
            assert answer.status == 200, loader.stderr()
            assert [h for h in answer.headers if h[0] not in ("content-type", "content-length")] == expected
            assert answer.body == (b"\xff\xfe\n\xc3\xbc\n" if case == "utf8" else b"headers\n")


@pytest.mark.parametrize("case", ["cr", "crlf", "array_lf", "nul", "bad_name", "bad_length", "bad_status", "bare_100", "nil_body", "not_array"])
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
        client.request("GET", "/", "case=crlf")
        assert b"injected: yes" not in client.socket.recv(65536)


def test_framing_of_odd_answers(start):
    with start("headers").connect() as client:
        assert client.get("/", "case=wrong_length").body == b"headers\n"
        assert client.get("/", "case=string_status").status == 201
        assert client.get("/", "case=odd_status").status == 299
        for case, status in (("empty", 204), ("empty_with_body", 204), ("not_modified", 304)):
            answer = client.get("/", "case=" + case)
            assert answer.status == status
            assert answer.header("content-length") is None and answer.header("transfer-encoding") is None
        assert client.get("/", "case=chunked").body == b"headers\n"
        answer = client.get("/", "case=close")
        assert answer.header("connection") == "close" and client.ended()


@each_mode
def test_file(start, mode):
    loader = start("file", **mode)
    with loader.connect() as client:
        for query in ("n=3000000", "n=0", "n=1000&length=1"):
            answer = client.get("/", query)
            assert len(answer.body) == int(answer.header("content-length")) and answer.complete
        assert client.get("/", "n=10", method="HEAD").status == 200
        answer = client.get("/", "n=1000&wrong=1")
        assert len(answer.body) == 1000 and not answer.complete
    loader.stop()
    assert loader.stderr().count("file: closed") == 5


@each_mode
def test_hijack(start, mode):
    loader = start("hijack_full", **mode)
    for ms in (0, 100):
        with loader.connect() as client, loader.connect() as other:
            client.request("GET", "/", "ms=%d" % ms)
            other.ping()
            assert other.pong()
            answer = client.answer()
            assert answer.body == b"hijacked\n" and client.ended()
    loader = start("hijack_partial", **mode)
    with loader.connect() as client:
        answer = client.get()
        assert answer.body == b"partially hijacked\n" and len(answer.all("connection")) == 1


def test_hijack_sees_what_was_read_too_early(start, application):
    root = application("""
        run lambda { |env|
            io = env['rack.hijack'].call
            raise 'not the same' unless io.equal?(env['rack.hijack_io'])
            body = env['rack.input'].read
            rest = io.readpartial(100)
            io.write("HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\n#{body} #{rest}")
            io.close
        }""")
    with start(root).connect() as client:
        client.request("POST", body=b"body", HTTP_X="y")
        client.send(b"later")
        assert client.answer().body == b"body later"


def test_hijack_after_the_answer_is_refused(start, application):
    root = application("""
        $kept = nil
        run lambda { |env|
            text = 'first'
            begin
                text = $kept.call.class.name if $kept
            rescue IOError => error
                text = error.message
            end
            $kept = env['rack.hijack']
            [200, {}, [text]]
        }""")
    with start(root).connect() as client:
        assert client.get().body == b"first"
        assert b"has been answered" in client.get().body


@each_mode
def test_upgrade(start, mode):
    loader = start("upgrade", **mode)
    with loader.connect() as client, loader.connect() as other:
        assert client.get().status == 426
        client.request(HTTP_UPGRADE="echo", HTTP_CONNECTION="Upgrade")
        client.send(b"early")
        answer = client.answer()
        assert answer.status == 101 and answer.header("connection") == "Upgrade" and answer.header("content-length") is None
        assert client.read_exactly(5) == b"early"
        for _ in range(3):
            client.send(b"ping" * 1000)
            assert client.read_exactly(4000) == b"ping" * 1000
            assert other.get().status == 426
        client.socket.shutdown(socket.SHUT_WR)
        assert client.ended()


def test_early_hints(start):
    with start("early_hints").connect() as client:
        assert client.get().body == b"hinted\n", "only when the application's options say so"
    with start("early_hints", early_hints="on").connect() as client:
        client.request()
        answer = client.answer()
        assert answer.status == 103 and answer.header("link").startswith("</style.css>")
        assert client.answer().body == b"hinted\n"
        client.request(SERVER_PROTOCOL="HTTP/1.0")
        assert client.answer().status == 200


@each_mode
def test_hooks_after_the_answer(start, mode):
    loader = start("after_reply", **mode)
    with loader.connect() as client:
        assert client.get().body == b"after\n"
        loader.wait_stderr("after_reply: called\n" + ("response_finished: 200 nil\n" if RACK3 else ""))
        assert client.get("/raise").status == 500
        loader.wait_stderr("response_finished:  #<RuntimeError: after_reply: failing>\n" if RACK3 else "after_reply: failing")
    loader.stop()
    assert loader.stderr().count("after_reply: called\n") == 2


@each_mode
def test_streaming_bodies_that_are_called(start, mode):
    loader = start("callable", **mode)
    for query, body, complete in (("", b"in call\n", True), ("way=thread", b"from a thread\n", True), ("way=raise", b"first part\n", False)):
        with loader.connect() as client:
            answer = client.get("/", query)
            assert (answer.status, answer.body, answer.complete) == (200, body, complete)
            assert answer.header("connection") == "close" and client.ended()
    with loader.connect() as client:
        client.request("POST", "/", "way=read", body=b"given")
        assert client.answer().body == b"given"
    with loader.connect() as client:
        client.request("GET", "/", "way=upgrade")
        assert client.answer().status == 101
        client.send(b"hi")
        assert client.read_exactly(2) == b"hi" and client.ended()
    with loader.connect() as client:
        assert client.get("/", "way=in_call", method="HEAD").status == 200
        assert client.get("/", "way=in_call", method="HEAD").status == 200


def test_sinatra(start):
    loader = start("sinatra")
    with loader.connect() as client:
        assert client.get().body == b"hello from sinatra\n"
        client.request("POST", "/upload", body=b"u" * 200000, CONTENT_TYPE="application/octet-stream")
        assert client.answer().body == b"200000\n"
        assert client.get("/download", "n=300000").body == b"x" * 300000
        assert client.get("/raise").status == 500
        assert client.get("/nowhere").status == 404
        assert client.get("/", method="HEAD").status == 200
    with start("lint_sinatra").connect() as client:
        assert client.get().body == b"hello from sinatra\n"


def test_output(start):
    loader = start("noisy")
    with loader.connect() as client:
        client.get("/a")
        assert loader.stdout() == "noisy: loading, stdout\nnoisy: stdout /a\nnoisy: no line end"
        assert loader.stderr() == "noisy: loading, stderr\nnoisy: stderr /a\nnoisy: rack.errors /a\n"


# ---- connections and threads

def test_solo_runs_on_the_main_thread(start):
    with start("pid").connect() as client:
        assert client.get("/threads").body == b"main false\n"
    with start("pid", thread_count="2").connect() as client:
        assert client.get("/threads").body == b"other true\n"


@each_mode
def test_idle_connections_keep_nobody_waiting(start, mode):
    loader = start("hello", **mode)
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


@each_mode
def test_connections_that_end_leave_nothing(start, mode):
    loader = start("hello", **mode)
    with loader.connect() as client:
        client.get()
    time.sleep(0.1)
    before = loader.descriptor_count()
    for _ in range(30):
        with loader.connect() as client:
            client.get()
    wait_until(lambda: loader.descriptor_count() <= before, 5, "their descriptors to be closed")
    assert len(os.listdir("/proc/%d/task" % loader.process.pid)) <= 6


def timed(client, query="ms=400", **more):
    client.get("/", query, **more)
    return time.monotonic()


# ---- stop, signals, commands

@each_mode
@pytest.mark.parametrize("how", ["lifeline", "term"])
def test_stop_finishes_what_has_begun(start, tmp_path, mode, how):
    loader, gate = start("sleep", **mode), Gate(str(tmp_path / "gate"))
    with loader.connect() as client, loader.connect() as idle:
        idle.get("/", "ms=1")
        client.request("GET", "/", "gate=" + gate.path)
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


@each_mode
def test_stop_answers_what_lies_in_the_socket(start, mode):
    loader = start("sleep", **mode)
    with loader.connect() as first, loader.connect() as second:
        first.request("GET", "/", "ms=300")
        time.sleep(0.1)
        second.request("GET", "/", "ms=1")
        time.sleep(0.05)
        loader.cut_lifeline()
        assert first.answer().status == 200
        assert second.answer().status == 200
        assert loader.wait() == 0


def test_second_term_is_at_once(start):
    loader = start("sleep")
    with loader.connect() as client:
        client.request("GET", "/", "ms=8000")
        time.sleep(0.2)
        loader.signal(signal.SIGTERM)
        time.sleep(0.1)
        assert loader.process.poll() is None
        loader.signal(signal.SIGTERM)
        assert loader.wait(5) == 143
        assert client.ended()


def test_stop_when_idle_is_quick(start):
    loader = start("hello")
    begin = time.monotonic()
    assert loader.stop() == 0
    in_time(begin, 1)


def test_events(start):
    loader = start("events")
    with loader.connect() as client:
        client.get()
    assert loader.stderr() == "event: starting_worker_process forked=false\n"
    loader.stop()
    assert loader.stderr() == ("event: starting_worker_process forked=false\n"
                               "event: stopping_worker_process\nevent: at_exit\n")


def test_exit_in_a_request_stops_the_process(start, application):
    loader = start(application("run ->(e) { exit 5 }"))
    with loader.connect() as client:
        assert client.get().status == 500
        assert loader.wait() == 5


@each_mode
def test_backtrace_command_while_busy(start, tmp_path, mode):
    loader, gate = start("sleep", **mode), Gate(str(tmp_path / "gate"))
    with loader.connect() as client:
        client.request("GET", "/", "gate=" + gate.path)
        wait_until(lambda: gate.inside() == 1, 5, "the request to run")
        loader.command("NONSENSE")
        loader.command("BACKTRACE")
        text = loader.wait_stderr("end of backtraces", 5)
        assert "sleep/config.ru" in text
        gate.open()
        assert client.answer().status == 200


def test_backtrace_command_while_computing(start, application):
    loader = start(application("run ->(e) { t = Time.now + 1.5; nil while Time.now < t; [200, {}, []] }"))
    with loader.connect() as client:
        client.request()
        time.sleep(0.2)
        loader.command("BACKTRACE")
        assert "config.ru:1" in loader.wait_stderr("end of backtraces", 1.0)
        client.answer()


def test_quit_prints_and_goes_on(start):
    loader = start("hello")
    loader.signal(signal.SIGQUIT)
    assert "# Thread" in loader.wait_stderr("end of backtraces")
    with loader.connect() as client:
        assert client.get().status == 200


def test_abort_prints_and_aborts(start):
    loader = start("hello")
    loader.signal(signal.SIGABRT)
    assert loader.wait() == -signal.SIGABRT
    assert "end of backtraces" in loader.stderr()


def test_a_forked_child_can_be_ended(start, application):
    root = application("run ->(e) { pid = fork { sleep }; sleep 0.1; Process.kill(:TERM, pid); Process.wait(pid); [200, {}, [$?.termsig.to_s]] }")
    with start(root).connect() as client:
        assert client.get().body == b"15"


def test_hup_is_ignored(start):
    loader = start("hello")
    loader.signal(signal.SIGHUP)
    with loader.connect() as client:
        assert client.get().status == 200


@each_mode
def test_idle_costs_nothing(start, mode):
    loader = start("hello", **mode)
    with loader.connect() as client:
        client.get()
        time.sleep(0.1)  # what it does after an answer
        before = loader.cpu_seconds()
        time.sleep(0.5)
        assert loader.cpu_seconds() - before <= 0.02


# ---- Rack itself

def test_rack_version_in_the_environment(start, application):
    with start(application("run ->(e) { [200, {}, [e['rack.version'].inspect, ' ', e['rack.input'].respond_to?(:rewind).inspect]] }")).connect() as client:
        client.request("POST", body=b"x")
        assert client.answer().body == (b"nil false" if RACK3 else b"[1, 3] true")


@rack3_only
def test_rack_3_is_what_is_loaded(start, application):
    with start(application("run ->(e) { [200, {}, [Rack.release]] }")).connect() as client:
        assert client.get().body.startswith(b"3.")


FAKE_RACK_3 = """
# A Rack 3 as far as the loader can tell.
module Rack
	def self.release
		"3.1.0"
	end

	module Utils
		HTTP_STATUS_CODES = { 200 => "OK" }.freeze
	end

	class Builder
		def self.parse_file(path)
			eval(File.read(path), TOPLEVEL_BINDING.dup, path)
		end
	end
end
"""


def test_branches_for_rack_3_by_a_fake(start, application, tmp_path):
    (tmp_path / "rack.rb").write_text(FAKE_RACK_3)
    root = application("""
        class Parts
            def initialize; @closed = 0; end
            def to_ary; close; ['one ', "two\\n"]; end
            def each; raise 'not to be asked'; end
            def close; @closed += 1; warn "parts: closed #{@closed}"; end
        end
        lambda { |env|
            next [200, {}, Parts.new] if env['PATH_INFO'] == '/to_ary'
            [200, { 'set-cookie' => ['a', 'b'] }, [[env['rack.version'], env['rack.input'].respond_to?(:rewind), Rack.release].inspect]]
        }""")
    loader = start(root, options=["-I", str(tmp_path)])
    with loader.connect() as client:
        client.request("POST", body=b"x")
        answer = client.answer()
        assert answer.body == b'[nil, false, "3.1.0"]' and answer.all("set-cookie") == ["a", "b"]
        client.request("POST", body=b"x" * 100)
        assert client.answer().status == 200
        answer = client.get("/to_ary")
        assert answer.body == b"one two\n" and answer.header("content-length") == "8"
    loader.stop()
    assert loader.stderr() == "parts: closed 1\n"


# ---- thrift

def test_a_request_is_cheap(start):
    """Not a benchmark: four times the target, to see when something goes very wrong."""
    loader = start("hello")
    with loader.connect() as client:
        data = frame(b"R", 0, pairs(default_environment()))
        for _ in range(500):
            client.send(data)
            client.socket.recv(65536)
        before = loader.cpu_seconds()
        for _ in range(4000):
            client.send(data)
            client.socket.recv(65536)
        assert (loader.cpu_seconds() - before) / 4000 < 150e-6


def test_memory_of_a_large_body_is_bounded(start):
    loader = start("upload")
    with loader.connect() as client:
        piece = b"m" * 1000000
        client.send(frame(b"R", 1, pairs(default_environment("POST", CONTENT_LENGTH=str(100 * len(piece))))))
        for _ in range(100):
            client.send(piece)
        assert client.answer().body == b"%d\n" % (100 * len(piece))
        status = open("/proc/%d/status" % loader.process.pid).read()
        peak_kb = int([line for line in status.splitlines() if line.startswith("VmHWM")][0].split()[1])
        assert peak_kb < 80000
