/*
 * engine_kvm.c - the judge by KVM: each access made by a guest's instruction.
 *
 * The guest has no loop of its own. For each access its registers are set so
 * that it stands before the right probe (guest.h), at the right privilege
 * level and with the right control registers; it then runs until the probe,
 * the stub that a fetch reached or an exception handler says OUT, and the
 * port tells which. The first access of a case, the load of CR3, starts from
 * a root that holds nothing but the guest itself; the others from the case's
 * own.
 *
 * One machine for each MAXPHYADDR, made when it is first wanted; all of them
 * see the same memory. KVM does not see edits from outside in tables that it
 * has shadowed, so an arena is used once, and when all are used up the memory
 * slots are made anew. A guest that does not stop, because the host faults for
 * ever, say, is found by an interval timer, which runs while the guest does and
 * at no other time: it would interrupt the making of machines, and output.
 *
 * What this KVM can do is found out by asking, not by name: a mode in which
 * the guest cannot even load CR3 is not supported, a CR4 bit that forbids
 * nothing is not either, and parts of the address space that the host keeps
 * from CPL 3 are left alone. A machine that cannot be made is no answer: then
 * there is no such judge.
 */
#include "mmucheck/engine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "mmucheck/guest.h"
#include "mmucheck/kvm.h"
#include "mmucheck/layout.h"

#define MAX_VMS		8
#define TICK_MS		250
#define TICKS		4
#define LOST_ERRNO	0x1000		/* in mc_result.detail */
#define LOST_PORT	0x2000

struct engine_kvm {
	struct mc_engine e;
	struct kvm_host host;
	struct kvm_vm vm[MAX_VMS];
	unsigned nvms;
	bool used[MC_ARENAS + 1];
	int err;		/* 0, or why a machine could not be made, */
	char why[128];		/* and in words */
	struct sigaction old;
	sigset_t old_mask;
};

/* ---- registers in ---- */

static void set_segment(struct kvm_segment *s, unsigned selector,
			unsigned type, unsigned dpl)
{
	*s = (struct kvm_segment){
		.limit = 0xffffffff, .selector = selector, .type = type,
		.present = 1, .dpl = dpl, .s = 1, .g = 1, .db = 1,
	};
}

static void set_code(struct kvm_segment *s, bool wide, bool user)
{
	unsigned sel = wide ? user ? GUEST_USER64 : GUEST_CODE64 :
			      user ? GUEST_USER32 : GUEST_CODE32;

	set_segment(s, sel, 0xb, user ? 3 : 0);
	s->l = wide;
	s->db = !wide;
}

static void set_system(struct kvm_segment *s, unsigned selector, uint64_t base,
		       unsigned type, unsigned limit)
{
	*s = (struct kvm_segment){
		.base = base, .limit = limit, .selector = selector,
		.type = type, .present = 1,
	};
}

static void set_sregs(struct kvm_sregs *s, enum mc_mode mode,
		      const struct mc_access *a)
{
	const struct mc_regs *r = &a->regs;
	bool wide = r->efer & MC_EFER_LMA, user = a->cpl == 3;
	unsigned data = user ? GUEST_USER_DATA : GUEST_DATA;

	set_code(&s->cs, wide, user);
	set_segment(&s->ds, data, 3, user ? 3 : 0);
	s->es = s->ss = s->fs = s->gs = s->ds;
	set_system(&s->tr, GUEST_TSS, guest_tss(mode), 11, 0x67);
	set_system(&s->ldt, GUEST_LDT, a->implicit ? a->va : 0, 2, 0xffff);
	s->gdt.base = guest_gdt(mode);
	s->gdt.limit = 0x7f;
	s->idt.base = guest_idt(mode);
	s->idt.limit = wide ? 511 : 255;
	s->cr0 = r->cr0;
	s->cr2 = 0;
	s->cr3 = a->kind == MC_LOADCR3 ? guest_first_root(mode) : r->cr3;
	s->cr4 = r->cr4;
	s->efer = r->efer;
}

static void set_regs(struct kvm_regs *r, enum mc_mode mode,
		     const struct mc_access *a)
{
	memset(r, 0, sizeof(*r));
	r->rip = guest_probe(mode, a);
	r->rflags = 2 | 3 << 12 | (a->regs.ac ? 1 << 18 : 0);
	r->rsp = guest_stack_top(mode) - 512;
	r->rdi = a->kind == MC_LOADCR3 ? a->regs.cr3 : a->va;
	r->rbp = a->va;
	/* a selector into the LDT, its first descriptor, with the CPL as RPL */
	r->rax = a->implicit ? 4 | a->cpl : a->value;
}

