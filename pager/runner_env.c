/*
 * runner_env.c - what names mean: processes, mappings, variables; and
 * expressions made of them.
 *
 * Way of the data: a statement's words -> branch_arguments() -> numbers in
 * the branch's cursor. Names of processes and mappings may hold $variables
 * ("worker$i"), which are put in first. The variable of a block around is
 * found in the branch's own frames, any other in the session.
 *
 * Invariants: one tree holds all entries, ordered by (kind, pid, name), so a
 * lookup costs its logarithm; the mappings of a process are also in a list
 * that hangs off an owner entry, for fork and exit, which must not walk what
 * belongs to others. Values are copied out; no entry is used without the lock.
 *
 * Lock: env->lock, a leaf.
 */
#include "runner_int.h"

#include <assert.h>
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workload_lex.h"

enum env_kind { ENV_PROC, ENV_VAR, ENV_MAP, ENV_OWNER };

struct env_entry {
	enum env_kind kind;
	int pid;			/* of maps and owners */
	const char *name;
	uint64_t value, len;		/* of maps: address, length */
	struct env_entry *next;		/* owner: first map; map: the next */
	char text[];
};

static int entry_compare(const void *a, const void *b)
{
	const struct env_entry *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return strcmp(x->name, y->name);
}

static struct env_entry *entry_find(struct env *env, enum env_kind kind,
				    int pid, const char *name)
{
	struct env_entry key = { .kind = kind, .pid = pid, .name = name };
	struct env_entry **found = tfind(&key, &env->root, entry_compare);

	return found ? *found : NULL;
}

/* The entry, made if there is none: then *made is set. */
static struct env_entry *entry_get(struct env *env, enum env_kind kind,
				   int pid, const char *name, bool *made)
{
	struct env_entry *e = entry_find(env, kind, pid, name);
	size_t size = strlen(name) + 1;

	*made = false;
	if (e)
		return e;
	e = calloc(1, sizeof(*e) + size);
	if (!e)
		return NULL;
	e->kind = kind;
	e->pid = pid;
	e->name = memcpy(e->text, name, size);
	if (!tsearch(e, &env->root, entry_compare)) {
		free(e);
		return NULL;
	}
	*made = true;
	return e;
}

static void entry_drop(struct env *env, struct env_entry *e)
{
	assert(entry_find(env, e->kind, e->pid, e->name) == e);
	tdelete(e, &env->root, entry_compare);
	free(e);
}

void env_init(struct env *env)
{
	pthread_mutex_init(&env->lock, NULL);
	env->root = NULL;
}

void env_destroy(struct env *env)
{
	tdestroy(env->root, free);
	pthread_mutex_destroy(&env->lock);
}

static int env_set(struct env *env, enum env_kind kind, const char *name,
		   uint64_t value)
{
	struct env_entry *e;
	bool made;

	pthread_mutex_lock(&env->lock);
	e = entry_get(env, kind, 0, name, &made);
	if (e)
		e->value = value;
	pthread_mutex_unlock(&env->lock);
	return e ? 0 : -ENOMEM;
}

static bool env_get(struct env *env, enum env_kind kind, int pid,
		    const char *name, uint64_t *value, uint64_t *len)
{
	struct env_entry *e;

	pthread_mutex_lock(&env->lock);
	e = entry_find(env, kind, pid, name);
	if (e) {
		*value = e->value;
		*len = e->len;
	}
	pthread_mutex_unlock(&env->lock);
	return e != NULL;
}

int env_set_var(struct env *env, const char *name, uint64_t v)
{
	return env_set(env, ENV_VAR, name, v);
}

int env_set_proc(struct env *env, const char *name, int pid)
{
	return env_set(env, ENV_PROC, name, (uint64_t)pid);
}

static bool env_get_var(struct env *env, const char *name, uint64_t *v)
{
	uint64_t len;

	return env_get(env, ENV_VAR, 0, name, v, &len);
}

bool env_get_proc(struct env *env, const char *name, int *pid)
{
	uint64_t v, len;

	if (!env_get(env, ENV_PROC, 0, name, &v, &len))
		return false;
	*pid = (int)(int64_t)v;
	return true;
}

bool env_get_map(struct env *env, int pid, const char *name, uint64_t *addr,
		 uint64_t *len)
{
	return env_get(env, ENV_MAP, pid, name, addr, len);
}

