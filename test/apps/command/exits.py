#!/usr/bin/env python3
"""Says why and exits at once with 3."""
import sys

print('exits: the database is not there', file=sys.stderr, flush=True)
sys.exit(3)
