"""What an application process runs with: user, group, variables, login shell, limits."""
import os
import pwd
import resource
import subprocess

import pytest

from lib import procs
from lib.wait import wait_until


def environ(p, **how):
    return p.get('/x', **how).json()['environ']


def limits(pid):
    """{name: (soft, hard)} of /proc/PID/limits."""
    out = {}
    for line in open('/proc/%d/limits' % pid).read().splitlines()[1:]:
        out[line[:26].strip()] = tuple(line[26:].split()[:2])
    return out


def variable(pid, name):
    with open('/proc/%d/environ' % pid, encoding='utf-8') as f:
        return dict(word.partition('=')[::2] for word in f.read().split('\0'))[name]


def failure(p, app='main'):
    return wait_until(lambda: p.group(app)['last_spawn_failure'], 10, 'a failed start')


# --- variables -----------------------------------------------------------------

def test_variables_that_the_original_gives(box, kind):
    p = box.start(app=box.app(kind, base_uri='/sub', app_env='staging'))
    seen = p.get('/sub/x').json()['environ']
    for name in ('RAILS_ENV', 'RACK_ENV', 'WSGI_ENV', 'NODE_ENV', 'PASSENGER_APP_ENV'):
        assert seen[name] == 'staging', name
    for name in ('RAILS_RELATIVE_URL_ROOT', 'RACK_BASE_URI', 'PASSENGER_BASE_URI'):
        assert seen[name] == '/sub', name
    assert seen['IN_PASSENGER'] == '1' and seen['PYTHONUNBUFFERED'] == '1'
    assert seen['PWD'] == box.path(kind)
    assert ('PORT' in seen) == (kind == 'command')


def test_env_file(box, kind):
    section = box.app(kind, env_file='settings.env', **{'env.BOTH': 'ini'})
    box.write(kind + '/settings.env', '# a comment\n\nPLAIN=a = b # c\nexport EXPORTED=yes\r\nBOTH=file\n'
              'SINGLE=\'$HOME "x\'\nDOUBLE="a \\"b\\" \\$c\\nd"\nEMPTY=\nRAILS_ENV=file\nPASSENGER_PROCESS=none\nPORT=1')
    p = box.start(app=section)
    seen = environ(p)
    assert (seen['PLAIN'], seen['EXPORTED'], seen['BOTH'], seen['EMPTY']) == ('a = b # c', 'yes', 'ini', '')
    assert (seen['SINGLE'], seen['DOUBLE']) == ('$HOME "x', 'a "b" $c\nd')
    assert seen['RAILS_ENV'] == 'file' and seen['PASSENGER_PROCESS'] != 'none'
    assert (seen['PORT'] == '1') == (kind == 'ruby'), 'a program has the port that it was given'


@pytest.mark.parametrize('text, said', [
    ('GOOD=1\nsecret with no sign\n', 'env_file settings.env:2: expected NAME=value'),
    ('1X=secret\n', 'settings.env:1: '),
    ('OPEN="secret\n', 'settings.env:1: '),
    ('X=' + 'secret' * 12000, 'longer than 64 KiB'),
    ('A=secret\0B=1\n', 'no text'),
    (None, 'No such file'),
])
def test_env_file_that_is_wrong(box, text, said):
    section = box.app('ruby', env_file='settings.env')
    if text is not None:
        box.write('ruby/settings.env', text)
    p = box.start(app=section, processes=0)
    shown = failure(p)
    assert said in shown['text']
    assert 'secret' not in p.log() + str(p.status())


@pytest.mark.root
def test_env_file_is_read_as_the_user(box):
    section = box.app('ruby', env_file='settings.env', user='www-data')
    box.write('ruby/settings.env', 'A=1\n', mode=0o600)
    p = box.start(app=section, processes=0)
    assert 'Permission denied' in failure(p)['text']


# --- the login shell --------------------------------------------------------------

@pytest.mark.root
@pytest.mark.parametrize('user, profile', [('root', '.bash_profile'), ('54321', '.profile')])
def test_load_shell_envvars(box, kind, user, profile):
    """root has bash; a number without an account has /bin/sh."""
    home = box.path('home')
    box.write('home/' + profile, 'export FROM_SHELL="it was read" RAILS_ENV=shell KEPT=shell PATH=/of/shell:$PATH\n'
              'echo said by the shell\ncd /\n')
    options = {'user': user, 'group': user, 'load_shell_envvars': 'on', 'env_file': 'more.env',
               'env.HOME': home, 'env.KEPT': 'ini'}
    section = box.app(kind, **options)
    box.write(kind + '/more.env', 'FROM_FILE=$X\n')
    p = box.start(app=section)
    seen = environ(p)
    assert seen['FROM_SHELL'] == 'it was read' and seen['PATH'].startswith('/of/shell:')
    assert (seen['RAILS_ENV'], seen['KEPT'], seen['FROM_FILE']) == ('production', 'ini', '$X')
    pid = p.processes()[0]['pid']
    assert os.readlink('/proc/%d/cwd' % pid) == box.path(kind)
    assert 'said by the shell' in p.log()
    # nothing of passenger's own is left open in the application
    fds = {int(fd): os.readlink('/proc/%d/fd/%s' % (pid, fd)) for fd in os.listdir('/proc/%d/fd' % pid)}
    assert not any('passenger' in target for target in fds.values()), fds


