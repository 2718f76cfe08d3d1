"""Copies of passenger with a fault at a function's beginning: new versions that fail, each in its own way."""
import os
import platform
import re
import shutil
import subprocess

from lib.passenger import BIN

# An illegal instruction; a jump to itself.
CODES = {'x86_64': {'crash': b'\x0f\x0b', 'hang': b'\xeb\xfe'},
         'aarch64': {'crash': b'\x00\x00\x00\x00', 'hang': b'\x00\x00\x00\x14'}}


def offset_of(function):
    """Where it begins in the file; the unstripped program knows its address."""
    symbols = subprocess.run(['nm', BIN + '.debug'], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = re.search(r'^([0-9a-f]+) [tT] %s$' % function, symbols, re.M)
    assert found, 'there is no function %s in %s.debug' % (function, BIN)
    address = int(found.group(1), 16)
    headers = subprocess.run(['readelf', '-lW', BIN], stdout=subprocess.PIPE, text=True, check=True).stdout
    for line in re.findall(r'^\s+LOAD\s+(.*)$', headers, re.M):
        offset, start, _, size = (int(word, 16) for word in line.split()[:4])
        if start <= address < start + size:
            return address - start + offset
    raise AssertionError('%s lies in no segment' % function)


def copy(box, name='new'):
    path = box.path(name)
    shutil.copy(BIN, path)
    os.chmod(path, 0o755)
    return path


def broken(box, function, how='crash', name=None):
    """The path of a passenger that crashes, or hangs, when it calls this function."""
    path = copy(box, name or 'broken-' + function)
    with open(path, 'r+b') as f:
        f.seek(offset_of(function))
        f.write(CODES[platform.machine()][how])
    return path


def renamed(box, before, after, name='renamed'):
    """One in which a text is another one of the same length."""
    path = copy(box, name)
    with open(path, 'rb') as f:
        data = f.read()
    assert before in data and len(before) == len(after)
    with open(path, 'wb') as f:
        f.write(data.replace(before, after))
    return path