/* ---- results out ---- */

static uint64_t size_mask(unsigned size)
{
	return size < 8 ? (1ull << size * 8) - 1 : ~0ull;
}

static void probe_done(const struct kvm_run *run, const struct mc_access *a,
		       struct mc_result *res)
{
	res->outcome = MC_OK;
	if (a->implicit)
		res->value = layout_descriptor(run->s.regs.sregs.fs.base);
	else if (a->kind == MC_READ)
		res->value = run->s.regs.regs.rax & size_mask(a->size);
}

static void exception(const struct mc_mem *mem, const struct kvm_run *run,
		      unsigned vector, struct mc_result *res)
{
	uint64_t rsp = run->s.regs.regs.rsp & 4095;
	uint32_t error;

	memcpy(&error, mem->base + guest_stack_pa() + rsp, sizeof(error));
	res->detail = LOST_PORT | vector;
	if (vector == 12 || vector == 13) {
		res->outcome = vector == 12 ? MC_SS : MC_GP;
	} else if (vector == 14) {
		res->outcome = MC_PF;
		res->error = error;
		res->cr2 = run->s.regs.sregs.cr2;
	}
}

static void read_result(struct engine_kvm *k, const struct kvm_run *run,
			const struct mc_access *a, struct mc_result *res)
{
	unsigned port = run->io.port;

	res->outcome = MC_LOST;
	res->detail = run->exit_reason;
	if (run->exit_reason != KVM_EXIT_IO)
		return;
	res->detail = LOST_PORT | port;
	if (port == GUEST_PORT_DONE && a->kind != MC_FETCH)
		probe_done(run, a, res);
	else if (port == MC_PORT_FETCH && a->kind == MC_FETCH) {
		res->outcome = MC_OK;
		res->value = (uint32_t)run->s.regs.regs.rax;
	} else if (port - GUEST_PORT_VECTOR < 32)
		exception(&k->e.mem, run, port - GUEST_PORT_VECTOR, res);
}

/* ---- running ---- */

static void set_tick(unsigned ms)
{
	struct itimerval it = {
		.it_interval = { .tv_usec = ms * 1000 },
		.it_value = { .tv_usec = ms * 1000 },
	};

	setitimer(ITIMER_REAL, &it, NULL);
}

/* => NULL: it cannot be made */
static struct kvm_vm *vm_for(struct engine_kvm *k, unsigned maxphyaddr)
{
	struct kvm_vm *vm = &k->vm[k->nvms];
	char why[sizeof(k->why)];
	int err;

	for (unsigned i = 0; i < k->nvms; i++)
		if (k->vm[i].maxphyaddr == maxphyaddr)
			return &k->vm[i];
	if (k->nvms == MAX_VMS)
		return NULL;
	err = kvm_vm_create(vm, &k->host, &k->e.mem, maxphyaddr, why,
			    sizeof(why));
	if (err < 0) {
		k->err = err;
		memcpy(k->why, why, sizeof(why));
		return NULL;
	}
	k->nvms++;
	return vm;
}

static void run_access(struct engine_kvm *k, enum mc_mode mode,
		       const struct mc_access *a, struct mc_result *res)
{
	struct kvm_vm *vm = vm_for(k, a->regs.maxphyaddr);
	int err;

	memset(res, 0, sizeof(*res));
	res->outcome = MC_LOST;
	res->detail = LOST_ERRNO | -k->err;
	if (!vm)
		return;
	set_sregs(&vm->run->s.regs.sregs, mode, a);
	set_regs(&vm->run->s.regs.regs, mode, a);
	vm->run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	err = kvm_vm_set_pkru(vm, &k->host, a->regs.pkru);
	set_tick(TICK_MS);
	if (!err)
		err = kvm_vm_run(vm, TICKS);
	set_tick(0);
	if (err)
		res->detail = LOST_ERRNO | -err;
	else
		read_result(k, vm->run, a, res);
}

/* A machine that ended in a way nobody knows is not to be trusted again. */
static void drop_machines(struct engine_kvm *k)
{
	for (unsigned i = 0; i < k->nvms; i++)
		kvm_vm_destroy(&k->vm[i]);
	k->nvms = 0;
	memset(k->used, 0, sizeof(k->used));
}

