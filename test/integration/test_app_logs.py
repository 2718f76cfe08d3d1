"""Where the output of applications goes: a log of their own, with and without the prefix, opened anew, and never
through a link that somebody else may have made."""
import os
import pwd
import re
import signal
import subprocess

import pytest

from lib.passenger import BIN
from lib.wait import wait_until

SAY = '''$stdout.sync = true
run lambda { |env| puts env["QUERY_STRING"] + " gr\\u00fc\\u00df \\e[1m"; [200, {}, ["ok"]] }
'''


def text_of(path):
    try:
        with open(path, encoding='utf-8') as f:
            return f.read()
    except FileNotFoundError:
        return ''


def said(path, word):
    return wait_until(lambda: [line for line in text_of(path).split('\n') if word in line], 5, word)[0]


def talker(box, name='talker', **options):
    return dict({'root': box.rack(name, SAY)}, **options)


def test_a_log_of_its_own(box):
    p = box.start(apps={'a': talker(box, 'a', host='a', app_log_file=box.path('work', 'a.log')),
                        'b': talker(box, 'b', host='b', app_log_file=box.path('work', 'b.log'),
                                    disable_log_prefix='on'),
                        'c': talker(box, 'c', host='c', disable_log_prefix='on')})
    for name in 'abc':
        assert p.get('/?from-' + name, host=name).status == 200
    pid = p.processes(app='a')[0]['pid']
    assert said(box.path('work', 'a.log'), 'from-a') == 'App a %d output: from-a grüß \\x1b[1m' % pid
    assert said(box.path('work', 'b.log'), 'from-b') == 'from-b grüß \x1b[1m', 'as it was written'
    assert said(p.log_path, 'from-c') == 'from-c grüß \\x1b[1m', 'a terminal that shows the main log is safe'
    assert 'from-a' not in p.log() and 'from-b' not in p.log()


@pytest.mark.parametrize('how', ['signal', 'command'])
def test_opened_anew(box, how):
    options = {'log_file': box.path('work', 'main.log'), 'access_log_format': 'common',
               'access_log': box.path('work', 'access.log'), 'slow_request_threshold': '1ms',
               'slow_request_log': box.path('work', 'slow.log')}
    p = box.start(passenger=options, app=talker(box, app_log_file=box.path('work', 'app.log')))
    names = ('main.log', 'access.log', 'app.log')
    assert p.get('/?before').status == 200
    said(box.path('work', 'app.log'), 'before')
    for name in names:
        os.rename(box.path('work', name), box.path('work', name + '.1'))
    if how == 'signal':
        p.signal(signal.SIGUSR1)
    else:
        assert box.run('reopen-logs', '--instance-dir', p.instance_dir).returncode == 0
    said(box.path('work', 'main.log'), 'opened anew')
    assert p.get('/?after').status == 200
    said(box.path('work', 'app.log'), 'after')
    # the balancer is told a moment after it was said
    wait_until(lambda: p.get('/?after').status == 200 and '/?after' in text_of(box.path('work', 'access.log')), 5)
    for name in names[::2]:
        assert '?after' not in text_of(box.path('work', name + '.1')), name
    assert p.get('/?later').status == 200
    said(box.path('work', 'access.log'), '/?later')
    assert '?later' not in text_of(box.path('work', 'access.log.1'))


def test_taken_up_by_a_reload(box):
    section = talker(box)
    p = box.start(app=section)
    pid = p.processes()[0]['pid']
    with open(box.path('passenger.ini'), 'a') as f:
        f.write('app_log_file = %s\ndisable_log_prefix = on\n' % box.path('work', 'late.log'))
    assert box.run('reload', '--instance-dir', p.instance_dir).returncode == 0
    p.get('/?now')
    assert said(box.path('work', 'late.log'), 'now').startswith('now ')
    assert p.processes()[0]['pid'] == pid


def test_relative_to_root_and_not_there(box):
    section = talker(box, app_log_file='log/passenger.log')
    p = box.start(app=section)
    p.wait_log('the log %s/log/passenger.log can not be opened: No such file' % section['root'])
    assert p.get('/?still').status == 200
    said(p.log_path, 'still')
    done = box.run('reopen-logs', '--instance-dir', p.instance_dir)
    assert done.returncode != 0 and 'log/passenger.log' in done.stderr


# --- root and others' folders -------------------------------------------------------------

@pytest.mark.root
def test_it_belongs_to_the_application(box):
    """In a folder of the application's own, and in one where only root may write."""
    www = pwd.getpwnam('www-data')
    sections = {}
    for name, folder in (('own', 'own'), ('roots', 'roots')):
        os.mkdir(box.path(folder))
        sections[name] = talker(box, 'app-' + name, host=name, user='www-data', app_log_file=box.path(folder, 'x.log'))
    os.chown(box.path('own'), www.pw_uid, www.pw_gid)
    p = box.start(apps=sections)
    for name in sections:
        p.get('/?to-' + name, host=name)
        said(box.path(name, 'x.log'), 'to-' + name)
        info = os.stat(box.path(name, 'x.log'))
        assert (info.st_uid, info.st_gid, info.st_mode & 0o777) == (www.pw_uid, www.pw_gid, 0o640), name


@pytest.mark.root
@pytest.mark.parametrize('trap', ['link', 'folder', 'second name'])
@pytest.mark.parametrize('which', ['app_log_file', 'log_file'])
def test_traps(box, trap, which):
    """What the application's user lays out in his folder leads root nowhere."""
    www = pwd.getpwnam('www-data')
    os.mkdir(box.path('secret'))
    target = box.write('secret/target.log', 'untouched\n', mode=0o600)
    os.mkdir(box.path('mine'))
    os.mkdir(box.path('mine', 'log'))
    if trap == 'link':
        os.symlink(target, box.path('mine', 'log', 'target.log'))
    elif trap == 'folder':
        os.rmdir(box.path('mine', 'log'))
        os.symlink(box.path('secret'), box.path('mine', 'log'))
    else:
        try:
            os.link(target, box.path('mine', 'log', 'target.log'))
        except OSError:
            pytest.fail('no hard link could be made')
    for path in (box.path('mine'), box.path('mine', 'log')):
        os.lchown(path, www.pw_uid, www.pw_gid)
    path = box.path('mine', 'log', 'target.log')
    if which == 'log_file':
        ini = box.write('x.ini', '[passenger]\nlog_file = %s\nlisten = 127.0.0.1:0\n[app a]\nroot = %s\n'
                        % (path, box.rack()))
        done = subprocess.run([BIN, 'serve', '--config', ini, '--instance-dir', box.path('instance')],
                              capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and re.search('symbolic link|second name', done.stderr), done.stderr
    else:
        p = box.start(app=talker(box, user='www-data', app_log_file=path))
        p.get('/?trapped')
        said(p.log_path, 'trapped')
    assert text_of(target) == 'untouched\n'


@pytest.mark.root
def test_links_of_root_are_followed(box):
    os.mkdir(box.path('real'))
    os.symlink('real', box.path('link'))
    p = box.start(passenger={'log_file': box.path('link', 'main.log')}, app=talker(box))
    assert 'serves main' in text_of(box.path('real', 'main.log'))
    assert p.get('/').status == 200
