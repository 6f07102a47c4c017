/*
 * runner_mem.c - statements that access memory: load, store, fetch, fill,
 * copy, touch, and the checks of what is there.
 *
 * Way of the data: the cursor says where (addr, len, pos), the access
 * functions move a bounded amount through the CPU and advance pos only after
 * the bytes have moved. What is found wrong goes into the cursor (bad, where,
 * wanted, found) and becomes a message in the *_done function, outside.
 *
 * Invariants: an access function takes no lock and calls nothing that could
 * block (it runs between cpu_enter() and cpu_leave()); a pointer from
 * cpu_ptr() is used up before the next poll; what was drawn from a random
 * stream for an access is kept until that access is made, so faults do not
 * change the stream.
 */
#include "runner_int.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "emu/cpu.h"

#define RUN_COST	16	/* accesses that a page at once stands for */
#define POLL_EVERY	64
#define TOUCH_STRIDE	4096
#define SCATTER		2654435761ull	/* a prime */
#define SCATTER_2	2654435789ull	/* another */

/* @n accesses were made. => false: enough for this step. */
static bool spend(struct branch *b, struct cpu *cpu, unsigned n)
{
	b->done += n;
	b->unpolled += n;
	if (b->unpolled >= POLL_EVERY) {
		cpu_poll(cpu);
		b->unpolled = 0;
	}
	b->budget = b->budget > n ? b->budget - n : 0;
	return b->budget;
}

static void plan(struct branch *b, uint64_t n)
{
	atomic_fetch_add_explicit(&b->run->session->planned, n,
				  memory_order_relaxed);
}

/* The one access of a statement was made. */
static void single(struct branch *b, struct cpu *cpu)
{
	plan(b, 1);
	spend(b, cpu, 1);
}

/* ---- one access ---- */

static uint64_t width_max(const struct wl_stmt *s)
{
	return s->width >= 8 ? UINT64_MAX : (1ull << (8 * s->width)) - 1;
}

/* By the accessors of one width, which are atomic where aligned; v is
 * little-endian, as the machine. */
static int load_width(struct cpu *cpu, uint64_t va, void *v, unsigned width)
{
	switch (width) {
	case 1:
		return cpu_load8(cpu, va, v);
	case 2:
		return cpu_load16(cpu, va, v);
	case 4:
		return cpu_load32(cpu, va, v);
	default:
		return cpu_load64(cpu, va, v);
	}
}

static int store_width(struct cpu *cpu, uint64_t va, uint64_t v,
		       unsigned width)
{
	switch (width) {
	case 1:
		return cpu_store8(cpu, va, (uint8_t)v);
	case 2:
		return cpu_store16(cpu, va, (uint16_t)v);
	case 4:
		return cpu_store32(cpu, va, (uint32_t)v);
	default:
		return cpu_store64(cpu, va, v);
	}
}

enum op_result load_access(struct branch *b, struct cpu *cpu)
{
	union {
		uint64_t v;
		uint32_t v32;
		uint16_t v16;
		uint8_t v8;
	} word = { 0 };

	if (load_width(cpu, b->cur.addr, &word, b->stmt->width))
		return OP_FAULT;
	b->cur.found = word.v;
	single(b, cpu);
	return OP_DONE;
}

enum op_result load_done(struct branch *b)
{
	struct runner_session *s = b->run->session;

	if (b->stmt->var &&
	    env_set_var(&s->env, b->stmt->var, b->cur.found))
		return branch_refused(b, -ENOMEM);
	return OP_DONE;
}

enum op_result store_begin(struct branch *b)
{
	if (b->cur.value > width_max(b->stmt))
		return branch_fail(b, -EOVERFLOW,
				   "expected a value of %u bits, found 0x%llx",
				   b->stmt->width * 8u,
				   (unsigned long long)b->cur.value);
	return OP_DONE;
}

enum op_result store_access(struct branch *b, struct cpu *cpu)
{
	if (store_width(cpu, b->cur.addr, b->cur.value, b->stmt->width))
		return OP_FAULT;
	single(b, cpu);
	return OP_DONE;
}

enum op_result fetch_access(struct branch *b, struct cpu *cpu)
{
	uint8_t byte;

	if (cpu_fetch(cpu, b->cur.addr, &byte, 1))
		return OP_FAULT;
	single(b, cpu);
	return OP_DONE;
}

enum op_result value_done(struct branch *b)
{
	const struct wl_stmt *s = b->stmt;
	struct cursor *c = &b->cur;

	if (runner_compare(s->cmp, c->found, c->value))
		return OP_DONE;
	return branch_fail(b, -EPROTO,
			   "expected %s %llu (0x%llx), found %llu (0x%llx) "
			   "at 0x%llx in process '%s'",
			   runner_compare_name(s->cmp),
			   (unsigned long long)c->value,
			   (unsigned long long)c->value,
			   (unsigned long long)c->found,
			   (unsigned long long)c->found,
			   (unsigned long long)c->addr, s->proc);
}

