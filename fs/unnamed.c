/*
 * unnamed.c - a list, of few: temporary files that are open.
 *
 * Lock: unnamed_lock guards the list; inject's is taken within. Whether there
 * is any is seen without it. The address of an inode that is gone is only
 * compared.
 */
#include "fs/unnamed.h"
#include "fs/inject.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct unnamed {
	struct unnamed *next;
	const void *inode;
	uint32_t generation;
	uint64_t quotas, last;	/* as in the verdict */
	uint64_t bytes;
};

static pthread_mutex_t unnamed_lock = PTHREAD_MUTEX_INITIALIZER;
static struct unnamed *unnamed_list;
static atomic_uint unnamed_count;

/* => The next link from @link on of that file; it may be at the end. The lock
 * is held. */
static struct unnamed **unnamed_find(struct unnamed **link, const void *inode,
				     uint32_t generation)
{
	while (*link && ((*link)->inode != inode ||
			 (*link)->generation != generation))
		link = &(*link)->next;
	return link;
}

static struct unnamed **unnamed_seek(struct unnamed **link,
				     const struct inode *inode)
{
	return unnamed_find(link, inode, inode->generation);
}

/* => The lock is held. */
static struct unnamed *unnamed_add(const struct inode *inode,
				   const struct verdict *verdict)
{
	struct unnamed *unnamed = malloc(sizeof(*unnamed));

	if (!unnamed)
		return NULL;	/* not given back: rather that */
	*unnamed = (struct unnamed){
		.next = unnamed_list,
		.inode = inode,
		.generation = inode->generation,
		.quotas = verdict->quotas,
		.last = verdict->last,
	};
	unnamed_list = unnamed;
	unnamed_count++;
	return unnamed;
}

void unnamed_charge(const struct inode *inode, const struct verdict *verdict,
		    uint64_t bytes)
{
	struct unnamed *unnamed;

	pthread_mutex_lock(&unnamed_lock);
	unnamed = *unnamed_seek(&unnamed_list, inode);
	while (unnamed && (unnamed->quotas != verdict->quotas ||
			   unnamed->last != verdict->last))
		unnamed = *unnamed_seek(&unnamed->next, inode);
	if (!unnamed)
		unnamed = unnamed_add(inode, verdict);
	if (unnamed)
		unnamed->bytes += bytes;
	pthread_mutex_unlock(&unnamed_lock);
}

static void unnamed_credit(struct unnamed *unnamed, uint64_t bytes)
{
	inject_credit(unnamed->quotas, unnamed->last, bytes);
	unnamed->bytes -= bytes;
}

void unnamed_free(const struct inode *inode, uint64_t bytes)
{
	struct unnamed *unnamed;
	uint64_t some;

	pthread_mutex_lock(&unnamed_lock);
	unnamed = *unnamed_seek(&unnamed_list, inode);
	for (; unnamed; unnamed = *unnamed_seek(&unnamed->next, inode)) {
		some = bytes < unnamed->bytes ? bytes : unnamed->bytes;
		unnamed_credit(unnamed, some);
		bytes -= some;
	}
	pthread_mutex_unlock(&unnamed_lock);
}

/* => The lock is held. */
static void unnamed_drop(struct unnamed **link)
{
	struct unnamed *unnamed = *link;

	*link = unnamed->next;
	unnamed_count--;
	free(unnamed);
}

void unnamed_link(const struct inode *inode)
{
	struct unnamed **link = &unnamed_list;

	if (!atomic_load_explicit(&unnamed_count, memory_order_relaxed))
		return;
	pthread_mutex_lock(&unnamed_lock);
	while (*(link = unnamed_seek(link, inode)))
		unnamed_drop(link);
	pthread_mutex_unlock(&unnamed_lock);
}

void unnamed_forget(const void *inode, uint32_t generation)
{
	struct unnamed **link = &unnamed_list;

	if (!atomic_load_explicit(&unnamed_count, memory_order_relaxed))
		return;
	pthread_mutex_lock(&unnamed_lock);
	while (*(link = unnamed_find(link, inode, generation))) {
		unnamed_credit(*link, (*link)->bytes);
		unnamed_drop(link);
	}
	pthread_mutex_unlock(&unnamed_lock);
}
