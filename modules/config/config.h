/*
 * config: one immutable generation of the configuration.  It is read whole and
 * checked whole: either there is a complete `struct config`, or one error that
 * names file, line, option and what was expected, and nothing else.
 *
 * The spawner loads it (files, detection of application types, users); the
 * balancer gets the resolved generation as canonical ini text in a memfd and
 * reads it with the same parser (config_write / config_parse).
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "config/option.h"

struct app_type; /* config/app_type.h */
struct runtime_config;

enum {
	CONFIG_NAME_BYTES_MAX = 64, /* application, listener and instance names: [A-Za-z0-9._-]+ */
	CONFIG_APPS_MAX = 1024,
	CONFIG_LISTENERS_MAX = 64,
	CONFIG_RUNTIMES_MAX = 32,
	CONFIG_LINE_BYTES_MAX = 16 * 1024,
	CONFIG_POOL_SIZE_MAX = 4096,
	CONFIG_ENV_MAX = 1024, /* env.NAME lines of one section */
};

struct config_pair { /* env.NAME = value */
	char *name;
	char *value;
};

/* Where a listener or a command-line address is: "unix:/path", "127.0.0.1:3000", "[::1]:3000", "0.0.0.0:80". */
enum config_address_family { CONFIG_ADDRESS_UNIX, CONFIG_ADDRESS_INET, CONFIG_ADDRESS_INET6 };
struct config_address {
	enum config_address_family family;
	char path[104]; /* UNIX */
	uint8_t ip[16]; /* INET: first 4 bytes; network order */
	uint16_t port;  /* 0: any free one */
};
bool config_address_parse(struct config_address *address, struct str text) must_check;
void config_address_text(const struct config_address *address, char out[128]);

/* One limit of an application's processes, as setrlimit() takes it. */
enum { CONFIG_RLIMITS_MAX = 16 };
struct config_rlimit {
	int32_t resource;    /* RLIMIT_NOFILE, … */
	uint64_t soft, hard; /* UINT64_MAX: none */
};
/* Each of them in turn; NULL after the last. */
const char *config_rlimit_name(size_t index, int *resource);
/* "core=0 as=1g:2g": how many there are, 0 when it is none such or a resource stands twice. */
size_t config_rlimits_parse(struct config_rlimit limits[CONFIG_RLIMITS_MAX], struct str text) must_check;

struct listener_config {
	char *name; /* "[listener NAME]", or "listen-1", … for `listen =` and --listen */
	char *address_text;
	struct config_address address;
	bool trusted;            /* forwarded headers are believed; default: true for unix, false for TCP */
	int trusted_choice;      /* private: auto, on or off */
	bool static_files;       /* answers from static_files_dir itself; default: where nobody is trusted */
	int static_files_choice; /* private */
	uint32_t mode;           /* unix socket's file mode; default 0660, 0666 lets every local user in */
	char *owner;             /* unix: user name or number; NULL: ours */
	char *group;
	uint32_t uid, gid; /* resolved owner and group; UINT32_MAX: not given, leave ours */
	char *app;         /* this listener's only application; NULL: by host and base_uri */
};

enum config_pre_start { CONFIG_PRE_START_AUTO, CONFIG_PRE_START_ON, CONFIG_PRE_START_OFF };
/* What programs may be run at. */
enum config_hook {
	CONFIG_HOOK_ATTACHED_PROCESS,
	CONFIG_HOOK_DETACHED_PROCESS,
	CONFIG_HOOK_SPAWN_FAILED,
	CONFIG_HOOK_QUEUE_FULL,
	CONFIG_HOOK_MAX_REQUEST_TIME_REACHED,
	CONFIG_HOOK_N
};

enum config_spawn_method { CONFIG_SPAWN_AUTO, CONFIG_SPAWN_SMART, CONFIG_SPAWN_DIRECT };

/* What has decided the type of an application. */
enum config_type_from {
	CONFIG_TYPE_WRITTEN,
	CONFIG_TYPE_COMMAND,
	CONFIG_TYPE_OPTION,
	CONFIG_TYPE_STARTUP_FILE,
	CONFIG_TYPE_FILES,
};

