/*
 * test_workload.c - the workload language: parser, random numbers, runner.
 *
 * The runner is compiled into this test, over the small machine of
 * workload_fake.h: what has to hold whatever the faults, waits and the order
 * of threads are is run under many throws of the die, and against the run
 * without any fault.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <malloc.h>
#include <math.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/pager/fuzz_workload.c"
#include "tests/pager/workload_fake.h"

/* No memory for what is printed: at once, or in the middle. */
static enum { STREAM_GOOD, STREAM_NONE, STREAM_FULL } stream;

static FILE *fake_open_memstream(char **text, size_t *size)
{
	if (stream == STREAM_GOOD)
		return open_memstream(text, size);
	*text = NULL;
	*size = 0;
	return stream == STREAM_NONE ? NULL : fopen("/dev/full", "w");
}
#define open_memstream fake_open_memstream

#include "pager/runner.c"
#undef open_memstream
#include "pager/runner_branch.c"
#include "pager/runner_calls.c"
#include "pager/runner_env.c"
#include "pager/runner_mem.c"

#define ARRAY_LEN(a)	(sizeof(a) / sizeof((a)[0]))
#define EXAMPLES	"docs/examples"

/* ---- the parser ---- */

static struct program *parse_ok(const char *text)
{
	struct program *prog;
	struct wl_error err;

	if (program_parse("t", text, strlen(text), &prog, &err))
		fail_msg("%s", err.message);
	return prog;
}

static void parse_bad(const char *text, const char *message)
{
	struct program *prog;
	struct wl_error err;

	assert_int_equal(program_parse("t", text, strlen(text), &prog, &err),
			 -EINVAL);
	assert_null(prog);
	assert_string_equal(err.message, message);
}

static void test_parse_fields(void **state)
{
	struct program *prog = parse_ok(
		"# nothing\n\n"
		"map p a anon 64K shared rx at 0x10000\n"
		"map p b file \"a b.txt\" offset 4K private r; proc q\n"
		"touch p a+4K 2M mix 30% zipf 0.99 count 10 verify\n"
		"repeat 3 $i { store p$i a+$i*8 1 u16; load p a u8 -> $x }\n");
	struct wl_stmt *s = prog->first;

	(void)state;
	assert_int_equal(s->op, WL_MAP);
	assert_int_equal(s->line, 3);
	assert_true(s->shared && !s->path);
	assert_int_equal(s->prot, WL_PROT_READ | WL_PROT_EXEC);
	assert_int_equal(s->len.term->number, 65536);
	s = s->next;
	assert_string_equal(s->path, "a b.txt");
	assert_true(!s->shared && s->src.n == 1);
	s = s->next->next;
	assert_int_equal(s->percent, 30);
	assert_true(s->skew > 0.98 && s->skew < 1 && s->verify && !s->whole);
	s = s->next;
	assert_int_equal(s->nbody, 2);
	assert_string_equal(s->body->proc, "p$i");
	assert_int_equal(s->body->width, 2);
	assert_int_equal(s->body->addr.n, 3);
	assert_int_equal(prog->total, 5 + 3 * 2);
	assert_true(prog->total_known);
	program_free(prog);
}

