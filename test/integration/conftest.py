import os
import sys
import zlib

import pytest
from _pytest.runner import runtestprotocol

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

pytest.register_assert_rewrite('lib.loader_tests')

from lib import npm, passenger  # noqa: E402
from lib.wait import Late  # noqa: E402

# Tests that can not be are not collected, rather than skipped: a skipped test is a failed one where CI runs.
collect_ignore = []
if not os.path.isdir(os.path.join(os.path.dirname(passenger.TOP), 'shared', 'http-cases')):
    collect_ignore.append('test_http_cases.py')


def pytest_configure(config):
    if not hasattr(config, 'workerinput') and any(os.path.isdir(name) or 'npm' in name for name in config.args):
        npm.ask()


QUICK_CASES = 4


def is_quick(item):
    return not any(item.get_closest_marker(mark) for mark in ('slow', 'full'))


def slow_but_for(chosen, groups):
    for group in groups:
        for item in [item for item in group if item not in chosen]:
            item.add_marker(pytest.mark.slow)


def choose_quick(items):
    """What runs for several languages (`kind`), or for several settings of a loader (`mode`), is slow but for one of them:
    another one from test to test, so that none is left out of an area.  Of many cases a few are quick."""
    kinds, cases = {}, {}
    for item in [item for item in items if hasattr(item, 'callspec') and is_quick(item)]:
        for name in {'kind', 'any_kind', 'mode'} & set(item.callspec.params):
            kind = repr(item.callspec.params[name])
            kinds.setdefault((item.path, item.originalname, name), {}).setdefault(kind, []).append(item)
    for (_, test, _), of_kind in kinds.items():
        groups = list(of_kind.values())
        slow_but_for(groups[zlib.crc32(test.encode()) % len(groups)], groups)
    for item in [item for item in items if hasattr(item, 'callspec') and is_quick(item)]:
        cases.setdefault((item.path, item.originalname), []).append(item)
    for group in cases.values():
        slow_but_for(group[::-(-len(group) // QUICK_CASES)], [group])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    choose_quick(items)
    if os.getuid() != 0:
        unfit = [item for item in items if item.get_closest_marker('root')]
        config.hook.pytest_deselected(items=unfit)
        items[:] = [item for item in items if item not in unfit]


RUNS_WHEN_LATE = 3


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """A test that fails by a time alone, which a noisy machine may have spoilt, is run again."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    told = []
    for number in range(1, RUNS_WHEN_LATE + 1):
        item._initrequest()
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        late = [report.late for report in reports if report.failed]
        if number == RUNS_WHEN_LATE or len(late) != 1 or not late[0]:
            break
        told.append('run %d: %s' % (number, late[0]))
    for report in reports:
        if report.when == 'call' and told:
            report.sections.append(('Captured stdout call', '\n'.join(told)))
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    report.late = str(call.excinfo.value) if call.excinfo and call.excinfo.errisinstance(Late) else None
    setattr(item, 'report_' + call.when, report)


def pytest_report_header(config):
    header = ['passenger: %s, as uid %d' % (passenger.BIN, os.getuid())]
    if os.environ.get(npm.ANSWERS) == '':
        header.append('npm is missing or its registry does not answer: the tests of test_node_npm.py are left out')
    return header


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
