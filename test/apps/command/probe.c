/*
 * The C twin of origin.py, for the table of the doors: the same routes, the same JSON.  A thread a connection; it takes
 * $PORT.  What it is sent it believes: origin.py is the strict one.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 65536, TEXT_BYTES_MAX = 256 * 1024 };

struct exchange {
	FILE *in, *out;
	char method[32], target[LINE_BYTES_MAX], line[LINE_BYTES_MAX];
	char headers[TEXT_BYTES_MAX]; /* as JSON members */
	size_t headers_len;
	long length, got;
	int chunked, close, expects, upgrade;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int inside_now, inside_most;

static void
add_quoted(struct exchange *e, const char *text, int lower)
{
	char *at = e->headers + e->headers_len;
	*at++ = '"';
	for (; *text && at < e->headers + TEXT_BYTES_MAX - 8; text++) {
		if (*text == '"' || *text == '\\')
			*at++ = '\\';
		*at++ = lower && *text >= 'A' && *text <= 'Z' ? (char)(*text | 32) : *text;
	}
	*at++ = '"';
	e->headers_len = (size_t)(at - e->headers);
}

static void
take_field(struct exchange *e, char *line)
{
	char *value = strchr(line, ':');
	if (value == NULL || e->headers_len > TEXT_BYTES_MAX / 2)
		return;
	*value++ = 0;
	value += strspn(value, " \t");
	if (e->headers_len > 0)
		e->headers[e->headers_len++] = ',';
	add_quoted(e, line, 1);
	e->headers[e->headers_len++] = ':';
	add_quoted(e, value, 0);
	if (strcasecmp(line, "content-length") == 0)
		e->length = atol(value);
	else if (strcasecmp(line, "transfer-encoding") == 0)
		e->chunked = 1;
	else if (strcasecmp(line, "connection") == 0 && strcasecmp(value, "close") == 0)
		e->close = 1;
	else if (strcasecmp(line, "expect") == 0)
		e->expects = 1;
	else if (strcasecmp(line, "upgrade") == 0)
		e->upgrade = 1;
}

static int
read_line(struct exchange *e)
{
	if (fgets(e->line, sizeof(e->line), e->in) == NULL)
		return 0;
	e->line[strcspn(e->line, "\r\n")] = 0;
	return 1;
}

static int
read_head(struct exchange *e)
{
	e->length = e->got = e->chunked = e->expects = e->upgrade = 0;
	e->headers_len = 0;
	if (!read_line(e) || sscanf(e->line, "%31s %65535s", e->method, e->target) != 2)
		return 0;
	while (read_line(e) && e->line[0])
		take_field(e, e->line);
	e->headers[e->headers_len] = 0;
	return !feof(e->in);
}

static void
drop(struct exchange *e, long count)
{
	char block[65536];
	size_t got = 1;
	for (; count > 0 && got > 0; count -= (long)got, e->got += (long)got)
		got = fread(block, 1, count < (long)sizeof(block) ? (size_t)count : sizeof(block), e->in);
}

static void
read_body(struct exchange *e)
{
	if (e->expects) {
		fputs("HTTP/1.1 100 Continue\r\n\r\n", e->out);
		fflush(e->out);
	}
	long size = e->length;
	while (e->chunked && read_line(e) && (size = strtol(e->line, NULL, 16)) > 0) {
		drop(e, size);
		if (!read_line(e))
			return;
	}
	if (e->chunked)
		while (read_line(e) && e->line[0])
			;
	else
		drop(e, size);
}

static long
parameter(const struct exchange *e, const char *name, long otherwise)
{
	const char *at = strstr(e->target, name);
	return at != NULL ? atol(at + strlen(name)) : otherwise;
}

static void
answer(struct exchange *e, long status, const char *type, const char *format, ...)
{
	char body[2 * TEXT_BYTES_MAX];
	va_list arguments;
	va_start(arguments, format);
	int len = vsnprintf(body, sizeof(body), format, arguments);
	va_end(arguments);
	fprintf(e->out, "HTTP/1.1 %ld %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", status,
	        status == 404 ? "Not Found" : "OK", type, len);
	if (strcmp(e->method, "HEAD") != 0)
		fputs(body, e->out);
}

