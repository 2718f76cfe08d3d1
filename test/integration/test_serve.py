"""`passenger serve` itself: starting, stopping, being wrong."""
import os
import re
import signal
import socket
import time

import pytest

from lib import client, procs
from lib.passenger import PYTHON, ini_text
from lib.wait import in_time, wait_until


# --- exit codes and messages -------------------------------------------------

def check(box, config, *arguments):
    path = box.write('passenger.ini', config)
    return box.run('serve', '--check', '--config', path, *arguments)


def test_check_of_a_good_ini(box):
    done = check(box, ini_text({'listen': '127.0.0.1:0'}, {'main': {'root': box.rack()}}))
    assert done.returncode == 0, done
    assert not os.path.exists(box.path('instance'))


# (ini with @ROOT@, line of the fault, what the message must name)
WRONG = [
    ('[passenger]\nmax_pool_size = many\n', 2, 'max_pool_size'),
    ('[passenger]\nmax_pool_size = 0\n', 2, 'max_pool_size'),
    ('[passenger]\nmax_pol_size = 3\n', 2, 'max_pol_size'),
    ('[passenger]\nhead_timeout = 3 parsecs\n', 2, 'head_timeout'),
    ('[passenger]\nlisten = 300.0.0.1:80\n', 2, 'listen'),
    ('[passenger]\nlisten = 127.0.0.1:70000\n', 2, 'listen'),
    ('[passenger]\n\n; a comment\nlog_level = 9\n', 4, 'log_level'),
    ('[passenger]\nmax_pool_size = 2\nmax_pool_size = 3\n', 3, 'max_pool_size'),
    ('[pasenger]\nmax_pool_size = 2\n', 1, 'pasenger'),
    ('[passenger]\nthis is no option\n', 2, ''),
    ('max_pool_size = 2\n', 1, ''),
    ('[app main]\nroot = @ROOT@\nmin_instances = -1\n', 3, 'min_instances'),
    ('[app main]\nroot = @ROOT@\nhead_timeout = 1s\n', 3, 'head_timeout'),
    ('[app main]\nroot = /does/not/exist\n', None, '/does/not/exist'),
    ('[app main]\ntype = ruby\n', None, 'root'),
    ('[app main]\nroot = @ROOT@\ntype = cobol\n', None, 'cobol'),
    ('[app main]\nroot = @EMPTY@\n', None, '@EMPTY@'),
    ('[app main]\nroot = @EMPTY@\ntype = command\n', None, 'command'),
    ('[app main]\nroot = @ROOT@\ncommand = "unbalanced\n', 3, 'command'),
    ('[app main]\nroot = @ROOT@\n[listener web]\naddress = 127.0.0.1:0\napp = other\n', None, 'other'),
    ('[app main]\nroot = @ROOT@\n[listener web]\nmode = 0660\n', None, 'address'),
    ('[app main]\nroot = @ROOT@\n[listener web]\naddress = unix:/x\nmode = rw\n', 5, 'mode'),
    ('[app one]\nroot = @ROOT@\n[app two]\nroot = @ROOT@\n', None, 'two'),
    ('[passenger]\nmax_pool_size = 2 ' + 'x' * 500 + '\n', 2, 'max_pool_size'),
]


@pytest.mark.parametrize('number', range(len(WRONG)))
def test_wrong_ini(box, number):
    """File and line, the option, exit code 2, one sentence; nothing is started."""
    text, line, name = WRONG[number]
    empty = box.path('empty')
    os.mkdir(empty)
    root = box.rack()
    done = check(box, text.replace('@ROOT@', root).replace('@EMPTY@', empty))
    assert done.returncode == 2, done
    said = done.stderr + done.stdout
    assert name.replace('@EMPTY@', empty) in said, said
    if line is not None:
        assert 'passenger.ini:%d' % line in said, said
    served = box.run('serve', '--config', box.path('passenger.ini'), '--instance-dir', box.path('instance'))
    assert served.returncode == 2
    assert not procs.touching(box.path('instance'))


def test_wrong_command_line(box):
    for arguments in (['serve', '--no-such-option'], ['serve', '--listen'], ['serve', '--listen', 'nonsense', '.'],
                      ['no-such-command']):
        done = box.run(*arguments)
        assert done.returncode == 2 and (done.stderr or done.stdout), arguments


