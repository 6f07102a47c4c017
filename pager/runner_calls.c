/*
 * runner_calls.c - statements that call the machine, and those that only
 * concern the program: variables, counters, blocks.
 *
 * Way of the data: arguments are in the cursor; the machine is called; what
 * it gives (a pid, an address) gets its name in the session. All of this runs
 * outside the CPU. A call that has to wait starts the wait and returns
 * OP_WAIT; cur.phase tells the second call that the result is there.
 *
 * Invariant: a name is given only after the call has succeeded. Locks: see
 * runner_int.h.
 */
#include "runner_int.h"

#include "pager/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PAGE		4096ull
#define SPAWN_STEP	64	/* branches started in one step */
#define RETRY_NS	1000000	/* between two looks at a counter */
#define NAP_NS		100000000
#define MEMORY_TRIES	1000	/* to make a process when there are frames */

static struct runner_session *session(struct branch *b)
{
	return b->run->session;
}

static enum op_result result(struct branch *b, int err)
{
	return err < 0 ? branch_refused(b, err) : OP_DONE;
}

/* ---- processes ---- */

static enum op_result new_name(struct branch *b, char name[NAME_BUF])
{
	_Static_assert(WL_NAME_MAX == VM_NAME_MAX, "all of it is compared");
	struct runner_session *s = session(b);
	int pid;

	if (branch_name(b, b->stmt->name, name) != OP_DONE)
		return OP_FAIL;
	if (env_get_proc(&s->env, name, &pid) &&
	    vm_proc_find(s->vm, name) == pid)
		return branch_fail(b, -EEXIST,
				   "there is a process '%s' already (%d)",
				   name, pid);
	return OP_DONE;
}

/* No frame for a page table now: wait for pageout and call again, unless that
 * has been tried and there is nothing to be had; or it is not frames that are
 * missing, but memory of the host. */
static enum op_result wait_memory(struct branch *b)
{
	if ((b->cur.phase && vm_thread_result(b->thread) < 0) ||
	    b->cur.phase == MEMORY_TRIES)
		return branch_refused(b, -ENOMEM);
	b->cur.phase++;
	vm_thread_memory(b->thread);
	return OP_WAIT;
}

enum op_result call_proc(struct branch *b)
{
	struct runner_session *s = session(b);
	char name[NAME_BUF];
	int pid;

	if (new_name(b, name) != OP_DONE)
		return OP_FAIL;
	pid = vm_proc_create(s->vm, name);
	if (pid == -ENOMEM)
		return wait_memory(b);
	if (pid < 0)
		return branch_refused(b, pid);
	env_exit(&s->env, "", pid);	/* names under this number are old */
	return result(b, env_set_proc(&s->env, name, pid));
}

enum op_result call_fork(struct branch *b)
{
	struct runner_session *s = session(b);
	char name[NAME_BUF];
	int pid, err;

	if (new_name(b, name) != OP_DONE)
		return OP_FAIL;
	pid = vm_fork(s->vm, b->cur.pid, name);
	if (pid == -ENOMEM)
		return wait_memory(b);
	if (pid < 0)
		return branch_refused(b, pid);
	err = env_fork(&s->env, b->cur.pid, pid);
	return result(b, err ? err : env_set_proc(&s->env, name, pid));
}

enum op_result call_exit(struct branch *b)
{
	struct runner_session *s = session(b);
	char name[NAME_BUF];
	int err = vm_exit(s->vm, b->cur.pid);

	if (err)
		return branch_refused(b, err);
	if (branch_name(b, b->stmt->proc, name) != OP_DONE)
		return OP_FAIL;
	env_exit(&s->env, name, b->cur.pid);
	return OP_DONE;
}

/* ---- mappings ---- */

