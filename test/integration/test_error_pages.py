"""What a person, a browser and a program get when passenger answers instead of an application."""
import json
import os
import re
import signal

import pytest

from lib.wait import wait_until

BROWSER = {'Accept': 'text/html,application/json;q=0.9,*/*;q=0.8'}
PROGRAM = {'Accept': 'application/json'}
CUSTOM = ('<!DOCTYPE html><style>h1{color:red}</style><h1>{{status}} {{reason}}</h1>{{message}}|{{error_id}}|'
          '{{request_id}}|{{unknown}}|{{')


def broken(box, name='broken', **options):
    box.rack(name, '$stderr.puts "<b>last words</b>"\nraise "no <script>alert(1)</script> today"\n')
    return dict({'root': box.path(name)}, **options)


def failure_id(p, app='main'):
    return wait_until(lambda: p.group(app)['last_spawn_failure'], 10, 'a failed start')['id']


def test_plain_by_default(box):
    p = box.start(app=broken(box, **{'env.SECRET': 'abcdef'}), processes=0)
    for headers, kind in ((BROWSER, 'text/html'), (PROGRAM, 'application/json'), ({}, 'text/plain')):
        answer = p.get('/', headers=headers)
        assert answer.status == 500 and answer.header('Content-Type').startswith(kind)
        found = re.search(r'\b[0-9a-f]{8}\b', answer.text).group()
        assert re.search('error %s.*It failed at loading the application. The process exited with status 1.' % found,
                         p.log()), 'the log says more'
        for word in ('last words', 'script', box.dir, 'SECRET', 'abcdef'):
            assert word not in answer.text, word


def test_all_of_it_in_development(box):
    section = broken(box, app_env='development', env_file='x.env', rlimits='stack=4m:64m', **{'env.SECRET': 'abcdef'})
    box.write('broken/x.env', 'TOKEN=ghijkl\n')
    p = box.start(app=section, processes=0)
    page = p.get('/', headers=BROWSER)
    assert page.status == 500
    assert 'It failed at loading the application' in page.text and 'exited with status 1' in page.text
    assert '&lt;b&gt;last words&lt;/b&gt;' in page.text and 'no &lt;script&gt;' in page.text
    assert '<script' not in page.text and '<b>' not in page.text
    for title in ('Application', 'User', 'Program', 'Limits', 'Environment'):
        assert '<h2>' + title in page.text, title
    assert 'stack = 4194304, 67108864' in page.text
    assert re.search(r'^RAILS_ENV=development$', page.text, re.M) and re.search(r'^SECRET \(', page.text, re.M)
    assert 'abcdef' not in page.text and 'ghijkl' not in page.text
    answer = p.get('/', headers=PROGRAM).json()
    shown = p.group()['last_spawn_failure']
    assert answer['error_id'] == shown['id'] and 'error ' + shown['id'] in p.log()
    assert '== Environment\n' in answer['report'] and 'abcdef' not in json.dumps(answer)


def test_command_and_signal_in_words(box):
    section = {'root': box.rack('app', ''), 'command': "sh -c 'kill -9 $$' $PORT", 'friendly_error_pages': 'on'}
    p = box.start(app=section, processes=0)
    page = p.get('/').text
    assert '\nsh -c kill -9 $$ ${PORT}\n' in page and 'the process was killed by signal 9' in page
    assert not re.search('[\0-\x09\x0b-\x1f]', page)


def test_reason_in_any_language(box):
    """As it was said, and harmless wherever it is shown."""
    box.write('app/wsgi.py', 'raise ValueError("ключ – né \\x1b[31m")\n')
    p = box.start(app={'root': box.path('app'), 'friendly_error_pages': 'on'}, processes=0)
    assert 'ValueError: ключ – né' in p.get('/', headers=BROWSER).body.decode()
    assert 'ValueError: ключ – né' in p.group()['last_spawn_failure']['text']
    shown = p.text()
    assert 'ValueError: ключ – né' in shown and '\x1b' not in shown and '\x1b' not in p.log()


