/*
 * command: one row a command of the program.  passenger.c lists the rows;
 * the file that is named after the command holds the rest.
 */
#ifndef OPERATOR_COMMAND_H
#define OPERATOR_COMMAND_H

/* What a command ends with. */
enum command_exit {
	COMMAND_OK = 0,
	COMMAND_FAILED = 1,  /* no instance, several and none chosen, no answer, not found */
	COMMAND_REFUSED = 2, /* not allowed, or the command line is wrong */
};

struct command {
	const char *name;
	const char *summary; /* a few words for `passenger help` */
	/* argv[0] is the command's name, argv[argc] is NULL; returns the exit code. */
	int (*run)(int argc, char **argv);
};

extern const struct command command_status;
extern const struct command command_stop;
extern const struct command command_check;
extern const struct command command_runtimes;
extern const struct command command_list_instances;
extern const struct command command_restart;
extern const struct command command_restart_app; /* the same, as the original calls it: words are paths */
extern const struct command command_maintenance;
extern const struct command command_reload;
extern const struct command command_upgrade;
extern const struct command command_detach;
extern const struct command command_reopen_logs;
extern const struct command command_backtrace;

/* The program called by one of the original's names; argv as main() has it. */
int passenger_status_main(int argc, char **argv);
int passenger_config_main(int argc, char **argv);

#endif
