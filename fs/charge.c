/*
 * charge.c - charges of requests in hand.
 *
 * A write or fallocate is charged for what its range has no room for, and gets
 * back what is still absent when it is done. One that shortens a file gives
 * back the difference between what the file has before and after; one that
 * takes its last name away, all that the file has then. What it takes later is
 * kept apart until it has a name again (fs/unnamed.c).
 *
 * For that those in hand are in a list: where two on one file would see each
 * other's work in what they measure, the later waits for the earlier. Two that
 * fill different blocks do not; all others do. Nearly always the kernel has it
 * wait anyway; not where a file is emptied by open, with direct writes that are
 * under way together, and with pages that are written back.
 *
 * Who is in the list waits for SOURCE and for nobody else: it is not parked any
 * more. So they cannot wait for each other.
 *
 * Lock: charge_lock guards the list. Nothing is waited for while it is held.
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

/* Must one of these wait for the other? */
static bool charge_meet(const struct charge *a, const struct charge *b)
{
	if (a->ino != b->ino)
		return false;
	return !a->fills || !b->fills ||
	       (a->from < b->to && b->from < a->to);
}

/* => false: not @hasty, it has to wait. */
static bool charge_join(struct charge *charge, bool hasty)
{
	struct charge *other;

	pthread_mutex_lock(&charge_lock);
	other = hasty ? NULL : charge_list;
	while (other && !charge_meet(charge, other))
		other = other->next;
	charge->begun = !other;
	if (charge->begun) {
		charge->next = charge_list;
		charge_list = charge;
	}
	pthread_mutex_unlock(&charge_lock);
	return charge->begun;
}

/* What was to be measured is. */
static void charge_leave(struct charge *charge)
{
	struct charge **link = &charge_list;

	pthread_mutex_lock(&charge_lock);
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
	charge->links = opcode == FUSE_LINK;
	if (opcode == FUSE_UNLINK)
		charge->ino = charge_removed(volume, ino, target->name);
	else if (opcode == FUSE_RENAME2)
		charge->ino = charge_removed(volume, target->other,
					     target->other_name);
	else
		charge->ino = charge->links ? target->other : ino;
	return charge->ino;
}

bool charge_enter(struct volume *volume, unsigned int opcode, fuse_ino_t ino,
		  const struct op_target *target, struct verdict *verdict,
		  bool hasty)
{
	enum quota_kind kind = quota_kind(opcode, target);
	struct charge *charge = &verdict->charge;

	*charge = (struct charge){
		.fills = kind == QUOTA_TAKE,
		.allocates = opcode == FUSE_FALLOCATE,
	};
	if (kind == QUOTA_NONE || kind == QUOTA_NAME ||
	    !charge_find(volume, opcode, ino, target, charge))
		return true;
	if (charge->fills)
		quota_blocks(target, &charge->from, &charge->to);
	/* Where the end is will be known when no other is under way. */
	if (target->appends) {
		charge->from = 0;
		charge->to = UINT64_MAX;
	}
	if (charge_join(charge, hasty))
		return true;
	if (charge->removes)
		volume_forget(volume, volume_inode(volume, charge->ino), 1);
	return false;
}

int charge_begin(struct volume *volume, const struct op_target *target,
		 struct verdict *verdict)
{
	struct charge *charge = &verdict->charge;
	int err;

	if (!charge->begun || charge->removes || charge->links)
		return 0;
	if (!charge->fills) {
		charge->unnamed = charge_is_unnamed(volume, charge->ino);
		charge->bytes = quota_room(volume, charge->ino);
		return 0;
	}
	charge->offset = target->offset;
	charge->bytes = quota_need(volume, charge->ino, target);
	err = inject_charge(verdict, charge->bytes);
	if (err)
		charge_leave(charge);
	return err;
}

static void charge_end_removal(struct volume *volume, struct verdict *verdict,
			       bool whole)
{
	struct charge *charge = &verdict->charge;
	struct inode *inode = volume_inode(volume, charge->ino);

	if (whole)
		inject_credit(verdict->quotas, verdict->last,
			      quota_room(volume, charge->ino));
	charge_leave(charge);
	volume_forget(volume, inode, 1);
}

/* Whatever it was answered. */
static void charge_end_link(struct volume *volume, struct verdict *verdict)
{
	struct charge *charge = &verdict->charge;

	if (!charge_is_unnamed(volume, charge->ino))
		unnamed_link(volume_inode(volume, charge->ino));
	charge_leave(charge);
}

static void charge_end_cut(struct volume *volume, struct verdict *verdict)
{
	struct charge *charge = &verdict->charge;
	uint64_t freed = charge_minus(charge->bytes,
				      quota_room(volume, charge->ino));

	if (charge->unnamed)
		unnamed_free(volume_inode(volume, charge->ino), freed);
	else
		inject_credit(verdict->quotas, verdict->last, freed);
	charge_leave(charge);
}

static void charge_end_write(struct volume *volume,
			     const struct op_target *asked,
			     struct verdict *verdict, bool whole)
{
	struct charge *charge = &verdict->charge;
	struct op_target target = *asked;
	uint64_t absent = 0, taken;

	target.offset = charge->offset;
	/* Not all show what is only allocated as room (tmpfs, XFS). */
	if (!whole || charge->allocates)
		absent = quota_need(volume, charge->ino, &target);
	taken = charge_minus(charge->bytes, absent);
	inject_credit(verdict->quotas, verdict->last, charge->bytes - taken);
	if (taken && charge_is_unnamed(volume, charge->ino))
		unnamed_charge(volume_inode(volume, charge->ino), verdict,
			       taken);
	charge_leave(charge);
}

void charge_end(struct volume *volume, const struct op_target *target,
		struct verdict *verdict, bool whole)
{
	if (verdict->charge.removes)
		charge_end_removal(volume, verdict, whole);
	else if (verdict->charge.links)
		charge_end_link(volume, verdict);
	else if (verdict->charge.fills)
		charge_end_write(volume, target, verdict, whole);
	else
		charge_end_cut(volume, verdict);
}
