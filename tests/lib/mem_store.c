/*
 * mem_store.c - the engine of the in-memory store.
 *
 * submit (of a file or of swap) ends in mem_start(): the I/O is queued, its
 * failure or being held is settled, and the early part of its bytes moves.
 * reap picks what may complete, moves the rest, and calls done with no lock
 * held. Which part of a page is early is drawn from the seed: all of it, none,
 * the first half, the second half.
 *
 * Invariants: a frame is in at most one I/O (asserted: the pager's busy mark
 * promises that). mem->ios is in order of submission.
 */
#include "tests/lib/mem_internal.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/nomem.h"

#define HALF	(STORE_PAGE_SIZE / 2)

void *mem_resize(void *p, size_t size)
{
	nomem_spare(true);
	p = realloc(p, size ? size : 1);
	nomem_spare(false);
	if (!p)
		abort();
	return p;
}

void *mem_alloc(size_t size)
{
	return memset(mem_resize(NULL, size), 0, size);
}

static struct mem_store *mem_of(struct store_engine *engine)
{
	return (struct mem_store *)engine;
}

/* splitmix64 */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static uint64_t draw(struct mem_store *mem)
{
	return mem->random = mix(mem->random);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void poke_waiter(struct mem_store *mem)
{
	uint64_t one = 1;

	if (atomic_load(&mem->waiting) &&
	    write(mem->event, &one, sizeof(one)) < 0)
		return;		/* full: the waiter is awake anyway */
}

/* Which bytes of page @i move early: [*lo, *hi). */
static void early_part(const struct mem_store *mem, const struct mem_io *m,
		       unsigned i, unsigned *lo, unsigned *hi)
{
	static const unsigned part[4][2] = {
		{ 0, 0 }, { 0, STORE_PAGE_SIZE },
		{ 0, HALF }, { HALF, STORE_PAGE_SIZE },
	};
	unsigned k = mem->config.calm ? 0 : mix(m->seed + i) % 4;

	*lo = part[k][0];
	*hi = part[k][1];
}

static uint8_t *frame(const struct mem_store *mem, uint32_t pfn)
{
	assert(pfn < mem->config.ram_size / STORE_PAGE_SIZE);
	return (uint8_t *)mem->config.ram + (uint64_t)pfn * STORE_PAGE_SIZE;
}

/* Move bytes [lo, hi) of page @i, as far as the disk has them. */
static void move(struct mem_store *mem, struct mem_io *m, unsigned i,
		 unsigned lo, unsigned hi)
{
	uint64_t start = (m->page + i) * STORE_PAGE_SIZE;
	uint8_t *ram = frame(mem, m->io->pfn[i]);
	uint8_t *disk = m->disk->data + start;

	if (start + lo >= m->disk->size)
		return;
	if (start + hi > m->disk->size)
		hi = (unsigned)(m->disk->size - start);
	if (m->io->op == STORE_READ)
		memcpy(ram + lo, disk + lo, hi - lo);
	else if (m->error)
		memset(disk + lo, MEM_SCRIBBLE, hi - lo);
	else
		memcpy(disk + lo, ram + lo, hi - lo);
}

static void move_early(struct mem_store *mem, struct mem_io *m)
{
	unsigned lo, hi;

	for (unsigned i = 0; i < m->io->npages; i++) {
		if (m->io->op == STORE_READ && !mem->config.calm)
			memset(frame(mem, m->io->pfn[i]), MEM_SCRIBBLE,
			       STORE_PAGE_SIZE);
		if (m->error)
			continue;
		early_part(mem, m, i, &lo, &hi);
		move(mem, m, i, lo, hi);
	}
}

/* A frame read from the page that the end of the file cuts through. */
static void zero_tail(struct mem_store *mem, struct mem_io *m, unsigned i)
{
	uint64_t start = (m->page + i) * STORE_PAGE_SIZE;

	if (m->io->op == STORE_READ && start < m->disk->size &&
	    m->disk->size - start < STORE_PAGE_SIZE)
		memset(frame(mem, m->io->pfn[i]) + (m->disk->size - start), 0,
		       STORE_PAGE_SIZE - (m->disk->size - start));
}

static void move_late(struct mem_store *mem, struct mem_io *m)
{
	bool again = m->version != m->disk->version;
	unsigned lo, hi;

	for (unsigned i = 0; i < m->io->npages; i++) {
		early_part(mem, m, i, &lo, &hi);
		if (again)
			lo = hi = 0;
		if (lo > 0)
			move(mem, m, i, 0, lo);
		if (hi < STORE_PAGE_SIZE)
			move(mem, m, i, hi, STORE_PAGE_SIZE);
		zero_tail(mem, m, i);
	}
}

/* A failed write leaves nobody knows what; a failed read did at submit. */
static void move_failed(struct mem_store *mem, struct mem_io *m)
{
	if (mem->config.calm || m->io->op != STORE_WRITE)
		return;
	for (unsigned i = 0; i < m->io->npages; i++)
		move(mem, m, i, 0, STORE_PAGE_SIZE);
}

static unsigned past(const struct mem_io *m)
{
	uint64_t have = (m->disk->size + STORE_PAGE_SIZE - 1) /
		STORE_PAGE_SIZE;
	uint64_t end = m->page + m->io->npages;

	if (end <= have)
		return 0;
	return end - have < m->io->npages ? (unsigned)(end - have) :
		m->io->npages;
}

static void mark_busy(struct mem_store *mem, const struct store_io *io,
		      bool busy)
{
	for (unsigned i = 0; i < io->npages; i++) {
		frame(mem, io->pfn[i]);
		assert(mem->busy[io->pfn[i]] != busy);
		mem->busy[io->pfn[i]] = busy;
	}
}

/* Whether the rule of mem_fail() hits this I/O. */
static int failure(struct mem_store *mem, enum store_op op)
{
	if (!mem->fail.on ||
	    (mem->fail.op != MEM_OP_ANY && mem->fail.op != (int)op))
		return 0;
	if (mem->fail.skip) {
		mem->fail.skip--;
		return 0;
	}
	if (!mem->fail.endless && !--mem->fail.left)
		mem->fail.on = false;
	mem->stats.failed++;
	return -mem->fail.error;
}

static bool *hold_flag(struct mem_store *mem, enum store_op op)
{
	switch (op) {
	case STORE_READ:
		return &mem->hold_reads;
	case STORE_WRITE:
		return &mem->hold_writes;
	default:
		return &mem->hold_syncs;
	}
}

static void count_start(struct mem_store *mem, const struct mem_io *m)
{
	struct mem_stats *st = &mem->stats;

	st->reads += m->io->op == STORE_READ;
	st->writes += m->io->op == STORE_WRITE;
	st->syncs += m->io->op == STORE_SYNC;
	st->held += m->held;
	if (++st->inflight > st->max_inflight)
		st->max_inflight = st->inflight;
}

void mem_start(struct mem_store *mem, struct store_io *io,
	       struct mem_disk *disk, uint64_t page)
{
	struct mem_io *m = mem_alloc(sizeof(*m));

	assert(io->op == STORE_SYNC ? !io->npages :
	       io->npages && io->npages <= STORE_MAX_PAGES);
	assert(io->done);
	pthread_mutex_lock(&mem->lock);
	m->io = io;
	m->disk = disk;
	m->page = page;
	m->version = disk->version;
	m->seed = draw(mem);
	m->error = failure(mem, io->op);
	if (!m->error && io->op == STORE_WRITE && disk->broken) {
		m->error = disk->broken;
		mem->stats.failed++;
	}
	m->held = *hold_flag(mem, io->op);
	if (mem->config.delay_ns)
		m->ready_ns = now_ns() + (int64_t)mem->config.delay_ns;
	mark_busy(mem, io, true);
	move_early(mem, m);
	count_start(mem, m);
	*mem->tail = m;
	mem->tail = &m->next;
	pthread_mutex_unlock(&mem->lock);
	poke_waiter(mem);
}

static void count_end(struct mem_store *mem, const struct store_io *io)
{
	unsigned moved = io->error ? 0 : io->npages - io->npast;

	mem->stats.inflight--;
	if (io->op == STORE_READ)
		mem->stats.pages_read += moved;
	else
		mem->stats.pages_written += moved;
}

static void finish(struct mem_store *mem, struct mem_io *m)
{
	struct store_io *io = m->io;

	if (m->error)
		move_failed(mem, m);
	else
		move_late(mem, m);
	io->error = m->error;
	io->npast = m->error ? 0 : past(m);
	mark_busy(mem, io, false);
	count_end(mem, io);
}

/* Take *@link out of the queue and hang it before *@list. */
static void pick(struct mem_store *mem, struct mem_io **link,
		 struct mem_io ***list)
{
	struct mem_io *m = *link;

	*link = m->next;
	if (mem->tail == &m->next)
		mem->tail = link;
	m->next = NULL;
	**list = m;
	*list = &m->next;
}

/* Pick what may complete now; *next_ns: when more may, if later. */
static unsigned pick_all(struct mem_store *mem, bool must,
			 struct mem_io **list, int64_t *next_ns)
{
	int64_t now = now_ns();
	struct mem_io **link = &mem->ios, **some = NULL;
	unsigned n = 0, eligible = 0;

	*next_ns = INT64_MAX;
	while (*link) {
		struct mem_io *m = *link;
		bool ready = !m->held && m->ready_ns <= now;

		if (!m->held && !ready && m->ready_ns < *next_ns)
			*next_ns = m->ready_ns;
		if (ready && (mem->config.order == MEM_FIFO ||
			      draw(mem) % 2)) {
			pick(mem, link, &list);
			n++;
			continue;
		}
		if (ready && draw(mem) % ++eligible == 0)
			some = link;
		link = &m->next;
	}
	if (!n && some && must) {
		pick(mem, some, &list);
		n++;
	}
	return n;
}

/* Random order: put each at a drawn place. */
static struct mem_io *shuffle(struct mem_store *mem, struct mem_io *list)
{
	struct mem_io *out = NULL;
	unsigned n = 0;

	while (list) {
		struct mem_io *m = list, **at = &out;

		list = m->next;
		for (uint64_t k = draw(mem) % ++n; k; k--)
			at = &(*at)->next;
		m->next = *at;
		*at = m;
	}
	return out;
}

/* One round of reap, without waiting. */
static int collect(struct mem_store *mem, bool must, int64_t *next_ns)
{
	struct mem_io *list = NULL, *m;
	int n = 0;

	pthread_mutex_lock(&mem->lock);
	mem->stats.reaps++;
	pick_all(mem, must, &list, next_ns);
	if (mem->config.order == MEM_RANDOM)
		list = shuffle(mem, list);
	for (m = list; m; m = m->next)
		finish(mem, m);
	pthread_mutex_unlock(&mem->lock);
	while ((m = list)) {
		struct store_io *io = m->io;

		list = m->next;
		free(m);
		io->done(io);
		n++;
	}
	return n;
}

/* Until the event, or @until. */
static void wait_event(struct mem_store *mem, int64_t until)
{
	struct pollfd fd = { .fd = mem->event, .events = POLLIN };
	struct timespec ts;
	int64_t left = until - now_ns();
	uint64_t count;

	if (until != INT64_MAX && left <= 0)
		return;
	ts.tv_sec = left / 1000000000;
	ts.tv_nsec = left % 1000000000;
	if (ppoll(&fd, 1, until == INT64_MAX ? NULL : &ts, NULL) > 0 &&
	    read(mem->event, &count, sizeof(count)) < 0)
		return;		/* another thread was faster */
}

static int mem_reap(struct store_engine *engine, int64_t timeout_ns)
{
	struct mem_store *mem = mem_of(engine);
	int64_t deadline = timeout_ns < 0 ? INT64_MAX : 0, next_ns;
	int n;

	if (timeout_ns > 0)
		deadline = now_ns() + timeout_ns;
	for (;;) {
		if (timeout_ns)
			atomic_store(&mem->waiting, true);
		n = collect(mem, timeout_ns != 0, &next_ns);
		if (n || !timeout_ns)
			break;
		if (atomic_exchange(&mem->woken, false))
			break;
		if (deadline != INT64_MAX && now_ns() >= deadline)
			break;
		wait_event(mem, next_ns < deadline ? next_ns : deadline);
	}
	if (timeout_ns)
		atomic_store(&mem->waiting, false);
	return n;
}

static void mem_kick(struct store_engine *engine)
{
	struct mem_store *mem = mem_of(engine);

	pthread_mutex_lock(&mem->lock);
	mem->stats.kicks++;
	pthread_mutex_unlock(&mem->lock);
}

static void mem_wake(struct store_engine *engine)
{
	struct mem_store *mem = mem_of(engine);

	atomic_store(&mem->woken, true);
	poke_waiter(mem);
}

struct mem_store *mem_create(const struct mem_config *config)
{
	struct mem_store *mem = mem_alloc(sizeof(*mem));

	mem->engine.kick = mem_kick;
	mem->engine.reap = mem_reap;
	mem->engine.wake = mem_wake;
	mem->engine.open = mem_file_open;
	mem->config = *config;
	mem->random = mix(config->seed);
	mem->tail = &mem->ios;
	mem->next_ino = 1;
	mem->busy = mem_alloc(config->ram_size / STORE_PAGE_SIZE);
	mem->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mem->event < 0)
		abort();
	pthread_mutex_init(&mem->lock, NULL);
	mem->swap = mem_swap_create(mem);
	if (config->swap_slots)
		mem_swap_add(mem, config->swap_slots, 0);
	return mem;
}

