"""A small strict HTTP/1.1 client on raw sockets: what a server sends is read to the octet, and
anything that is not well-formed raises ProtocolError.  It retries nothing and hides nothing."""
import json
import re
import socket
import time


class ProtocolError(AssertionError):
    pass


class Closed(ProtocolError):
    """The other side closed before the message was complete; .data holds what came."""

    def __init__(self, text, data=b''):
        super().__init__('%s (%d octets came: %r)' % (text, len(data), data[:80]))
        self.data = data


class Response:
    def __init__(self, status, reason, version, headers):
        self.status = status
        self.reason = reason
        self.version = version
        self.headers = headers
        self.body = b''
        self.trailers = []
        self.interim = []

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name):
        values = self.all(name)
        return values[0] if values else None

    @property
    def text(self):
        return self.body.decode('latin-1')

    def json(self):
        return json.loads(self.body.decode())

    @property
    def closes(self):
        tokens = [t.strip().lower() for v in self.all('connection') for t in v.split(',')]
        return 'close' in tokens or (self.version == 'HTTP/1.0' and 'keep-alive' not in tokens)

    def __repr__(self):
        return 'Response(%d %s, %r, %r)' % (self.status, self.reason, self.headers, self.body[:200])


TOKEN = re.compile(r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$")


def connect(address, timeout=10):
    """address: unix:/path, HOST:PORT or http://HOST:PORT"""
    if address.startswith('unix:'):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(timeout)
        s.connect(address[5:])
        return s
    host, port = address.replace('http://', '').rstrip('/').rsplit(':', 1)
    s = socket.create_connection((host.strip('[]'), int(port)), timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def head_of(method, path, headers=(), host='localhost', version='HTTP/1.1'):
    lines = ['%s %s %s' % (method, path, version)]
    fields = list(headers.items() if isinstance(headers, dict) else headers)
    if host is not None and not any(name.lower() == 'host' for name, _ in fields):
        lines.append('Host: ' + host)
    lines += ['%s: %s' % field for field in fields]
    return ('\r\n'.join(lines) + '\r\n\r\n').encode('latin-1')


class Connection:
    def __init__(self, address, timeout=10):
        self.socket = connect(address, timeout)
        self.buffer = b''
        self.eof = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def start(self, method, path, headers=(), **how):
        self.send(head_of(method, path, headers, **how))

    def request(self, method='GET', path='/', headers=(), body=None, **how):
        fields = list(headers.items() if isinstance(headers, dict) else headers)
        if body is not None and not any(n.lower() in ('content-length', 'transfer-encoding') for n, _ in fields):
            fields.append(('Content-Length', str(len(body))))
        self.send(head_of(method, path, fields, **how) + (body or b''))
        return self.response(method)

    def fill(self):
        """More octets into the buffer; False at the end."""
        if self.eof:
            return False
        data = self.socket.recv(262144)
        if not data:
            self.eof = True
            return False
        self.buffer += data
        return True

    def line(self):
        while b'\n' not in self.buffer:
            if len(self.buffer) > 1 << 20:
                raise ProtocolError('a line of more than 1 MiB')
            if not self.fill():
                raise Closed('closed within a head', self.buffer)
        line, self.buffer = self.buffer.split(b'\n', 1)
        if not line.endswith(b'\r'):
            raise ProtocolError('bare LF after %r' % line[:80])
        return line[:-1]

    def fields(self):
        out = []
        while True:
            line = self.line().decode('latin-1')
            if not line:
                return out
            name, colon, value = line.partition(':')
            if not colon or not TOKEN.match(name):
                raise ProtocolError('bad field line %r' % line)
            if re.search(r'[\x00-\x08\x0a-\x1f\x7f]', value):
                raise ProtocolError('control octets in %r' % line)
            out.append((name, value.strip(' \t')))

    def head(self):
        line = self.line().decode('latin-1')
        match = re.match(r'^(HTTP/1\.[01]) ([1-9]\d\d) (.*)$', line)
        if not match:
            raise ProtocolError('bad status line %r' % line)
        return Response(int(match.group(2)), match.group(3), match.group(1), self.fields())

    def octets(self, count):
        while len(self.buffer) < count:
            if not self.fill():
                raise Closed('closed within a body of %d' % count, self.buffer)
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def skip(self, count):
        """Reads and drops count octets, in little memory."""
        count -= len(self.buffer)
        if count < 0:
            self.buffer = self.buffer[count:]
            return
        self.buffer = b''
        while count:
            data = self.socket.recv(min(count, 1 << 20))
            if not data:
                raise Closed('closed with %d octets of a body missing' % count)
            count -= len(data)

    def final_head(self):
        """Interim answers are kept in .interim of the final one."""
        interim = []
        while True:
            response = self.head()
            if response.status == 101 or response.status >= 200:
                response.interim = interim
                return response
            interim.append(response)

    def response(self, method='GET'):
        response = self.final_head()
        lengths, codings = response.all('content-length'), response.all('transfer-encoding')
        if lengths and codings:
            raise ProtocolError('Content-Length and Transfer-Encoding in one answer')
        if len(lengths) > 1 or any(not re.match(r'^\d+$', v) for v in lengths):
            raise ProtocolError('Content-Length %r' % lengths)
        if response.status == 101:
            return response
        if response.status in (204, 304) or method == 'HEAD':
            if response.status == 204 and (lengths or codings):
                raise ProtocolError('framing fields in a 204')
            return response
        if codings:
            if [c.lower() for c in codings] != ['chunked'] or response.version != 'HTTP/1.1':
                raise ProtocolError('Transfer-Encoding %r' % codings)
            self.chunks(response)
        elif lengths:
            response.body = self.octets(int(lengths[0]))
        else:
            while self.fill():
                pass
            response.body, self.buffer = self.buffer, b''
        return response

    def chunks(self, response):
        while True:
            line = self.line().decode('latin-1')
            if not re.match(r'^[0-9A-Fa-f]+$', line):
                raise ProtocolError('chunk size %r' % line)
            size = int(line, 16)
            if size == 0:
                response.trailers = self.fields()
                return
            response.body += self.octets(size)
            if self.line():
                raise ProtocolError('octets after a chunk')

    def ended(self, seconds=5):
        """True when the other side closes within the time, having sent nothing more."""
        self.socket.settimeout(seconds)
        try:
            while self.fill():
                pass
        except socket.timeout:
            return False
        except ConnectionError:
            return True
        return not self.buffer

    def silent(self, seconds=0.3):
        """True when nothing comes and nothing is closed for this time."""
        self.socket.settimeout(seconds)
        try:
            self.fill()
        except socket.timeout:
            return not self.buffer
        return False


def request(address, path='/', method='GET', headers=(), body=None, timeout=10, **how):
    """One exchange on a connection of its own."""
    with Connection(address, timeout) as connection:
        return connection.request(method, path, headers, body, **how)


def chunked(*pieces, trailers=()):
    out = b''.join(b'%x\r\n%s\r\n' % (len(p), p) for p in pieces if p)
    return out + b'0\r\n' + ''.join('%s: %s\r\n' % t for t in trailers).encode() + b'\r\n'


def refuses(address, timeout=5):
    """True when nobody listens there."""
    try:
        connect(address, timeout).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    return False


def closes_without_answer(connection):
    """What came before the end, as a list of statuses (for abuse where close and 408 are both right)."""
    try:
        return [connection.response().status]
    except (Closed, ConnectionError):
        return []


def drip(connection, data, every):
    """Sends octet by octet; stops quietly when the other side has closed."""
    for octet in data:
        try:
            connection.send(bytes([octet]))
        except (ConnectionError, OSError):
            return
        time.sleep(every)
