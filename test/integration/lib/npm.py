"""Is there npm, and does its registry answer?"""
import os
import shutil
import subprocess

ANSWERS = 'PASSENGER_TEST_NPM'


def ask():
    """Notes it in the environment.  Who starts the workers of pytest-xdist asks for all: what one of them collects and
    another does not, ends the whole run."""
    # Not every registry has a ping; what counts is that it gives packages.
    answers = shutil.which('npm') and any(succeeds(['npm', *words]) for words in (['ping'], ['view', 'ws', 'version']))
    os.environ[ANSWERS] = 'yes' if answers else ''


def succeeds(command):
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              timeout=60).returncode == 0
    except subprocess.TimeoutExpired:
        return False