static const char *const bad[][2] = {
	{ "jump p", "t:1: expected a statement (proc, map, touch, expect... "
	  "see docs/workload.md), found 'jump'" },
	{ "\n\nproc", "t:3: expected a name for the process, found end of "
	  "file" },
	{ "proc 9x\n", "t:1: expected a name for the process, found '9x'" },
	{ "\nproc abcdefghijklmnopqrstuvwxyz012345\n", "t:2: expected a name of "
	  "at most 31 characters, found 'abcdefghijklmnopqrstuvwxyz012345'" },
	{ "proc fault", "t:1: expected a process name that is no word of "
	  "`expect`, found 'fault'" },
	{ "proc p q\n", "t:1: expected end of line, found 'q'" },
	{ "map p a anon\n", "t:1: expected a size, found end of line" },
	{ "map p a anon 99999999999T", "t:1: expected a number below 2^64, "
	  "found '99999999999T'" },
	{ "map p a anon 0x1ffffffffffffffff", "t:1: expected a number below "
	  "2^64, found '0x1ffffffffffffffff'" },
	{ "map p a anon 64KB", "t:1: expected a size, found '64KB'" },
	{ "map p a file x rw", "t:1: expected `shared` or `private`, found "
	  "end of file" },
	{ "map p a anon 4K shared private", "t:1: expected each option once, "
	  "found 'private'" },
	{ "fill p a 4K 1\n", "t:1: expected end of line, found '1'" },
	{ "fill p a+4K 4K\n", "t:1: expected a byte or `pattern SEED`, found "
	  "end of line" },
	{ "touch p a mix 101%", "t:1: expected a percentage of writes (0% to "
	  "100%), found '101%'" },
	{ "touch p a read zipf 17", "t:1: expected a skew from 0 to 16 (like "
	  "0.99), found '17'" },
	{ "\nrepeat 2 {\nproc p\n", "t:4: expected '}' that closes the block "
	  "of line 2, found end of file" },
	{ "do {\ndo {\nproc p\n}", "t:4: expected '}' that closes the block "
	  "of line 1, found end of file" },
	{ "do {", "t:1: expected '}' that closes the block of line 1, found "
	  "end of file" },
	{ "exit 1K", "t:1: expected a process number, found '1K'" },
	{ "exit 0x10", "t:1: expected a process number, found '0x10'" },
	{ "}\n", "t:1: expected a statement (proc, map, touch, expect... see "
	  "docs/workload.md), found '}'" },
	{ "repeat 2 $i { set $i 3 }", "t:1: expected a variable that no block "
	  "around counts, found '$i'" },
	{ "print \"x", "t:1: expected a closing '\"', found none in this "
	  "line" },
	{ "proc \001", "t:1: expected text, found a control character" },
	{ "expect p a = 3", "t:1: expected == != < <= > or >=, found '='" },
	{ "expect error ENOPE proc p", "t:1: expected the name of an error "
	  "(like ENOMEM), found 'ENOPE'" },
	{ "expect error EIO print 3", "t:1: expected a statement that can "
	  "fail (fork, map, msync...), found 'print'" },
	{ "sleep 10", "t:1: expected a time (10us, 10ms, 10s), found '10'" },
	{ "set $x 1+", "t:1: expected a value or `count COUNTER`, found '1+'" },
	{ "load p a u9", "t:1: expected end of line, found 'u9'" },
};

static void test_parse_errors(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++)
		parse_bad(bad[i][0], bad[i][1]);
}

static void test_parse_limits(void **state)
{
	char text[WL_LINE_MAX + 100];
	unsigned i;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "check # ", 8);
	text[WL_LINE_MAX + 50] = 0;
	parse_bad(text, "t:1: expected at most 4096 bytes in a line, found "
		  "more");
	for (i = 0, text[0] = 0; i <= WL_NEST_MAX; i++)
		strcat(text, "do {");
	parse_bad(text, "t:1: expected at most 16 blocks inside each other, "
		  "found '{'");
	strcpy(text, "set $x 1");
	for (i = 0; i < WL_TERM_MAX; i++)
		strcat(text, "+1");
	parse_bad(text, "t:1: expected at most 16 terms, found "
		  "'1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1'");
}

/* ---- random numbers ---- */

static void zipf_check(uint64_t n, double s)
{
	enum { DRAWS = 200000, LOOK = 8 };
	unsigned seen[LOOK + 1] = { 0 };
	struct rng rng = { 7 };
	double sum = 0, want;
	struct zipf z;
	uint64_t k;
	int i;

	zipf_init(&z, n, s);
	for (i = 0; i < DRAWS; i++) {
		k = zipf_next(&z, &rng);
		assert_in_range(k, 1, n);
		if (k <= LOOK)
			seen[k]++;
	}
	for (k = 1; k <= n; k++)
		sum += pow((double)k, -s);
	for (i = 1; i <= LOOK && (uint64_t)i <= n; i++) {
		want = DRAWS * pow(i, -s) / sum;
		/* 5 standard deviations */
		assert_true(fabs(seen[i] - want) <= 5 * sqrt(want) + 1);
	}
}

