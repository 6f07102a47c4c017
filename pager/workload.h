/*
 * workload.h - the workload language: text in, a program of statements out.
 *
 * The grammar is docs/workload.md. The parser knows words and numbers, no
 * machine: names are only spelled here and are looked up when the program
 * runs (pager/runner.h). A program is immutable once parsed, so any number of
 * threads may run it at once, without a lock.
 */
#ifndef PAGER_WORKLOAD_H
#define PAGER_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WL_TEXT_MAX	(64u << 20)	/* bytes of one program */
#define WL_PATH_SHOWN	64		/* of a path, in messages: its end */
#define WL_LINE_MAX	4096		/* bytes of one line */
#define WL_NAME_MAX	31		/* characters of a name */
#define WL_NEST_MAX	16		/* blocks inside blocks */
#define WL_STMT_MAX	1000000		/* statements of one program */
#define WL_TERM_MAX	16		/* terms of one expression */

enum wl_op {
	WL_PROC, WL_FORK, WL_EXIT,
	WL_MAP, WL_UNMAP, WL_PROTECT, WL_ADVISE, WL_MSYNC, WL_BRK,
	WL_LOAD, WL_STORE, WL_FETCH, WL_FILL, WL_COPY, WL_TOUCH,
	WL_EXPECT_VALUE, WL_EXPECT_FILL, WL_EXPECT_FAULT, WL_EXPECT_ERROR,
	WL_EXPECT_COUNT, WL_EXPECT_DELTA, WL_EXPECT_VAR,
	WL_SET, WL_MARK,
	WL_DO, WL_REPEAT, WL_TOGETHER, WL_SPAWN, WL_WAIT,
	WL_SLEEP, WL_SYNC, WL_EVICT, WL_CHECK, WL_PRINT, WL_SEED,
	WL_PAGETABLE, WL_EXPLAIN,
	WL_OPS
};

enum wl_term_kind { WL_NUMBER, WL_VAR, WL_NAME };

/* sum = +a -b +c*d: '*' binds to the term before it. */
struct wl_term {
	char op;			/* '+', '-', '*' */
	uint8_t kind;			/* enum wl_term_kind */
	uint64_t number;
	const char *name;		/* without the '$' */
};

struct wl_expr {
	const struct wl_term *term;
	unsigned n;			/* 0: not given */
};

enum wl_cmp { WL_EQ, WL_NE, WL_LT, WL_LE, WL_GT, WL_GE };
enum wl_order { WL_SEQ, WL_RANDOM, WL_ZIPF };
enum wl_access { WL_A_LOAD, WL_A_STORE, WL_A_FETCH };

#define WL_ADVISE_HUGE	1		/* VM_MADV_* */
#define WL_ADVISE_NO_HUGE 2

#define WL_PROT_READ	1u		/* the bits of VM_PROT_* */
#define WL_PROT_WRITE	2u
#define WL_PROT_EXEC	4u

/* One thing to print: a text, else a counter's name, else a value. */
struct wl_item {
	struct wl_item *next;
	const char *text;
	const char *counter;
	struct wl_expr value;
};

struct wl_stmt {
	enum wl_op op;
	unsigned line;
	unsigned text_len;
	const char *text;		/* as written, for messages */
	struct wl_stmt *next;
	struct wl_stmt *body;		/* of a block, of `expect error` */
	unsigned nbody;

	const char *proc;		/* may hold $vars: "worker$i" */
	const char *name;		/* new process, mapping, counter */
	const char *path;		/* map: the file; NULL: anonymous */
	const char *var;		/* "-> $var", "set $var", the loop's */

	struct wl_expr addr;		/* where; map: at; copy: destination */
	struct wl_expr len;		/* how long; map: size */
	struct wl_expr src;		/* copy: source; map: offset;
					 * expect $a OP $b: $a */
	struct wl_expr value;		/* store, expect, byte, pattern seed */
	struct wl_expr count;		/* touch, repeat, spawn, evict */
	struct wl_expr stride, seed;	/* touch */

	struct wl_item *items;		/* print */
	uint64_t ns;			/* sleep; expect count ... within */
	double skew;			/* zipf */
	int number;			/* expected errno or signal; advice */
	uint8_t width;			/* 1, 2, 4, 8 */
	uint8_t prot;			/* WL_PROT_* */
	uint8_t cmp;			/* enum wl_cmp */
	uint8_t order;			/* enum wl_order */
	uint8_t access;			/* enum wl_access */
	uint8_t percent;		/* touch: accesses that write */
	bool whole;			/* the range is all of the mapping */
	bool pattern;			/* content is a pattern, not a byte */
	bool shared, async, verify;
	char sign;			/* brk: '+', '-' or 0 */
};

struct program {
	char *name;			/* file, for messages */
	struct wl_stmt *first;
	unsigned nstmts;
	uint64_t total;			/* statements of a run, if known */
	bool total_known;
	struct wl_chunk *chunks;	/* all memory of the program */
};

struct wl_error {
	unsigned line;
	char message[320];		/* "NAME:LINE: expected X, found 'Y'" */
};

/*
 * Parse @len bytes of @text, which may hold any bytes at all.
 * => 0 and *prog, to be given to program_free(); -EINVAL (the text) or
 *    -ENOMEM, and *err.
 */
int program_parse(const char *name, const char *text, size_t len,
		  struct program **prog, struct wl_error *err);
void program_free(struct program *prog);

#endif
