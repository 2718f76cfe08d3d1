/*
 * preloader: processes that share the memory of the loaded application.  One
 * process per application, the preloader, runs the loader up to the point
 * where it would serve; for each process it is sent that one's descriptors and
 * forks twice, so that the child becomes ours.
 *
 *     wanted ----> WAITING until the preloader has loaded the application
 *                    |  descriptors sent                         ^ they are closed without a hello, once
 *                    v                                           |
 *                  SENT: what the kernel says of who says hello on the control descriptor is checked
 *                    |  adopted
 *                    v
 *                  an ordinary worker: gets its arguments, says READY
 *
 * No pid that an application tells is believed: the kernel writes it beside
 * the hello, and the process must be our child, lead a session of its own, run
 * as the application's user, and be known as no other.
 *
 * A preloader that dies costs the next process a new one.  It counts in no
 * limit of the pool, and is stopped by whoever stops all workers.
 */
#ifndef WORKER_PRELOADER_H
#define WORKER_PRELOADER_H

#include "worker/worker.h"

/* One process more, by the application's preloader where it is to have one.
 * What goes wrong is told by workers->events->failed, at once or later. */
void preloader_spawn(struct workers *workers, const struct app_config *app);

/* The application may have changed: what was loaded until now is forked no more.  After
 * workers->generations has been counted up, when that is to be. */
void preloader_renew(struct workers *workers, uint32_t app_id);

/* A worker of an earlier image that is a preloader, or that one is to fork; its timers are set by the caller. */
void preloader_restore(struct worker *worker, bool is_preloader, int control_fd);
/* When all are there again: who waits is served. */
void preloader_go_on(struct workers *workers, uint32_t app_id);
/* It has served until now, and is the preloader from now on.  Before restart_begin(), which lets
 * the one before go. */
void preloader_take(struct worker *worker);

/* 0: none. */
int32_t preloader_pid(const struct workers *workers, uint32_t app_id);

#endif
