"""A pytest plugin: writes one line a test to $PYTEST_RECORD as soon as it has ended, so that a run which is cut short is
counted too.  outcome, name, why, tab between; "ended" when the whole session came to its end."""
import os

rank = {'passed': 0, 'skipped': 1, 'failed': 2}
outcomes = {}


def write(outcome, name, why=''):
    why = ' '.join(str(why).split())[:200]
    with open(os.environ['PYTEST_RECORD'], 'a', encoding='utf-8') as file:
        file.write(f'{outcome}\t{name}\t{why}\n')


def reason(report):
    if report.outcome == 'skipped' and isinstance(report.longrepr, tuple):
        return report.longrepr[2]
    if report.outcome == 'failed' and report.longrepr is not None:
        return getattr(getattr(report.longrepr, 'reprcrash', None), 'message', '')
    return ''


def pytest_runtest_logreport(report):
    worst = outcomes.setdefault(report.nodeid, ('passed', ''))
    if rank[report.outcome] > rank[worst[0]]:
        outcomes[report.nodeid] = (report.outcome, reason(report) or getattr(report, 'wasxfail', ''))
    if report.when == 'teardown':
        outcome, why = outcomes.pop(report.nodeid)
        write(outcome, report.nodeid, why)


def pytest_collectreport(report):
    if report.outcome != 'passed':
        write(report.outcome, report.nodeid, reason(report) or 'could not be collected')


def pytest_sessionfinish(exitstatus):
    for name in outcomes:
        write('failed', name, 'cut short')
    if int(exitstatus) != 2:  # interrupted
        write('ended', '', int(exitstatus))
