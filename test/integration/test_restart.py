"""Restarts: one process after the other, under load, with versions that do not start."""
import os
import re
import signal
import time

import pytest

from lib import client
from lib.load import Load
from lib.wait import in_time, wait_until

BAD = {
    'raise': 'raise "this version is broken"\n',
    'exit': '$stderr.puts "this version goes"\nexit! 3\n',
    'hang': 'sleep\n',
}
VERSION = 'run lambda { |env| [200, {"content-type" => "text/plain"}, ["%s #{$$}"]] }\n'
SLOW = '''run lambda { |env|
  sleep env["QUERY_STRING"].to_f
  gate = env["QUERY_STRING"][/gate=(.+)/, 1]
  6000.times { File.exist?(gate) ? break : sleep(0.01) } if gate
  [200, {"content-type" => "text/plain"}, ["slow"]]
}
'''


def restart(box, p, *arguments, name='restart'):
    return box.run(name, '--instance-dir', p.instance_dir, *arguments)


def deploy(box, text, name='ruby'):
    box.write(name + '/config.ru', text)


def pids(p):
    return {q['pid'] for q in p.processes() if q['state'] == 'enabled'}


@pytest.mark.parametrize('kind', ('ruby', 'command', 'node'))
def test_five_rolling_restarts_under_load(box, kind):
    p = box.serve(kind, 2, {'max_pool_size': 4}, max_instances=2)
    with Load(p.front) as load:
        before = pids(p)
        for i in range(5):
            done = restart(box, p, 'main', '--wait')
            assert done.returncode == 0, done
            after = pids(p)
            assert len(after) == 2 and not after & before, (before, after)
            before = after
    group = p.group()
    assert (group['restart'], group['generation']) == ('none', 5)
    assert load.answered > 20


def test_full_pool(box):
    """Never more than max_pool_size: an old process goes first."""
    p = box.serve('ruby', 2)
    before = pids(p)
    with Load(p.front):
        assert restart(box, p, '.', '--name', 'main').returncode == 2
        both = restart(box, p, 'main', '--rolling', '--at-once')
        assert both.returncode == 2 and 'say one of them' in both.stderr, both
        assert restart(box, p, '--name', 'main', '--wait').returncode == 0
        assert len(p.processes()) <= 2
    wait_until(lambda: len(pids(p)) == 2 and not pids(p) & before, 20, 'two new ones')


def test_at_once(box):
    p = box.serve('ruby', 2, {'max_pool_size': 4})
    before = pids(p)
    with Load(p.front):
        assert restart(box, p, 'main', '--at-once', '--wait').returncode == 0
        assert not pids(p) & before
    assert restart(box, p, 'nobody').returncode == 1
    assert restart(box, p, p.group()['root'], name='restart-app').returncode == 2  # its place is passenger-config


@pytest.mark.parametrize('how', sorted(BAD))
def test_a_version_that_does_not_start(box, how):
    deploy(box, VERSION % 'one')
    p = box.start(app={'root': box.path('ruby'), 'type': 'ruby', 'min_instances': 2, 'start_timeout': '3s'},
                  passenger={'max_pool_size': 4}, processes=2)
    before = pids(p)
    with Load(p.front):
        deploy(box, BAD[how])
        done = restart(box, p, 'main', '--wait')
        assert done.returncode == 1 and 'older processes serve on' in done.stderr, done
        group = p.group()
        assert group['restart'] == 'failed' and group['last_spawn_failure']['id'] in done.stderr
        assert 'resisting deployment error: ID ' + group['last_spawn_failure']['id'] in p.text()
        assert pids(p) == before
        deploy(box, VERSION % 'two')
        assert restart(box, p, 'main', '--wait').returncode == 0
        assert not pids(p) & before
        assert p.get().text.startswith('two')
    assert p.group()['restart'] == 'none'


def test_mended_while_it_hangs(box):
    """The next restart does not wait for the start_timeout of the version before; what it gives up is no failure."""
    deploy(box, VERSION % 'one')
    p = box.start(app={'root': box.path('ruby'), 'type': 'ruby', 'spawn_method': 'direct',
                       'hook_spawn_failed': '/bin/echo it failed'}, passenger={'max_pool_size': 4})
    deploy(box, BAD['hang'])
    assert restart(box, p, 'main').returncode == 0
    wait_until(lambda: p.group()['processes_spawning'] == 1, 5, 'a start')
    deploy(box, VERSION % 'two')
    began = time.monotonic()
    assert restart(box, p, 'main', '--wait').returncode == 0
    in_time(began, 20)
    assert p.get().text.startswith('two')
    p.wait_log('a start was given up: a restart came before it was ready')
    p.stop()
    assert 'it failed' not in p.log() and 'could not be started' not in p.log()


