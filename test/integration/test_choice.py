"""Which process a request gets: sticky sessions, paths without a limit; what is started before anybody asks."""
import os
import re

import pytest

from lib.wait import wait_until

COOKIE = re.compile(r'^_passenger_route=([0-9a-f]+-[A-Za-z0-9]+); Path=/; SameSite=Lax; Secure;$')


def sticky_app(box, kind, **options):
    app = box.app(kind, one_at_a_time=True, sticky_sessions='on', min_instances=3, **options)
    return box.start(passenger={'max_pool_size': 3}, app=app, processes=3)


def pid_of(answer):
    return answer.json()['pid']


@pytest.fixture(params=['ruby', 'command', 'node'])
def any_kind(request):
    return request.param


def test_sticky(box, any_kind):
    p = sticky_app(box, any_kind)
    first = p.get('/header?Cache-Control=max-age%3D60')
    assert first.all('cache-control') == ['max-age=60'] and len(first.all('set-cookie')) == 1
    value = COOKIE.match(first.header('set-cookie')).group(1)
    cookie = {'Cookie': 'a=b; _passenger_route=%s; c=d' % value}
    mine = p.get('/x', headers=cookie)
    assert mine.header('set-cookie') is None
    assert str(pid_of(mine)) not in value
    # it waits for its own process; others do not wait for it
    gate = box.gate()
    busy = p.hold(1, gate.at())
    wait_until(lambda: p.process(pid_of(mine))['sessions'] == 1, 10)
    with p.connect() as waits:
        waits.start('GET', '/y', cookie)
        wait_until(lambda: p.group()['queued'] == 1, 10)
        others = {pid_of(p.get('/z')) for _ in range(4)}
        assert pid_of(mine) not in others
        gate.open()
        assert pid_of(busy[0].response()) == pid_of(mine) == pid_of(waits.response())
    busy[0].close()
    # a person's cookie survives the balancer, not the process
    os.kill(p.balancer, 9)
    p.wait_processes(3)
    assert pid_of(p.get('/x', headers=cookie, timeout=30)) == pid_of(mine)
    os.kill(pid_of(mine), 9)
    wait_until(lambda: p.process(pid_of(mine)) is None, 10)
    other = p.get('/x', headers=cookie, timeout=30)
    assert pid_of(other) != pid_of(mine)
    assert COOKIE.match(other.header('set-cookie')).group(1) != value
    door = p.doors()[0]
    assert door.request('/x', headers=cookie).header('set-cookie') is None


def test_sticky_cookie_options_and_wrong_cookies(box):
    root, command = box.program()
    p = box.start(passenger={'max_pool_size': 4, 'sticky_sessions': 'on',
                             'sticky_sessions_cookie_attributes': 'Max-Age=60'},
                  apps={'top': {'root': root, 'type': 'command', 'command': command, 'min_instances': 2},
                        'sub': {'root': root, 'type': 'command', 'command': command, 'base_uri': '/sub',
                                'sticky_sessions_cookie_name': 'lane', 'min_instances': 2}}, processes=4)
    value = re.match(r'^lane=(\S+); Path=/sub; Max-Age=60$', p.get('/sub/x').header('set-cookie')).group(1)
    top = re.match(r'^_passenger_route=(\S+); Path=/; Max-Age=60$', p.get('/x').header('set-cookie')).group(1)
    assert p.get('/sub/x', headers={'Cookie': 'lane=%s' % value}).header('set-cookie') is None
    # of several by this name the one that names a process counts; another application's names none
    assert p.get('/sub/x', headers={'Cookie': 'lane=; lane=%s;lane=%s' % (top, value)}).header('set-cookie') is None
    for wrong in ('', 'lane', 'lane=', 'lane=' + top, 'lane=%sx' % value, 'lane=ffffffffff-x', 'xlane=' + value, 'lane=' + 'f' * 4000):
        answer = p.get('/sub/x', headers={'Cookie': wrong})
        assert answer.status == 200 and answer.header('set-cookie').startswith('lane='), wrong
    with p.connect() as c:
        c.start('GET', '/upgrade', {'Connection': 'Upgrade', 'Upgrade': 'echo'})
        head = c.head()
        assert head.status == 101 and head.header('set-cookie').startswith('_passenger_route=')


def test_paths_without_a_limit(box):
    """A websocket's path needs no place: neither do its requests wait, nor do others for them."""
    app = box.app('node', one_at_a_time=True, unlimited_concurrency_paths='/cable /sleep')
    p = box.start(passenger={'max_pool_size': 1}, app=app)
    gate = box.gate()
    held = p.hold(5, gate.at())
    wait_until(lambda: p.processes()[0]['sessions'] == 5, 10)
    assert p.get('/hello').status == 200 and p.get('/cable/x').status == 200
    assert p.group()['queued'] == 0
    gate.open()
    for c in held:
        assert c.response().status == 200
        c.close()


def test_pre_start(box):
    root, command = box.program()
    base = {'root': root, 'type': 'command', 'command': command}
    p = box.start(apps={'on': dict(base, host='on', min_instances=0, pre_start='on'),
                        'none': dict(base, host='none', min_instances=0),
                        'off': dict(base, host='off', min_instances=2, pre_start='off')}, processes=1)
    status = p.status()
    assert [len(p.processes(status, name)) for name in ('on', 'none', 'off')] == [1, 0, 0]
    for name, size in (('none', 1), ('off', 2)):
        assert p.get('/hello', host=name, timeout=30).status == 200
        p.wait_processes(size, app=name)
    assert len(p.processes(app='none')) == 1
