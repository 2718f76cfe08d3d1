"""Smart spawning: a preloader loads the application once and is forked for each process."""
import json
import os
import re
import signal
import subprocess
import time

import pytest

from lib import client, procs
from lib.passenger import BIN
from lib.smart import fork_fails
from lib.wait import wait_until

MEGABYTES = 60
SHARED_MOST = 0.60

# Counts its loads in a file, tells of itself, and does what its path says.
APP = '''
require "json"
ROOT = File.expand_path(__dir__)
VERSION_READ = File.read(File.join(ROOT, "version")) rescue "1"
File.open(ENV["LOADS"], "a") { |f| f.puts Process.pid }
eval(File.read(File.join(ROOT, "extra.rb"))) if File.exist?(File.join(ROOT, "extra.rb"))
LOADED_BY = Process.pid
PhusionPassenger.on_event(:starting_worker_process) { |forked| $forked = forked; STDERR.puts "starting #{Process.pid} #{forked}" }
PhusionPassenger.on_event(:stopping_worker_process) { STDERR.puts "stopping #{Process.pid}" }
at_exit { STDERR.puts "at_exit #{Process.pid}" }
run lambda { |env|
  case env["PATH_INFO"]
  when "/say" then STDERR.puts "I am #{Process.pid}"
  when "/daemon"
    Process.detach(fork { Process.setsid; sleep 600 })
  end
  told = { pid: Process.pid, ppid: Process.ppid, loaded_by: LOADED_BY, forked: $forked, version: VERSION_READ,
           random: rand(1 << 60), mark: ENV["PASSENGER_PROCESS"], title: File.read("/proc/self/cmdline").delete("\\0"),
           stdin: STDIN.read(1), child: `echo from $PPID`, options: PhusionPassenger::App.options.keys }
  [200, { "content-type" => "application/json" }, [JSON.generate(told)]]
}
'''


def smart(box, processes=3, extra=None, name='ruby', ready=True, passenger=None, **options):
    loads = os.path.join(box.work, 'loads-' + name)
    root = box.rack(name, APP, **({'extra.rb': extra} if extra else {}))
    section = {'root': root, 'type': 'ruby', 'spawn_method': 'smart', 'min_instances': processes, 'env.LOADS': loads}
    section.update(options)
    sections = {'max_pool_size': max(processes, 1), 'log_level': 4}
    sections.update(passenger or {})
    p = box.start(passenger=sections, app=section, processes=processes, ready=ready)
    p.loads = lambda: open(loads).read().split() if os.path.exists(loads) else []
    p.root = root
    return p


def restart(box, p):
    link = box.path('passenger-config')
    os.path.lexists(link) or os.symlink(BIN, link)
    subprocess.run([link, 'restart-app', p.root], check=True, timeout=120, stdout=subprocess.DEVNULL,
                   env=dict(os.environ, PASSENGER_INSTANCE_REGISTRY_DIR=p.instance_dir))


def preloader(p):
    return p.group()['preloader_pid']


def pids(p):
    return [process['pid'] for process in p.processes()]


def told(p):
    """What each process says of itself, asked at its own door."""
    return [door.request('/').json() for door in p.doors() if door.state == 'enabled']


def test_processes_are_forked_and_ours(box):
    p = smart(box)
    answers = told(p)
    first = preloader(p)
    assert len({a['pid'] for a in answers}) == 3
    for answer in answers:
        assert answer['ppid'] == p.pid and answer['loaded_by'] == first != answer['pid']
        assert answer['forked'] is True and answer['stdin'] is None
        assert answer['child'] == 'from %d\n' % answer['pid']
        assert answer['title'].startswith('Passenger RubyApp: ' + p.root)
        assert 'mode' not in answer['options'] and 'prctl' not in answer['options']
        fields = procs.stat_of(answer['pid'])
        assert int(fields[2]) == int(fields[3]) == answer['pid'], 'a group and a session of its own'
    assert len({a['random'] for a in answers}) == 3 and len({a['mark'] for a in answers}) == 3
    assert [int(pid) for pid in p.loads()] == [first], 'loaded once'
    assert procs.parent(first) == p.pid
    assert len({tuple(procs.uids(pid)) for pid in pids(p) + [first]}) == 1
    assert procs.read(first, 'cmdline').startswith(b'Passenger AppPreloader: ')
    # it is none of the pool's
    assert len(p.processes()) == 3 and first not in pids(p)


def test_output_bears_the_pid_of_its_process(box):
    p = smart(box)
    for door in p.doors():
        door.request('/say')
    for pid in pids(p):
        p.wait_log(r'^App main %d output: I am %d$' % (pid, pid))
        p.wait_log(r'^App main %d output: starting %d true$' % (pid, pid))


