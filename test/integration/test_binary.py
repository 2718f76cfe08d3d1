"""Facts about the shipped binary."""
import os
import shutil
import stat
import subprocess

import pytest

from lib import procs
from lib.passenger import BIN
from lib.wait import wait_until


def readelf(*options):
    return subprocess.run(['readelf', '-W', *options, BIN], stdout=subprocess.PIPE, text=True, check=True).stdout


shipped = pytest.mark.skipif('asan' in os.path.basename(BIN), reason='the sanitizers\' binary')


@shipped
def test_static_and_hardened():
    headers = readelf('-h', '-l')
    assert 'INTERP' not in headers
    assert 'DYN' in headers  # static PIE
    assert 'GNU_RELRO' in headers
    stack = [line for line in headers.splitlines() if 'GNU_STACK' in line]
    assert stack and 'RWE' not in stack[0]
    assert 'NEEDED' not in readelf('-d')
    if shutil.which('file'):
        said = subprocess.run(['file', '-b', BIN], stdout=subprocess.PIPE, text=True, check=True).stdout
        assert 'static' in said and 'stripped' in said


@shipped
def test_small():
    assert os.stat(BIN).st_size < 478_000  # as build.sh checks it
    assert os.stat(BIN).st_mode & stat.S_IXOTH


@shipped
@pytest.mark.root
def test_idle_memory(box):
    """Spawner and balancer idle together use under 3 MB PSS.  (Only root may read the balancer's.)"""
    p = box.serve('ruby')
    p.get('/hello')
    p.wait_idle()
    roles = [p.pid, p.balancer]
    pss = [procs.pss_kb(pid) for pid in roles]
    print('PSS: spawner %d KB, balancer %d KB' % tuple(pss))
    assert all(pss) and sum(pss) < 3 * 1024
    before = [procs.cpu_seconds(pid) for pid in roles]
    wait_until(lambda: True, 1)
    assert [procs.cpu_seconds(pid) for pid in roles] <= [b + 0.05 for b in before]
