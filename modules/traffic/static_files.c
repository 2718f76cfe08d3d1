#include "traffic/static_files.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	PATH_BYTES = 1024,
	SUFFIX_BYTES = 16, /* "index.html" and ".gz" behind it */
	EXTRA_BYTES = 512,
	ETAG_BYTES = 64,
	COMPLAIN_MS = 60 * 1000,
};

/* ---- types ---- */

struct type_row {
	struct str extension, type;
	bool packs; /* a file.gz beside it may be sent instead */
};

static const struct type_row types[] = {
	{STR("html"), STR("text/html; charset=utf-8"), true},
	{STR("css"), STR("text/css; charset=utf-8"), true},
	{STR("js"), STR("text/javascript; charset=utf-8"), true},
	{STR("mjs"), STR("text/javascript; charset=utf-8"), true},
	{STR("json"), STR("application/json"), true},
	{STR("map"), STR("application/json"), true},
	{STR("webmanifest"), STR("application/manifest+json"), true},
	{STR("svg"), STR("image/svg+xml"), true},
	{STR("png"), STR("image/png"), false},
	{STR("jpg"), STR("image/jpeg"), false},
	{STR("jpeg"), STR("image/jpeg"), false},
	{STR("gif"), STR("image/gif"), false},
	{STR("webp"), STR("image/webp"), false},
	{STR("avif"), STR("image/avif"), false},
	{STR("ico"), STR("image/vnd.microsoft.icon"), false},
	{STR("woff"), STR("font/woff"), false},
	{STR("woff2"), STR("font/woff2"), false},
	{STR("ttf"), STR("font/ttf"), true},
	{STR("otf"), STR("font/otf"), true},
	{STR("txt"), STR("text/plain; charset=utf-8"), true},
	{STR("md"), STR("text/markdown; charset=utf-8"), true},
	{STR("csv"), STR("text/csv; charset=utf-8"), true},
	{STR("xml"), STR("application/xml"), true},
	{STR("wasm"), STR("application/wasm"), true},
	{STR("pdf"), STR("application/pdf"), false},
	{STR("zip"), STR("application/zip"), false},
	{STR("gz"), STR("application/gzip"), false},
	{STR("mp3"), STR("audio/mpeg"), false},
	{STR("ogg"), STR("audio/ogg"), false},
	{STR("wav"), STR("audio/wav"), false},
	{STR("mp4"), STR("video/mp4"), false},
	{STR("webm"), STR("video/webm"), false},
};
static const struct type_row type_unknown = {STR(""), STR("application/octet-stream"), false};

static const struct type_row *
type_of(struct str path)
{
	size_t dot = path.len;
	while (dot > 0 && path.data[dot - 1] != '.' && path.data[dot - 1] != '/')
		dot--;
	struct str extension = str_make(path.data + dot, dot > 0 && path.data[dot - 1] == '.' ? path.len - dot : 0);
	for (size_t i = 0; i < array_count(types); i++)
		if (str_equal_nocase(types[i].extension, extension))
			return &types[i];
	return &type_unknown;
}

/* ---- the path ---- */

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The next octet, decoded; -1: none that may stand in a file's name, for the application to judge. */
static int
next_octet(struct str path, size_t *at)
{
	char c = path.data[(*at)++];
	if (c != '%')
		return (unsigned char)c;
	int high = *at + 1 < path.len ? hex_digit(path.data[*at]) : -1;
	int low = high >= 0 ? hex_digit(path.data[*at + 1]) : -1;
	int octet = low >= 0 ? high * 16 + low : -1;
	*at += 2;
	return octet == 0 || octet == '/' ? -1 : octet;
}

/* The file's name below the folder.  No segment is empty (but the last) or begins with a dot, but for .well-known. */
static bool
decode_path(struct str path, char out[PATH_BYTES], size_t *out_len)
{
	size_t len = 0, segment = 0;
	for (size_t at = 1; at < path.len;) {
		int octet = next_octet(path, &at);
		if (octet < 0 || len + SUFFIX_BYTES >= PATH_BYTES || (octet == '/' && len == segment))
			return false;
		out[len++] = (char)octet;
		if (octet == '/')
			segment = len;
		else if (len == segment + 1 && octet == '.' && !(segment == 0 && str_starts(path, STR("/.well-known/"))))
			return false;
	}
	*out_len = len;
	return true;
}

/* What to look for: the file itself, a folder's index.html, or the page of this name without its ending. */
static void
complete_path(char path[PATH_BYTES], size_t len, bool again)
{
	const char *suffix = len == 0 || path[len - 1] == '/' ? "index.html" : again ? ".html" : "";
	memcpy(path + len, suffix, strlen(suffix) + 1);
}

