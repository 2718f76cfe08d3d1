# Can not be loaded: ends the process.
import sys
sys.exit(3)
