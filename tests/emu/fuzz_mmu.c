/*
 * fuzz_mmu.c - any RAM and any registers through the MMU: it neither crashes,
 * nor reads or writes outside RAM, nor walks for ever.
 *
 *	clang -g -D_GNU_SOURCE -I. \
 *		-fsanitize=fuzzer,address,undefined \
 *		tests/emu/fuzz_mmu.c emu/[a-z]*.c
 *
 * RAM is sixteen frames between pages that cannot be touched. The input is
 * a program of six-byte steps: instructions and accesses on two CPUs, one at
 * full speed and one with a model; between them frames are filled, entries
 * made that point here and there. test_mmu_fuzz.c includes this file and
 * runs the same over random bytes, for a second, in every `make test`.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "emu/cpu.h"
#include "emu/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_FRAMES	16u
#define FUZZ_RAM	(FUZZ_FRAMES * RAM_FRAME_SIZE)
#define FUZZ_GUARD	(1u << 21)	/* on either side */

struct fuzz {
	struct ram ram;
	struct cpu *cpu[2];
	struct model *model;
};

static void fuzz_assert(int ok)
{
	if (!ok)
		abort();
}

static struct fuzz *fuzz_machine(void)
{
	static struct fuzz f;
	uint8_t *base;
	unsigned i;

