import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import passenger  # noqa: E402

# Tests that can not be are not collected, rather than skipped: a skipped test is a failed one where CI runs.
collect_ignore = []
if not os.path.isdir(os.path.join(os.path.dirname(passenger.TOP), 'shared', 'http-cases')):
    collect_ignore.append('test_http_cases.py')


def pytest_collection_modifyitems(config, items):
    if os.getuid() != 0:
        unfit = [item for item in items if item.get_closest_marker('root')]
        config.hook.pytest_deselected(items=unfit)
        items[:] = [item for item in items if item not in unfit]


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, 'report_' + call.when, outcome.get_result())


def pytest_report_header(config):
    return 'passenger: %s, as uid %d' % (passenger.BIN, os.getuid())


@pytest.fixture
def box(request):
    """A folder for this test, and what starts passenger in it; audited when the test ends."""
    if not os.access(passenger.BIN, os.X_OK):
        pytest.fail('%s is not there: build it, or set PASSENGER_BIN' % passenger.BIN)
    box = passenger.Box(request.node.name)
    yield box
    report = getattr(request.node, 'report_call', None)
    box.finish(failed=report is None or report.failed)


@pytest.fixture(params=passenger.KINDS)
def kind(request):
    """Tests that take this run once for Ruby and once for `type = command`."""
    return request.param
