"""Speaks the session protocol (docs/session-protocol.md) to a loader.

Loader starts an interpreter the way that the spawner does: descriptor 0 is the
lifeline, 1 and 2 go to files, 3 is a listening unix socket, 4 the control socket.
Client is one connection. Both clean up behind themselves; Loader.audit() fails
when anything is left over."""

import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

from lib.wait import Late

START_TIMEOUT = 30.0


class Answer:
    """One HTTP/1.1 response. headers: list of (name in lower case, value)."""

    def __init__(self, status, reason, headers, body, complete):
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body
        self.complete = complete  # False: the connection ended before the body did

    def header(self, name):
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, "header %s came %d times" % (name, len(values))
        return values[0] if values else None

    def all(self, name):
        return [value for key, value in self.headers if key == name]


def default_environment(method="GET", path="/", query="", **more):
    environment = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REQUEST_URI": path + ("?" + query if query else ""),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "example.test",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "50000",
        "HTTP_HOST": "example.test",
        "HTTP_USER_AGENT": "session_client",
        "HTTP_ACCEPT": "*/*",
    }
    environment.update(more)
    return environment


def pairs(environment):
    out = []
    for name, value in environment.items():
        for text in (name, value):
            out.append(text if isinstance(text, bytes) else text.encode("latin-1"))
    return b"".join(part + b"\0" for part in out)


def frame(kind, flags, payload=b""):
    return kind + bytes([flags, 0, 0]) + struct.pack(">I", len(payload)) + payload


class Client:
    """One connection of the balancer to a loader."""

    def __init__(self, path, timeout=10.0):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def request(self, method="GET", path="/", query="", body=None, chunks=None, flags=0, **more):
        """Sends a request and does not wait. body: bytes; chunks: list of bytes, sent as data frames."""
        environment = default_environment(method, path, query, **more)
        data = b""
        if body is not None:
            flags |= 1
            environment["CONTENT_LENGTH"] = str(len(body))
            data = body
        elif chunks is not None:
            flags |= 2
            data = b"".join(struct.pack(">I", len(c)) + c for c in chunks) + struct.pack(">I", 0)
        self.send(frame(b"R", flags, pairs(environment)) + data)

    def get(self, path="/", query="", method="GET", **more):
        self.request(method, path, query, **more)
        return self.answer(head_only=method == "HEAD")

    def ping(self):
        self.send(frame(b"P", 0))

    def pong(self):
        return self.read_exactly(4) == b"PONG"

    def fill(self):
        data = self.socket.recv(65536)
        self.buffer += data
        return len(data) > 0

    def read_exactly(self, count):
        while len(self.buffer) < count:
            if not self.fill():
                break
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def read_line(self):
        while b"\r\n" not in self.buffer:
            if not self.fill():
                raise EOFError("the connection ended within a line: %r" % self.buffer)
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def head(self):
        line = self.read_line()
        version, status, reason = line.split(b" ", 2)
        assert version == b"HTTP/1.1", line
        headers = []
        while True:
            line = self.read_line()
            if not line:
                break
            name, value = line.split(b": ", 1)
            headers.append((name.decode().lower(), value.decode("latin-1")))
        return int(status), reason.decode(), headers

    def answer(self, head_only=False):
        status, reason, headers = self.head()
        reply = Answer(status, reason, headers, b"", True)
        if head_only or status < 200 or status in (204, 304):
            return reply
        length = reply.header("content-length")
        encoding = reply.header("transfer-encoding")
        assert not (length and encoding), "both Content-Length and Transfer-Encoding"
        if length is not None:
            reply.body = self.read_exactly(int(length))
            reply.complete = len(reply.body) == int(length)
        elif encoding is not None:
            assert encoding == "chunked", encoding
            reply.body, reply.complete = self.chunked()
        else:
            while self.fill():
                pass
            reply.body, self.buffer = self.buffer, b""
        return reply

    def chunked(self):
        body = []
        try:
            while True:
                size = int(self.read_line(), 16)
                if size == 0:
                    assert self.read_line() == b""
                    return b"".join(body), True
                data = self.read_exactly(size)
                body.append(data)
                if len(data) < size or self.read_line() != b"":
                    return b"".join(body), False
        except EOFError:
            return b"".join(body), False

    def ended(self):
        """True when the other side has closed and nothing more was sent."""
        try:
            if self.buffer or self.fill():
                raise AssertionError("not ended, but: %r" % bytes(self.buffer[:300]))
            return True
        except ConnectionResetError:
            return True

    def silent(self, seconds=0.2):
        """True when nothing comes, not even an end."""
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            self.fill()
            return False
        except socket.timeout:
            return True
        finally:
            self.socket.settimeout(before)