void mem_destroy(struct mem_store *mem)
{
	assert(!mem->ios);
	mem_swap_destroy(mem->swap);
	mem_files_destroy(mem);
	pthread_mutex_destroy(&mem->lock);
	close(mem->event);
	free(mem->busy);
	free(mem);
}

struct store_engine *mem_engine(struct mem_store *mem)
{
	return &mem->engine;
}

void mem_fail(struct mem_store *mem, int op, uint64_t nth, uint64_t count,
	      int error)
{
	assert(nth && error > 0);
	pthread_mutex_lock(&mem->lock);
	mem->fail.on = true;
	mem->fail.op = op;
	mem->fail.error = error;
	mem->fail.skip = nth - 1;
	mem->fail.left = count;
	mem->fail.endless = !count;
	pthread_mutex_unlock(&mem->lock);
}

void mem_fail_none(struct mem_store *mem)
{
	pthread_mutex_lock(&mem->lock);
	mem->fail.on = false;
	pthread_mutex_unlock(&mem->lock);
}

void mem_hold(struct mem_store *mem, int op, bool on)
{
	pthread_mutex_lock(&mem->lock);
	for (int k = STORE_READ; k <= STORE_SYNC; k++)
		if (op == MEM_OP_ANY || op == k)
			*hold_flag(mem, (enum store_op)k) = on;
	pthread_mutex_unlock(&mem->lock);
}

