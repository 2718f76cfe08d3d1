#include "config/config_fields.h"

#include <assert.h>

enum { REQUESTS_MAX = 1000 * 1000, THREADS_MAX = 1000, JITTER_MAX = 1000 * 1000 * 1000 };

static const char *const log_formats[] = {
	[CONFIG_LOG_OFF] = "off",
	[CONFIG_LOG_COMMON] = "common",
	[CONFIG_LOG_COMBINED] = "combined",
	[CONFIG_LOG_JSON] = "json",
	NULL,
};

static const char *const spawn_methods[] = {
	[CONFIG_SPAWN_AUTO] = "auto",
	[CONFIG_SPAWN_SMART] = "smart",
	[CONFIG_SPAWN_DIRECT] = "direct",
	NULL,
};

static const char *const pre_starts[] = {
	[CONFIG_PRE_START_AUTO] = "auto",
	[CONFIG_PRE_START_ON] = "on",
	[CONFIG_PRE_START_OFF] = "off",
	NULL,
};

static const char *const readinesses[] = {"auto", "port", "socket", "descriptor", NULL};

static const char *const auto_on_off[] = {"auto", "on", "off", NULL};

/* A row is read best in few lines. */
/* clang-format off */
static const struct option rows[] = {
#include "config/config_sections.h"

	/* --- the pool ------------------------------------------------------------------ */
	{.name = "max_pool_size", OF_CONFIG(max_pool_size), .type = OPTION_INT, .group = OPTION_GROUP_POOL,
	 .original = "PassengerMaxPoolSize", .edition = OPEN_SOURCE, .default_text = "6", .min = 1,
	 .max = CONFIG_POOL_SIZE_MAX,
	 .help = HELP("How many processes there are at most, all applications together. When they are all there, an application whose requests wait gets its first one from another that has an idle one, and more only where one was idle for 5 s or the other has two more.")},
	{.name = "max_concurrent_spawns", OF_CONFIG(max_concurrent_spawns), .type = OPTION_INT,
	 .group = OPTION_GROUP_POOL, .default_text = "4", .min = 1, .max = CONFIG_POOL_SIZE_MAX,
	 .help = HELP("How many processes are being started at once, all applications together; further ones wait for "
		 "their turn, those that a request waits for first. Of one application two are started at once.")},
	{.name = "max_instances_per_app", OF_CONFIG(max_instances_per_app), .type = OPTION_INT,
	 .group = OPTION_GROUP_POOL, .original = "PassengerMaxInstancesPerApp", .edition = OPEN_SOURCE,
	 .default_text = "0", .min = 0, .max = CONFIG_POOL_SIZE_MAX,
	 .help = HELP("How many processes any single application has at most, whatever its max_instances says. 0: no "
		 "limit.")},
	{.name = "min_instances", OF_APPS(min_instances), .live = true, .type = OPTION_INT, .group = OPTION_GROUP_POOL,
	 .original = "PassengerMinInstances", .edition = OPEN_SOURCE, .default_text = "1", .min = 0,
	 .max = CONFIG_POOL_SIZE_MAX,
	 .help = HELP("How many processes an application keeps at least. They are started with passenger, see pre_start; "
		 "with 0 an application that nobody uses has none.")},
	{.name = "pre_start", OF_APPS(pre_start), .live = true, .type = OPTION_CHOICE, .group = OPTION_GROUP_POOL,
	 .original = "PassengerPreStart", .edition = OPEN_SOURCE, .choices = pre_starts, .default_text = "auto",
	 .help = HELP("What is started before the first request. auto: min_instances processes. on: at least one, which "
		 "is kept until the first request even if min_instances is 0. off: none; min_instances counts from the "
		 "first request on, as in the original, which wants a URL here.")},
	{.name = "max_instances", OF_APPS(max_instances), .live = true, .type = OPTION_INT, .group = OPTION_GROUP_POOL,
	 .original = "PassengerMaxInstances", .edition = ENTERPRISE, .default_text = "0",
	 .min = 0, .max = CONFIG_POOL_SIZE_MAX,
	 .help = HELP("How many processes an application has at most. 0: as many as the pool allows.")},
	{.name = "pool_idle_time", OF_APPS(pool_idle_time_ms), .live = true, .type = OPTION_DURATION, .group = OPTION_GROUP_POOL,
	 .original = "PassengerPoolIdleTime", .edition = OPEN_SOURCE, .default_text = "5m", .max = TIME_MAX,
	 .help = HELP("A process that nobody has used for so long is stopped, unless min_instances needs it. 0: never.")},
	{.name = "spawn_method", OF_APPS(spawn_method), .type = OPTION_CHOICE, .group = OPTION_GROUP_POOL,
	 .original = "PassengerSpawnMethod", .edition = OPEN_SOURCE, .choices = spawn_methods, .default_text = "auto",
	 .help = HELP("smart: the application is loaded once, in a preloader, which is forked for each process: they "
		 "start quickly and share memory (ruby and python; other types are always direct). direct: each "
		 "process loads the application itself. auto: smart for ruby, direct for python, whose "
		 "applications often start threads or connect while they are imported, which no fork survives.")},
	{.name = "refork_after_requests", OF_APPS(refork_after_requests), .type = OPTION_INT, .group = OPTION_GROUP_POOL,
	 .default_text = "0", .min = 0, .max = 1000000000,
	 .help = HELP("A forked process that has answered so many requests becomes the preloader, the others are replaced by "
		 "forks of it: they share what use has loaded. Then after twice as many, and so on. 0: never.")},
	{.name = "max_preloader_idle_time", OF_APPS(max_preloader_idle_time_ms), .live = true, .type = OPTION_DURATION,
	 .group = OPTION_GROUP_POOL, .original = "PassengerMaxPreloaderIdleTime", .edition = OPEN_SOURCE,
	 .default_text = "5m", .max = TIME_MAX,
	 .help = HELP("A preloader that has made no process for so long is stopped; the next process starts a new one. "
		 "0: never.")},
	{.name = "max_requests", OF_APPS(max_requests), .live = true, .type = OPTION_INT, .group = OPTION_GROUP_POOL,
	 .original = "PassengerMaxRequests", .edition = OPEN_SOURCE, .default_text = "0", .min = 0,
	 .help = HELP("A process is replaced after so many requests; it serves on until the new one is there. 0: never.")},
	{.name = "max_requests_jitter", OF_APPS(max_requests_jitter), .live = true, .type = OPTION_INT,
	 .group = OPTION_GROUP_POOL, .default_text = "0", .min = 0, .max = JITTER_MAX,
	 .help = HELP("A random number up to this is added to max_requests for each process, so that they are not all "
		 "replaced at once.")},
	{.name = "rolling_restart_batch_size", OF_APPS(rolling_restart_batch_size), .live = true, .type = OPTION_INT,
	 .group = OPTION_GROUP_POOL, .default_text = "1", .min = 1, .max = CONFIG_POOL_SIZE_MAX,
	 .help = HELP("How many processes a rolling restart replaces at a time, if max_concurrent_spawns lets it; beyond "
		 "max_instances when need be. In a full pool so many old ones go first and are missing meanwhile.")},
	{.name = "warmup_uris", OF_APPS(warmup_uris), .live = true, .type = OPTION_STRING, .group = OPTION_GROUP_POOL,
	 .check = config_check_uris, .example = "/up /products?page=1",
	 .help = HELP("A new process gets no traffic before it has answered a GET of each of these paths, one after the "
		 "other, with a status of 2xx or 3xx. They are whole paths, with base_uri. Any other answer is a "
		 "failed start: the process is ended, and in a rolling restart the old ones serve on.")},
	{.name = "restart_dir", OF_APPS(restart_dir), .live = true, .type = OPTION_STRING, .group = OPTION_GROUP_POOL,
	 .original = "PassengerRestartDir", .edition = OPEN_SOURCE, .default_text = "tmp",
	 .help = HELP("The folder, below root or absolute, where a rolling restart is asked for by touching restart.txt. "
		 "It is seen at once, without a request. While always_restart.txt is there, a request restarts the "
		 "application at once and waits for the new process; then none does so for stat_throttle_rate.")},
	{.name = "stat_throttle_rate", OF_CONFIG(stat_throttle_rate_ms), .type = OPTION_DURATION,
	 .group = OPTION_GROUP_POOL, .original = "PassengerStatThrottleRate", .edition = OPEN_SOURCE,
	 .default_text = "10s", .min = 100, .max = TIME_MAX,
	 .help = HELP("How often restart.txt is looked at even if no change is told (on NFS, FUSE and the like at least once a "
		 "second), and how often a request may restart an application that has an always_restart.txt.")},
	{.name = "thread_count", OF_APPS(thread_count), .type = OPTION_INT, .group = OPTION_GROUP_POOL,
	 .original = "PassengerThreadCount PassengerConcurrencyModel", .edition = ENTERPRISE, .default_text = "1", .min = 1, .max = THREADS_MAX,
	 .help = HELP("How many threads a process serves requests with, where its type has threads.")},
	{.name = "concurrency", OF_APPS(concurrency), .type = OPTION_INT, .group = OPTION_GROUP_POOL,
	 .default_text = "0", .min = 0, .max = REQUESTS_MAX,
	 .help = HELP("Where a command is run: how many requests one process takes at once. 0: no limit.")},
	{.name = "force_max_concurrent_requests_per_process", OF_APPS(force_max_concurrent_requests_per_process),
	 .type = OPTION_INT, .group = OPTION_GROUP_POOL, .original = "PassengerForceMaxConcurrentRequestsPerProcess",
	 .edition = OPEN_SOURCE, .default_text = "-1", .min = -1, .max = REQUESTS_MAX,
	 .help = HELP("Overrides how many requests a process takes at once. -1: what the application says; 0: no limit.")},
	{.name = "unlimited_concurrency_paths", OF_APPS(unlimited_concurrency_paths), .live = true,
	 .type = OPTION_STRING, .group = OPTION_GROUP_POOL, .original = "unlimited_concurrency_paths",
	 .edition = OPEN_SOURCE " (Standalone)", .check = config_check_paths, .example = "/cable /events",
	 .help = HELP("Paths as clients send them, with blanks between. What is requested there, or below, is given to a "
		 "process at once, whatever it has to do already: for websockets and long answers that the application "
		 "takes off its threads. A process that can not do that serves them one after another.")},
	{.name = "sticky_sessions", OF_APPS(sticky_sessions), .live = true, .type = OPTION_BOOL,
	 .group = OPTION_GROUP_POOL, .original = "PassengerStickySessions", .edition = OPEN_SOURCE,
	 .default_text = "off",
	 .help = HELP("on: a client gets the process that served it before, known by a cookie, as long as that is in "
		 "rotation. It waits when that is busy; others do not wait for it.")},
	{.name = "sticky_sessions_cookie_name", OF_APPS(sticky_sessions_cookie_name), .live = true,
	 .type = OPTION_STRING, .group = OPTION_GROUP_POOL, .original = "PassengerStickySessionsCookieName",
	 .edition = OPEN_SOURCE, .check = config_check_cookie_name, .default_text = "_passenger_route",
	 .help = HELP("The name of that cookie. Its Path is base_uri.")},
	{.name = "sticky_sessions_cookie_attributes", OF_APPS(sticky_sessions_cookie_attributes), .live = true,
	 .type = OPTION_STRING, .group = OPTION_GROUP_POOL, .original = "PassengerStickySessionsCookieAttributes",
	 .edition = OPEN_SOURCE, .check = config_check_cookie_attributes, .default_text = "SameSite=Lax; Secure;",
	 .help = HELP("What stands behind its Path. With Secure a browser sends it back over https only: without https, "
		 "write SameSite=Lax here.")},
	{.name = "direct_bypass", OF_APPS(direct_bypass), .type = OPTION_BOOL, .group = OPTION_GROUP_POOL,
	 .default_text = "off",
	 .help = HELP("on: a request through the door of a process that carries X-Passenger-Connect-Bypass: 1 runs at "
		 "once on a spare thread, even if the process is busy. The application is then told that it is "
		 "multithreaded.")},

	/* --- limits ------------------------------------------------------------------- */
	{.name = "max_request_queue_size", OF_APPS(max_request_queue_size), .live = true, .type = OPTION_INT,
	 .group = OPTION_GROUP_LIMITS, .original = "PassengerMaxRequestQueueSize", .edition = OPEN_SOURCE,
	 .default_text = "100", .min = 0, .max = REQUESTS_MAX,
	 .help = HELP("How many requests of an application may wait for a process; further ones are refused with "
		 "request_queue_overflow_status_code. 0: no limit.")},
	{.name = "request_queue_overflow_status_code", OF_APPS(request_queue_overflow_status_code), .live = true,
	 .type = OPTION_INT, .group = OPTION_GROUP_LIMITS, .original = "passenger_request_queue_overflow_status_code",
	 .edition = OPEN_SOURCE " (Nginx)", .default_text = "503", .min = 400, .max = 599,
	 .help = HELP("The status of the answer when the queue is full.")},
	{.name = "max_request_queue_time", OF_APPS(max_request_queue_time_ms), .live = true, .type = OPTION_DURATION,
	 .group = OPTION_GROUP_LIMITS, .original = "PassengerMaxRequestQueueTime", .edition = ENTERPRISE,
	 .default_text = "0", .max = TIME_MAX,
	 .help = HELP("A request that has waited so long for a process is answered 504. 0: it waits as long as its "
		 "client.")},
	{.name = "max_request_time", OF_APPS(max_request_time_ms), .live = true, .type = OPTION_DURATION,
	 .group = OPTION_GROUP_LIMITS, .original = "PassengerMaxRequestTime", .edition = ENTERPRISE, .default_text = "0", .max = TIME_MAX,
	 .help = HELP("A process with a request that has run for so long is killed, and replaced. Upgraded connections "
		 "(websockets), unlimited_concurrency_paths and requests with X-Passenger-Connect-Bypass have all "
		 "the time they want. 0: never.")},
	{.name = "memory_limit", OF_APPS(memory_limit), .live = true, .type = OPTION_BYTES, .group = OPTION_GROUP_LIMITS, .original = "PassengerMemoryLimit", .edition = ENTERPRISE, .default_text = "0",
	 .max = TIB, .help = HELP("A process that uses so much memory (as status shows it; a bare number counts MB) is replaced: "
		 "by a new one first, where the pool has room, and after its current requests. 0: never.")},
	{.name = "hard_memory_limit", OF_APPS(hard_memory_limit), .live = true, .type = OPTION_BYTES, .group = OPTION_GROUP_LIMITS, .original = "PassengerHardMemoryLimit", .edition = ENTERPRISE, .default_text = "0", .max = TIB,
	 .help = HELP("A process that uses so much memory (a bare number counts MB) is killed with its requests. 0: never.")},
	{.name = "cpu_limit", OF_APPS(cpu_limit_ms), .live = true, .type = OPTION_DURATION,
	 .group = OPTION_GROUP_LIMITS, .default_text = "0", .max = TIME_MAX,
	 .help = HELP("A process that uses so much processor time in one stretch, at an eighth of a core or more, and "
		 "ends no request meanwhile, spins: it is killed. A busy process ends requests and goes on, "
		 "however much it works. 0: never.")},
	{.name = "cgroup_memory_max", OF_APPS(cgroup_memory_max), .live = true, .type = OPTION_BYTES,
	 .group = OPTION_GROUP_LIMITS, .default_text = "0", .max = TIB,
	 .help = HELP("How much memory all processes of an application may use together, kept by the kernel in a cgroup "
		 "(version 2 or 1) where passenger may make one: below its own, which systemd gives to a service "
		 "with Delegate=yes. Beyond it the kernel kills. Where it can not be had, log and status say so. "
		 "0: no limit.")},
	{.name = "cgroup_cpu_max", OF_APPS(cgroup_cpu_max), .live = true, .type = OPTION_INT,
	 .group = OPTION_GROUP_LIMITS, .default_text = "0", .min = 0, .max = 100 * 4096,
	 .help = HELP("The same for processor time, in percent of one core: 150 is one core and a half.")},
	{.name = "cgroup_pids_max", OF_APPS(cgroup_pids_max), .live = true, .type = OPTION_INT,
	 .group = OPTION_GROUP_LIMITS, .default_text = "0", .min = 0, .max = INT32_MAX,
	 .help = HELP("The same for the number of processes and threads, also those that the application starts itself.")},
	{.name = "analytics_collection_rate", OF_CONFIG(analytics_collection_rate_ms), .type = OPTION_DURATION,
	 .group = OPTION_GROUP_LIMITS, .original = "PassengerAnalyticsCollectionRate", .edition = ENTERPRISE,
	 .default_text = "5s", .min = 100, .max = TIME_MAX,
	 .help = HELP("How often memory, processor time and state of processes are measured for these limits and status.")},
	{.name = "evidence_dir", OF_CONFIG(evidence_dir), .type = OPTION_PATH, .group = OPTION_GROUP_LIMITS,
	 .no_reload = true, .example = "/var/log/passenger/evidence",
	 .help = HELP("Before a process is killed over a limit, a file is written here: its requests, memory, threads, "
		 "backtraces, open descriptors and last output. The newest 50 are kept, readable by their owner "
		 "alone. Without it, evidence/ in the instance directory, which goes when passenger stops.")},
	{.name = "request_body_max", OF_APPS(request_body_max), .live = true, .type = OPTION_BYTES, .group = OPTION_GROUP_LIMITS,
	 .default_text = "0",
	 .help = HELP("A request with a longer body is answered 413. 0: no limit.")},

	/* --- buffers ------------------------------------------------------------------ */
	{.name = "data_buffer_dir", OF_CONFIG(data_buffer_dir), .type = OPTION_PATH, .group = OPTION_GROUP_BUFFERS,
	 .original = "PassengerDataBufferDir passenger_temp_path", .edition = OPEN_SOURCE, .example = "/var/tmp",
	 .help = HELP("The folder for the unlinked files that hold what is too long for memory. Without it $TMPDIR, "
		 "else /tmp.")},
	{.name = "buffer_upload", OF_APPS(buffer_upload), .live = true, .type = OPTION_BOOL, .group = OPTION_GROUP_BUFFERS,
	 .original = "PassengerBufferUpload passenger_request_buffering", .edition = OPEN_SOURCE, .default_text = "on",
	 .help = HELP("on: the whole body of a request is read before a process is taken, so that a slow client holds "
		 "none. off: the body goes to the process as it comes.")},
	{.name = "request_buffer_memory", OF_APPS(request_buffer_memory), .live = true, .type = OPTION_BYTES,
	 .group = OPTION_GROUP_BUFFERS, .default_text = "128k", .min = 4 * KIB, .max = GIB,
	 .help = HELP("So much of a request's body is kept in memory; what is longer goes to a file in data_buffer_dir.")},
	{.name = "response_buffer_memory", OF_APPS(response_buffer_memory), .live = true, .type = OPTION_BYTES,
	 .group = OPTION_GROUP_BUFFERS, .default_text = "128k", .min = 4 * KIB, .max = GIB,
	 .help = HELP("So much of an answer is kept in memory for a slow client; what is longer goes to a file in "
		 "data_buffer_dir.")},
	{.name = "response_buffer_high_watermark", OF_APPS(response_buffer_high_watermark), .live = true, .type = OPTION_BYTES,
	 .group = OPTION_GROUP_BUFFERS, .original = "PassengerResponseBufferHighWatermark", .edition = OPEN_SOURCE,
	 .default_text = "128m", .min = 4 * KIB, .max = TIB,
	 .help = HELP("When so much of an answer waits for a slow client, nothing more is read from the application "
		 "until the client has caught up.")},

	/* --- timeouts --------------------------------------------------------------- */
	{.name = "start_timeout", OF_APPS(start_timeout_ms), .live = true, .type = OPTION_DURATION, .group = OPTION_GROUP_TIMEOUTS,
	 .original = "PassengerStartTimeout", .edition = OPEN_SOURCE, .default_text = "90s", .min = 1,
	 .max = TIME_MAX,
	 .help = HELP("A process that is not ready after so long is killed; its start has failed.")},
	{.name = "warmup_timeout", OF_APPS(warmup_timeout_ms), .live = true, .type = OPTION_DURATION,
	 .group = OPTION_GROUP_TIMEOUTS, .default_text = "30s", .min = 1, .max = TIME_MAX,
	 .help = HELP("A process that has not answered all of its warmup_uris after so long has failed to start.")},
	{.name = "response_timeout", OF_APPS(response_timeout_ms), .live = true, .type = OPTION_DURATION,
	 .group = OPTION_GROUP_TIMEOUTS, .original = "passenger_read_timeout",
	 .edition = OPEN_SOURCE " (Nginx)", .default_text = "10m", .max = TIME_MAX,
	 .help = HELP("When the application has sent nothing for so long, its answer is given up: 504, if none had "
		 "begun. A process that then does not answer 5 s more, not even a question whether it lives, is "
		 "killed. 0: never. One that is stopped by a signal (SIGSTOP) gets nothing new, and is killed "
		 "after this time, or 10 s.")},
	{.name = "oob_work_timeout", OF_APPS(oob_work_timeout_ms), .live = true, .type = OPTION_DURATION,
	 .group = OPTION_GROUP_TIMEOUTS, .original = "!~Request-OOB-Work", .edition = OPEN_SOURCE, .default_text = "60s",
	 .min = 1, .max = TIME_MAX,
	 .help = HELP("A process whose answer has the header !~Request-OOB-Work does its out-of-band work (a garbage "
		 "collection, for one) out of rotation, one process of an application at a time and only while another "
		 "one serves. It has so long for it; then it serves again, as soon as it says that it is free.")},
	{.name = "drain_timeout", OF_APPS(drain_timeout_ms), .live = true, .type = OPTION_DURATION, .group = OPTION_GROUP_TIMEOUTS,
	 .default_text = "60s", .max = TIME_MAX,
	 .help = HELP("A process that has been asked to stop, or that a restart replaces, has so long to finish its requests; "
		 "then it is ended.")},
	{.name = "abort_websockets_on_process_shutdown", OF_APPS(abort_websockets_on_process_shutdown), .live = true,
	 .type = OPTION_BOOL, .group = OPTION_GROUP_TIMEOUTS, .original = "abort_websockets_on_process_shutdown",
	 .edition = OPEN_SOURCE " (Nginx, Standalone)", .default_text = "on",
	 .help = HELP("on: a process that is to stop does so when only upgraded connections (websockets) are left: it is "
		 "told, and a second later they are closed. off: they are left for drain_timeout to end by themselves.")},
	{.name = "upgrade_idle_timeout", OF_APPS(upgrade_idle_timeout_ms), .live = true, .type = OPTION_DURATION,
	 .group = OPTION_GROUP_TIMEOUTS, .default_text = "1h", .max = TIME_MAX,
	 .help = HELP("An upgraded connection (a websocket) is closed when nothing has come either way for so long. 0: "
		 "never.")},
	{.name = "direct_wait_ms", OF_APPS(direct_wait_ms), .live = true, .type = OPTION_DURATION, .group = OPTION_GROUP_TIMEOUTS,
	 .default_text = "10000", .max = TIME_MAX,
	 .help = HELP("A request through the door of a busy process waits so long for its turn; then it is answered 503 "
		 "with the request that occupies the process. A bare number counts milliseconds.")},
	{.name = "head_timeout", OF_CONFIG(head_timeout_ms), .type = OPTION_DURATION, .group = OPTION_GROUP_TIMEOUTS,
	 .default_text = "30s", .min = 1, .max = TIME_MAX,
	 .help = HELP("From the first byte of a request to the end of its head; then it is answered 408.")},
	{.name = "body_timeout", OF_CONFIG(body_timeout_ms), .type = OPTION_DURATION, .group = OPTION_GROUP_TIMEOUTS,
	 .default_text = "60s", .min = 1, .max = TIME_MAX,
	 .help = HELP("How long a client may send nothing in the middle of a request's body; then it is answered 408.")},
	{.name = "write_timeout", OF_CONFIG(write_timeout_ms), .type = OPTION_DURATION,
	 .group = OPTION_GROUP_TIMEOUTS, .default_text = "60s", .min = 1, .max = TIME_MAX,
	 .help = HELP("How long a client may take nothing of its answer; then the connection is closed.")},
	{.name = "idle_timeout", OF_CONFIG(idle_timeout_ms), .type = OPTION_DURATION, .group = OPTION_GROUP_TIMEOUTS,
	 .default_text = "75s", .min = 1, .max = TIME_MAX,
	 .help = HELP("A connection without a request is closed after so long. The web server in front must close its "
		 "idle connections earlier (ttl in Apache), or now and then a request meets a connection that is "
		 "being closed.")},
	{.name = "shutdown_timeout", OF_CONFIG(shutdown_timeout_ms), .type = OPTION_DURATION,
	 .group = OPTION_GROUP_TIMEOUTS, .default_text = "60s", .max = TIME_MAX,
	 .help = HELP("After SIGTERM the requests that have begun have so long to end.")},

	/* --- logs and errors -------------------------------------------------------------- */
	{.name = "log_file", OF_CONFIG(log_file), .type = OPTION_PATH, .group = OPTION_GROUP_LOGS,
	 .original = "PassengerLogFile", .edition = OPEN_SOURCE, .no_reload = true,
	 .example = "/var/log/passenger/passenger.log",
	 .help = HELP("The log of passenger and of the output of the applications. Without it, standard error.")},
	{.name = "app_log_file", OF_APP(app_log_file), .live = true, .type = OPTION_PATH, .group = OPTION_GROUP_LOGS,
	 .original = "PassengerAppLogFile", .edition = ENTERPRISE, .from_root = true, .example = "log/passenger.log",
	 .help = HELP("A file of its own for the output of an application's processes, absolute or relative to root. It is "
		 "made for the application's user; `passenger reopen-logs` and SIGUSR1 open it anew.")},
	{.name = "disable_log_prefix", OF_APPS(disable_log_prefix), .live = true, .type = OPTION_BOOL,
	 .group = OPTION_GROUP_LOGS, .original = "PassengerDisableLogPrefix", .edition = OPEN_SOURCE,
	 .default_text = "off",
	 .help = HELP("on: the output of an application is logged without \"App NAME PID output: \" before each line; in "
		 "its own app_log_file then exactly as it was written.")},
	{.name = "log_level", OF_CONFIG(log_level), .type = OPTION_INT, .group = OPTION_GROUP_LOGS,
	 .original = "PassengerLogLevel", .edition = OPEN_SOURCE, .default_text = "3", .min = 0, .max = 7,
	 .help = HELP("0 critical, 1 errors, 2 warnings, 3 notices, 4 information, 5 to 7 debugging.")},
	{.name = "access_log_format", OF_CONFIG(access_log_format), .type = OPTION_CHOICE, .group = OPTION_GROUP_LOGS,
	 .choices = log_formats, .default_text = "off",
	 .help = HELP("One line a request, with process, queue time, application time and request id. common and "
		 "combined begin as Apache's formats of these names do.")},
	{.name = "access_log", OF_CONFIG(access_log), .type = OPTION_PATH, .group = OPTION_GROUP_LOGS,
	 .example = "/var/log/passenger/access.log",
	 .help = HELP("The file of the access log. Without it, standard output.")},
	{.name = "slow_request_threshold", OF_CONFIG(slow_request_threshold_ms), .type = OPTION_DURATION,
	 .group = OPTION_GROUP_LOGS, .default_text = "0", .max = TIME_MAX,
	 .help = HELP("Requests that took at least so long are logged with the process that served them. 0: none.")},
	{.name = "slow_request_log", OF_CONFIG(slow_request_log), .type = OPTION_PATH, .group = OPTION_GROUP_LOGS,
	 .example = "/var/log/passenger/slow.log",
	 .help = HELP("The file of the slow requests. Without it, the main log.")},
	{.name = "friendly_error_pages", OF_APPS(friendly_error_pages_choice), .live = true, .type = OPTION_CHOICE,
	 .group = OPTION_GROUP_LOGS, .original = "PassengerFriendlyErrorPages", .edition = OPEN_SOURCE,
	 .choices = auto_on_off, .default_text = "auto",
	 .help = HELP("Whether the page for an application that does not start shows why: at which step, with its last "
		 "output, user, limits and variables (the values of those that you gave are left out). auto: only when "
		 "app_env is development.")},
	{.name = "custom_error_page", OF_APPS(custom_error_page), .live = true, .type = OPTION_PATH,
	 .group = OPTION_GROUP_LOGS, .original = "PassengerCustomErrorPage", .edition = OPEN_SOURCE, .from_root = true,
	 .example = "public/500.html",
	 .help = HELP("A file, absolute or relative to root, of at most 64 KiB, that browsers get instead of passenger's own "
		 "page for its errors from 500 on. {{status}}, {{reason}}, {{message}}, {{error_id}} and {{request_id}} in "
		 "it are replaced. It is read as the application's user at the start, at a reload and at a restart of the "
		 "application. The page of friendly_error_pages goes before it.")},
	{.name = "spawn_exception_status_code", OF_APPS(spawn_exception_status_code), .live = true, .type = OPTION_INT,
	 .group = OPTION_GROUP_LOGS, .original = "passenger_spawn_exception_status_code",
	 .edition = OPEN_SOURCE " (Nginx)", .default_text = "500", .min = 400, .max = 599,
	 .help = HELP("The status of the answer when the application does not start.")},

	/* --- hooks ------------------------------------------------------------------------ */
	{.name = "hook_attached_process", OF_APPS(hooks[CONFIG_HOOK_ATTACHED_PROCESS]), .live = true,
	 .type = OPTION_STRING, .group = OPTION_GROUP_HOOKS, .original = "hook_attached_process", .edition = OPEN_SOURCE,
	 .check = config_check_command, .example = "/usr/local/bin/tell-pager --app blog",
	 .help = HELP("A program and its arguments (split as in command) that is run when a process has become ready, as the "
		 "application's user, without a shell, beside everything else; its output goes to the log, and after a "
		 "minute it is killed. It is told by variables: PASSENGER_HOOK_NAME, PASSENGER_APP_NAME, "
		 "PASSENGER_APP_ROOT, PASSENGER_APP_GROUP_NAME; this one also PASSENGER_PROCESS_PID.")},
	{.name = "hook_detached_process", OF_APPS(hooks[CONFIG_HOOK_DETACHED_PROCESS]), .live = true,
	 .type = OPTION_STRING, .group = OPTION_GROUP_HOOKS, .original = "hook_detached_process", .edition = OPEN_SOURCE,
	 .check = config_check_command, .example = "/usr/local/bin/tell-pager --app blog",
	 .help = HELP("The same, when a process has ended: PASSENGER_PROCESS_PID, and how it ended in PASSENGER_PROCESS_END.")},
	{.name = "hook_spawn_failed", OF_APPS(hooks[CONFIG_HOOK_SPAWN_FAILED]), .live = true,
	 .type = OPTION_STRING, .group = OPTION_GROUP_HOOKS, .original = "hook_spawn_failed", .edition = OPEN_SOURCE,
	 .check = config_check_command, .example = "/usr/local/bin/tell-pager --app blog",
	 .help = HELP("The same, when a process could not be started: PASSENGER_ERROR_ID, PASSENGER_ERROR_MESSAGE.")},
	{.name = "hook_queue_full", OF_APPS(hooks[CONFIG_HOOK_QUEUE_FULL]), .live = true,
	 .type = OPTION_STRING, .group = OPTION_GROUP_HOOKS, .original = "hook_queue_full_error", .edition = OPEN_SOURCE,
	 .check = config_check_command, .example = "/usr/local/bin/tell-pager --app blog",
	 .help = HELP("The same, when a request was refused because of max_request_queue_size, once a second at most: "
		 "PASSENGER_REQUEST_HOST, PASSENGER_REQUEST_PATH.")},
	{.name = "hook_max_request_time_reached", OF_APPS(hooks[CONFIG_HOOK_MAX_REQUEST_TIME_REACHED]), .live = true,
	 .type = OPTION_STRING, .group = OPTION_GROUP_HOOKS, .original = "hook_max_request_time_reached", .edition = ENTERPRISE,
	 .check = config_check_command, .example = "/usr/local/bin/tell-pager --app blog",
	 .help = HELP("The same, before a process is killed because of max_request_time: PASSENGER_PROCESS_PID, also as "
		 "PASSENGER_APP_ID, PASSENGER_REQUEST_HOST and PASSENGER_REQUEST_PATH.")},
	{.name = "hook_user", OF_CONFIG(hook_user), .type = OPTION_STRING, .group = OPTION_GROUP_HOOKS,
	 .check = config_check_account, .example = "monitor",
	 .help = HELP("The user of all hooks when root starts passenger: a name or a number. Without it, that of the "
		 "application. A hook runs as root only by hook_user = root; what it is told comes from strangers.")},
};
/* clang-format on */

static_assert(array_count(rows) + CONFIG_PRIVATE_ROWS_MAX <= CONFIG_ROWS_MAX, "a section has a line for each row");

const struct option *
config_options(size_t *count)
{
	*count = array_count(rows);
	return rows;
}

size_t
config_row(const char *name, unsigned section)
{
	for (size_t i = 0; i < array_count(rows); i++)
		if ((rows[i].sections & section) != 0 && strcmp(rows[i].name, name) == 0)
			return i;
	assert(!"a row by this name");
	return 0;
}
