/*
 * test_view_format.c - snapshot structs in, text out; and control files,
 * which need no mount either.
 */
#include "fs/view_format.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#include "fs/view_ctl.h"
#include "fs/view_table.h"

static void assert_text(struct view_text *t, const char *expected)
{
	view_text_char(t, '\0');
	assert_false(t->failed);
	assert_string_equal(t->data, expected);
	view_text_free(t);
}

static void numbers_are_padded(void **state)
{
	struct view_text t = {0};

	(void)state;
	view_text_dec(&t, 0, 0);
	view_text_dec(&t, 7, 3);
	view_text_dec(&t, UINT64_MAX, 0);
	view_text_char(&t, ' ');
	view_text_hex(&t, 0xabc, 5, '0');
	view_text_hex(&t, 0xabc, 2, '0');
	view_text_left(&t, "a", 2);
	view_text_right(&t, "b", 2);
	view_text_path(&t, "x y\\\n", " \n\\");
	assert_text(&t, "0  718446744073709551615 00abcabca  bx\\040y\\134\\012");
}

/* Lines as a Linux kernel printed them, but for the numbers. */
static void maps_are_linux(void **state)
{
	struct snap_area areas[] = {
		{.start = 0x400000, .end = 0x401000, .prot = 5,
		 .offset = 0x2000, .dev = makedev(254, 1), .ino = 12345,
		 .path = "/bin/a b\nc"},
		{.start = 0x8000, .end = 0x9000, .prot = 3, .shared = true},
		{.start = 0x7fff12340000, .end = 0x7fff12361000, .prot = 3,
		 .label = "[stack]"},
	};
	struct view_text t = {0};

	(void)state;
	view_format_maps(&t, areas, 3);
	assert_text(&t,
		    "00400000-00401000 r-xp 00002000 fe:01 12345"
		    "                              /bin/a b\\012c\n"
		    "00008000-00009000 rw-s 00000000 00:00 0 \n"
		    "7fff12340000-7fff12361000 rw-p 00000000 00:00 0"
		    "                          [stack]\n");
}

/* Ours against this kernel's, for what this very process has mapped. */
static void maps_are_this_kernels(void **state)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	struct view_text t = {0};
	unsigned ma, mi, checked = 0;
	char line[512], prot[5];
	unsigned long start, end, offset, ino;
	int path;

	(void)state;
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		struct snap_area a = {0};

		if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %n", &start, &end,
			   prot, &offset, &ma, &mi, &ino, &path) != 7)
			continue;
		line[strcspn(line, "\n")] = '\0';
		a.start = start;
		a.end = end;
		a.prot = (prot[0] == 'r') | (prot[1] == 'w') << 1 |
			(prot[2] == 'x') << 2;
		a.shared = prot[3] == 's';
		a.offset = offset;
		a.dev = makedev(ma, mi);
		a.ino = ino;
		snprintf(a.path, sizeof(a.path), "%s", line + path);
		strcat(line, "\n");
		view_format_maps(&t, &a, 1);
		assert_text(&t, line);
		checked++;
	}
	fclose(maps);
	assert_true(checked > 5);
}

static void smaps_say_what_is_resident(void **state)
{
	struct snap_area area = {
		.start = 0x1000, .end = 0x5000, .prot = 3, .resident = 3,
		.large = 2, .hugepage = true, .grows_down = true,
		.label = "[stack]",
	};
	struct view_usage usage = {.dirty = 2, .swapped = 1};
	struct view_text t = {0};

	(void)state;
	view_format_smap(&t, &area, &usage);
	assert_text(&t,
		    "00001000-00005000 rw-p 00000000 00:00 0"
		    "                                  [stack]\n"
		    "Size:                 16 kB\n"
		    "KernelPageSize:        4 kB\n"
		    "MMUPageSize:           4 kB\n"
		    "Rss:                  12 kB\n"
		    "Shared_Clean:          0 kB\n"
		    "Shared_Dirty:          0 kB\n"
		    "Private_Clean:         4 kB\n"
		    "Private_Dirty:         8 kB\n"
		    "AnonHugePages:         8 kB\n"
		    "Swap:                  4 kB\n"
		    "VmFlags: rd wr mr mw me gd hg \n");
}