static bool
has_extension(const char *path, size_t len)
{
	const char *slash = memrchr(path, '/', len);
	const char *name = slash != NULL ? slash + 1 : path;
	return memchr(name, '.', len - (size_t)(name - path)) != NULL;
}

/* Now and then: it may be many files. */
static void
complain(const struct request *request, const char *path)
{
	static uint64_t silent_until_ms;
	uint64_t now_ms = request->traffic->loop->now_ms;
	if (now_ms < silent_until_ms)
		return;
	silent_until_ms = now_ms + COMPLAIN_MS;
	log_warn("application '%s': %s in %s can not be read by the balancer's user, and is left to the application "
	         "(chmod o+rX, or static_files = off)",
	         request->app->name, path, request->app->static_files_dir);
}

/* A regular file that may be read, or -1.  Not a moment is waited for a pipe or a lease. */
static int
open_beneath(const struct request *request, const char *path, struct stat *stat)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int folder = request->traffic->folders[request->app->id];
	int fd = (int)syscall(SYS_openat2, folder, path, &how, sizeof(how));
	if (fd < 0) {
		if (errno == EACCES)
			complain(request, path);
		return -1;
	}
	if (fstat(fd, stat) == 0 && S_ISREG(stat->st_mode))
		return fd;
	close(fd);
	return -1;
}

/* ---- conditions and ranges ---- */

static struct str
field_of(const struct http_request *http, struct str name)
{
	for (uint32_t i = 0; i < http->field_count; i++)
		if (str_equal_nocase(http->fields[i].name, name))
			return http->fields[i].value;
	return str_make(NULL, 0);
}

struct version {
	char etag[ETAG_BYTES]; /* strong: another content has another one */
	char date[30];
};

/* A number that grows with the date, 0 for what is no IMF-fixdate (RFC 9110 section 5.6.7). */
static uint64_t
date_order(struct str text)
{
	const struct str months = STR("JanFebMarAprMayJunJulAugSepOctNovDec");
	static const uint8_t places[] = {12, 14, 5,
	                                 17, 20, 23}; /* of two digits: year, year, day, hour, minute, second */
	uint64_t order = 0;
	if (text.len != 29 || !str_ends(text, STR(" GMT")))
		return 0;
	const char *month = str_search(months, str_make(text.data + 8, 3));
	if (month == NULL)
		return 0;
	for (size_t i = 0; i < array_count(places); i++) {
		unsigned tens = (unsigned char)text.data[places[i]] - '0',
			 ones = (unsigned char)text.data[places[i] + 1] - '0';
		if (tens > 9 || ones > 9)
			return 0;
		order = order * 100 + tens * 10 + ones;
		if (i == 1)
			order = order * 100 + (uint64_t)(month - months.data);
	}
	return order;
}

static bool
etag_matches(struct str list, const struct version *version, bool weak)
{
	struct str one;
	while (str_split(&list, ',', &one)) {
		one = str_trim(one);
		if (weak && str_starts(one, STR("W/")))
			one = str_make(one.data + 2, one.len - 2);
		if (str_equal(one, STR("*")) || str_equal(one, str_from(version->etag)))
			return true;
	}
	return false;
}

/* RFC 9110 section 13.2.2: 304, 412, or 200 when nothing stands against it. */
static uint16_t
check_conditions(const struct http_request *http, const struct version *version)
{
	struct str match = field_of(http, STR("If-Match")), none = field_of(http, STR("If-None-Match"));
	uint64_t ours = date_order(str_from(version->date));
	uint64_t unmodified = date_order(field_of(http, STR("If-Unmodified-Since")));
	if (match.len > 0 ? !etag_matches(match, version, false) : unmodified != 0 && ours > unmodified)
		return 412;
	uint64_t modified = date_order(field_of(http, STR("If-Modified-Since")));
	if (none.len > 0 ? etag_matches(none, version, true) : modified != 0 && ours <= modified)
		return 304;
	return 200;
}

