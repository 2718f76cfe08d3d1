/*
 * evidence_text: what the kernel and the scoreboard say of a process, as text
 * for an evidence file.  It reads; it decides nothing.  What a process has
 * written itself is made printable.
 */
#ifndef WORKER_EVIDENCE_TEXT_H
#define WORKER_EVIDENCE_TEXT_H

#include "base/buf.h"
#include "handover/scoreboard.h"

/* Printable octets, line ends and tabs stay, UTF-8 too; at most max octets. */
void evidence_text_append(struct buf *out, const char *text, size_t len, size_t max);
/* A heading. */
void evidence_text_section(struct buf *out, const char *title);
/* Requests that run there; one line each. */
void evidence_text_requests(struct buf *out, const struct scoreboard_process *process, uint64_t now_ms);
/* Memory, limits, threads, descriptors; nothing of its environment.  Returns its state as in /proc/PID/stat, or '?'. */
char evidence_text_process(struct buf *out, int32_t pid);

#endif