class Loader:
    """A loader and its application, in a process group of its own."""

    def __init__(self, argv, app_root, arguments=None, env=None):
        self.directory = tempfile.mkdtemp(prefix="loader-")
        self.path = os.path.join(self.directory, "socket")
        self.descriptors_before = open_descriptors()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(64)
        self.control, control_theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.control.settimeout(START_TIMEOUT)
        lifeline_theirs, self.lifeline = os.pipe()
        self.stdout_path = os.path.join(self.directory, "stdout")
        self.stderr_path = os.path.join(self.directory, "stderr")
        outputs = [os.open(p, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                   for p in (self.stdout_path, self.stderr_path)]
        wanted = [lifeline_theirs, outputs[0], outputs[1], self.listener.fileno(), control_theirs.fileno()]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("RUBY", "BUNDLE", "GEM"))}
        environment.update({"RACK_ENV": "production", "RAILS_ENV": "production"})
        environment.update(env or {})
        self.process = subprocess.Popen(
            argv, cwd=app_root, env=environment, close_fds=False, start_new_session=True,
            preexec_fn=lambda: place_descriptors(wanted))
        for descriptor in outputs + [lifeline_theirs]:
            os.close(descriptor)
        control_theirs.close()
        self.arguments = {
            "app_root": app_root, "startup_file": "config.ru", "environment": "production", "base_uri": "/",
            "app_name": os.path.basename(app_root), "type": "ruby", "thread_count": "1", "direct_bypass": "off",
            "gupid": "1a2b3c-test", "version": "7.0.0",
        }
        self.arguments.update(arguments or {})
        self.control.sendall(pairs(self.arguments) + b"\0")
        self.control_buffer = b""

    def control_line(self):
        """The next line that the loader says on descriptor 4; "" at its end."""
        while b"\n" not in self.control_buffer:
            data = self.control.recv(4096)
            if not data:
                return ""
            self.control_buffer += data
        line, self.control_buffer = self.control_buffer.split(b"\n", 1)
        return line.decode("utf-8", "replace")

    def wait_ready(self):
        line = self.control_line()
        assert line.startswith("READY "), (line, self.stderr())
        return dict(word.split("=") for word in line.split()[1:])

    def command(self, line):
        self.control.sendall(line.encode() + b"\n")

    def connect(self, timeout=10.0):
        return Client(self.path, timeout)

    def stdout(self):
        return open(self.stdout_path, encoding="utf-8", errors="replace").read()

    def stderr(self):
        return open(self.stderr_path, encoding="utf-8", errors="replace").read()

    def wait_stderr(self, text, seconds=None):
        """seconds: a time that is promised."""
        deadline = time.monotonic() + (seconds or 20)
        while time.monotonic() < deadline:
            if text in self.stderr():
                return self.stderr()
            time.sleep(0.01)
        raise (Late if seconds else AssertionError)("%r was not printed; stderr holds:\n%s" % (text, self.stderr()))

    def cut_lifeline(self):
        if self.lifeline is not None:
            os.close(self.lifeline)
            self.lifeline = None

    def signal(self, number):
        os.kill(self.process.pid, number)

    def wait(self, seconds=30.0):
        return self.process.wait(seconds)

    def cpu_seconds(self):
        fields = open("/proc/%d/stat" % self.process.pid).read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptor_count(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def stop(self):
        """Graceful stop by end of file on descriptor 0; returns the exit status."""
        self.cut_lifeline()
        return self.wait()

    def audit(self):
        """Ends what still runs, then fails when it did not end by itself or left something."""
        complaint = None
        if self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                complaint = "the loader did not stop by itself"
                self.signal(signal.SIGKILL)
                self.process.wait()
        self.cut_lifeline()
        if group_alive(self.process.pid):
            complaint = complaint or "the loader left processes behind"
            os.killpg(self.process.pid, signal.SIGKILL)
        self.control.close()
        self.listener.close()
        errors = self.stderr()
        shutil.rmtree(self.directory)
        left = open_descriptors() - self.descriptors_before
        assert complaint is None, "%s; stderr:\n%s" % (complaint, errors)
        assert not left, "descriptors left open: %s" % left


def place_descriptors(wanted):
    """In the child: puts the descriptors at 0, 1, 2 … and closes nothing else."""
    above = 64
    copies = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above) for descriptor in wanted]
    for number, descriptor in enumerate(copies):
        os.dup2(descriptor, number, inheritable=True)


def open_descriptors():
    """Descriptors of this process, without the one that reads the list."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(name))
            found.add(int(name))
        except OSError:
            pass
    return found


def group_alive(group):
    try:
        os.killpg(group, 0)
        return True
    except ProcessLookupError:
        return False
