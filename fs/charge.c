/*
 * charge.c - charges of requests in hand.
 *
 * A write or fallocate is charged for what its range has no room for, and gets
 * back what is still absent if it did not do all. One that shortens a file
 * gives back the difference between what the file has before and after; one
 * that takes its last name away, all that the file has then. What it takes
 * later is kept apart (fs/unnamed.c).
 *
 * Two that free at the same time would both see what only one of them freed,
 * and a write at the same time may fill again, uncharged, what it found there.
 * So those in hand are in a list, and one that frees gives back less by what
 * others may have done to its file meanwhile: rather too little than too much.
 * (Nearly always the kernel has them wait for each other.) Pages that are
 * written back while their file is removed are the exception: there each of
 * the two finds out what the other has counted.
 *
 * Lock: charge_lock guards the list, and @less, @base and @outlived. Nothing is
 * waited for while it is held.
 */
#include "fs/charge.h"
#include "fs/inject.h"
#include "fs/path.h"
#include "fs/unnamed.h"

#include <pthread.h>

static pthread_mutex_t charge_lock = PTHREAD_MUTEX_INITIALIZER;
static struct charge *charge_list;

static uint64_t charge_minus(uint64_t bytes, uint64_t less)
{
	return bytes > less ? bytes - less : 0;
}

static void charge_add(uint64_t *less, uint64_t bytes)
{
	*less = bytes < UINT64_MAX - *less ? *less + bytes : UINT64_MAX;
}

/* Before anything is measured: whoever comes later sees it. */
static void charge_enter(struct charge *charge)
{
	struct charge *other;

	pthread_mutex_lock(&charge_lock);
	for (other = charge_list; other; other = other->next) {
		if (other->ino != charge->ino)
			continue;
		/* Of two that free, the first gives back all. */
		if (charge->frees && other->frees)
			charge->less = UINT64_MAX;
		else if (charge->frees && !charge->removes)
			charge_add(&charge->less, other->reach);
		else if (other->frees && !other->removes)
			charge_add(&other->less, charge->reach);
	}
	charge->next = charge_list;
	charge_list = charge;
	pthread_mutex_unlock(&charge_lock);
	charge->begun = true;
}

/*
 * Of a file whose name @charge took away, when it had @room: those who still
 * write to it will see what they took of that. Or one of those, and whoever
 * takes the name away has yet to look. => The lock is held.
 */
static void charge_part(struct charge *charge, struct charge *other,
			bool gone, uint64_t room)
{
	if (other == charge || other->ino != charge->ino)
		return;
	if (gone && !other->frees) {
		other->outlived = true;
		other->base = room;
	} else if (!charge->frees && other->removes) {
		charge->outlived = true;
		charge->base = UINT64_MAX;
	}
}

/* @gone: it has taken away the name of a file with @room. From here on nobody
 * changes @charge any more. */
static void charge_leave(struct charge *charge, bool gone, uint64_t room)
{
	struct charge **link = &charge_list, *other;

	pthread_mutex_lock(&charge_lock);
	for (other = charge_list; other; other = other->next)
		charge_part(charge, other, gone, room);
	while (*link != charge)
		link = &(*link)->next;
	*link = charge->next;
	pthread_mutex_unlock(&charge_lock);
	charge->begun = false;
}

/*
 * The file that loses its last name by unlink or rename, with one lookup more;
 * 0: none does.
 */
static fuse_ino_t charge_removed(struct volume *volume, fuse_ino_t parent,
				 const char *name)
{
	struct fuse_entry_param entry;

	if (volume_lookup(volume, path_fd(volume, parent), name, &entry))
		return 0;
	if (S_ISREG(entry.attr.st_mode) && entry.attr.st_nlink == 1)
		return entry.ino;
	volume_unlookup(volume, &entry);
	return 0;
}

static bool charge_is_unnamed(struct volume *volume, fuse_ino_t ino)
{
	struct stat st;

	return !fstat(path_fd(volume, ino), &st) && !st.st_nlink;
}

