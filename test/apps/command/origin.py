#!/usr/bin/env python3
"""A strict HTTP/1.1 program for `type = command`: it takes $PORT, answers with what it saw, and
refuses whatever a careful proxy would not have sent.  Routes (lib/probe.ru answers the same):

    /hello              text: "hello from PID"
    /sleep?ms=N         waits, then as below
    /count?file=F&ms=N  appends one line to F, waits, then as below
    /big?n=N            N octets with Content-Length
    /stream?n=N         N chunks of 1000 octets
    /late?n=N           N lines, 20 ms apart, chunked
    /sink               reads the body without keeping it; JSON with its length and SHA-1
    /status?code=N      that status
    /header?name=value  answers with these header fields
    /hints              103, then 200
    /trailers           a chunked answer with a trailer
    /raise              500 by the program itself
    /drop               closes without an answer
    /half               half an answer, then closes
    /exit               ends the process without an answer
    /upgrade            Upgrade: echo → 101, then octets come back; a line "bye" ends it
    /inside?ms=N        the largest number of requests that were in here at once
    ?gate=F             for ms=N in each of these: waits until the file F is there
    anything else       JSON: pid, method, target, path, query, headers, length, sha1, n (on this connection), remote"""
import hashlib
import json
import os
import re
import socket
import sys
import threading
import time
from urllib.parse import parse_qs

TOKEN = re.compile(rb"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$")
lock = threading.Lock()
inside = {'now': 0, 'most': 0}


class Bad(Exception):
    pass


class Gone(Exception):
    pass


