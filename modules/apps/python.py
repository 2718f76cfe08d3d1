# The Python loader: loads a WSGI (PEP 3333) or ASGI 3 application and answers the
# session protocol (docs/session-protocol.md) for it. Started as `python LOADER` with
#
#   fd 0     end of file means: finish what you have and stop
#   fd 1, 2  output, captured by whoever started us
#   fd 3     the listening unix socket
#   fd 4     the control descriptor: arguments in, READY or ERROR out
#
# What it is made of, in the order of this file:
#
#   Arguments, Control, Stop         what the spawner says and is told
#   Application                      finds and loads the application
#   Connection, Input, Exchange      one WSGI request
#   SoloServer, ThreadedServer       who waits for what, and on which thread
#   AsgiServer, Link                 an event loop and its connections
#   AsgiExchange, Http, WebSocket    one ASGI request; an upgraded connection
#   Preloader                        forks processes of the loaded application
#
# CPython 3.7 and later, standard library only. It does no HTTP parsing, checks no
# password and never speaks to the network. Comments are stripped when it is put
# into the binary, so what is to be explained stands in comments, not in docstrings.

import sys

if sys.version_info < (3, 7):
	sys.exit("*** Python 3.7 or later is needed, and %s is %s: let python = PATH name another one" % (
		sys.executable, sys.version.split()[0]))

import faulthandler
import fcntl
import gc
import io
import os
import queue
import re
import select
import signal
import socket
import stat
import struct
import threading

LISTENER_FD = 3
CONTROL_FD = 4

FRAME = struct.Struct(">BBxxI")
READ_BYTES = 16384
GULP_BYTES = 65536
MAX_PAYLOAD_BYTES = 131072
MAX_SINGLE_WRITE_BYTES = 65536
MAX_DRAIN_BYTES = 1048576
MAX_MESSAGE_BYTES = 16777216
FRAME_REQUEST = 82
FRAME_PING = 80
FLAG_BODY = 3
FLAG_BODY_FRAMES = 2
FLAG_BYPASS = 4
# What READY says for an event loop, which has no limit of its own.
UNLIMITED_CONCURRENCY = 4096

ALWAYS_THERE = frozenset(("REQUEST_METHOD", "PATH_INFO", "SCRIPT_NAME"))
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
DIGITS = re.compile(r"[0-9]{1,18}").fullmatch

FAILURE_BODY = b"The application could not answer this request.\n"
FAILURE_HEAD = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d" % len(FAILURE_BODY)


# The other side is gone, in the middle of a request or an answer.
class Disconnected(ConnectionError):
	def __init__(self, text="the client closed the connection"):
		super().__init__(text)


# The answer of the application can not be put into HTTP.
class BadResponse(Exception):
	pass


# The other side of the connection does not keep to the protocol.
class BadFrame(Exception):
	pass


# ------------------------------------------------------------------------------
# What the spawner says

# Descriptor 4, and descriptor 0 beside it. One small thread watches both, because
# a command must be heard while the application computes.
class Control:
	def __init__(self):
		self.socket = socket.socket(fileno=CONTROL_FD)
		self.socket.set_inheritable(False)
		self.rest = b""
		self.loop = None
		# It is to finish as for a stop, and then to be the preloader.
		self.preload = False

	# `name NUL value NUL` pairs up to an empty name.
	def read_arguments(self):
		values = {}
		while True:
			name = self.field()
			if not name:
				return values
			values[name] = self.field()

	def field(self):
		while b"\0" not in self.rest:
			data = self.socket.recv(4096)
			if not data:
				raise EOFError("the arguments on descriptor 4 are incomplete")
			self.rest += data
		text, self.rest = self.rest.split(b"\0", 1)
		return os.fsdecode(text)

	def tell(self, line):
		try:
			self.socket.sendall(line.encode("utf-8", "replace"))
		except OSError:
			# Whoever would have read it is gone; end of file on descriptor 0 stops us.
			pass

	def watch(self, stop):
		self.lifeline = take_lifeline()
		self.watcher = threading.Thread(target=self.run, args=(stop,), name="passenger control", daemon=True)
		self.watcher.start()

	# Ends at the command to preload: what comes then is the preloader's.
	def run(self, stop):
		lifeline = self.lifeline
		poll = select.poll()
		poll.register(lifeline, select.POLLIN)
		poll.register(self.socket, select.POLLIN)
		self.obey()
		while not self.preload:
			for fd, _ in poll.poll():
				try:
					data = os.read(fd, 4096)
				except OSError:
					data = b""
				if not data:
					poll.unregister(fd)
					if fd == lifeline:
						stop.ask()
				elif fd != lifeline:
					self.rest += data
					self.obey()
		stop.ask()

	def obey(self):
		*lines, self.rest = self.rest.split(b"\n")
		self.rest = self.rest[:4096]
		if b"BACKTRACE" in lines:
			report(self.backtraces())
		self.preload = b"PRELOAD" in lines

	# The stacks of all threads, and of what an event loop has in hand.
	def backtraces(self):
		import time
		import traceback
		names = {thread.ident: thread.name for thread in threading.enumerate()}
		out = ["========== Process %d: backtraces of all threads at %s ==========\n" % (os.getpid(), time.strftime("%F %T %z"))]
		for ident, frame in sys._current_frames().items():
			out.append("# Thread %s (%d)\n" % (names.get(ident, "unknown"), ident))
			out += traceback.format_stack(frame)
		if self.loop:
			import asyncio
			for task in list(asyncio.all_tasks(self.loop)):
				out.append("# Task %r\n" % task)
				# Each awaits the next: task.get_stack() knows the first only.
				waiting = getattr(task, "_coro", None) or task.get_coro()
				while waiting is not None:
					frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None)
					out += traceback.format_stack(frame, 1) if frame else []
					waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)
		out.append("========== end of backtraces ==========\n")
		return "".join(out)


# The end of descriptor 0, for us alone. The application's own standard input becomes
# /dev/null: nothing it reads there could ever come, and what it starts must not hold
# our pipe.
def take_lifeline():
	lifeline = os.dup(0)
	null = os.open(os.devnull, os.O_RDONLY)
	os.dup2(null, 0)
	os.close(null)
	return lifeline


# How the process comes to its end: asked for once, it ends gracefully; asked for by
# a second SIGTERM, at once.
class Stop:
	# preloads: then there is never somebody who looks, and nothing that forks would share.
	def __init__(self, preloads):
		self.asked = False
		self.serving = False
		self.status = 0
		if not preloads:
			self.waker, self.alarm = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
		os.register_at_fork(after_in_child=self.forget)

	# All is finished; from here on there is nobody who looks.
	def over(self):
		self.serving = False
		os.close(self.waker)
		os.close(self.alarm)

	# From any thread and from a signal handler. Before READY nobody looks at asked.
	def ask(self, status=0):
		if not self.asked:
			self.status = status
		self.asked = True
		if not self.serving:
			os._exit(status)
		self.wake()

	def wake(self):
		try:
			os.write(self.alarm, b"!")
		except OSError:
			pass

	def silence(self):
		try:
			os.read(self.waker, 256)
		except OSError:
			pass

	def terminate(self, *_):
		if self.asked:
			os._exit(143)
		self.ask()

	# The application may have set its own while it was loaded: called once more then.
	# faulthandler writes without Python's help, even when an extension holds the
	# interpreter for ever.
	def install_signals(self):
		signal.signal(signal.SIGTERM, self.terminate)
		signal.signal(signal.SIGHUP, signal.SIG_IGN)
		faulthandler.enable(2)
		faulthandler.register(signal.SIGQUIT, 2)

	# A child that the application forked has no server to be stopped.
	def forget(self):
		if signal.getsignal(signal.SIGTERM) == self.terminate:
			signal.signal(signal.SIGTERM, signal.SIG_DFL)


