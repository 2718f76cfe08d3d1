#!/bin/sh
# The listener is a descendant of the process that was started: a shell around the program.
"$@" &
trap 'kill "$!" 2>/dev/null' TERM
wait