class Conversation:
    def __init__(self, s):
        self.s = s
        self.buffer = b''
        self.count = 0

    def fill(self):
        data = self.s.recv(262144)
        if not data:
            raise Gone
        self.buffer += data

    def line(self):
        while b'\n' not in self.buffer:
            if len(self.buffer) > 1 << 20:
                raise Bad('long line')
            self.fill()
        line, self.buffer = self.buffer.split(b'\n', 1)
        if not line.endswith(b'\r') or b'\r' in line[:-1] or b'\0' in line:
            raise Bad('bare LF, CR or NUL in %r' % line[:60])
        return line[:-1]

    def head(self):
        parts = self.line().split(b' ')
        if len(parts) != 3 or not TOKEN.match(parts[0]) or parts[2] not in (b'HTTP/1.1', b'HTTP/1.0'):
            raise Bad('request line %r' % parts)
        if not parts[1].startswith(b'/') and parts[1] != b'*':
            raise Bad('target %r' % parts[1])
        fields = []
        while True:
            line = self.line()
            if not line:
                break
            name, colon, value = line.partition(b':')
            if not colon or not TOKEN.match(name) or b'_' in name:
                raise Bad('field %r' % line[:60])
            fields.append((name.decode().lower(), value.strip(b' \t').decode('latin-1')))
        self.method, self.target = parts[0].decode(), parts[1].decode('latin-1')
        self.fields = fields
        self.close = 'close' in [v.lower() for v in self.all('connection')] or parts[2] == b'HTTP/1.0'
        for name in ('content-length', 'transfer-encoding', 'host'):
            if len(self.all(name)) > 1:
                raise Bad('two ' + name)
        if self.all('content-length') and self.all('transfer-encoding'):
            raise Bad('both lengths')
        if not all(re.match(r'^[0-9]+$', v) for v in self.all('content-length')):
            raise Bad('length')

    def all(self, name):
        return [v for n, v in self.fields if n == name]

    def body(self):
        """Pieces of the body, as they come."""
        if '100-continue' in [v.lower() for v in self.all('expect')] and not self.buffer:
            self.s.sendall(b'HTTP/1.1 100 Continue\r\n\r\n')
        if self.all('transfer-encoding'):
            if self.all('transfer-encoding') != ['chunked']:
                raise Bad('transfer coding')
            while True:
                size = self.line()
                if not re.match(rb'^[0-9A-Fa-f]+$', size):
                    raise Bad('chunk size %r' % size)
                yield from self.octets(int(size, 16))
                if int(size, 16) == 0:
                    while self.line():
                        pass
                    return
                if self.line():
                    raise Bad('chunk end')
        elif self.all('content-length'):
            yield from self.octets(int(self.all('content-length')[0]))

    def octets(self, count):
        while count:
            if not self.buffer:
                self.fill()
            piece, self.buffer = self.buffer[:count], self.buffer[count:]
            count -= len(piece)
            yield piece

    def answer(self, status, body, fields=()):
        head = 'HTTP/1.1 %d %s\r\nContent-Length: %d\r\n' % (status, 'OK' if status == 200 else 'Other', len(body))
        if status in (204, 304):
            head, body = 'HTTP/1.1 %d Other\r\n' % status, b''
        head += ''.join('%s: %s\r\n' % f for f in fields)
        if self.close:
            head += 'Connection: close\r\n'
        self.s.sendall(head.encode('latin-1') + b'\r\n' + (b'' if self.method == 'HEAD' else body))

    def echo(self, length, sha1):
        path, _, query = self.target.partition('?')
        headers = {}
        for name, value in self.fields:
            headers[name] = headers[name] + ', ' + value if name in headers else value
        return {'pid': os.getpid(), 'method': self.method, 'target': self.target, 'path': path, 'query': query,
                'headers': headers, 'length': length, 'sha1': sha1, 'n': self.count, 'remote': None,
                'environ': dict(os.environ)}

    def exchange(self):
        self.head()
        self.count += 1
        path, _, text = self.target.partition('?')
        query = {k: v[0] for k, v in parse_qs(text).items()}
        if path == '/upgrade' and 'echo' in self.all('upgrade'):
            return self.tunnel()
        length, sha1 = 0, hashlib.sha1()
        for piece in self.body():
            length += len(piece)
            sha1.update(piece)
        echo = self.echo(length, sha1.hexdigest())
        route = ROUTES.get(path)
        if route:
            route(self, query, echo)
        else:
            self.json(echo)

    def json(self, value, status=200):
        self.answer(status, json.dumps(value).encode(), [('Content-Type', 'application/json')])

    def tunnel(self):
        self.s.sendall(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n')
        self.s.settimeout(None)
        while True:
            if not self.buffer:
                self.fill()
            data, self.buffer = self.buffer, b''
            if data == b'bye\n':
                raise Gone
            self.s.sendall(data)

    def run(self):
        try:
            self.s.settimeout(300)
            while True:
                self.exchange()
                if self.close:
                    return
        except (Gone, OSError):
            pass
        except Bad as e:
            print('origin: refused: %s' % e, file=sys.stderr, flush=True)
            self.close, self.method = True, 'GET'
            try:
                self.answer(400, ('the proxy sent: %s' % e).encode())
            except OSError:
                pass
        finally:
            try:
                self.s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.s.close()


def pause(query, ms):
    if 'gate' not in query:
        time.sleep(int(query.get('ms', ms)) / 1000)
        return
    end = time.monotonic() + 60
    while not os.path.exists(query['gate']) and time.monotonic() < end:
        time.sleep(0.01)


def sleep_route(c, query, echo):
    pause(query, 100)
    c.json(echo)


def count_route(c, query, echo):
    fd = os.open(query['file'], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(fd, ('%d %s\n' % (os.getpid(), query.get('tag', ''))).encode())
    os.close(fd)
    pause(query, 0)
    c.json(echo)


def big_route(c, query, echo):
    left = int(query['n'])
    c.s.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % left)
    block = b'z' * 65536
    while left > 0 and c.method != 'HEAD':
        c.s.sendall(block[:left])
        left -= min(left, len(block))


def stream_route(c, query, echo):
    c.s.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    for _ in range(int(query['n'])):
        c.s.sendall(b'3e8\r\n' + b's' * 1000 + b'\r\n')
    c.s.sendall(b'0\r\n\r\n')


def late_route(c, query, echo):
    c.s.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    for i in range(int(query['n'])):
        line = b'line %d\n' % i
        c.s.sendall(b'%x\r\n%s\r\n' % (len(line), line))
        time.sleep(0.02)
    c.s.sendall(b'0\r\n\r\n')


def status_route(c, query, echo):
    c.json(echo, int(query['code']))


def header_route(c, query, echo):
    c.answer(200, b'ok', list(query.items()))


def hints_route(c, query, echo):
    c.s.sendall(b'HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n')
    c.json(echo)


def trailers_route(c, query, echo):
    c.s.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n')


def raise_route(c, query, echo):
    print('origin: /raise', file=sys.stderr, flush=True)
    c.answer(500, b'the program failed')


def drop_route(c, query, echo):
    raise Gone


def half_route(c, query, echo):
    c.s.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n' + b'x' * 500)
    raise Gone


def exit_route(c, query, echo):
    os._exit(7)


def inside_route(c, query, echo):
    with lock:
        inside['now'] += 1
        inside['most'] = max(inside['most'], inside['now'])
    pause(query, 50)
    with lock:
        inside['now'] -= 1
        echo['inside'] = inside['most']
    c.json(echo)


ROUTES = {
    '/hello': lambda c, query, echo: c.answer(200, b'hello from %d\n' % os.getpid(), [('Content-Type', 'text/plain')]),
    '/sleep': sleep_route, '/count': count_route, '/big': big_route, '/stream': stream_route, '/late': late_route,
    '/status': status_route, '/header': header_route, '/hints': hints_route, '/trailers': trailers_route,
    '/raise': raise_route, '/drop': drop_route, '/half': half_route, '/exit': exit_route, '/inside': inside_route,
}


def main():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(('127.0.0.1', int(os.environ['PORT'])))
    listener.listen(1024)
    print('origin: listening', flush=True)
    while True:
        s, _ = listener.accept()
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=Conversation(s).run, daemon=True).start()


if __name__ == '__main__':
    main()