/* => env->lock held */
static int map_set(struct env *env, int pid, const char *name, uint64_t addr,
		   uint64_t len)
{
	struct env_entry *owner, *e;
	bool made;

	owner = entry_get(env, ENV_OWNER, pid, "", &made);
	if (!owner)
		return -ENOMEM;
	e = entry_get(env, ENV_MAP, pid, name, &made);
	if (!e)
		return -ENOMEM;
	if (made) {
		e->next = owner->next;
		owner->next = e;
	}
	e->value = addr;
	e->len = len;
	return 0;
}

int env_set_map(struct env *env, int pid, const char *name, uint64_t addr,
		uint64_t len)
{
	int err;

	pthread_mutex_lock(&env->lock);
	err = map_set(env, pid, name, addr, len);
	pthread_mutex_unlock(&env->lock);
	return err;
}

/* => env->lock held */
static void maps_drop(struct env *env, int pid)
{
	struct env_entry *owner = entry_find(env, ENV_OWNER, pid, "");
	struct env_entry *e, *next;

	if (!owner)
		return;
	for (e = owner->next; e; e = next) {
		next = e->next;
		entry_drop(env, e);
	}
	entry_drop(env, owner);
}

int env_fork(struct env *env, int parent, int child)
{
	struct env_entry *owner, *e;
	int err = 0;

	pthread_mutex_lock(&env->lock);
	maps_drop(env, child);	/* of an earlier process with this number */
	owner = entry_find(env, ENV_OWNER, parent, "");
	for (e = owner ? owner->next : NULL; e && !err; e = e->next)
		err = map_set(env, child, e->name, e->value, e->len);
	pthread_mutex_unlock(&env->lock);
	return err;
}

void env_exit(struct env *env, const char *name, int pid)
{
	struct env_entry *e;

	pthread_mutex_lock(&env->lock);
	maps_drop(env, pid);
	e = entry_find(env, ENV_PROC, 0, name);
	if (e && e->value == (uint64_t)pid)
		entry_drop(env, e);
	pthread_mutex_unlock(&env->lock);
}

/* ---- names and expressions, in a branch ---- */

static bool branch_var(struct branch *b, const char *name, uint64_t *v)
{
	unsigned i;

	for (i = b->depth; i-- > 0;)
		if (b->frame[i].owner->var &&
		    !strcmp(b->frame[i].owner->var, name)) {
			*v = b->frame[i].index;
			return true;
		}
	return env_get_var(&b->run->session->env, name, v);
}

static enum op_result need_var(struct branch *b, const char *name, uint64_t *v)
{
	if (branch_var(b, name, v))
		return OP_DONE;
	return branch_fail(b, 0, "expected $%s to have a value, found none",
			   name);
}

/* The $var at *s, in digits. */
static enum op_result name_var(struct branch *b, const char **s, char *out,
			       size_t room)
{
	char var[WL_NAME_MAX + 1];
	size_t n = 0;
	uint64_t v;

	for (++*s; lex_is_alnum(**s) && n < WL_NAME_MAX; ++*s)
		var[n++] = **s;
	var[n] = 0;
	if (need_var(b, var, &v) != OP_DONE)
		return OP_FAIL;
	snprintf(out, room, "%llu", (unsigned long long)v);
	return OP_DONE;
}

enum op_result branch_name(struct branch *b, const char *name,
			   char out[NAME_BUF])
{
	const char *s = name;
	size_t n = 0;

	while (*s) {
		/* 21: the digits of any number, and the end */
		if (n + 21 > NAME_BUF)
			return branch_fail(b, -ENAMETOOLONG,
					   "expected a name of at most %d "
					   "characters, found more in '%s'",
					   WL_NAME_MAX, name);
		if (*s != '$') {
			out[n++] = *s++;
			continue;
		}
		if (name_var(b, &s, out + n, NAME_BUF - n) != OP_DONE)
			return OP_FAIL;
		n += strlen(out + n);
	}
	out[n] = 0;
	if (n > WL_NAME_MAX)
		return branch_fail(b, -ENAMETOOLONG,
				   "expected a name of at most %d characters, "
				   "found '%s'", WL_NAME_MAX, out);
	return OP_DONE;
}