def test_off_in_development_and_on_in_production(box):
    p = box.start(apps={'off': broken(box, 'one', host='off', app_env='development', friendly_error_pages='off'),
                        'on': broken(box, 'two', host='on', friendly_error_pages='on')}, processes=0)
    failure_id(p, 'off'), failure_id(p, 'on')
    assert 'last words' not in p.get('/', host='off').text
    assert 'last words' in p.get('/', host='on').text and '== User' in p.get('/', host='on').text


@pytest.mark.parametrize('kind, step', [
    ('exec', "becoming the application's user and program"), ('hang', 'loading the application'),
    ('silent', 'listening on 127.0.0.1, port $PORT')])
def test_the_step_is_named(box, kind, step):
    section = {'root': box.rack('app', 'sleep' if kind == 'hang' else ''), 'start_timeout': '600ms',
               'friendly_error_pages': 'on'}
    if kind != 'hang':
        section.update(type='command', command='/no/such/program' if kind == 'exec' else '/bin/sleep 1000')
    p = box.start(app=section, processes=0)
    answer = p.get('/', headers=PROGRAM).json()
    assert 'It failed at %s.' % step in answer['message'] and answer['error_id'] == failure_id(p)


def test_status_of_a_failed_start(box):
    p = box.start(app=broken(box, spawn_exception_status_code=503), processes=0)
    assert p.get('/').status == 503


def test_custom_error_page(box):
    section = broken(box, custom_error_page='public/sorry.html')
    box.write('broken/public/sorry.html', CUSTOM)
    p = box.start(app=section, processes=0)
    answer = p.get('/', headers=dict(BROWSER, **{'X-Request-Id': 'my-id'}))
    assert answer.status == 500 and answer.header('Content-Type') == 'text/html; charset=utf-8'
    shown = failure_id(p)
    assert answer.text.startswith('<!DOCTYPE html><style>h1{color:red}</style><h1>500 Internal Server Error</h1>')
    assert answer.text.endswith('|%s|my-id|{{unknown}}|{{' % shown) and 'last words' not in answer.text
    assert p.get('/', headers=PROGRAM).json()['status'] == 500
    # it is read anew at a reload
    box.write('broken/public/sorry.html', 'another one')
    assert box.run('reload', '--instance-dir', p.instance_dir).returncode == 0
    wait_until(lambda: p.get('/', headers=BROWSER).text == 'another one', 5, 'the new page')


def test_custom_error_page_after_a_balancers_death(box):
    section = broken(box, custom_error_page='sorry.html')
    box.write('broken/sorry.html', 'sorry {{status}}')
    p = box.start(app=section, processes=0)
    first = p.balancer
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: p.balancer not in (None, first), 10, 'a new balancer')
    assert p.get('/', headers=BROWSER, timeout=30).text == 'sorry 500'


@pytest.mark.parametrize('what, said', [('missing', 'No such file'), ('long', 'longer than 64 KiB'),
                                        ('folder', 'Is a directory')])
def test_custom_error_page_that_is_wrong(box, what, said):
    section = broken(box, custom_error_page='sorry.html')
    if what == 'long':
        box.write('broken/sorry.html', 'x' * 70000)
    elif what == 'folder':
        os.mkdir(box.path('broken', 'sorry.html'))
    p = box.start(app=section, processes=0)
    p.wait_log('custom_error_page sorry.html can not be used: .*' + said)
    assert '500 Internal Server Error' in p.get('/', headers=BROWSER).text


@pytest.mark.root
def test_custom_error_page_is_read_as_the_user(box):
    secret = box.write('secret', 'of root', mode=0o600)
    section = broken(box, custom_error_page='sorry.html', user='www-data')
    os.symlink(secret, box.path('broken', 'sorry.html'))
    p = box.start(app=section, processes=0)
    p.wait_log('sorry.html can not be used: Permission denied')
    assert 'of root' not in p.get('/', headers=BROWSER).text
