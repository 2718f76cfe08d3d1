/*
 * route: which application a request is for: by its listener, its host and the
 * longest base URI.
 */
#ifndef POOL_ROUTE_H
#define POOL_ROUTE_H

#include "config/app_type.h"

/*
 * listener: the front listener that the request came by; its `app`, when set,
 * is the only candidate.  host: the authority as sent, a port is ignored.
 * path: not decoded; a base URI matches whole segments only.  NULL: none.
 */
const struct app_config *route_find(const struct config *config, const struct listener_config *listener,
                                    struct str host, struct str path);

/* Lies it at or below one of unlimited_concurrency_paths? */
bool route_is_unlimited(const struct app_config *app, struct str path);

#endif