def test_a_stuck_old_process_goes(box):
    deploy(box, SLOW)
    p = box.start(app={'root': box.path('ruby'), 'type': 'ruby', 'drain_timeout': '2s'}, passenger={'max_pool_size': 1})
    with p.connect(30) as stuck, p.connect(30) as short:
        stuck.start('POST', '/?60', [('Content-Length', '0')])  # a GET would be tried again
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5, 'a session')
        assert restart(box, p, 'main').returncode == 0
        short.start('GET', '/?0')
        assert stuck.response().status == 502
        assert short.response().status == 200
    assert 'did not finish within drain_timeout' in p.log()


def test_a_balancer_dies_in_a_roll(box):
    """The next one goes on where it was; all are new in the end."""
    deploy(box, 'sleep 0.7\n' + VERSION % 'one')
    p = box.start(app={'root': box.path('ruby'), 'type': 'ruby', 'min_instances': 4}, passenger={'max_pool_size': 8},
                  processes=4)
    before = pids(p)
    assert restart(box, p, 'main').returncode == 0
    wait_until(lambda: len(pids(p) - before) >= 1, 20, 'the first new one')
    os.kill(p.balancer, signal.SIGKILL)
    wait_until(lambda: not pids(p) & before and len(pids(p)) >= 4, 40, 'all new')
    assert p.group()['restart'] == 'none'
    assert p.get().status == 200
    # and one that comes while there is no balancer is not lost
    before = pids(p)
    os.kill(p.balancer, signal.SIGKILL)
    assert restart(box, p, 'main', '--wait').returncode == 0
    assert not pids(p) & before


@pytest.mark.slow
def test_the_balancer_dies_at_every_point(box):
    """After each event of a rolling restart, and some moments later: the next one goes on from there, and no process
    more is started than a roll needs."""
    p = box.serve('command', 3, {'max_pool_size': 4}, max_instances=3, drain_timeout='5s')
    p.allow('.')
    pattern = r'main: (?:restart$|process \d+ is ready|process \d+ stopped)'
    events = 1 + 3 + 3
    restart(box, p, 'main', '--wait')
    for point in range(events):
        for later_ms in (0, 15):
            p.wait_processes(3)
            wait_until(lambda: len(p.processes()) == 3, 10, 'the last old one has gone')
            before, balancer = pids(p), p.balancer
            seen = len(re.findall(pattern, p.log(), re.M))
            ready = len(re.findall('is ready after', p.log()))
            assert restart(box, p, 'main').returncode == 0
            wait_until(lambda: len(re.findall(pattern, p.log(), re.M)) >= seen + 1 + point, 20, 'event %d' % point, every=0)
            time.sleep(later_ms / 1000)
            os.kill(balancer, signal.SIGKILL)
            wait_until(lambda: p.group()['restart'] == 'none', 20, 'the roll is over, after event %d' % point)
            wait_until(lambda: len(pids(p)) == 3 and not pids(p) & before, 10, 'three new ones')
            wait_until(lambda: not before & {q['pid'] for q in p.processes()}, 10, 'the old ones are gone')
            assert len(re.findall('is ready after', p.log())) == ready + 3, (point, later_ms)
            assert p.get('/hello').status == 200


def test_full_pool_where_another_waits_for_its_minimum(box):
    """The room that the restart makes is its own: it comes to its end."""
    for name in ('one', 'two'):
        deploy(box, VERSION % name, name)
    p = box.start(passenger={'max_pool_size': 1}, processes=1,
                  apps={name: {'root': box.path(name), 'type': 'ruby', 'host': name + '.test'} for name in ('one', 'two')})
    has = [g['app_name'] for g in p.groups(p.status()) if g['processes_enabled']][0]
    done = restart(box, p, '--wait', '--name', has)
    assert done.returncode == 0 and len(p.processes(app=has)) == 1
    assert client.request(p.front, host=has + '.test', timeout=30).status == 200
