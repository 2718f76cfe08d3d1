"""restart.txt: seen within a second, without a request; folders and links that come and go."""
import os
import time

from lib.wait import in_time, wait_until
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
    began = time.monotonic()
    wait_until(lambda: restarts(p) == count, seconds, 'restart %d' % count)
    in_time(began, seconds)


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
    for name in ('other.txt', 'restart.txt.old'):
        touch(box.path('ruby', 'tmp', name))
    os.unlink(box.path('ruby', 'tmp', 'restart.txt'))
    time.sleep(0.5)
    assert restarts(p) == 2 and p.get().status == 200


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


def test_always(box):
    """always_restart.txt: a request gets new code, a burst of them one restart; without traffic nothing happens."""
    deploy(box, VERSION % 'one')
    p = start(box, passenger={'stat_throttle_rate': '1500ms'}, min_instances=2)
    assert p.get().text.startswith('one')
    box.write('ruby/tmp/always_restart.txt', '')
    deploy(box, VERSION % 'two')
    time.sleep(1.7)
    assert restarts(p) == 0
    before = pids(p)
    begun = time.monotonic()
    answers = [p.get().text for _ in range(20)]
    most = 1 + int((time.monotonic() - begun) / 1.5)
    assert all(answer.startswith('two') for answer in answers), answers
    done = restarts(p)
    assert 1 <= done <= most and not pids(p) & before
    time.sleep(1.6)
    deploy(box, 'raise "broken"\n')
    assert p.get().status == 500  # who develops wants to see it
    deploy(box, VERSION % 'three')
    time.sleep(1.6)
    assert p.get().text.startswith('three')
    assert restarts(p) == done + 2
    os.unlink(box.path('ruby', 'tmp', 'always_restart.txt'))
    time.sleep(1.8)
    assert p.get().text.startswith('three') and restarts(p) == done + 2
