"""./build.sh test [quick|full]: every test there is, in stages, counted.

build → unit tests (gcc, AddressSanitizer, UBSan) → fuzz targets (clang, a short run each) → integration tests (pytest,
the shipped binary) → checks.  A test that was skipped counts as failed when CI=true.  The last line is always
"N passed, N failed", and the exit code is 0 only when none failed.
"""
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import source

# mode: (seconds of each fuzz target, pytest's marks, limit in seconds of the integration tests)
MODES = {
    'quick': (2, 'not slow and not full', 300),
    'default': (14, 'not full', 840),
    'full': (600, 'slow or not slow', 4 * 3600),
}
UNIT_LIMIT_S = 120
NO_TEST_SELECTED = 5  # pytest's exit code
SKIPS_FAIL = os.environ.get('CI') == 'true'
BUILD = os.path.join(source.TOP, 'build')
RESULTS = os.path.join(BUILD, 'test')
SANITIZERS = {
    'ASAN_OPTIONS': 'exitcode=99:detect_stack_use_after_return=1:allocator_may_return_null=1',
    'UBSAN_OPTIONS': 'print_stacktrace=1:halt_on_error=1:exitcode=99',
}


class Tally:
    """What passed, what failed, what was skipped; by name, so that the end can list it."""

    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], []

    def add(self, outcome, name, why=''):
        if outcome == 'passed':
            self.passed += 1
        elif outcome == 'skipped':
            self.skipped.append((name, why))
        else:
            self.failed.append((name, why))

    def close(self):
        for name, why in self.skipped:
            say(f'SKIPPED  {name}  {why}')
        if SKIPS_FAIL and self.skipped:
            say(f'{len(self.skipped)} skipped tests count as failed, since CI=true')
            self.failed += self.skipped
        for name, why in self.failed:
            say(f'FAILED   {name}  {why}')
        say(f'{self.passed} passed, {len(self.failed)} failed')
        return 1 if self.failed or self.passed == 0 else 0


def say(*words):
    print(*words, flush=True)


def stage(title):
    """A decorator: says what begins and how long it took."""
    def wrap(function):
        def timed(*arguments):
            say(f'--- {title}')
            start = time.monotonic()
            function(*arguments)
            say(f'--- {title}: {time.monotonic() - start:.1f} s')
        return timed
    return wrap


def run(command, limit, **environment):
    """(exit code, or None when it took longer than limit seconds; what it printed)"""
    process = subprocess.Popen(command, cwd=source.TOP, env=os.environ | environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace',
                               start_new_session=True)
    try:
        output, _ = process.communicate(timeout=limit)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return None, output
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGKILL)
        raise


def how_it_ended(code, limit):
    if code is None:
        return f'longer than {limit} s'
    return f'killed by {signal.Signals(-code).name}' if code < 0 else f'exit {code}'


# --- build --------------------------------------------------------------------

@stage('build')
def build(tally):
    shutil.rmtree(RESULTS, ignore_errors=True)
    os.makedirs(RESULTS)
    code = subprocess.run(['./build.sh', 'build'], cwd=source.TOP, check=False).returncode
    tally.add('passed' if code == 0 else 'failed', 'build', 'see above')


def make(target):
    """Everything that compiles; what does not is found missing by the stage that wants it."""
    subprocess.run(['./build.sh', 'make', '-k', target], cwd=source.TOP, check=False)


def programs(folder, prefix):
    for path in source.files('.c', under=f'test/{folder}'):
        name = os.path.splitext(os.path.basename(path))[0]
        if name.startswith(prefix):
            yield name, os.path.join(BUILD, folder, name)


# --- unit ---------------------------------------------------------------------

def unit_program(item):
    """[(outcome, name, why)], what to print, seconds.  cmocka prints one line a test."""
    name, path = item
    if not os.path.exists(path):
        return [('failed', f'unit/{name}', 'it did not compile')], '', 0
    start = time.monotonic()
    code, output = run([path], UNIT_LIMIT_S, **SANITIZERS)
    passed = re.findall(r'^\[ +OK +\] (.+)$', output, re.MULTILINE)
    failed = re.findall(r'^\[ +(?:FAILED|ERROR) +\] (?!\d+ test|---)(.+)$', output, re.MULTILINE)
    skipped = re.findall(r'^\[ +SKIPPED +\] (?!\d+ test)(.+)$', output, re.MULTILINE)
    results = [('passed', f'unit/{name}/{test}', '') for test in passed]
    results += [('skipped', f'unit/{name}/{test}', '') for test in dict.fromkeys(skipped)]
    results += [('failed', f'unit/{name}/{test}', 'see above') for test in dict.fromkeys(failed)]
    if code != 0 and not failed:
        results.append(('failed', f'unit/{name}', how_it_ended(code, UNIT_LIMIT_S)))
    elif not passed and not failed:
        results.append(('failed', f'unit/{name}', 'it ran no test'))
    shown = output if any(outcome == 'failed' for outcome, _, _ in results) else ''
    return results, shown, time.monotonic() - start


