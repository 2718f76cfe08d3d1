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
#
# CPython 3.7 and later, standard library only. It does no HTTP parsing, checks no
# password and never speaks to the network. Comments are stripped when it is put
# into the binary, so what is to be explained stands in comments, not in docstrings.

import faulthandler
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
import sys
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
FLAG_BODY_LENGTH = 1
FLAG_BODY_FRAMES = 2
FLAG_BYPASS = 4
# What READY says for an event loop, which has no limit of its own.
UNLIMITED_CONCURRENCY = 4096

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

	# The application's own standard input becomes /dev/null: nothing it reads there
	# could ever come, and what it starts must not hold our pipe.
	def watch(self, stop):
		lifeline = os.dup(0)
		null = os.open(os.devnull, os.O_RDONLY)
		os.dup2(null, 0)
		os.close(null)
		threading.Thread(target=self.run, args=(lifeline, stop), name="passenger control", daemon=True).start()

	def run(self, lifeline, stop):
		poll = select.poll()
		poll.register(lifeline, select.POLLIN)
		poll.register(self.socket, select.POLLIN)
		self.obey()
		while True:
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

	def obey(self):
		*lines, self.rest = self.rest.split(b"\n")
		self.rest = self.rest[:4096]
		if b"BACKTRACE" in lines:
			report(self.backtraces())

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
				for frame in task.get_stack():
					out += traceback.format_stack(frame, 1)
		out.append("========== end of backtraces ==========\n")
		return "".join(out)


# How the process comes to its end: asked for once, it ends gracefully; asked for by
# a second SIGTERM, at once.
class Stop:
	def __init__(self):
		self.asked = False
		self.serving = False
		self.status = 0
		self.waker, self.alarm = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
		os.register_at_fork(after_in_child=self.forget)

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


def report(text):
	try:
		sys.stderr.flush()
	except (OSError, ValueError, AttributeError):
		pass
	data = text.encode("utf-8", "backslashreplace")
	try:
		while data:
			data = data[os.write(2, data):]
	except OSError:
		pass


def log_error(error, where):
	import traceback
	try:
		text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
	except Exception:
		text = "%s (it could not be printed)\n" % type(error).__name__
	report("*** Exception %s %s (process %d, thread %s):\n%s" % (
		type(error).__name__, where, os.getpid(), threading.current_thread().name, text))


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
		self.asgi = False

	def load(self):
		sys.path[0] = self.root
		asgi, wsgi = self.arguments.get("asgi_module"), self.arguments.get("wsgi_module")
		if asgi or wsgi:
			self.callable = self.from_module(asgi or wsgi)
			self.asgi = bool(asgi)
		else:
			path = os.path.join(self.root, self.arguments.get("startup_file") or "passenger_wsgi.py")
			self.callable = self.from_file(path)
			self.asgi = is_asgi(self.callable, os.path.basename(path) == "asgi.py")
		gc.collect()
		gc.freeze()

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
			if not hasattr(found, name):
				raise AttributeError("%s has no %s; it must define the callable of the application" % (where, ".".join(path)))
			found = getattr(found, name)
		if not callable(found):
			raise TypeError("%s in %s is %r, which is not callable" % (".".join(path), where, found))
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
		raw = getattr(filelike, "raw", None) if isinstance(filelike, io.BufferedReader) else filelike
		if type(raw) is not io.FileIO:
			return None
		status = os.fstat(raw.fileno())
		if not stat.S_ISREG(status.st_mode):
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
		self.sent = True
		if self.length is not None and length is None:
			length = self.length
		if self.code == 204 or self.code == 304:
			self.mute = True
		else:
			self.mute = self.is_head
			self.left = length
			if length is not None:
				text = "%s\r\nContent-Length: %d" % (text, length)
			elif not self.mute:
				self.chunked = True
				text += "\r\nTransfer-Encoding: chunked"
		if self.stop.asked or (self.input is not None and self.input.left > MAX_DRAIN_BYTES):
			self.keep = False
		if not self.keep:
			text += "\r\nConnection: close"
		return (text + "\r\n\r\n").encode("latin-1")

	# Also what start_response returns.
	def write(self, data):
		head = b""
		size = len(data)
		if not self.sent:
			if not isinstance(data, bytes):
				raise TypeError("the body has to be bytes, not %s" % type(data).__name__)
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
		log_error(error, "in WSGI application object")
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
		self.stop = stop
		self.listener = listener
		self.bypass = arguments.get("direct_bypass") == "on"
		self.threads = thread_count(arguments)
		self.concurrency = self.threads
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
		kind, flags, length = FRAME.unpack_from(data)
		if kind != FRAME_REQUEST and (kind != FRAME_PING or length):
			raise BadFrame("a frame of kind %d" % kind)
		if length > MAX_PAYLOAD_BYTES:
			raise BadFrame("a frame of %d bytes" % length)
		end = length + 8
		if len(data) != end:
			while len(data) < end:
				data += connection.receive(GULP_BYTES)
			connection.rest = data[end:] + connection.rest
			data = data[:end]
		if kind == FRAME_PING:
			return 0, None
		strings = data[8:].decode("latin-1").split("\0")
		if len(strings) & 1 == 0 or strings[-1]:
			raise BadFrame("a request without an end")
		return flags, dict(zip(strings[::2], strings[1::2]))

	# Runs the application for a frame and answers. True when the connection is idle
	# again, False when it is to be closed.
	def answer(self, connection, flags, environ):
		if environ is None:
			connection.send(b"PONG")
			return True
		body = None
		try:
			path = environ["PATH_INFO"]
			is_head = environ["REQUEST_METHOD"] == "HEAD"
			if flags & 3:
				body = Input(connection, int(environ["CONTENT_LENGTH"]) if flags & FLAG_BODY_LENGTH else None)
				if body.left < 0:
					raise ValueError
		except (KeyError, ValueError):
			raise BadFrame("a request without a path, a method or its body's length") from None
		environ.update(self.environ)
		# As sent, but WSGI wants them decoded.
		if "%" in path:
			environ["PATH_INFO"] = decoded(path)
		if "%" in environ.get("SCRIPT_NAME", ""):
			environ["SCRIPT_NAME"] = decoded(environ["SCRIPT_NAME"])
		if "HTTPS" in environ:
			environ["wsgi.url_scheme"] = "https"
		environ["wsgi.input"] = io.BytesIO() if body is None else body
		exchange = Exchange(connection, self.stop, body, is_head)
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

	def not_understood(self, error):
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
			self.not_understood(error)
			return False


# A thread for every connection and a limited number of places to call the
# application in: no request is handed from thread to thread. The balancer opens
# about as many connections as there are places, so there are about as many
# threads. The main thread accepts.
class ThreadedServer(Server):
	def run(self):
		self.connections = set()
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
			self.not_understood(error)
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


def thread_count(arguments):
	text = arguments.get("thread_count") or "1"
	if not DIGITS(text) or not 1 <= int(text) <= 99999:
		raise ValueError("thread_count is %r; it must be a number from 1 to 99999" % text)
	return int(text)
