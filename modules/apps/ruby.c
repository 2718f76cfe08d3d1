/*
 * ruby: any Rack application, run by our own loader (ruby.rb), which speaks the
 * session protocol.
 */
#include "apps/apps.h"

#include <signal.h>

extern const unsigned char loader_ruby_rb[];
extern const size_t loader_ruby_rb_size;

enum { RUBY_INTERPRETER, RUBY_PRELOAD_BUNDLER, RUBY_EARLY_HINTS, RUBY_OPTION_N };

static const struct option ruby_options[RUBY_OPTION_N] = {
	[RUBY_INTERPRETER] =
		{
			.name = "ruby",
			.original = "PassengerRuby PassengerDefaultRuby",
			.edition = "open source",
			.group = OPTION_GROUP_APPLICATION,
			.type = OPTION_STRING,
			.sections = OPTION_IN_PASSENGER | OPTION_IN_APP,
			.offset = RUBY_INTERPRETER,
			.default_text = "ruby",
			.help = "The Ruby interpreter: a path, or a name that is looked up in PATH when a process "
				"starts.",
		},
	[RUBY_PRELOAD_BUNDLER] =
		{
			.name = "preload_bundler",
			.original = "PassengerPreloadBundler",
			.edition = "open source",
			.group = OPTION_GROUP_APPLICATION,
			.type = OPTION_BOOL,
			.sections = OPTION_IN_PASSENGER | OPTION_IN_APP,
			.offset = RUBY_PRELOAD_BUNDLER,
			.default_text = "off",
			.help = "on: Bundler is set up before anything else is loaded, so that no gem of the system "
				"gets in the way of the application's Gemfile.lock.",
		},
	[RUBY_EARLY_HINTS] =
		{
			.name = "early_hints",
			.group = OPTION_GROUP_APPLICATION,
			.type = OPTION_BOOL,
			.sections = OPTION_IN_PASSENGER | OPTION_IN_APP,
			.offset = RUBY_EARLY_HINTS,
			.default_text = "off",
			.help = "on: the application is offered rack.early_hints, by which Rails tells of its "
				"stylesheets in a 103 before each page. Some clients take that for the page (Python's "
				"http.client, for one).",
		},
};

static bool
ruby_argv(const struct app_config *app, const char *loader_path, struct app_argv *argv, char *error, size_t error_size)
{
	(void)error;
	(void)error_size;
	app_argv_add(argv, str_from(app_config_type_value(app, RUBY_INTERPRETER)));
	if (strcmp(app_config_type_value(app, RUBY_PRELOAD_BUNDLER), "on") == 0)
		app_argv_add(argv, STR("-rbundler/setup"));
	app_argv_add(argv, str_from(loader_path));
	return true;
}

const struct app_type app_type_ruby = {
	.name = "ruby",
	.title = "Ruby (Rack)",
	.protocol = APP_PROTOCOL_SESSION,
	.readiness = APP_READY_CONTROL,
	.concurrency = 1,
	.preload = APP_PRELOAD_ALWAYS,
	.startup_files = {"config.ru"},
	.detect_score = 80,
	.options = ruby_options,
	.option_count = array_count(ruby_options),
	/* the interpreter's own report of a crash has the stack of what holds it */
	.dump_signal = SIGSEGV,
	.dump_is_fatal = true,
	.loader = loader_ruby_rb,
	.loader_size = &loader_ruby_rb_size,
	.loader_name = "ruby.rb",
	.loader_line = "require 'zlib';eval(Zlib.gunzip(File.binread(__FILE__+'.gz')).force_encoding('UTF-8'),"
		       "TOPLEVEL_BINDING,__FILE__,1)\n",
	.probe_option = "-e",
	.probe = "puts RUBY_DESCRIPTION\n"
		 "begin\n"
		 "if ENV['BUNDLE_GEMFILE'] || File.exist?('Gemfile') then require 'bundler'; Bundler.setup end\n"
		 "require 'rack'\n"
		 "rescue LoadError\n"
		 "puts '!' + $!.message + ': install the gem, or add it to the Gemfile'\n"
		 "rescue => error\n"
		 "puts '!' + error.message.lines.first\n"
		 "end",
	.argv = ruby_argv,
};
