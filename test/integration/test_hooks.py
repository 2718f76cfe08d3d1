"""Programs that are run when something happens to an application: with their arguments and variables, as the right
user, and without holding anything up."""
import os
import pwd
import signal
import time

import pytest

from lib.wait import in_time, wait_until


def hook(box, name='hook', then=''):
    """A program that writes its arguments and variables to a file of its own; (command, look)."""
    folder = box.path('seen-' + name)
    os.mkdir(folder)
    os.chmod(folder, 0o777)
    path = box.write(name + '.sh', '#!/bin/sh\numask 0\n{ for a in "$@"; do echo "arg=$a"; done; id -u; env; } '
                     '> %s/$$.new\nmv %s/$$.new %s/$$.done\necho said by the hook\n%s\n' % (folder, folder, folder, then),
                     mode=0o755)

    def look(count=1):
        def files():
            found = sorted((f for f in os.scandir(folder) if f.name.endswith('.done')), key=lambda f: f.stat().st_mtime_ns)
            return found if len(found) >= count else None
        found = wait_until(files, 10, '%d calls of %s' % (count, name))
        return [dict(line.partition('=')[::2] for line in open(f.path).read().splitlines()) for f in found]
    return path, look


def test_attached_and_detached(box):
    first, attached = hook(box, 'first')
    second, detached = hook(box, 'second')
    p = box.start(app=box.app('ruby', hook_attached_process=first + ' "two words" \'$HOME\'', hook_detached_process=second))
    pid = p.processes()[0]['pid']
    seen = attached()[0]
    assert seen['PASSENGER_HOOK_NAME'] == 'attached_process' and seen['PASSENGER_PROCESS_PID'] == str(pid)
    assert seen['PASSENGER_APP_ROOT'] == box.path('ruby') and seen['PASSENGER_APP_NAME'] == 'main'
    assert seen['PASSENGER_APP_GROUP_NAME'] == box.path('ruby') + ' (production)'
    assert seen['arg'] == '$HOME', 'no shell has read it'
    assert p.doors()[0].password not in str(seen)
    p.wait_log('said by the hook')
    os.kill(pid, signal.SIGKILL)
    seen = detached()[0]
    assert (seen['PASSENGER_HOOK_NAME'], seen['PASSENGER_PROCESS_PID']) == ('detached_process', str(pid))
    assert seen['PASSENGER_PROCESS_END'] == 'killed by signal 9 (Killed)'
    attached(2)
    p.stop()
    assert len(detached(2)) == 2, 'that of the stop too'


def test_spawn_failed(box):
    program, look = hook(box)
    box.rack('bad', 'raise "not \\e[1m today"')
    p = box.start(passenger={'hook_spawn_failed': program}, app={'root': box.path('bad'), 'min_instances': 2}, processes=0)
    seen = look()[0]
    failure = wait_until(lambda: p.group()['last_spawn_failure'], 5, 'the failure')
    assert seen['PASSENGER_HOOK_NAME'] == 'spawn_failed' and seen['PASSENGER_ERROR_ID'] == failure['id']
    assert seen['PASSENGER_ERROR_MESSAGE'] and seen['PASSENGER_ERROR_MESSAGE'] in failure['text']
    assert 'error ' + failure['id'] in p.log()
    # both were to come of one preloader
    assert len({one['PASSENGER_ERROR_ID'] for one in look(3)}) >= 3
    assert p.log().count('error ' + failure['id']) == 1


def test_queue_full_is_told_once_a_second(box):
    program, look = hook(box)
    p = box.start(passenger={'max_pool_size': 1},
                  app=box.app('ruby', max_request_queue_size=1, hook_queue_full=program))
    gate = box.gate()
    held = p.hold(1, gate.at())
    wait_until(lambda: p.processes()[0]['sessions'] == 1, 5, 'the process to be busy')
    held += p.hold(1, '/hello')
    wait_until(lambda: p.group()['queued'] == 1, 5, 'the queue to be full')
    began = time.monotonic()
    assert [p.get('/refused?%d' % i).status for i in range(5)] == [503] * 5
    seconds = time.monotonic() - began
    seen = look()
    assert len(seen) <= 1 + seconds and seen[0]['PASSENGER_REQUEST_PATH'].startswith('/refused')
    assert seen[0]['PASSENGER_REQUEST_HOST'] == 'localhost'
    assert seen[0]['PASSENGER_HOOK_NAME'] == 'queue_full_error'
    gate.open()
    for c in held:
        assert c.response().status == 200
        c.close()


