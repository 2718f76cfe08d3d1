/*
 * config_sections: the rows of what an ini file is about: the instance, its
 * listeners, applications and runtimes.  It is a part of the one table in
 * config_table.c, which has the rows of how they behave, and is included there
 * alone: in the middle of the table.
 */
/* clang-format off */
	/* --- the instance ------------------------------------------------------- */
	{.name = "instance_dir", OF_CONFIG(instance_dir), .type = OPTION_PATH, .group = OPTION_GROUP_INSTANCE,
	 .original = "PassengerInstanceRegistryDir", .edition = OPEN_SOURCE, .no_reload = true,
	 .example = "/run/passenger/shop",
	 .help = HELP("The folder of this instance: the control socket, the private sockets of the processes, the "
		 "loaders. Without it, one below /run/passenger when root starts passenger, below "
		 "$XDG_RUNTIME_DIR/passenger or /tmp/passenger-UID otherwise; the commands look there, or where "
		 "--instance-dir or the environment variable PASSENGER_INSTANCE_REGISTRY_DIR says. `passenger "
		 "serve --instance-dir DIR` goes before this line.")},
	{.name = "instance_name", OF_CONFIG(instance_name), .type = OPTION_STRING, .group = OPTION_GROUP_INSTANCE,
	 .check = config_check_name, .no_reload = true, .example = "shop",
	 .help = HELP("The name of this instance, for `passenger status --instance NAME`. Without it a name is made "
		 "from the path of this file or of the application.")},
	{.name = "user", OF_CONFIG(user), .type = OPTION_STRING, .group = OPTION_GROUP_INSTANCE,
	 .check = config_check_account, .no_reload = true, .example = "passenger",
	 .help = HELP("The user of the balancer, the part that reads requests: a name or a number. Only root can choose "
		 "it, and it is never root. Without it the balancer gets a free user id of its own that no "
		 "application has. The user of an application stands in its [app NAME] section.")},
	{.name = "default_user", OF_CONFIG(default_user), .type = OPTION_STRING, .group = OPTION_GROUP_INSTANCE,
	 .original = "PassengerDefaultUser", .edition = OPEN_SOURCE, .check = config_check_account,
	 .default_text = "nobody",
	 .help = HELP("The user for an application that names none and whose startup file belongs to root.")},
	{.name = "default_group", OF_CONFIG(default_group), .type = OPTION_STRING, .group = OPTION_GROUP_INSTANCE,
	 .original = "PassengerDefaultGroup", .edition = OPEN_SOURCE, .check = config_check_account,
	 .example = "nogroup",
	 .help = HELP("The group that goes with default_user. Without it, that user's primary group.")},
	{.name = "user_switching", OF_CONFIG(user_switching), .type = OPTION_BOOL, .group = OPTION_GROUP_INSTANCE,
	 .original = "PassengerUserSwitching", .edition = OPEN_SOURCE, .default_text = "on",
	 .help = HELP("on: when root starts passenger, each application runs as its own user. off: all run as "
		 "default_user.")},

	/* --- listeners ------------------------------------------------------------ */
	{.name = "listen", .sections = OPTION_IN_PASSENGER, .offset = OPTION_NO_FIELD, .type = OPTION_STRING,
	 .group = OPTION_GROUP_LISTENERS, .original = "port socket_file", .edition = OPEN_SOURCE " (Standalone)",
	 .check = config_check_addresses, .repeats = true, .default_text = "127.0.0.1:3000",
	 .help = HELP("Where requests come in: unix:/path, 127.0.0.1:3000 or [::1]:3000; port 0 takes any free port. "
		 "May be given several times and hold several addresses with blanks between. The default holds "
		 "only when there is no listener at all. A listener that needs more than an address gets a "
		 "[listener NAME] section.")},
	{.name = "socket_backlog", OF_CONFIG(socket_backlog), .type = OPTION_INT, .group = OPTION_GROUP_LISTENERS,
	 .original = "PassengerSocketBacklog", .edition = OPEN_SOURCE, .default_text = "2048", .min = 1, .max = 65535,
	 .no_reload = true,
	 .help = HELP("How many connections may wait to be accepted on each listener. The kernel cuts it to "
		 "net.core.somaxconn.")},
	{.name = "direct_instance_request_address", OF_CONFIG(direct_instance_request_address), .type = OPTION_STRING,
	 .group = OPTION_GROUP_LISTENERS, .original = "PassengerDirectInstanceRequestAddress", .edition = OPEN_SOURCE,
	 .check = config_check_ip, .default_text = "127.0.0.1",
	 .help = HELP("Where the private address of each process is (of those that start from now on). With another one than 127.0.0.1 other machines reach it, "
		 "and the password goes over the network in clear: only where that network is yours.")},
	{.name = "max_clients", OF_CONFIG(max_clients), .type = OPTION_INT, .group = OPTION_GROUP_LISTENERS,
	 .default_text = "0", .min = 0, .max = REQUESTS_MAX,
	 .help = HELP("How many connections are served at once, all listeners together; further ones wait to be "
		 "accepted. 0: as many as the limit of open files allows.")},
	{.name = "show_version_in_header", OF_CONFIG(show_version_in_header), .type = OPTION_BOOL,
	 .group = OPTION_GROUP_LISTENERS, .original = "PassengerShowVersionInHeader", .edition = OPEN_SOURCE,
	 .default_text = "on",
	 .help = HELP("Whether the version stands in the headers of answers.")},

	{.name = "address", OF_LISTENER(address_text), .type = OPTION_STRING, .group = OPTION_GROUP_LISTENERS,
	 .check = config_check_address, .example = "unix:/run/passenger/apache.sock",
	 .help = HELP("Where requests come in: unix:/path, 127.0.0.1:3000 or [::1]:3000. Must be given.")},
	{.name = "trusted", OF_LISTENER(trusted_choice), .type = OPTION_CHOICE, .group = OPTION_GROUP_LISTENERS,
	 .choices = auto_on_off, .default_text = "auto",
	 .help = HELP("Whether X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host and X-Remote-User are believed. Who "
		 "can connect to a trusted listener can claim to be any user, so that only a web server which sets "
		 "these headers itself may reach it. auto: on for a unix socket, off for TCP.")},
	{.name = "static_files", OF_LISTENER(static_files_choice), .type = OPTION_CHOICE, .group = OPTION_GROUP_LISTENERS,
	 .choices = auto_on_off, .default_text = "auto",
	 .help = HELP("Whether requests for files of an application (static_files_dir) are answered here without it. auto: "
		 "on, but for a trusted listener: the web server in front of that serves them itself.")},
	{.name = "mode", OF_LISTENER(mode), .type = OPTION_MODE, .group = OPTION_GROUP_LISTENERS,
	 .default_text = "0660", .min = 0, .max = 0777, .no_reload = true,
	 .help = HELP("The file mode of a unix socket. With 0660 only its owner and its group can connect: set group to "
		 "the group of the web server (www-data on Debian). 0666 lets every local user in, which is right "
		 "only together with trusted = off.")},
	{.name = "owner", OF_LISTENER(owner), .type = OPTION_STRING, .group = OPTION_GROUP_LISTENERS,
	 .check = config_check_account, .no_reload = true, .example = "www-data",
	 .help = HELP("The owner of a unix socket: a user name or a number. Only root can give it to another user.")},
	{.name = "group", OF_LISTENER(group), .type = OPTION_STRING, .group = OPTION_GROUP_LISTENERS,
	 .check = config_check_account, .no_reload = true, .example = "www-data",
	 .help = HELP("The group of a unix socket: a group name or a number. Who is not root can choose among the "
		 "groups that he is in.")},
	{.name = "app", OF_LISTENER(app), .type = OPTION_STRING, .group = OPTION_GROUP_LISTENERS,
	 .check = config_check_name, .example = "blog",
	 .help = HELP("The application that gets every request of this listener, whatever the host. Without it the "
		 "application is chosen by host and base_uri. An application that a listener names, and that has "
		 "neither host nor base_uri, is served by such listeners only.")},

	/* --- applications ------------------------------------------------------------ */
	{.name = "root", OF_APP(root), .type = OPTION_PATH, .group = OPTION_GROUP_APPLICATION,
	 .original = "PassengerAppRoot", .edition = OPEN_SOURCE, .example = "/srv/blog",
	 .help = HELP("The folder of the application. Must be given. A link in it is followed anew for each process "
		 "that starts.")},
	{.name = "type", OF_APP(type_name), .type = OPTION_STRING, .group = OPTION_GROUP_APPLICATION,
	 .original = "PassengerAppType", .edition = OPEN_SOURCE, .check = config_check_word, .example = "ruby",
	 .help = HELP("The type of the application. Without it, it is found by the files that stand in root, or it is "
		 "command when the option command is given.")},
	{.name = "enabled", OF_APP(enabled), .live = true, .type = OPTION_BOOL, .group = OPTION_GROUP_APPLICATION,
	 .original = "PassengerEnabled", .edition = OPEN_SOURCE, .default_text = "on",
	 .help = HELP("off: the application is checked, but not served and not started.")},
	{.name = "startup_file", OF_APP(startup_file), .type = OPTION_PATH, .group = OPTION_GROUP_APPLICATION,
	 .original = "PassengerStartupFile", .edition = OPEN_SOURCE, .example = "config.ru", .from_root = true,
	 .help = HELP("The file that the application starts with, absolute or relative to root. Without it, the file "
		 "that is usual for the type.")},
	{.name = "command", OF_APP(command), .type = OPTION_STRING, .group = OPTION_GROUP_APPLICATION,
	 .original = "PassengerAppStartCommand", .edition = OPEN_SOURCE, .check = config_check_command,
	 .example = "node server.js",
	 .help = HELP("For type = command, or in place of the command of a [runtime NAME]: a program that speaks HTTP, and its "
		 "arguments, split as a shell does with blanks, quotes and backslashes, but run without a shell. "
		 "$NAME and ${NAME}, but for those in '...', stand for environment variables of the process: $PORT or "
		 "$PASSENGER_SOCKET (see readiness), env.NAME and the rest.")},
	{.name = "interpreter", OF_APP(interpreter), .type = OPTION_STRING, .group = OPTION_GROUP_APPLICATION,
	 .example = "/opt/deno/bin/deno",
	 .help = HELP("Where a command is run: what stands for $PASSENGER_INTERPRETER in it, in place of the interpreter of the "
		 "[runtime NAME].")},
	{.name = "readiness", OF_APP(readiness_choice), .type = OPTION_CHOICE, .group = OPTION_GROUP_APPLICATION,
	 .choices = readinesses, .default_text = "auto",
	 .help = HELP("Where the program of a command takes requests, and is seen to be ready. port: it listens on 127.0.0.1, on "
		 "the port in $PORT. socket: it listens on the unix socket whose path is in $PASSENGER_SOCKET, in a folder "
		 "that only its user can enter. descriptor: it gets a listening unix socket as descriptor 3 with LISTEN_FDS, "
		 "LISTEN_PID and LISTEN_FDNAMES, as systemd passes one, and is ready when it has accepted a first "
		 "connection. auto: socket if the command has PASSENGER_SOCKET in it, else port.")},
	{.name = "host", OF_APP(host), .live = true, .type = OPTION_STRING, .group = OPTION_GROUP_APPLICATION,
	 .check = config_check_hosts, .example = "blog.example.org www.example.org *.example.net",
	 .help = HELP("The host names of the application, with blanks between. Without it, every host that no other "
		 "application has.")},
	{.name = "base_uri", OF_APP(base_uri), .type = OPTION_STRING, .group = OPTION_GROUP_APPLICATION,
	 .original = "PassengerBaseURI", .edition = OPEN_SOURCE, .check = config_check_base_uri, .default_text = "/",
	 .help = HELP("The path below which the application lives. It becomes SCRIPT_NAME.")},
	{.name = "app_env", OF_APPS(app_env), .type = OPTION_STRING, .group = OPTION_GROUP_APPLICATION,
	 .original = "PassengerAppEnv", .edition = OPEN_SOURCE, .check = config_check_word,
	 .default_text = "production",
	 .help = HELP("The name of the environment: production, development, staging. The application gets it as "
		 "RAILS_ENV, RACK_ENV or what its type calls it, and as PASSENGER_APP_ENV.")},
	{.name = "app_group_name", OF_APP(app_group_name), .live = true, .type = OPTION_STRING, .group = OPTION_GROUP_APPLICATION,
	 .original = "PassengerAppGroupName", .edition = OPEN_SOURCE, .example = "/srv/blog (production)",
	 .help = HELP("The name that status shows. Without it, root and app_env in parentheses.")},
	{.name = "env.NAME", .sections = IN_BOTH | OPTION_IN_RUNTIME, .offset = OPTION_NO_FIELD, .type = OPTION_STRING,
	 .group = OPTION_GROUP_APPLICATION, .original = "SetEnv passenger_env_var envvars", .edition = OPEN_SOURCE,
	 .repeats = true, .example = "value",
	 .help = HELP("An environment variable NAME for the application. One in [app NAME] goes before the same one in "
		 "[runtime NAME], and that before one in [passenger]. The value is everything after the = and may be empty.")},
	{.name = "user", OF_APP(user), .type = OPTION_STRING, .group = OPTION_GROUP_APPLICATION,
	 .original = "PassengerUser", .edition = OPEN_SOURCE, .check = config_check_account, .example = "blog",
	 .help = HELP("The user of the application's processes: a name or a number. Only root can choose it. Without "
		 "it, the owner of the startup file (for a command, of root); default_user, if that is root. An "
		 "application runs as root only if this line says user = root.")},
	{.name = "group", OF_APP(group), .type = OPTION_STRING, .group = OPTION_GROUP_APPLICATION,
	 .original = "PassengerGroup", .edition = OPEN_SOURCE, .check = config_check_group, .example = "blog",
	 .help = HELP("The group of the application's processes: a name or a number, or !STARTUP_FILE! for the group of "
		 "the startup file. Without it, the user's primary group.")},
	{.name = "env_file", OF_APPS(env_file), .type = OPTION_PATH, .group = OPTION_GROUP_APPLICATION,
	 .from_root = true, .example = ".env",
	 .help = HELP("A file of NAME=value lines (blank lines, # comments, export and quotes around a value may be), "
		 "absolute or relative to root, of at most 64 KiB. Each process reads it as its own user when it "
		 "starts; the variables go before those that passenger gives, and env.NAME before them. No variable "
		 "is expanded in a value.")},
	{.name = "load_shell_envvars", OF_APPS(load_shell_envvars), .type = OPTION_BOOL,
	 .group = OPTION_GROUP_APPLICATION, .original = "PassengerLoadShellEnvvars", .edition = OPEN_SOURCE,
	 .default_text = "off",
	 .help = HELP("on: a process is started by its user's login shell (bash, zsh, ksh or sh; others are passed by), so "
		 "that it has what /etc/profile, .bash_profile and the like export, rbenv or nvm for one. What is "
		 "written here and what passenger gives still goes before that.")},
	{.name = "min_port_range", OF_CONFIG(min_port_range), .type = OPTION_INT, .group = OPTION_GROUP_LIMITS,
	 .original = "min_port_range", .edition = OPEN_SOURCE " (agent)", .default_text = "0", .min = 0, .max = 65535,
	 .help = HELP("The lowest $PORT that a program is given. It counts together with max_port_range.")},
	{.name = "max_port_range", OF_CONFIG(max_port_range), .type = OPTION_INT, .group = OPTION_GROUP_LIMITS,
	 .original = "max_port_range", .edition = OPEN_SOURCE " (agent)", .default_text = "0", .min = 0, .max = 65535,
	 .help = HELP("The highest $PORT that a program is given. 0: any that the kernel has free.")},
	{.name = "app_file_descriptor_ulimit", OF_APPS(app_file_descriptor_ulimit), .type = OPTION_INT,
	 .group = OPTION_GROUP_LIMITS, .original = "passenger_app_file_descriptor_ulimit",
	 .edition = OPEN_SOURCE " (Nginx)", .default_text = "0", .min = 0, .max = INT32_MAX,
	 .help = HELP("How many files a process may have open. 0: as many as whoever started passenger.")},
	{.name = "rlimits", OF_APPS(rlimits), .type = OPTION_STRING, .group = OPTION_GROUP_LIMITS,
	 .check = config_check_rlimits, .example = "core=unlimited nproc=200 as=2g stack=8m:64m",
	 .help = HELP("The kernel's limits of a process (setrlimit), with blanks between: as, core, cpu (seconds), data, "
		 "fsize, memlock, nofile, nproc (of all processes of the user) or stack, and a number, a size or "
		 "unlimited; SOFT:HARD sets two different ones. core is 0 when it is not written; the others are as "
		 "they were when passenger was started.")},

	{.name = "static_files", OF_APPS(static_files), .live = true, .type = OPTION_BOOL, .group = OPTION_GROUP_APPLICATION,
	 .default_text = "on",
	 .help = HELP("off: the application answers for every file itself, whatever the listener's static_files says.")},
	{.name = "static_files_dir", OF_APPS(static_files_dir), .live = true, .type = OPTION_STRING,
	 .group = OPTION_GROUP_APPLICATION, .original = "static_files_dir", .edition = OPEN_SOURCE " (Standalone)",
	 .default_text = "public",
	 .help = HELP("The folder, below root or absolute, whose files are answered without the application, at listeners "
		 "with static_files: GET /a.css gives a.css, / index.html, /about about.html; a.css.gz instead, if it is "
		 "there and the client takes gzip. Never those of a name with a dot at its beginning, but for "
		 "/.well-known/, and never through a link that leads out. The balancer's user must be able to read "
		 "them: chmod o+rX. The folder is looked for at start, reload and restart.")},

	/* --- runtimes ------------------------------------------------------------------ */
	{.name = "command", OF_RUNTIME(command), .type = OPTION_STRING, .group = OPTION_GROUP_APPLICATION,
	 .check = config_check_command, .example = "deno run -A $PASSENGER_STARTUP_FILE",
	 .help = HELP("As command in [app NAME]. Must be given. $PASSENGER_INTERPRETER and $PASSENGER_STARTUP_FILE stand for the "
		 "interpreter and the startup file.")},
	{.name = "detect", OF_RUNTIME(detect), .type = OPTION_STRING, .group = OPTION_GROUP_APPLICATION,
	 .check = config_check_files, .example = "main.ts deno.json",
	 .help = HELP("Files with blanks between, from the application's root: when one of them is there, the application may be "
		 "of this type. The first that is there is the startup file. Without this line, only type = NAME makes "
		 "an application one of this type.")},
	{.name = "weight", OF_RUNTIME(weight), .type = OPTION_INT, .group = OPTION_GROUP_APPLICATION,
	 .default_text = "90", .min = 1, .max = 100,
	 .help = HELP("When the files of several types are there, the type with the greatest weight is taken; two alike are an "
		 "error. Those that are built in have 80 (ruby), 70 (python) and 60 (node).")},
	{.name = "startup_file", OF_RUNTIME(startup_file), .type = OPTION_PATH, .from_root = true, .group = OPTION_GROUP_APPLICATION,
	 .example = "main.ts",
	 .help = HELP("The startup file, where it is not one of detect. It has to be there only where the command has "
		 "PASSENGER_STARTUP_FILE in it; startup_file in [app NAME] goes before it.")},
	{.name = "interpreter", OF_RUNTIME(interpreter), .type = OPTION_STRING, .group = OPTION_GROUP_APPLICATION,
	 .example = "/usr/local/bin/deno",
	 .help = HELP("The program that runs the application, for $PASSENGER_INTERPRETER and `passenger runtimes`: a path, or "
		 "a name that is looked up in PATH. Without it, the first word of the "
		 "command.")},
	{.name = "readiness", OF_RUNTIME(readiness), .type = OPTION_CHOICE, .group = OPTION_GROUP_APPLICATION,
	 .choices = readinesses, .default_text = "auto", .help = HELP("As in [app NAME].")},
	{.name = "protocol", OF_RUNTIME(protocol), .type = OPTION_STRING, .group = OPTION_GROUP_APPLICATION,
	 .check = config_check_protocol, .default_text = "http", .help = HELP("What the program speaks.")},
	{.name = "concurrency", OF_RUNTIME(concurrency), .type = OPTION_INT, .group = OPTION_GROUP_APPLICATION,
	 .default_text = "0", .min = 0, .max = REQUESTS_MAX,
	 .help = HELP("How many requests one process takes at once, unless the application says. 0: no limit.")},
