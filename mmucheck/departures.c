/*
 * departures.c - where KVM's MMU departs from the manual: departures.h.
 *
 * The names are those of docs/mmu.md, where each is explained.
 */
#include "mmucheck/departures.h"

const char *departure_name(enum departure d)
{
	static const char *const name[DEPARTURES] = {
		[DEPARTURE_NONE] = "none",
		[DEPARTURE_CROSSING_AD] = "crossing-ad",
		[DEPARTURE_CROSSING_STORE] = "crossing-store",
		[DEPARTURE_HOLE] = "hole",
		[DEPARTURE_FAULTING_A] = "faulting-a",
	};

	return name[d];
}

bool departure_crossed(const struct mc_access *a, const struct mc_result *res)
{
	uint64_t second = (a->va | 4095) + 1;

	return a->kind != MC_LOADCR3 && res->outcome == MC_PF &&
	       res->cr2 == second && second - a->va < a->size;
}

/* Is it the #PF, bit for bit, of the first @size bytes of @a made alone? */
static bool faults_alone(const struct manual *m, const struct mc_access *a,
			 unsigned size, const struct mc_result *res)
{
	struct mc_access first = *a;
	struct manual alone = *m;
	struct mc_result fault;
	uint64_t low, high;

	first.size = size;
	if (manual_reaches(m, &first, &low, &high) != MC_PF)
		return false;
	manual_access(&alone, &first, &fault);
	return res->outcome == MC_PF && res->cr2 == fault.cr2 &&
	       res->error == fault.error;
}

/* hole: runs from canonical addresses into others; #PF of the first part. */
enum departure departure_of_result(const struct manual *m,
				   const struct mc_access *a,
				   const struct mc_result *kvm,
				   const struct mc_result *other)
{
	unsigned top = a->regs.cr4 & MC_CR4_LA57 ? 56 : 47;
	uint64_t first = a->va, last = a->va + a->size - 1;
	bool runs_in = (first >> top) == 0 && (last >> top) == 1;

	if (runs_in && a->kind != MC_FETCH &&
	    other->outcome == (a->stack ? MC_SS : MC_GP) &&
	    faults_alone(m, a, (1ull << top) - first, kvm))
		return DEPARTURE_HOLE;
	return DEPARTURE_NONE;
}

/* crossing-ad: A and D of the first page, though the second faults. */
enum departure departure_of_entry(const struct manual *m,
				  const struct mc_access *a,
				  const struct mc_result *res, uint64_t pa,
				  uint64_t kvm, uint64_t other)
{
	uint64_t used[MANUAL_LEVELS], may;
	unsigned n;

	if (!departure_crossed(a, res))
		return DEPARTURE_NONE;
	n = manual_entries(m, a, used);
	for (unsigned i = 0; i < n; i++) {
		may = MC_A;
		if (i == n - 1 && a->kind == MC_WRITE)
			may |= MC_D;
		if (used[i] == pa && (kvm & ~may) == (other & ~may) &&
		    (kvm & other) == other)
			return DEPARTURE_CROSSING_AD;
	}
	return DEPARTURE_NONE;
}

/* crossing-store: the first page's part of the data, from the emulator. */
enum departure departure_of_data(const struct manual *m,
				 const struct mc_access *a,
				 const struct mc_result *res, uint64_t *pa,
				 unsigned *len)
{
	struct mc_access first = *a;
	uint64_t last;

	if (!departure_crossed(a, res) || a->kind != MC_WRITE || a->cpl != 0)
		return DEPARTURE_NONE;
	first.size = 4096 - (a->va & 4095);
	if (manual_reaches(m, &first, pa, &last) != MC_OK)
		return DEPARTURE_NONE;
	*len = first.size;
	return DEPARTURE_CROSSING_STORE;
}