def flush():
	for stream in (sys.stdout, sys.stderr):
		try:
			stream.flush()
		except (OSError, ValueError, AttributeError):
			pass


def report(text, fd=2):
	flush()
	data = text.encode("utf-8", "backslashreplace")
	try:
		while data:
			data = data[os.write(fd, data):]
	except OSError:
		pass


def log_error(error, where, fd=2):
	import traceback
	try:
		text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
	except Exception:
		text = "%s (it could not be printed)\n" % type(error).__name__
	report("*** Exception %s %s (process %d, thread %s):\n%s" % (
		type(error).__name__, where, os.getpid(), threading.current_thread().name, text), fd)


def exit_status(error):
	if isinstance(error, KeyboardInterrupt):
		return 130
	if error.code is None or isinstance(error.code, int):
		return (error.code or 0) & 255
	return 1


# ------------------------------------------------------------------------------
# The application

# Loading is apart from serving, so that a preloader can do the one, fork, and let
# the child do the other.
class Application:
	def __init__(self, arguments):
		self.arguments = arguments
		self.root = arguments.get("app_root") or os.getcwd()
		self.callable = None
		self.oob_work = None
		self.asgi = False

	def load(self):
		folder = os.path.dirname(os.path.abspath(__file__))
		sys.path[:] = [self.root] + [path for path in sys.path if path != folder]
		asgi, wsgi = self.arguments.get("asgi_module"), self.arguments.get("wsgi_module")
		if asgi or wsgi:
			self.callable = self.from_module(asgi or wsgi)
			self.asgi = bool(asgi)
		else:
			path = os.path.join(self.root, self.arguments.get("startup_file") or "passenger_wsgi.py")
			self.callable = self.from_file(path)
			self.asgi = is_asgi(self.callable, os.path.basename(path) == "asgi.py")
		if self.asgi:
			# Before a fork, so that it is shared.
			loop_maker()
		gc.collect()
		gc.freeze()
		return self

	def from_module(self, text):
		import importlib
		sys.argv[:] = [text]
		name, _, path = text.partition(":")
		return self.find(importlib.import_module(name), path.split(".") if path else None, name)

	# Under its own name, so that what it defines can be pickled and imported.
	def from_file(self, path):
		import importlib.util
		from importlib.machinery import SourceFileLoader
		sys.argv[:] = [path]
		name = os.path.splitext(os.path.basename(path))[0]
		spec = importlib.util.spec_from_loader(name, SourceFileLoader(name, path))
		module = importlib.util.module_from_spec(spec)
		sys.modules[name] = module
		spec.loader.exec_module(module)
		return self.find(module, None, path)

	def find(self, module, path, where):
		if path is None:
			path = ["application" if hasattr(module, "application") or not hasattr(module, "app") else "app"]
		found = module
		for name in path:
			bare = name[:-2] if name.endswith("()") else name
			if not hasattr(found, bare):
				raise AttributeError("%s has no %s; it must define the callable of the application" % (where, ".".join(path)))
			found = getattr(found, bare)
			if bare != name:
				found = found()
		if not callable(found):
			raise TypeError("%s in %s is %r, which is not callable" % (".".join(path), where, found))
		self.oob_work = getattr(module, "oob_work", None)
		return found


# ASGI 3 takes scope, receive and send; WSGI takes environ and start_response. Where
# neither can be seen, the name of the file decides.
def is_asgi(app, otherwise):
	import inspect
	if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(getattr(app, "__call__", None)):
		return True
	try:
		parameters = inspect.signature(app).parameters.values()
	except (TypeError, ValueError):
		return otherwise
	needed = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty for p in parameters)
	return needed == 3 if needed in (2, 3) else otherwise


# ------------------------------------------------------------------------------
# A connection and the body of a request

# One accepted socket. Owned by the server that accepted it until it is closed.
class Connection:
	__slots__ = ("socket", "rest", "unread")

	def __init__(self, accepted):
		# An application may have set a default timeout for all sockets.
		accepted.settimeout(None)
		self.socket = accepted
		# Bytes that were read and belong to what comes next.
		self.rest = b""
		# The input of the last request, while something of it has to be dropped.
		self.unread = None

	# At most limit bytes, at least one.
	def receive(self, limit, flags=0):
		data = self.rest
		if data:
			self.rest = data[limit:]
			return data[:limit]
		try:
			data = self.socket.recv(limit, flags)
		except BlockingIOError:
			raise
		except OSError:
			data = b""
		if not data:
			raise Disconnected
		return data

	# The length before a data frame.
	def frame_length(self, flags):
		head = b""
		while len(head) < 4:
			try:
				head += self.receive(4 - len(head), flags)
			except BlockingIOError:
				self.rest = head
				raise
		return int.from_bytes(head, "big")

	def send(self, data):
		try:
			self.socket.sendall(data)
		except OSError:
			raise Disconnected from None

	def send_file(self, fd, offset, count):
		try:
			while count:
				sent = os.sendfile(self.socket.fileno(), fd, offset, count)
				if sent == 0:
					break
				offset += sent
				count -= sent
		except (BrokenPipeError, ConnectionResetError):
			raise Disconnected from None
		return count

	def close(self):
		self.socket.close()


# wsgi.input of a request with a body. Bytes are taken from the connection when the
# application asks for them and not before.
class Input:
	# left: bytes of the body still on the way, or None when it comes in data frames.
	def __init__(self, connection, left):
		self.connection = connection
		self.framed = left is None
		self.left = left or 0
		self.done = left == 0
		self.dropped = 0
		# What was taken and not asked for yet.
		self.ahead = io.BytesIO()

	# Up to limit bytes from the connection; b"" at the end of the body.
	def fetch(self, limit, flags=0):
		if self.done:
			return b""
		if not self.left:
			self.left = self.connection.frame_length(flags)
			if not self.left:
				self.done = True
				return b""
		data = self.connection.receive(min(limit, self.left), flags)
		self.left -= len(data)
		self.done = not self.left and not self.framed
		return data

	def read(self, size=-1):
		if size is None or size < 0:
			size = sys.maxsize
		data = self.ahead.read(size)
		if len(data) == size or self.done:
			return data
		parts = [data]
		size -= len(data)
		while size:
			data = self.fetch(min(size, GULP_BYTES))
			if not data:
				break
			parts.append(data)
			size -= len(data)
		return b"".join(parts)

	def readline(self, size=-1):
		if size is None or size < 0:
			size = sys.maxsize
		parts = []
		while size:
			part = self.ahead.readline(size)
			if not part:
				data = self.fetch(GULP_BYTES)
				if not data:
					break
				self.ahead = io.BytesIO(data)
				continue
			parts.append(part)
			size -= len(part)
			if part[-1] == 10:
				break
		return b"".join(parts)

	def readlines(self, hint=-1):
		lines = []
		for line in self:
			lines.append(line)
			if hint is not None and hint > 0:
				hint -= len(line)
				if hint <= 0:
					break
		return lines

	def __iter__(self):
		return iter(self.readline, b"")

	# Throws away what the application left. False when more is still on its way;
	# Disconnected when it is too much.
	def drained(self):
		try:
			while self.left + self.dropped <= MAX_DRAIN_BYTES:
				data = self.fetch(GULP_BYTES, socket.MSG_DONTWAIT)
				if not data:
					return True
				if self.framed:
					self.dropped += len(data)
		except BlockingIOError:
			return False
		raise Disconnected


# ------------------------------------------------------------------------------
# A WSGI request

