"""A pytest plugin: writes one line a test to $PYTEST_RECORD as soon as it has ended, so that a run which is cut short is
counted too.  outcome, name, why, tab between; "ended" when the whole session came to its end."""
import os

RANK = {'passed': 0, 'skipped': 1, 'failed': 2}


def reason(report):
    if report.outcome == 'skipped' and isinstance(report.longrepr, tuple):
        return report.longrepr[2]
    if report.outcome == 'failed' and report.longrepr is not None:
        return getattr(getattr(report.longrepr, 'reprcrash', None), 'message', '') or str(report.longrepr)[:200]
    return ''


class Record:
    def __init__(self):
        self.outcomes = {}
        self.figures = []

    def write(self, outcome, name, why=''):
        why = ' '.join(str(why).split())[:200]
        with open(os.environ['PYTEST_RECORD'], 'a', encoding='utf-8') as file:
            file.write(f'{outcome}\t{name}\t{why}\n')

    def pytest_runtest_logreport(self, report):
        worst = self.outcomes.setdefault(report.nodeid, ('passed', ''))
        if RANK[report.outcome] > RANK[worst[0]]:
            self.outcomes[report.nodeid] = (report.outcome, reason(report) or getattr(report, 'wasxfail', ''))
        if report.when == 'call' and report.passed and 0 < len(report.capstdout.strip()) < 1000:
            self.figures.append(f'{report.nodeid}: {report.capstdout.strip()}')
        if report.when == 'teardown':
            outcome, why = self.outcomes.pop(report.nodeid)
            self.write(outcome, report.nodeid, why)

    def pytest_collectreport(self, report):
        if report.outcome != 'passed':
            self.write(report.outcome, report.nodeid, reason(report) or 'could not be collected')

    def pytest_terminal_summary(self, terminalreporter):
        """What tests that passed have measured."""
        if self.figures:
            terminalreporter.section('figures')
        for figure in self.figures:
            terminalreporter.write_line(figure)

    def pytest_sessionfinish(self, exitstatus):
        for name in self.outcomes:
            self.write('failed', name, 'cut short')
        if int(exitstatus) != 2:  # interrupted
            self.write('ended', '', int(exitstatus))


def pytest_configure(config):
    # The workers among which pytest-xdist shares the tests out report to the one that writes.
    if not hasattr(config, 'workerinput'):
        config.pluginmanager.register(Record(), 'record')
