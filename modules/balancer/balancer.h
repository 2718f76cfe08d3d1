/*
 * balancer: the child's main: it makes the loop, takes what the spawner hands
 * over, builds pool and traffic on it, and lets them run.  It holds no
 * privilege and nothing that the next balancer could not be told.
 */
#ifndef BALANCER_BALANCER_H
#define BALANCER_BALANCER_H

/* `passenger balance --uid N --gid N`: started by the spawner, with the channel on descriptor 3. */
int balance_command(int argc, char **argv);

#endif
