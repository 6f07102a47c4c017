/*
 * stats.h - the machine's counters: one table for the code and for people.
 *
 * Linux's /proc/vmstat names where Linux counts the same thing. All are
 * guarded by the core lock; those marked GAUGE are worked out when asked for.
 * The last ones, of modelled translation caches (caches.h), are there only if
 * there are such.
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
	X(SWAPLOST, "pswplost")			/* not what was written */ \
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

/* With the field of struct model_stats: emu/model.h. */
#define VM_STATS_TLB(X)							\
	X(TLB_ACCESSES, "tlb_accesses", accesses)			\
	X(TLB_L1, "tlb_l1_hits", l1_hits)				\
	X(TLB_L2, "tlb_l2_hits", l2_hits)				\
	X(TLB_MISSES, "tlb_misses", misses)				\
	X(TLB_REWALKS, "tlb_rewalks", rewalks)				\
	X(TLB_WALKS, "tlb_walks", walks)				\
	X(TLB_ENTRIES, "tlb_walk_entries", entries)			\
	X(TLB_MARKS, "tlb_marks", marks)				\
	X(TLB_FAULTS, "tlb_faults", faults)				\
	X(TLB_FLUSHES, "tlb_flushes", flushes)				\
	X(TLB_INVLPGS, "tlb_invlpgs", invlpgs)				\
	X(TLB_SHOT, "tlb_drains", shootdowns)

enum vm_stat_id {
#define X(id, name, ...) VM_STAT_##id,
	VM_STATS(X)
	VM_NSTATS,			/* without modelled caches */
	VM_STATS_TLB_FIRST = VM_NSTATS - 1,
	VM_STATS_TLB(X)
#undef X
	VM_STAT_TLB_UPPER,		/* hits of paging-structure caches */
	VM_STAT_TLB_CYCLES,		/* what all that cost: emu/cost.c */
	VM_STAT_TLB_STALE,		/* uses of stale translations */
	VM_NSTATS_ALL
};

#endif
