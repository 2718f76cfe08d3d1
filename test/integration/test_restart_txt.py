"""restart.txt: seen within a second, without a request; folders and links that come and go."""
import os
import shutil
import signal
import time

import pytest

from lib.wait import in_time, wait_until
from test_restart import VERSION, deploy, pids, restart


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


def test_touched_before_a_reload(box):
    """A touch that was not looked at yet, when a reload comes, is none less."""
    deploy(box, VERSION % 'one')
    p = start(box)
    for count in (1, 2, 3):
        os.makedirs(box.path('ruby', 'tmp'), exist_ok=True)
        touch(box.path('ruby', 'tmp', 'restart.txt'))
        os.kill(p.pid, signal.SIGHUP)
        assert_seen(p, count)


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


@pytest.mark.parametrize('method', ('direct', 'smart'))
def test_a_release_until_the_restart(box, method):
    """Between the move of the link and the restart all that runs, or is started, is of the old release: processes that
    are started anew, files that are read late, also after an upgrade and a reload; the whole of it changes at the restart."""
    late = 'run lambda { |env| load "%s/late.rb"; [200, {}, ["%%s #{$late} #{Dir.pwd} #{$$}"]] }\n'
    for name in ('one', 'two'):
        deploy(box, 'here = __dir__\n' + late % '#{here}' % name, name)
        box.write(name + '/late.rb', '$late = "late %s"\n' % name)
        box.write(name + '/public/hello.txt', name)
    os.symlink('one', box.path('current'))
    p = start(box, 'current', spawn_method=method, static_files='on')

    def assert_release(name):
        assert p.get('/').text.startswith('%s late %s %s ' % (name, name, box.path(name)))
        assert p.get('/hello.txt').text == name

    assert_release('one')
    os.symlink('two', box.path('next'))
    os.rename(box.path('next'), box.path('current'))
    assert_release('one')
    os.kill(int(p.get('/').text.split()[-1]), signal.SIGKILL)
    assert_release('one')
    for command in ('reload', 'upgrade'):
        assert box.run(command, '--instance-dir', p.instance_dir).returncode == 0
        os.kill(int(p.get('/').text.split()[-1]), signal.SIGKILL)
        assert_release('one')
    assert restart(box, p, box.path('current'), '--wait').returncode == 0
    assert_release('two')
    if method == 'direct':  # a release that is cleared away is no reason not to start
        os.symlink('one', box.path('next'))
        os.rename(box.path('next'), box.path('current'))
        shutil.rmtree(box.path('two'))
        os.kill(p.processes()[0]['pid'], signal.SIGKILL)
        wait_until(lambda: p.get('/', timeout=20).text.startswith('one late one'), 10, 'the release that is there')


def test_a_link_as_restart_txt(box):
    """A touch of what it leads to is seen; whatever stands there, it is looked at and never opened."""
    deploy(box, VERSION % 'one')
    shared = box.write('shared/restart.txt', '')
    p = start(box)
    os.mkdir(box.path('ruby', 'tmp'))
    os.symlink(shared, box.path('ruby', 'tmp', 'restart.txt'))
    assert_seen(p, 1)
    touch(shared)
    assert_seen(p, 2, 3)
    os.unlink(box.path('ruby', 'tmp', 'restart.txt'))
    os.mkdir(box.path('ruby', 'tmp', 'restart.txt'))
    assert_seen(p, 3)


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
    assert 'resisting' not in p.text(), 'nothing serves on'
    deploy(box, VERSION % 'three')
    time.sleep(1.6)
    assert p.get().text.startswith('three')
    assert restarts(p) == done + 2
    os.unlink(box.path('ruby', 'tmp', 'always_restart.txt'))
    time.sleep(1.8)
    assert p.get().text.startswith('three') and restarts(p) == done + 2
