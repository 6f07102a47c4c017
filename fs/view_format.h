/*
 * view_format.h - snapshot structs in, text out.
 *
 * Linux's own formats where Linux has the file, byte for byte, so that the
 * tools that read /proc read these; elsewhere a heading and a line each.
 * Pure: no machine, no FUSE, nothing but what is passed in.
 */
#ifndef FS_VIEW_FORMAT_H
#define FS_VIEW_FORMAT_H

#include "fs/view_text.h"
#include "pager/snapshot.h"

/* One process: Linux's maps, smaps and status. */
void view_format_maps(struct view_text *t, const struct snap_area *areas,
		      size_t n);
/* An area's pages that are in memory and dirty, and those in swap. */
struct view_usage {
	uint64_t dirty, swapped;
};
/* One area of smaps. */
void view_format_smap(struct view_text *t, const struct snap_area *area,
		      const struct view_usage *usage);
void view_format_status(struct view_text *t, const struct snap_proc *proc);

/* The machine: Linux's swaps, meminfo and vmstat (a counter at a time). */
void view_format_swaps(struct view_text *t, const struct snap_swap *swaps,
		       size_t n);
void view_format_meminfo(struct view_text *t, const struct snap_frame *frames,
			 size_t nframes, const struct snap_swap *swaps,
			 size_t nswaps);
void view_format_counter(struct view_text *t, const char *name,
			 uint64_t value);

/* The machine, where Linux shows nothing. */
void view_format_procs(struct view_text *t, const struct snap_proc *procs,
		       size_t n);
void view_format_frames(struct view_text *t, const struct snap_frame *frames,
			size_t n);
void view_format_slots(struct view_text *t, const struct snap_slot *slots,
		       size_t n);
void view_format_objects(struct view_text *t,
			 const struct snap_object *objects, size_t n);

#endif