/* The call was refused; if for its range, it is said what is wrong with it. */
static enum op_result range_refused(struct branch *b, uint64_t addr,
				    uint64_t len, uint64_t offset, int err)
{
	unsigned long long odd = addr % PAGE ? addr : offset;

	if (err != -EINVAL || b->outer)
		return branch_refused(b, err);
	if (len == 0)
		return branch_fail(b, err, "expected a size, found 0 (EINVAL)");
	if (odd % PAGE)
		return branch_fail(b, err, "expected %s that is a multiple of "
				   "%llu, found %#llx (EINVAL)",
				   addr % PAGE ? "an address" : "an offset",
				   PAGE, odd);
	return branch_fail(b, err, "expected addresses of the process, found "
			   "%#llx and %llu bytes (EINVAL)",
			   (unsigned long long)addr, (unsigned long long)len);
}

static enum op_result range_result(struct branch *b, int err)
{
	return err < 0 ? range_refused(b, b->cur.addr, b->cur.len, 0, err) :
			 OP_DONE;
}

/* The path as the machine is to open it. => NULL: out of memory. */
static char *full_path(struct branch *b)
{
	const char *base = session(b)->opts.base, *path = b->stmt->path;
	char *full;

	if (!base || *path == '/')
		return strdup(path);
	return asprintf(&full, "%s/%s", base, path) < 0 ? NULL : full;
}

/* Without a size, all of the file from the offset on. */
static enum op_result file_size(struct branch *b, const char *path,
				uint64_t *len)
{
	struct stat st;

	if (b->stmt->len.n)
		return OP_DONE;
	if (stat(path, &st))
		return branch_refused(b, -errno);
	if ((uint64_t)st.st_size <= b->cur.src)
		return branch_fail(b, -EINVAL,
				   "expected a file longer than %llu bytes, "
				   "found %llu (give a size to map anyway)",
				   (unsigned long long)b->cur.src,
				   (unsigned long long)st.st_size);
	*len = (uint64_t)st.st_size - b->cur.src;
	return OP_DONE;
}

static enum op_result map_named(struct branch *b, struct vm_mmap *args)
{
	struct runner_session *s = session(b);
	char name[NAME_BUF];
	uint64_t at;
	int err;

	if (branch_name(b, b->stmt->name, name) != OP_DONE)
		return OP_FAIL;
	err = vm_mmap(s->vm, b->cur.pid, args, &at);
	if (err)
		return range_refused(b, args->addr, args->len, args->offset,
				     err);
	return result(b, env_set_map(&s->env, b->cur.pid, name, at,
				     args->len));
}

enum op_result call_map(struct branch *b)
{
	const struct wl_stmt *s = b->stmt;
	enum op_result r = OP_DONE;
	struct vm_mmap args = {
		.addr = b->cur.addr, .len = b->cur.len, .offset = b->cur.src,
		.prot = s->prot,
		.flags = (s->shared ? VM_MAP_SHARED : VM_MAP_PRIVATE) |
			 (s->addr.n ? VM_MAP_FIXED : 0),
	};
	char *path = NULL;

	_Static_assert(WL_PROT_READ == VM_PROT_READ &&
		       WL_PROT_WRITE == VM_PROT_WRITE &&
		       WL_PROT_EXEC == VM_PROT_EXEC, "same bits");
	if (s->path) {
		path = full_path(b);
		if (!path)
			return branch_refused(b, -ENOMEM);
		args.path = path;
		r = file_size(b, path, &args.len);
	}
	if (r == OP_DONE)
		r = map_named(b, &args);
	free(path);
	return r;
}

enum op_result call_unmap(struct branch *b)
{
	return range_result(b, vm_munmap(session(b)->vm, b->cur.pid,
					 b->cur.addr, b->cur.len));
}

enum op_result call_advise(struct branch *b)
{
	return range_result(b, vm_madvise(session(b)->vm, b->cur.pid,
					  b->cur.addr, b->cur.len,
					  b->stmt->number));
}

enum op_result call_protect(struct branch *b)
{
	return range_result(b, vm_mprotect(session(b)->vm, b->cur.pid,
					   b->cur.addr, b->cur.len,
					   b->stmt->prot));
}

/* ---- the heap ---- */

