/*
 * test_model.c - random operations, against a flat reference model.
 *
 * A few processes with a few dozen frames do everything a process can, in
 * random order; after each operation what they see must be what the model
 * (tests/lib/refmodel.h) says, and after msync so must the files. Everything
 * runs in one thread and is told by the seed:
 *
 *	PAGER_SEED=n PAGER_OPS=n build/tests/pager/test_model
 *
 * repeats a failure; PAGER_TRACE=n prints the operations from the n-th on.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/nomem.h"
#include "tests/lib/refmodel.h"
#include "tests/lib/testvm.h"

#define NPROCS		6u
#define CHECK_EVERY	256u	/* operations */
#define LOOK_EVERY	4096u	/* at all of memory */
#define NLOADS		8u	/* at once, behind */

struct config {
	const char *name;
	struct testvm_opts vm;
	uint64_t ops;
	bool tight;		/* memory may run out: SIGBUS at any time */
	bool fails;		/* so may the store; threads load meanwhile */
	bool nomem;		/* so may any allocation; the call is made
				 * again, and must not have done harm */
};

struct run {
	const struct config *c;
	struct testvm t;
	uint64_t seed, random, op, trace, nomem;
	struct ref_object *file[REF_FILES];
	struct {
		int pid;
		struct ref_proc *ref;
	} proc[NPROCS];
	unsigned nprocs;
	uint64_t oom, told;
	struct testvm_access load[NLOADS];
	bool loading[NLOADS];
};

static const char *const file_name[REF_FILES] = { "a", "b", "c" };

/* ---- help ---- */

static uint64_t rnd(struct run *r, uint64_t below)
{
	uint64_t z = (r->random += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (z ^ z >> 31) % below;
}

static __attribute__((noreturn, format(printf, 2, 3))) void
bad(struct run *r, const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "\n%s: PAGER_SEED=%llu operation %llu: ", r->c->name,
		(unsigned long long)r->seed, (unsigned long long)r->op);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	abort();
}

static __attribute__((format(printf, 2, 3))) void
trace(struct run *r, const char *format, ...)
{
	va_list ap;

	if (r->op < r->trace)
		return;
	fprintf(stderr, "%llu: ", (unsigned long long)r->op);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, "\n");
}

/* A random range of pages inside [0, limit). */
static void range(struct run *r, unsigned limit, unsigned max, unsigned *i,
		  unsigned *n)
{
	*i = (unsigned)rnd(r, limit);
	*n = 1 + (unsigned)rnd(r, max);
	if (*n > limit - *i)
		*n = limit - *i;
}

static void random_bytes(struct run *r, uint8_t *b, unsigned n)
{
	uint64_t v = rnd(r, UINT64_MAX);

	for (unsigned i = 0; i < n; i++)
		b[i] = (uint8_t)(v >> (i % 8 * 8)) + (uint8_t)(i / 8);
}

/* Make a call to the machine, again if it failed because it was made to. */
#define CALL(r, call) __extension__ ({					\
	int64_t got_;							\
									\
	do {								\
		if ((r)->c->nomem)					\
			nomem_often(&(r)->nomem, 4);			\
		got_ = (call);						\
	} while (nomem_off() && got_ == -ENOMEM);			\
	got_; })

/* ---- files ---- */

static void check_file(struct run *r, unsigned f, unsigned page, unsigned n)
{
	struct ref_object *o = r->file[f];
	uint8_t b[TV_PAGE];

	for (; n > 0 && (uint64_t)page * TV_PAGE < o->size; page++, n--) {
		uint64_t len = o->size - (uint64_t)page * TV_PAGE;

		len = len > TV_PAGE ? TV_PAGE : len;
		mem_file_peek(r->t.mem, file_name[f], (uint64_t)page * TV_PAGE,
			      b, len);
		for (unsigned at = 0; at < len; at++)
			if (o->page[page].known[at] &&
			    o->page[page].b[at] != b[at])
				bad(r, "file %s page %u byte %u: %02x, not %02x",
				    file_name[f], page, at, b[at],
				    o->page[page].b[at]);
	}
}

static void check_files(struct run *r)
{
	for (unsigned f = 0; f < REF_FILES; f++) {
		if (mem_file_size(r->t.mem, file_name[f]) != r->file[f]->size)
			bad(r, "file %s has another size", file_name[f]);
		check_file(r, f, 0, REF_FILE_PAGES);
	}
}

