"""The door table, and deaths of processes and of the balancer, for Node: the tests of the other types as they are, and
the few rows where Node answers in its own way."""
import inspect

import pytest

import test_balancer_death
import test_doors
import test_worker_death
from lib.wait import wait_until

DIFFERENT = ('test_row_application_raises', 'test_row_ping_and_oobw_are_ordinary_methods',
             'test_door_big_download_and_upload')

for module in (test_doors, test_worker_death, test_balancer_death):
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if name.startswith('test_') and name not in DIFFERENT and 'kind' in inspect.signature(function).parameters:
            globals()[name] = function


@pytest.fixture
def kind():
    return 'node'


def test_row_application_raises(box):
    """An exception that nobody catches ends a Node process: 502 for that request, and another process."""
    p = box.serve('node')
    door = p.doors()[0]
    assert door.request('/status?code=500').status == 500
    assert door.request('/drop').status == 502
    assert door.request('/hello').status == 200
    assert door.request('/raise').status == 502
    wait_until(lambda: [d for d in p.doors() if d.pid != door.pid], 10, 'another process')
    assert p.doors()[0].request('/hello').status == 200
    p.wait_log('Error: raised in a handler')


def test_row_methods_that_node_does_not_know(box):
    """PING and OOBW mean nothing to us; Node's own parser answers 400 to methods that it does not know."""
    p = box.serve('node')
    door = p.doors()[0]
    for method in ('PING', 'OOBW'):
        assert door.request('/x', method).status == 400
    for method in ('PROPFIND', 'M-SEARCH', 'PATCH', 'OPTIONS'):
        assert door.request('/x', method).json()['method'] == method
    assert p.processes()[0]['pid'] == door.pid


def test_row_reason_phrase_of_another_status(box):
    assert box.serve('node').doors()[0].request('/status?code=404').reason == 'Not Found'


def test_row_ten_parallel_unlimited(box):
    door = box.serve('node').doors()[0]
    answers = test_doors.parallel(10, lambda i: door.request('/inside?ms=300').json()['inside'])
    assert max(answers) == 10


@pytest.mark.parametrize('size', [200_000_000, pytest.param(2_000_000_000, marks=pytest.mark.slow)])
def test_door_big_download_and_upload(box, size):
    test_doors.test_door_big_download_and_upload(box, 'node', size)