static void use_arena(struct engine_kvm *k, unsigned arena)
{
	if (k->used[arena]) {
		memset(k->used, 0, sizeof(k->used));
		for (unsigned i = 0; i < k->nvms; i++)
			if (kvm_vm_forget(&k->vm[i]) < 0) {
				drop_machines(k);
				break;
			}
	}
	k->used[arena] = true;
}

static void run(struct mc_engine *e, const struct mc_case *c,
		struct mc_result *res)
{
	struct engine_kvm *k = (struct engine_kvm *)e;

	use_arena(k, c->arena);
	for (unsigned i = 0; i < c->naccesses; i++) {
		run_access(k, c->mode, &c->access[i], &res[i]);
		if (res[i].outcome == MC_LOST) {
			drop_machines(k);
			k->used[c->arena] = true;
		}
		if (i == 0 && res[i].outcome != MC_OK)
			break;
	}
}

/* ---- up and down ---- */

static void on_tick(int sig)
{
	(void)sig;
}

/* Whoever started us may have blocked it. */
static void catch_tick(struct engine_kvm *k)
{
	struct sigaction sa = { .sa_handler = on_tick };
	sigset_t tick;

	sigemptyset(&tick);
	sigaddset(&tick, SIGALRM);
	sigaction(SIGALRM, &sa, &k->old);
	sigprocmask(SIG_UNBLOCK, &tick, &k->old_mask);
}

static void engine_close(struct mc_engine *e)
{
	struct engine_kvm *k = (struct engine_kvm *)e;

	sigprocmask(SIG_SETMASK, &k->old_mask, NULL);
	sigaction(SIGALRM, &k->old, NULL);
	drop_machines(k);
	kvm_host_close(&k->host);
	layout_mem_destroy(&e->mem);
	free(k);
}

/* ---- what it can do ---- */

/* An access by the guest's own tables. */
static enum mc_outcome engine_try(struct engine_kvm *k, enum mc_mode mode,
				  struct mc_access *a)
{
	static const uint64_t cr4[MC_MODES] = {
		[MC_32] = MC_CR4_PSE, [MC_PAE] = MC_CR4_PAE,
		[MC_64] = MC_CR4_PAE, [MC_LA57] = MC_CR4_PAE | MC_CR4_LA57,
	};
	struct mc_result res;

	a->regs.cr0 = MC_CR0_PE | MC_CR0_PG | MC_CR0_WP | MC_CR0_ET |
		      MC_CR0_NE;
	a->regs.cr4 |= cr4[mode];
	a->regs.efer = mode >= MC_64 ? MC_EFER_LME | MC_EFER_LMA : 0;
	if (!a->regs.maxphyaddr)
		a->regs.maxphyaddr = k->host.maxphyaddr;
	run_access(k, mode, a, &res);
	if (res.outcome == MC_LOST)
		drop_machines(k);
	return res.outcome;
}

static bool has_mode(struct engine_kvm *k, enum mc_mode mode)
{
	struct mc_access a = {
		.kind = MC_LOADCR3, .regs.cr3 = guest_first_root(mode),
	};

	return engine_try(k, mode, &a) == MC_OK;
}

/* Does CR4 @bit forbid the supervisor to read, or run, a user's page? */
static bool has_bit(struct engine_kvm *k, uint64_t bit, enum mc_kind kind)
{
	struct mc_access a = {
		.kind = kind, .size = 1,
		.va = guest_user_page(MC_64, guest_root_slot(MC_64)),
		.regs = { .cr3 = guest_first_root(MC_64), .cr4 = bit },
	};

	return engine_try(k, MC_64, &a) == MC_PF;
}

/* Does PKRU forbid what it should, and nothing else? */
static bool has_keys(struct engine_kvm *k)
{
	struct mc_access a = {
		.kind = MC_READ, .size = 1,
		.va = guest_user_page(MC_64, guest_root_slot(MC_64)),
		.regs = { .cr3 = guest_first_root(MC_64), .cr4 = MC_CR4_PKE },
	};

	if (!k->host.pku || engine_try(k, MC_64, &a) != MC_OK)
		return false;
	a.regs.pkru = 1;	/* no access by key 0 */
	return engine_try(k, MC_64, &a) == MC_PF;
}