static unsigned file_number(struct run *r, const struct ref_object *o)
{
	unsigned f = 0;

	while (r->file[f] != o)
		f++;
	return f;
}

static void make_files(struct run *r)
{
	static const uint64_t size[REF_FILES] = {
		20 * TV_PAGE, 7 * TV_PAGE + 123, 33 * TV_PAGE - 1,
	};

	for (unsigned f = 0; f < REF_FILES; f++) {
		struct ref_object *o =
			ref_object_new(true, REF_FILE_PAGES, size[f]);
		uint8_t *data = malloc(size[f]);

		for (uint64_t i = 0; i < size[f]; i++) {
			data[i] = (uint8_t)(i / TV_PAGE * 7 + i + f);
			o->page[i / TV_PAGE].b[i % TV_PAGE] = data[i];
		}
		mem_file_create(r->t.mem, file_name[f], data, size[f]);
		free(data);
		r->file[f] = o;
	}
}

static void op_resize(struct run *r, unsigned k)
{
	unsigned f = (unsigned)rnd(r, REF_FILES);
	uint64_t size = rnd(r, REF_FILE_PAGES * TV_PAGE + 1);

	(void)k;
	if (rnd(r, 2))
		size -= size % TV_PAGE;
	trace(r, "resize %s %llu", file_name[f], (unsigned long long)size);
	mem_file_resize(r->t.mem, file_name[f], size);
	ref_resize(r->file[f], size);
}

/* ---- accesses ---- */

/* Page @i of process @k stopped an access with @sig: was that right? */
static void check_stop(struct run *r, unsigned k, unsigned i, bool write,
		       int sig)
{
	enum ref_access acc = ref_access(r->proc[k].ref, i, write);

	if (acc == REF_SEGV && sig == SIGSEGV)
		return;
	if (acc == REF_PAST && sig == SIGBUS)
		return;
	if ((r->c->tight || r->c->fails) && acc != REF_SEGV &&
	    sig == SIGBUS) {
		r->oom++;
		if (write)
			ref_doubt(r->proc[k].ref, i);
		return;
	}
	bad(r, "pid %d page %u, %s: signal %d", r->proc[k].pid, i,
	    write ? "store" : "load", sig);
}

/* Page @i was reached with @b: was that right? */
static void check_went(struct run *r, unsigned k, unsigned i, unsigned off,
		       const uint8_t *b, unsigned n, bool write)
{
	struct ref_proc *p = r->proc[k].ref;
	int at;

	if (ref_access(p, i, write) == REF_SEGV)
		bad(r, "pid %d page %u: %s without a signal", r->proc[k].pid,
		    i, write ? "store" : "load");
	if (write) {
		ref_store(p, i, off, b, n);
		return;
	}
	at = ref_compare(p, i, off, b, n);
	if (at >= 0)
		bad(r, "pid %d page %u byte %d: %02x is wrong", r->proc[k].pid,
		    i, at, b[at - (int)off]);
}

/* From outside: page by page, up to the first that cannot be reached. */
static void access_outside(struct run *r, unsigned k, unsigned i, unsigned off,
			   uint8_t *b, unsigned len, bool write)
{
	uint64_t addr = ref_addr(r->proc[k].ref, i) + off, at = 0;
	int sig = 0;
	int64_t did;

	did = write ? CALL(r, vm_poke(r->t.vm, r->proc[k].pid, addr, b, len,
				      &sig)) :
		      CALL(r, vm_peek(r->t.vm, r->proc[k].pid, addr, b, len,
				      &sig));
	if (did == 0 || did > (int64_t)len)
		bad(r, "peek or poke said %lld", (long long)did);
	while (at < len && (int64_t)at < did) {
		unsigned n = TV_PAGE - off;

		n = n > len - at ? (unsigned)(len - at) : n;
		check_went(r, k, i, off, b + at, n, write);
		at += n;
		off = 0;
		i++;
	}
	if (at < len)
		check_stop(r, k, i, write, sig);
	else if (did != (int64_t)len)
		bad(r, "stopped inside a page: %lld", (long long)did);
}