@stage('unit tests')
def unit(tally):
    make('unit')
    found = list(programs('unit', 'test_'))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (name, _), (results, shown, seconds) in zip(found, pool.map(unit_program, found)):
            failed = sum(outcome == 'failed' for outcome, _, _ in results)
            if shown:
                say(shown)
            say(f'{name:32} {len(results) - failed:4} passed, {failed} failed, {seconds:.1f} s')
            for result in results:
                tally.add(*result)
    if not found:
        tally.add('failed', 'unit', 'there are no unit tests')


# --- fuzz ---------------------------------------------------------------------

def fuzz_program(name, path, seconds):
    """(outcome, why, what to print)"""
    if not os.path.exists(path):
        return 'failed', 'it did not compile', ''
    target = name.removeprefix('fuzz_')
    corpus = os.path.join(BUILD, 'corpus', target)
    os.makedirs(corpus, exist_ok=True)
    command = [path, f'-max_total_time={seconds}', '-timeout=10', '-rss_limit_mb=1024', '-verbosity=0',
               '-print_final_stats=1', f'-artifact_prefix={RESULTS}/{target}-', corpus]
    command += [seeds for seeds in glob.glob(f'{source.TOP}/test/fuzz/seeds/*') if os.path.basename(seeds) in (target, name)]
    command += [f'-dict={words}' for words in (f'{source.TOP}/test/fuzz/{target}.dict',) if os.path.exists(words)]
    limit = seconds + 120
    code, output = run(command, limit, ASAN_OPTIONS=SANITIZERS['ASAN_OPTIONS'], UBSAN_OPTIONS=SANITIZERS['UBSAN_OPTIONS'])
    runs = re.search(r'stat::number_of_executed_units: (\d+)', output)
    if code == 0 and runs and int(runs.group(1)) > 0:
        return 'passed', f'{int(runs.group(1)):,} runs', ''
    return 'failed', how_it_ended(code, limit), output[-8000:]


@stage('fuzz targets')
def fuzz(tally, seconds):
    make('fuzz')
    found = list(programs('fuzz', 'fuzz_'))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = pool.map(lambda item: fuzz_program(*item, seconds), found)
        for (name, _), (outcome, why, shown) in zip(found, outcomes):
            if shown:
                say(shown)
            say(f'{name:32} {outcome}, {why}')
            tally.add(outcome, f'fuzz/{name}', why)
    if not found:
        tally.add('failed', 'fuzz', 'there are no fuzz targets')


# --- integration --------------------------------------------------------------

def stop_tree(process):
    """Lets pytest end its fixtures, then takes what is left of its session."""
    os.kill(process.pid, signal.SIGINT)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def pytest(tally, title, marks, limit, *options, may_be_empty=False):
    """One session of pytest over the marked tests, at most limit seconds."""
    record = os.path.join(RESULTS, f'{title}.tsv')
    environment = os.environ | {
        'PASSENGER_BIN': os.path.join(BUILD, 'passenger'),
        'PYTHONPATH': os.path.dirname(os.path.abspath(__file__)),
        'PYTHONDONTWRITEBYTECODE': '1',
        'PYTEST_RECORD': record,
    }
    command = [sys.executable, '-m', 'pytest', 'test/integration', '-p', 'pytest_record', '-p', 'no:cacheprovider', '-q',
               '--tb=short', '--durations=10', '--continue-on-collection-errors', '-m', marks, *options]
    process = subprocess.Popen(command, cwd=source.TOP, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        stop_tree(process)
        code = None
    except KeyboardInterrupt:
        stop_tree(process)
        raise
    ended = False
    for line in open(record, encoding='utf-8') if os.path.exists(record) else []:
        outcome, name, why = line.rstrip('\n').split('\t')
        if outcome == 'ended':
            ended = True
        else:
            tally.add(outcome, name, why)
    if code is None or not ended:
        tally.add('failed', title, f'not all tests ran: {how_it_ended(code, limit)}')
    elif code not in (0, 1) and not (may_be_empty and code == NO_TEST_SELECTED):
        tally.add('failed', title, f'pytest: exit {code}')


@stage('integration tests')
def integration(tally, marks, limit):
    """Tests wait more than they work: several at a time, and those that measure, or fill the machine, after them."""
    start = time.monotonic()
    pytest(tally, 'integration', f'({marks}) and not alone', limit, '-n', str(2 * os.cpu_count()))
    pytest(tally, 'alone', f'({marks}) and alone', limit - int(time.monotonic() - start), may_be_empty='not slow' in marks)


# --- checks -------------------------------------------------------------------

@stage('checks')
def checks(tally):
    record = os.path.join(RESULTS, 'checks.tsv')
    here = os.path.dirname(os.path.abspath(__file__))
    code = subprocess.run([sys.executable, '-B', f'{here}/check.py', '--record', record], cwd=source.TOP, check=False).returncode
    if not os.path.exists(record):
        tally.add('failed', 'check', how_it_ended(code, 0))
        return
    for line in open(record, encoding='utf-8'):
        name, outcome, _ = line.split('\t')
        tally.add(outcome, f'check/{name}', 'see above')


def main():
    seconds, marks, limit = MODES[sys.argv[1] if len(sys.argv) > 1 else 'default']
    tally = Tally()
    start = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        build(tally)
        unit(tally)
        fuzz(tally, seconds)
        integration(tally, marks, limit)
        checks(tally)
    except KeyboardInterrupt:
        tally.add('failed', 'test', 'interrupted')
    say(f'--- all: {time.monotonic() - start:.1f} s')
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