/* The @i-th held I/O. */
static struct mem_io *held(struct mem_store *mem, uint64_t i)
{
	for (struct mem_io *m = mem->ios; m; m = m->next)
		if (m->held && !i--)
			return m;
	return NULL;
}

/* Let the @i-th held I/O go. */
static bool let_go(struct mem_store *mem, uint64_t i)
{
	struct mem_io *m = held(mem, i);

	if (!m)
		return false;
	m->held = false;
	mem->stats.held--;
	return true;
}

unsigned mem_release(struct mem_store *mem, unsigned n)
{
	unsigned done = 0;

	pthread_mutex_lock(&mem->lock);
	while (done < n && let_go(mem, 0))
		done++;
	pthread_mutex_unlock(&mem->lock);
	poke_waiter(mem);
	return done;
}

unsigned mem_release_random(struct mem_store *mem)
{
	bool done;

	pthread_mutex_lock(&mem->lock);
	done = mem->stats.held && let_go(mem, draw(mem) % mem->stats.held);
	pthread_mutex_unlock(&mem->lock);
	poke_waiter(mem);
	return done;
}

bool mem_release_at(struct mem_store *mem, unsigned i)
{
	bool done;

	pthread_mutex_lock(&mem->lock);
	done = let_go(mem, i);
	pthread_mutex_unlock(&mem->lock);
	poke_waiter(mem);
	return done;
}

const struct store_io *mem_held(struct mem_store *mem, unsigned i)
{
	struct mem_io *m;

	pthread_mutex_lock(&mem->lock);
	m = held(mem, i);
	pthread_mutex_unlock(&mem->lock);
	return m ? m->io : NULL;
}

void mem_set_delay(struct mem_store *mem, uint64_t delay_ns)
{
	pthread_mutex_lock(&mem->lock);
	mem->config.delay_ns = delay_ns;
	pthread_mutex_unlock(&mem->lock);
}

void mem_get_stats(struct mem_store *mem, struct mem_stats *stats)
{
	pthread_mutex_lock(&mem->lock);
	*stats = mem->stats;
	pthread_mutex_unlock(&mem->lock);
}
