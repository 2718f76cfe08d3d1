"""Waiting for a condition, with a deadline.  Nothing in these tests sleeps for luck."""
import time

# What is waited for comes at once, as a rule; the deadline only ends a test that has failed.  So it is long enough for a
# machine that does much else, whatever the quiet one of who wrote the test needs.
PATIENCE = 4


class Timeout(AssertionError):
    pass


class Late(AssertionError):
    """A time that the product holds was not kept.  A noisy machine may be the reason: conftest.py runs the test again, and
    what is late three times is a fault."""


def in_time(began, most, least=0):
    """Fails unless so many seconds have gone since began (time.monotonic())."""
    took = time.monotonic() - began
    if not least <= took <= most:
        raise Late('it took %.3f s, expected %g to %g' % (took, least, most))


def wait_until(condition, seconds=10, what=None, every=0.02):
    """Calls condition() until it gives something true, which is returned.
    seconds: what it takes at most where nothing else runs.  what: what is waited for, or who tells at the end."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Timeout('not within %g s: %s (last value %r)' % (
                seconds * PATIENCE, what() if callable(what) else what or condition, value))
        time.sleep(every)