static void find_taken(struct engine_kvm *k, enum mc_mode mode)
{
	struct mc_access a = { .kind = MC_READ, .size = 1, .cpl = 3 };

	a.regs.cr3 = guest_everywhere_root(mode);
	for (unsigned i = 0; i < 512; i++) {
		a.va = guest_user_page(mode, i);
		if (engine_try(k, mode, &a) != MC_OK)
			k->e.caps.taken[i] = true;
	}
}

/* Reading @va, in four-level mode, with @bits of physical address. */
static enum mc_outcome engine_try_read(struct engine_kvm *k, uint64_t va,
				       unsigned bits)
{
	struct mc_access a = {
		.kind = MC_READ, .size = 1, .va = va,
		.regs = { .cr3 = guest_first_root(MC_64), .maxphyaddr = bits },
	};

	return engine_try(k, MC_64, &a);
}

/* Can a guest have fewer address bits than the host? EINVAL says no too. */
static void add_maxphyaddr(struct engine_kvm *k, unsigned bits)
{
	struct mc_caps *caps = &k->e.caps;
	unsigned most = k->host.maxphyaddr;

	if (bits == most ||
	    (bits < most &&
	     engine_try_read(k, guest_wide_page(bits), bits) == MC_PF))
		caps->maxphyaddr[caps->nmaxphyaddr++] = bits;
	if (k->err == -EINVAL)
		k->err = 0;
}

/* What depends on who walks the guest's tables: KVM or the hardware. */
static void find_walker(struct engine_kvm *k)
{
	struct mc_caps *caps = &k->e.caps;
	uint64_t entry;

	add_maxphyaddr(k, 36);
	caps->plain_32 = caps->nmaxphyaddr > 0;
	add_maxphyaddr(k, 40);
	add_maxphyaddr(k, k->host.maxphyaddr);
	caps->no_upper_g = engine_try_read(k, guest_global_page(), 0) == MC_PF;
	engine_try_read(k, guest_absent_page(), 0);
	memcpy(&entry, k->e.mem.base + guest_absent_entry(), 8);
	caps->eager_a = entry & MC_A;
}

/* PKS no KVM has. */
static void set_caps(struct engine_kvm *k)
{
	struct mc_caps *caps = &k->e.caps;

	for (unsigned m = 0; m < MC_MODES; m++)
		caps->mode[m] = (m != MC_LA57 || k->host.la57) &&
				has_mode(k, m);
	if (has_bit(k, MC_CR4_SMEP, MC_FETCH))
		caps->cr4 |= MC_CR4_SMEP;
	if (has_bit(k, MC_CR4_SMAP, MC_READ))
		caps->cr4 |= MC_CR4_SMAP;
	if (has_keys(k))
		caps->cr4 |= MC_CR4_PKE;
	for (unsigned m = MC_64; m < MC_MODES; m++)
		if (caps->mode[m])
			find_taken(k, m);
	find_walker(k);
	caps->lacks = k->host.page1g ? 0 : MC_NO_1G;
	caps->fixed_nxe = true;
	caps->arenas = MC_ARENAS;
}

/* Is it a judge of anything? Else *@why. */
static bool find_caps(struct engine_kvm *k, char *why, size_t size)
{
	bool any = false;

	if (vm_for(k, k->host.maxphyaddr))
		set_caps(k);
	for (unsigned m = 0; m < MC_MODES; m++)
		any |= k->e.caps.mode[m];
	snprintf(why, size, "%s", k->err ? k->why :
		 "its guests run in no paging mode");
	return any && !k->err;
}

static struct engine_kvm *engine_make(char *why, size_t size)
{
	struct engine_kvm *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	if (kvm_host_open(&k->host, why, size) < 0) {
		free(k);
		return NULL;
	}
	if (layout_mem_create(&k->e.mem) < 0) {
		snprintf(why, size, "no address space for the guest's memory");
		kvm_host_close(&k->host);
		free(k);
		return NULL;
	}
	return k;
}

struct mc_engine *engine_kvm_open(char *why, size_t size)
{
	struct engine_kvm *k = engine_make(why, size);

	if (!k)
		return NULL;
	guest_build(&k->e.mem);
	k->e.name = "kvm";
	k->e.run = run;
	k->e.close = engine_close;
	catch_tick(k);
	if (find_caps(k, why, size))
		return &k->e;
	engine_close(&k->e);
	return NULL;
}
