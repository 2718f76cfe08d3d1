/*
 * static_files: requests that the files in an application's static_files_dir
 * answer, so that it looks right without a web server in front (RFC 9110:
 * conditions, one range).  What is no file there is the application's affair.
 *
 * Files are opened beneath that folder only (openat2), as the balancer's user:
 * an application's user can show nothing here that he could not read himself.
 */
#ifndef TRAFFIC_STATIC_FILES_H
#define TRAFFIC_STATIC_FILES_H

#include "traffic/request.h"

/* True: it is answered, and the request may be gone. */
bool static_files_answer(struct request *request, const struct http_request *http) must_check;

#endif
