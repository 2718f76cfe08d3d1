"""`passenger check` and `passenger runtimes`: what an application is, why, and what is missing."""
import json
import os
import re

import pytest

from lib.passenger import TOP
from test_runtimes import runtime
from lib.passenger import ini_text


def check(box, *arguments, code=0):
    done = box.run('check', '--json', *arguments)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


def one(box, *arguments, code=0):
    found = check(box, *arguments, code=code)['applications']
    assert len(found) == 1
    return found[0]


def environment(found):
    return dict(pair.split('=', 1) for pair in found['environment'])


def test_what_it_is_and_what_would_run(box):
    root = box.rack()
    box.write('ruby/package.json', '{}')
    r = one(box, root)
    assert (r['root'], r['type'], r['startup_file'], r['readiness'], r['missing']) == (root, 'ruby', 'config.ru', 'loader', [])
    assert r['candidates'] == ['ruby (weight 80): config.ru', 'node (weight 60): package.json']
    assert 'greatest weight' in r['why'] and r['runs'][0] == 'ruby' and r['runs'][1].endswith('/ruby.rb')
    assert r['path'].startswith('/') and re.match(r'ruby \d\.\d', r['version'])
    assert r['uid'] == (65534 if os.getuid() == 0 else os.getuid()) and environment(r)['RAILS_ENV'] == 'production'
    text = box.run('check', root)
    assert text.returncode == 0 and re.search(r'^  missing +nothing$', text.stdout, re.M) and '\n  type          ruby\n' in text.stdout


def test_what_serve_would_do_is_what_is_said(box):
    """The environment and the arguments of the process that serve starts are those that check has named."""
    root, command = box.program()
    path = box.write('passenger.ini', ini_text({}, {'main': {'root': root, 'command': command + ' $PORT "$WHO $PORT"',
                                                              'env.WHO': 'a b', 'app_env': 'staging'}}))
    said = one(box, '--config', path)
    assert said['runs'][2:] == ['${PORT}', '${WHO} ${PORT}'] and said['why'].startswith('command is given')
    p = box.start(app={'root': root, 'command': command + ' $PORT "$WHO $PORT"', 'env.WHO': 'a b', 'app_env': 'staging'})
    pid = p.processes()[0]['pid']
    started = dict(pair.split('=', 1) for pair in open('/proc/%d/environ' % pid).read().split('\0') if pair)
    differ = {'PORT', 'PASSENGER_PROCESS'}
    assert environment(said).keys() == started.keys()
    assert {k: v for k, v in started.items() if k not in differ} == {k: v for k, v in environment(said).items() if k not in differ}
    words = open('/proc/%d/cmdline' % pid).read().split('\0')[:-1]
    assert words[-1] == 'a b ' + words[-2] and words[-2] == started['PORT']


@pytest.mark.root
@pytest.mark.parametrize('spoil, says', [
    (lambda box: os.chmod(box.path('app', 'config.ru'), 0o600), 'config.ru can not be read by uid 65534'),
    (lambda box: os.chmod(box.path('app'), 0o700), 'can not enter the application\'s root'),
    (lambda box: box.write('app/Gemfile', 'gem "no_such_gem_at_all"\n'), 'no_such_gem_at_all'),
])
def test_what_is_missing_as_its_user_finds_it(box, spoil, says):
    box.rack('app')
    spoil(box)
    assert says in one(box, box.path('app'), code=1)['missing'][0]


def test_what_languages_lack(box):
    box.write('node/app.js', '')
    box.write('node/package.json', '{"dependencies": {"no-such-module": "1"}}')
    assert 'no-such-module' in one(box, box.path('node'), code=1)['missing'][0]
    box.write('python/wsgi.py', '')
    box.write('python/venv/bin/python', '', 0o755)
    r = one(box, box.path('python'))
    assert 'venv/bin/python uses it' in r['note'][0] and r['version'].startswith('Python 3.')
    path = box.write('passenger.ini', ini_text({'ruby': '/no/such/ruby'}, {
        'one': {'root': box.path('node'), 'type': 'python', 'wsgi_module': 'nowhere.at.all:app'},
        'two': {'root': box.rack('two'), 'host': 'two'}}))
    one_, two = check(box, '-c', path, code=1)['applications']
    assert one_['missing'] == ['there is no module nowhere'] and one_['why'] == 'type is written'
    assert '/no/such/ruby' in two['missing'][0]
    # an interpreter that is none, and one that has no --version
    box.write('py', '#!/bin/sh\necho one; echo no python here; exit 3\n', 0o755)
    path2 = box.write('other.ini', ini_text({}, {
        'one': {'root': box.path('python'), 'python': box.path('py')},
        'two': {'root': box.path('two'), 'host': 'two', 'command': 'sh -c x'}}))
    one_, two = check(box, '-c', path2, code=1)['applications']
    assert one_['missing'] == [box.path('py') + ': no python here'] and one_['version'] is None
    assert two['missing'] == [] and two['version'] is None and two['path'].endswith('/sh')
    # the folder that is asked for is that one application of the ini
    assert [a['name'] for a in check(box, '-c', path, box.path('two'), code=1)['applications']] == ['two']


