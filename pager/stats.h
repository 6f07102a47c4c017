/*
 * stats.h - the machine's counters: one table for the code and for people.
 *
 * Linux's /proc/vmstat names where Linux counts the same thing. All are
 * guarded by the core lock; those marked GAUGE are worked out when asked for.
 */
#ifndef PAGER_STATS_H
#define PAGER_STATS_H

#define VM_STATS(X)							\
	X(FREE, "nr_free_pages")		/* GAUGE */		\
	X(DIRTY, "nr_dirty")			/* GAUGE */		\
	X(WRITEBACK, "nr_writeback")		/* GAUGE */		\
	X(READING, "nr_reading")		/* GAUGE */		\
	X(TABLES, "nr_page_table_pages")	/* GAUGE */		\
	X(SWAPUSED, "nr_swap_used")		/* GAUGE */		\
	X(OBJECTS, "nr_objects")		/* GAUGE */		\
	X(PGPGIN, "pgpgin")			/* KiB read */		\
	X(PGPGOUT, "pgpgout")			/* KiB written */	\
	X(PSWPIN, "pswpin")			/* pages */		\
	X(PSWPOUT, "pswpout")			/* pages */		\
	X(FAULT, "pgfault")						\
	X(MAJFAULT, "pgmajfault")		/* needed a read */	\
	X(MINFAULT, "pgminfault")		/* found the page */	\
	X(ZERO, "pgzero")			/* zero-filled */	\
	X(COW, "pgcow")				/* copied on write */	\
	X(SHARE, "pgshare")			/* of another process */ \
	X(RETAKE, "pgretake")			/* under writeback */	\
	X(BUSYWAIT, "pgbusywait")		/* waited for a frame */ \
	X(MEMWAIT, "allocstall")		/* waited for memory */	\
	X(SEGV, "pgsegv")						\
	X(SIGBUS, "pgsigbus")						\
	X(SCAN, "pgscan")			/* frames looked at */	\
	X(STEAL, "pgsteal")			/* frames freed */	\
	X(LAUNDER, "pglaunder")			/* pages written */	\
	X(CLUSTERS, "pgoutclusters")		/* writes submitted */	\
	X(READERR, "pgreaderr")			/* pages */		\
	X(WRITEERR, "pgwriteerr")		/* pages */		\
	X(TRUNCATED, "pgtruncated")		/* dropped: past EOF */	\
	X(HUGE, "thp_fault_alloc")					\
	X(HUGEFALLBACK, "thp_fault_fallback")				\
	X(HUGESPLIT, "thp_split_pmd")					\
	X(FORK, "forks")						\
	X(SHADOW, "shadows")						\
	X(COLLAPSE, "collapses")					\
	X(OOM, "oom")							\
	X(SHOOTDOWN, "tlb_shootdowns")

enum vm_stat_id {
#define X(id, name) VM_STAT_##id,
	VM_STATS(X)
#undef X
	VM_NSTATS
};

#endif