def test_end_of_a_process(box):
    """Events and at_exit run in it, and nothing of it stays; the preloader runs none of them."""
    p = smart(box, processes=2)
    all_pids, first = pids(p), preloader(p)
    assert p.stop() == 0
    for pid in all_pids:
        assert re.search(r'^App main %d output: stopping %d$' % (pid, pid), p.log(), re.M)
        assert re.search(r'^App main %d output: at_exit %d$' % (pid, pid), p.log(), re.M)
        assert re.search(r'process %d stopped: exited with status 0' % pid, p.log())
    assert 'stopping %d' % first not in p.log() and 'at_exit %d' % first not in p.log()


def test_direct_is_as_before(box):
    p = smart(box, spawn_method='direct', processes=2)
    answers = told(p)
    assert preloader(p) is None and len(p.loads()) == 2
    assert all(a['loaded_by'] == a['pid'] and a['forked'] is False for a in answers)


def test_memory_is_shared(box):
    """As the kernel counts it: Pss, of 6 processes and their preloader against 6 that loaded by themselves."""
    data = 'KEPT = Array.new(%d) { |i| ("%%d" %% i) * 16 }\n' % (MEGABYTES * 5000)
    sums = {}
    for method in ('smart', 'direct'):
        p = smart(box, processes=6, extra=data, name=method, spawn_method=method)
        for _ in range(5):
            for door in p.doors():
                assert door.request('/').status == 200
        all_pids = pids(p) + ([preloader(p)] if method == 'smart' else [])
        assert len(all_pids) == (7 if method == 'smart' else 6)
        sums[method] = sum(procs.pss_kb(pid) for pid in all_pids)
        print('%s: %s KiB in %d processes' % (method, sums[method], len(all_pids)))
        assert sums['direct'] > 6 * MEGABYTES * 1024 * 0.8 if method == 'direct' else True
        p.stop()
    share = sums['smart'] / sums['direct']
    print('smart / direct: %.1f %%' % (100 * share))
    assert share < SHARED_MOST


def test_preloader_is_killed(box):
    """The processes live on, and the next one makes a new preloader."""
    p = smart(box, processes=2)
    before, first = pids(p), preloader(p)
    os.kill(first, signal.SIGKILL)
    p.wait_log(r'preloader %d ended: killed by signal 9' % first)
    assert preloader(p) is None and pids(p) == before
    assert [a['pid'] for a in told(p)] == before
    time.sleep(0.7)  # what it left behind is looked for meanwhile
    assert pids(p) == before
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(set(pids(p)) - {before[0]}) == 2, 10, 'a replacement')
    assert preloader(p) not in (None, first) and len(p.loads()) == 2
    assert p.group()['spawn_failures'] == 0
    p.seen.pop(before[0], None)


def test_restart_loads_new_code(box):
    p = smart(box, processes=2, passenger={'max_pool_size': 4})
    assert {a['version'] for a in told(p)} == {'1'}
    first = preloader(p)
    box.write('ruby/version', '2')
    for _ in range(3):
        assert p.get('/').json()['version'] == '1'
    # a process that comes without a restart has the code that was loaded
    victim = pids(p)[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(set(pids(p)) - {victim}) >= 2, 10, 'a replacement')
    assert {a['version'] for a in told(p)} == {'1'}
    old = set(pids(p))
    restart(box, p)

    def renewed():
        now = set(pids(p))
        return len(now) >= 2 and not now & old
    wait_until(renewed, 20, 'new processes')
    assert {a['version'] for a in told(p)} == {'2'}
    assert preloader(p) not in (None, first) and len(p.loads()) == 2
    wait_until(lambda: procs.identity(first) is None, 5, 'the old preloader to go')


def test_restart_while_the_application_is_loaded(box):
    """What is being loaded is given up: the first process has the new code."""
    extra = 'sleep 600 if VERSION_READ == "1"'
    p = smart(box, processes=1, extra=extra, ready=False)
    old = wait_until(lambda: p.status() and preloader(p), 10, 'the preloader')
    wait_until(p.loads, 10, 'the load')
    box.write('ruby/version', '2')
    restart(box, p)
    p.wait_processes(1, 15)
    assert {a['version'] for a in told(p)} == {'2'} and preloader(p) != old
    assert p.group()['spawn_failures'] == 0
    wait_until(lambda: procs.identity(old) is None, 5, 'the end of the old preloader')


def test_stop_while_the_application_is_loaded(box):
    p = smart(box, processes=1, extra='sleep 600', ready=False)
    wait_until(p.loads, 10, 'the load')
    assert p.stop() == 0