struct config;

struct app_config {
	struct config *config; /* whose it is, for config_retain(); NULL in none of a checked generation */
	uint32_t id; /* 0…CONFIG_APPS_MAX-1, stable for a name over generations; the scoreboard's group slot */
	char *name;
	char *root;                      /* absolute */
	char *type_name;                 /* as written, or as detected */
	const struct app_type *type;     /* never NULL in a checked generation */
	enum config_type_from type_from; /* not in canonical text */
	char *startup_file; /* relative to root, or absolute; set by config_load when found; NULL: its type has none */
	char *host;         /* blank-separated host names in lower case, "*.example.org" allowed; NULL: any host */
	bool asked_for;     /* APP_DIR of the command line is its root */
	uint64_t host_mask; /* config_host_mask(host): a host that has another bit is not among them; 0: not known */
	bool listener_only; /* some listener names it with `app =` and it has no host or base_uri: the others never reach it */
	char *base_uri;       /* "/" or "/sub"; never a trailing slash but for "/" */
	char *app_env;        /* production */
	char *app_group_name; /* shown by status: "ROOT (ENV)" by default */
	char *user;           /* to run as; NULL: by the rules (owner of the startup file when we are root) */
	char *group;
	uint32_t uid, gid;    /* resolved by config_load; kept by config_write */
	char *command;        /* of types that take one: shell words */
	char *interpreter;    /* of types that take one, for $PASSENGER_INTERPRETER; NULL: the command's first word */
	int readiness;        /* enum app_readiness: its type's, or as readiness_choice and command say */
	int readiness_choice; /* private */
	struct config_pair *env; /* env.NAME = value */
	size_t env_count;
	char *env_file;                     /* read by each process as it starts; from root, or absolute; NULL: none */
	bool load_shell_envvars;            /* off: started by the user's login shell */
	char *rlimits;                      /* config_rlimits_parse(); NULL: none */
	int64_t app_file_descriptor_ulimit; /* RLIMIT_NOFILE; 0: as we were given it */
	char **type_values; /* parallel to type->options: text as written (validated), or the default, or NULL */

	int spawn_method;                                  /* enum config_spawn_method; see app_config_preloads() */
	int64_t refork_after_requests;                     /* 0: never */
	uint64_t max_preloader_idle_time_ms;               /* 5 m; 0: never */
	uint64_t start_timeout_ms;                         /* 90 s */
	int64_t min_instances;                             /* 1 */
	int64_t max_instances;                             /* 0: only max_pool_size */
	int pre_start;                                     /* enum config_pre_start */
	uint64_t pool_idle_time_ms;                        /* 300 s; 0: never */
	int64_t max_requests;                              /* 0: never */
	int64_t max_requests_jitter;                       /* 0 */
	int64_t max_request_queue_size;                    /* 100; 0: no limit */
	int64_t request_queue_overflow_status_code;        /* 503 */
	uint64_t max_request_queue_time_ms;                /* 0: none */
	uint64_t max_request_time_ms;                      /* 0: none */
	uint64_t memory_limit, hard_memory_limit;          /* bytes of one process; 0: none */
	uint64_t cgroup_memory_max;                        /* bytes of all its processes; 0: none */
	int64_t cgroup_cpu_max;                            /* percent of one core; 0: none */
	int64_t cgroup_pids_max;                           /* 0: none */
	uint64_t cpu_limit_ms;                             /* 0: none */
	int64_t force_max_concurrent_requests_per_process; /* -1: what the application says; 0: unlimited */
	int64_t concurrency; /* of types that take a command: requests at once in one process; 0: unlimited (default) */
	int64_t thread_count;              /* 1 */
	char *unlimited_concurrency_paths; /* blank-separated; NULL: none */
	bool sticky_sessions;              /* off */
	char *sticky_sessions_cookie_name; /* _passenger_route */
	char *sticky_sessions_cookie_attributes;
	bool direct_bypass;                      /* off */
	uint64_t direct_wait_ms;                 /* 10 000 */
	bool buffer_upload;                      /* on: the whole request body is read before a process is taken */
	uint64_t request_buffer_memory;          /* bytes in memory before the unlinked file: 128k */
	uint64_t request_body_max;               /* 0: no limit, else 413 */
	uint64_t response_buffer_memory;         /* 128k */
	uint64_t response_buffer_high_watermark; /* 128m; above: back-pressure */
	uint64_t response_timeout_ms;            /* silence of the application: 10 m; 0: never; then 504 */
	uint64_t oob_work_timeout_ms;            /* 60 s */
	uint64_t drain_timeout_ms;               /* 60 s between asking a process to stop and SIGTERM/SIGKILL */
	bool friendly_error_pages;               /* choice auto|on|off resolved: auto = app_env development */
	int friendly_error_pages_choice;         /* private */
	char *custom_error_page;                 /* from root, or absolute; NULL: ours */
	int64_t spawn_exception_status_code;     /* 500 */
	bool enabled;                            /* on */
	bool static_files;                       /* on: from static_files_dir, at listeners with static_files */
	char *static_files_dir;                  /* public; from root, or absolute */
	char *hooks[CONFIG_HOOK_N];              /* shell words; NULL: none */
	char *app_log_file;                      /* from root, or absolute; NULL: the main log */
	bool disable_log_prefix;                 /* off */
	char *warmup_uris;                       /* blank-separated; NULL: none */
	uint64_t warmup_timeout_ms;              /* 30 s, all of them together */
	int64_t rolling_restart_batch_size;      /* 1 */
	char *restart_dir;                       /* tmp: where restart.txt is looked for; from root, or absolute */

