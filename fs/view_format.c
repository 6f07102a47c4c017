/*
 * view_format.c - snapshot structs in, text out.
 *
 * Where Linux has the file, the line is Linux's: fs/proc/task_mmu.c for maps
 * and smaps, mm/swapfile.c for swaps. Where it has not, a file is a heading
 * and a line per thing, columns aligned, "-" for what does not apply and one
 * word per column, so that awk and sort can go on from there.
 *
 * No state and no locks.
 */
#include "fs/view_format.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#define PAGE_KIB 4
#define MAPS_PATH_COLUMN 72	/* Linux pads to here, then adds a space */

/* ---- one process ---- */

/* The protection bits have mmap(2)'s values. */
static void format_prot(struct view_text *t, const struct snap_area *a)
{
	char flags[4] = {
		a->prot & PROT_READ ? 'r' : '-',
		a->prot & PROT_WRITE ? 'w' : '-',
		a->prot & PROT_EXEC ? 'x' : '-',
		a->shared ? 's' : 'p',
	};

	view_text_bytes(t, flags, sizeof(flags));
}

static void format_area(struct view_text *t, const struct snap_area *a)
{
	size_t start = t->len;

	view_text_hex(t, a->start, 8, '0');
	view_text_char(t, '-');
	view_text_hex(t, a->end, 8, '0');
	view_text_char(t, ' ');
	format_prot(t, a);
	view_text_char(t, ' ');
	view_text_hex(t, a->offset, 8, '0');
	view_text_char(t, ' ');
	view_text_hex(t, major(a->dev), 2, '0');
	view_text_char(t, ':');
	view_text_hex(t, minor(a->dev), 2, '0');
	view_text_char(t, ' ');
	view_text_dec(t, a->ino, 0);
	view_text_char(t, ' ');
	if (a->path[0] || a->label[0]) {
		while (t->len - start < MAPS_PATH_COLUMN && !t->failed)
			view_text_char(t, ' ');
		view_text_char(t, ' ');
		view_text_path(t, a->path[0] ? a->path : a->label, "\n");
	}
	view_text_char(t, '\n');
}

void view_format_maps(struct view_text *t, const struct snap_area *areas,
		      size_t n)
{
	for (size_t i = 0; i < n; i++)
		format_area(t, &areas[i]);
}

static void format_kib(struct view_text *t, const char *name, uint64_t kib)
{
	view_text_left(t, name, 16);
	view_text_dec(t, kib, 8);
	view_text_str(t, " kB\n");
}

static void format_vm_flags(struct view_text *t, const struct snap_area *a)
{
	view_text_str(t, "VmFlags: ");
	view_text_str(t, a->prot & PROT_READ ? "rd " : "");
	view_text_str(t, a->prot & PROT_WRITE ? "wr " : "");
	view_text_str(t, a->prot & PROT_EXEC ? "ex " : "");
	view_text_str(t, a->shared ? "sh " : "");
	view_text_str(t, "mr mw me ");
	view_text_str(t, a->grows_down ? "gd " : "");
	view_text_str(t, a->hugepage ? "hg " : "");
	view_text_char(t, '\n');
}

/* Shared and private go by the kind of the area: who else maps a page is in
 * frames. Of Linux's other lines, those absent are not known here, and readers
 * take them for 0. */
void view_format_smap(struct view_text *t, const struct snap_area *a,
		      const struct view_usage *usage)
{
	uint64_t dirty = usage->dirty * PAGE_KIB;
	uint64_t rss = a->resident * PAGE_KIB;
	uint64_t clean = rss > dirty ? rss - dirty : 0;

	format_area(t, a);
	format_kib(t, "Size:", (a->end - a->start) / 1024);
	format_kib(t, "KernelPageSize:", PAGE_KIB);
	format_kib(t, "MMUPageSize:", PAGE_KIB);
	format_kib(t, "Rss:", rss);
	format_kib(t, "Shared_Clean:", a->shared ? clean : 0);
	format_kib(t, "Shared_Dirty:", a->shared ? dirty : 0);
	format_kib(t, "Private_Clean:", a->shared ? 0 : clean);
	format_kib(t, "Private_Dirty:", a->shared ? 0 : dirty);
	format_kib(t, "AnonHugePages:", a->large * PAGE_KIB);
	format_kib(t, "Swap:", usage->swapped * PAGE_KIB);
	format_vm_flags(t, a);
}

static void format_status_kib(struct view_text *t, const char *name,
			      uint64_t bytes)
{
	view_text_str(t, name);
	view_text_dec(t, bytes / 1024, 8);
	view_text_str(t, " kB\n");
}

