/*
 * python: any WSGI or ASGI application, run by our own loader (python.py), which
 * speaks the session protocol and sees for itself which of the two it is.
 */
#include "apps/apps.h"

#include <signal.h>

extern const unsigned char loader_python_py[];
extern const size_t loader_python_py_size;

enum { PYTHON_INTERPRETER, PYTHON_WSGI_MODULE, PYTHON_ASGI_MODULE, PYTHON_OPTION_N };

static const struct option python_options[PYTHON_OPTION_N] = {
	[PYTHON_INTERPRETER] =
		{
			.name = "python",
			.original = "PassengerPython",
			.edition = "open source",
			.group = OPTION_GROUP_APPLICATION,
			.type = OPTION_STRING,
			.sections = OPTION_IN_PASSENGER | OPTION_IN_APP,
			.offset = PYTHON_INTERPRETER,
			.default_text = "python3",
			.help = "The Python interpreter (CPython, 3.7 or later): a path, bin/python of a virtual "
				"environment for one, or a name that is looked up in PATH when a process starts.",
		},
	[PYTHON_WSGI_MODULE] =
		{
			.name = "wsgi_module",
			.group = OPTION_GROUP_APPLICATION,
			.type = OPTION_STRING,
			.sections = OPTION_IN_APP,
			.offset = PYTHON_WSGI_MODULE,
			.example = "package.module:application",
			.help = "The WSGI application: a module to import from root, and after the colon its callable "
				"(without one: application, else app), or with () what makes it. Then no startup file "
				"is looked for.",
		},
	[PYTHON_ASGI_MODULE] =
		{
			.name = "asgi_module",
			.group = OPTION_GROUP_APPLICATION,
			.type = OPTION_STRING,
			.sections = OPTION_IN_APP,
			.offset = PYTHON_ASGI_MODULE,
			.example = "package.module:application",
			.help = "As wsgi_module, for an ASGI application. A startup file may hold either kind: what "
				"takes scope, receive and send is ASGI.",
		},
};

static bool
has_value(const struct app_config *app, size_t option)
{
	return app_config_type_value(app, option)[0] != 0;
}

static bool
python_starts_without_file(const struct app_config *app)
{
	return has_value(app, PYTHON_WSGI_MODULE) || has_value(app, PYTHON_ASGI_MODULE);
}

static bool
python_check(const struct app_config *app, char *error, size_t error_size)
{
	if (!has_value(app, PYTHON_WSGI_MODULE) || !has_value(app, PYTHON_ASGI_MODULE))
		return true;
	str_cut_z(error, error_size, STR("wsgi_module and asgi_module are both there; expected one of them"));
	return false;
}

static bool
python_argv(const struct app_config *app, const char *loader_path, struct app_argv *argv, char *error, size_t error_size)
{
	(void)error;
	(void)error_size;
	app_argv_add(argv, str_from(app_config_type_value(app, PYTHON_INTERPRETER)));
	app_argv_add(argv, str_from(loader_path));
	return true;
}

const struct app_type app_type_python = {
	.name = "python",
	.title = "Python (WSGI, ASGI)",
	.protocol = APP_PROTOCOL_SESSION,
	.readiness = APP_READY_CONTROL,
	.concurrency = 1,
	.preload = APP_PRELOAD_WHEN_ASKED,
	.startup_files = {"passenger_wsgi.py", "wsgi.py", "asgi.py"},
	.starts_without_file = python_starts_without_file,
	.detect_score = 70,
	.options = python_options,
	.option_count = array_count(python_options),
	.dump_signal = SIGQUIT, /* faulthandler */
	.loader = loader_python_py,
	.loader_size = &loader_python_py_size,
	.loader_name = "python.py",
	.loader_line =
		"import zlib;exec(compile(zlib.decompress(open(__file__+'.gz','rb').read(),31),__file__,'exec'))\n",
	.check = python_check,
	.probe_option = "-c",
	.probe = "import importlib.util as u, os, sys\n"
		 "print('Python ' + sys.version.split()[0])\n"
		 "if sys.version_info < (3, 7): print('!Python 3.7 or later is needed')\n"
		 "for v in sys.argv[2:4]:\n"
		 "  m = v.split(':')[0].split('.')[0]\n"
		 "  if m and not u.find_spec(m): print('!there is no module ' + m)\n"
		 "if sys.prefix == sys.base_prefix:\n"
		 "  for d in 'venv', '.venv', 'env':\n"
		 "    p = os.path.abspath(d + '/bin/python')\n"
		 "    if os.path.exists(p): print('?a virtual environment is there, and not used; python = %s uses it' "
		 "% p)",
	.argv = python_argv,
};