def test_idle_preloader_stops(box):
    p = smart(box, processes=1, max_preloader_idle_time='1s', passenger={'max_pool_size': 2})
    first = int(p.wait_log(r'preloader (\d+) is ready').group(1))
    wait_until(lambda: preloader(p) is None, 5, 'the preloader to stop')
    p.wait_log(r'preloader %d has been idle' % first)
    wait_until(lambda: procs.identity(first) is None, 5, 'its end')
    assert len(p.processes()) == 1
    old = pids(p)[0]
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: set(pids(p)) - {old}, 10, 'a replacement')
    assert len(p.loads()) == 2
    p.seen.pop(old, None)


def test_preloader_does_not_stop_before_it_has_made_a_process(box):
    p = smart(box, processes=1, max_preloader_idle_time='1ms')
    wait_until(lambda: preloader(p) is None, 5, 'the preloader to stop')
    assert 'made no process' not in p.log()


def test_preloader_never_idle(box):
    p = smart(box, processes=1, max_preloader_idle_time='0')
    time.sleep(2)
    assert procs.identity(preloader(p))


@pytest.mark.parametrize('extra,says', [
    ('raise ArgumentError, "no such galaxy"', r'ArgumentError: no such galaxy'),
    ('exit 3', r'the application called exit\(3\)'),
    ('Process.kill(:KILL, $$)', r'killed by signal 9'),
    ('Process.exit!(4)', r'exited with status 4'),
])
def test_application_that_can_not_be_loaded(box, extra, says):
    p = smart(box, processes=1, extra='STDERR.puts "last words"\n' + extra, ready=False)
    answer = wait_until(lambda: client.request(p.front, '/', timeout=30), 30)
    assert answer.status in (500, 502, 503)
    group = wait_until(lambda: p.group() if p.group()['spawn_failures'] else None, 10, 'the failure in status')
    failure = group['last_spawn_failure']
    assert re.search(says, failure['text']), failure
    assert failure['id'] in p.log()
    p.wait_log(r'output: last words')
    assert group['spawn_failures'] <= 3, 'tries are spaced'


def test_application_that_hangs_while_it_is_loaded(box):
    p = smart(box, processes=1, extra='sleep 600', ready=False, start_timeout='1s')
    group = wait_until(lambda: p.status() and p.group()['spawn_failures'] and p.group(), 15, 'the failure')
    assert 'start_timeout' in group['last_spawn_failure']['text']


FORK_FAILS = '''
class << Process
  def fork(*)
    raise Errno::EAGAIN, "no room for a child" if File.exist?(ENV["LOADS"] + "-nofork")
    super
  end
end
'''


def test_fork_fails(box):
    p = smart(box, processes=1, extra=FORK_FAILS, passenger={'max_pool_size': 2})
    fork_fails(p, os.path.join(box.work, 'loads-ruby-nofork'))


DIES_IN_CHILD = '''
module Dies
  def setsid
    Process.exit!(9) if File.exist?(ENV["LOADS"] + "-die")
    sleep 600 if File.exist?(ENV["LOADS"] + "-hang")
    super
  end
end
Process.singleton_class.prepend(Dies)
'''


def test_child_dies_before_its_hello(box):
    p = smart(box, processes=1, extra=DIES_IN_CHILD)
    flag = os.path.join(box.work, 'loads-ruby-die')
    open(flag, 'w').close()
    os.kill(pids(p)[0], signal.SIGKILL)
    wait_until(lambda: p.group()['last_spawn_failure'], 15, 'the failure')
    os.unlink(flag)
    p.wait_processes(1, 20)


def test_child_hangs_before_its_hello(box):
    p = smart(box, processes=1, extra=DIES_IN_CHILD, start_timeout='2s')
    flag = os.path.join(box.work, 'loads-ruby-hang')
    open(flag, 'w').close()
    os.kill(pids(p)[0], signal.SIGKILL)
    group = wait_until(lambda: p.group()['last_spawn_failure'] and p.group(), 15, 'the failure')
    assert 'within start_timeout' in group['last_spawn_failure']['text']
    os.unlink(flag)
    p.wait_processes(1, 20)
    assert p.stop() == 0


def test_preloader_that_dies_at_each_fork(box):
    """A new one each time, and after two a failure: no storm."""
    extra = FORK_FAILS.replace('raise Errno::EAGAIN, "no room for a child"', 'Process.kill(:KILL, $$)')
    p = smart(box, processes=1, extra=extra)
    flag = os.path.join(box.work, 'loads-ruby-nofork')
    open(flag, 'w').close()
    os.kill(pids(p)[0], signal.SIGKILL)
    wait_until(lambda: p.group()['last_spawn_failure'], 20, 'the failure')
    assert len(p.loads()) <= 4
    os.unlink(flag)
    p.wait_processes(1, 20)


