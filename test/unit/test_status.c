/* The three forms of `passenger status`, from snapshots made by hand, and what view refuses. */
#include "config/app_type.h"
#include "operator/output.h"
#include "operator/status_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

/* A snapshot with room to change things before it is opened. */
struct sample {
	struct snapshot_head head;
	struct snapshot_group groups[2];
	struct snapshot_process processes[3];
};

_Static_assert(sizeof(struct sample) == sizeof(struct snapshot_head) + 2 * sizeof(struct snapshot_group) +
                                                3 * sizeof(struct snapshot_process),
               "the sample is laid out as a snapshot is");

#define set(field, text) str_cut_z((field), sizeof(field), str_from(text))

static void
fill_processes(struct sample *sample)
{
	sample->processes[0] = (struct snapshot_process){
		.app_id = 7,
		.pid = 1234,
		.state = SCOREBOARD_DETACHED,
		.sessions = 1,
		.concurrency = 1,
		.retiring = 1,
		.processed = 1000000,
		.uptime_ms = ((2 * 24 + 1) * 3600 + 5) * 1000,
		.last_used_ms = 603999,
	};
	sample->processes[1] = (struct snapshot_process){
		.app_id = 7,
		.pid = 99,
		.state = SCOREBOARD_ENABLED,
		.sessions = 2,
		.concurrency = 4,
		.door_port = 40001,
		.door_ip = "127.0.0.1",
		.has_metrics = 1,
		.processed = 5,
		.uptime_ms = 65000,
		.last_used_ms = 3000,
		.cpu_permille = 1245,
		.pss_kb = 10 * 1024 + 1023,
		.rss_kb = 90 * 1024,
		.swap_kb = 1,
		.spawn_end_unix_us = 1700000000000000,
		.requests[1] = {.since_ms = 3100, .direct = 1},
	};
	set(sample->processes[1].password, "abcdefghABCDEFGH");
	set(sample->processes[1].requests[1].method, "GET");
	set(sample->processes[1].requests[1].path, "/a<b>&\"\x1b[31m");
	set(sample->processes[1].requests[1].client, "127.0.0.1:5555");
	sample->processes[2] = (struct snapshot_process){
		.app_id = 3,
		.pid = 4711,
		.state = SCOREBOARD_RECOVERING,
		.door_port = 40002,
		.door_ip = "127.0.0.1",
	};
	set(sample->processes[2].password, "0123456789abcdef");
}

static struct sample
make_sample(void)
{
	struct sample sample = {
		.head =
			{
				.magic = SNAPSHOT_MAGIC,
				.version = SNAPSHOT_VERSION,
				.group_count = 2,
				.process_count = 3,
				.total_groups = 4,
				.total_processes = 9,
				.max_pool_size = 6,
				.top_level_queue = 2,
				.now_unix_us = INT64_C(1700000100000000),
			},
		.groups =
			{
				{.app_id = 7, .queued = 12, .enabled_count = 1, .detached_count = 1},
				{.app_id = 3,
	                         .spawning = 2,
	                         .enabled_count = 1,
	                         .failure_unix_us = INT64_C(1700000088000000)},
			},
	};
	set(sample.head.passenger_version, "0.1.0");
	set(sample.head.instance_name, "shop");
	set(sample.head.listeners, "unix:/run/shop.sock 127.0.0.1:3000");
	set(sample.groups[0].name, "/srv/caf\xc3\xa9 (production)");
	set(sample.groups[0].root, "/srv/caf\xc3\xa9");
	set(sample.groups[1].name, "/srv/b (staging)");
	set(sample.groups[1].root, "/srv/b");
	set(sample.groups[1].failure_id, "f00d");
	set(sample.groups[1].failure, "it \"ended\" <early>\nsecond\tline \xff");
	fill_processes(&sample);
	return sample;
}