class FileWrapper:
	def __init__(self, filelike, blksize=8192):
		self.filelike = filelike
		self.blksize = blksize
		if hasattr(filelike, "close"):
			self.close = filelike.close

	def __iter__(self):
		return iter(lambda: self.filelike.read(self.blksize), b"")

	# (descriptor, offset, bytes) of a plain file that is read as it lies on the disk,
	# which a GzipFile, for one, is not; else None.
	def plain(self):
		filelike = self.filelike
		raw = filelike.raw if type(filelike) in (io.BufferedReader, io.BufferedRandom) else filelike
		if type(raw) is not io.FileIO:
			return None
		filelike.flush()
		status = os.fstat(raw.fileno())
		if not stat.S_ISREG(status.st_mode) or not status.st_size:
			return None
		offset = filelike.tell()
		return raw.fileno(), offset, max(0, status.st_size - offset)


# Names of headers that have been looked at and need no care.
plain_names = set()


# Status line and headers, without the empty line and without what frames the body.
# Returns (text, code, announced length or None, whether to close).
def compose(status, headers):
	if len(status) == 3:
		status += " "
	if not DIGITS(status[:3]) or status[3:4] != " " or not "200" <= status[:3] <= "999":
		raise BadResponse("the status is %r; expected three digits from 200 and a reason" % status)
	length = None
	close = False
	lines = ["HTTP/1.1 " + status]
	for name, value in headers:
		if name not in plain_names:
			lower = name.lower()
			if lower == "content-length":
				if not DIGITS(value):
					raise BadResponse("Content-Length is %r" % value)
				length = int(value)
				continue
			if lower == "connection":
				close = close or "close" in value.lower()
				continue
			# Those of a connection are not the application's (PEP 3333, RFC 9110 section 7.6.1).
			if lower in ("transfer-encoding", "keep-alive", "upgrade", "trailer", "proxy-connection"):
				continue
			if not TOKEN(name):
				raise BadResponse("header name %r is not a token" % name)
			if len(plain_names) < 1000:
				plain_names.add(name)
		lines.append(name + ": " + value)
	text = "\r\n".join(lines)
	breaks = len(lines) - 1
	# One look at the whole finds any value with a line break in it.
	if text.count("\r") != breaks or text.count("\n") != breaks or "\0" in text:
		raise BadResponse("the status or a header holds a line break or a NUL byte: %r" % (lines,))
	return text, int(status[:3]), length, close


def complain_of_length(length, left, too_long):
	report("*** The application announced Content-Length %d, but %s (process %d)\n" % (
		length, "the body was longer" if too_long else "%d bytes of the body were missing" % left, os.getpid()))


# One request of a WSGI application.
class Exchange:
	__slots__ = ("connection", "stop", "input", "is_head", "head", "code", "length", "sent", "left", "chunked", "mute",
		"keep", "single")

	def __init__(self, connection, stop, body, is_head):
		self.connection = connection
		self.stop = stop
		self.input = body
		self.is_head = is_head
		# The text that start_response has given, until it is sent.
		self.head = None
		self.sent = False
		self.left = None
		self.chunked = False
		self.mute = False
		self.keep = True
		self.single = False

	def start_response(self, status, headers, exc_info=None):
		if exc_info:
			try:
				if self.sent:
					raise exc_info[1].with_traceback(exc_info[2])
			finally:
				exc_info = None
		elif self.head is not None:
			raise AssertionError("start_response was called a second time without exc_info")
		self.head, self.code, self.length, close = compose(status, headers)
		self.keep = not close
		return self.write

	# The bytes of the head. length: of the body, when it is known.
	def begin(self, length=None):
		text = self.head
		if text is None:
			raise AssertionError("start_response was not called")
		if self.length is not None and length is None:
			length = self.length
		if self.code == 204 or self.code == 304:
			self.mute = True
		else:
			self.mute = self.is_head
			self.left = self.length = length
			if length is not None:
				text = "%s\r\nContent-Length: %d" % (text, length)
			elif not self.mute:
				self.chunked = True
				text += "\r\nTransfer-Encoding: chunked"
		if self.stop.asked or (self.input is not None and self.input.left > MAX_DRAIN_BYTES):
			self.keep = False
		if not self.keep:
			text += "\r\nConnection: close"
		data = (text + "\r\n\r\n").encode("latin-1")
		self.sent = True
		return data

	# Also what start_response returns.
	def write(self, data):
		if not isinstance(data, bytes):
			raise TypeError("the body has to be bytes, not %s" % type(data).__name__)
		head = b""
		size = len(data)
		if not self.sent:
			head = self.begin(size if self.single and self.length is None else None)
		if self.mute:
			data = b""
		elif self.chunked:
			if size:
				head += b"%x\r\n" % size
				data += b"\r\n"
		elif size > self.left:
			complain_of_length(self.length, 0, True)
			data = data[:self.left]
			self.left = 0
			self.keep = False
		else:
			self.left -= size
		if len(data) > MAX_SINGLE_WRITE_BYTES and head:
			self.connection.send(head)
			head = b""
		data = head + data
		if data:
			self.connection.send(data)

	# Sends what the application has returned.
	def respond(self, result):
		kind = type(result)
		if (kind is list or kind is tuple) and not self.sent:
			self.send_list(result)
		elif kind is not FileWrapper or not self.send_file(result):
			self.single = hasattr(result, "__len__") and len(result) == 1
			for part in result:
				if part:
					self.write(part)
					if self.mute:
						break
		self.finish()

	# Everything has been written.
	def finish(self):
		if not self.sent:
			self.connection.send(self.begin(None if self.is_head else 0))
		elif self.chunked:
			self.connection.send(b"0\r\n\r\n")
		elif self.left and not self.mute:
			complain_of_length(self.length, self.left, False)
			self.keep = False

	# The body is at hand: its length is what it is, whatever was claimed.
	def send_list(self, parts):
		body = b"".join(parts)
		size = len(body)
		head = self.begin(None if self.is_head and (self.length is not None or not size) else size)
		self.left = 0
		if self.mute:
			self.connection.send(head)
		elif size > MAX_SINGLE_WRITE_BYTES:
			self.connection.send(head)
			self.connection.send(body)
		else:
			self.connection.send(head + body)

	def send_file(self, wrapper):
		plain = None if self.sent or self.head is None else wrapper.plain()
		if plain is None:
			return False
		fd, offset, size = plain
		if self.length is None:
			self.length = size
		self.connection.send(self.begin())
		if not self.mute:
			count = min(size, self.left)
			self.left -= count - self.connection.send_file(fd, offset, count)
		return True

	def fail(self, error):
		log_error(error, "in the application")
		if isinstance(error, (SystemExit, KeyboardInterrupt)):
			self.stop.ask(exit_status(error))
		if self.sent:
			self.keep = False
			return
		text = FAILURE_HEAD
		self.keep = not self.stop.asked and (self.input is None or self.input.left <= MAX_DRAIN_BYTES)
		if not self.keep:
			text += "\r\nConnection: close"
		try:
			self.connection.send((text + "\r\n\r\n").encode() + (b"" if self.is_head else FAILURE_BODY))
		except Disconnected:
			self.keep = False


# ------------------------------------------------------------------------------
# WSGI servers