static void test_zipf(void **state)
{
	static const double skews[] = { 0, 0.5, 0.99, 1, 1.01, 2, 16 };
	struct rng rng = { 1 };
	struct zipf z;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(skews); i++) {
		zipf_check(1, skews[i]);
		zipf_check(2, skews[i]);
		zipf_check(1000, skews[i]);
		zipf_init(&z, UINT64_MAX, skews[i]);
		assert_in_range(zipf_next(&z, &rng), 1, UINT64_MAX);
	}
	for (i = 0; i < 1000; i++)
		assert_true(rng_below(&rng, 3) < 3);
}

static void test_scatter_is_bijective(void **state)
{
	static char seen[4096];
	uint64_t n, i;

	(void)state;
	for (n = 1; n < 4096; n = n * 3 + 1) {
		memset(seen, 0, sizeof(seen));
		for (i = 0; i < n; i++)
			seen[scatter(i, n)]++;
		for (i = 0; i < n; i++)
			assert_int_equal(seen[i], 1);
	}
}

/* ---- the runner ---- */

struct output {
	char text[4096];
};

static void output_add(void *arg, const char *line)
{
	struct output *out = arg;
	size_t n = strlen(out->text);

	snprintf(out->text + n, sizeof(out->text) - n, "%s\n", line);
}

static int run_text(uint64_t seed, unsigned percent, const char *text,
		    struct output *out, struct runner_result *res)
{
	struct runner_opts opts = {
		.drive = true, .base = "x", .print = output_add, .arg = out
	};
	struct program *prog = parse_ok(text);
	int err;

	out->text[0] = 0;
	fake_create(seed, percent);
	fake->strict = seed % 2;
	err = runner_run(fake, prog, &opts, res);
	program_free(prog);
	return err;
}

static void run_ok(uint64_t seed, unsigned percent, const char *text,
		   const char *want)
{
	struct runner_result res;
	struct output out;

	if (run_text(seed, percent, text, &out, &res))
		fail_msg("seed %d: %s", (int)seed, res.message);
	fake_destroy();
	assert_string_equal(out.text, want);
}

static void run_bad(const char *text, int err, const char *message)
{
	struct runner_result res;
	struct output out;

	assert_int_equal(run_text(1, 20, text, &out, &res), err);
	assert_string_equal(res.message, message);
	fake_destroy();
}

/* Every statement but the concurrent ones. */
static const char sequential[] =
	"proc p; map p a anon 64K; map p f file f0 size 32K shared\n"
	"store p a+64 0xffffaaaa5555 u64; store p a+64 7 u16; store p a+67 1 "
	"u32; expect p a+64 == 0x01aa0007; expect p a+65 == 0xaa00 u16\n"
	"store p a+4 0x11223344; load p a+4 u8 -> $x; print $x\n"
	"store p a+4094 0x1122334455667788; expect p a+4096 == 0x112233445566\n"
	"expect p a+4096 == 0x5566 u16; expect $x+1 > 0x40\n"
	"fill p f pattern 9; expect fill p f pattern 9\n"
	"expect fill p f+100 5000 pattern 9; fill p f+1 30 0xaa\n"
	"expect fill p f+1 30 0xaa\n"
	"fork p q; store q a+4 5; expect p a+4 == 0x44 u8; store q f 77\n"
	"expect p f == 77\n"
	"copy p a+100 f 9000; load p a+9002 -> $y; load p f+8902 -> $z\n"
	"expect $y == $z; expect $y != 0\n"
	"expect p a+100 == 77\n"
	"map q g file f0 size 64K private r at 0x10080000\n"
	"expect fault SIGBUS load q g+40K; expect q 0x10080000 == 77\n"
	"expect fault SIGSEGV store q g; expect fault SIGSEGV load q 0x1000\n"
	"expect fault SIGSEGV fetch q g; protect q g rx; fetch q g\n"
	"unmap q g+4K 4K; expect error ENOMEM msync q g; msync q f async\n"
	"expect error ENOENT map p z file nosuch size 4K shared\n"
	"brk p +10000 -> $b; fill p heap 1; brk p -5000 -> $c\n"
	"print \"heap\" $b-$c; expect fill p heap 1\n"
	"repeat 3 $i { store p a+$i*8 $i*$i }\n"
	"expect p a+16 == 4; seed 5; fill p a pattern 3\n"
	"touch p a mix 40% zipf 1.2 count 500 pattern 3 verify\n"
	"touch p a+8 32K mix 40% random count 500 stride 17 "
	"pattern 3 verify seed 1\n"
	"touch p a read; expect fill p a pattern 3\n"
	"sync; evict 5; check; mark; sleep 1s\n"
	"expect count clock >= 1000000000; expect delta pgfault == 0\n"
	"expect count clock >= 3000000000 within 5s\n"
	"expect count clock >= 4000000000 within 18446744073s\n"
	"exit p; expect error ESRCH load p a; proc p; exit p; exit q\n";

