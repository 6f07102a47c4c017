/*
 * pagetable.c - page tables for people: the tree drawn, one walk told aloud.
 *
 * Reads the tables in RAM as the CPU would, entry by entry, and writes text.
 * What an access comes to is asked of the MMU itself (mmu_check); here is only
 * said which bit of which entry decided it, and what the pager would do about
 * it. Changes nothing. Locks: map, then core, for as long as the text takes.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
		fprintf(t->out, " -> table in frame %u\n", entry_frame(e));
		print_table(t, entry_frame(e), level - 1, vpn);
	}
	if (r.n)
		print_run(t, &r, level);
}

/* ---- one walk ---- */

/* What the access needs that @e does not give, or NULL. */
static const char *entry_refuses(const struct table *t, uint64_t e,
				 enum mmu_access access, unsigned level)
{
	bool rights = !(t->p->fmt->pinned && level == t->p->fmt->levels - 1);

	if (!(e & X86_PTE_P))
		return "P = 0: not present";
	if (rights && !(e & X86_PTE_U))
		return "U = 0: not for user mode";
	if (rights && access == MMU_WRITE && !(e & X86_PTE_W))
		return "W = 0: no writes";
	if (access == MMU_FETCH && (e & X86_PTE_NX))
		return "NX = 1: no fetches";
	return NULL;
}

/* => the first entry that refuses, said in words. */
static const char *explain_walk(const struct table *t, uint64_t addr,
				enum mmu_access access, unsigned *where)
{
	uint32_t pfn = t->p->root;
	const char *why = NULL;

	for (unsigned level = t->p->fmt->levels; level-- > 0;) {
		uint64_t vpn = addr >> PAGE_SHIFT;
		unsigned i = (vpn >> (t->p->fmt->bits * level)) &
			     ((1u << t->p->fmt->bits) - 1);
		uint64_t e = table_entry(t, pfn, i);
		bool large = level == 1 && (e & X86_PTE_PS);
		const char *no = entry_refuses(t, e, access, level);

		fprintf(t->out, "%-4s table in frame %u, entry %u at physical "
			"%" PRIx64 ": %0*" PRIx64 " ", level_name(level), pfn,
			i, ((uint64_t)pfn << PAGE_SHIFT) + i * t->p->fmt->size,
			(int)t->p->fmt->size * 2, e);
		print_bits(t->out, e, level == 0 || large);
		fprintf(t->out, "%s%s\n", no ? " <- " : "", no ? no : "");
		if (no && !why) {
			why = no;
			*where = level;
		}
		if (!(e & X86_PTE_P) || large)
			break;
		pfn = entry_frame(e);
	}
	return why;
}

static void explain_error(FILE *out, uint32_t error)
{
	fprintf(out, "error code %x (%s, %s, %s%s%s)", error,
		error & X86_PF_P ? "P=1 rights" : "P=0 absent",
		error & X86_PF_W ? "W=1 write" : "W=0",
		error & X86_PF_U ? "U=1 user" : "U=0 supervisor",
		error & X86_PF_RSVD ? ", RSVD=1" : "",
		error & X86_PF_I ? ", I=1 fetch" : "");
}

/* What the fault handler would find. => both locks held. */
static void explain_pager(const struct table *t, struct area *a, uint64_t vpn)
{
	const struct vm *vm = t->vm;
	struct object *o = a ? a->object : NULL;
	uint64_t page = a ? a->page + (vpn - a->start) : 0;
	unsigned depth = 0;

	if (!a) {
		fprintf(t->out, "pager: no area here: SIGSEGV\n");
		return;
	}
	fprintf(t->out, "pager: area %" PRIx64 "-%" PRIx64 " %c%c%c%c",
		a->start << PAGE_SHIFT, a->end << PAGE_SHIFT,
		a->prot & VM_PROT_READ ? 'r' : '-',
		a->prot & VM_PROT_WRITE ? 'w' : '-',
		a->prot & VM_PROT_EXEC ? 'x' : '-', a->shared ? 's' : 'p');
	for (; o; depth++) {
		uint32_t pfn = frame_lookup(vm, o, page);
		uint32_t slot = slotmap_lookup(vm, o, page);

		if (pfn || slot || o->kind == OBJECT_FILE || !o->backing ||
		    page >= o->npages) {
			fprintf(t->out, "; object %u%s", o->id,
				depth ? ", behind the area's own" : "");
			if (pfn)
				fprintf(t->out, " has it in frame %u", pfn);
			else if (slot)
				fprintf(t->out, " has it in swap slot %u of "
					"area %u", SWAP_SLOT_INDEX(slot),
					SWAP_SLOT_AREA(slot));
			else if (o->kind == OBJECT_FILE)
				fprintf(t->out, ": page %" PRIu64 " of %s",
					page, o->store->name);
			else
				fprintf(t->out, ": never touched, zero");
			break;
		}
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
	struct page_fault pf;
	unsigned where = 0;
	const char *why;

	fprintf(t->out, "user mode, %s %" PRIx64 "; CR3 = %" PRIx64 ", %u "
		"levels\n", word[access], addr, pmap_cr3(t->p),
		t->p->fmt->levels);
	why = explain_walk(t, addr, access, &where);
	if (mmu_check(&vm->ram, regs, addr, access, &pf) == 0) {
		uint64_t e = pmap_entry(vm, t->p, addr >> PAGE_SHIFT);

		fprintf(t->out, "allowed: physical address %" PRIx64 "\n",
			((uint64_t)entry_frame(e) << PAGE_SHIFT) +
				addr % PAGE_SIZE);
	} else {
		fprintf(t->out, "#PF: CR2 = %" PRIx64 ", ", pf.addr);
		explain_error(t->out, pf.error);
		if (why)
			fprintf(t->out, "; decided by the %s entry, %s",
				level_name(where), why);
		fputc('\n', t->out);
	}
	explain_pager(t, map_find(&p->map, addr >> PAGE_SHIFT),
		      addr >> PAGE_SHIFT);
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