def test_max_request_time_reached(box):
    program, look = hook(box)
    p = box.start(app=box.app('ruby', max_request_time='400ms', hook_max_request_time_reached=program))
    pid = p.processes()[0]['pid']
    assert p.get('/sleep?ms=20000', host='shop.example:81', timeout=15).status >= 500
    seen = look()[0]
    assert seen['PASSENGER_REQUEST_HOST'] == 'shop.example:81'
    assert seen['PASSENGER_HOOK_NAME'] == 'max_request_time_reached'
    assert seen['PASSENGER_PROCESS_PID'] == seen['PASSENGER_APP_ID'] == str(pid)
    assert seen['PASSENGER_REQUEST_PATH'] == '/sleep?ms=20000'


def test_so_many_at_once(box):
    """Eight run, the others wait their turn, and each is run."""
    folder = box.path('at-once')
    os.mkdir(folder)
    os.chmod(folder, 0o777)
    program, look = hook(box, then='touch {0}/$$; ls {0} | wc -l >> {0}.most; sleep 0.3; rm {0}/$$'.format(folder))
    box.write('at-once.most', '', mode=0o666)
    p = box.start(passenger={'max_pool_size': 12}, processes=12,
                  app=box.app('ruby', min_instances=12, hook_attached_process=program))
    pids = {seen['PASSENGER_PROCESS_PID'] for seen in look(12)}
    assert pids == {str(process['pid']) for process in p.processes()}
    with open(box.path('at-once.most'), encoding='utf-8') as f:
        most = max(int(line) for line in f)
    assert 2 <= most <= 8


@pytest.mark.slow
def test_one_that_hangs_holds_nothing_up(box):
    program, look = hook(box, then='trap "" TERM; exec sleep 1000')
    p = box.start(app=box.app('ruby', hook_attached_process=program))
    look()
    assert p.get('/hello').status == 200
    begun = time.monotonic()
    assert p.stop() == 0
    in_time(begun, 8)  # it has some seconds at the end, and no more
    assert 'has not ended within' in p.log()


@pytest.mark.parametrize('command, said', [
    ('/no/such/program', "can not execute '/no/such/program'"),
    ('/bin/false', 'hook attached_process of application main: the program exited with status 1'),
])
def test_one_that_fails(box, command, said):
    p = box.start(app=box.app('ruby', hook_attached_process=command))
    p.wait_log(said)
    assert p.get('/hello').status == 200


def test_a_wrong_line_is_refused(box):
    ini = box.write('x.ini', '[app a]\nroot = %s\nhook_attached_process = /bin/x "open\n' % box.rack())
    done = box.run('serve', '--config', ini, '--check')
    assert done.returncode == 2 and 'x.ini:3: hook_attached_process' in done.stderr


@pytest.mark.root
def test_whose_rights_it_has(box):
    """The application's, unless hook_user says otherwise; root's only in so many words."""
    www, games = pwd.getpwnam('www-data'), pwd.getpwnam('games')
    for number, (passenger, uid) in enumerate(((dict(), www.pw_uid), ({'hook_user': 'games'}, games.pw_uid),
                                               ({'hook_user': 'root'}, 0))):
        program, look = hook(box, 'hook%d' % number)
        p = box.start(passenger=passenger, app=box.app('ruby', name='app%d' % number, user='www-data',
                                                       hook_attached_process=program), instance='i%d' % number)
        seen = look()[0]
        assert str(uid) in seen and seen['USER'] == pwd.getpwuid(uid).pw_name
        p.stop()
    ini = box.write('x.ini', '[passenger]\nhook_user = 0\n[app a]\nroot = %s\n' % box.rack())
    assert 'hook_user = root' in box.run('serve', '--config', ini, '--check').stderr