static void test_run_sequential(void **state)
{
	unsigned seed;

	(void)state;
	run_ok(0, 0, sequential, "68\nheap 5000\n");
	for (seed = 1; seed < 60; seed++)
		run_ok(seed, seed, sequential, "68\nheap 5000\n");
}

/* The stream of a touch does not depend on where it was interrupted. */
static void test_run_same_stream(void **state)
{
	static const char text[] =
		"proc p; map p a anon 1M; seed 11\n"
		"touch p a mix 50% random count 300 stride 8\n"
		"spawn 4 $i { map p m$i anon 4K; touch p m$i mix 30% zipf 0.9 "
		"count 20 stride 8 }; wait\n"
		"repeat 16 $i { load p a+$i*512 -> $v; print $v }\n"
		"repeat 4 $i { repeat 6 $j { load p m$i+$j*8 -> $v; print $v "
		"} }\n";
	struct runner_result res;
	struct output first, again;
	unsigned seed;

	(void)state;
	assert_int_equal(run_text(0, 0, text, &first, &res), 0);
	fake_destroy();
	assert_non_null(strstr(first.text, "\n0\n"));
	for (seed = 1; seed < 20; seed++) {
		assert_int_equal(run_text(seed, 50, text, &again, &res), 0);
		fake_destroy();
		assert_string_equal(first.text, again.text);
	}
}

static void test_run_concurrent(void **state)
{
	unsigned seed;

	(void)state;
	for (seed = 0; seed < 30; seed++)
		run_ok(seed, 30,
		       "proc p; map p a anon 64K shared; fill p a 0\n"
		       "together {\n store p a 1\n store p a+8 2\n"
		       " do { fork p c; store c a+16 3; exit c }\n"
		       " repeat 5 $i { store p a+24+$i*8 $i; sleep 2us }\n"
		       " together { store p a+128 7; sleep 1ms }\n}\n"
		       "expect p a == 1; expect p a+8 == 2\n"
		       "expect p a+16 == 3; expect p a+56 == 4\n"
		       "spawn 20 $i { proc w$i; map w$i m anon 4K\n"
		       " fill w$i m pattern $i; spawn { sleep 1us }\n"
		       " expect fill w$i m pattern $i; exit w$i }\n"
		       "spawn { store p a 9 }; wait; expect p a == 9\n"
		       "together { }; spawn { }; repeat 0 { check }; wait\n"
		       "together { exit p }\n", "");
}

static void test_run_thousands(void **state)
{
	struct runner_result res;
	struct output out;

	(void)state;
	assert_int_equal(run_text(3, 10,
		"proc p; map p a anon 64K shared\n"
		"spawn 5000 $i { store p a+$i*8 $i; sleep 1ms\n"
		"expect p a+$i*8 == $i }\nwait\n", &out, &res), 0);
	assert_true(fake->max_threads > 5000);
	fake_destroy();
}

