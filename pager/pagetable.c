/*
 * pagetable.c - page tables for people: the tree drawn, one walk told aloud.
 *
 * Reads the tables in RAM as the CPU would, entry by entry, and writes text.
 * What an access comes to is asked of the MMU itself (walk_run, marking
 * nothing); here is only said which bit of which entry decided it, and what
 * the pager would do about it. Changes nothing. Locks: map, then core, for as
 * long as the text takes.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emu/walk.h"
#include "pager/core.h"
#include "pager/frame.h"
#include "pager/map.h"
#include "pager/object.h"
#include "pager/pmap.h"
#include "pager/process.h"
#include "pager/sched.h"
#include "pager/snapshot.h"

struct table {
	const struct vm *vm;
	const struct pmap *p;
	FILE *out;
	uint64_t from, to;		/* pages, end not included */
};

/* A run of leaf entries that say the same of neighbouring frames. */
struct run {
	unsigned first, n;
	uint64_t entry;			/* the first */
	uint64_t vpn;
};

static const char *level_name(unsigned level)
{
	static const char *const name[] = { "PT", "PD", "PDPT", "PML4",
					    "PML5" };

	return name[level];
}

static uint64_t table_entry(const struct table *t, uint32_t pfn, unsigned i)
{
	const uint8_t *at = ram_frame(&t->vm->ram, pfn);

	if (t->p->fmt->size == 8)
		return __atomic_load_n((const uint64_t *)at + i,
				       __ATOMIC_RELAXED);
	return __atomic_load_n((const uint32_t *)at + i, __ATOMIC_RELAXED);
}

static uint32_t entry_frame(uint64_t e)
{
	return (uint32_t)((e & X86_PTE64_ADDR) >> PAGE_SHIFT);
}

static void print_bits(FILE *out, uint64_t e, bool leaf)
{
	fprintf(out, "%c%c%c%c%c%c%s", e & X86_PTE_P ? 'P' : '-',
		e & X86_PTE_W ? 'W' : '-', e & X86_PTE_U ? 'U' : '-',
		e & X86_PTE_A ? 'A' : '-',
		leaf && (e & X86_PTE_D) ? 'D' : '-',
		leaf && (e & X86_PTE_G) ? 'G' : '-',
		e & X86_PTE_NX ? " NX" : "");
}

/* ---- the tree ---- */

static void print_indent(const struct table *t, unsigned level)
{
	fprintf(t->out, "%*s", 2 * (t->p->fmt->levels - 1 - level), "");
}

static void print_run(const struct table *t, const struct run *r,
		      unsigned level)
{
	uint64_t pages = 1ull << (t->p->fmt->bits * level);

	print_indent(t, level);
	fprintf(t->out, "%s[%u", level_name(level), r->first);
	if (r->n > 1)
		fprintf(t->out, "-%u", r->first + r->n - 1);
	fprintf(t->out, "] %012" PRIx64 " = %0*" PRIx64 " ",
		r->vpn << PAGE_SHIFT, (int)t->p->fmt->size * 2, r->entry);
	print_bits(t->out, r->entry, true);
	fprintf(t->out, " -> frame %u", entry_frame(r->entry));
	if (r->n * pages > 1)
		fprintf(t->out, "-%u",
			(unsigned)(entry_frame(r->entry) + r->n * pages - 1));
	fprintf(t->out, "%s\n", level ? " (large)" : "");
}

/* Does @e go on where the run ends? */
static bool run_continues(const struct run *r, unsigned i, uint64_t e,
			  uint64_t pages)
{
	return r->n && r->first + r->n == i &&
	       e == r->entry + ((r->n * pages) << PAGE_SHIFT);
}

