"""What an application must live through, whoever wrote it."""
import os

from lib import client
from lib.load import Load
from lib.wait import wait_until


def lives_through(box, p, address, look, app='main', path='/'):
    """look(address, headers) holds through Apache (address) and through a door; so it does after a rolling restart,
    during which no request may fail, and after the death of a process."""

    def pids():
        return {process['pid'] for process in p.processes()}

    def look_everywhere():
        look(address, {})
        for door in p.doors():
            look(door.address, dict(door.headers()))

    look_everywhere()
    before = pids()
    with Load(address, path, keeping=1, new=1, pause=0.02):
        done = box.run('restart', app, '--wait', '--instance-dir', p.instance_dir)
        assert done.returncode == 0, done
    wait_until(lambda: not before & pids(), 20, 'the old processes to go')
    look_everywhere()
    victim = min(pids())
    status = client.request(address, path).status
    os.kill(victim, 9)
    # not even the first request behind it fails, as it may be repeated
    assert client.request(address, path).status == status
    wait_until(lambda: victim not in pids() and len(pids()) >= len(before), 20, 'a process in its place')
    look_everywhere()
