/*
 * node: a Node application, run by our loader (node.js), which puts the
 * application's own http.Server on the process's socket.
 */
#include "apps/apps.h"

#include <stdio.h>

extern const unsigned char loader_node_js[];
extern const size_t loader_node_js_size;

enum { NODE_INTERPRETER, NODE_OPTION_N };
enum { TITLE_BYTES = 1024 };

static const struct option node_options[NODE_OPTION_N] = {
	[NODE_INTERPRETER] =
		{
			.name = "nodejs",
			.original = "PassengerNodejs",
			.edition = "open source",
			.group = OPTION_GROUP_APPLICATION,
			.type = OPTION_STRING,
			.sections = OPTION_IN_PASSENGER | OPTION_IN_APP,
			.offset = NODE_INTERPRETER,
			.default_text = "node",
			.help = "The Node interpreter, 16 or later: a path, or a name that is looked up in PATH when a "
				"process starts.",
		},
};

static bool
node_argv(const struct app_config *app, const char *loader_path, struct app_argv *argv, char *error, size_t error_size)
{
	char title[TITLE_BYTES];

	(void)error;
	(void)error_size;
	app_argv_add(argv, str_from(app_config_type_value(app, NODE_INTERPRETER)));
	app_argv_add(argv, str_from(loader_path));
	/* A process's title has room where its arguments stood: this one makes enough of it. */
	snprintf(title, sizeof(title), "Passenger NodeApp: %s (%s)", app->root, app->app_env);
	app_argv_add(argv, str_from(title));
	return true;
}

const struct app_type app_type_node = {
	.name = "node",
	.title = "Node",
	.protocol = APP_PROTOCOL_HTTP,
	.readiness = APP_READY_CONTROL,
	.concurrency = 0,
	.startup_files = {"app.js", "server.js", "index.js", "package.json"},
	.detect_score = 60,
	.options = node_options,
	.option_count = array_count(node_options),
	.loader = loader_node_js,
	.loader_size = &loader_node_js_size,
	.loader_name = "node.cjs", /* CommonJS, whatever package.json stands above the instance directory */
	.loader_line = "if(parseInt(process.version.slice(1))<16)throw'Node 16 or later is needed: nodejs = PATH';"
		       "module._compile(require('zlib').gunzipSync(require('fs').readFileSync(__filename+'.gz'))"
		       ".toString(),__filename)\n",
	.probe_option = "-e",
	.probe = "console.log('Node ' + process.version);\n"
		 "if (parseInt(process.version.slice(1)) < 16) console.log('!Node 16 or later is needed');\n"
		 "try {\n"
		 "  const p = JSON.parse(require('fs').readFileSync('package.json'));\n"
		 "  const r = require('module').createRequire(process.cwd() + '/x');\n"
		 "const m = Object.keys(p.dependencies || {}).filter(d => { try { r.resolve(d + '/package.json') }\n"
		 "catch (e) { return e.code == 'MODULE_NOT_FOUND' } });\n"
		 "if (m.length) console.log('!not in node_modules: ' + m.join(', ') + '; run npm install');\n"
		 "const a = process.argv[2], s = /^\\s*node\\s+([^\\s-]\\S*)\\s*$/.exec((p.scripts || {}).start);\n"
		 "const f = s ? s[1] : p.main; let t; try { t = r.resolve('./' + f) } catch (e) {}\n"
		 "if (a == 'package.json') t || console.log('!package.json: nothing to start at '\n"
		 "+ (f || 'main or a script node FILE') + '; write startup_file = FILE or command = PROGRAM');\n"
		 "else if (s && a && t != r.resolve('./' + a)) console.log('?startup_file = package.json starts ' + "
		 "f);\n"
		 "} catch (e) { if (e.code != 'ENOENT') console.log('!package.json: ' + e.message) }",
	.argv = node_argv,
};