static void test_run_errors(void **state)
{
	(void)state;
	run_bad("proc p\nload p 0x5000\n", -EFAULT,
		"t:2: `load p 0x5000': SIGSEGV in process 'p' (1) at 0x5000: "
		"nothing is mapped there");
	run_bad("\nload p 8\n", -ESRCH,
		"t:2: `load p 8': there is no process 'p'");
	run_bad("proc p; load p a\n", -EINVAL,
		"t:1: `load p a': process 'p' has no mapping 'a'");
	run_bad("proc p; proc p\n", -EEXIST,
		"t:1: `proc p': there is a process 'p' already (1)");
	run_bad("proc p; map p a anon 4K; store p a 7\nexpect p a == 5\n",
		-EPROTO, "t:2: `expect p a == 5': expected == 5 (0x5), found "
		"7 (0x7) at 0x10000000 in process 'p'");
	run_bad("proc p; map p a anon 8K; fill p a 7; store p a+4100 1 u8\n"
		"expect fill p a 7\n", -EPROTO, "t:2: `expect fill p a 7': "
		"expected 0x7, found 0x1 at 0x10001004 (4100 bytes into the "
		"range) in process 'p'");
	run_bad("proc p; map p a anon 8K\nexpect fault SIGBUS load p a\n",
		-EPROTO, "t:2: `expect fault SIGBUS load p a': expected "
		"SIGBUS at 0x10000000 in process 'p', but the access was "
		"made");
	run_bad("proc p; expect fault SIGBUS load p 0\n", -EPROTO,
		"t:1: `expect fault SIGBUS load p 0': expected SIGBUS, found "
		"SIGSEGV at 0x0: nothing is mapped there");
	run_bad("proc p; expect error ENOMEM map p a file f9 size 4K shared\n",
		-ENOENT, "t:1: `map p a file f9 size 4K shared': expected "
		"ENOMEM, found ENOENT");
	run_bad("proc p; expect error ENOMEM map p a anon 4K\n", -EINVAL,
		"t:1: `map p a anon 4K': expected ENOMEM, but it succeeded");
	run_bad("proc p; map p a file nosuch shared\n", -ENOENT,
		"t:1: `map p a file nosuch shared': No such file or directory "
		"(ENOENT)");
	run_bad("set $x 3-4\n", -EOVERFLOW,
		"t:1: `set $x 3-4': a value is below 0 or above 2^64");
	run_bad("print $x\n", -EINVAL, "t:1: `print $x': expected $x to have "
		"a value, found none");
	run_bad("expect count nope == 1\n", -EINVAL, "t:1: `expect count nope "
		"== 1': expected a counter, found 'nope' (the file vmstat "
		"lists them)");
	run_bad("mark\nexpect delta pgfault > 5\n", -EPROTO, "t:2: `expect "
		"delta pgfault > 5': expected pgfault > 5, found 0");
	run_bad("proc p; store p 0 256 u8\n", -EOVERFLOW, "t:1: `store p 0 256 "
		"u8': expected a value of 8 bits, found 0x100");
	run_bad("proc p; map p a anon 8K; copy p a a+8 9\n", -EINVAL,
		"t:1: `copy p a a+8 9': expected two ranges apart, found "
		"0x10000000 and 0x10000008 overlapping");
}

/* The first failure stops every branch, and nothing is left behind. */
static void test_run_failing_branch(void **state)
{
	run_bad("proc p; map p a anon 64K\nspawn 50 { repeat 1000000 { touch "
		"p a read; sleep 1us } }\nsleep 1ms\ntogether {\nload p 0\n"
		"repeat 1000000 { touch p a read }\n}\n", -EFAULT,
		"t:5: `load p 0': SIGSEGV in process 'p' (1) at 0x0: nothing "
		"is mapped there");
	run_bad("proc p; map p a anon 64K\ntogether { exit p\n"
		"repeat 1000000 { touch p a read } }\n", -ESRCH,
		"t:3: `touch p a read': its process ended while it ran");
	(void)state;
}

static const struct runner_exec as_ctl = { .name = "ctl" };
#define EXEC_AS(as, text) \
	runner_session_exec(s, as, text, strlen(text), &res)
#define EXEC(text)	EXEC_AS(&as_ctl, text)

/* A run that stands still is the machine's, and goes with it. */
static void test_run_stands_still(void **state)
{
	struct program *prog = parse_ok(
		"proc p; map p a anon 64K\nspawn 3 { evict 1; store p a 1 }\n"
		"together { sleep 1ms\ndo { store p a 2; evict 1 } }\n");
	struct runner_opts opts = { .drive = true };
	struct runner_result res;
	struct runner_session *s;
	struct vm *vm = fake_create(1, 30);

	(void)state;
	vm->no_evict = true;
	assert_int_equal(runner_run(vm, prog, &opts, &res), -EDEADLK);
	assert_non_null(strstr(res.message, "the machine stands still"));
	assert_int_equal(vm->nthreads, 5);
	fake_destroy();
	program_free(prog);

	vm = fake_create(1, 30);
	vm->no_evict = true;
	assert_int_equal(runner_session_create(vm, &opts, &s), 0);
	assert_int_equal(EXEC("print 5; evict 1; print 6"), -EDEADLK);
	assert_null(res.output);
	fake_destroy();
	runner_session_destroy(s);
}