/* Waits ?ms=N, or until the file ?gate=FILE is there. */
static void
wait_for(const struct exchange *e, long ms)
{
	const char *at = strstr(e->target, "gate=");
	char path[4096];
	if (at == NULL) {
		usleep((useconds_t)parameter(e, "ms=", ms) * 1000);
		return;
	}
	at += strlen("gate=");
	snprintf(path, sizeof(path), "%.*s", (int)strcspn(at, "&"), at);
	for (int i = 0; i < 6000 && access(path, F_OK) != 0; i++)
		usleep(10000);
}

static int
be_inside(const struct exchange *e)
{
	pthread_mutex_lock(&lock);
	if (++inside_now > inside_most)
		inside_most = inside_now;
	pthread_mutex_unlock(&lock);
	wait_for(e, 50);
	pthread_mutex_lock(&lock);
	inside_now--;
	int most = inside_most;
	pthread_mutex_unlock(&lock);
	return most;
}

static void
tunnel(struct exchange *e)
{
	char block[65536];
	ssize_t got;
	fputs("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n", e->out);
	fflush(e->out);
	while ((got = read(fileno(e->in), block, sizeof(block))) > 0 && !(got == 4 && memcmp(block, "bye\n", 4) == 0)) {
		fwrite(block, 1, (size_t)got, e->out);
		fflush(e->out);
	}
}

static void
big(struct exchange *e, long left)
{
	static char block[65536];
	memset(block, 'z', sizeof(block));
	fprintf(e->out, "HTTP/1.1 200 OK\r\nContent-Length: %ld\r\n\r\n", left);
	for (; left > 0; left -= (long)sizeof(block))
		fwrite(block, 1, left < (long)sizeof(block) ? (size_t)left : sizeof(block), e->out);
}

/* False: the connection ends. */
static int
serve(struct exchange *e)
{
	long status = 200;
	int most = 0, end = (int)strcspn(e->target, "?");
	char path[64];
	snprintf(path, sizeof(path), "%.*s", end, e->target);
	if (strcmp(path, "/upgrade") == 0 && e->upgrade) {
		tunnel(e);
		return 0;
	}
	read_body(e);
	if (strcmp(path, "/drop") == 0)
		return 0;
	if (strcmp(path, "/hello") == 0) {
		answer(e, 200, "text/plain", "hello from %d\n", getpid());
		return !e->close;
	}
	if (strcmp(path, "/big") == 0) {
		big(e, parameter(e, "n=", 0));
		return !e->close;
	}
	if (strcmp(path, "/raise") == 0)
		status = 500;
	else if (strcmp(path, "/status") == 0)
		status = parameter(e, "code=", 200);
	else if (strcmp(path, "/sleep") == 0)
		wait_for(e, 100);
	else if (strcmp(path, "/inside") == 0)
		most = be_inside(e);
	answer(e, status, "application/json",
	       "{\"pid\": %d, \"method\": \"%s\", \"target\": \"%s\", \"path\": \"%.*s\", \"length\": %ld, \"inside\": "
	       "%d, "
	       "\"headers\": {%s}}",
	       getpid(), e->method, e->target, end, e->target, e->got, most, e->headers);
	return !e->close;
}

static void *
converse(void *argument)
{
	int fd = (int)(long)argument;
	struct exchange *e = calloc(1, sizeof(*e));
	e->in = fdopen(fd, "r");
	e->out = fdopen(dup(fd), "w");
	while (read_head(e) && serve(e))
		fflush(e->out);
	fclose(e->out);
	fclose(e->in);
	free(e);
	return NULL;
}

int
main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(getenv("PORT")))};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, client;
	signal(SIGPIPE, SIG_IGN);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 1024) != 0) {
		perror("probe");
		return 1;
	}
	while ((client = accept(fd, NULL, NULL)) >= 0) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, converse, (void *)(long)client) != 0)
			close(client);
		else
			pthread_detach(thread);
	}
	return 0;
}