def test_missing_ini(box):
    done = box.run('serve', '--config', box.path('none.ini'))
    assert done.returncode != 0 and 'none.ini' in done.stderr


def test_help(box):
    for arguments in (['help'], ['--help'], ['serve', '--help'], ['status', '--help'], ['stop', '--help']):
        done = box.run(*arguments)
        assert done.returncode == 0 and 'passenger' in done.stdout, arguments


def test_no_application_here(box):
    empty = box.path('empty')
    os.mkdir(empty)
    done = box.run('serve', '--listen', '127.0.0.1:0', '--instance-dir', box.path('instance'), empty)
    assert done.returncode != 0 and 'empty' in done.stderr


def test_commands_without_an_instance(box):
    os.mkdir(box.path('none'))
    for command in ('status', 'stop'):
        done = box.run(command, '--instance-dir', box.path('none'))
        assert done.returncode == 1 and done.stderr.strip(), command


# --- one at a time -----------------------------------------------------------

def test_started_twice(box):
    p = box.serve('ruby')
    pid = p.processes()[0]['pid']
    doors = {d.key() for d in p.doors()}
    again = box.run(*p.command[1:])
    assert again.returncode == 3
    assert p.instance_dir in again.stderr and str(p.pid) in again.stderr
    assert p.get('/x').json()['pid'] == pid
    assert {d.key() for d in p.doors()} == doors


def test_address_in_use(box):
    p = box.serve('command')
    done = box.run('serve', '--listen', p.front, '--instance-dir', box.path('other'), box.rack())
    assert done.returncode == 1 and p.front in done.stderr
    assert p.get('/hello').status == 200


def test_stale_directory_is_taken_over(box):
    """After kill -9 of everything the next start works in the same folder, on the same unix socket."""
    front = 'unix:' + box.path('front.sock')
    first = box.start(passenger={'max_pool_size': 1}, app=box.app('ruby'), listen=front)
    first.exit_codes = (-9,)
    first.remember()
    os.kill(first.pid, 9)
    first.wait_exit()
    wait_until(lambda: not any(procs.alive(i) for i in first.seen.values()), 5, 'orphans to end')
    assert os.path.exists(box.path('front.sock'))
    second = box.start(passenger={'max_pool_size': 1}, app=box.app('ruby'), listen=front)
    assert second.get('/hello').status == 200
    assert second.processes()[0]['pid'] not in first.seen


def test_foreign_file_where_the_socket_should_be(box):
    """A file that is no socket of ours is not deleted."""
    path = box.write('front.sock', 'precious')
    done = box.run('serve', '--listen', 'unix:' + path, '--instance-dir', box.path('instance'), box.rack())
    assert done.returncode == 1 and path in done.stderr
    assert open(path).read() == 'precious'


# --- stopping ----------------------------------------------------------------

def test_sigterm_drains(box, kind):
    p, gate = box.serve(kind), box.gate()
    front = p.front
    with p.connect(20) as busy, p.connect() as idle, p.connect(20) as streaming:
        assert idle.request('GET', '/hello').status == 200
        busy.start('GET', gate.at())
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5)
        if kind == 'command':
            streaming.start('GET', '/late?n=60')
            streaming.final_head()
        p.signal(signal.SIGTERM)
        assert idle.ended()
        gate.open()
        r = busy.response()
        assert r.status == 200 and r.closes
        if kind == 'command':
            while streaming.fill():
                pass
            assert streaming.buffer.endswith(b'0\r\n\r\n')
    assert p.wait_exit() == 0
    assert client.refuses(front)


def test_no_new_connections_while_draining(box):
    p, gate = box.serve('command'), box.gate()
    with p.connect(20) as busy, p.connect() as idle:
        assert idle.request('GET', '/hello').status == 200
        busy.start('GET', gate.at())
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5)
        p.signal(signal.SIGQUIT)  # which is no other than SIGTERM and SIGINT
        wait_until(lambda: client.refuses(p.front), 5, 'the front listener to close')
        gate.open()
        assert busy.response().status == 200
    assert p.wait_exit() == 0
    assert client.refuses(p.front)