static void status_is_linux(void **state)
{
	struct snap_proc p = {
		.pid = 4, .ppid = 1, .name = "a", .nthreads = 2,
		.nwaiting = 2, .size = 65536, .rss = 8192,
	};
	struct view_text t = {0};

	(void)state;
	view_format_status(&t, &p);
	assert_text(&t, "Name:\ta\nState:\tD (disk sleep)\nTgid:\t4\nPid:\t4\n"
		    "PPid:\t1\nVmSize:\t      64 kB\nVmRSS:\t       8 kB\n"
		    "Threads:\t2\nWaiting:\t2\nAreas:\t0\n"
		    "MinFlt:\t0\nMajFlt:\t0\nCowFlt:\t0\n");
}

static void swaps_are_linux(void **state)
{
	struct snap_swap swaps[] = {
		{.name = "/swap/a b", .nslots = 1024, .nused = 3,
		 .priority = -2},
		{.name = "/a/name/that/is/longer/than/forty/characters",
		 .nslots = 3000000, .nused = 2500000, .priority = 10},
	};
	struct view_text t = {0};

	(void)state;
	view_format_swaps(&t, swaps, 2);
	assert_text(&t,
		    "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
		    "/swap/a\\040b                            "
		    "file\t\t4096\t\t12\t\t-2\n"
		    "/a/name/that/is/longer/than/forty/characters "
		    "file\t\t12000000\t10000000\t10\n");
}

static void frames_line_up(void **state)
{
	struct snap_frame frames[] = {
		{.pfn = 0, .state = SNAP_FREE},
		{.pfn = 1, .state = SNAP_ACTIVE, .dirty = true, .anon = true,
		 .referenced = true, .mappings = 2, .object = 7, .page = 12,
		 .pid = 3, .va = 0x7fff00001000},
		{.pfn = 4000000, .state = SNAP_BUSY_WRITE, .waiters = 5,
		 .object = 8, .page = 1, .busy_ns = 1234567},
	};
	struct view_text t = {0};

	(void)state;
	view_format_frames(&t, frames, 3);
	assert_text(&t,
"     pfn state   flags object      page   pid           va maps wait busy-us\n"
"       0 free    ---        -         -     -            -    0    0       -\n"
"       1 active  DRA        7        12     3 7fff00001000    2    0       -\n"
" 4000000 writing --F        8         1     -            -    0    5    1234\n");
}

static void slots_line_up(void **state)
{
	struct snap_slot slots[] = {
		{.index = 9, .state = SNAP_SLOT_CACHED, .refs = 2, .object = 5,
		 .page = 77, .pid = 3, .va = 0x1000},
		{.index = 10, .state = SNAP_SLOT_BAD},
	};
	struct view_text t = {0};

	(void)state;
	view_format_slots(&t, slots, 2);
	assert_text(&t,
"    slot state   refs object      page   pid      address\n"
"       9 cached     2      5        77     3         1000\n"
"      10 bad        0      -         -     -            -\n");
}

static void objects_line_up(void **state)
{
	struct snap_object objects[] = {
		{.id = 1, .kind = 'f', .refs = 2, .nshadows = 1, .pages = 10,
		 .resident = 4, .path = "/files/x y"},
		{.id = 2, .kind = 's', .refs = 1, .backing = 1, .slots = 3},
	};
	struct view_text t = {0};

	(void)state;
	view_format_objects(&t, objects, 2);
	assert_text(&t,
"  object kind   refs shadows backing     pages  resident     slots path\n"
"       1 file      2       1       -        10         4         0 "
		    "/files/x\\040y\n"
"       2 shadow    1       0       1         0         0         3 -\n");
}