static void print_table(const struct table *t, uint32_t pfn, unsigned level,
			uint64_t vpn)
{
	uint64_t pages = 1ull << (t->p->fmt->bits * level);
	struct run r = { .n = 0 };

	for (unsigned i = 0; i < 1u << t->p->fmt->bits; i++, vpn += pages) {
		uint64_t e = table_entry(t, pfn, i);

		if (!(e & X86_PTE_P) || vpn + pages <= t->from || vpn >= t->to)
			continue;
		if (level == 0 || (level == 1 && (e & X86_PTE_PS))) {
			if (run_continues(&r, i, e, pages)) {
				r.n++;
				continue;
			}
			if (r.n)
				print_run(t, &r, level);
			r = (struct run){ i, 1, e, vpn };
			continue;
		}
		if (r.n)
			print_run(t, &r, level);
		r.n = 0;
		print_indent(t, level);
		fprintf(t->out, "%s[%u] %012" PRIx64 " = %0*" PRIx64 " ",
			level_name(level), i, vpn << PAGE_SHIFT,
			(int)t->p->fmt->size * 2, e);
		print_bits(t->out, e, false);
		fprintf(t->out, " -> table in frame %u%s\n", entry_frame(e),
			entry_frame(e) < t->vm->ram.nframes ? "" :
							      ", past RAM");
		if (entry_frame(e) < t->vm->ram.nframes)
			print_table(t, entry_frame(e), level - 1, vpn);
	}
	if (r.n)
		print_run(t, &r, level);
}

/* ---- one walk ---- */

/* An access on its way down, told aloud. */
struct told {
	const struct table *t;
	struct walk w;
	struct mmu_result res;
	struct page_fault pf;
	bool fault;
};

static unsigned told_bits(const struct told *d)
{
	return d->t->p->fmt->bits;
}

/* The top entry of PAE is a register and has no rights (SDM 3A 4.4.1). */
static bool told_is_pdpte(const struct told *d, unsigned level)
{
	return d->t->p->fmt->pinned && level == d->t->p->fmt->levels;
}

/* The right that the access needs and @e, of @level, has not; or NULL. */
static const char *told_lacks(const struct told *d, uint64_t e, unsigned level)
{
	if (!(e & X86_PTE_P))
		return "P = 0: not present";
	if (told_is_pdpte(d, level))
		return NULL;
	if (!(e & X86_PTE_U))
		return "U = 0: not for user mode";
	if (d->w.access == MMU_WRITE && !(e & X86_PTE_W))
		return "W = 0: no writes";
	if (d->w.access == MMU_FETCH && (e & X86_PTE_NX))
		return "NX = 1: no fetches";
	return NULL;
}

/* The entry of @level on the way. => false: it would be past RAM. */
static bool told_entry(const struct told *d, unsigned level, uint64_t *at,
		       uint64_t *e)
{
	const struct table *t = d->t;
	uint64_t vpn = d->w.va >> PAGE_SHIFT, table = pmap_cr3(t->p);
	unsigned i;

	for (unsigned l = t->p->fmt->levels;; l--) {
		i = (vpn >> (told_bits(d) * (l - 1))) &
		    ((1u << told_bits(d)) - 1);
		*at = table + (uint64_t)i * t->p->fmt->size;
		if (table >= t->vm->ram.size)
			return false;
		*e = table_entry(t, (uint32_t)(table >> PAGE_SHIFT), i);
		if (l == level)
			return true;
		table = (uint64_t)entry_frame(*e) << PAGE_SHIFT;
	}
}

static void told_line(const struct told *d, unsigned level)
{
	const struct table *t = d->t;
	uint64_t at = 0, e = 0;
	const char *no;

	if (!told_entry(d, level, &at, &e)) {
		fprintf(t->out, "%-4s table would be at physical %" PRIx64
			", past RAM\n", level_name(level - 1), at);
		return;
	}
	fprintf(t->out, "%-4s table in frame %" PRIu64 ", entry %u at physical "
		"%" PRIx64 ": %0*" PRIx64 " ", level_name(level - 1),
		at >> PAGE_SHIFT, (unsigned)(at % PAGE_SIZE / t->p->fmt->size),
		at, (int)t->p->fmt->size * 2, e);
	print_bits(t->out, e, level == 1 || (level == 2 && e & X86_PTE_PS));
	no = told_lacks(d, e, level);
	fprintf(t->out, "%s%s\n", no ? " <- " : "", no ? no : "");
}

static void told_error(FILE *out, uint32_t error)
{
	fprintf(out, "error code %#x (%s, %s, %s%s%s)", error,
		error & X86_PF_P ? "P=1 rights" : "P=0 absent",
		error & X86_PF_W ? "W=1 write" : "W=0",
		error & X86_PF_U ? "U=1 user" : "U=0 supervisor",
		error & X86_PF_RSVD ? ", RSVD=1" : "",
		error & X86_PF_I ? ", I=1 fetch" : "");
}