/* By an instruction: all of it or nothing. */
static void access_inside(struct run *r, unsigned k, unsigned i, unsigned off,
			  uint8_t *b, unsigned len, bool write)
{
	uint64_t addr = ref_addr(r->proc[k].ref, i) + off, at = 0;
	unsigned n = len < TV_PAGE - off ? len : TV_PAGE - off;
	int sig;

	sig = write ? CALL(r, testvm_store(&r->t, r->proc[k].pid, addr, b, len,
					   &at)) :
		      CALL(r, testvm_load(&r->t, r->proc[k].pid, addr, b, len,
					  &at));
	if (!sig) {
		check_went(r, k, i, off, b, n, write);
		if (n < len)
			check_went(r, k, i + 1, 0, b + n, len - n, write);
		return;
	}
	if (at / TV_PAGE == addr / TV_PAGE) {
		check_stop(r, k, i, write, sig);
		return;
	}
	check_stop(r, k, i + 1, write, sig);
	if (write)
		ref_doubt(r->proc[k].ref, i);
}

static void op_access(struct run *r, unsigned k)
{
	bool write = rnd(r, 2), inside = rnd(r, 3) == 0;
	unsigned i = (unsigned)rnd(r, REF_PAGES), room, len;
	unsigned off = (unsigned)rnd(r, TV_PAGE);
	uint8_t b[4 * TV_PAGE];

	for (int n = 0; n < 3 && !r->proc[k].ref->page[i].mapped; n++)
		i = (unsigned)rnd(r, REF_PAGES);

	if (rnd(r, 8) == 0)
		off = TV_PAGE - 1 - (unsigned)rnd(r, 64);
	len = 1 + (unsigned)rnd(r, 64);
	if (!inside && rnd(r, 16) == 0)
		len = 1 + (unsigned)rnd(r, 3 * TV_PAGE);
	/* Two pages at once may be one too many. */
	if (inside && r->c->tight && off + len > TV_PAGE)
		off = TV_PAGE - len;
	room = (i < REF_WINDOW ? REF_WINDOW : REF_PAGES) - i;
	if (len > room * TV_PAGE - off)
		len = room * TV_PAGE - off;
	if (write)
		random_bytes(r, b, len);
	trace(r, "%s %s pid %d page %u + %u, %u bytes %02x...",
	      inside ? "cpu" : "outside", write ? "store" : "load",
	      r->proc[k].pid, i, off, len, write ? b[0] : 0);
	if (inside)
		access_inside(r, k, i, off, b, len, write);
	else
		access_outside(r, k, i, off, b, len, write);
}

static void op_fill(struct run *r, unsigned k)
{
	uint8_t b[4 * TV_PAGE];
	unsigned i, n;

	range(r, rnd(r, 4) ? REF_WINDOW : REF_PAGES, 4, &i, &n);
	if (i < REF_WINDOW && i + n > REF_WINDOW)
		n = REF_WINDOW - i;
	memset(b, (int)rnd(r, 256), sizeof(b));
	trace(r, "fill pid %d page %u, %u pages", r->proc[k].pid, i, n);
	access_outside(r, k, i, 0, b, n * TV_PAGE, true);
}

/* Everything a process can see. */
static void look(struct run *r, unsigned k)
{
	uint8_t b[TV_PAGE];

	trace(r, "look pid %d", r->proc[k].pid);
	for (unsigned i = 0; i < REF_PAGES; i++)
		access_outside(r, k, i, 0, b, TV_PAGE, false);
}

/* ---- maps ---- */

static unsigned random_prot(struct run *r)
{
	static const unsigned prot[] = {
		VM_PROT_READ | VM_PROT_WRITE, VM_PROT_READ | VM_PROT_WRITE,
		VM_PROT_READ, VM_PROT_WRITE, VM_PROT_EXEC, 0,
	};

	return prot[rnd(r, sizeof(prot) / sizeof(*prot))];
}