static void meminfo_adds_up(void **state)
{
	struct snap_frame frames[] = {
		{.state = SNAP_FREE}, {.state = SNAP_KERNEL},
		{.state = SNAP_TABLE}, {.state = SNAP_ACTIVE, .anon = true},
		{.state = SNAP_ACTIVE, .dirty = true, .mappings = 1},
		{.state = SNAP_BUSY_WRITE},
	};
	struct snap_swap swap = {.nslots = 10, .nused = 4};
	struct view_text t = {0};

	(void)state;
	view_format_meminfo(&t, frames, 6, &swap, 1);
	assert_true(t.len > 0);
	view_text_char(&t, '\0');
	assert_non_null(strstr(t.data, "MemTotal:             24 kB\n"));
	assert_non_null(strstr(t.data, "MemFree:               4 kB\n"));
	assert_non_null(strstr(t.data, "Cached:                8 kB\n"));
	assert_non_null(strstr(t.data, "SwapTotal:            40 kB\n"));
	assert_non_null(strstr(t.data, "SwapFree:             24 kB\n"));
	assert_non_null(strstr(t.data, "Dirty:                 4 kB\n"));
	assert_non_null(strstr(t.data, "Writeback:             4 kB\n"));
	assert_non_null(strstr(t.data, "AnonPages:             4 kB\n"));
	view_text_free(&t);
}

/* ---- control files ---- */

/* Says what it was given; a text with "bad" in it is an error. */
static int echo(void *ctx, int pid, const char *text, size_t len,
		const atomic_bool *gone, char *msg, size_t size)
{
	unsigned *calls = ctx;

	assert_null(gone);
	(*calls)++;
	assert_non_null(text);
	if (memmem(text, len, "quiet", 5))
		return 0;
	snprintf(msg, size, "%d:%.*s", pid, (int)len,
		 text ? text : "");
	return memmem(text, len, "bad", 3) ? -ENOENT : 0;
}

struct fixture {
	struct view_board *board;
	struct view_source src;
	unsigned calls;
};

static int fixture_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->board = view_board_create();
	f->src.ops.ctx = &f->calls;
	f->src.ops.command = echo;
	*state = f;
	return 0;
}

static int fixture_down(void **state)
{
	struct fixture *f = *state;

	view_board_destroy(f->board);
	free(f);
	return 0;
}

static void assert_answer(struct view_ctl *ctl, const char *expected)
{
	char buf[256];
	size_t n = 0, got;

	while ((got = view_ctl_read(ctl, buf + n, 3)))
		n += got;
	buf[n] = '\0';
	assert_string_equal(buf, expected);
}

static void ctl_runs_whole_lines(void **state)
{
	struct fixture *f = *state;
	struct view_ctl *ctl = view_ctl_open(f->board, 7);

	assert_answer(ctl, "");
	assert_int_equal(view_ctl_write(ctl, &f->src, "a", 1, NULL), 1);
	assert_int_equal(f->calls, 0);
	assert_true(view_ctl_partial(ctl));
	assert_int_equal(view_ctl_write(ctl, &f->src, "b\nc\nd", 5, NULL), 5);
	assert_int_equal(f->calls, 1);
	assert_answer(ctl, "7:ab\nc\n");
	assert_answer(ctl, "");
	assert_int_equal(view_ctl_flush(ctl, &f->src, NULL), 0);
	assert_answer(ctl, "7:d\n");
	assert_false(view_ctl_partial(ctl));
	assert_int_equal(view_ctl_flush(ctl, &f->src, NULL), 0);
	assert_int_equal(f->calls, 2);
	assert_int_equal(view_ctl_write(ctl, &f->src, "quiet\n", 6, NULL), 6);
	assert_answer(ctl, "ok\n");
	view_ctl_put(ctl);
}

