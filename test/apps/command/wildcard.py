#!/usr/bin/env python3
"""Binds $PORT on every address instead of 127.0.0.1; with "6" on the IPv6 wildcard."""
import os
import socket
import sys

family, address = (socket.AF_INET6, '::') if '6' in sys.argv else (socket.AF_INET, '0.0.0.0')
listener = socket.socket(family)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((address, int(os.environ['PORT'])))
listener.listen(16)
while True:
    s, _ = listener.accept()
    s.recv(65536)
    s.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nwildcard')
    s.close()