def test_conflicts_and_nothing(box):
    os.mkdir(box.path('nothing'))
    assert 'looked for config.ru (ruby)' in check(box, box.path('nothing'), code=1)['error']
    runtimes = {'a': {'detect': 'x', 'command': 'a'}, 'b': {'detect': 'y x', 'command': 'b'}}
    path = box.write('passenger.ini', ini_text({}, {'main': {'root': box.path('both')}}, None, runtimes))
    box.write('both/x', '')
    done = box.run('check', '--config', path)
    assert done.returncode == 1 and 'fit the types a and b alike' in done.stderr
    assert box.run('check', '--nonsense').returncode == 2


def test_an_option_of_a_type_tells_it(box):
    box.write('web/shop/__init__.py', '')
    box.write('web/shop/wsgi.py', '')
    asked = {'root': box.path('web'), 'wsgi_module': 'shop.wsgi:application'}
    path = box.write('passenger.ini', ini_text({}, {'main': asked}))
    r = one(box, '--config', path)
    assert (r['type'], r['why'], r['missing']) == ('python', 'an option of it is given', [])
    # who has neither file nor option is told of both
    assert 'or wsgi_module = package.module:application' in check(box, box.path('web'), code=1)['error']
    path = box.write('passenger.ini', ini_text({}, {'main': {'root': box.path('web'), 'type': 'python'}}))
    assert 'or wsgi_module = package.module:application' in check(box, '--config', path, code=1)['error']


@pytest.mark.parametrize('package, missing', [
    ('{"scripts": {"start": "next start"}}', 'package.json: nothing to start at main or a script node FILE; write '),
    ('{"scripts": {"start": "node bin/www"}}', 'package.json: nothing to start at bin/www; write startup_file = FILE'),
    ('{"main": "./lib"}', None)])
def test_package_json_names_what_is_started(box, package, missing):
    box.write('node/lib/index.js', '')
    box.write('node/package.json', package)
    found = one(box, box.path('node'), code=1 if missing else 0)['missing']
    assert found[0].startswith(missing) if missing else found == []


def test_app_js_and_another_file_in_package_json(box):
    """As Express's generator writes it: app.js makes no server, bin/www does."""
    box.write('node/app.js', '')
    box.write('node/bin/www', '')
    box.write('node/package.json', '{"scripts": {"start": "node ./bin/www"}}')
    assert one(box, box.path('node'))['note'] == ['startup_file = package.json starts ./bin/www']
    box.write('node/package.json', '{"scripts": {"start": "node ./app"}}')
    assert one(box, box.path('node'))['note'] == []


def test_runtimes(box):
    path = box.write('passenger.ini', ini_text({'python': '/no/such/python'}, {}, None, {
        'textlang': runtime(box), 'missing': {'command': 'no-such-interpreter $PORT', 'detect': 'a b'}}))
    done = box.run('runtimes', '--json', '--config', path)
    assert done.returncode == 0, done.stderr
    found = {r['name']: r for r in json.loads(done.stdout)['runtimes']}
    assert list(found) == ['ruby', 'python', 'node', 'command', 'textlang', 'missing']
    assert found['ruby']['files'] == ['config.ru'] and found['ruby']['from'] == 'built in' and found['ruby']['weight'] == 80
    assert found['python']['interpreter'] == '/no/such/python' and '/no/such/python is not found, or no program' in found['python']['missing'][0]
    assert found['node']['version'].startswith('Node v') and found['node']['path'].startswith('/')
    assert found['textlang']['version'] == 'textlang 1.2.3' and re.match(re.escape(path) + r':\d+$', found['textlang']['from'])
    assert found['missing']['files'] == ['a', 'b'] and 'no-such-interpreter is not found' in found['missing']['missing'][0]
    text = box.run('runtimes')
    assert text.returncode == 0 and text.stdout.startswith('ruby\n  from          built in\n')


def test_documents_say_the_same(box):
    with open(os.path.join(TOP, 'docs', 'runtimes.md')) as f:
        said = re.sub(r'\s+', ' ', f.read())
    rule = re.search(r'The type of an application is.*?is taken\.\n', box.run('check', '--help').stdout, re.S).group()
    assert re.sub(r'\s+', ' ', rule).strip() in said
