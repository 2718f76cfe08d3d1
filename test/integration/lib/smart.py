"""What tests of smart spawning share, whatever the language."""
import os
import signal

from lib.wait import wait_until


def fork_fails(p, flag):
    """While the file is there, the preloader can not fork: asked again once, then it is a failure with the reason; it
    works as soon as it can."""
    open(flag, 'w').close()
    os.kill(p.processes()[0]['pid'], signal.SIGKILL)
    group = wait_until(lambda: p.group()['last_spawn_failure'] and p.group(), 15, 'the failure')
    assert 'made no process, twice' in group['last_spawn_failure']['text']
    assert 'no room for a child' in p.log()
    os.unlink(flag)
    p.wait_processes(1, 20)
