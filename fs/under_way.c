/*
 * under_way.c - requests in hand and inodes known, as tables.
 *
 * Both are looked at while they change. A request's fields are read between
 * two looks at its number, which must be the same. Its inode cannot go while
 * it is in hand, so the name is asked for with the inode table locked and the
 * request seen once more: a forget that follows has to wait for the lock.
 * (The watchdog's ended ones may be forgotten, and a forget in hand may have
 * had its effect; they get no name.)
 *
 * Inodes are copied under the lock and named afterwards; one whose descriptor
 * has come to show something else meanwhile is left out.
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

/* => false: it is not in hand any more. */
static bool under_way_name(struct under_way *table, struct slot *slot,
			   uint64_t unique, unsigned int opcode, char *path)
{
	struct volume *volume = table->volume;
	uint64_t nodeid;
	bool same;

	if (!under_way_keeps(unique, opcode)) {
		strcpy(path, "-");
		return true;
	}
	pthread_mutex_lock(&volume->inodes.lock);
	nodeid = request_get(slot->request.nodeid);
	same = atomic_load(&slot->request.unique) == unique;
	if (same && nodeid)
		path_of(volume, nodeid, NULL, path);
	/* There may be more of them than one request may use. */
	volume_let_go();
	pthread_mutex_unlock(&volume->inodes.lock);
	if (!nodeid || !*path)
		strcpy(path, nodeid ? "/" : "-");
	return same;
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
	    !under_way_name(table, slot, unique, opcode, path))
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
	uint64_t nlookup;
	ino_t ino;
	mode_t type;
	int fd;
};

/* => What is said of at most @max of them, which the caller frees; NULL. */
static struct under_way_inode *under_way_copy(struct inode_table *table,
					      size_t max, size_t *n)
{
	struct under_way_inode *copy = calloc(max, sizeof(*copy));
	struct inode *inode;
	size_t i;

	*n = 0;
	if (!copy)
		return NULL;
	pthread_mutex_lock(&table->lock);
	for (i = 0; i < table->nchains; i++)
		for (inode = table->chains[i]; inode && *n < max;
		     inode = inode->next)
			copy[(*n)++] = (struct under_way_inode){
				inode->nlookup, inode->ino, inode->type,
				inode->fd,
			};
	pthread_mutex_unlock(&table->lock);
	return copy;
}

static bool under_way_is(const struct under_way_inode *inode)
{
	struct stat st;

	if (inode->fd < 0)
		return true;
	/* The device is the volume's idea of it, see volume_identity(). */
	return !fstat(inode->fd, &st) && st.st_ino == inode->ino;
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

void under_way_print_inodes(FILE *out, struct volume *volume)
{
	size_t count = inode_table_count(&volume->inodes), n, i;
	size_t max = count < UNDER_WAY_INODES ? count : UNDER_WAY_INODES;
	struct under_way_inode *inodes = under_way_copy(&volume->inodes, max,
							&n);
	char path[PATH_ROOM];

	fprintf(out, "%12s %4s %10s %s\n", "inode", "type", "lookups", "file");
	for (i = 0; inodes && i < n; i++) {
		/* One without a descriptor has its name nowhere at hand. */
		if (inodes[i].fd < 0)
			strcpy(path, "(by handle)");
		else
			path_of_fd(volume, inodes[i].fd, path);
		if (under_way_is(&inodes[i]))
			fprintf(out, "%12lu %4c %10lu %s\n", inodes[i].ino,
				under_way_type(inodes[i].type),
				inodes[i].nlookup, *path ? path : "/");
	}
	if (count > n)
		fprintf(out, "... and %zu more\n", count - n);
	free(inodes);
}