static void test_session(void **state)
{
	struct runner_opts opts = { .drive = true };
	const atomic_bool gone = true;
	const struct runner_exec as_p = { .name = "ctl", .self = 1 };
	const struct runner_exec as_gone = { .name = "ctl", .stop = &gone };
	struct runner_progress progress;
	struct runner_session *s;
	struct runner_result res;
	struct vm *vm = fake_create(1, 30);

	(void)state;
	assert_int_equal(runner_session_create(vm, &opts, &s), 0);
	assert_int_equal(EXEC("proc p; map p a anon 64K; set $x 5"), 0);
	assert_int_equal(EXEC("store p a $x; mark"), 0);
	assert_int_equal(EXEC("expect p a == 5"), 0);
	assert_int_equal(EXEC_AS(&as_p, "expect self a == 5"), 0);
	assert_int_equal(EXEC("expect 1 a == 5"), 0);
	assert_int_equal(EXEC("load self a"), -ESRCH);
	/* a process may be called so, and is somebody else there */
	assert_int_equal(EXEC("proc self; map self a anon 4K; "
			      "store self a 6; expect self a == 6"), 0);
	assert_int_equal(EXEC_AS(&as_p, "expect self a == 5"), 0);
	assert_int_equal(EXEC("expect self a == 6; expect 2 a == 6"), 0);
	assert_int_equal(EXEC_AS(&as_gone, "proc q"), -EINTR);
	assert_int_equal(EXEC("proc q"), 0);
	assert_int_equal(EXEC(""), 0);
	assert_int_equal(EXEC("nonsense"), -EINVAL);
	assert_int_equal(res.line, 1);
	assert_int_equal(EXEC("touch p a read count 100; check"), 0);
	runner_session_progress(s, &progress);
	assert_int_equal(progress.statements, 2);
	assert_int_equal(progress.statements_total, 2);
	assert_int_equal(progress.accesses, 100);
	assert_int_equal(progress.accesses_planned, 100);
	runner_session_stop(s);
	assert_int_equal(EXEC("check"), -EINTR);
	assert_string_equal(res.message, "ctl:1: `check': interrupted");
	runner_session_destroy(s);
	fake_destroy();
}

static void test_no_memory(void **state)
{
	struct runner_opts opts = { .drive = true };
	struct runner_session *s;
	struct runner_result res;
	struct vm *vm = fake_create(1, 30);

	(void)state;
	assert_int_equal(runner_session_create(vm, &opts, &s), 0);
	stream = STREAM_NONE;
	assert_int_equal(EXEC("print 1"), -ENOMEM);
	assert_null(res.output);
	stream = STREAM_FULL;
	assert_int_equal(EXEC("print 1"), -ENOMEM);
	assert_non_null(strstr(res.message, "no memory for what it printed"));
	stream = STREAM_GOOD;
	assert_int_equal(EXEC("print 1"), 0);
	assert_string_equal(res.output, "1\n");
	free(res.output);
	vm->no_procs = true;
	assert_int_equal(EXEC("proc p"), -ENOMEM);
	runner_session_destroy(s);
	fake_destroy();
}

/* Names of processes that have ended take no room. */
static void test_names_are_forgotten(void **state)
{
	struct runner_opts opts = { .drive = true };
	struct runner_session *s;
	struct runner_result res;
	struct vm *vm = fake_create(1, 30);
	size_t before;

	(void)state;
	assert_int_equal(runner_session_create(vm, &opts, &s), 0);
	assert_int_equal(EXEC("repeat 9 $i { proc p$i; exit p$i }"), 0);
	before = mallinfo2().uordblks;
	assert_int_equal(EXEC("repeat 2000 $i { proc p$i; exit p$i }"), 0);
	assert_true(mallinfo2().uordblks < before + 50000);
	assert_int_equal(EXEC("expect error ESRCH exit p7; load p7 0"),
			 -ESRCH);
	runner_session_destroy(s);
	fake_destroy();
}

/* ---- the examples, and what becomes of them ---- */

static char *read_file(const char *dir, const char *name, size_t *len)
{
	char path[512], *text = calloc(1, 65536);
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	assert_non_null(f);
	*len = fread(text, 1, 65535, f);
	fclose(f);
	return text;
}