/* 200: all of it (no range, one that we do not understand, several), 206, or 416. */
static uint16_t
check_range(const struct http_request *http, const struct version *version, uint64_t size, uint64_t *from, uint64_t *to)
{
	struct str range = field_of(http, STR("Range")), condition = field_of(http, STR("If-Range")), first;
	uint64_t low, high = UINT64_MAX;
	if (http->method_id != HTTP_METHOD_GET || !str_starts_nocase(range, STR("bytes=")))
		return 200;
	if (condition.len > 0 && !str_equal(condition, str_from(version->etag)) &&
	    !str_equal(condition, str_from(version->date)))
		return 200;
	struct str last = str_make(range.data + 6, range.len - 6);
	if (!str_split(&last, '-', &first) || last.data == NULL)
		return 200;
	first = str_trim(first);
	last = str_trim(last);
	if (last.len > 0 && !str_to_u64(last, &high))
		return 200;
	if (first.len == 0) {
		if (last.len == 0)
			return 200;
		low = high < size ? size - high : 0;
		high = high > 0 ? UINT64_MAX : 0;
		if (high == 0)
			return 416;
	} else if (!str_to_u64(first, &low) || low > high) {
		return 200;
	}
	if (low >= size)
		return 416;
	*from = low;
	*to = high < size ? high + 1 : size;
	return 206;
}

static bool
takes_gzip(const struct http_request *http)
{
	struct str list = field_of(http, STR("Accept-Encoding")), one, name;
	while (str_split(&list, ',', &one)) {
		if (!str_split(&one, ';', &name) || !str_equal_nocase(str_trim(name), STR("gzip")))
			continue;
		struct str weight = one.data != NULL ? str_trim(one) : STR("q=1");
		/* q=0, q=0.0, … is a no (RFC 9110 section 12.4.2) */
		for (size_t i = 0; i < weight.len; i++)
			if (weight.data[i] >= '1' && weight.data[i] <= '9')
				return true;
	}
	return false;
}

/* ---- the answer ---- */

static void
answer_found(struct request *request, const struct http_request *http, const struct type_row *type, bool packed, int fd,
             const struct stat *stat)
{
	struct version version;
	char extra[EXTRA_BYTES], range[80] = "";
	uint64_t size = (uint64_t)stat->st_size, from = 0, to = size;
	str_format(version.etag, sizeof(version.etag), "\"%llx-%llx-%llx\"", (unsigned long long)stat->st_ino,
	           (unsigned long long)stat->st_mtim.tv_sec * 1000000000 + (unsigned long long)stat->st_mtim.tv_nsec,
	           (unsigned long long)size);
	http_date(version.date, stat->st_mtim.tv_sec);
	uint16_t status = check_conditions(http, &version);
	if (status == 200)
		status = check_range(http, &version, size, &from, &to);
	if (status == 206)
		str_format(range, sizeof(range), "Content-Range: bytes %llu-%llu/%llu\r\n", (unsigned long long)from,
		           (unsigned long long)(to - 1), (unsigned long long)size);
	else if (status == 416)
		str_format(range, sizeof(range), "Content-Range: bytes */%llu\r\n", (unsigned long long)size);
	str_format(extra, sizeof(extra), "Last-Modified: %s\r\nETag: %s\r\nAccept-Ranges: bytes\r\n%s%s%s",
	           version.date, version.etag, range, type->packs ? "Vary: Accept-Encoding\r\n" : "",
	           packed && status < 300 ? "Content-Encoding: gzip\r\n" : "");
	/* An error has a body, if an empty one. */
	if (status >= 400)
		to = from;
	answer_file(request, status, status == 304 ? str_make(NULL, 0) : type->type, str_from(extra), fd, from, to);
}

bool
static_files_answer(struct request *request, const struct http_request *http)
{
	const struct listener *listener = request->client->listener;
	const struct app_config *app = request->app;
	if (request->traffic->folders[app->id] < 0 || listener->kind != LISTENER_FRONT ||
	    !listener->config->static_files || !app->static_files || http->upgrade.len > 0 ||
	    (http->method_id != HTTP_METHOD_GET && http->method_id != HTTP_METHOD_HEAD) || !upload_complete(request))
		return false;
	char path[PATH_BYTES];
	size_t base = strlen(app->base_uri), len;
	struct str below = base <= 1 ? http->path : str_make(http->path.data + base, http->path.len - base);
	if (!decode_path(below, path, &len))
		return false;
	struct stat stat;
	complete_path(path, len, false);
	int fd = -1;
	const struct type_row *type = type_of(str_from(path));
	bool packed = type->packs && takes_gzip(http);
	if (packed) {
		size_t whole = strlen(path);
		memcpy(path + whole, ".gz", 4);
		fd = open_beneath(request, path, &stat);
		path[whole] = '\0';
	}
	packed = fd >= 0;
	if (fd < 0)
		fd = open_beneath(request, path, &stat);
	if (fd < 0 && len > 0 && path[len - 1] != '/' && !has_extension(path, len)) {
		complete_path(path, len, true);
		type = type_of(str_from(path));
		fd = open_beneath(request, path, &stat);
	}
	if (fd < 0)
		return false;
	answer_found(request, http, type, packed, fd, &stat);
	return true;
}
