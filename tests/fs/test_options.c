/*
 * test_options.c - the command line: what is ours, dropped, left, refused.
 */
#include "fs/options.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGS_MAX 16

/* Parse a command line given as words; messages are not wanted here. */
static int parse(struct options *options, const char *line)
{
	static char words[256];
	char *argv[ARGS_MAX] = { "pagerfs" }, *word;
	int argc = 1, shown, result;

	snprintf(words, sizeof(words), "%s", line);
	for (word = strtok(words, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	shown = dup(STDERR_FILENO);
	dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
	result = options_parse(options, argc, argv);
	dup2(shown, STDERR_FILENO);
	close(shown);
	return result;
}

static bool left(const struct options *options, const char *word)
{
	int i;

	for (i = 1; i < options->rest.argc; i++)
		if (strstr(options->rest.argv[i], word))
			return true;
	return false;
}

static void test_plain(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "src mnt"), OPTIONS_SERVE);
	assert_string_equal(options.source, "src");
	assert_string_equal(options.mountpoint, "mnt");
	assert_false(options.foreground);
	assert_true(options.attr_timeout == 1.0);
	assert_int_equal(options.cache, OPTIONS_CACHE_AUTO);
	assert_true(options.entry_timeout == 1.0);
	assert_true(options.negative_timeout == 0.0);
	options_free(&options);
}

static void test_flags(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "-f -s src -o threads=3 mnt "
			       "-o attr_timeout=0.5,writeback,noauto_cache"),
			 OPTIONS_SERVE);
	assert_true(options.foreground);
	assert_true(options.single);
	assert_true(options.writeback);
	assert_int_equal(options.cache, OPTIONS_CACHE_NEVER);
	assert_int_equal(options.threads, 3);
	assert_true(options.attr_timeout == 0.5);
	options_free(&options);
	assert_int_equal(parse(&options, "-d src mnt"), OPTIONS_SERVE);
	assert_true(options.foreground);
	assert_true(left(&options, "-d"));
	options_free(&options);
}

static void test_faults(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "src mnt -o seed=7,timeout=1.5,"
			       "rules=file,nocontrol -o inject=a\\,b;c"),
			 OPTIONS_SERVE);
	assert_true(options.seed == 7);
	assert_true(options.timeout == 1.5);
	assert_true(options.nocontrol);
	assert_string_equal(options.rules, "file");
	assert_string_equal(options.inject, "a,b;c");
	options_free(&options);
	assert_int_equal(parse(&options, "src mnt -o nocontrol,control"),
			 OPTIONS_SERVE);
	assert_false(options.nocontrol);
	options_free(&options);
	assert_int_equal(parse(&options, "src mnt -o timeout=0,inode_fds=1,"
			       "seed=18446744073709551615"), OPTIONS_SERVE);
	assert_true(options.seed == ULONG_MAX);
	options_free(&options);
	assert_int_equal(parse(&options, "src mnt -o timeout=-1"), -EINVAL);
	options_free(&options);
}

static void test_mount_words(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "src mnt -o rw,noatime,dev,suid,"
			       "_netdev,nofail,user,x-systemd.automount,"
			       "comment=hello,defaults,allow_other,relatime"),
			 OPTIONS_SERVE);
	assert_true(options.allow_other);
	assert_true(left(&options, "allow_other"));
	assert_true(left(&options, "noatime"));
	assert_true(left(&options, "dev"));
	assert_false(left(&options, "_netdev"));
	assert_false(left(&options, "nofail"));
	assert_false(left(&options, "x-systemd"));
	assert_false(left(&options, "comment"));
	assert_false(left(&options, "defaults"));
	assert_false(left(&options, "relatime"));
	options_free(&options);
	assert_int_equal(parse(&options, "src mnt -o noatime,remount,relatime"),
			 OPTIONS_SERVE);
	assert_true(left(&options, "noatime,relatime"));
	options_free(&options);
}

static void test_refused(void **state)
{
	static const char *const lines[] = {
		"", "src", "src mnt more", "-f", "src mnt -o attr_timeout=-1",
		"src mnt -o threads=65", "src mnt -o attr_timeout=soon",
		"src mnt -o threads=", "src mnt -o threads=0",
		"src mnt -o threads=4x", "src mnt -o threads=-1",
		"src mnt -o threads=4294967297",
		"src mnt -o threads=18446744073709551617",
		"src mnt -o attr_timeout=1x", "src mnt -o entry_timeout=nan",
		"src mnt -o negative_timeout=0x1", "src mnt -o timeout=inf",
		"src mnt -o timeout=.", "src mnt -o timeout=1e300",
		"src mnt -o timeout=0.0000000001",
		"src mnt -o timeout=10000000000", "src mnt -o timeout=",
		"src mnt -o inode_fds=-1", "src mnt -o inode_fds=",
		"src mnt -o seed=-1", "src mnt -o seed=0x1",
		"src mnt -o seed=18446744073709551616", "src mnt -o seed=0",
		"src mnt -o record=", "src mnt -o rules=",
	};
	struct options options;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		assert_int_equal(parse(&options, lines[i]), -EINVAL);
		options_free(&options);
	}
}

static void test_record(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "src mnt"), OPTIONS_SERVE);
	assert_null(options.record);
	options_free(&options);
	assert_int_equal(parse(&options, "src mnt -o record=/a/b"),
			 OPTIONS_SERVE);
	assert_string_equal(options.record, "/a/b");
	assert_true(options.record_base);
	options_free(&options);
	assert_int_equal(parse(&options, "src mnt -o record=x,record_base=no"),
			 OPTIONS_SERVE);
	assert_string_equal(options.record, "x");
	assert_false(options.record_base);
	options_free(&options);
}

static void test_questions(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "-h"), OPTIONS_HELP);
	options_free(&options);
	assert_int_equal(parse(&options, "--version"), OPTIONS_VERSION);
	options_free(&options);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_mount_words),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