static void op_mmap(struct run *r, unsigned k)
{
	unsigned kind = (unsigned)rnd(r, 4), i, n, opage = 0, prot;
	bool shared = kind & 1, file = kind & 2;
	struct ref_object *o = NULL;
	struct vm_mmap m = { 0 };
	uint64_t at;
	int err;

	range(r, REF_WINDOW, 16, &i, &n);
	prot = random_prot(r) | VM_PROT_READ;
	if (file) {
		unsigned f = (unsigned)rnd(r, REF_FILES);

		o = r->file[f];
		opage = (unsigned)rnd(r, REF_FILE_PAGES - n);
		m.path = file_name[f];
	} else if (shared) {
		o = ref_object_new(false, n, (uint64_t)n * TV_PAGE);
	}
	m.addr = ref_addr(r->proc[k].ref, i);
	m.len = n * TV_PAGE - rnd(r, TV_PAGE);
	m.prot = prot;
	m.flags = VM_MAP_FIXED | (shared ? VM_MAP_SHARED : VM_MAP_PRIVATE);
	m.offset = (uint64_t)opage * TV_PAGE;
	trace(r, "mmap pid %d page %u, %u pages, %s %s page %u prot %u",
	      r->proc[k].pid, i, n, shared ? "shared" : "private",
	      file ? m.path : "anonymous", opage, prot);
	err = CALL(r, vm_mmap(r->t.vm, r->proc[k].pid, &m, &at));
	if (err || at != m.addr)
		bad(r, "mmap: %d", err);
	ref_map(r->proc[k].ref, i, n, prot, shared, o, opage);
	if (o && !file)
		ref_object_put(o);
}

static void op_munmap(struct run *r, unsigned k)
{
	struct ref_proc *p = r->proc[k].ref;
	unsigned i, n;
	int err;

	range(r, REF_WINDOW, 12, &i, &n);
	if (rnd(r, 8) == 0) {		/* out of the heap */
		range(r, REF_HEAP, 3, &i, &n);
		i += REF_WINDOW;
	}
	trace(r, "munmap pid %d page %u, %u pages", r->proc[k].pid, i, n);
	err = CALL(r, vm_munmap(r->t.vm, r->proc[k].pid, ref_addr(p, i),
				n * TV_PAGE));
	if (err)
		bad(r, "munmap: %d", err);
	ref_unmap(p, i, n);
}

static void op_mprotect(struct run *r, unsigned k)
{
	struct ref_proc *p = r->proc[k].ref;
	unsigned i, n, prot = random_prot(r);
	bool whole = true;
	int err;

	range(r, REF_WINDOW, 8, &i, &n);
	for (unsigned j = i; j < i + n; j++)
		whole &= p->page[j].mapped;
	trace(r, "mprotect pid %d page %u, %u pages, %u", r->proc[k].pid, i, n,
	      prot);
	err = CALL(r, vm_mprotect(r->t.vm, r->proc[k].pid, ref_addr(p, i),
				  n * TV_PAGE, prot));
	if (err != (whole ? 0 : -ENOMEM))
		bad(r, "mprotect: %d", err);
	for (unsigned j = i; whole && j < i + n; j++)
		p->page[j].prot = prot;
}

static void op_brk(struct run *r, unsigned k)
{
	struct ref_proc *p = r->proc[k].ref;
	uint64_t brk = p->heap + rnd(r, REF_HEAP * TV_PAGE + 1), now;
	int err;

	trace(r, "brk pid %d +%llu", r->proc[k].pid,
	      (unsigned long long)(brk - p->heap));
	err = CALL(r, vm_brk(r->t.vm, r->proc[k].pid, brk, &now));
	if (err || now != brk)
		bad(r, "brk: %d", err);
	ref_brk(p, brk);
}

/* ---- processes ---- */

static void op_create(struct run *r, unsigned k)
{
	int pid = CALL(r, vm_proc_create(r->t.vm, "p"));
	struct ref_proc *p;

	(void)k;
	if (pid == -ENOMEM)	/* no frame for a table just now */
		return;
	if (pid < 0)
		bad(r, "create: %d", pid);
	trace(r, "create pid %d", pid);
	p = calloc(1, sizeof(*p));
	if (vm_brk(r->t.vm, pid, 0, &p->heap) < 0)
		bad(r, "brk 0");
	p->brk = p->heap;
	r->proc[r->nprocs].pid = pid;
	r->proc[r->nprocs++].ref = p;
	for (unsigned n = 1 + (unsigned)rnd(r, 4); n > 0; n--)
		op_mmap(r, r->nprocs - 1);
}

static void op_exit(struct run *r, unsigned k)
{
	trace(r, "exit pid %d", r->proc[k].pid);
	if (vm_exit(r->t.vm, r->proc[k].pid) < 0)
		bad(r, "exit");
	ref_exit(r->proc[k].ref);
	r->proc[k] = r->proc[--r->nprocs];
}