/* Terminated; the caller frees it. */
static char *
format(const struct sample *sample, void (*append)(struct buf *, const struct view *, const struct status_style *),
       const struct status_style *style)
{
	struct view view;
	struct buf out = {0};
	char error[256] = "";
	if (!view_open(&view, sample, sizeof(*sample), error, sizeof(error)))
		fail_msg("%s", error);
	append(&out, &view, style);
	view_close(&view);
	buf_append_char(&out, 0);
	return out.data;
}

static void
test_text_is_the_originals(void **state)
{
	(void)state;
	struct sample sample = make_sample();
	char *text = format(&sample, status_text, &(struct status_style){.header = true});
	assert_string_equal(text, "Version : 0.1.0\n"
	                          "Date    : 2023-11-14 23:15:00 +0100\n"
	                          "Instance: shop (passenger 0.1.0)\n"
	                          "\n"
	                          "----------- General information -----------\n"
	                          "Max pool size : 6\n"
	                          "App groups    : 4\n"
	                          "Processes     : 9\n"
	                          "Requests in top-level queue : 2\n"
	                          "\n"
	                          "----------- Application groups -----------\n"
	                          "/srv/caf\xc3\xa9 (production):\n"
	                          "  App root: /srv/caf\xc3\xa9\n"
	                          "  (requests wait for a free process: max_pool_size is reached)\n"
	                          "  Requests in queue: 12\n"
	                          "  * PID: 99      Sessions: 2       Processed: 5       Uptime: 1m 5s\n"
	                          "    CPU: 125%    Memory  : 11M     Last used: 3s ago\n"
	                          "  * PID: 1234    Sessions: 1       Processed: 1000000   Uptime: 2d 1h 0m 5s\n"
	                          "    CPU: 0%      Memory  : 0M      Last used: 10m 3s ago\n"
	                          "    Shutting down...\n"
	                          "\n"
	                          "/srv/b (staging):\n"
	                          "  App root: /srv/b\n"
	                          "  (spawning 2 new processes...)\n"
	                          "  Last spawn failure: ID f00d  12s ago  it \"ended\" <early>\n"
	                          "  Requests in queue: 0\n"
	                          "  * PID: 4711    Sessions: 0       Processed: 0       Uptime: 0s\n"
	                          "    CPU: 0%      Memory  : 0M      Last used: 0s ago\n"
	                          "    Recovering...\n"
	                          "\n");
	free(text);
}

static void
test_text_verbose(void **state)
{
	(void)state;
	struct sample sample = make_sample();
	sample.groups[1].spawning = 1;
	sample.groups[1].backoff_ms = 3001;
	set(sample.head.web_server, "Apache/2.4.62");
	char *text = format(&sample, status_text, &(struct status_style){.verbose = true, .header = true});
	assert_non_null(strstr(text, "Instance: shop (Apache/2.4.62)\n"));
	assert_non_null(strstr(text, "ago\n"
	                             "    URL     : http://127.0.0.1:40001\n"
	                             "    Password: abcdefghABCDEFGH\n"
	                             "    Request : GET /a<b>&\"\\x1B[31m  3s  127.0.0.1:5555  direct\n"
	                             "  * PID: 1234 "));
	assert_non_null(strstr(text, "  (spawning 1 new process...)\n"
	                             "  Last spawn failure: ID f00d  12s ago  it \"ended\" <early>\n"
	                             "  Next try in: 4s\n"
	                             "  Requests in queue: 0\n"));
	assert_non_null(strstr(
		text, "    Recovering...\n    URL     : http://127.0.0.1:40002\n    Password: 0123456789abcdef\n\n"));
	assert_null(strchr(text, '\033'));
	free(text);
}

static void
test_text_colour(void **state)
{
	(void)state;
	struct sample sample = make_sample();
	char *text = format(&sample, status_text, &(struct status_style){.colour = true});
	static const char first[] = "\033[33m\033[44m\033[1m----------- General information -----------\033[0m\n";
	assert_memory_equal(text, first, sizeof(first) - 1);
	assert_non_null(strstr(text, "\n\033[33m\033[44m\033[1m----------- Application groups -----------\033[0m\n"));
	free(text);
}