# What both kinds share: how an accepted connection is attended to.
class Server:
	def __init__(self, application, arguments, stop, listener):
		self.app = application.callable
		self.oob_work = application.oob_work
		self.stop = stop
		self.listener = listener
		self.bypass = arguments.get("direct_bypass") == "on"
		self.threads = thread_count(arguments)
		self.concurrency = self.threads
		self.connections = set()
		self.environ = {
			"wsgi.version": (1, 0),
			"wsgi.url_scheme": "http",
			"wsgi.errors": sys.stderr,
			"wsgi.multithread": self.threads > 1 or self.bypass,
			"wsgi.multiprocess": True,
			"wsgi.run_once": False,
			"wsgi.file_wrapper": FileWrapper,
			"wsgi.input_terminated": True,
			"SERVER_SOFTWARE": "Passenger/" + arguments.get("version", ""),
		}

	def prepare(self):
		return None

	# After run, when the process goes on: no thread of ours does.
	def close(self):
		close_listener(self.listener)
		for connection in list(self.connections):
			try:
				connection.socket.shutdown(socket.SHUT_RDWR)
			except OSError:
				pass
		while any(name.startswith("passenger connection") for name in other_threads()):
			select.select((), (), (), 0.005)

	def accept(self):
		try:
			return Connection(self.listener.accept()[0])
		except (BlockingIOError, ConnectionAbortedError):
			return None
		except OSError as error:
			# Out of descriptors or memory: the connection waits.
			log_error(error, "while accepting a connection")
			threading.Event().wait(0.1)
			return None

	# Reads the next frame that has come. Returns (flags, environ), (flags, None) of a
	# ping, or None when nothing was there but what had to be dropped.
	def read_frame(self, connection):
		if connection.unread is not None:
			if not connection.unread.drained():
				return None
			connection.unread = None
			if not connection.rest:
				return None
		data = connection.receive(READ_BYTES)
		while len(data) < 8:
			data += connection.receive(READ_BYTES)
		flags, end = frame_head(data)
		if len(data) != end:
			while len(data) < end:
				data += connection.receive(GULP_BYTES)
			connection.rest = data[end:] + connection.rest
			data = data[:end]
		return flags, frame_environ(data)

	# Runs the application for a frame and answers. True when the connection is idle
	# again, False when it is to be closed.
	def answer(self, connection, flags, environ):
		if environ is None:
			if flags and self.oob_work:
				try:
					self.oob_work()
				except BaseException as error:
					log_error(error, "in oob_work")
			connection.send(b"PONG")
			return True
		body = Input(connection, body_length(flags, environ)) if flags & FLAG_BODY else None
		environ.update(self.environ)
		# They come as sent, but WSGI wants them decoded.
		for name in ("PATH_INFO", "SCRIPT_NAME"):
			if "%" in environ[name]:
				environ[name] = decoded(environ[name])
		if "HTTPS" in environ:
			environ["wsgi.url_scheme"] = "https"
		environ["wsgi.input"] = io.BytesIO() if body is None else body
		exchange = Exchange(connection, self.stop, body, environ["REQUEST_METHOD"] == "HEAD")
		result = None
		try:
			result = self.app(environ, exchange.start_response)
			exchange.respond(result)
		except Disconnected:
			exchange.keep = False
		except BaseException as error:
			# An application can raise anything; the process goes on.
			exchange.fail(error)
		if hasattr(result, "close"):
			try:
				result.close()
			except BaseException as error:
				log_error(error, "while the application's body was closed")
		if not exchange.keep or self.stop.asked:
			return False
		if body is not None and not body.drained():
			connection.unread = body
		return True


# The flags of a frame and where it ends; the first 8 bytes are there.
def frame_head(data):
	kind, flags, length = FRAME.unpack_from(data)
	if kind != FRAME_REQUEST and (kind != FRAME_PING or length):
		raise BadFrame("a frame of kind %d" % kind)
	if length > MAX_PAYLOAD_BYTES:
		raise BadFrame("a frame of %d bytes" % length)
	return flags, length + 8


# The environment of a whole frame; None of a ping.
def frame_environ(data):
	if data[0] == FRAME_PING:
		return None
	strings = data[8:].decode("latin-1").split("\0")
	environ = dict(zip(strings[::2], strings[1::2]))
	if len(strings) & 1 == 0 or strings[-1] or not ALWAYS_THERE <= environ.keys():
		raise BadFrame("a request without an end, a path or a method")
	return environ


# The headers in a frame, as they came: one that came several times stands there once more, joined.
def frame_headers(data):
	strings = data[8:].decode("latin-1").split("\0")
	values = {}
	for name, value in zip(strings[::2], strings[1::2]):
		if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
			values.setdefault(name, []).append(value)
	return [(name.replace("HTTP_", "", 1).lower().replace("_", "-").encode("latin-1"), value.encode("latin-1"))
		for name, several in values.items() for value in several[:-1] or several]


# None when it comes in data frames.
def body_length(flags, environ):
	if flags & FLAG_BODY_FRAMES:
		return None
	text = environ.get("CONTENT_LENGTH", "")
	if not DIGITS(text):
		raise BadFrame("a body of length %r" % text)
	return int(text)


def not_understood(error):
	report("*** The request on the session socket was not understood (%s); the connection is closed (process %d)\n" % (
		error, os.getpid()))


def decoded(text):
	from urllib.parse import unquote_to_bytes
	return unquote_to_bytes(text.encode("latin-1")).decode("latin-1")


# Everything on the main thread: the application is never called on another, and
# nothing is handed from thread to thread.
class SoloServer(Server):
	def run(self):
		connections = {}
		listener = self.listener.fileno()
		epoll = select.epoll()
		epoll.register(listener, select.EPOLLIN)
		epoll.register(self.stop.waker, select.EPOLLIN)
		while not self.stop.asked:
			for fd, _ in epoll.poll():
				connection = connections.get(fd)
				if connection is not None:
					if not self.serve(connection):
						del connections[fd]
						connection.close()
				elif fd != listener:
					self.stop.silence()
				elif not self.stop.asked:
					connection = self.accept()
					if connection is not None:
						fd = connection.socket.fileno()
						connections[fd] = connection
						epoll.register(fd, select.EPOLLIN)
		# A request that lies in a socket already has begun.
		for fd, _ in epoll.poll(0):
			if fd in connections:
				self.serve(connections[fd])
		epoll.close()

	def serve(self, connection):
		try:
			while True:
				frame = self.read_frame(connection)
				if frame is not None and not self.answer(connection, *frame):
					return False
				if not connection.rest or connection.unread is not None:
					return True
		except Disconnected:
			return False
		except BadFrame as error:
			not_understood(error)
			return False


# A thread for every connection and a limited number of places to call the
# application in: no request is handed from thread to thread. The balancer opens
# about as many connections as there are places, so there are about as many
# threads. The main thread accepts.
class ThreadedServer(Server):
	def run(self):
		self.active = set()
		self.places = queue.SimpleQueue()
		for _ in range(self.threads):
			self.places.put(None)
		serial = 0
		poll = select.poll()
		poll.register(self.listener, select.POLLIN)
		poll.register(self.stop.waker, select.POLLIN)
		while not self.stop.asked:
			for fd, _ in poll.poll():
				if fd == self.stop.waker:
					self.stop.silence()
				elif not self.stop.asked:
					connection = self.accept()
					if connection is not None:
						serial += 1
						self.connections.add(connection)
						threading.Thread(target=self.serve, args=(connection,), daemon=True,
							name="passenger connection %d" % serial).start()
		poll = select.poll()
		poll.register(self.stop.waker, select.POLLIN)
		while not self.quiet():
			poll.poll(20)
			self.stop.silence()

	# Nothing runs and nothing lies unread in a socket.
	def quiet(self):
		poll = select.poll()
		try:
			for connection in list(self.connections):
				poll.register(connection.socket, select.POLLIN)
			return not self.active and not poll.poll(0) and not self.active
		except (OSError, ValueError):
			# One of them was closed meanwhile: look again.
			return False

	def serve(self, connection):
		keep = True
		try:
			while keep:
				# Nothing is taken yet: a connection is active before its first byte is read, so
				# that nobody stops the process between the reading of a request and its run.
				if connection.unread is not None or not connection.rest:
					connection.socket.recv(1, socket.MSG_PEEK)
				self.active.add(connection)
				keep = self.serve_one(connection)
				self.active.discard(connection)
		except BadFrame as error:
			not_understood(error)
		except OSError:
			pass
		finally:
			self.connections.discard(connection)
			connection.close()
			self.active.discard(connection)
			if self.stop.asked:
				self.stop.wake()

	def serve_one(self, connection):
		frame = self.read_frame(connection)
		if frame is None:
			return True
		if self.bypass and frame[0] & FLAG_BYPASS:
			return self.answer(connection, *frame)
		self.places.get()
		try:
			return self.answer(connection, *frame)
		finally:
			self.places.put(None)


