/*
 * under_way.c - requests in hand and inodes known, as tables.
 *
 * Both are looked at while they change. Whatever is named is held on to by a
 * lookup of our own, taken under the inode table's lock and given back when
 * its name is known: no lock is held while the kernel is asked for that. The
 * inode of a request cannot go while it is in hand, so the request is seen
 * once more under the lock: a forget that follows has to wait for it. (The
 * watchdog's ended ones may be forgotten, and a forget in hand may have had
 * its effect; they get no name.)
 */
#include "fs/under_way.h"
#include "fs/gate.h"
#include "fs/loop.h"
#include "fs/op.h"
#include "fs/path.h"

#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>

struct under_way {
	FILE *out;
	struct volume *volume;
	uint64_t now;
};

static const char *under_way_state(uint64_t unique, uint64_t served)
{
	if (unique & 1)
		return "ended";
	return served ? "served" : "waiting";
}

/* Has its inode a lookup that only its answer can take away? */
static bool under_way_keeps(uint64_t unique, unsigned int opcode)
{
	return !(unique & 1) && opcode != op_of(FUSE_FORGET);
}

/*
 * => false: the request is not in hand any more. Else *@inode is what it is
 * for, with one lookup more, or NULL.
 */
static bool under_way_hold(struct volume *volume, const struct slot *slot,
			   uint64_t unique, struct inode **inode)
{
	uint64_t nodeid;
	bool same;

	pthread_mutex_lock(&volume->inodes.lock);
	nodeid = request_get(slot->request.nodeid);
	same = atomic_load(&slot->request.unique) == unique;
	*inode = same && nodeid ? volume_inode(volume, nodeid) : NULL;
	if (*inode)
		(*inode)->nlookup++;
	pthread_mutex_unlock(&volume->inodes.lock);
	return same;
}

/* => false: it is not in hand any more. */
static bool under_way_name(struct volume *volume, const struct slot *slot,
			   uint64_t unique, unsigned int opcode, char *path)
{
	struct inode *inode = NULL;
	int fd;

	strcpy(path, "-");
	if (under_way_keeps(unique, opcode) &&
	    !under_way_hold(volume, slot, unique, &inode))
		return false;
	if (!inode)
		return true;
	fd = volume_fd(volume, inode);
	if (fd >= 0 && !*path_of_fd(volume, fd, path))
		strcpy(path, "/");
	/* There may be more of them than one request may use. */
	volume_let_go();
	volume_forget(volume, inode, 1);
	return true;
}

static void under_way_print_one(struct slot *slot, void *arg)
{
	const struct request *request = &slot->request;
	uint64_t unique = atomic_load(&slot->request.unique);
	uint64_t begun = request_get(request->begun_ns);
	unsigned int opcode = op_of(request_get(request->opcode));
	struct under_way *table = arg;
	char path[PATH_ROOM];

	/* Those for the control directory are the reader's own. */
	if (!unique || !op_name(opcode) ||
	    request_get(request->nodeid) >> 63 ||
	    !under_way_name(table->volume, slot, unique, opcode, path))
		return;
	fprintf(table->out, "%10lu %-7s %-10s %7u %14lu %8lu %s\n",
		table->now > begun ? (table->now - begun) / 1000 : 0,
		under_way_state(unique, request_get(request->served_ns)),
		op_name(opcode), request_get(request->pid),
		request_get(request->offset), request_get(request->length),
		path);
}

void under_way_print_requests(FILE *out, struct volume *volume,
			      struct loop *loop)
{
	struct under_way table = { out, volume, gate_now() };

	fprintf(out, "%10s %-7s %-10s %7s %14s %8s %s\n", "age-us", "state",
		"op", "pid", "offset", "length", "file");
	loop_visit(loop, under_way_print_one, &table);
}

/* ---- inodes ---- */

struct under_way_inode {
	struct inode *inode;
	uint64_t nlookup;	/* without ours */
};

/* => At most @max of them with one lookup more, for the caller to take back
 * and to free; NULL. */
static struct under_way_inode *under_way_hold_all(struct inode_table *table,
						  size_t max, size_t *n)
{
	struct under_way_inode *held = calloc(max, sizeof(*held));
	struct inode *inode;
	size_t i;

	*n = 0;
	if (!held)
		return NULL;
	pthread_mutex_lock(&table->lock);
	for (i = 0; i < table->nchains; i++)
		for (inode = table->chains[i]; inode && *n < max;
		     inode = inode->next)
			held[(*n)++] = (struct under_way_inode){
				inode, inode->nlookup++,
			};
	pthread_mutex_unlock(&table->lock);
	return held;
}

static char under_way_type(mode_t type)
{
	switch (type) {
	case S_IFREG:
		return '-';
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	default:
		return 's';
	}
}

static void under_way_print_inode(FILE *out, struct volume *volume,
				  const struct under_way_inode *held)
{
	int fd = held->inode->fd;
	char path[PATH_ROOM];

	/* One without a descriptor has its name nowhere at hand. */
	if (fd < 0)
		strcpy(path, "(by handle)");
	else if (!*path_of_fd(volume, fd, path))
		strcpy(path, "/");
	fprintf(out, "%12lu %4c %10lu %s\n", held->inode->ino,
		under_way_type(held->inode->type), held->nlookup, path);
}

void under_way_print_inodes(FILE *out, struct volume *volume)
{
	size_t count = inode_table_count(&volume->inodes), n, i;
	size_t max = count < UNDER_WAY_INODES ? count : UNDER_WAY_INODES;
	struct under_way_inode *held = under_way_hold_all(&volume->inodes, max,
							  &n);

	fprintf(out, "%12s %4s %10s %s\n", "inode", "type", "lookups", "file");
	for (i = 0; i < n; i++) {
		under_way_print_inode(out, volume, &held[i]);
		volume_forget(volume, held[i].inode, 1);
	}
	if (count > n)
		fprintf(out, "... and %zu more\n", count - n);
	free(held);
}
