/*
 * charge.c - charges of requests in hand.
 *
 * A write or fallocate is charged for what its range has no room for, and gets
 * back what is still absent if it did not do all. One that shortens a file
 * gives back the difference between what the file has before and after; one
 * that takes its last name away, all that the file has then. What it takes
 * later is kept apart (fs/unnamed.c).
 *
 * For that those in hand are in a list: where two on one file would see each
 * other's work in what they measure, the later waits for the earlier. Nearly
 * always the kernel has it wait anyway; not where a file is emptied by open,
 * and with direct writes to different parts of one block. Pages that are
 * written back while their file is removed are not waited for: there each of
 * the two finds out what the other has counted.
 *
 * Lock: charge_lock guards the list, and @base and @outlived. Nothing is waited
 * for while it is held.
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
	if (a->frees && b->frees)
		return true;
	if (!a->frees && !b->frees)
		return a->from < b->to && b->from < a->to;
	return !a->removes && !b->removes;
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

bool charge_enter(struct volume *volume, unsigned int opcode, fuse_ino_t ino,
		  const struct op_target *target, struct verdict *verdict,
		  bool hasty)
{
	enum quota_kind kind = quota_kind(opcode, target);
	struct charge *charge = &verdict->charge;

	*charge = (struct charge){ .frees = kind == QUOTA_FREE };
	if (kind == QUOTA_NONE || kind == QUOTA_NAME ||
	    !charge_find(volume, opcode, ino, target, charge))
		return true;
	if (!charge->frees)
		quota_blocks(target, &charge->from, &charge->to);
	if (charge_join(charge, hasty))
		return true;
	if (charge->removes)
		volume_forget(volume, volume_inode(volume, charge->ino), 1);
	return false;
}

int charge_begin(struct volume *volume, unsigned int opcode,
		 const struct op_target *target, struct verdict *verdict)
{
	struct charge *charge = &verdict->charge;
	int err;

	if (!charge->begun || charge->removes)
		return 0;
	if (charge->frees) {
		charge->unnamed = charge_is_unnamed(volume, charge->ino);
		charge->bytes = quota_room(volume, charge->ino);
		return 0;
	}
	charge->bytes = quota_need(volume, opcode, charge->ino, target);
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
	inject_credit(verdict->quotas, verdict->last, room);
	volume_forget(volume, inode, 1);
}

static void charge_end_cut(struct volume *volume, struct verdict *verdict)
{
	struct charge *charge = &verdict->charge;
	uint64_t room = quota_room(volume, charge->ino), freed;

	charge_leave(charge, false, 0);
	freed = charge_minus(charge->bytes, room);
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

	if (charge->outlived)
		taken = charge_minus(charge_minus(quota_room(volume,
							     charge->ino),
						  charge->base),
				     unnamed_charged(inode));
	if (taken)
		unnamed_charge(inode, verdict, taken);
}

static void charge_end_write(struct volume *volume, unsigned int opcode,
			     const struct op_target *target,
			     struct verdict *verdict, bool whole)
{
	struct charge *charge = &verdict->charge;
	uint64_t absent = 0, unused;

	if (!whole)
		absent = quota_need(volume, opcode, charge->ino, target);
	unused = absent < charge->bytes ? absent : charge->bytes;
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
