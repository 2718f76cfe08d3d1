"""Our own HTTP cases (test/cases), on a front listener and on a door, whole and octet by octet."""
import os

import pytest

from lib import client
from lib.passenger import PASSWORD_HEADER, TOP

CASES = os.path.join(TOP, 'test', 'cases')


def rows():
    with open(os.path.join(CASES, 'index.tsv')) as f:
        for line in f:
            if not line.startswith('#'):
                name, answers, then, seen, why = line.rstrip('\n').split('\t')
                yield name, [int(a) for a in answers.split(',')], then, seen, why


def methods(data):
    """Method of each request, to know where no body comes; only this file's own cases are read so."""
    return [line.split(b' ')[0].decode('latin-1') for line in data.split(b'\r\n') if line.endswith((b'HTTP/1.1', b'HTTP/1.0'))]


def fault(address, auth, row, bytewise):
    """What is wrong with the answer to one case; None when all is well."""
    name, answers, then, seen, why = row
    with open(os.path.join(CASES, name + '.req'), 'rb') as f:
        data = f.read().replace(b'@AUTH@', auth)
    with client.Connection(address, 5) as c:
        try:
            for part in [data[i:i + 1] for i in range(len(data))] if bytewise else [data]:
                c.send(part)
        except ConnectionError:
            pass  # refused before the last octet: its answer counts
        verbs = methods(data) + ['GET'] * len(answers)
        try:
            got = [c.response(verb) for verb, _ in zip(verbs, answers)]
        except (client.ProtocolError, OSError) as e:
            return '%s: %r' % (why, e)
        if [r.status for r in got] != answers:
            return '%s: answered %r, expected %r' % (why, [r.status for r in got], answers)
        if seen != '-':
            was = ['%s %s %d' % (e['method'], e['target'], e['length']) for e in (r.json() for r in got if r.status == 200)]
            if was != seen.split(','):
                return '%s: the application saw %r' % (why, was)
        if then == 'any':
            return None
        if then == 'close':
            return None if c.ended() else '%s: the connection stayed open (or more came: %r)' % (why, c.buffer[:80])
        try:
            c.send(b'GET /canary HTTP/1.1\r\nHost: x\r\n' + auth + b'\r\n')
            return None if c.response().json()['path'] == '/canary' else 'the canary got another answer'
        except (client.ProtocolError, OSError) as e:
            return '%s: the connection does not go on: %r' % (why, e)


@pytest.mark.parametrize('bytewise', [False, True], ids=['whole', 'bytewise'])
@pytest.mark.parametrize('where', ['front', 'door'])
def test_cases(box, where, bytewise):
    p = box.serve('command')
    door = p.doors()[0]
    address = p.front if where == 'front' else door.address
    auth = b'' if where == 'front' else ('%s: %s\r\n' % (PASSWORD_HEADER, door.password)).encode()
    faults = {row[0]: fault(address, auth, row, bytewise) for row in rows()}
    assert len(faults) > 80
    bad = {name: text for name, text in faults.items() if text}
    assert not bad, '\n'.join('%s: %s' % item for item in bad.items())
    assert 'origin: refused' not in p.log()


def test_index_is_complete():
    assert {row[0] + '.req' for row in rows()} == {n for n in os.listdir(CASES) if n.endswith('.req')}


def test_cases_on_ruby(box):
    """The legal ones arrive in a Rack application as they do in a program."""
    p = box.serve('ruby')
    faults = {row[0]: fault(p.front, b'', row, False) for row in rows() if row[1][-1] == 200}
    bad = {name: text for name, text in faults.items() if text}
    assert not bad, '\n'.join('%s: %s' % item for item in bad.items())


# --- programs that answer wrongly (test/apps/command/evil.py) -----------------

BAD_GATEWAY, CUT = [502], 'cut'
EVIL = {
    '/good': [200], '/until-close': [200], '/two-lengths': BAD_GATEWAY, '/negative-length': BAD_GATEWAY,
    '/list-length': BAD_GATEWAY, '/bad-chunk': CUT, '/short': CUT, '/short-chunked': CUT, '/surplus': [200],
    '/surplus-204': [204], '/unasked-101': BAD_GATEWAY, '/many-1xx': BAD_GATEWAY, '/bare-cr': BAD_GATEWAY,
    '/nul': BAD_GATEWAY, '/bad-name': [200, 502], '/huge-field': BAD_GATEWAY, '/not-http': BAD_GATEWAY,
    '/status-99': BAD_GATEWAY, '/nothing': BAD_GATEWAY, '/half-head': BAD_GATEWAY, '/leak': [200], '/hop': [200],
}


@pytest.mark.parametrize('where', ['front', 'door'])
def test_evil_answers(box, where):
    root, command = box.program('evil.py')
    p = box.start(app={'root': root, 'command': command})
    door = p.doors()[0]
    address, headers = (p.front, []) if where == 'front' else (door.address, door.headers())
    for path, want in EVIL.items():
        try:
            r = client.request(address, path, headers=headers, timeout=10)
        except (client.Closed, ConnectionResetError):
            assert want == CUT, path
        else:
            assert r.status == 502 if want == CUT else r.status in want, (path, r)
            assert 'poison' not in r.text and not r.all(PASSWORD_HEADER) and not r.all('set-cookie')
            assert not r.all('x-hop') and not r.all('x(n)')
            if r.status == 200:
                assert r.body == b'ok', path
        for number in range(2):  # the connection to the program is not poisoned
            canary = '/canary%s-%d' % (path, number)
            assert client.request(address, canary, headers=headers).text == canary