def test_who_has_connected_before_the_drain_is_served(box):
    p = box.serve('command')
    balancer = p.balancer
    with p.connect(20) as c:
        os.kill(balancer, signal.SIGSTOP)
        try:
            late = p.connect(20)
            late.start('GET', '/hello')
            p.signal(signal.SIGTERM)
            p.wait_log('SIGTERM.*stopping')
        finally:
            os.kill(balancer, signal.SIGCONT)
        with late:
            assert late.response().status == 200
        assert c.ended()
    assert p.wait_exit() == 0


def test_second_sigterm_ends_at_once(box, kind):
    p = box.serve(kind)
    with p.connect(20) as busy:
        busy.start('GET', '/sleep?ms=20000')
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5)
        p.signal(signal.SIGTERM)
        p.wait_log(r'(?i)drain|stop|term')
        assert p.child.poll() is None
        begin = time.monotonic()
        p.signal(signal.SIGTERM)
        p.exit_codes = (0, 1, 143, -15)
        p.wait_exit()
        in_time(begin, 4)


def test_shutdown_timeout(box):
    p = box.serve('command', passenger={'shutdown_timeout': '1s'}, drain_timeout='1s')
    with p.connect(20) as busy:
        busy.start('GET', '/sleep?ms=20000')
        wait_until(lambda: p.processes()[0]['sessions'] == 1, 5)
        p.exit_codes = (0, 1)
        p.signal(signal.SIGTERM)
        p.wait_exit()


def test_stop_command(box, kind):
    p = box.serve(kind)
    p.remember()
    done = box.run('stop', '--instance-dir', p.instance_dir)
    assert done.returncode == 0, done
    assert p.wait_exit() == 0


def test_stop_fires_the_ruby_hooks(box):
    marks = os.path.join(box.work, 'marks')
    p = box.start(app_dir=box.rack(text='''
        mark = ->(text) { File.open(%r, "a") { |f| f.puts(text) } }
        if defined?(PhusionPassenger)
          PhusionPassenger.on_event(:starting_worker_process) { |forked| mark.("start #{forked}") }
          PhusionPassenger.on_event(:stopping_worker_process) { mark.("stop") }
        end
        run ->(_) { [200, {}, ["ok"]] }
    ''' % marks))
    assert p.get('/').status == 200
    assert p.stop() == 0
    assert [line.split()[0] for line in open(marks)] == ['start', 'stop']


def test_processes_get_stdin_end_and_time(box):
    """Asked to stop, a process that takes a moment is not killed."""
    marks = os.path.join(box.work, 'marks')
    p = box.start(app_dir=box.rack(text='''
        at_exit { sleep 0.5; File.write(%r, "clean") }
        run ->(_) { [200, {}, ["ok"]] }
    ''' % marks))
    assert p.stop() == 0
    assert open(marks).read() == 'clean'


def test_process_that_ignores_everything_is_killed(box):
    p = box.start(app=dict(box.app('ruby'), drain_timeout='1s',
                           root=box.rack('deaf', 'trap("TERM", "IGNORE")\nat_exit { sleep 60 }\n'
                                                 'run ->(_) { [200, {}, ["ok"]] }\n')))
    p.exit_codes = (0, 1)
    p.stop()


def test_children_of_applications_are_ended_too(box):
    """A child that a process has left behind in its group does not survive passenger."""
    p = box.start(app_dir=box.rack(text='spawn("sleep", "600")\nrun ->(_) { [200, {}, ["ok"]] }\n'))
    p.remember()
    assert any(b'sleep' in procs.read(pid, 'cmdline') for pid in p.seen)


# --- readiness, systemd ------------------------------------------------------

def test_ready_line(box):
    """One line, with the addresses."""
    p = box.start(passenger={'listen': ['127.0.0.1:0', 'unix:' + box.path('f.sock')]}, app=box.app('command'), listen=None)
    lines = [line for line in p.log().splitlines() if box.path('f.sock') in line and '127.0.0.1:' in line]
    assert len(lines) == 1, p.log()
    for address in p.fronts:
        assert address.replace('unix:', '') in lines[0]