static void op_fork(struct run *r, unsigned k)
{
	int pid;

	if (r->nprocs == NPROCS) {
		op_exit(r, k);
		return;
	}
	if (r->c->nomem)
		nomem_often(&r->nomem, 8);
	pid = vm_fork(r->t.vm, r->proc[k].pid, NULL);
	if (nomem_off())
		vm_check(r->t.vm);
	trace(r, "fork pid %d -> %d", r->proc[k].pid, pid);
	if (pid == -ENOMEM)
		return;
	if (pid < 0)
		bad(r, "fork: %d", pid);
	r->proc[r->nprocs].pid = pid;
	r->proc[r->nprocs++].ref = ref_fork(r->proc[k].ref);
}

/* ---- out to the store ---- */

/* Is @err that of a store that fails? Then it may be said, and what it is
 * about is written another time. */
static bool was_told(struct run *r, int err)
{
	bool told = r->c->fails && (err == -EIO || err == -ENOSPC);

	r->told += told;
	return told;
}

static void op_msync(struct run *r, unsigned k)
{
	struct ref_proc *p = r->proc[k].ref;
	unsigned i, n, flags = rnd(r, 4) ? VM_MS_SYNC : VM_MS_ASYNC;
	bool whole = true;
	int err;

	range(r, REF_WINDOW, REF_WINDOW, &i, &n);
	for (unsigned j = i; j < i + n; j++)
		whole &= p->page[j].mapped;
	trace(r, "msync pid %d page %u, %u pages, %u", r->proc[k].pid, i, n,
	      flags);
	err = vm_msync(r->t.vm, r->proc[k].pid, ref_addr(p, i), n * TV_PAGE,
		       flags);
	if (was_told(r, err))
		return;
	if (err != (whole ? 0 : -ENOMEM))
		bad(r, "msync: %d", err);
	for (unsigned j = i; flags == VM_MS_SYNC && j < i + n; j++) {
		struct ref_page *pg = &p->page[j];

		if (pg->mapped && pg->shared && pg->o->file)
			check_file(r, file_number(r, pg->o), pg->opage, 1);
	}
}

static void op_evict(struct run *r, unsigned k)
{
	uint64_t n = 1 + rnd(r, r->t.ram.nframes);

	(void)k;
	trace(r, "evict %llu", (unsigned long long)n);
	vm_evict(r->t.vm, n);
}

static void op_sync(struct run *r, unsigned k)
{
	int err = vm_sync(r->t.vm);

	(void)k;
	trace(r, "sync: %d", err);
	if (was_told(r, err))
		return;
	if (err)
		bad(r, "sync failed");
	check_files(r);
}

/* A thread evicts or syncs while the following operations go on. */
static enum vm_step behind_step(struct vm_thread *t, struct cpu *cpu)
{
	uint64_t *n = vm_thread_arg(t), evict = *n;

	(void)cpu;
	if (evict == UINT64_MAX)
		return VM_STEP_DONE;
	*n = UINT64_MAX;
	if (evict)
		vm_thread_evict(t, evict);
	else
		vm_thread_sync(t);
	return VM_STEP_WAIT;
}

static void behind_end(struct vm_thread *t, void *arg)
{
	(void)t;
	free(arg);
}

static void op_behind(struct run *r, unsigned k)
{
	struct vm_thread_info info = {
		.step = behind_step, .end = behind_end,
		.arg = malloc(sizeof(uint64_t)),
	};

	(void)k;
	*(uint64_t *)info.arg = rnd(r, r->t.ram.nframes / 2);
	trace(r, "behind: evict %llu",
	      (unsigned long long)*(uint64_t *)info.arg);
	if (vm_thread_start(r->t.vm, 0, &info) < 0)
		bad(r, "thread");
}

/* Some I/O, soon, will fail. */
static void op_fail(struct run *r, unsigned k)
{
	static const int op[] = { STORE_READ, STORE_WRITE, STORE_WRITE,
				  STORE_SYNC, MEM_OP_ANY };
	uint64_t nth = 1 + rnd(r, 20), count = 1 + rnd(r, 3);
	int which = op[rnd(r, sizeof(op) / sizeof(*op))];
	int err = rnd(r, 2) ? EIO : ENOSPC;

	(void)k;
	if (!r->c->fails)
		return;
	trace(r, "fail op %d, %llu of them from the %llu-th on: %d", which,
	      (unsigned long long)count, (unsigned long long)nth, err);
	mem_fail(r->t.mem, which, nth, count, err);
}

/* A thread loads, and waits for that, while the following operations go on;
 * what it sees is not known. */