# Descriptor 3 stays taken, so that nothing else gets its number.
def close_listener(listener):
	null = os.open(os.devnull, os.O_RDONLY)
	os.dup2(null, listener.detach(), False)
	os.close(null)


def thread_count(arguments):
	text = arguments.get("thread_count") or "1"
	if not DIGITS(text) or not 1 <= int(text) <= 99999:
		raise ValueError("thread_count is %r; it must be a number from 1 to 99999" % text)
	return int(text)


# ------------------------------------------------------------------------------
# ASGI

ASGI = {"version": "3.0", "spec_version": "2.4"}
WEBSOCKET_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PING_SECONDS = 20
CLOSE_SECONDS = 5


def loop_maker():
	import asyncio
	try:
		from uvloop import new_event_loop
	except ImportError:
		new_event_loop = asyncio.new_event_loop
	return new_event_loop


# An event loop: asyncio's, or uvloop's where it can be imported. A request is a
# task; a connection serves one after another, and there is no limit to connections.
class AsgiServer:
	def __init__(self, application, arguments, stop, listener):
		self.app = application.callable
		self.oob_work = application.oob_work
		self.stop = stop
		self.listener = listener
		self.bypass = arguments.get("direct_bypass") == "on"
		self.concurrency = UNLIMITED_CONCURRENCY
		self.state = {}
		self.tasks = set()
		self.links = set()

	# What has to be done before READY. Returns the loop.
	def prepare(self):
		import asyncio
		self.asyncio = asyncio
		self.loop = loop_maker()()
		asyncio.set_event_loop(self.loop)
		self.loop.run_until_complete(self.startup())
		return self.loop

	def run(self):
		self.stopping = self.loop.create_future()
		self.loop.add_reader(self.listener.fileno(), self.accept)
		self.loop.add_reader(self.stop.waker, self.woken)
		if self.stop.asked:
			self.stop.wake()
		self.loop.run_until_complete(self.serve())
		self.loop.close()

	def close(self):
		close_listener(self.listener)

	# The loop holds its tasks by weak references only.
	def spawn(self, coroutine):
		task = self.loop.create_task(coroutine)
		self.tasks.add(task)
		task.add_done_callback(self.tasks.discard)

	def accept(self):
		try:
			while not self.stop.asked:
				accepted = self.listener.accept()[0]
				accepted.setblocking(False)
				self.spawn(self.loop.connect_accepted_socket(lambda: Link(self), accepted))
		except (BlockingIOError, ConnectionAbortedError):
			pass
		except OSError as error:
			# Out of descriptors or memory: the connection waits.
			log_error(error, "while accepting a connection")
			self.loop.remove_reader(self.listener.fileno())
			self.loop.call_later(0.1, self.loop.add_reader, self.listener.fileno(), self.accept)

	def woken(self):
		self.stop.silence()
		if self.stop.asked and not self.stopping.done():
			self.stopping.set_result(None)

	async def serve(self):
		await self.stopping
		# A request that lies in a socket already has begun: the loop looks once more.
		await self.asyncio.sleep(0.01)
		self.loop.remove_reader(self.listener.fileno())
		while True:
			for link in list(self.links):
				link.stop()
			if not self.tasks and not any(link.exchange or link.buffer for link in self.links):
				break
			await self.asyncio.sleep(0.02)
		for link in self.links:
			link.transport.close()
		await self.shutdown()
		left = self.asyncio.all_tasks() - {self.asyncio.current_task()}
		for task in left:
			task.cancel()
		await self.asyncio.gather(*left, return_exceptions=True)
		await self.loop.shutdown_asyncgens()

	# -- lifespan

	async def startup(self):
		self.events = self.asyncio.Queue()
		self.events.put_nowait({"type": "lifespan.startup"})
		self.started = self.loop.create_future()
		self.ended = self.loop.create_future()
		self.life = self.loop.create_task(self.live())
		await self.started

	async def live(self):
		scope = {"type": "lifespan", "asgi": ASGI, "state": self.state}
		try:
			await self.app(scope, self.events.get, self.life_send)
		except Exception as error:
			if self.started.done():
				log_error(error, "in the application's lifespan")
			else:
				# Nobody has to know of lifespan; an error that matters is told by startup.failed.
				report("*** The application does not support lifespan: %s: %s (process %d)\n" % (
					type(error).__name__, error, os.getpid()))
		except SystemExit as error:
			if self.started.done():
				self.stop.ask(exit_status(error))
			else:
				self.started.set_exception(error)
		finally:
			for future in (self.started, self.ended):
				if not future.done():
					future.set_result(None)

	async def life_send(self, message):
		kind = message["type"]
		step, _, result = kind.replace("lifespan.", "", 1).partition(".")
		future = {"startup": self.started, "shutdown": self.ended}.get(step)
		if future is None or result not in ("complete", "failed") or future.done() or (step == "shutdown") != self.started.done():
			raise RuntimeError("%s is not expected now" % kind)
		if result == "complete":
			future.set_result(None)
		elif step == "startup":
			future.set_exception(RuntimeError("%s: %s" % (kind, message.get("message", ""))))
		else:
			report("*** %s: %s (process %d)\n" % (kind, message.get("message", ""), os.getpid()))
			future.set_result(None)

	async def shutdown(self):
		if not self.life.done():
			self.events.put_nowait({"type": "lifespan.shutdown"})
			await self.ended


