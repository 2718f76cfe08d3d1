#include "worker/report.h"

#include "config/app_type.h"
#include "handover/message.h"
#include "worker/plan.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/resource.h>

static void
write_limit(struct buf *out, uint64_t value)
{
	char digits[24];

	buf_append_str(out, value == UINT64_MAX ? STR("unlimited") : str_from_u64(digits, value));
}

/* As `passenger exec` sets them. */
static void
write_limits(struct buf *out, const struct plan *plan)
{
	const char *name;
	int resource;

	buf_append_str(out, STR("== Limits (soft, hard)\n"));
	for (size_t i = 0; (name = config_rlimit_name(i, &resource)) != NULL; i++) {
		struct rlimit now = {0};
		getrlimit(resource, &now);
		uint64_t soft = resource == RLIMIT_NOFILE && plan->descriptors_soft > 0 ? plan->descriptors_soft
		                : resource == RLIMIT_CORE                               ? 0
		                                                                        : now.rlim_cur;
		uint64_t hard = now.rlim_max;
		for (uint32_t j = 0; j < plan->limit_count; j++) {
			if (plan->limits[j].resource == resource) {
				soft = plan->limits[j].soft;
				hard = plan->limits[j].hard;
			}
		}
		buf_printf(out, "%s = ", name);
		write_limit(out, soft);
		buf_append_str(out, STR(", "));
		write_limit(out, hard);
		buf_append_char(out, '\n');
	}
}

/* Ours are known to be harmless, and are what one looks for: PATH, HOME, RAILS_ENV. */
static void
write_variables(struct buf *out, const struct plan_read *plan)
{
	buf_append_str(out, STR("== Environment\n"));
	for (uint32_t i = 0; i < plan->head->variable_count; i++) {
		const char *word = plan->variables[i];
		if (i < plan->head->ours_count || str_starts(str_from(word), STR("PORT=")))
			buf_printf(out, "%s\n", word);
		else if (!str_starts(str_from(word), STR("PASSENGER_PROCESS=")))
			buf_printf(out, "%.*s (given by passenger.ini; its value is not shown)\n",
			           (int)strcspn(word, "="), word);
	}
	if (plan->shell[0] != '\0')
		buf_printf(out, "and what %s exports (load_shell_envvars)\n", plan->shell);
	if (plan->env_file[0] != '\0')
		buf_printf(out, "and what stands in %s (env_file)\n", plan->env_file);
}

static void
write_user(struct buf *out, const struct app_config *app)
{
	const struct passwd *user = getpwuid(app->uid);

	buf_printf(out, "== User\n%s (uid %u), ", user != NULL ? user->pw_name : "without a name", app->uid);
	const struct group *group = getgrgid(app->gid);
	buf_printf(out, "group %s (gid %u)\n", group != NULL ? group->gr_name : "without a name", app->gid);
}

void
report_write(struct buf *out, const struct app_config *app, int plan_fd)
{
	struct plan_read *plan = calloc(1, sizeof(*plan));

	buf_clear(out);
	buf_printf(out, "== Application\n%s, %s, in %s\n", app->name, app->type->title, app->root);
	write_user(out, app);
	if (plan != NULL && plan_fd >= 0 && plan_read(plan, plan_fd)) {
		buf_append_str(out, STR("== Program\n"));
		for (uint32_t i = 0; i < plan->head->argument_count; i++) {
			if (i > 0)
				buf_append_char(out, ' ');
			app_reference_show(out, plan->arguments[i]);
		}
		buf_append_char(out, '\n');
		write_limits(out, plan->head);
		write_variables(out, plan);
		plan_release(plan);
	}
	free(plan);
	/* more than this nobody reads, and the other side takes no more */
	if (out->len > MESSAGE_LONG_TEXT_BYTES)
		out->len = MESSAGE_LONG_TEXT_BYTES;
}