static enum op_result break_target(struct branch *b, uint64_t now,
				   uint64_t *to)
{
	bool over = false;

	*to = b->cur.addr;
	if (b->stmt->sign == '+')
		over = __builtin_add_overflow(now, b->cur.addr, to);
	else if (b->stmt->sign == '-')
		over = __builtin_sub_overflow(now, b->cur.addr, to);
	return over ? branch_refused(b, -ENOMEM) : OP_DONE;
}

/* The mapping `heap` is all of it, from where it was first seen; unless that is
 * another mapping of this name. */
static int heap_name(struct branch *b, uint64_t before, uint64_t now)
{
	struct env *env = &session(b)->env;
	uint64_t start, len;

	if (!env_get_map(env, b->cur.pid, "heap", &start, &len) ||
	    start > before)
		start = before;
	return env_set_map(env, b->cur.pid, "heap", start,
			   now > start ? now - start : 0);
}

enum op_result call_brk(struct branch *b)
{
	struct runner_session *s = session(b);
	uint64_t before, to, now;
	int err = vm_brk(s->vm, b->cur.pid, 0, &before);

	if (err)
		return branch_refused(b, err);
	if (break_target(b, before, &to) != OP_DONE)
		return OP_FAIL;
	err = vm_brk(s->vm, b->cur.pid, to, &now);
	if (!err)
		err = heap_name(b, before, now);
	if (!err && b->stmt->var)
		err = env_set_var(&s->env, b->stmt->var, now);
	return result(b, err);
}

/* ---- calls that wait ---- */

/* @err is what starting said, the first time. */
static enum op_result started(struct branch *b, int err)
{
	if (err)
		return branch_refused(b, err);
	b->cur.phase = 1;
	return OP_WAIT;
}

enum op_result call_msync(struct branch *b)
{
	int err;

	if (b->cur.phase)
		return result(b, vm_thread_result(b->thread));
	err = vm_thread_msync(b->thread, b->cur.addr, b->cur.len,
			      b->stmt->async ? VM_MS_ASYNC : VM_MS_SYNC);
	return err ? range_result(b, err) : started(b, 0);
}

enum op_result call_sync(struct branch *b)
{
	if (b->cur.phase)
		return result(b, vm_thread_result(b->thread));
	return started(b, vm_thread_sync(b->thread));
}

enum op_result call_evict(struct branch *b)
{
	if (b->cur.phase)
		return result(b, vm_thread_result(b->thread));
	return started(b, vm_thread_evict(b->thread, b->cur.count));
}

/* => How much of the statement's time, from its first call on, has yet to pass:
 * nanoseconds. */
static uint64_t time_left(struct branch *b)
{
	uint64_t now = vm_now_ns(session(b)->vm);

	if (!b->cur.phase) {
		b->cur.phase = 1;
		if (__builtin_add_overflow(now, b->stmt->ns, &b->cur.deadline))
			b->cur.deadline = UINT64_MAX;
	}
	return now < b->cur.deadline ? b->cur.deadline - now : 0;
}

/* In naps, between which the branch sees that it is to stop. */
enum op_result call_sleep(struct branch *b)
{
	uint64_t left = time_left(b);

	if (!left)
		return OP_DONE;
	return branch_sleep(b, left < NAP_NS ? left : NAP_NS);
}

enum op_result call_check(struct branch *b)
{
	vm_check(session(b)->vm);
	return OP_DONE;
}

/* ---- variables and counters ---- */

static enum op_result counter(struct branch *b, const char *name, uint64_t *v)
{
	if (vm_stat_get(session(b)->vm, name, v))
		return OP_DONE;
	return branch_fail(b, 0, "expected a counter, found '%s' "
			   "(the file vmstat lists them)", name);
}

enum op_result call_set(struct branch *b)
{
	uint64_t v = b->cur.value;

	if (b->stmt->name && counter(b, b->stmt->name, &v) != OP_DONE)
		return OP_FAIL;
	return result(b, env_set_var(&session(b)->env, b->stmt->var, v));
}

enum op_result call_seed(struct branch *b)
{
	b->rng.state = b->cur.value;
	return OP_DONE;
}

