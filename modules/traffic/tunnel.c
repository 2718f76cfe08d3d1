#include "traffic/request.h"

#include <errno.h>
#include <sys/socket.h>

/* Opaque bytes both ways (RFC 9110 section 7.8), each way with its own back-pressure, each half closed by itself. */

enum { TUNNEL_HIGH_BYTES = 256 * 1024 };

void
tunnel_begin(struct request *request)
{
	request->state = REQUEST_TUNNEL;
	spool_free(&request->up);
	spool_init(&request->up, UINT64_MAX, NULL);
	session_tunnel(&request->session);
	request_progress(request);
	client_input_again(request->client);
}

size_t
tunnel_input(struct request *request, const char *data, size_t len)
{
	if (request->backend == NULL)
		return len;
	if (!spool_append(&request->up, data, len))
		return 0;
	request->body_bytes += len;
	request_progress(request);
	tunnel_pump(request);
	if (spool_bytes(&request->up) > TUNNEL_HIGH_BYTES)
		client_pause(request->client);
	return len;
}

void
tunnel_end(struct request *request)
{
	request_drop_backend(request);
	session_end(&request->session);
	request->keep_alive = false;
	request_finish(request);
}

void
tunnel_pump(struct request *request)
{
	struct backend *backend = request->backend;
	struct str next;
	if (backend == NULL)
		return;
	while ((next = spool_peek(&request->up)).len > 0) {
		struct iovec piece = {(char *)(uintptr_t)next.data, next.len};
		ssize_t wrote = backend_write(backend, &piece, 1);
		if (wrote < 0) {
			tunnel_end(request);
			return;
		}
		spool_consume(&request->up, (size_t)wrote);
		if ((size_t)wrote < next.len)
			break;
	}
	backend_want(backend, client_pending(request->client) < TUNNEL_HIGH_BYTES, spool_bytes(&request->up) > 0);
	if (spool_bytes(&request->up) == 0) {
		if (request->client->input == CLIENT_INPUT_ENDED)
			shutdown(backend->watch.fd, SHUT_WR);
		else
			client_resume(request->client);
	}
}

void
tunnel_input_ended(struct request *request)
{
	if (request->backend == NULL) {
		tunnel_end(request);
		return;
	}
	tunnel_pump(request);
}

void
tunnel_readable(struct request *request)
{
	struct traffic *traffic = request->traffic;
	ssize_t got = recv(request->backend->watch.fd, traffic->scratch, sizeof(traffic->scratch), 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		tunnel_end(request);
		return;
	}
	struct iovec piece = {traffic->scratch, (size_t)got};
	request->answer_bytes += (uint64_t)got;
	request_progress(request);
	if (!client_write(request->client, &piece, 1)) {
		client_abort(request->client);
		return;
	}
	if (client_pending(request->client) >= TUNNEL_HIGH_BYTES)
		backend_want(request->backend, false, spool_bytes(&request->up) > 0);
}

void
tunnel_drained(struct request *request)
{
	if (request->backend != NULL && client_pending(request->client) < TUNNEL_HIGH_BYTES)
		backend_want(request->backend, true, spool_bytes(&request->up) > 0);
}
