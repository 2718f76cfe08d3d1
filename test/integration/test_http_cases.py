"""The shared corpus of HTTP cases, where it stands beside this project (conftest.py leaves this file
out where it does not); test_cases.py holds our own."""
import os
import re
import shutil
import subprocess

import pytest

from lib.passenger import PYTHON, TOP

CORPUS = os.path.join(os.path.dirname(TOP), 'shared', 'http-cases')


def run(script, *arguments, timeout=600):
    done = subprocess.run([PYTHON, '-B', os.path.join(CORPUS, script), *map(str, arguments)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=timeout)
    print(done.stdout[-8000:])
    return done


def corpus_program(box, script, **options):
    """A script of the corpus as a command application; copied, as applications may run as another user."""
    root = box.path('origin')
    os.makedirs(root, exist_ok=True)
    shutil.copy(os.path.join(CORPUS, script), root)
    return dict({'root': root, 'command': '%s -B %s' % (PYTHON, os.path.join(root, script))}, **options)


def strict(box, listen='127.0.0.1:0'):
    """(what the origin saw, passenger)"""
    log = os.path.join(box.work, 'origin.log')
    open(log, 'w').close()
    os.chmod(log, 0o666)
    return log, box.start(app=corpus_program(box, 'strict_origin.py', **{'env.ORIGIN_LOG': log}), listen=listen)


def assert_all_pass(done, least=100):
    score = re.search(r'^strict score (\d+)/(\d+) \(PASS\)', done.stdout, re.M)
    assert score, done.stdout[-2000:]
    assert score.group(1) == score.group(2) and int(score.group(2)) >= least, score.group(0)
    assert 'critical 0' in done.stdout and done.returncode == 0


SPLIT = [pytest.param((), id='whole'), pytest.param(('--split',), id='split', marks=pytest.mark.slow)]


@pytest.mark.parametrize('split', SPLIT)
def test_front(box, split):
    log, p = strict(box)
    done = run('run_corpus.py', p.front, '--corpus', os.path.join(CORPUS, 'cases'), '--scope', 'generic,passenger',
               '--origin-log', log, '--pid', p.balancer, '--fail', *split)
    assert_all_pass(done)
    assert 'does not forward: nothing' in done.stdout


@pytest.mark.slow
def test_front_unix(box):
    log, p = strict(box, 'unix:' + box.path('front.sock'))
    done = run('run_corpus.py', p.front, '--corpus', os.path.join(CORPUS, 'cases'), '--scope', 'generic,passenger',
               '--origin-log', log, '--pid', p.balancer, '--fail')
    assert_all_pass(done)
    assert 'does not forward: nothing' in done.stdout


# Two cases that the runner's --door spoils: it puts the password's line into the body of the first, which looks like a
# request, and not into the second, whose version is neither 1.0 nor 1.1.  They are sent with the line where it belongs.
BY_HAND = ('a-valid-cl-body-looks-like-request.req', 'a-valid-http12.req')


def corpora_for_a_door(box):
    """(corpus without those two, corpus of those two with the password's line as @PASSWORD@)"""
    rest, by_hand = box.path('cases'), box.path('by-hand')
    os.mkdir(by_hand)
    shutil.copytree(os.path.join(CORPUS, 'cases'), rest)
    os.chmod(rest, 0o755)
    with open(os.path.join(rest, 'index.tsv')) as f:
        rows = list(f)
    os.remove(os.path.join(rest, 'index.tsv'))
    box.write('cases/index.tsv', ''.join(r for r in rows if not r.startswith(BY_HAND)))
    box.write('by-hand/index.tsv', ''.join(r for r in rows if r.startswith(BY_HAND + ('file\t',))))
    for name in BY_HAND:
        with open(os.path.join(rest, name), 'rb') as f:
            first, _, others = f.read().partition(b'\r\n')
        with open(os.path.join(by_hand, name), 'wb') as f:
            f.write(first + b'\r\nX-Passenger-Connect-Password: @PASSWORD@\r\n' + others)
    return rest, by_hand


@pytest.mark.parametrize('split', SPLIT)
def test_door(box, split):
    log, p = strict(box)
    door = p.doors()[0]
    rest, by_hand = corpora_for_a_door(box)
    done = run('run_corpus.py', door.address, '--corpus', rest, '--scope', 'generic,applistener', '--door', door.password,
               '--pid', p.balancer, '--fail', *split)
    assert_all_pass(done)
    # Its canaries carry no password: off.
    done = run('run_corpus.py', door.address, '--corpus', by_hand, '--scope', 'generic', '--password', door.password,
               '--pid', p.balancer, '--fail', '--no-canary', *split)
    assert_all_pass(done, least=2)
    with open(log) as f:
        assert door.password not in f.read()


def assert_responses(done):
    assert re.search(r'^responses: 87 cases; PASS 87 FAIL 0 CRIT 0', done.stdout, re.M), done.stdout[-2000:]
    assert done.returncode == 0


def test_responses(box):
    p = box.start(app=corpus_program(box, 'evil_app.py'))
    assert_responses(run('run_responses.py', p.front, '--fail'))