/* => mark_lock held */
static struct mark *mark_find(struct runner_session *s, const char *name)
{
	unsigned i;

	for (i = 0; i < s->nmarks; i++)
		if (!strcmp(s->marks[i].name, name))
			return &s->marks[i];
	return NULL;
}

/* => mark_lock held */
static int mark_set(struct runner_session *s, const char *name, uint64_t v)
{
	struct mark *m = mark_find(s, name), *grown;

	if (!m) {
		grown = reallocarray(s->marks, s->nmarks + 1, sizeof(*m));
		if (!grown)
			return -ENOMEM;
		s->marks = grown;
		m = &grown[s->nmarks];
		m->name = strdup(name);
		if (!m->name)
			return -ENOMEM;
		s->nmarks++;
	}
	m->value = v;
	return 0;
}

enum op_result call_mark(struct branch *b)
{
	struct runner_session *s = session(b);
	const char *name;
	uint64_t v;
	unsigned i;
	int err = 0;

	for (i = 0; !err && vm_stat(s->vm, i, &name, &v); i++) {
		pthread_mutex_lock(&s->mark_lock);
		err = mark_set(s, name, v);
		pthread_mutex_unlock(&s->mark_lock);
	}
	return result(b, err);
}

/* How much a counter has grown since `mark`. */
static enum op_result since_mark(struct branch *b, uint64_t *v)
{
	struct runner_session *s = session(b);
	struct mark *m;

	pthread_mutex_lock(&s->mark_lock);
	m = mark_find(s, b->stmt->name);
	if (m)
		*v -= m->value;
	pthread_mutex_unlock(&s->mark_lock);
	if (m)
		return OP_DONE;
	return branch_fail(b, 0, "expected a `mark` before");
}

enum op_result call_expect_count(struct branch *b)
{
	const struct wl_stmt *s = b->stmt;
	uint64_t v;

	if (counter(b, s->name, &v) != OP_DONE)
		return OP_FAIL;
	if (s->op == WL_EXPECT_DELTA && since_mark(b, &v) != OP_DONE)
		return OP_FAIL;
	if (runner_compare(s->cmp, v, b->cur.value))
		return OP_DONE;
	if (s->ns && time_left(b))
		return branch_sleep(b, RETRY_NS);
	return branch_fail(b, -EPROTO, "expected %s %s %llu, found %lld",
			   s->name, runner_compare_name(s->cmp),
			   (unsigned long long)b->cur.value, (long long)v);
}

enum op_result call_expect_var(struct branch *b)
{
	const struct wl_stmt *s = b->stmt;

	if (runner_compare(s->cmp, b->cur.src, b->cur.value))
		return OP_DONE;
	return branch_fail(b, -EPROTO,
			   "expected %s %llu (0x%llx), found %llu (0x%llx)",
			   runner_compare_name(s->cmp),
			   (unsigned long long)b->cur.value,
			   (unsigned long long)b->cur.value,
			   (unsigned long long)b->cur.src,
			   (unsigned long long)b->cur.src);
}

enum op_result call_expect_error(struct branch *b)
{
	b->outer = b->stmt;
	b->stmt = b->stmt->body;
	b->cur.begun = false;
	return OP_ENTER;
}

bool runner_compare(enum wl_cmp cmp, uint64_t a, uint64_t b)
{
	switch (cmp) {
	case WL_EQ:
		return a == b;
	case WL_NE:
		return a != b;
	case WL_LT:
		return a < b;
	case WL_LE:
		return a <= b;
	case WL_GT:
		return a > b;
	default:
		return a >= b;
	}
}

const char *runner_compare_name(enum wl_cmp cmp)
{
	static const char *const names[] = {
		[WL_EQ] = "==", [WL_NE] = "!=", [WL_LT] = "<",
		[WL_LE] = "<=", [WL_GT] = ">", [WL_GE] = ">=",
	};

	return names[cmp];
}

/* ---- print ---- */

