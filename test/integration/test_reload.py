"""`passenger reload` and SIGHUP: the same balancer, no request lost; a wrong ini changes nothing."""
import os
import signal
import subprocess
import time

import pytest

from lib import apache, client, procs
from lib.load import Load
from lib.passenger import BIN, ini_text
from lib.wait import wait_until
from test_restart import SLOW, VERSION, deploy, pids


def app_processes(box, name):
    """Those that stand in this application's folder."""
    return [pid for pid in procs.descendants(box.instances[0].pid) if procs.cwd(pid) == box.path(name)]


class Site:
    """An ini that a test changes."""

    def __init__(self, box):
        self.box = box
        self.options = {'listen': 'unix:' + box.path('main.sock'), 'max_pool_size': 8}
        self.listeners = {'main': {'address': 'unix:' + box.path('main.sock'), 'mode': '0666'}}
        del self.options['listen']
        self.apps = {}

    def add(self, name, version=None, **options):
        deploy(self.box, version or VERSION % name, name)
        self.apps[name] = {'root': self.box.path(name), 'type': 'ruby', 'host': name + '.test'}
        self.apps[name].update(options)

    def text(self):
        return ini_text(self.options, self.apps, self.listeners)

    def start(self, **how):
        self.p = self.box.start(self.text(), processes=len(self.apps), **how)
        return self.p

    def reload(self, ok=True, text=None):
        self.box.write('passenger.ini', text or self.text())
        done = self.box.run('reload', '--instance-dir', self.p.instance_dir)
        assert done.returncode == (0 if ok else 1), done
        return done.stdout + done.stderr

    def get(self, name, address=None, **how):
        return client.request(address or self.p.front, host=name + '.test', **how)


def test_apps_come_change_and_go_under_load(box):
    site = Site(box)
    site.add('one', min_instances=2)
    site.add('two')
    p = site.start()
    p.wait_processes(3)
    balancer, one = p.balancer, pids(p)
    with Load(p.front, host='one.test') as load:
        for i in range(5):
            site.add('three')
            assert '1 application added, 0 removed, 0 restarted' in site.reload()
            wait_until(lambda: site.get('three').status == 200, 20, 'the new application')
            site.apps['one']['env.ROUND'] = i
            del site.apps['three']
            assert '0 applications added, 1 removed, 1 restarted' in site.reload()
            assert site.get('three').status == 404
            wait_until(lambda: p.group('one')['restart'] == 'none', 30, 'the rolling restart')
        assert p.balancer == balancer
        after = {q['pid'] for q in p.processes(app='one') if q['state'] == 'enabled'}
        assert len(after) >= 2 and not after & one
    assert load.answered > 50
    assert len(p.processes(app='two')) == 1
    wait_until(lambda: not app_processes(box, 'three'), 15, 'no process of the removed one')


def test_an_address_given_up_while_two_balancers_live(box):
    """The one before listens nowhere any more: what a reload removes is free, and may come back."""
    site, gate = Site(box), box.gate()
    site.add('one', SLOW, min_instances=2)
    other = '127.0.0.1:%d' % apache.free_port()
    site.listeners['other'] = {'address': other}
    p = site.start()
    with p.connect(30) as running:
        running.start('GET', gate.at('/'), host='one.test')
        wait_until(lambda: any(x['sessions'] for x in p.processes()), 5, 'the request')
        assert box.run('upgrade', '--instance-dir', p.instance_dir).returncode == 0
        gone = site.listeners.pop('other')
        site.reload()
        assert client.refuses(other) and p.status()['balancer']['before_pid']
        site.listeners['other'] = gone
        site.reload()
        assert site.get('one', other).status == 200
        gate.open()
        assert running.response().status == 200


