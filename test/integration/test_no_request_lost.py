"""Everything that an operator does, under load through Apache: no request fails."""
import os
import re
import signal
import time

import pytest

from lib import apache, broken
from lib.load import Load
from lib.passenger import HERE, TOP
from lib.wait import wait_until

SECONDS = 60


class Operator:
    """What is done in turn; each returns when it is done."""

    def __init__(self, box, p):
        self.box, self.p = box, p
        self.rounds = {'restart': 0, 'reload': 0, 'upgrade': 0, 'kill': 0}

    def command(self, name, *arguments, code=0):
        done = self.box.run(name, '--instance-dir', self.p.instance_dir, *arguments, timeout=90)
        assert done.returncode == code, done
        return done.stdout + done.stderr

    def restart(self):
        self.command('restart', '--wait', 'shop')

    def reload(self):
        """A limit that holds at once, and a listener that comes and goes."""
        text = self.original
        if self.rounds['reload'] % 2 == 0:
            text += '\n[listener other]\naddress = unix:%s\n' % self.box.path('other.sock')
            text = text.replace('max_request_queue_size = 400', 'max_request_queue_size = 500')
        self.box.write('passenger.ini', text)
        assert 'reloaded' in self.command('reload')

    def upgrade(self):
        if self.rounds['upgrade'] == 1:
            assert 'nothing was changed' in self.command('upgrade', '--binary', self.bad, code=1)
            return
        wait_until(lambda: self.p.status()['balancer']['before_pid'] is None, 70, 'the balancer before has gone')
        assert 'has taken over' in self.command('upgrade', '--binary', self.good)

    def kill(self):
        def one_is_idle():
            idle = [x['pid'] for x in self.p.processes() if x['sessions'] == 0 and x['state'] == 'enabled']
            if idle:
                os.kill(idle[-1], signal.SIGKILL)
            return idle
        wait_until(one_is_idle, 30, 'an idle process', every=0)

    def work(self, turns, seconds):
        self.original = open(self.box.path('passenger.ini')).read()
        self.good = broken.copy(self.box)
        self.bad = broken.broken(self.box, 'upgrade_check_command')
        began = time.monotonic()
        for i, turn in enumerate(turns):
            time.sleep(max(0, began + seconds * i / len(turns) - time.monotonic()))
            getattr(self, turn)()
            self.rounds[turn] += 1
        time.sleep(max(0, began + seconds - time.monotonic()))


def interleave(**counts):
    """Evenly: each kind at its own pace."""
    turns = [((i + 0.5) / count, name) for name, count in counts.items() for i in range(count)]
    return [name for _, name in sorted(turns)]


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.skipif(not apache.available(), reason='needs apache2')
def test_through_apache(box):
    with open(os.path.join(HERE, 'sinatra.ru')) as f:
        root = box.rack('shop', f.read())
    path = box.path('apache.sock')
    p = box.start(passenger={'max_pool_size': 8}, listen=None, processes=4,
                  apps={'shop': {'root': root, 'min_instances': 4, 'max_request_queue_size': 400}},
                  listeners={'apache': apache.listener(path), 'own': {'address': '127.0.0.1:0'}})
    p.allow('.')  # balancers and processes end here by the dozen
    own = [a for a in p.fronts if not a.startswith('unix:')][0]
    public = box.path('public')
    os.mkdir(public)
    web = apache.Apache(box.path('apache'), apache.documented_vhost(TOP, path, public))
    operator = Operator(box, p)
    try:
        with Load(own, '/', keeping=4, new=4, pause=0.02) as direct:
            with Load(web.address, '/', keeping=32, new=32, pause=0.02) as load:
                operator.work(interleave(restart=10, reload=10, upgrade=3, kill=10), SECONDS)
    finally:
        print('\n64 clients through Apache, %d s, %r: %d requests, %d failed; 8 clients without it: %d, %d failed' % (
            SECONDS, operator.rounds, load.answered, len(load.failures), direct.answered, len(direct.failures)))
        if load.failures or direct.failures:
            print(load.failures[:5], direct.failures[:5], web.log()[-3000:])
            print('\n'.join(line for line in p.log().splitlines() if re.search(r'/balancer|killed|request ', line))[-9000:])
        web.stop()
    assert operator.rounds == {'restart': 10, 'reload': 10, 'upgrade': 3, 'kill': 10}
    assert load.answered > 1000
