# Can't be loaded: ends the process.
exit 3