@pytest.mark.parametrize('end', [signal.SIGCONT, signal.SIGKILL], ids=['goes on', 'dies'])
def test_answered_when_taken_up(box, end):
    """Who asks next finds what the command did: it waits for the balancer, also for another one."""
    site = Site(box)
    site.add('one')
    p = site.start()
    site.add('two')
    box.write('passenger.ini', site.text())
    os.kill(p.balancer, signal.SIGSTOP)
    command = subprocess.Popen([BIN, 'reload', '--instance-dir', p.instance_dir], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    try:
        p.wait_log('reloaded: 1 application added')
        assert p.status() and command.poll() is None
    finally:
        os.kill(p.balancer, end)
        said = command.communicate(timeout=30)[0]
    assert command.returncode == 0 and said == 'reloaded: 1 application added, 0 removed, 0 restarted\n'
    assert site.get('two').status == 200


def test_answered_when_the_balancer_takes_nothing_up(box):
    site = Site(box)
    site.add('one')
    p = site.start()
    os.kill(p.balancer, signal.SIGSTOP)
    try:
        assert site.reload().endswith('; the balancer has not taken it up yet; it will\n')
    finally:
        os.kill(p.balancer, signal.SIGCONT)
    assert site.get('one').status == 200


def test_limits_apply_to_living_processes(box):
    site = Site(box)
    site.add('one', min_instances=1)
    p = site.start()
    before = pids(p)
    site.apps['one'].update(min_instances=3, drain_timeout='5s')
    assert '0 restarted' in site.reload()
    p.wait_processes(3)
    assert before < pids(p)
    site.apps['one'].update(min_instances=1, max_instances=1)
    site.reload()
    wait_until(lambda: len(pids(p)) == 1, 10, 'one process')
    assert p.group('one')['generation'] == 0


def test_listeners_come_and_go(box):
    site = Site(box)
    site.add('one')
    p = site.start()
    kept = client.Connection(p.front)
    assert kept.request(host='one.test').status == 200
    other = 'unix:' + box.path('other.sock')
    site.listeners['other'] = {'address': other, 'mode': '0666', 'app': 'one'}
    site.reload()
    assert client.request(other).status == 200
    assert set(p.status()['instance']['listeners']) == {'unix:' + box.path('main.sock'), other}
    del site.listeners['other']
    site.reload()
    assert client.refuses(other)
    assert kept.request(host='one.test').status == 200
    kept.close()


def test_a_wrong_ini_changes_nothing(box):
    site = Site(box)
    site.add('one')
    p = site.start()
    before = pids(p)
    said = site.reload(ok=False, text=site.text() + '\n[app two]\nroot = %s\nmin_instances = many\n' % box.path('one'))
    assert 'passenger.ini:' in said and 'min_instances = many' in said, said
    taken = box.path('taken')
    os.mkdir(taken)
    site.listeners['other'] = {'address': 'unix:' + taken}
    assert 'nothing was changed' in site.reload(ok=False)
    p.signal(signal.SIGHUP)
    time.sleep(0.3)
    assert site.get('one').status == 200 and pids(p) == before


def test_a_removed_app_finishes_its_requests(box):
    site = Site(box)
    site.add('one')
    site.add('slow', SLOW)
    p = site.start()
    with p.connect(20) as running, p.connect(20) as reading:
        gate = box.gate()
        running.start('GET', gate.at('/'), host='slow.test')
        reading.start('POST', '/?0', [('Content-Length', '3')], host='slow.test')
        wait_until(lambda: p.group('slow')['processes'][0]['sessions'] == 1, 5, 'a session')
        del site.apps['slow']
        site.reload()
        reading.send(b'abc')
        gate.open()
        assert running.response().status == 200
        assert reading.response().status == 200
    assert site.get('slow').status == 404
    wait_until(lambda: not app_processes(box, 'slow'), 15, 'its process is gone')


def test_another_type(box):
    """The old processes speak another protocol: nothing of the new generation reaches them."""
    site = Site(box)
    site.add('one')
    p = site.start()
    root, command = box.program()
    before = pids(p)
    site.apps['one'] = {'root': root, 'type': 'command', 'command': command, 'host': 'one.test'}
    site.reload()
    assert site.get('one', path='/hello', timeout=20).status == 200
    wait_until(lambda: not pids(p) & before, 10, 'the old process')


def test_another_type_again_and_again(box):
    """Who waits for a process that will never come is told at once; who is at a body is finished by the old process;
    and nothing of it is left over: the pool has the processes that it should have."""
    site = Site(box)
    site.add('one')
    p = site.start()
    before = pids(p)
    root, command = box.program()
    types = [dict(site.apps['one']), {'root': root, 'type': 'command', 'command': command, 'host': 'one.test'},
             {'root': box.folder('ruby', 'boot_hang'), 'type': 'ruby', 'host': 'one.test'}]
    with p.connect(30) as body, p.connect(30) as waiting:
        body.start('POST', '/', {'Content-Length': '3'}, host='one.test')
        site.apps['one'] = types[1]
        site.reload()
        wait_until(lambda: site.get('one', path='/hello').status == 200, 10, 'the program')
        body.send(b'abc')
        assert body.response().status == 200
        wait_until(lambda: not pids(p) & before, 10, 'the old process')
        site.apps['one'] = types[2]
        site.reload()
        wait_until(lambda: p.group('one')['processes_spawning'] == 1, 10, 'the one that hangs')
        waiting.start('GET', '/hello', host='one.test')
        wait_until(lambda: p.group('one')['queued'] == 1, 10, 'one waits')
        for kind in (1, 0, 1, 2, 1):
            site.apps['one'] = types[kind]
            site.reload()
        assert waiting.response().status == 503
    wait_until(lambda: p.rolled(1, 'one') and p.group('one')['processes_spawning'] == 0, 20, 'one process')
    assert site.get('one', path='/hello').status == 200


def test_disabled_and_enabled(box):
    site = Site(box)
    site.add('one')
    site.add('two')
    p = site.start()
    site.apps['two']['enabled'] = 'off'
    site.reload()
    assert site.get('two').status == 404
    del site.apps['two']['enabled']
    box.write('passenger.ini', site.text())
    p.signal(signal.SIGHUP)
    wait_until(lambda: site.get('two', timeout=20).status == 200, 10, 'the application again')


def test_what_needs_a_restart_is_said(box):
    site = Site(box)
    site.add('one')
    p = site.start()
    site.options['instance_name'] = 'another'
    site.reload()
    p.wait_log('reload: instance_name: a change needs a restart')


def test_a_balancer_dies_after_a_reload(box):
    """The next one is told the newest generation."""
    site = Site(box)
    site.add('one')
    p = site.start()
    site.add('two')
    site.reload()
    wait_until(lambda: site.get('two').status == 200, 20, 'the new application')
    os.kill(p.balancer, signal.SIGKILL)
    assert site.get('two', timeout=20).status == 200
    del site.apps['two']
    site.reload()
    assert site.get('two').status == 404