def test_another_process_can_not_say_hello(box):
    """A hello from a process that is not the spawner's own child is not believed."""
    extra = '''
module Steals
  def setsid
    return super unless File.exist?(ENV["LOADS"] + "-steal")
    sleep 0.2
    control = ObjectSpace.each_object(BasicSocket).select { |s| !s.closed? rescue false }
    fork { control.each { |s| s.write_nonblock("HELLO\\n") rescue nil }; sleep 600 }
    sleep 600
  end
end
Process.singleton_class.prepend(Steals)
'''
    p = smart(box, processes=1, extra=extra)
    flag = os.path.join(box.work, 'loads-ruby-steal')
    open(flag, 'w').close()
    os.kill(pids(p)[0], signal.SIGKILL)
    group = wait_until(lambda: p.group()['last_spawn_failure'] and p.group(), 15, 'the failure')
    assert 'said hello for it' in group['last_spawn_failure']['text'], group['last_spawn_failure']
    os.unlink(flag)
    p.wait_processes(1, 20)


def test_balancer_dies(box):
    p = smart(box)
    before, first = pids(p), preloader(p)
    old = p.balancer
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: p.balancer not in (None, old), 10, 'a new balancer')
    assert p.get('/', timeout=20).status == 200
    assert pids(p) == before and preloader(p) == first
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(set(pids(p)) - {before[0]}) == 3, 10, 'a replacement')
    assert len(p.loads()) == 1


def test_what_a_process_leaves_behind_goes(box):
    """One that has left the group of its process is killed when that, and all of its preloader, have ended."""
    p = smart(box, processes=1)
    p.get('/daemon')
    victim = pids(p)[0]
    left = wait_until(lambda: [pid for pid in procs.descendants(victim) if pid != victim], 5, 'the daemon')
    p.stop()
    assert not [pid for pid in left if procs.identity(pid)]


def test_spawner_is_killed(box):
    """Forked processes die with it as others do."""
    p = smart(box)
    all_pids = [procs.identity(pid) for pid in pids(p) + [preloader(p)]]
    p.exit_codes = (-9,)
    os.kill(p.pid, signal.SIGKILL)
    p.wait_exit()
    wait_until(lambda: not [i for i in all_pids if procs.alive(i)], 3, 'the end of all')


def test_many_at_once(box):
    p = smart(box, processes=12)
    assert len(p.loads()) == 1 and len(set(pids(p))) == 12
    assert {a['ppid'] for a in told(p)} == {p.pid}
    assert json.dumps(p.group()['preloader_pid'])


def test_threads(box):
    p = smart(box, processes=2, thread_count=4)
    assert len(p.loads()) == 1
    assert {process['concurrency'] for process in p.processes()} == {4}
    assert all(a['forked'] for a in told(p))


def test_records_of_a_database_are_let_go(box):
    """Connections that were opened while the application was loaded are closed before each fork."""
    extra = '''
module ActiveRecord
  module VERSION; STRING = "7.1.3"; end
  class Handler
    def clear_all_connections!(role = nil) = STDERR.puts("cleared #{role.inspect} in #{Process.pid}")
  end
  class Base
    def self.connection_handler = @handler ||= Handler.new
  end
end
module Sequel
  DATABASES = [Object.new.tap { |db| def db.disconnect = STDERR.puts("sequel cleared in #{Process.pid}") }]
end
'''
    p = smart(box, processes=2, extra=extra)
    first = preloader(p)
    assert len(re.findall(r'^App main %d output: cleared :all in %d$' % (first, first), p.log(), re.M)) == 2
    assert len(re.findall(r'^App main %d output: sequel cleared in %d$' % (first, first), p.log(), re.M)) == 2


@pytest.mark.parametrize('value,first', [('off', False), ('on', True)])
def test_preload_bundler(box, value, first):
    """Bundler before everything else, the loader's own libraries included."""
    root = box.rack('ruby', 'at = ->(name) { $LOADED_FEATURES.index { |path| path.end_with?(name) } }\n'
                    'first = (at["bundler/setup.rb"] < at["/socket.rb"]).to_s\n'
                    'run ->(_) { [200, {"content-type" => "text/plain"}, [first]] }\n',
                    Gemfile="gem 'rack'\n")
    subprocess.run(['bundle', 'lock', '--local'], cwd=root, check=True, timeout=300, stdout=subprocess.DEVNULL,
                   env={'PATH': '/usr/bin:/bin', 'HOME': box.work})
    p = box.start(app={'root': root, 'type': 'ruby', 'preload_bundler': value, 'min_instances': 1})
    assert p.get('/').text == str(first).lower()