def notify_socket(box):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(os.path.join(box.work, 'notify'))
    os.chmod(os.path.join(box.work, 'notify'), 0o666)
    s.settimeout(30)
    return s


def messages_until(s, word):
    out = []
    while not any(word in m for m in out):
        out += s.recv(4096).decode().split('\n')
    return out


def test_systemd_notify(box):
    with notify_socket(box) as s:
        p = box.start(app=box.app('command'), env={'NOTIFY_SOCKET': os.path.join(box.work, 'notify')})
        messages_until(s, 'READY=1')
        seen = p.processes()[0]['pid']
        assert b'NOTIFY_SOCKET' not in procs.read(seen, 'environ')
        p.signal(signal.SIGTERM)
        messages_until(s, 'STOPPING=1')
        assert p.wait_exit() == 0


def test_systemd_notify_abstract(box):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind('\0passenger-test-%d' % os.getpid())
        s.settimeout(30)
        box.start(app=box.app('command'), env={'NOTIFY_SOCKET': '@passenger-test-%d' % os.getpid()})
        messages_until(s, 'READY=1')


ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="passenger.socket")
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_socket_activation(box):
    """LISTEN_FDS: the descriptor is the listener, and the applications hear nothing of it."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        address = '127.0.0.1:%d' % listener.getsockname()[1]
        p = box.start(app=box.app('command'), listen=address, pass_fds=(listener.fileno(),),
                      launcher=[PYTHON, '-c', ACTIVATE, str(listener.fileno())])
    assert p.fronts == [address]
    assert client.request(address, '/hello').status == 200
    assert b'LISTEN_' not in procs.read(p.processes()[0]['pid'], 'environ')


# --- applications that do not start ------------------------------------------

def broken(box, how):
    if how == 'raises':
        return {'root': box.rack('broken', 'raise "the database is not there"\n')}, 'the database is not there'
    if how == 'syntax':
        return {'root': box.rack('broken', 'run ->(_) {\n')}, 'config.ru'
    if how == 'exits':
        root, command = box.program('exits.py')
        return {'root': root, 'command': command}, 'the database is not there'
    if how == 'hangs':
        root, command = box.program('never_ready.py')
        return {'root': root, 'command': command, 'start_timeout': '1s'}, 'waiting for nothing'
    return {'root': box.path('work'), 'command': '/does/not/exist'}, '/does/not/exist'


@pytest.mark.parametrize('how', ['raises', 'syntax', 'exits', 'hangs', 'missing'])
def test_application_that_does_not_start(box, how):
    """An error page without secrets, an id found in page, log and status, and the cause in log and status."""
    section, cause = broken(box, how)
    p = box.start(passenger={'max_pool_size': 2}, processes=1,
                  apps={'broken': dict(section, host='broken'), 'good': dict(box.app('command'), host='good')})
    r = p.get('/', host='broken', timeout=30)
    assert r.status in (500, 503)
    assert cause not in r.text and box.dir not in r.text
    failure = wait_until(lambda: p.group('broken')['last_spawn_failure'], 10, 'the failure in status')
    assert failure['id'] in r.text and failure['id'] in p.log()
    p.wait_log(re.escape(cause))
    assert p.group('broken')['spawn_failures'] >= 1
    assert p.get('/hello', host='good').status == 200


def test_last_words_are_heard_after_the_end(box):
    """The spawner learns of a process's end first, as that of another one had just been told: the cause is shown all the
    same."""
    gate = os.path.join(box.work, 'gate')
    bad = box.rack('bad', 'File.write(%r, "")\nsleep 0.01 until File.exist?(%r)\nraise "the very cause"\n' % (gate + '.begun', gate))
    p = box.start(apps={'bad': {'root': bad, 'host': 'bad', 'spawn_method': 'direct', 'min_instances': 0},
                        'good': dict(box.app('command'), host='good')}, processes=1)
    victim = p.processes()[0]['pid']
    with p.connect() as c:
        c.start('GET', '/', host='bad')
        wait_until(lambda: os.path.exists(gate + '.begun'), 10, 'the load')
        failing = [pid for pid in procs.descendants(p.pid) if procs.cwd(pid) == bad][0]
        p.signal(signal.SIGSTOP)
        try:
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: procs.identity(victim) is None, 10, 'an end')
            open(gate, 'w').close()
            wait_until(lambda: procs.identity(failing) is None, 10, 'the other end')
        finally:
            p.signal(signal.SIGCONT)
        assert c.response().status == 500
    assert 'the very cause' in p.group('bad')['last_spawn_failure']['text']


def test_error_page_of_development(box):
    p = box.start(app={'root': box.rack('broken', 'raise "<b>cause</b> of it"\n'), 'app_env': 'development',
                       'env.DATABASE_PASSWORD': 'hunter2'}, processes=0)
    page = p.get('/', headers={'Accept': 'text/html,*/*;q=0.1'}, timeout=30)
    assert page.header('content-type').startswith('text/html') and '<b>cause' not in page.text
    plain = p.get('/', timeout=30)
    assert plain.header('content-type').startswith('text/plain')
    for r in page, plain:
        assert r.status in (500, 503) and 'cause' in r.text and 'hunter2' not in r.text


def test_failing_application_backs_off(box):
    """No spawn storm: the attempts are counted by the application itself."""
    marks = os.path.join(box.work, 'attempts')
    p = box.start(app={'root': box.rack('broken', 'File.write(%r, "x", mode: "a")\nraise "no"\n' % marks)}, processes=0)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert p.get('/', timeout=30).status in (500, 503)
        time.sleep(0.05)
    assert 1 <= os.path.getsize(marks) <= 5
    assert p.group()['next_spawn_in_ms'] > 0


def test_application_recovers(box):
    flag = os.path.join(box.work, 'good')
    p = box.start(app={'root': box.rack('app', 'raise "not yet" unless File.exist?(%r)\n'
                                               'run ->(_) { [200, {}, ["ok"]] }\n' % flag)}, processes=0)
    assert p.get('/', timeout=30).status in (500, 503)
    open(flag, 'w').close()
    wait_until(lambda: p.get('/', timeout=30).status == 200, 20, 'the application to recover')
    assert p.group()['last_spawn_failure'] is None


# --- users -------------------------------------------------------------------

@pytest.mark.root
def test_users_of_applications(box, kind):
    """The startup file's owner; default_user when that is root; the user option before both."""
    import pwd
    www, nobody = pwd.getpwnam('www-data'), pwd.getpwnam('nobody')

    def owned(name, uid):
        section = box.app(kind, name=name)
        os.chown(section['root'], uid, -1)
        if kind == 'ruby':
            os.chown(os.path.join(section['root'], 'config.ru'), uid, -1)
        return dict(section, host=name)
    p = box.start(passenger={'max_pool_size': 3}, processes=3, apps={
        'roots': owned('roots', 0), 'owned': owned('owned', www.pw_uid),
        'told': dict(owned('told', 0), user='www-data', group='nogroup')})
    want = {'roots': nobody.pw_uid, 'owned': www.pw_uid, 'told': www.pw_uid}
    for name, uid in want.items():
        pid = p.processes(app=name)[0]['pid']
        assert procs.uids(pid) == [uid] * 4, name
        assert '0' not in (procs.status_field(pid, 'Groups') or '').split()
        environ = p.get('/x', host=name).json()['environ']
        assert environ['USER'] == pwd.getpwuid(uid).pw_name and environ['HOME'] == pwd.getpwuid(uid).pw_dir


def test_environment_of_applications(box, kind):
    p = box.start(app=dict(box.app(kind), **{'env.ONE': 'a = b ; c', 'env.EMPTY': '', 'app_env': 'staging'}),
                  env={'AWS_SECRET_ACCESS_KEY': 'not-for-apps'})
    environ = p.get('/x').json()['environ']
    assert environ['PASSENGER_APP_ENV'] == 'staging' and environ['EMPTY'] == ''
    assert environ['ONE'] == 'a = b ; c'
    if kind == 'ruby':
        assert environ['RACK_ENV'] == environ['RAILS_ENV'] == 'staging'
    assert not any('instance' in v and 'control' in v for v in environ.values())


def test_working_directory_is_the_root(box, kind):
    p = box.serve(kind)
    pid = p.processes()[0]['pid']
    assert os.readlink('/proc/%d/cwd' % pid) == box.path(kind)
