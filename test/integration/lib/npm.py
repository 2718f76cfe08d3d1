"""Is there npm, and does its registry answer?"""
import os
import shutil
import subprocess

ANSWERS = 'PASSENGER_TEST_NPM'


def ask():
    """Notes it in the environment.  Who starts the workers of pytest-xdist asks for all: what one of them collects and
    another does not, ends the whole run."""
    try:
        answers = shutil.which('npm') and subprocess.run(['npm', 'ping'], stdout=subprocess.DEVNULL, timeout=60,
                                                         stderr=subprocess.DEVNULL).returncode == 0
    except subprocess.TimeoutExpired:
        answers = False
    os.environ[ANSWERS] = 'yes' if answers else ''