static void op_load(struct run *r, unsigned k)
{
	unsigned n = (unsigned)rnd(r, NLOADS);
	unsigned i = (unsigned)rnd(r, REF_PAGES);
	struct testvm_access *a = &r->load[n];

	if (!r->c->fails || (r->loading[n] && !a->done))
		return;
	trace(r, "behind: load pid %d page %u", r->proc[k].pid, i);
	memset(a, 0, sizeof(*a));
	a->addr = ref_addr(r->proc[k].ref, i);
	a->len = 1;
	r->loading[n] = true;
	testvm_begin(&r->t, a, r->proc[k].pid);
}

static const struct {
	unsigned weight;
	void (*run)(struct run *r, unsigned k);
} ops[] = {
	{ 8000, op_access }, { 500, op_fill }, { 60, op_fork },
	{ 40, op_exit }, { 150, op_mmap }, { 80, op_munmap },
	{ 120, op_mprotect }, { 100, op_brk }, { 150, op_msync },
	{ 80, op_evict }, { 200, op_behind }, { 10, op_sync }, { 20, op_resize },
	{ 150, op_fail }, { 400, op_load },
};

static void one_op(struct run *r)
{
	unsigned total = 0, i = 0, pick;

	for (i = 0; i < sizeof(ops) / sizeof(*ops); i++)
		total += ops[i].weight;
	pick = (unsigned)rnd(r, total);
	for (i = 0; pick >= ops[i].weight; i++)
		pick -= ops[i].weight;
	if (r->nprocs == 0)
		op_create(r, 0);
	if (r->nprocs)
		ops[i].run(r, (unsigned)rnd(r, r->nprocs));
	else
		vm_run(r->t.vm);
	r->op++;
	if (r->op % CHECK_EVERY == 0)
		vm_check(r->t.vm);
	for (unsigned k = 0; r->op % LOOK_EVERY == 0 && k < r->nprocs; k++)
		look(r, k);
}

/* PAGER_STATS=1: how much of everything there was. */
static void report(struct run *r)
{
	uint64_t value;
	const char *name;

	if (!getenv("PAGER_STATS"))
		return;
	fprintf(stderr, "%s: %llu operations, %llu refused, %llu told\n",
		r->c->name, (unsigned long long)r->op,
		(unsigned long long)r->oom, (unsigned long long)r->told);
	for (unsigned i = 0; vm_stat(r->t.vm, i, &name, &value); i++)
		fprintf(stderr, "  %s %llu\n", name,
			(unsigned long long)value);
}

/* => the counters at the end, for who wants to compare. */
static void run_config(const struct config *c, uint64_t seed, uint64_t nops,
		       uint64_t *stats)
{
	struct testvm_opts o = c->vm;
	struct run *r = calloc(1, sizeof(*r));
	const char *name;
	uint64_t lost;

	r->c = c;
	r->seed = r->random = r->nomem = o.seed = seed;
	r->trace = getenv("PAGER_TRACE") ?
		strtoull(getenv("PAGER_TRACE"), NULL, 0) : UINT64_MAX;
	testvm_make(&r->t, &o);
	make_files(r);
	while (r->op < nops)
		one_op(r);
	mem_fail_none(r->t.mem);
	for (unsigned k = 0; k < r->nprocs; k++)
		look(r, k);
	vm_run(r->t.vm);
	for (unsigned i = 0; stats && vm_stat(r->t.vm, i, &name, &stats[i]);)
		i++;
	report(r);
	while (r->nprocs)
		op_exit(r, 0);
	vm_run(r->t.vm);
	check_files(r);
	for (unsigned f = 0; f < REF_FILES; f++) {
		assert_int_equal(mem_file_nopen(r->t.mem, file_name[f]), 0);
		ref_object_put(r->file[f]);
	}
	lost = testvm_free(&r->t);
	if (lost)
		bad(r, "%llu pages lost", (unsigned long long)lost);
	free(r);
}

static uint64_t env(const char *name, uint64_t otherwise)
{
	return getenv(name) ? strtoull(getenv(name), NULL, 0) : otherwise;
}

/* One thread: the thread sanitizer has little to say here. */
#ifdef __SANITIZE_THREAD__
#define OPS(n)	((n) / 20)
#else
#define OPS(n)	(n)
#endif