/* ---- an access that must fault ---- */

enum op_result fault_access(struct branch *b, struct cpu *cpu)
{
	switch (b->stmt->access) {
	case WL_A_LOAD:
		return load_access(b, cpu);
	case WL_A_STORE:
		return store_access(b, cpu);
	default:
		return fetch_access(b, cpu);
	}
}

static const char *signal_name(int sig)
{
	return sig == SIGBUS ? "SIGBUS" : "SIGSEGV";
}

enum op_result fault_done(struct branch *b)
{
	struct cursor *c = &b->cur;

	if (c->sig == b->stmt->number)
		return OP_DONE;
	if (!c->sig)
		return branch_fail(b, -EPROTO,
				   "expected %s at 0x%llx in process '%s', "
				   "but the access was made",
				   signal_name(b->stmt->number),
				   (unsigned long long)c->addr, b->stmt->proc);
	return branch_fail(b, -EPROTO, "expected %s, found %s at 0x%llx: %s",
			   signal_name(b->stmt->number), signal_name(c->sig),
			   (unsigned long long)c->fault_addr,
			   c->why ? c->why : "no reason given");
}

/* ---- content ---- */

static uint64_t pattern_word(uint64_t seed, uint64_t index)
{
	return rng_mix(seed * 0x9e3779b97f4a7c15ull + index);
}

/* The content of `pattern SEED`: byte @pos, counted from the start of the
 * mapping. */
static uint8_t pattern_byte(uint64_t seed, uint64_t pos)
{
	return (uint8_t)(pattern_word(seed, pos / 8) >> (8 * (pos % 8)));
}

/* What byte @va of the range is to hold. */
static uint8_t content_byte(const struct branch *b, uint64_t va)
{
	if (!b->stmt->pattern)
		return (uint8_t)b->cur.value;
	return pattern_byte(b->cur.value, va - b->cur.base);
}

/* => bytes to do at once, of the @left at @at: a word, where it may be one */
static unsigned word_step(uint64_t at, unsigned left)
{
	return at % 8 || left < 8 ? 1 : 8;
}

static void content_put(const struct branch *b, uint64_t va, uint8_t *to,
			unsigned n)
{
	uint64_t pos = va - b->cur.base, word;
	unsigned i, step;

	if (!b->stmt->pattern) {
		memset(to, (int)b->cur.value, n);
		return;
	}
	for (i = 0; i < n; i += step) {
		step = word_step(pos + i, n - i);
		if (step == 1) {
			to[i] = content_byte(b, va + i);
			continue;
		}
		word = pattern_word(b->cur.value, (pos + i) / 8);
		memcpy(to + i, &word, 8);
	}
}

/*
 * Guest memory: other threads of the guest may be at the same bytes. Each is
 * read, or written, once, and in words where it can be.
 */
static void guest_get(uint8_t *to, const uint8_t *from, unsigned n)
{
	unsigned i, step;
	uint64_t word;

	for (i = 0; i < n; i += step) {
		step = word_step((uintptr_t)(from + i), n - i);
		if (step == 1) {
			to[i] = __atomic_load_n(from + i, __ATOMIC_RELAXED);
			continue;
		}
		word = __atomic_load_n((const uint64_t *)(from + i),
				       __ATOMIC_RELAXED);
		memcpy(to + i, &word, 8);
	}
}

static void guest_put(uint8_t *to, const uint8_t *from, unsigned n)
{
	unsigned i, step;
	uint64_t word;

	for (i = 0; i < n; i += step) {
		step = word_step((uintptr_t)(to + i), n - i);
		if (step == 1) {
			__atomic_store_n(to + i, from[i], __ATOMIC_RELAXED);
			continue;
		}
		memcpy(&word, from + i, 8);
		__atomic_store_n((uint64_t *)(to + i), word,
				 __ATOMIC_RELAXED);
	}
}

#define CONTENT_PART	512u

/* The @n bytes at @mem become what the range is to hold. */
static void content_fill(const struct branch *b, uint64_t va, uint8_t *mem,
			 unsigned n)
{
	uint8_t part[CONTENT_PART];
	unsigned i, len;

	for (i = 0; i < n; i += len) {
		len = n - i < CONTENT_PART ? n - i : CONTENT_PART;
		content_put(b, va + i, part, len);
		guest_put(mem + i, part, len);
	}
}