static enum op_result item_text(struct branch *b, const struct wl_item *item,
				FILE *out)
{
	uint64_t v;

	if (item->text) {
		fputs(item->text, out);
		return OP_DONE;
	}
	if (item->counter) {
		if (counter(b, item->counter, &v) != OP_DONE)
			return OP_FAIL;
	} else if (branch_eval(b, &item->value, &v, NULL) != OP_DONE) {
		return OP_FAIL;
	}
	fprintf(out, "%llu", (unsigned long long)v);
	return OP_DONE;
}

static void print_line(struct run *run, const char *line)
{
	struct runner_session *s = run->session;

	pthread_mutex_lock(&s->print_lock);
	if (run->out) {
		fprintf(run->out, "%s\n", line);
	} else if (s->opts.print) {
		s->opts.print(s->opts.arg, line);
	} else {
		puts(line);
		fflush(stdout);
	}
	pthread_mutex_unlock(&s->print_lock);
}

enum op_result call_print(struct branch *b)
{
	enum op_result r = OP_DONE;
	const struct wl_item *item;
	char *line = NULL;
	size_t size;
	FILE *out = open_memstream(&line, &size);

	if (!out)
		return branch_refused(b, -ENOMEM);
	for (item = b->stmt->items; item && r == OP_DONE; item = item->next) {
		if (item != b->stmt->items)
			fputc(' ', out);
		r = item_text(b, item, out);
	}
	if (fclose(out) && r == OP_DONE)
		r = branch_refused(b, -ENOMEM);
	if (r == OP_DONE)
		print_line(b->run, line);
	free(line);
	return r;
}

/* ---- blocks ---- */

enum op_result call_do(struct branch *b)
{
	return branch_enter(b, 1);
}

enum op_result call_repeat(struct branch *b)
{
	return branch_enter(b, b->cur.count);
}

/* cur.pos branches were started; the next is to run cur.slot-th statement. */
static const struct wl_stmt *nth(const struct wl_stmt *s, uint64_t n)
{
	while (n--)
		s = s->next;
	return s;
}

enum op_result call_together(struct branch *b)
{
	const struct wl_stmt *s;
	unsigned n;

	s = nth(b->stmt->body, b->cur.pos < b->stmt->nbody ? b->cur.pos : 0);
	for (n = 0; b->cur.pos < b->stmt->nbody; n++, s = s->next) {
		if (n == SPAWN_STEP)
			return OP_MORE;
		if (branch_spawn(b, s, true, 0, &b->together) != OP_DONE)
			return OP_FAIL;
		b->cur.pos++;
	}
	return branch_await(b, &b->together);
}

enum op_result call_spawn(struct branch *b)
{
	uint64_t count = b->stmt->count.n ? b->cur.count : 1;
	unsigned n;

	if (!b->stmt->body)
		return OP_DONE;
	for (n = 0; b->cur.pos < count; n++) {
		if (n == SPAWN_STEP)
			return OP_MORE;
		if (branch_spawn(b, b->stmt->body, false, b->cur.pos,
				 &b->background) != OP_DONE)
			return OP_FAIL;
		b->cur.pos++;
	}
	return OP_DONE;
}

enum op_result call_wait(struct branch *b)
{
	return branch_await(b, &b->background);
}

/* @text, of @n bytes, is printed and freed. */
static enum op_result print_text(struct branch *b, int err, char *text,
				 size_t n)
{
	if (err)
		return branch_refused(b, err);
	if (n && text[n - 1] == '\n')
		text[n - 1] = 0;
	print_line(b->run, text);
	free(text);
	return OP_DONE;
}

enum op_result call_pagetable(struct branch *b)
{
	char *text = NULL;
	size_t n = 0;
	int err = snap_pagetable(session(b)->vm, b->cur.pid, b->cur.addr,
				 b->cur.len, &text, &n);

	return print_text(b, err, text, n);
}

enum op_result call_explain(struct branch *b)
{
	char *text = NULL;
	size_t n = 0;
	int err = snap_explain(session(b)->vm, b->cur.pid, b->cur.addr,
			       b->stmt->access, &text, &n);

	return print_text(b, err, text, n);
}
