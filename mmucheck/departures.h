/*
 * departures.h - where KVM's MMU departs from the manual.
 *
 * Each departure has a name, a section of the manual and a paragraph in
 * docs/mmu.md, and is as narrow as it can be made: the access, both answers
 * and the bits must all be what KVM is known for. Whatever is not one of
 * these is a disagreement.
 */
#ifndef MMUCHECK_DEPARTURES_H
#define MMUCHECK_DEPARTURES_H

#include "mmucheck/case.h"
#include "mmucheck/manual.h"

enum departure {
	DEPARTURE_NONE,
	DEPARTURE_CROSSING_AD,
	DEPARTURE_CROSSING_STORE,
	DEPARTURE_HOLE,
	DEPARTURE_FAULTING_A,
	DEPARTURES
};

/* Its name in docs/mmu.md. */
const char *departure_name(enum departure d);

/* Has the access faulted on the second of its two pages? */
bool departure_crossed(const struct mc_access *a, const struct mc_result *res);

/* KVM answered @kvm to @a, and the other @other: is this a known one? */
enum departure departure_of_result(const struct manual *m,
				   const struct mc_access *a,
				   const struct mc_result *kvm,
				   const struct mc_result *other);

/*
 * After @a, the last access of a case, to which all answered @res, the entry
 * at @pa has become @kvm and @other: is this a known one?
 */
enum departure departure_of_entry(const struct manual *m,
				  const struct mc_access *a,
				  const struct mc_result *res, uint64_t pa,
				  uint64_t kvm, uint64_t other);

/*
 * The same for memory that is no table. => a known one: the @len bytes at
 * @pa may have become @a's in KVM's memory alone
 */
enum departure departure_of_data(const struct manual *m,
				 const struct mc_access *a,
				 const struct mc_result *res, uint64_t *pa,
				 unsigned *len);

#endif