void view_format_status(struct view_text *t, const struct snap_proc *p)
{
	const char *state = p->nthreads && p->nwaiting == p->nthreads ?
		"D (disk sleep)" : p->nthreads ? "R (running)" : "S (sleeping)";

	view_text_str(t, "Name:\t");
	view_text_path(t, p->name, "\n\\");
	view_text_printf(t, "\nState:\t%s\nTgid:\t%d\nPid:\t%d\nPPid:\t%d\n",
			 state, p->pid, p->pid, p->ppid);
	format_status_kib(t, "VmSize:\t", p->size);
	format_status_kib(t, "VmRSS:\t", p->rss);
	view_text_printf(t, "Threads:\t%u\nWaiting:\t%u\nAreas:\t%u\n",
			 p->nthreads, p->nwaiting, p->nareas);
	view_text_printf(t, "MinFlt:\t%llu\nMajFlt:\t%llu\nCowFlt:\t%llu\n",
			 (unsigned long long)p->minflt,
			 (unsigned long long)p->majflt,
			 (unsigned long long)p->cow);
}

/* ---- the machine, as Linux shows it ---- */

/* Linux's tabs come too late for more than seven digits; so do these. */
static void format_swap(struct view_text *t, const struct snap_swap *s)
{
	uint64_t size = s->nslots * PAGE_KIB, used = s->nused * PAGE_KIB;
	size_t start = t->len;

	view_text_path(t, s->name, " \t\n\\");
	do {
		view_text_char(t, ' ');
	} while (t->len - start < 40 && !t->failed);
	view_text_printf(t, "file\t\t%llu\t%s%llu\t%s%d\n",
			 (unsigned long long)size, size < 10000000 ? "\t" : "",
			 (unsigned long long)used, used < 10000000 ? "\t" : "",
			 s->priority);
}

