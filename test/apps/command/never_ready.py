#!/usr/bin/env python3
"""Starts and never listens."""
import signal

print('never_ready: waiting for nothing', flush=True)
signal.pause()
