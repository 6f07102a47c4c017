/*
 * charge.c - charges of requests in hand.
 *
 * A write or fallocate is charged for what its range has no room for, and gets
 * back what is still absent if it did not do all. One that shortens or removes
 * a file gives back the difference between what the file has before and after.
 *
 * Two of the latter at the same time would both see what only one of them
 * freed, and a write at the same time may fill again, uncharged, what it found
 * there. So those in hand are in a list, and one that frees gives back less by
 * what others may have done to its file meanwhile: rather too little than too
 * much. (Nearly always the kernel has them wait for each other.)
 *
 * Lock: charge_lock guards the list and @less. Nothing is waited for while it
 * is held.
 */
#include "fs/charge.h"
#include "fs/inject.h"
#include "fs/path.h"

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
		if (charge->frees)
			charge_add(&charge->less, other->frees ? UINT64_MAX :
								 other->reach);
		else if (other->frees)
			charge_add(&other->less, charge->reach);
	}
	charge->next = charge_list;
	charge_list = charge;
	pthread_mutex_unlock(&charge_lock);
	charge->begun = true;
}

/* => @less, which nobody adds to any more. */
static uint64_t charge_leave(struct charge *charge)
{
	struct charge **link = &charge_list;

	pthread_mutex_lock(&charge_lock);
	while (*link != charge)
		link = &(*link)->next;
	*link = charge->next;
	pthread_mutex_unlock(&charge_lock);
	charge->begun = false;
	return charge->less;
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
	charge_enter(charge);
	if (charge->frees) {
		charge->bytes = quota_room(volume, charge->ino);
		return 0;
	}
	charge->bytes = quota_need(opcode, target);
	err = inject_charge(verdict, charge->bytes);
	if (err)
		charge_leave(charge);
	return err;
}

/* Bytes that are free again. */
static uint64_t charge_freed(struct volume *volume,
			     const struct charge *charge, bool whole)
{
	uint64_t now = charge->bytes;

	if (!charge->removes)
		now = quota_room(volume, charge->ino);
	else if (whole)
		now = 0;
	return charge_minus(charge->bytes, now);
}

static uint64_t charge_unused(const struct charge *charge, unsigned int opcode,
			      const struct op_target *target, bool whole)
{
	uint64_t absent = whole ? 0 : quota_need(opcode, target);

	return absent < charge->bytes ? absent : charge->bytes;
}

void charge_end(struct volume *volume, unsigned int opcode,
		const struct op_target *target, struct verdict *verdict,
		bool whole)
{
	struct charge *charge = &verdict->charge;
	uint64_t bytes;

	if (charge->frees)
		bytes = charge_freed(volume, charge, whole);
	else
		bytes = charge_unused(charge, opcode, target, whole);
	bytes = charge_minus(bytes, charge_leave(charge));
	inject_credit(verdict, bytes);
	if (charge->removes)
		inode_forget(&volume->inodes,
			     volume_inode(volume, charge->ino), 1);
}