/* => false: something else is there, and the cursor says where. */
static bool content_check(struct branch *b, uint64_t va, const uint8_t *guest,
			  unsigned n)
{
	uint8_t want[CONTENT_PART], mem[CONTENT_PART];
	unsigned i;

	assert(n && n <= sizeof(want));
	content_put(b, va, want, n);
	guest_get(mem, guest, n);
	if (!memcmp(want, mem, n))
		return true;
	for (i = 0; i < n - 1 && want[i] == mem[i]; i++)
		;
	b->cur.bad = true;
	b->cur.where = va + i;
	b->cur.wanted = want[i];
	b->cur.found = mem[i];
	return false;
}

enum op_result content_done(struct branch *b)
{
	struct cursor *c = &b->cur;

	if (!c->bad)
		return OP_DONE;
	return branch_fail(b, -EPROTO,
			   "expected 0x%llx, found 0x%llx at 0x%llx "
			   "(%llu bytes into the range) in process '%s'",
			   (unsigned long long)c->wanted,
			   (unsigned long long)c->found,
			   (unsigned long long)c->where,
			   (unsigned long long)(c->where - c->addr),
			   b->stmt->proc);
}

/* ---- a range, page by page ---- */

static enum op_result range_wraps(struct branch *b, uint64_t addr)
{
	if (b->cur.len && addr + (b->cur.len - 1) < addr)
		return branch_fail(b, -EOVERFLOW,
				   "the range passes the end of memory");
	return OP_DONE;
}

static uint64_t pages_of(const struct cursor *c)
{
	if (!c->len)
		return 0;
	return (c->addr + (c->len - 1)) / RAM_FRAME_SIZE -
	       c->addr / RAM_FRAME_SIZE + 1;
}

enum op_result range_begin(struct branch *b)
{
	if (range_wraps(b, b->cur.addr) != OP_DONE)
		return OP_FAIL;
	if (!b->stmt->pattern && b->cur.value > 255)
		return branch_fail(b, -EOVERFLOW,
				   "expected a byte, found 0x%llx",
				   (unsigned long long)b->cur.value);
	plan(b, pages_of(&b->cur) * RUN_COST);
	return OP_DONE;
}

/* From @va to the end of its page, at most @left. */
static unsigned page_run(uint64_t va, uint64_t left)
{
	uint64_t run = RAM_FRAME_SIZE - va % RAM_FRAME_SIZE;

	return (unsigned)(left < run ? left : run);
}

enum op_result fill_access(struct branch *b, struct cpu *cpu)
{
	struct cursor *c = &b->cur;
	uint8_t *mem;
	unsigned n;

	while (c->pos < c->len) {
		n = page_run(c->addr + c->pos, c->len - c->pos);
		mem = cpu_ptr(cpu, c->addr + c->pos, MMU_WRITE);
		if (!mem)
			return OP_FAULT;
		content_fill(b, c->addr + c->pos, mem, n);
		c->pos += n;
		if (!spend(b, cpu, RUN_COST))
			return OP_MORE;
	}
	return OP_DONE;
}

static bool check_run(struct branch *b, uint64_t va, const uint8_t *mem,
		      unsigned n)
{
	unsigned i, part;

	for (i = 0; i < n; i += part) {
		part = n - i < CONTENT_PART ? n - i : CONTENT_PART;
		if (!content_check(b, va + i, mem + i, part))
			return false;
	}
	return true;
}

enum op_result check_access(struct branch *b, struct cpu *cpu)
{
	struct cursor *c = &b->cur;
	uint8_t *mem;
	unsigned n;

	while (c->pos < c->len) {
		n = page_run(c->addr + c->pos, c->len - c->pos);
		mem = cpu_ptr(cpu, c->addr + c->pos, MMU_READ);
		if (!mem)
			return OP_FAULT;
		if (!check_run(b, c->addr + c->pos, mem, n))
			return OP_DONE;
		c->pos += n;
		if (!spend(b, cpu, RUN_COST))
			return OP_MORE;
	}
	return OP_DONE;
}

/* ---- copy ---- */

enum op_result copy_begin(struct branch *b)
{
	struct cursor *c = &b->cur;

	if (range_wraps(b, c->addr) != OP_DONE ||
	    range_wraps(b, c->src) != OP_DONE)
		return OP_FAIL;
	if (c->addr < c->src + c->len && c->src < c->addr + c->len)
		return branch_fail(b, -EINVAL,
				   "expected two ranges apart, found 0x%llx "
				   "and 0x%llx overlapping",
				   (unsigned long long)c->addr,
				   (unsigned long long)c->src);
	plan(b, c->len / sizeof(c->buf) * 2);
	return OP_DONE;
}

/*
 * Through a buffer, like a register: source and destination need not be in
 * memory at the same moment, so that a machine which evicts at every fault
 * still gets on.
 */
