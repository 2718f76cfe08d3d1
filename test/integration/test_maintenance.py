"""passenger maintenance: 503 for everybody but who comes by a door; processes stay; it outlives a balancer."""
import os
import signal

from lib.load import Load
from lib.wait import wait_until
from test_restart import VERSION, deploy, pids


def maintenance(box, p, *arguments):
    return box.run('maintenance', '--instance-dir', p.instance_dir, *arguments)


def start(box):
    deploy(box, VERSION % 'one')
    return box.start(apps={'main': {'root': box.path('ruby'), 'type': 'ruby', 'host': 'main.test'},
                           'other': {'root': box.path('ruby'), 'type': 'ruby', 'host': 'other.test'}},
                     passenger={'max_pool_size': 4})


def test_on_and_off(box):
    p = start(box)
    before = pids(p)
    done = maintenance(box, p, 'main', 'on')
    assert done.returncode == 0 and 'maintenance on' in done.stdout, done
    answer = p.get('/x', 'POST', host='main.test', body=b'abc')
    assert answer.status == 503 and 'maintenance' in answer.text and answer.header('Retry-After') == '60', answer
    assert p.get(host='other.test').status == 200
    assert all(door.request('/').status == 200 for door in p.doors('main'))
    assert p.group()['maintenance'] and not p.group('other')['maintenance']
    assert 'maintenance' in p.text() and 'App name: main' in p.text()
    # with a page of one's own; HEAD has none; it outlives a balancer and a reload
    page = box.write('page.html', '<h1>Back at noon</h1>' + ' ' * 60000)
    assert maintenance(box, p, p.group()['root'], 'on', '--page', page).returncode == 0
    os.kill(p.balancer, signal.SIGKILL)
    wait_until(lambda: (p.status() or {}).get('balancer', {}).get('state') == 'serving', 10, 'a balancer')
    assert box.run('reload', '--instance-dir', p.instance_dir).returncode == 0
    for host in ('main.test', 'other.test'):  # both have that root
        answer = p.get(host=host)
        assert answer.status == 503 and answer.text.startswith('<h1>Back at noon</h1>'), answer
        assert answer.header('Content-Type').startswith('text/html')
        assert p.get(method='HEAD', host=host).status == 503
    assert maintenance(box, p, '--name', 'main', 'off').returncode == 0
    with Load(p.front, host='main.test'):
        assert p.get(host='other.test').status == 503
        assert maintenance(box, p, 'other', 'off').returncode == 0
    assert p.get(host='other.test').status == 200
    assert before <= pids(p)


def test_wrong_usage(box):
    p = start(box)
    for words in (['main'], ['on'], ['main', 'perhaps'], ['main', 'on', '--name', 'main'],
                  ['main', 'off', '--page', '/etc/passwd'], ['main', 'on', '--page', box.path('nowhere')],
                  ['main', 'on', '--page', box.write('empty', '')],
                  ['main', 'on', '--page', box.write('large', 'x' * 65537)]):
        done = maintenance(box, p, *words)
        assert done.returncode == 2 and done.stderr, done
    assert maintenance(box, p, 'nobody', 'on').returncode == 1
    assert p.get(host='main.test').status == 200
