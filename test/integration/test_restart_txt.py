"""restart.txt: seen within a second, without a request; folders and links that come and go."""
import os
import time

from lib.wait import wait_until
from test_restart import VERSION, deploy, pids


def start(box, root='ruby', passenger=None, **options):
    section = {'root': box.path(root), 'type': 'ruby'}
    section.update(options)
    sections = {'max_pool_size': 4}
    sections.update(passenger or {})
    return box.start(app=section, passenger=sections)


def touch(path):
    with open(path, 'a'):
        os.utime(path)


def restarts(p):
    return p.group()['generation']


def assert_seen(p, count, seconds=1):
    wait_until(lambda: restarts(p) == count, seconds, 'restart %d' % count)


def test_touched(box):
    """Also when restart_dir, or the file, is made only later; each touch is one restart."""
    deploy(box, VERSION % 'one')
    p = start(box)
    before = pids(p)
    os.mkdir(box.path('ruby', 'tmp'))
    time.sleep(0.2)
    touch(box.path('ruby', 'tmp', 'restart.txt'))
    assert_seen(p, 1)
    wait_until(lambda: pids(p) and not pids(p) & before, 20, 'a new process')
    touch(box.path('ruby', 'tmp', 'restart.txt'))
    assert_seen(p, 2)
    touch(box.path('ruby', 'tmp', 'always_restart.txt'))
    assert_seen(p, 3)
    for name in ('other.txt', 'restart.txt.old'):
        touch(box.path('ruby', 'tmp', name))
    os.unlink(box.path('ruby', 'tmp', 'restart.txt'))
    time.sleep(0.5)
    assert restarts(p) == 3 and p.get().status == 200


def test_there_before(box):
    """What was touched before passenger started is no news."""
    deploy(box, VERSION % 'one')
    box.write('ruby/elsewhere/restart.txt', '')
    p = start(box, restart_dir='elsewhere')
    time.sleep(0.3)
    assert restarts(p) == 0
    touch(box.path('ruby', 'elsewhere', 'restart.txt'))
    assert_seen(p, 1)


def test_a_link_that_moves(box):
    """As Capistrano does: the next restart is the new release's."""
    for name in ('one', 'two'):
        deploy(box, VERSION % name, name)
        os.mkdir(box.path(name, 'tmp'))
    os.symlink('one', box.path('current'))
    p = start(box, 'current')
    assert p.get().text.startswith('one')
    os.symlink('two', box.path('next'))
    os.rename(box.path('next'), box.path('current'))
    time.sleep(0.3)
    assert restarts(p) == 0
    touch(box.path('current', 'tmp', 'restart.txt'))
    assert_seen(p, 1)
    wait_until(lambda: p.get().text.startswith('two'), 20, 'the new release')


def test_polled_where_it_may_not_look(box):
    """A folder that can be entered and not read: inotify may not watch it."""
    deploy(box, VERSION % 'one')
    os.mkdir(box.path('ruby', 'tmp'))
    os.chmod(box.path('ruby', 'tmp'), 0o311)
    p = start(box, passenger={'stat_throttle_rate': '500ms'})
    touch(box.path('ruby', 'tmp', 'restart.txt'))
    assert_seen(p, 1, 3)
