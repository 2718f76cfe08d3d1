"""Waiting for a condition, with a deadline.  Nothing in these tests sleeps for luck."""
import time


class Timeout(AssertionError):
    pass


def wait_until(condition, seconds=10, what=None, every=0.02):
    """Calls condition() until it gives something true, which is returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Timeout('not within %g s: %s (last value %r)' % (seconds, what or condition, value))
        time.sleep(every)