void view_format_swaps(struct view_text *t, const struct snap_swap *swaps,
		       size_t n)
{
	view_text_str(t, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
	for (size_t i = 0; i < n; i++)
		format_swap(t, &swaps[i]);
}

struct tally {
	uint64_t free, kernel, tables, file, anon, dirty, writeback, mapped;
};

static void tally_frame(struct tally *sum, const struct snap_frame *f)
{
	switch (f->state) {
	case SNAP_FREE:
		sum->free++;
		return;
	case SNAP_KERNEL:
		sum->kernel++;
		return;
	case SNAP_TABLE:
		sum->tables++;
		return;
	case SNAP_BUSY_WRITE:
		sum->writeback++;
		break;
	default:
		break;
	}
	sum->file += !f->anon;
	sum->anon += f->anon;
	sum->dirty += f->dirty && !f->anon;
	sum->mapped += f->mappings && !f->anon;
}

void view_format_meminfo(struct view_text *t, const struct snap_frame *frames,
			 size_t nframes, const struct snap_swap *swaps,
			 size_t nswaps)
{
	struct tally sum = {0};
	uint64_t slots = 0, used = 0;

	for (size_t i = 0; i < nframes; i++)
		tally_frame(&sum, &frames[i]);
	for (size_t i = 0; i < nswaps; i++) {
		slots += swaps[i].nslots;
		used += swaps[i].nused;
	}
	format_kib(t, "MemTotal:", nframes * PAGE_KIB);
	format_kib(t, "MemFree:", sum.free * PAGE_KIB);
	format_kib(t, "MemAvailable:",
		   (sum.free + sum.file - sum.dirty) * PAGE_KIB);
	format_kib(t, "Buffers:", 0);
	format_kib(t, "Cached:", sum.file * PAGE_KIB);
	format_kib(t, "SwapCached:", 0);
	format_kib(t, "SwapTotal:", slots * PAGE_KIB);
	format_kib(t, "SwapFree:", (slots - used) * PAGE_KIB);
	format_kib(t, "Dirty:", sum.dirty * PAGE_KIB);
	format_kib(t, "Writeback:", sum.writeback * PAGE_KIB);
	format_kib(t, "AnonPages:", sum.anon * PAGE_KIB);
	format_kib(t, "Mapped:", sum.mapped * PAGE_KIB);
	format_kib(t, "Slab:", sum.kernel * PAGE_KIB);
	format_kib(t, "PageTables:", sum.tables * PAGE_KIB);
}

void view_format_counter(struct view_text *t, const char *name,
			 uint64_t value)
{
	view_text_str(t, name);
	view_text_char(t, ' ');
	view_text_dec(t, value, 0);
	view_text_char(t, '\n');
}

/* ---- the machine, where Linux shows nothing ---- */

/* A column: its number, or "-" where there is none. */
static void format_dec(struct view_text *t, bool have, uint64_t v,
		       unsigned width)
{
	view_text_char(t, ' ');
	if (have)
		view_text_dec(t, v, width);
	else
		view_text_right(t, "-", width);
}

static void format_hex(struct view_text *t, bool have, uint64_t v,
		       unsigned width)
{
	view_text_char(t, ' ');
	if (have)
		view_text_hex(t, v, width, ' ');
	else
		view_text_right(t, "-", width);
}

/* The rest of the line, so that no space in it starts a new column. */
static void format_path(struct view_text *t, const char *path)
{
	view_text_char(t, ' ');
	if (path[0])
		view_text_path(t, path, " \t\n\\");
	else
		view_text_char(t, '-');
	view_text_char(t, '\n');
}

void view_format_procs(struct view_text *t, const struct snap_proc *procs,
		       size_t n)
{
	view_text_str(t, "  pid  ppid threads waiting areas   size-kB    "
			 "rss-kB   minflt   majflt      cow name\n");
	for (size_t i = 0; i < n; i++) {
		const struct snap_proc *p = &procs[i];

		view_text_dec(t, p->pid, 5);
		format_dec(t, p->ppid, p->ppid, 5);
		format_dec(t, true, p->nthreads, 7);
		format_dec(t, true, p->nwaiting, 7);
		format_dec(t, true, p->nareas, 5);
		format_dec(t, true, p->size / 1024, 9);
		format_dec(t, true, p->rss / 1024, 9);
		format_dec(t, true, p->minflt, 8);
		format_dec(t, true, p->majflt, 8);
		format_dec(t, true, p->cow, 8);
		format_path(t, p->name);
	}
}

static const char *frame_state(enum snap_frame_state state)
{
	static const char *const names[] = {
		[SNAP_FREE] = "free",
		[SNAP_KERNEL] = "kernel",
		[SNAP_TABLE] = "table",
		[SNAP_ACTIVE] = "active",
		[SNAP_BUSY_READ] = "reading",
		[SNAP_BUSY_WRITE] = "writing",
	};

	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}

static void format_frame(struct view_text *t, const struct snap_frame *f)
{
	bool owned = f->object != 0, busy = f->state >= SNAP_BUSY_READ;
	char flags[4] = {
		f->dirty ? 'D' : '-',
		f->referenced ? 'R' : '-',
		owned ? f->anon ? 'A' : 'F' : '-',
		'\0',
	};

	view_text_dec(t, f->pfn, 8);
	view_text_char(t, ' ');
	view_text_left(t, frame_state(f->state), 7);
	view_text_char(t, ' ');
	view_text_left(t, flags, 5);
	format_dec(t, owned, f->object, 6);
	format_dec(t, owned, f->page, 9);
	format_dec(t, f->pid, f->pid, 5);
	format_hex(t, f->pid, f->va, 12);
	format_dec(t, true, f->mappings, 4);
	format_dec(t, true, f->waiters, 4);
	format_dec(t, busy, f->busy_ns / 1000, 7);
	view_text_char(t, '\n');
}

void view_format_frames(struct view_text *t, const struct snap_frame *frames,
			size_t n)
{
	view_text_reserve(t, (n + 1) * 80);
	view_text_str(t, "     pfn state   flags object      page   pid"
			 "           va maps wait busy-us\n");
	for (size_t i = 0; i < n; i++)
		format_frame(t, &frames[i]);
}

static const char *slot_state(enum snap_slot_state state)
{
	static const char *const names[] = {
		[SNAP_SLOT_OWNED] = "owned",
		[SNAP_SLOT_CACHED] = "cached",
		[SNAP_SLOT_WRITING] = "writing",
		[SNAP_SLOT_READING] = "reading",
		[SNAP_SLOT_BAD] = "bad",
	};

	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}

static void format_slot(struct view_text *t, const struct snap_slot *s)
{
	view_text_dec(t, s->index, 8);
	view_text_char(t, ' ');
	view_text_left(t, slot_state(s->state), 7);
	format_dec(t, true, s->refs, 4);
	format_dec(t, s->object, s->object, 6);
	format_dec(t, s->object, s->page, 9);
	format_dec(t, s->pid, s->pid, 5);
	format_hex(t, s->pid, s->va, 12);
	view_text_char(t, '\n');
}

void view_format_slots(struct view_text *t, const struct snap_slot *slots,
		       size_t n)
{
	view_text_reserve(t, (n + 1) * 64);
	view_text_str(t, "    slot state   refs object      page   pid"
			 "      address\n");
	for (size_t i = 0; i < n; i++)
		format_slot(t, &slots[i]);
}

static const char *object_kind(char kind)
{
	switch (kind) {
	case 'f':
		return "file";
	case 'a':
		return "anon";
	case 's':
		return "shadow";
	default:
		return "?";
	}
}

void view_format_objects(struct view_text *t,
			 const struct snap_object *objects, size_t n)
{
	view_text_str(t, "  object kind   refs shadows backing     pages "
			 " resident     slots path\n");
	for (size_t i = 0; i < n; i++) {
		const struct snap_object *o = &objects[i];

		view_text_dec(t, o->id, 8);
		view_text_char(t, ' ');
		view_text_left(t, object_kind(o->kind), 6);
		format_dec(t, true, o->refs, 4);
		format_dec(t, true, o->nshadows, 7);
		format_dec(t, o->backing, o->backing, 7);
		format_dec(t, true, o->pages, 9);
		format_dec(t, true, o->resident, 9);
		format_dec(t, true, o->slots, 9);
		format_path(t, o->path);
	}
}
