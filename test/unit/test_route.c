#include "pool/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { APPS_MAX = 8 };

static char names[APPS_MAX][16];
static struct app_config apps[APPS_MAX];
static struct app_config *list[APPS_MAX];
static struct config config;

static void
begin(void)
{
	config = (struct config){.apps = list};
}

/* name is what the tests compare; host NULL: any. */
static void
add(const char *name, const char *host, const char *base_uri)
{
	static char hosts[APPS_MAX][64], bases[APPS_MAX][32];
	size_t i = config.app_count++;
	str_cut_z(names[i], sizeof(names[i]), str_from(name));
	str_cut_z(hosts[i], sizeof(hosts[i]), str_from(host));
	str_cut_z(bases[i], sizeof(bases[i]), str_from(base_uri));
	apps[i] = (struct app_config){.id = (uint32_t)i,
	                              .name = names[i],
	                              .host = host ? hosts[i] : NULL,
	                              .base_uri = bases[i],
	                              .enabled = true};
	list[i] = &apps[i];
}

static void
assert_route(const struct listener_config *listener, const char *host, const char *path, const char *expected)
{
	const struct app_config *app = route_find(&config, listener, str_from(host), str_from(path));
	const char *found = app ? app->name : "none";
	if (strcmp(found, expected) != 0)
		fail_msg("%s%s goes to %s, not to %s", host, path, found, expected);
}

static void
test_one_app(void **state)
{
	(void)state;
	begin();
	assert_route(NULL, "a", "/", "none");
	add("all", NULL, "/");
	assert_route(NULL, "a", "/", "all");
	assert_route(NULL, "", "/", "all");
	assert_route(NULL, "[::1]:80", "/a/b?c", "all");
	assert_route(NULL, "a", "*", "all");
	apps[0].enabled = false;
	assert_route(NULL, "a", "/", "none");
}

static void
test_base_uri(void **state)
{
	(void)state;
	begin();
	add("root", NULL, "/");
	add("shop", NULL, "/shop");
	add("admin", NULL, "/shop/admin");
	assert_route(NULL, "a", "/", "root");
	assert_route(NULL, "a", "/shop", "shop");
	assert_route(NULL, "a", "/shop/", "shop");
	assert_route(NULL, "a", "/shop/1", "shop");
	assert_route(NULL, "a", "/shopping", "root"); /* whole segments only */
	assert_route(NULL, "a", "/Shop", "root");
	assert_route(NULL, "a", "/sho", "root");
	assert_route(NULL, "a", "/sh%6fp", "root"); /* not decoded */
	assert_route(NULL, "a", "/shop/admin", "admin");
	assert_route(NULL, "a", "/shop/admin/x", "admin");
	assert_route(NULL, "a", "/shop/administrator", "shop");
	apps[2].enabled = false;
	assert_route(NULL, "a", "/shop/admin", "shop");
	begin();
	add("shop", NULL, "/shop");
	assert_route(NULL, "a", "/", "none");
	assert_route(NULL, "a", "*", "none");
}

static void
test_host(void **state)
{
	(void)state;
	begin();
	add("any", NULL, "/");
	add("wild", "*.example.org", "/");
	add("deep", "*.shop.example.org", "/");
	add("exact", "www.example.org example.org  10.0.0.1 [::1]", "/");
	assert_route(NULL, "www.example.org", "/", "exact");
	assert_route(NULL, "WWW.Example.ORG", "/", "exact");
	assert_route(NULL, "www.example.org:8080", "/", "exact");
	assert_route(NULL, "www.example.org:", "/", "exact");
	assert_route(NULL, "example.org", "/", "exact");
	assert_route(NULL, "10.0.0.1:80", "/", "exact");
	assert_route(NULL, "[::1]", "/", "exact");
	assert_route(NULL, "[::1]:80", "/", "exact");
	assert_route(NULL, "[::2]:80", "/", "any");
	assert_route(NULL, "a.example.org", "/", "wild");
	assert_route(NULL, "a.b.example.org", "/", "wild");
	assert_route(NULL, "a.shop.example.org:80", "/", "deep"); /* the longer pattern */
	assert_route(NULL, "shop.example.org", "/", "wild");
	assert_route(NULL, ".example.org", "/", "any"); /* no label */
	assert_route(NULL, "badexample.org", "/", "any");
	assert_route(NULL, "example.org.evil.test", "/", "any");
	assert_route(NULL, "", "/", "any");
	assert_route(NULL, ":80", "/", "any");
}