/* What the kernel cuts: the first part, the one behind it, and no more. */
static void ctl_says_that_it_was_cut(void **state)
{
	const char *said = "7:bad\n (a write of more than 1M is several texts: "
			   "it was cut)\n";
	struct fixture *f = *state;
	struct view_ctl *ctl = view_ctl_open(f->board, 7);
	static char text[1 << 20];

	memset(text, '\n', sizeof(text));
	memcpy(text, "quiet", 5);
	assert_int_equal(view_ctl_write(ctl, &f->src, text, sizeof(text),
					NULL), sizeof(text));
	assert_answer(ctl, "ok\n");
	assert_int_equal(view_ctl_write(ctl, &f->src, "bad\n", 4, NULL),
			 -ENOENT);
	assert_answer(ctl, said);
	assert_int_equal(view_ctl_write(ctl, &f->src, "bad\n", 4, NULL),
			 -ENOENT);
	assert_answer(ctl, "7:bad\n");
	view_ctl_put(ctl);
}

static void ctl_error_drops_the_rest(void **state)
{
	struct fixture *f = *state;
	struct view_ctl *ctl = view_ctl_open(f->board, 0), *later;

	assert_int_equal(view_ctl_write(ctl, &f->src, "bad\nrest", 8, NULL),
			 -ENOENT);
	assert_false(view_ctl_partial(ctl));
	assert_answer(ctl, "0:bad\n");
	assert_int_equal(view_ctl_write(ctl, &f->src, "bad too", 7, NULL), 7);
	assert_int_equal(view_ctl_flush(ctl, &f->src, NULL), -ENOENT);
	later = view_ctl_open(f->board, 0);
	assert_answer(later, "0:bad too\n");
	view_ctl_put(later);
	later = view_ctl_open(f->board, 1);
	assert_answer(later, "");
	view_ctl_put(later);
	view_ctl_put(ctl);
}

static void ctl_line_has_a_limit(void **state)
{
	struct fixture *f = *state;
	struct view_ctl *ctl = view_ctl_open(f->board, 0);
	static char line[2 << 20];

	memset(line, 'x', sizeof(line));
	assert_int_equal(view_ctl_write(ctl, &f->src, line, sizeof(line), NULL),
			 -E2BIG);
	assert_false(view_ctl_partial(ctl));
	view_ctl_put(ctl);
}

static void board_forgets_the_oldest(void **state)
{
	struct fixture *f = *state;
	struct view_ctl *ctl;

	for (int pid = 1; pid <= 1000; pid++) {
		ctl = view_ctl_open(f->board, pid);
		assert_int_equal(view_ctl_write(ctl, &f->src, "x\n", 2, NULL), 2);
		view_ctl_put(ctl);
	}
	ctl = view_ctl_open(f->board, 1000);
	assert_answer(ctl, "1000:x\n");
	view_ctl_put(ctl);
	ctl = view_ctl_open(f->board, 1);
	assert_answer(ctl, "");
	view_ctl_put(ctl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_padded),
		cmocka_unit_test(maps_are_linux),
		cmocka_unit_test(maps_are_this_kernels),
		cmocka_unit_test(smaps_say_what_is_resident),
		cmocka_unit_test(status_is_linux),
		cmocka_unit_test(swaps_are_linux),
		cmocka_unit_test(frames_line_up),
		cmocka_unit_test(slots_line_up),
		cmocka_unit_test(objects_line_up),
		cmocka_unit_test(meminfo_adds_up),
		cmocka_unit_test_setup_teardown(ctl_runs_whole_lines,
						fixture_up, fixture_down),
		cmocka_unit_test_setup_teardown(ctl_says_that_it_was_cut,
						fixture_up, fixture_down),
		cmocka_unit_test_setup_teardown(ctl_error_drops_the_rest,
						fixture_up, fixture_down),
		cmocka_unit_test_setup_teardown(ctl_line_has_a_limit,
						fixture_up, fixture_down),
		cmocka_unit_test_setup_teardown(board_forgets_the_oldest,
						fixture_up, fixture_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
