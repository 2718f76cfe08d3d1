"""Deaths of processes and of the balancer, for Node: the tests of the other types as they are."""
import inspect

import pytest

import test_balancer_death
import test_worker_death

for module in (test_worker_death, test_balancer_death):
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if name.startswith('test_') and 'kind' in inspect.signature(function).parameters:
            globals()[name] = function


@pytest.fixture
def kind():
    return 'node'