/* The host decides before the path does. */
static void
test_host_before_base(void **state)
{
	(void)state;
	begin();
	add("any-long", NULL, "/a/b");
	add("wild", "*.test", "/a");
	add("host", "x.test", "/");
	add("host-sub", "x.test", "/a/b/c");
	assert_route(NULL, "x.test", "/a/b", "host");
	assert_route(NULL, "x.test", "/a/b/c/d", "host-sub");
	assert_route(NULL, "y.test", "/a/b", "wild");
	assert_route(NULL, "y.test", "/", "none");
	assert_route(NULL, "other", "/a/b", "any-long");
	begin();
	add("sub", "x.test", "/only");
	add("any", NULL, "/");
	assert_route(NULL, "x.test", "/elsewhere", "any"); /* its host fits, but not its path */
}

static void
test_first_of_equals(void **state)
{
	(void)state;
	begin();
	add("first", "x.test", "/");
	add("second", "x.test", "/");
	assert_route(NULL, "x.test", "/", "first");
}

static void
test_listener(void **state)
{
	char shop[] = "shop", nobody[] = "nobody";
	struct listener_config free_one = {0}, bound = {.app = shop}, wrong = {.app = nobody};
	(void)state;
	begin();
	add("blog", "blog.test", "/");
	add("shop", "shop.test", "/");
	assert_route(&free_one, "blog.test", "/", "blog");
	assert_route(&bound, "blog.test", "/", "shop"); /* the only candidate, whatever the host */
	assert_route(&bound, "", "/x", "shop");
	assert_route(&wrong, "shop.test", "/", "none");
	/* An application that only its listener reaches. */
	apps[1].listener_only = true;
	assert_route(&bound, "blog.test", "/", "shop");
	assert_route(&free_one, "shop.test", "/", "none");
	assert_route(NULL, "shop.test", "/", "none");
	char sub[] = "/sub";
	apps[1].base_uri = sub;
	assert_route(&bound, "shop.test", "/sub/x", "shop");
	assert_route(&bound, "shop.test", "/x", "none");
}

/* With the masks the answers are the same, and hundreds of applications cost little. */
static void
test_many(void **state)
{
	enum { MANY = 2000, ROUNDS = 2000 };
	static const unsigned sizes[] = {2, 200, MANY};
	static char hosts[MANY][48];
	static struct app_config many[MANY];
	static struct app_config *pointers[MANY];
	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		const char *form = i % 50 == 7 ? "*.host%u.example"
		                   : i % 3     ? "host%u.example"
		                               : "host%u.example www.host%u.example";
		str_format(hosts[i], sizeof(hosts[i]), form, i, i);
		many[i] = (struct app_config){
			.id = i, .name = hosts[i], .host = hosts[i], .base_uri = (char *)(uintptr_t) "/"};
		many[i].enabled = true;
		pointers[i] = &many[i];
	}
	many[0].host = NULL;
	for (size_t size = 0; size < array_count(sizes); size++) {
		struct config some = {.apps = pointers, .app_count = sizes[size]};
		const struct app_config *found[ROUNDS];
		for (int masked = 0; masked <= 1; masked++) {
			struct timespec begin, end;
			for (unsigned i = 0; i < MANY; i++)
				many[i].host_mask = masked ? config_host_mask(many[i].host) : 0;
			clock_gettime(CLOCK_MONOTONIC, &begin);
			for (unsigned i = 0; i < ROUNDS; i++) {
				char host[64];
				unsigned number = i * 7 % (sizes[size] + 2);
				str_format(host, sizeof(host), i % 4 == 0 ? "WWW.Host%u.example:80" : "host%u.EXAMPLE",
				           number);
				const struct app_config *app = route_find(&some, NULL, str_from(host), STR("/x"));
				if (masked)
					assert_ptr_equal(app, found[i]);
				found[i] = app;
			}
			clock_gettime(CLOCK_MONOTONIC, &end);
			double ns = (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
			printf("%u applications%s: %.0f ns\n", sizes[size], masked ? "" : ", each looked at",
			       ns / ROUNDS);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_app),
		cmocka_unit_test(test_base_uri),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_host_before_base),
		cmocka_unit_test(test_first_of_equals),
		cmocka_unit_test(test_listener),
		cmocka_unit_test(test_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