static void
test_json(void **state)
{
	(void)state;
	struct sample sample = make_sample();
	char *text = format(&sample, status_json,
	                    &(struct status_style){.verbose = true, .directory = "/run/passenger/shop"});
	assert_non_null(strstr(text, "{\"format_version\":1,\"passenger_version\":\"0.1.0\","));
	assert_non_null(strstr(text, "\"listeners\":[\"unix:/run/shop.sock\",\"127.0.0.1:3000\"]"));
	assert_non_null(strstr(text, "\"url\":\"http://127.0.0.1:40001\",\"password\":\"abcdefghABCDEFGH\""));
	assert_non_null(strstr(text, "\"path\":\"/a<b>&\\\"\\u001b[31m\""));
	assert_non_null(strstr(text, "\"text\":\"it \\\"ended\\\" <early>\\nsecond\\tline \xef\xbf\xbd\""));
	assert_non_null(strstr(text, "{\"below_ms\":16384,\"count\":0},{\"below_ms\":null,\"count\":0}]"));
	assert_non_null(strstr(text, "\"cpu_permille\":1245,\"memory_kb\":11264,"));
	assert_int_equal(text[strlen(text) - 1], '\n');
	free(text);
}

static void
test_xml(void **state)
{
	(void)state;
	struct sample sample = make_sample();
	set(sample.groups[0].environment, "a&b\x01\xff");
	sample.processes[1].sessions = 4;
	char *text = format(&sample, status_xml, &(struct status_style){.verbose = true});
	static const char first[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<info version=\"3\">\n  "
				    "<passenger_version>0.1.0</passenger_version>\n";
	assert_memory_equal(text, first, sizeof(first) - 1);
	assert_non_null(strstr(text, "<environment>a&amp;b\xef\xbf\xbd\xef\xbf\xbd</environment>"));
	assert_non_null(strstr(text, "<path>/a&lt;b&gt;&amp;\"\xef\xbf\xbd[31m</path>"));
	assert_non_null(strstr(text, "<address>tcp://127.0.0.1:40001</address>"));
	assert_non_null(strstr(text, "<password>abcdefghABCDEFGH</password>"));
	assert_non_null(strstr(text, "<busyness>2147483647</busyness>"));
	assert_non_null(strstr(text, "<last_used>1700000097000000</last_used>"));
	assert_non_null(strstr(text, "<last_used_desc>3s ago</last_used_desc>"));
	assert_non_null(strstr(text, "<capacity_used>11</capacity_used>"));
	free(text);
}

/* The snapshot should not have them, but if it did, we would not print them. */
static void
test_secrets_only_with_verbose(void **state)
{
	(void)state;
	void (*const forms[])(struct buf *, const struct view *,
	                      const struct status_style *) = {status_text, status_json, status_xml};
	struct sample sample = make_sample();
	for (size_t i = 0; i < array_count(forms); i++) {
		char *text = format(&sample, forms[i], &(struct status_style){.header = true});
		assert_null(strstr(text, "abcdefghABCDEFGH"));
		assert_null(strstr(text, "40001"));
		free(text);
	}
}

static bool
opens(const void *bytes, size_t len)
{
	struct view view;
	char error[256];
	bool opened = view_open(&view, bytes, len, error, sizeof(error));
	if (opened)
		view_close(&view);
	return opened;
}

static void
test_view_refuses(void **state)
{
	(void)state;
	struct sample sample = make_sample();
	assert_true(opens(&sample, sizeof(sample)));
	assert_false(opens(&sample, sizeof(sample) - 1));
	assert_false(opens(&sample, 0));
	assert_false(opens(&sample, sizeof(sample.head) - 1));

#define refused(change)                                       \
	do {                                                  \
		sample = make_sample();                       \
		change;                                       \
		assert_false(opens(&sample, sizeof(sample))); \
	} while (0)
	refused(sample.head.magic++);
	refused(sample.head.version++);
	refused(sample.head.group_count = 3);
	refused(sample.head.group_count = UINT32_MAX);
	refused(sample.head.process_count = UINT32_MAX);
	refused(sample.head.balancer_state = 3);
	refused(memset(sample.head.listeners, 'a', sizeof(sample.head.listeners)));
	refused(memset(sample.groups[1].failure, 'a', sizeof(sample.groups[1].failure)));
	refused(sample.groups[1].app_id = SCOREBOARD_GROUPS);
	refused(sample.groups[1].app_id = 7);
	refused(sample.processes[2].app_id = 4);
	refused(sample.processes[2].app_id = UINT32_MAX);
	refused(sample.processes[0].state = SCOREBOARD_STATE_N);
	refused(sample.processes[0].door_port = 65536);
	refused(memset(sample.processes[0].password, 'a', sizeof(sample.processes[0].password)));
	refused(memset(sample.processes[0].requests[3].path, 'a', sizeof(sample.processes[0].requests[3].path)));
#undef refused
}

static void
test_no_groups(void **state)
{
	(void)state;
	struct sample sample = make_sample();
	struct view view;
	struct buf out = {0};
	char error[256];
	sample.head.group_count = sample.head.process_count = 0;
	assert_true(view_open(&view, &sample, sizeof(sample.head), error, sizeof(error)));
	status_text(&out, &view, &(struct status_style){0});
	assert_true(str_ends(buf_str(&out), STR("\n----------- Application groups -----------\n")));
	buf_free(&out);
	view_close(&view);
}

static void
test_durations(void **state)
{
	(void)state;
	static const struct {
		uint64_t seconds;
		const char *text;
	} rows[] = {
		{0, "0s"},
		{59, "59s"},
		{60, "1m 0s"},
		{3599, "59m 59s"},
		{3600, "1h 0m 0s"},
		{86399, "23h 59m 59s"},
		{86405, "1d 0h 0m 5s"},
		{400 * 86400, "400d 0h 0m 0s"},
	};
	for (size_t i = 0; i < array_count(rows); i++) {
		struct buf out = {0};
		output_append_duration(&out, rows[i].seconds);
		assert_true(str_equal(buf_str(&out), str_from(rows[i].text)));
		buf_free(&out);
	}
}

static void
test_harmless(void **state)
{
	(void)state;
	static const struct {
		const char *in, *ascii, *utf8;
	} rows[] = {
		{"plain ~", "plain ~", "plain ~"},
		{"\n\x7f", "\\x0A\\x7F", "\\x0A\\x7F"},
		{"\xc3\xa9", "\\xC3\\xA9", "\xc3\xa9"},
		{"\xc2\x9b[", "\\xC2\\x9B[", "\\xC2\\x9B["},            /* C1: CSI */
		{"\xe2\x80\xae", "\\xE2\\x80\\xAE", "\\xE2\\x80\\xAE"}, /* right-to-left override */
		{"\xc0\xaf\xed\xa0\x80", "\\xC0\\xAF\\xED\\xA0\\x80",
	         "\\xC0\\xAF\\xED\\xA0\\x80"}, /* overlong, surrogate */
		{"\xf0\x9f\x98\x80", "\\xF0\\x9F\\x98\\x80", "\xf0\x9f\x98\x80"},
		{"\xf0\x9f\x98", "\\xF0\\x9F\\x98", "\\xF0\\x9F\\x98"}, /* cut short */
	};
	for (size_t i = 0; i < array_count(rows); i++) {
		struct buf out = {0};
		output_append(&out, str_from(rows[i].in), OUTPUT_ASCII);
		assert_true(str_equal(buf_str(&out), str_from(rows[i].ascii)));
		buf_clear(&out);
		output_append(&out, str_from(rows[i].in), OUTPUT_UTF8);
		assert_true(str_equal(buf_str(&out), str_from(rows[i].utf8)));
		buf_free(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_is_the_originals),
		cmocka_unit_test(test_text_verbose),
		cmocka_unit_test(test_text_colour),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_xml),
		cmocka_unit_test(test_secrets_only_with_verbose),
		cmocka_unit_test(test_view_refuses),
		cmocka_unit_test(test_no_groups),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_harmless),
	};
	setenv("TZ", "XYZ-1", 1); /* one hour east of UTC, without a file */
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