static const struct config configs[] = {
	{ "32 bits", { .frames = 40, .swap_slots = 4096,
		       .order = MEM_RANDOM }, .ops = 700000 },
	{ "64 bits", { .frames = 72, .swap_slots = 4096, .mode = VM_MODE_64,
		       .order = MEM_RANDOM }, .ops = 700000 },
	{ "clusters of one", { .frames = 48, .swap_slots = 4096, .cluster = 1,
			       .order = MEM_RANDOM }, .ops = 400000 },
	{ "in order", { .frames = 64, .swap_slots = 4096, .mode = VM_MODE_64,
			.order = MEM_FIFO }, .ops = 400000 },
	{ "little swap", { .frames = 48, .swap_slots = 60,
			   .order = MEM_RANDOM },
	  .ops = 300000, .tight = true },
	{ "no swap", { .frames = 64, .order = MEM_RANDOM },
	  .ops = 50000, .tight = true },
	{ "evicting at each fault", { .frames = 64, .swap_slots = 4096,
				      .order = MEM_RANDOM,
				      .evict_always = true }, .ops = 200000 },
	{ "PAE", { .frames = 80, .swap_slots = 4096, .mode = VM_MODE_PAE,
		   .order = MEM_RANDOM }, .ops = 200000 },
	{ "five levels", { .frames = 96, .swap_slots = 4096,
			   .mode = VM_MODE_LA57, .order = MEM_RANDOM },
	  .ops = 200000 },
	{ "much RAM", { .frames = 4096, .swap_slots = 4096,
			.order = MEM_RANDOM }, .ops = 50000 },
	{ "no host memory, 32 bits", { .frames = 40, .swap_slots = 4096,
				       .order = MEM_RANDOM },
	  .ops = 100000, .nomem = true },
	{ "no host memory, 64 bits", { .frames = 72, .swap_slots = 4096,
				       .mode = VM_MODE_64, .check_tlb = true,
				       .order = MEM_RANDOM },
	  .ops = 50000, .nomem = true },
	{ "failing, 32 bits", { .frames = 40, .swap_slots = 8192,
				.order = MEM_RANDOM },
	  .ops = 100000, .fails = true },
	{ "failing, 64 bits", { .frames = 72, .swap_slots = 8192,
				.mode = VM_MODE_64, .check_tlb = true,
				.order = MEM_RANDOM },
	  .ops = 40000, .fails = true },
	{ "failing, little swap", { .frames = 48, .swap_slots = 300,
				    .order = MEM_RANDOM },
	  .ops = 60000, .tight = true, .fails = true },
	/* With each translation that is used checked: none is stale. */
	{ "checked, 32 bits", { .frames = 40, .swap_slots = 4096,
				.check_tlb = true, .order = MEM_RANDOM },
	  .ops = 100000 },
	{ "checked, PAE", { .frames = 80, .swap_slots = 4096,
			    .mode = VM_MODE_PAE, .check_tlb = true,
			    .order = MEM_RANDOM }, .ops = 100000 },
	{ "checked, 64 bits", { .frames = 72, .swap_slots = 4096,
				.mode = VM_MODE_64, .check_tlb = true,
				.order = MEM_RANDOM }, .ops = 100000 },
	{ "checked, five levels", { .frames = 96, .swap_slots = 4096,
				    .mode = VM_MODE_LA57, .check_tlb = true,
				    .order = MEM_RANDOM }, .ops = 100000 },
};

static void test_config(void **state)
{
	const struct config *c = *state;

	run_config(c, env("PAGER_SEED", 1), env("PAGER_OPS", OPS(c->ops)), NULL);
}

static void test_deterministic(void **state)
{
	uint64_t a[128] = { 0 }, b[128] = { 0 };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		run_config(&configs[i], 7, 20000, a);
		run_config(&configs[i], 7, 20000, b);
		assert_memory_equal(a, b, sizeof(a));
	}
}

int main(void)
{
#define CONFIG(i) \
	{ "test_model", test_config, NULL, NULL, (void *)&configs[i] }
	const struct CMUnitTest tests[] = {
		CONFIG(0), CONFIG(1), CONFIG(2), CONFIG(3), CONFIG(4),
		CONFIG(5), CONFIG(6), CONFIG(7), CONFIG(8), CONFIG(9),
		CONFIG(10), CONFIG(11), CONFIG(12), CONFIG(13),
		CONFIG(14), CONFIG(15), CONFIG(16), CONFIG(17), CONFIG(18),
		cmocka_unit_test(test_deterministic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
