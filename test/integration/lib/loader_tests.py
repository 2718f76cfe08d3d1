"""What every loader of ours does that speaks the session protocol: a loader's test file takes all of it in, and runs it
by its own `start`."""
import json
import select
import socket
import time

import pytest

from lib.wait import Late, in_time

MODES = [{}, {"thread_count": "3"}, {"direct_bypass": "on"}]
each_mode = pytest.mark.parametrize("mode", MODES, ids=["solo", "threads", "bypass"])


def test_wrong_thread_count(start):
    loader = start("hello", ready=False, thread_count="many")
    assert "thread_count" in loader.control_line()
    assert loader.wait() == 1


@each_mode
def test_hello(start, mode):
    with start("hello", **mode).connect() as client:
        for _ in range(5):
            answer = client.get()
            assert (answer.status, answer.reason, answer.body) == (200, "OK", b"hello world\n")
            assert answer.headers == [("content-type", "text/plain"), ("content-length", "12")]


@each_mode
def test_large_head(start, mode):
    with start("env", **mode).connect() as client:
        big = "v" * 120000
        for _ in range(2):
            assert json.loads(client.get(HTTP_X_BIG=big).body)["HTTP_X_BIG"] == big


@each_mode
def test_stream(start, mode):
    loader = start("stream", **mode)
    with loader.connect() as client:
        answer = client.get("/", "n=3")
        assert answer.header("transfer-encoding") == "chunked"
        assert answer.body == b"part 0\npart 1\npart 2\n"
        assert client.get("/", "n=0").body == b""
        assert client.get("/", method="HEAD").header("transfer-encoding") is None
        assert client.get().status == 200
    loader.stop()
    assert loader.stderr().count("stream: closed 1\n") == 4
    assert "closed 2" not in loader.stderr()


@pytest.mark.parametrize("query", ["n=5000000", "n=5000000&length=1", "n=5000000&array=1", "n=65536&length=1", "n=0&length=1", "n=70000&array=1"])
@each_mode
def test_big(start, query, mode):
    size = int(query.split("&")[0][2:])
    with start("big", **mode).connect() as client:
        for _ in range(2):
            answer = client.get("/", query)
            assert answer.complete and answer.body == b"x" * size
            assert (answer.header("content-length") == str(size)) == ("&" in query)


@each_mode
def test_client_gone_within_an_answer(start, mode):
    loader = start("stream", **mode)
    client = loader.connect()
    client.request("GET", "/", "n=100&ms=20")
    client.head()
    client.close()
    loader.wait_stderr("stream: closed 1", 1.0)
    with loader.connect() as client:
        assert client.get().status == 200
    assert "Exception" not in loader.stderr()


def test_threads_run_at_once_up_to_their_number(start):
    loader = start("sleep", thread_count="2")
    clients = [loader.connect() for _ in range(3)]
    begin = time.monotonic()
    for client in clients:
        client.request("GET", "/", "ms=400")
    ends = []
    waiting = {client.socket: client for client in clients}
    while waiting:
        for ready in select.select(list(waiting), [], [])[0]:
            client = waiting.pop(ready)
            client.answer()
            ends.append(time.monotonic() - begin)
            client.close()
    assert 0.35 < min(ends) and 0.75 < max(ends)
    if min(ends) > 0.75 or max(ends) > 1.3:
        raise Late(ends)


def test_solo_runs_one_at_a_time(start):
    loader = start("sleep")
    with loader.connect() as one, loader.connect() as two:
        begin = time.monotonic()
        one.request("GET", "/", "ms=300")
        two.request("GET", "/", "ms=300")
        one.answer()
        two.answer()
        assert time.monotonic() - begin > 0.55


def test_ping(start):
    for mode in ({}, {"thread_count": "2"}):
        loader = start("sleep", **mode)
        with loader.connect() as busy, loader.connect() as more, loader.connect() as asking:
            asking.ping()
            assert asking.pong()
            busy.request("GET", "/", "ms=500")
            if mode:
                more.request("GET", "/", "ms=500")
            time.sleep(0.1)
            asking.ping()
            if not asking.silent(0.2):
                raise Late("the answer to a ping has come while it is busy")
            assert asking.pong()
            busy.answer()
            assert asking.get("/", "ms=1").status == 200


def test_bypass(start):
    loader = start("sleep", direct_bypass="on")
    with loader.connect() as busy:
        busy.request("GET", "/", "ms=800")
        time.sleep(0.1)
        begin = time.monotonic()
        with loader.connect() as direct:
            assert direct.get("/", "ms=1", flags=4).status == 200
            in_time(begin, 0.5)
            direct.get("/", "ms=1")
            in_time(begin, 10, 0.5)
        busy.answer()


def test_bypass_flag_means_nothing_without_the_option(start):
    loader = start("sleep")
    with loader.connect() as busy, loader.connect() as direct:
        begin = time.monotonic()
        busy.request("GET", "/", "ms=400")
        assert direct.get("/", "ms=1", flags=4).status == 200
        assert time.monotonic() - begin > 0.3


def test_control_descriptor_closed(start):
    loader = start("hello")
    loader.control.shutdown(socket.SHUT_RDWR)
    before = loader.cpu_seconds()
    with loader.connect() as client:
        assert client.get().status == 200
        time.sleep(0.3)
    assert loader.cpu_seconds() - before < 0.2