	/* upgraded connections */
	uint64_t upgrade_idle_timeout_ms;          /* 1 h; 0: never */
	bool abort_websockets_on_process_shutdown; /* on */
};

enum config_log_format { CONFIG_LOG_OFF, CONFIG_LOG_COMMON, CONFIG_LOG_COMBINED, CONFIG_LOG_JSON };

struct config {
	uint64_t generation;
	char *path;                             /* of the ini, or NULL */
	char *instance_dir;                     /* NULL: by the rules of handover/instance.h */
	char *instance_name;                    /* NULL: from the ini's or the application's path */
	char *user;                             /* of the balancer; NULL: a free uid of its own */
	char *default_user;                     /* for applications whose startup file belongs to root: nobody */
	char *default_group;                    /* NULL: default_user's own */
	char *hook_user;                        /* NULL: each application's own */
	uint32_t hook_uid, hook_gid;            /* resolved; not in canonical text */
	bool user_switching;                    /* on */
	char *log_file;                         /* NULL: standard error */
	int64_t log_level;                      /* 0 crit 1 error 2 warn 3 notice 4 info 5 debug; default 3 */
	char *access_log;                       /* path; NULL: standard output when access_log_format is not off */
	int access_log_format;                  /* enum config_log_format; off */
	char *slow_request_log;                 /* path; NULL: the main log */
	uint64_t slow_request_threshold_ms;     /* 0: off */
	char *data_buffer_dir;                  /* spill files; default $TMPDIR or /tmp */
	int64_t max_pool_size;                  /* 6 */
	int64_t max_instances_per_app;          /* 0: no limit */
	int64_t max_concurrent_spawns;          /* 4 */
	uint64_t stat_throttle_rate_ms;         /* 10 s */
	uint64_t analytics_collection_rate_ms;  /* 5 s: processes are measured so often */
	char *evidence_dir;                     /* NULL: evidence/ in the instance directory */
	uint64_t head_timeout_ms;               /* 30 s from the first byte of a request to the end of its head */
	uint64_t body_timeout_ms;               /* 60 s without progress of a request body */
	uint64_t write_timeout_ms;              /* 60 s without progress of an answer */
	uint64_t idle_timeout_ms;               /* 75 s keep-alive */
	uint64_t shutdown_timeout_ms;           /* 60 s: SIGTERM drains for so long */
	int64_t socket_backlog;                 /* 2048 */
	bool show_version_in_header;            /* on */
	int64_t max_clients;                    /* connections at once; 0: as many as descriptors allow */
	char *direct_instance_request_address;  /* of the doors: an IPv4 address; 127.0.0.1 */
	int64_t min_port_range, max_port_range; /* of $PORT; max 0: any that the kernel gives */