static enum op_result term_map(struct branch *b, const struct wl_term *t,
			       uint64_t *addr, uint64_t *len)
{
	char name[NAME_BUF];

	if (branch_name(b, t->name, name) != OP_DONE)
		return OP_FAIL;
	if (env_get_map(&b->run->session->env, b->cur.pid, name, addr, len))
		return OP_DONE;
	return branch_fail(b, 0, "process '%s' has no mapping '%s'",
			   b->stmt->proc, name);
}

static enum op_result term_value(struct branch *b, const struct wl_term *t,
				 uint64_t *v, uint64_t *base)
{
	uint64_t len;

	switch (t->kind) {
	case WL_NUMBER:
		*v = t->number;
		return OP_DONE;
	case WL_VAR:
		return need_var(b, t->name, v);
	default:
		if (term_map(b, t, v, &len) != OP_DONE)
			return OP_FAIL;
		if (base && !*base)
			*base = *v;
		return OP_DONE;
	}
}

static bool sum_add(uint64_t *sum, uint64_t product, char sign)
{
	return sign == '-' ? __builtin_sub_overflow(*sum, product, sum) :
			     __builtin_add_overflow(*sum, product, sum);
}

enum op_result branch_eval(struct branch *b, const struct wl_expr *e,
			   uint64_t *v, uint64_t *base)
{
	uint64_t product = 0, term;
	bool over = false;
	char sign = '+';
	unsigned i;

	*v = 0;
	for (i = 0; i < e->n; i++) {
		if (term_value(b, &e->term[i], &term, base) != OP_DONE)
			return OP_FAIL;
		if (e->term[i].op == '*') {
			over |= __builtin_mul_overflow(product, term, &product);
			continue;
		}
		over |= sum_add(v, product, sign);
		sign = e->term[i].op;
		product = term;
	}
	over |= sum_add(v, product, sign);
	if (over)
		return branch_fail(b, -EOVERFLOW,
				   "a value is below 0 or above 2^64");
	return OP_DONE;
}

/* ---- a statement's arguments ---- */

static enum op_result find_pid(struct branch *b, const char *name, int *pid)
{
	struct runner_session *s = b->run->session;

	if (lex_is_digit(*name)) {
		*pid = atoi(name);
		return OP_DONE;
	}
	if (b->run->self && strcmp(name, "self") == 0) {
		*pid = b->run->self;
		return OP_DONE;
	}
	if (env_get_proc(&s->env, name, pid))
		return OP_DONE;
	*pid = vm_proc_find(s->vm, name);
	if (*pid < 0)
		return branch_fail(b, -ESRCH, "there is no process '%s'",
				   name);
	return OP_DONE;
}

static enum op_result eval_given(struct branch *b, const struct wl_expr *e,
				 uint64_t *v)
{
	return e->n ? branch_eval(b, e, v, NULL) : OP_DONE;
}

static enum op_result argument_range(struct branch *b)
{
	const struct wl_stmt *s = b->stmt;
	struct cursor *c = &b->cur;

	if (s->whole) {
		if (term_map(b, s->addr.term, &c->addr, &c->len) != OP_DONE)
			return OP_FAIL;
		c->base = c->addr;
		return OP_DONE;
	}
	if (s->addr.n &&
	    branch_eval(b, &s->addr, &c->addr, &c->base) != OP_DONE)
		return OP_FAIL;
	return eval_given(b, &s->len, &c->len);
}

enum op_result branch_arguments(struct branch *b)
{
	const struct wl_stmt *s = b->stmt;
	struct cursor *c = &b->cur;
	char name[NAME_BUF];

	if (s->proc && (branch_name(b, s->proc, name) != OP_DONE ||
			find_pid(b, name, &c->pid) != OP_DONE))
		return OP_FAIL;
	if (argument_range(b) != OP_DONE ||
	    eval_given(b, &s->src, &c->src) != OP_DONE ||
	    eval_given(b, &s->value, &c->value) != OP_DONE ||
	    eval_given(b, &s->count, &c->count) != OP_DONE ||
	    eval_given(b, &s->stride, &c->stride) != OP_DONE ||
	    eval_given(b, &s->seed, &c->rng.state) != OP_DONE)
		return OP_FAIL;
	return OP_DONE;
}