	if (f.ram.base)
		return &f;
	base = mmap(NULL, FUZZ_RAM + 2 * FUZZ_GUARD, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	fuzz_assert(base != MAP_FAILED);
	base += FUZZ_GUARD;
	fuzz_assert(!mprotect(base, FUZZ_RAM, PROT_READ | PROT_WRITE));
	f.ram.base = base;
	f.ram.size = FUZZ_RAM;
	f.ram.nframes = FUZZ_FRAMES;
	for (i = 0; i < 2; i++)
		f.cpu[i] = malloc(sizeof(*f.cpu[i]));
	f.model = model_create(model_preset("skylake"), 1);
	fuzz_assert(f.cpu[0] && f.cpu[1] && f.model);
	return &f;
}

/* A 64-bit value from two bytes: sparse, so that walks get somewhere. */
static uint64_t fuzz_value(uint8_t a, uint8_t b)
{
	static const uint64_t interesting[] = {
		0, 1ull << 63, 1ull << 51, 1ull << 46, 0x00007ffffffff000,
		0xffff800000000000, 0x00ffffffffffffff, 0xff00000000000000,
		0xfffff000, 1ull << 32, ~0ull, 1ull << 12, 1ull << 21,
		1ull << 30, 1ull << 39, 1ull << 48,
	};

	return interesting[a & 15] ^ ((uint64_t)b << (a >> 4) * 4);
}

/* Entries like what a pager writes, with one bit or two gone wrong. */
static void fuzz_fill(struct fuzz *f, const uint8_t *s)
{
	uint64_t *e = (uint64_t *)(f->ram.base +
				   (s[1] % FUZZ_FRAMES) * RAM_FRAME_SIZE);
	uint64_t entry = (uint64_t)(s[2] % (FUZZ_FRAMES + 1)) << 12 |
			 (s[3] & 0xff) | X86_PTE_P;
	unsigned i;

	if (s[4] & 1)
		entry ^= 1ull << (s[5] & 63);
	if (s[4] & 2)
		entry |= entry << 32;		/* 32-bit tables */
	if (s[4] & 4) {
		e[s[5] % 512] = entry;
		return;
	}
	for (i = 0; i < 512; i++)
		e[i] = entry ^ (s[4] & 8 ? (uint64_t)(i & 15) << 12 : 0);
}

/* A register whose low byte says which of its known bits are set. */
static void fuzz_register(struct cpu *cpu, const uint8_t *s)
{
	uint64_t v = fuzz_value(s[4], s[5]) & (s[3] & 1 ? ~0ull : 0);
	unsigned low = s[2];

	switch (s[1] % 12) {
	case 0:
		cpu_mov_cr0(cpu, (low & 1 ? X86_CR0_PG : 0) |
			    (low & 6 ? X86_CR0_PE : 0) |
			    (low & 8 ? X86_CR0_WP : 0) |
			    (low & 0x30) << 25 | v);
		break;
	case 1:
		cpu_mov_cr3(cpu, (uint64_t)(low % FUZZ_FRAMES) << 12 |
			    (s[3] & 0xf0) << 1 | v);
		break;
	case 2:
		cpu_mov_cr4(cpu, ((uint64_t)low << 4 & 0xf0) |
			    (low & 0x10 ? X86_CR4_LA57 : 0) |
			    (low & 0x20 ? X86_CR4_PCIDE : 0) |
			    (low & 0x40 ? X86_CR4_SMEP : 0) |
			    (low & 0x80 ? X86_CR4_SMAP : 0) |
			    (s[3] & 2 ? X86_CR4_PKE : 0) |
			    (s[3] & 4 ? X86_CR4_PKS : 0) | v);
		break;
	case 3:
		cpu_wrmsr_efer(cpu, (low & 1 ? X86_EFER_LME : 0) |
			       (low & 2 ? X86_EFER_NXE : 0) |
			       (low & 4 ? X86_EFER_LMA : 0) | v);
		break;
	case 4:
		cpu_wrpkru(cpu, v ^ low);
		break;
	case 5:
		cpu_wrmsr_pkrs(cpu, v ^ low);
		break;
	case 6:
		cpu_set_cpl(cpu, low & 3);
		break;
	case 7:
		cpu_set_ac(cpu, low & 1);
		break;
	case 8:
		cpu_set_compat(cpu, low & 1);
		break;
	case 9:
		cpu_set_mode(cpu, low % 5);
		break;
	case 10:
		cpu_set_features(cpu, s[3] & 1 ? 32 + low % 21 : 0, s[4] |
				 (s[5] & 3) << 8);
		break;
	default:
		cpu_invpcid(cpu, low & 7, s[3] & 3, v);
	}
}

static void fuzz_access(struct fuzz *f, struct cpu *cpu, const uint8_t *s)
{
	uint64_t va = fuzz_value(s[2], s[3]) ^ fuzz_value(s[4], s[5]);
	struct mmu_outcome out;
	uint8_t buf[64] = { 0 };
	uint64_t v;

	switch (s[1] & 7) {
	case 0:
		cpu_load64(cpu, va, &v);
		break;
	case 1:
		cpu_store32(cpu, va, s[3]);
		break;
	case 2:
		cpu_fetch(cpu, va, buf, 1 + s[4] % 15);
		break;
	case 3:
		cpu_store(cpu, va, buf, 1 + s[5] % 64);
		break;
	case 4:
		cpu_invlpg(cpu, va);
		break;
	default:
		cpu_access(cpu, va, 1 + s[5] % 64, s[1] / 8 % 3, s[1] >> 6,
			   &out);
		fuzz_assert(out.kind <= MMU_SS);
		fuzz_assert(out.kind != MMU_OK || out.pa < f->ram.size);
		fuzz_assert(out.kind == MMU_PF || !out.error);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz *f = fuzz_machine();
	const uint8_t *s;
	unsigned i;

	memset(f->ram.base, 0, FUZZ_RAM);
	for (i = 0; i < 2; i++) {
		cpu_init(f->cpu[i], &f->ram, i);
		cpu_enter(f->cpu[i]);
	}
	cpu_set_model(f->cpu[1], f->model);
	for (s = data; size >= 6; s += 6, size -= 6) {
		if (s[0] < 64)
			fuzz_fill(f, s);
		else if (s[0] < 128)
			fuzz_register(f->cpu[s[0] & 1], s);
		else
			fuzz_access(f, f->cpu[s[0] & 1], s);
	}
	return 0;
}