static void told_reserved(const struct told *d)
{
	uint64_t bits = walk_reserved(&d->w);

	fprintf(d->t->out, "; decided by the %s entry, reserved bit",
		level_name(d->w.bottom - 1));
	for (unsigned bit = 0; bit < 64; bit++)
		if (bits >> bit & 1)
			fprintf(d->t->out, " %u", bit);
	fputs(" set", d->t->out);
}

/*
 * Absence and reserved bits are found on the way down, and the walk ends
 * there; rights are judged at its end, of all levels together.
 */
static void told_decision(const struct told *d)
{
	unsigned level = d->w.bottom;
	uint64_t at = 0, e = 0;
	const char *why = NULL;

	if (d->pf.error & X86_PF_RSVD) {
		told_reserved(d);
		return;
	}
	if (d->pf.error & X86_PF_P)
		level = d->t->p->fmt->levels;
	for (; level >= d->w.bottom && !why; level--)
		if (told_entry(d, level, &at, &e))
			why = told_lacks(d, e, level);
	if (why)
		fprintf(d->t->out, "; decided by the %s entry, %s",
			level_name(level), why);
	else
		fprintf(d->t->out, "; decided by RAM, which ends at %" PRIx64,
			d->t->vm->ram.size);
}

/* Which A and D the access would set (SDM 3A 4.8). */
static void told_marks(const struct told *d)
{
	bool write = d->w.access == MMU_WRITE;
	const char *sep = "; it sets ";

	for (unsigned level = d->w.top; level >= d->w.bottom; level--) {
		uint64_t e = d->w.entry[level];
		bool leaf = level == d->w.bottom;

		if (e & X86_PTE_A && !(leaf && write && !(e & X86_PTE_D)))
			continue;
		fprintf(d->t->out, "%s%s%s%s in the %s entry", sep,
			e & X86_PTE_A ? "" : "A",
			!(e & X86_PTE_A) && leaf && write ? " and " : "",
			leaf && write ? "D" : "", level_name(level - 1));
		sep = ", ";
	}
}

static void told_outcome(const struct told *d)
{
	FILE *out = d->t->out;

	if (!d->fault) {
		fprintf(out, "allowed: physical address %" PRIx64, d->res.pa);
		told_marks(d);
	} else if (d->pf.kind != MMU_PF) {
		fprintf(out, "#GP: not canonical, bits 63 to %u are not all "
			"the same; the tables are not looked at",
			d->w.plan->mode == MMU_57 ? 56 : 47);
	} else {
		fprintf(out, "#PF: CR2 = %" PRIx64 ", ", d->pf.addr);
		told_error(out, d->pf.error);
		told_decision(d);
	}
	fputc('\n', out);
}

/* Where object @o has @page itself. => false: nowhere, look behind. */
static bool explain_object(const struct table *t, const struct object *o,
			   uint64_t page, bool behind)
{
	uint32_t pfn = frame_lookup(t->vm, o, page);
	uint32_t slot = slotmap_lookup(t->vm, o, page);
	unsigned flags = pfn ? frame_at(t->vm, pfn)->flags : 0;

	if (!pfn && !slot && o->kind == OBJECT_ANON && o->backing &&
	    page < o->npages)
		return false;
	fprintf(t->out, "; object %u%s", o->id,
		behind ? ", behind the area's own" : "");
	if (pfn)
		fprintf(t->out, " has it in frame %u%s%s", pfn,
			flags & FRAME_READING ? ", being read" : "",
			flags & FRAME_WRITING ? ", being written" : "");
	else if (slot)
		fprintf(t->out, " has it in swap slot %u of area %u",
			SWAP_SLOT_INDEX(slot), SWAP_SLOT_AREA(slot));
	else if (o->kind == OBJECT_FILE)
		fprintf(t->out, ": page %" PRIu64 " of %s", page,
			o->store->name);
	else
		fprintf(t->out, ": never touched, zero");
	return true;
}