static int copy_piece(struct branch *b, struct cpu *cpu)
{
	struct cursor *c = &b->cur;
	uint64_t left = c->len - c->pos;
	unsigned n;

	if (!c->nbuf) {
		n = page_run(c->src + c->pos, left);
		n = page_run(c->addr + c->pos, n);
		n = n < sizeof(c->buf) ? n : sizeof(c->buf);
		if (cpu_load(cpu, c->src + c->pos, c->buf, n))
			return -1;
		c->nbuf = n;
	}
	assert(c->nbuf && c->nbuf <= left);
	if (cpu_store(cpu, c->addr + c->pos, c->buf, c->nbuf))
		return -1;
	c->pos += c->nbuf;
	c->nbuf = 0;
	return 0;
}

enum op_result copy_access(struct branch *b, struct cpu *cpu)
{
	while (b->cur.pos < b->cur.len) {
		if (copy_piece(b, cpu))
			return OP_FAULT;
		if (!spend(b, cpu, 2))
			return OP_MORE;
	}
	return OP_DONE;
}

/* ---- touch ---- */

enum op_result touch_begin(struct branch *b)
{
	const struct wl_stmt *s = b->stmt;
	struct cursor *c = &b->cur;

	if (range_wraps(b, c->addr) != OP_DONE)
		return OP_FAIL;
	if (!c->len)
		return branch_fail(b, -EINVAL, "the range is empty");
	if (!s->stride.n)
		c->stride = TOUCH_STRIDE;
	if (!c->stride)
		return branch_fail(b, -EINVAL, "the stride is 0");
	c->nslots = (c->len - 1) / c->stride + 1;
	if (!s->count.n)
		c->count = c->nslots;
	if (!s->seed.n)
		c->rng.state = rng_next(&b->rng);
	if (s->order == WL_ZIPF)
		zipf_init(&c->zipf, c->nslots, s->skew);
	plan(b, c->count);
	return OP_DONE;
}

/* Hot ranks are scattered over the range, by a bijection, always the same. */
static uint64_t scatter(uint64_t rank, uint64_t n)
{
	uint64_t prime = n % SCATTER ? SCATTER : SCATTER_2;

	return (uint64_t)((unsigned __int128)rank * prime % n);
}

static void touch_draw(struct branch *b)
{
	struct cursor *c = &b->cur;

	switch (b->stmt->order) {
	case WL_SEQ:
		c->slot = c->pos % c->nslots;
		break;
	case WL_RANDOM:
		c->slot = rng_below(&c->rng, c->nslots);
		break;
	case WL_ZIPF:
		c->slot = scatter(zipf_next(&c->zipf, &c->rng) - 1, c->nslots);
		break;
	}
	c->store = b->stmt->percent == 100 ||
		   (b->stmt->percent &&
		    rng_below(&c->rng, 100) < b->stmt->percent);
	c->drawn = true;
}

static bool touch_wrong(struct branch *b, uint64_t va, uint64_t wanted,
			uint64_t found)
{
	if (!b->stmt->verify || wanted == found)
		return false;
	b->cur.bad = true;
	b->cur.where = va;
	b->cur.wanted = wanted;
	b->cur.found = found;
	return true;
}

static int touch_word(struct branch *b, struct cpu *cpu, uint64_t va)
{
	uint64_t v, word = pattern_word(b->cur.value, (va - b->cur.base) / 8);

	if (b->cur.store)
		return cpu_store64(cpu, va, word);
	if (cpu_load64(cpu, va, &v))
		return -1;
	touch_wrong(b, va, word, v);
	return 0;
}

static int touch_byte(struct branch *b, struct cpu *cpu, uint64_t va)
{
	uint8_t v, byte = pattern_byte(b->cur.value, va - b->cur.base);

	if (b->cur.store)
		return cpu_store8(cpu, va, byte);
	if (cpu_load8(cpu, va, &v))
		return -1;
	touch_wrong(b, va, byte, v);
	return 0;
}

/* A word where one fits, else a byte. */
static int touch_one(struct branch *b, struct cpu *cpu)
{
	struct cursor *c = &b->cur;
	uint64_t off = c->slot * c->stride, va = c->addr + off;

	assert(c->slot < c->nslots && off < c->len);
	if (va % 8 || (va - c->base) % 8 || c->len - off < 8)
		return touch_byte(b, cpu, va);
	return touch_word(b, cpu, va);
}

enum op_result touch_access(struct branch *b, struct cpu *cpu)
{
	struct cursor *c = &b->cur;

	while (c->pos < c->count && !c->bad) {
		if (!c->drawn)
			touch_draw(b);
		if (touch_one(b, cpu))
			return OP_FAULT;
		c->drawn = false;
		c->pos++;
		if (!spend(b, cpu, 1) && c->pos < c->count)
			return OP_MORE;
	}
	return OP_DONE;
}