# A connection as asyncio's protocol. It takes frames apart, gives bodies to the
# exchange that is under way, and all bytes once there was an upgrade.
class Link:
	def __init__(self, server):
		self.server = server
		self.buffer = bytearray()
		self.exchange = None
		self.transport = None
		self.gone = False
		self.upgraded = False
		self.paused = False
		# Set while the transport takes no more; until then nobody writes.
		self.full = None
		# The body: whether something of it is still to come, and how much is known to.
		self.due = False
		self.framed = False
		self.left = 0
		self.dropped = 0

	def connection_made(self, transport):
		self.transport = transport
		self.server.links.add(self)

	def connection_lost(self, _):
		self.server.links.discard(self)
		self.gone = True
		self.resume_writing()
		del self.buffer[:]
		if self.exchange:
			self.exchange.lost()
			self.exchange = None

	def eof_received(self):
		return False

	def pause_writing(self):
		self.full = self.server.loop.create_future()

	def resume_writing(self):
		if self.full and not self.full.done():
			self.full.set_result(None)
		self.full = None

	# As Connection.send.
	def send(self, data):
		if self.gone or self.transport.is_closing():
			raise Disconnected
		self.transport.write(data)

	async def drain(self):
		while self.full:
			# Several may wait, and one of them may be cancelled.
			await self.server.asyncio.shield(self.full)

	# Stops reading while the application has enough to read.
	def pace(self, waiting):
		if self.gone or self.transport.is_closing():
			return
		if waiting > GULP_BYTES and not self.paused:
			self.paused = True
			self.transport.pause_reading()
		elif waiting <= GULP_BYTES and self.paused:
			self.paused = False
			self.transport.resume_reading()

	def data_received(self, data):
		self.buffer += data
		self.advance()

	def advance(self):
		try:
			while self.buffer and not self.transport.is_closing():
				if self.upgraded:
					self.exchange.feed(self.buffer)
					break
				if self.due:
					if not self.take_body():
						break
				elif self.exchange or not self.take_frame():
					break
		except BadFrame as error:
			not_understood(error)
			self.transport.abort()

	# Out-of-band work; PONG says that it is done.
	async def work(self):
		try:
			result = self.server.oob_work()
			if hasattr(result, "__await__"):
				await result
		except BaseException as error:
			log_error(error, "in oob_work")
		self.transport.write(b"PONG")

	def take_frame(self):
		if len(self.buffer) < 8:
			return False
		flags, end = frame_head(self.buffer)
		if len(self.buffer) < end:
			return False
		data = bytes(self.buffer[:end])
		del self.buffer[:end]
		environ = frame_environ(data)
		if environ is None:
			if flags and self.server.oob_work:
				self.server.spawn(self.work())
			else:
				self.transport.write(b"PONG")
			return True
		self.framed = bool(flags & FLAG_BODY_FRAMES)
		self.left = (body_length(flags, environ) or 0) if flags & FLAG_BODY else 0
		self.due = self.framed or self.left > 0
		self.dropped = 0
		upgrade = environ["REQUEST_METHOD"] == "GET" and environ.get("HTTP_UPGRADE", "").lower() == "websocket"
		self.exchange = (WebSocket if upgrade and not self.due else Http)(self, environ, data)
		self.server.spawn(self.exchange.run())
		return True

	# True when the body has come to its end.
	def take_body(self):
		while self.buffer:
			if self.left:
				data = bytes(self.buffer[:self.left])
				del self.buffer[:self.left]
				self.left -= len(data)
				if self.exchange:
					self.exchange.take(data)
				else:
					self.drop(len(data))
				self.due = self.framed or self.left > 0
			elif len(self.buffer) >= 4:
				self.left = int.from_bytes(self.buffer[:4], "big")
				del self.buffer[:4]
				self.due = self.left > 0
			else:
				return False
			if not self.due:
				if self.exchange:
					self.exchange.take(b"")
				return True
		return False

	def drop(self, count):
		self.dropped += count
		if self.dropped + self.left > MAX_DRAIN_BYTES:
			self.transport.close()

	# The answer is complete; the task of the application may go on without it.
	def release(self, keep):
		self.exchange = None
		if not keep or self.server.stop.asked:
			self.transport.close()
			return
		self.pace(0)
		self.drop(0)
		self.advance()

	def stop(self):
		if self.exchange:
			self.exchange.stop()
		elif not self.buffer:
			self.transport.close()


