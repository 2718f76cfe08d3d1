/*
 * serve: `passenger serve`: the command line, the configuration, the instance
 * directory and the listeners; then the spawner runs.
 */
#ifndef SPAWNER_SERVE_H
#define SPAWNER_SERVE_H

enum serve_exit {
	SERVE_OK = 0,
	SERVE_FAILED = 1,
	SERVE_USAGE = 2,   /* command line or configuration */
	SERVE_RUNNING = 3, /* another passenger serves in this instance directory */
};

int serve_command(int argc, char **argv);

#endif