	struct listener_config **listeners;
	size_t listener_count;
	struct app_config **apps;
	size_t app_count;
	struct runtime_config **runtimes;
	size_t runtime_count;
	const struct app_type *const *types; /* built in, then configured; NULL-terminated */
	const char **interpreters; /* parallel to types: what each uses that is not told otherwise; not in canonical text */
	void *memory;              /* private: everything above */
	uint32_t users;            /* see config_retain() */
	uint32_t requests;         /* of these, requests */
};

struct config_error {
	char text[1024]; /* "passenger.ini:12: max_pool_size = many: expected a whole number from 1 to 4096" */
};

struct config_source {
	const char *path;          /* ini; NULL: none */
	const char *app_dir;       /* APP_DIR of the command line; NULL: not given. Adds or is the only application */
	const char *const *listen; /* --listen …: replace [passenger] listen; listener sections stay */
	size_t listen_count;
	const char *instance_dir;            /* overrides */
	const struct app_type *const *types; /* NULL-terminated, most specific first */
	const struct config *previous;       /* ids of applications are kept from it; NULL: first generation */
	bool types_only; /* nothing but types and their interpreters: no application has to be there */
	bool privileged; /* we run as root: users of applications are resolved and checked */
};

/* What `serve` reads when the command line names neither an ini nor a folder. */
void config_find(struct config_source *source);
/* Reads, checks and resolves.  NULL and *error on any fault. */
struct config *config_load(const struct config_source *source, struct config_error *error) must_check;

/* The resolved generation as ini text that config_parse() takes; both ends of
 * the pair have the same binary, so it need not be pretty, only exact. */
void config_write(const struct config *config, struct buf *out);
struct config *config_parse(struct str text, const struct app_type *const *types, struct config_error *error) must_check;
void config_free(struct config *config);
/* A generation that was loaded has one user.  The last one's release frees it.  NULL: nothing happens. */
void config_retain(struct config *config);
void config_release(struct config *config);
/* The two processes of an application are started in the same way: what differs applies to living ones. */
bool config_same_start(const struct app_config *a, const struct app_config *b);
/* Names of options of [passenger] and listeners that differ and need a restart of passenger, with blanks between. */
void config_needs_restart(const struct config *before, const struct config *after, struct buf *names);

/* One bit of 64 for a host name, in whatever case; those of all names; all bits: any host, or a pattern. */
uint64_t config_host_bit(struct str host);
uint64_t config_host_mask(const char *names);

const struct app_config *config_app_by_id(const struct config *config, uint32_t id);

/* What a variable may be called. */
bool config_check_env_name(struct str text);

/* Of a file or folder that a relative path means from root; false: too long. */
bool app_config_path(const char *root, const char *path, char *out, size_t out_size) must_check;

/* Value of a type's own option (type->options[index]); "" when none. A BOOL's is "on" or "off". */
const char *app_config_type_value(const struct app_config *app, size_t index);
/* Are its processes forked by a preloader? */
bool app_config_preloads(const struct app_config *app);
/* The program that runs it: as given, else the command's first word, which is put into word. */
const char *app_config_interpreter(const struct app_config *app, char word[CONFIG_NAME_BYTES_MAX * 4]);
/* Whether this type's files, or the startup file that is given, are the application's; the file, or NULL.  root: its folder. */
const char *config_detect_file(const struct app_type *type, const struct app_config *app, int root);

/* All rows, for `passenger options`, the docs and the tests. */
const struct option *config_options(size_t *count);
/* One or a few sentences on one of them, or on a row of a type. */
const char *config_help(const struct option *row);
/* passenger.ini and docs/options.md, generated: every option commented with its default. */
void config_print_ini(struct buf *out, const struct app_type *const *types);
void config_print_markdown(struct buf *out, const struct app_type *const *types);

#endif