/* What it works on. => false: nothing that counts. */
static bool charge_find(struct volume *volume, unsigned int opcode,
			fuse_ino_t ino, const struct op_target *target,
			struct charge *charge)
{
	charge->removes = opcode == FUSE_UNLINK || opcode == FUSE_RENAME2;
	if (opcode == FUSE_UNLINK)
		charge->ino = charge_removed(volume, ino, target->name);
	else if (opcode == FUSE_RENAME2)
		charge->ino = charge_removed(volume, target->other,
					     target->other_name);
	else
		charge->ino = ino;
	return charge->ino;
}

int charge_begin(struct volume *volume, unsigned int opcode, fuse_ino_t ino,
		 const struct op_target *target, struct verdict *verdict)
{
	enum quota_kind kind = quota_kind(opcode, target);
	struct charge *charge = &verdict->charge;
	int err;

	if (kind == QUOTA_NONE || kind == QUOTA_NAME ||
	    !charge_find(volume, opcode, ino, target, charge))
		return 0;
	charge->frees = kind == QUOTA_FREE;
	charge->reach = charge->frees ? 0 : quota_reach(target);
	charge->bytes = charge->less = 0;
	charge->unnamed = charge->outlived = false;
	charge_enter(charge);
	if (charge->removes)
		return 0;
	if (charge->frees) {
		charge->unnamed = charge_is_unnamed(volume, charge->ino);
		charge->bytes = quota_room(volume, charge->ino);
		return 0;
	}
	charge->bytes = quota_need(opcode, target);
	err = inject_charge(verdict, charge->bytes);
	if (err)
		charge_leave(charge, false, 0);
	return err;
}

/* The name has been taken away. */
static void charge_end_removal(struct volume *volume, struct verdict *verdict,
			       bool whole)
{
	struct charge *charge = &verdict->charge;
	struct inode *inode = volume_inode(volume, charge->ino);
	uint64_t room = whole ? quota_room(volume, charge->ino) : 0;

	charge_leave(charge, whole, room);
	inject_credit(verdict->quotas, verdict->last,
		      charge_minus(room, charge->less));
	volume_forget(volume, inode, 1);
}

static void charge_end_cut(struct volume *volume, struct verdict *verdict)
{
	struct charge *charge = &verdict->charge;
	uint64_t room = quota_room(volume, charge->ino), freed;

	charge_leave(charge, false, 0);
	freed = charge_minus(charge_minus(charge->bytes, room), charge->less);
	if (charge->unnamed)
		unnamed_free(volume_inode(volume, charge->ino), freed);
	else
		inject_credit(verdict->quotas, verdict->last, freed);
}

/* @taken bytes of a file without a name are new. */
static void charge_unnamed(struct volume *volume, struct verdict *verdict,
			   uint64_t taken)
{
	struct charge *charge = &verdict->charge;
	struct inode *inode = volume_inode(volume, charge->ino);
	uint64_t known;

	if (charge->outlived) {
		known = charge->base;
		charge_add(&known, unnamed_charged(inode));
		taken = charge_minus(quota_room(volume, charge->ino), known);
	}
	if (taken)
		unnamed_charge(inode, verdict, taken);
}

static void charge_end_write(struct volume *volume, unsigned int opcode,
			     const struct op_target *target,
			     struct verdict *verdict, bool whole)
{
	struct charge *charge = &verdict->charge;
	uint64_t absent = whole ? 0 : quota_need(opcode, target);
	uint64_t unused = absent < charge->bytes ? absent : charge->bytes;

	charge_leave(charge, false, 0);
	inject_credit(verdict->quotas, verdict->last, unused);
	if (charge->bytes > unused && charge_is_unnamed(volume, charge->ino))
		charge_unnamed(volume, verdict, charge->bytes - unused);
}

void charge_end(struct volume *volume, unsigned int opcode,
		const struct op_target *target, struct verdict *verdict,
		bool whole)
{
	if (verdict->charge.removes)
		charge_end_removal(volume, verdict, whole);
	else if (verdict->charge.frees)
		charge_end_cut(volume, verdict);
	else
		charge_end_write(volume, opcode, target, verdict, whole);
}