def test_no_login_shell_by_default(box):
    box.write('home/.bash_profile', 'export FROM_SHELL=1\n')
    p = box.start(app=box.app('ruby', **{'env.HOME': box.path('home')}))
    assert 'FROM_SHELL' not in environ(p)


@pytest.mark.root
def test_a_shell_that_does_not_end(box):
    box.write('home/.bash_profile', 'sleep 1000\n')
    p = box.start(app=box.app('ruby', user='root', load_shell_envvars='on', start_timeout='700ms',
                              **{'env.HOME': box.path('home')}), processes=0)
    assert 'login shell' in failure(p)['text']


def test_an_option_of_the_original_that_is_left_out(box):
    ini = box.write('x.ini', '[passenger]\nPassengerTurbocaching = on\n[app a]\nroot = %s\n' % box.rack())
    done = box.run('serve', '--config', ini, '--check')
    assert done.returncode == 2 and 'x.ini:2: PassengerTurbocaching = on: ' in done.stderr
    assert 'docs/refusals.md' in done.stderr


# --- users and groups -----------------------------------------------------------------

@pytest.mark.root
def test_group_of_the_startup_file(box):
    section = box.app('ruby', user='www-data', group='!STARTUP_FILE!')
    os.chown(os.path.join(section['root'], 'config.ru'), 0, 60)
    p = box.start(app=section)
    pid = p.processes()[0]['pid']
    assert procs.uids(pid) == [pwd.getpwnam('www-data').pw_uid] * 4
    assert procs.status_field(pid, 'Gid').split() == ['60'] * 4


@pytest.mark.root
def test_user_switching_off(box):
    section = box.app('ruby')
    os.chown(os.path.join(section['root'], 'config.ru'), 33, 33)
    p = box.start(passenger={'user_switching': 'off', 'default_user': 'games'}, app=section)
    assert procs.uids(p.processes()[0]['pid']) == [pwd.getpwnam('games').pw_uid] * 4
    wrong = box.write('wrong.ini', '[passenger]\nuser_switching = off\n[app a]\nroot = %s\nuser = games\n'
                      % section['root'])
    done = box.run('serve', '--config', wrong, '--check')
    assert done.returncode == 2 and 'wrong.ini:5: user: ' in done.stderr


# --- limits ------------------------------------------------------------------------

def test_limits_of_a_process(box, kind):
    p = box.start(app=box.app(kind, app_file_descriptor_ulimit=333, rlimits='core=5m as=2g:3g stack=4m:64m'))
    seen = limits(p.processes()[0]['pid'])
    assert seen['Max open files'] == ('333', '333')
    assert seen['Max core file size'] == (str(5 << 20),) * 2
    assert seen['Max address space'] == (str(2 << 30), str(3 << 30))
    assert seen['Max stack size'] == (str(4 << 20), str(64 << 20))


def test_limits_without_options(box):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    p = box.start(app=box.app('ruby'))
    seen = limits(p.processes()[0]['pid'])
    assert seen['Max open files'] == (str(soft), str(hard)) and seen['Max core file size'][0] == '0'


@pytest.mark.parametrize('text', ['core', 'core=', 'nope=1', 'as=2x', 'nproc=2g', 'core=0 core=1', 'as=2g:1g', 'cpu=-1'])
def test_limits_that_are_wrong(box, text):
    ini = box.write('wrong.ini', '[app a]\nroot = %s\nrlimits = %s\n' % (box.rack(), text))
    done = box.run('serve', '--config', ini, '--check')
    assert done.returncode == 2 and 'wrong.ini:3: rlimits = ' + text in done.stderr and 'nofile' in done.stderr


def test_a_limit_that_cannot_be_kept(box):
    p = box.start(app=box.app('ruby', rlimits='nofile=99999999999'), processes=0)
    assert 'can not set the limit nofile' in failure(p)['text']


# --- addresses ---------------------------------------------------------------------------

@pytest.mark.root
@pytest.mark.parametrize('nproc', (0, 2))
def test_a_limit_of_processes_that_is_too_low(box, nproc):
    """The program can not be executed; or the preloader is there, but can not be forked: both are said."""
    user = 4000000 + os.getpid()
    if nproc == 0:
        box.others.append(subprocess.Popen(['sleep', '600'], user=user))
    p = box.start(app=box.app('ruby', user=user, group=user, rlimits='nproc=%d' % nproc, start_timeout='3s'),
                  processes=0)
    assert 'rlimits (nproc)' in failure(p)['text']


def test_port_range(box):
    p = box.start(passenger={'min_port_range': 41100, 'max_port_range': 41199, 'max_pool_size': 3}, processes=3,
                  app=box.app('command', min_instances=3))
    ports = {int(variable(process['pid'], 'PORT')) for process in p.processes()}
    assert len(ports) == 3 and all(41100 <= port <= 41199 for port in ports)
    ini = box.write('x.ini', '[passenger]\nmin_port_range = 10\nmax_port_range = 9\n[app a]\nroot = %s\n' % box.rack())
    assert 'x.ini:2: min_port_range' in box.run('serve', '--config', ini, '--check').stderr


def test_address_of_the_doors(box, kind):
    p = box.serve(kind, passenger={'direct_instance_request_address': '127.0.0.2'})
    door = p.doors()[0]
    assert door.url.startswith('http://127.0.0.2:') and door.request('/hello').status == 200
    assert 'URL     : %s\n' % door.url in p.text('--verbose')
    assert 'tcp://127.0.0.2:' in p.text('--verbose', '--format', 'xml')
