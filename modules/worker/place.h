/*
 * place: the instance directory (handover/instance.h says what is in it), made
 * so that no other user can put anything into it or in its way: every step of
 * the path is checked, and from then on only the open directory is used.
 */
#ifndef WORKER_PLACE_H
#define WORKER_PLACE_H

#include "handover/instance.h"

enum { PLACE_ERROR_BYTES = 512 };

enum place_result { PLACE_OURS, PLACE_RUNNING /* another one serves here: place->other_pid */, PLACE_FAILED };

struct place {
	char dir[256];
	char apps_dir[272], loaders_dir[272], programs_dir[272], control_path[272];
	int dir_fd, apps_fd, loaders_fd, programs_fd, lock_fd;
	int32_t other_pid; /* RUNNING: whose it is; taken over: whose it was; 0: not known */
	bool taken_over;   /* somebody ended here without cleaning up */
	bool made;         /* the directory is of our making, and goes with us */
};

/* Makes or takes over the directory and locks it.  apps_gid: the balancer's group. */
enum place_result place_open(struct place *place, const char *dir, char error[PLACE_ERROR_BYTES]) must_check;
/* The paths in it follow from its own. */
void place_name_parts(struct place *place);
/* The directories of the sockets, of the loaders and of programs' folders; the first may be passed by this group only. */
bool place_fill(struct place *place, uint32_t apps_gid, char error[PLACE_ERROR_BYTES]) must_check;
/* A loader's file, readable by everyone; takes the place of one of this name. */
bool place_add_loader(struct place *place, const char *name, const void *data, size_t len,
                      char error[PLACE_ERROR_BYTES]) must_check;
/* A folder in the directory of programs that nobody but this user can enter; false and errno. */
bool place_make_folder(int programs_fd, const char *name, uint32_t uid, uint32_t gid) must_check;
/* Removes a file or a folder with what is in it, whoever put it there; of a great many files some are left until the end. */
void place_remove(int dir_fd, const char *name);
/* Removes what is in it, and the directory if we made it, and lets the lock go. */
void place_close(struct place *place);

#endif
