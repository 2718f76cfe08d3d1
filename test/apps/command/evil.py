#!/usr/bin/env python3
"""A program that answers wrongly, one way a path; test_responses.py holds what a client must get."""
import os
import socket
import threading

EVIL = b'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'
OK = b'HTTP/1.1 200 OK\r\n'
# path: (octets, close afterwards)
ANSWERS = {
    b'/good': (OK + b'Content-Length: 2\r\n\r\nok', False),
    b'/until-close': (OK + b'\r\nok', True),
    b'/two-lengths': (OK + b'Content-Length: 2\r\nContent-Length: 1\r\n\r\nok', False),
    b'/negative-length': (OK + b'Content-Length: -1\r\n\r\nok', True),
    b'/list-length': (OK + b'Content-Length: 2, 9\r\n\r\nok', True),
    b'/bad-chunk': (OK + b'Transfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n', True),
    b'/short': (OK + b'Content-Length: 10\r\n\r\nok', True),
    b'/short-chunked': (OK + b'Transfer-Encoding: chunked\r\n\r\n5\r\nhe', True),
    b'/surplus': (OK + b'Content-Length: 2\r\n\r\nok' + EVIL, False),
    b'/surplus-204': (b'HTTP/1.1 204 No Content\r\n\r\n' + EVIL, False),
    b'/unasked-101': (b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nxx', True),
    b'/many-1xx': (b'HTTP/1.1 102 Processing\r\n\r\n' * 200 + EVIL, False),
    b'/bare-cr': (OK + b'Content-Length: 2\r\nX-N: a\rSet-Cookie: evil=1\r\n\r\nok', False),
    b'/nul': (OK + b'Content-Length: 2\r\nX-N: a\0b\r\n\r\nok', False),
    b'/bad-name': (OK + b'Content-Length: 2\r\nX(N): a\r\n\r\nok', False),
    b'/huge-field': (OK + b'Content-Length: 2\r\nX-N: ' + b'a' * (1 << 20) + b'\r\n\r\nok', True),
    b'/not-http': (b'<html>hi</html>', True),
    b'/status-99': (b'HTTP/1.1 99 X\r\nContent-Length: 2\r\n\r\nok', True),
    b'/nothing': (b'', True),
    b'/half-head': (b'HTTP/1.1 200 OK\r\nContent-Le', True),
    b'/leak': (OK + b'Content-Length: 2\r\nX-Passenger-Connect-Password: secret\r\n\r\nok', False),
    b'/hop': (OK + b'Content-Length: 2\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\n\r\nok', False),
}


def serve(s):
    buffer = b''
    with s:
        while True:
            while b'\r\n\r\n' not in buffer:
                data = s.recv(65536)
                if not data:
                    return
                buffer += data
            head, _, buffer = buffer.partition(b'\r\n\r\n')
            path = head.split(b' ')[1]
            answer, close = ANSWERS.get(path, (OK + b'Content-Length: %d\r\n\r\n' % len(path) + path, False))
            try:
                s.sendall(answer)
            except OSError:
                return
            if close:
                s.shutdown(socket.SHUT_RDWR)
                return


def main():
    listener = socket.create_server(('127.0.0.1', int(os.environ['PORT'])), backlog=256)
    while True:
        s, _ = listener.accept()
        threading.Thread(target=serve, args=(s,), daemon=True).start()


if __name__ == '__main__':
    main()