# One request: what its scope, the answer and the end have in common.
class AsgiExchange:
	prefix = ""

	def __init__(self, link, environ, data):
		self.link = link
		self.server = link.server
		self.environ = environ
		self.data = data
		self.event = link.server.asyncio.Event()
		self.over = False
		self.answer = Exchange(link, link.server.stop, link, environ["REQUEST_METHOD"] == "HEAD")

	def scope(self, kind, scheme):
		environ = self.environ
		path = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
		return {
			"type": kind,
			"asgi": ASGI,
			"http_version": environ.get("SERVER_PROTOCOL", "HTTP/1.1").replace("HTTP/", ""),
			"scheme": scheme + "s" if "HTTPS" in environ else scheme,
			"path": decoded(path).encode("latin-1").decode("utf-8", "replace"),
			"raw_path": path.encode("latin-1"),
			"query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
			"root_path": decoded(environ["SCRIPT_NAME"]).encode("latin-1").decode("utf-8", "replace"),
			"headers": frame_headers(self.data),
			"client": self.address("REMOTE_ADDR", "REMOTE_PORT"),
			"server": self.address("SERVER_NAME", "SERVER_PORT"),
			"state": self.server.state.copy(),
		}

	def address(self, host, port):
		port = self.environ.get(port, "")
		return (self.environ.get(host, ""), int(port)) if DIGITS(port) else None

	async def run(self):
		try:
			await self.server.app(self.make_scope(), self.receive, self.send)
			self.returned()
		except BaseException as error:
			# Another client's end, to which it was to say something, is an error like any.
			if isinstance(error, Disconnected) and self.parted():
				self.end(False)
			else:
				self.failed(error)

	def parted(self):
		return self.over or self.link.gone or self.link.transport.is_closing()

	# An answer by HTTP: http.response.start and http.response.body.
	def reply(self, message):
		answer = self.answer
		if message["type"].endswith("start"):
			status = int(message["status"])
			answer.start_response("%d %s" % (status, phrase(status)),
				[(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in message.get("headers", ())])
			return
		body = bytes(message.get("body", b""))
		if answer.head is None:
			raise RuntimeError("%sbody came before %sstart" % (self.prefix, self.prefix))
		if message.get("more_body"):
			answer.write(body)
			return
		if answer.sent:
			if body:
				answer.write(body)
			answer.finish()
		elif answer.length is None or answer.length == len(body):
			answer.send_list((body,))
		else:
			answer.write(body)
			answer.finish()
		self.end(answer.keep)

	def not_expected(self, message):
		return RuntimeError("the message %s is not expected now" % message.get("type"))

	def fail_late(self, error, where):
		if not isinstance(error, self.server.asyncio.CancelledError):
			log_error(error, where)
		if isinstance(error, (SystemExit, KeyboardInterrupt)):
			self.server.stop.ask(exit_status(error))

	def fail_by_http(self, error):
		self.answer.fail(error)
		self.end(self.answer.keep)

	def end(self, keep):
		if not self.over:
			self.over = True
			self.event.set()
			if self.link.exchange is self:
				self.link.release(keep)

	def lost(self):
		self.over = True
		self.event.set()

	def stop(self):
		pass


class Http(AsgiExchange):
	prefix = "http.response."

	def __init__(self, link, environ, data):
		super().__init__(link, environ, data)
		self.parts = []
		self.size = 0
		self.complete = not link.due
		self.told = False

	def make_scope(self):
		scope = self.scope("http", "http")
		scope["method"] = self.environ["REQUEST_METHOD"]
		return scope

	def take(self, data):
		if data:
			self.parts.append(data)
			self.size += len(data)
			self.link.pace(self.size)
		else:
			self.complete = True
		self.event.set()

	async def receive(self):
		while True:
			if not self.told and (self.parts or self.complete):
				body = b"".join(self.parts)
				self.parts.clear()
				self.size = 0
				self.link.pace(0)
				self.told = self.complete
				return {"type": "http.request", "body": body, "more_body": not self.complete}
			if self.over:
				return {"type": "http.disconnect"}
			self.event.clear()
			await self.event.wait()

	async def send(self, message):
		if message["type"] not in ("http.response.start", "http.response.body"):
			raise self.not_expected(message)
		if self.link.gone:
			raise Disconnected
		if self.over:
			raise self.not_expected(message)
		self.reply(message)
		await self.link.drain()

	def returned(self):
		if not self.over:
			self.failed(BadResponse("the application returned without a complete answer"))

	def failed(self, error):
		if self.over:
			self.fail_late(error, "in the application, after its answer")
		else:
			self.fail_by_http(error)


# RFC 6455. Extensions are not negotiated.
class WebSocket(AsgiExchange):
	prefix = "websocket.http.response."

	# LEAVING is CLOSING by the server, which the application learns from its next call.
	CONNECTING, DENYING, OPEN, CLOSING, LEAVING, CLOSED = range(6)

	def __init__(self, link, environ, data):
		super().__init__(link, environ, data)
		self.phase = self.CONNECTING
		self.messages = [{"type": "websocket.connect"}]
		self.size = 0
		# The message that is coming in fragments.
		self.opcode = 0
		self.parts = []
		self.parts_size = 0
		self.timer = None
		self.heard = True

	def make_scope(self):
		scope = self.scope("websocket", "ws")
		offered = self.environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "")
		scope["subprotocols"] = [name.strip() for name in offered.split(",") if name.strip()]
		scope["extensions"] = {"websocket.http.response": {}}
		return scope

	async def run(self):
		import base64
		try:
			sound = len(base64.b64decode(self.environ.get("HTTP_SEC_WEBSOCKET_KEY", ""), validate=True)) == 16
		except ValueError:
			sound = False
		status, headers = "400 Bad Request", []
		if self.environ.get("HTTP_SEC_WEBSOCKET_VERSION") != "13":
			sound, status, headers = False, "426 Upgrade Required", [("Sec-WebSocket-Version", "13")]
		if not sound:
			self.deny(status, headers, b"This is no sound request for a websocket of version 13.\n")
			return
		await super().run()

	def deny(self, status, headers, body=b""):
		self.phase = self.CLOSED
		try:
			self.answer.start_response(status, headers)
			self.answer.send_list((body,))
		except Disconnected:
			self.answer.keep = False
		self.disconnected(1006)
		self.end(self.answer.keep)

	# -- what the application does

	async def receive(self):
		while not self.messages:
			self.event.clear()
			await self.event.wait()
		message = self.messages[0]
		# The last one stays: whoever asks again hears it again.
		if message["type"] != "websocket.disconnect":
			del self.messages[0]
		if message["type"] == "websocket.receive":
			self.size -= len(message["bytes"] or message["text"] or "")
			self.link.pace(self.size)
		return message

	async def send(self, message):
		kind = message["type"]
		if self.phase == self.CONNECTING and kind == "websocket.accept":
			self.accept(message)
		elif self.phase == self.CONNECTING and kind == "websocket.close":
			self.deny("403 Forbidden", [])
		elif self.phase <= self.DENYING and kind in (self.prefix + "start", self.prefix + "body"):
			self.reply(message)
			self.phase = self.DENYING
			if self.over:
				self.phase = self.CLOSED
				self.disconnected(1006)
		elif self.phase == self.OPEN and kind == "websocket.send":
			data, text = message.get("bytes"), message.get("text")
			if (data is None) == (text is None):
				raise ValueError("websocket.send needs either bytes or text")
			self.frame(2 if text is None else 1, bytes(data) if text is None else text.encode("utf-8"))
		elif self.phase == self.OPEN and kind == "websocket.close":
			self.close(message.get("code", 1000) or 1000, message.get("reason") or "")
		elif self.phase >= self.LEAVING and kind in ("websocket.send", "websocket.close"):
			raise Disconnected
		else:
			raise self.not_expected(message)
		await self.link.drain()

	def accept(self, message):
		import base64
		import hashlib
		headers = [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in message.get("headers") or ()]
		if any(name.lower().startswith("sec-websocket-") for name, _ in headers):
			raise BadResponse("websocket.accept must not bring headers that begin with Sec-WebSocket-")
		key = self.environ["HTTP_SEC_WEBSOCKET_KEY"].encode("latin-1")
		headers.append(("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key + WEBSOCKET_KEY).digest()).decode()))
		if message.get("subprotocol") is not None:
			headers.append(("Sec-WebSocket-Protocol", message["subprotocol"]))
		text = compose("200 ", headers)[0].replace("200 ", "101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade", 1)
		self.link.send((text + "\r\n\r\n").encode("latin-1"))
		self.phase = self.OPEN
		self.link.upgraded = True
		self.answer.sent = True
		self.timer = self.server.loop.call_later(PING_SECONDS, self.ping)
		self.link.advance()

	def frame(self, opcode, data):
		size = len(data)
		if size < 126:
			head = struct.pack(">BB", 128 | opcode, size)
		elif size < 65536:
			head = struct.pack(">BBH", 128 | opcode, 126, size)
		else:
			head = struct.pack(">BBQ", 128 | opcode, 127, size)
		self.link.send(head + data)

	# Our close frame; then the other side has a while to send its own.
	def close(self, code, reason=""):
		if not known_code(code):
			raise ValueError("%r is no code to close a websocket with" % (code,))
		# As much as there is room for, without half a character.
		text = reason.encode("utf-8")[:123].decode("utf-8", "ignore").encode("utf-8")
		self.phase = self.CLOSING
		self.frame(8, struct.pack(">H", code) + text)
		self.disconnected(code, reason)
		self.set_timer(CLOSE_SECONDS, self.link.transport.abort)

	def set_timer(self, seconds, call):
		if self.timer:
			self.timer.cancel()
		self.timer = self.server.loop.call_later(seconds, call) if call else None

	# Nobody else notices a client that vanished without a word.
	def ping(self):
		if not self.heard and not self.link.paused:
			self.link.transport.abort()
			return
		self.heard = False
		try:
			self.frame(9, b"")
		except Disconnected:
			return
		self.set_timer(PING_SECONDS, self.ping)

	# -- what the client does

	def feed(self, buffer):
		self.heard = True
		try:
			while self.OPEN <= self.phase < self.CLOSED and self.take_one(buffer):
				pass
		except BadFrame as error:
			if self.phase == self.OPEN:
				self.close(*error.args)
			self.closed()
		except Disconnected:
			self.closed()
		if self.phase == self.CLOSED:
			del buffer[:]

	# True when there was a whole frame.
	def take_one(self, buffer):
		if len(buffer) < 2:
			return False
		opcode, final, size, at = buffer[0] & 15, buffer[0] & 128, buffer[1] & 127, 2
		if buffer[0] & 112 or not buffer[1] & 128 or opcode not in (0, 1, 2, 8, 9, 10) or (opcode > 7 and (size > 125 or not final)):
			raise BadFrame(1002, "bad frame")
		if size > 125:
			at = 4 if size == 126 else 10
			if len(buffer) < at:
				return False
			size = int.from_bytes(buffer[2:at], "big")
		if opcode < 8:
			if bool(opcode) == bool(self.opcode):
				raise BadFrame(1002, "bad fragment")
			if size + self.parts_size > MAX_MESSAGE_BYTES:
				raise BadFrame(1009, "message too big")
		end = at + 4 + size
		if len(buffer) < end:
			return False
		mask = bytes(buffer[at:at + 4]) * (size // 4 + 1)
		data = (int.from_bytes(buffer[at + 4:end], "big") ^ int.from_bytes(mask[:size], "big")).to_bytes(size, "big")
		del buffer[:end]
		if opcode == 8:
			self.client_closes(data)
		elif opcode == 9:
			if self.phase == self.OPEN:
				self.frame(10, data)
		elif opcode < 8:
			self.fragment(opcode, final, data)
		return True

	def fragment(self, opcode, final, data):
		self.opcode = opcode or self.opcode
		self.parts.append(data)
		self.parts_size += len(data)
		if not final:
			return
		data = b"".join(self.parts)
		message = {"type": "websocket.receive", "bytes": data, "text": None}
		if self.opcode == 1:
			try:
				message.update(bytes=None, text=data.decode("utf-8"))
			except UnicodeDecodeError:
				raise BadFrame(1007, "text that is not UTF-8") from None
		self.opcode = self.parts_size = 0
		self.parts = []
		if self.phase == self.OPEN:
			self.messages.append(message)
			self.size += len(message["bytes"] or message["text"] or "")
			self.link.pace(self.size)
			self.event.set()

	def client_closes(self, data):
		code, reason = 1005, ""
		if data:
			code = int.from_bytes(data[:2], "big")
			if len(data) < 2 or not known_code(code):
				raise BadFrame(1002, "bad close")
			try:
				reason = data[2:].decode("utf-8")
			except UnicodeDecodeError:
				raise BadFrame(1007, "reason that is not UTF-8") from None
		if self.phase == self.OPEN:
			self.frame(8, data[:2])
			self.disconnected(code, reason)
		self.closed()

	# -- the end

	# What receive says from now on.
	def disconnected(self, code, reason=""):
		if not any(message["type"] == "websocket.disconnect" for message in self.messages):
			self.messages.append({"type": "websocket.disconnect", "code": code, "reason": reason})
		self.event.set()

	def closed(self):
		self.phase = self.CLOSED
		self.set_timer(0, None)
		self.end(False)

	def lost(self):
		super().lost()
		self.phase = self.CLOSED
		self.set_timer(0, None)
		self.disconnected(1006)

	def returned(self):
		if self.phase == self.OPEN:
			self.close(1000)
		elif self.phase <= self.DENYING:
			self.failed(BadResponse("the application returned without an answer to the websocket"))

	def failed(self, error):
		if self.phase <= self.DENYING:
			self.fail_by_http(error)
			self.phase = self.CLOSED
			return
		self.fail_late(error, "in the application, in a websocket")
		try:
			if self.phase == self.OPEN:
				self.close(1011)
		except Disconnected:
			self.closed()

	def parted(self):
		return self.phase >= self.LEAVING or super().parted()

	def stop(self):
		if self.phase == self.OPEN:
			self.close(1001, "the server stops")
			self.phase = self.LEAVING


# That may stand in a close frame.
def known_code(code):
	return isinstance(code, int) and (1000 <= code <= 1014 and code not in (1004, 1005, 1006) or 3000 <= code <= 4999)


def phrase(status):
	from http import HTTPStatus
	try:
		return HTTPStatus(status).phrase
	except ValueError:
		return ""


# ------------------------------------------------------------------------------

# Forks a process of the loaded application whenever the spawner sends the descriptors
# for one (docs/session-protocol.md, Preloading).
class Preloader:
	FDS = 4
	# Above the places of the new process's own.
	SPARE_FD = 10

	def __init__(self, control, lifeline):
		self.pid = os.getpid()
		self.control = control
		self.socket = control.socket
		self.lifeline = lifeline

	# A fork takes no thread along but its own.
	def warn_of_threads(self):
		count = len(os.listdir("/proc/self/task")) - 1
		names = other_threads()
		if count:
			report("*** The application started threads while it was loaded: %d%s. The processes that are forked "
				"have none of them, and what these hold locked stays locked there. Start them from "
				"os.register_at_fork(after_in_child=...), or set spawn_method = direct (process %d)\n" % (
				count, names and " (%s)" % ", ".join(names) or "", self.pid))

	# Ends with the process; returns in each that it has forked.
	def run(self):
		gc.collect()
		gc.freeze()
		self.control.tell("READY preloader=1\n")
		poll = select.poll()
		poll.register(self.lifeline, select.POLLIN)
		poll.register(self.socket, select.POLLIN)
		while True:
			fds = None if any(fd == self.lifeline for fd, _ in poll.poll()) else self.receive()
			if not fds:
				os._exit(0)
			if self.make(fds):
				return
			for fd in fds:
				os.close(fd)

	def receive(self):
		data, rights, _, _ = self.socket.recvmsg(1, socket.CMSG_SPACE(4 * self.FDS), socket.MSG_CMSG_CLOEXEC)
		return struct.unpack("%di" % self.FDS, rights[0][2]) if data and rights else None

	# Forks twice, so that the child becomes the spawner's. True in the child.
	def make(self, fds):
		try:
			self.disconnect()
			flush()
			middle = os.fork()
			if middle:
				os.waitpid(middle, 0)
				return False
			parent = os.getpid()
			if os.fork():
				os._exit(0)
			self.become(fds, parent)
			return True
		except ChildProcessError:
			# The application has SIGCHLD ignored.
			return False
		except BaseException as error:
			# Into the output of the process that does not come to be.
			log_error(error, "while a process was forked", fds[1])
			if os.getpid() != self.pid:
				os._exit(1)
			return False

	# A connection must not be shared by processes; each makes its own.
	def disconnect(self):
		if "django.db" in sys.modules:
			sys.modules["django.db"].connections.close_all()

	def become(self, fds, parent):
		os.setsid()
		while os.getppid() == parent:
			select.select((), (), (), 0.001)
		os.close(self.lifeline)
		self.socket.detach()
		spare = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, self.SPARE_FD) for fd in fds]
		for number, at in enumerate((0, 1, 1, 2, 3)):
			os.dup2(spare[at], number, number < 3)
		for fd in (*fds, *spare):
			if fd > CONTROL_FD:
				os.close(fd)


# A fork is killed with the spawner only when it asks for that itself
# (PR_SET_PDEATHSIG); without it the end of descriptor 0 has to do.
def end_with_spawner(arguments):
	os.environ["PASSENGER_PROCESS"] = arguments.get("gupid", "")
	if arguments.pop("prctl", None) and ctypes:
		ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def preload(control, arguments, stop):
	global ctypes
	try:
		application = Application(arguments).load()
		try:
			import ctypes
		except ImportError:
			ctypes = None
	except BaseException as error:
		refuse(control, error)
	stop.install_signals()
	preloader = Preloader(control, take_lifeline())
	preloader.warn_of_threads()
	preloader.run()
	return application


def other_threads():
	return [thread.name for thread in threading.enumerate() if thread is not threading.current_thread()]


# It has served and goes on as the preloader, unless a thread of the application's would be
# forked in the middle of something: then it just ends, as a process that is to stop does.
def preload_warm(control, stop, server):
	control.watcher.join()
	server.close()
	stop.over()
	names = other_threads()
	if names:
		report("*** This process can not be the preloader (refork_after_requests), since threads of the application "
			"run in it: %s (process %d)\n" % (", ".join(names), os.getpid()))
		sys.exit(stop.status)
	Preloader(control, control.lifeline).run()


# application: loaded already, by the preloader that forked us.
def start(control, arguments, stop, application):
	try:
		threads = thread_count(arguments)
		application = application or Application(arguments).load()
		listener = socket.socket(fileno=LISTENER_FD)
		listener.set_inheritable(False)
		listener.setblocking(False)
		solo = threads == 1 and arguments.get("direct_bypass") != "on"
		kind = AsgiServer if application.asgi else SoloServer if solo else ThreadedServer
		server = kind(application, arguments, stop, listener)
		control.loop = server.prepare()
	except BaseException as error:
		refuse(control, error)
	# The application may have set its own.
	stop.install_signals()
	stop.serving = True
	control.tell("READY concurrency=%d bypass=%d\n" % (server.concurrency, server.bypass))
	return server


def refuse(control, error):
	if isinstance(error, SystemExit):
		summary = "the application called exit(%d) while it was loaded" % exit_status(error)
		if isinstance(error.code, str):
			summary += ": " + error.code
	else:
		summary = "%s: %s" % (type(error).__name__, error)
	log_error(error, "while the application was loaded by %s" % sys.executable)
	control.tell("ERROR %s\n" % re.sub(r"[\r\n\0]+", " ", summary.strip().split("\n")[0])[:1000])
	try:
		sys.stdout.flush()
	finally:
		os._exit(1)


def main(application=None):
	control = Control()
	if application:
		control.tell("HELLO\n")
	arguments = control.read_arguments()
	for stream in (sys.stdout, sys.stderr):
		stream.reconfigure(line_buffering=True)
	stop = Stop("mode" in arguments)
	stop.install_signals()
	if application:
		end_with_spawner(arguments)
	elif arguments.pop("mode", None):
		return main(preload(control, arguments, stop))
	control.watch(stop)
	server = start(control, arguments, stop, application)
	server.run()
	if not (application and control.preload) or stop.status:
		sys.exit(stop.status)
	preload_warm(control, stop, server)
	main(application)


if __name__ == "__main__":
	main()