/* What the fault handler would find. => both locks held. */
static void explain_pager(const struct table *t, const struct area *a,
			  uint64_t vpn, enum mmu_access access)
{
	static const unsigned need[] = { VM_PROT_READ, VM_PROT_WRITE,
					 VM_PROT_EXEC };
	const struct object *o = a ? a->object : NULL;
	uint64_t page = a ? a->page + (vpn - a->start) : 0;
	unsigned right = need[access];

	/* Without NX a fetch is a load, also by its error code. */
	if (access == MMU_FETCH && t->p->fmt->size == 4)
		right = VM_PROT_READ;
	if (!a) {
		fprintf(t->out, "pager: no area here: SIGSEGV\n");
		return;
	}
	fprintf(t->out, "pager: area %" PRIx64 "-%" PRIx64 " %c%c%c%c%s",
		a->start << PAGE_SHIFT, a->end << PAGE_SHIFT,
		a->prot & VM_PROT_READ ? 'r' : '-',
		a->prot & VM_PROT_WRITE ? 'w' : '-',
		a->prot & VM_PROT_EXEC ? 'x' : '-', a->shared ? 's' : 'p',
		area_rights(a) & right ? "" : " does not allow it: SIGSEGV");
	while (o && !explain_object(t, o, page, o != a->object)) {
		page += o->backing_page;
		o = o->backing;
	}
	fprintf(t->out, "%s%s\n", o ? "" : "; never touched, zero",
		a->needs_copy ? "; a write is to be copied" : "");
}

static void explain(struct vm *vm, struct proc *p, const struct table *t,
		    uint64_t addr, enum mmu_access access)
{
	static const char *const word[] = { "load from", "store to",
					    "fetch from" };
	const struct mmu_regs *regs = &sched_service_cpu(vm, p)->regs;
	struct mmu_plan plan;
	struct told d = {
		.t = t, .w = { .ram = &vm->ram, .plan = &plan, .ask = true,
			       .va = mmu_linear(regs, addr), .access = access },
	};

	mmu_plan(&plan, regs);
	/* Where a PDPTE ends the walk, it is not begun. */
	d.w.bottom = t->p->fmt->levels;
	d.fault = walk_run(&d.w, NULL, &d.res, &d.pf);
	fprintf(t->out, "user mode, %s %" PRIx64 "; CR3 = %" PRIx64 ", %u "
		"levels\n", word[access], addr, pmap_cr3(t->p),
		t->p->fmt->levels);
	if (d.w.va != addr)
		fprintf(t->out, "linear addresses have 32 bits here: %" PRIx64
			"\n", d.w.va);
	for (unsigned l = t->p->fmt->levels;
	     l >= d.w.bottom && !(d.fault && d.pf.kind != MMU_PF); l--)
		told_line(&d, l);
	told_outcome(&d);
	explain_pager(t, map_find(&p->map, d.w.va >> PAGE_SHIFT),
		      d.w.va >> PAGE_SHIFT, access);
}

/* ---- calls ---- */

/* What both calls do around their text. */
static int pagetable_text(struct vm *vm, int pid, uint64_t addr, uint64_t len,
			  int access, char **text, size_t *n)
{
	struct proc *p = proc_get(vm, pid);
	struct table t = { .vm = vm };

	if (!p)
		return -ESRCH;
	t.out = open_memstream(text, n);
	if (!t.out) {
		proc_put(vm, p);
		return -ENOMEM;
	}
	t.p = &p->pmap;
	t.from = addr >> PAGE_SHIFT;
	t.to = len > UINT64_MAX - addr - PAGE_SIZE ? p->pmap.fmt->limit :
		(addr + len + PAGE_SIZE - 1) >> PAGE_SHIFT;
	pthread_mutex_lock(&vm->service_lock);
	pthread_mutex_lock(&p->map.lock);
	vm_lock(vm);
	if (access >= 0) {
		explain(vm, p, &t, addr, (enum mmu_access)access);
	} else {
		fprintf(t.out, "CR3 %" PRIx64 "\n", pmap_cr3(t.p));
		print_table(&t, t.p->root, t.p->fmt->levels - 1, 0);
	}
	vm_unlock(vm);
	pthread_mutex_unlock(&p->map.lock);
	pthread_mutex_unlock(&vm->service_lock);
	proc_put(vm, p);
	return fclose(t.out) ? -ENOMEM : 0;
}

int snap_pagetable(struct vm *vm, int pid, uint64_t addr, uint64_t len,
		   char **text, size_t *n)
{
	return pagetable_text(vm, pid, addr, len, -1, text, n);
}

int snap_explain(struct vm *vm, int pid, uint64_t addr, int access,
		 char **text, size_t *n)
{
	return pagetable_text(vm, pid, addr, 1, access, text, n);
}