static unsigned each_example(void (*fn)(const char *name, const char *text,
					size_t len))
{
	DIR *dir = opendir(EXAMPLES);
	struct dirent *e;
	unsigned n = 0;
	size_t len;
	char *text;

	while (dir && (e = readdir(dir))) {
		if (!strstr(e->d_name, ".pvm"))
			continue;
		text = read_file(EXAMPLES, e->d_name, &len);
		fn(e->d_name, text, len);
		free(text);
		n++;
	}
	if (dir)
		closedir(dir);
	return n;
}

static void example_parse(const char *name, const char *text, size_t len)
{
	struct program *prog;
	struct wl_error err;

	if (program_parse(name, text, len, &prog, &err))
		fail_msg("%s", err.message);
	program_free(prog);
}

static void test_examples(void **state)
{
	(void)state;
	if (!each_example(example_parse))
		skip();		/* not run from the top of the repository */
}

/* One change: a byte, a piece doubled, a piece lost, or a word put in. */
static size_t mutate(struct rng *rng, uint8_t *text, size_t len, size_t size)
{
	static const char *const words[] = {
		"{", "}", ";", "\n", "\"", "$x", "0x", "99999999999999999999",
		"->", "expect error EIO ", "a+1*2-3", "pattern ", "\0"
	};
	const char *word = words[rng_below(rng, ARRAY_LEN(words))];
	size_t at = rng_below(rng, len), n = rng_below(rng, 16) + 1;

	switch (rng_below(rng, 4)) {
	case 0:
		text[at] = (uint8_t)rng_next(rng);
		return len;
	case 1:
		n = n < len - at ? n : len - at;
		memmove(text + at, text + at + n, len - at - n);
		return len > n ? len - n : len;
	case 2:
		word = (const char *)text + rng_below(rng, len);
		n = n < len - (size_t)((const uint8_t *)word - text) ? n : 1;
		break;
	default:
		n = strlen(word) + 1;
	}
	if (len + n > size)
		return len;
	memmove(text + at + n, text + at, len - at);
	memmove(text + at, word, n);
	return len + n;
}

static struct timespec mutate_until;

static bool mutate_more(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec < mutate_until.tv_sec ||
	       (now.tv_sec == mutate_until.tv_sec &&
		now.tv_nsec < mutate_until.tv_nsec);
}

static void example_mutate(const char *name, const char *text, size_t len)
{
	static uint8_t copy[8192];
	struct rng rng = { 12345 };
	size_t n;
	int i;

	(void)name;
	assert_true(len && len < sizeof(copy) / 2);
	clock_gettime(CLOCK_MONOTONIC, &mutate_until);
	mutate_until.tv_nsec += 200000000;
	mutate_until.tv_sec += mutate_until.tv_nsec / 1000000000;
	mutate_until.tv_nsec %= 1000000000;
	do {
		memcpy(copy, text, n = len);
		for (i = 0; i < 8; i++) {
			n = mutate(&rng, copy, n, sizeof(copy));
			LLVMFuzzerTestOneInput(copy, n);
		}
	} while (mutate_more());
}

static void test_mutations(void **state)
{
	(void)state;
	if (!each_example(example_mutate))
		skip();
}

/* The one that needs neither a file nor more than the fake has. */
static void test_run_examples(void **state)
{
	struct runner_result res;
	struct output out;
	size_t len;
	char *text;

	(void)state;
	if (access(EXAMPLES "/cow.pvm", R_OK))
		skip();
	text = read_file(EXAMPLES, "cow.pvm", &len);
	if (run_text(1, 20, text, &out, &res))
		fail_msg("%s", res.message);
	fake_destroy();
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_fields),
		cmocka_unit_test(test_parse_errors),
		cmocka_unit_test(test_parse_limits),
		cmocka_unit_test(test_zipf),
		cmocka_unit_test(test_scatter_is_bijective),
		cmocka_unit_test(test_run_sequential),
		cmocka_unit_test(test_run_same_stream),
		cmocka_unit_test(test_run_concurrent),
		cmocka_unit_test(test_run_thousands),
		cmocka_unit_test(test_run_errors),
		cmocka_unit_test(test_run_failing_branch),
		cmocka_unit_test(test_run_stands_still),
		cmocka_unit_test(test_session),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_names_are_forgotten),
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_run_examples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
