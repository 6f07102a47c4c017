/*
 * vm.h - the public face of the pager: machines, processes, threads, calls.
 *
 * An embedder (the workload runner, the live view, the tests) makes a machine
 * with vm_create(), gives it processes, and either runs threads on its CPUs or
 * reaches into memory from outside with vm_peek() and vm_poke().
 *
 * A thread is a step function. It runs on an emulated CPU, does some
 * accesses, and returns what it wants next. It never blocks its host thread:
 * on a page fault it returns VM_STEP_FAULT and is called again when the fault
 * is settled, and makes the access again. Thousands of threads need no more
 * host threads than there are CPUs.
 *
 * Processes are named by pid, and every call looks its pid up: an exited
 * process is -ESRCH, never a dangling pointer. Addresses and lengths are
 * bytes. Errors are -errno. Calls may come from any host thread that is not
 * between cpu_enter() and cpu_leave(), and from step functions (which the
 * scheduler calls outside: a step function enters by itself).
 */
#ifndef PAGER_VM_H
#define PAGER_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm;
struct cpu;
struct ram;
struct store_engine;
struct swap_store;
struct model_preset;
struct stale;

/* Paging modes: 32-bit two-level, PAE, four-level, five-level. */
enum vm_mode { VM_MODE_32, VM_MODE_64, VM_MODE_PAE, VM_MODE_LA57 };

/* What allows anything allows reads, as on any x86. */
#define VM_PROT_READ	1u
#define VM_PROT_WRITE	2u
#define VM_PROT_EXEC	4u

#define VM_MAP_SHARED	1u
#define VM_MAP_PRIVATE	2u
#define VM_MAP_FIXED	4u	/* exactly here; what was mapped here goes */

struct vm_config {
	const struct ram *ram;		/* not owned; the pager's to use */
	unsigned ncpus;			/* 1..CPU_MAX - 1 */
	enum vm_mode mode;
	unsigned wm_min, wm_low, wm_high;  /* free frames; 0: derived from RAM */
	uint32_t clock_spread;		/* frames between the hands; 0: derived */
	unsigned cluster;		/* pages per write at most; 0: 256 */
	bool evict_always;		/* debugging: evict at every fault */
	bool virtual_clock;		/* time stands still while any thread
					 * can run, then jumps */
	struct store_engine *engine;	/* not owned */
	struct swap_store *swap;	/* NULL: no swap; not owned */
	/*
	 * Told once when processes wait for memory because no write has
	 * succeeded for a second: to @name, the last with -@error. They go on
	 * when one does, and only vm_interrupt() ends their wait before.
	 * Called by any CPU, no lock held. May be NULL.
	 */
	void (*waits)(void *ctx, const char *name, int error);
	void *waits_ctx;
	/*
	 * Told once when a page that swap gave back is not the one that had
	 * been written: the area @name has lost or changed it. Who needs it
	 * gets SIGBUS. As waits otherwise.
	 */
	void (*lost)(void *ctx, const char *name);
	/* The CPUs model this part's translation caches (emu/model.h), and
	 * their counters are the machine's; NULL: full speed. */
	const struct model_preset *tlb;
	/* Told of every change of an entry, and checks every translation used
	 * (emu/stale.h; models some part). Not owned; NULL: none. */
	struct stale *stale;
};

/* => 0; -EINVAL with a reason a user understands in *why (static text);
 *    -ENOMEM. */
int vm_create(struct vm **vm, const struct vm_config *config,
	      const char **why);
/* Start and stop the CPUs' host threads. Without them, a blocking call (and
 * vm_run) drives CPU 0 in the caller: deterministic. */
int vm_start(struct vm *vm);
void vm_stop(struct vm *vm);
/* Run CPU 0 in the caller until no thread can run and no I/O is in flight. */
void vm_run(struct vm *vm);
/* Stopped. Threads end where they are, and their end() is called, those that
 * were started last first; processes exit; dirty file pages are written, what
 * fails twice is given up. => number of pages that could not be written. */
uint64_t vm_end(struct vm *vm);
/* vm_end(), and what could not be written is lost. => the number of that. */
uint64_t vm_destroy(struct vm *vm);

/* ---- processes ---- */

#define VM_NAME_MAX	31	/* characters of a process's name */

/* A new process with an empty map. => pid > 0; -ENOMEM: no frame for its page
 * table now, see vm_thread_memory(); -EAGAIN: too many; -ENAMETOOLONG. */
int vm_proc_create(struct vm *vm, const char *name);
/* A copy of @pid. @name NULL: of the same name. => the child's pid; as for
 * vm_proc_create(); -ESRCH. */
int vm_fork(struct vm *vm, int pid, const char *name);
/* End it: its threads get -ESRCH, its memory goes. => 0, -ESRCH. */
int vm_exit(struct vm *vm, int pid);
/* Pid of the live process called @name, or -ESRCH. */
int vm_proc_find(struct vm *vm, const char *name);

struct vm_mmap {
	uint64_t addr;		/* hint, or with VM_MAP_FIXED the place */
	uint64_t len;		/* rounded up to pages */
	unsigned prot, flags;
	const char *path;	/* NULL: anonymous */
	uint64_t offset;	/* multiple of the page size */
};
/* => 0 and the address in *at; -EINVAL, -ENOMEM (no room), -EACCES (file not
 *    writable and shared + write asked), -EOVERFLOW, open(2)'s errors. May
 *    wait for open(2) and fstat(2) of the file. */
int vm_mmap(struct vm *vm, int pid, const struct vm_mmap *args, uint64_t *at);
int vm_munmap(struct vm *vm, int pid, uint64_t addr, uint64_t len);
/* => -ENOMEM: a hole in the range, or the end of all that can be mapped;
 *    -EACCES; -EINVAL: @prot, or where it begins. No bytes are no error. */
int vm_mprotect(struct vm *vm, int pid, uint64_t addr, uint64_t len,
		unsigned prot);
#define VM_MADV_HUGEPAGE	1	/* back aligned parts by large pages */
#define VM_MADV_NOHUGEPAGE	2	/* (none are made from now on) */
/* => -EINVAL: unknown advice; else as vm_mprotect(). */
int vm_madvise(struct vm *vm, int pid, uint64_t addr, uint64_t len,
	       int advice);
/* The end of the heap: @brk 0 asks. => 0, *now where it is; -ENOMEM. */
int vm_brk(struct vm *vm, int pid, uint64_t brk, uint64_t *now);

/* ---- msync ---- */

#define VM_MS_ASYNC	1u	/* start the writes, do not wait */
#define VM_MS_SYNC	2u
/* msync from a host thread: waits. => 0; -ENOMEM: a hole in the range; -EIO,
 * -ENOSPC...: a write of this file failed since the last report, here or in
 * pageout; said once to each mapping; the pages stay dirty. */
int vm_msync(struct vm *vm, int pid, uint64_t addr, uint64_t len,
	     unsigned flags);

/* ---- memory from outside ---- */

/* Read or write a process's memory through a CPU of its own, faulting pages
 * in and waiting as a thread would. => bytes moved before the first address
 * that cannot be reached (like process_vm_readv(2)); -EFAULT: none; -EIO;
 * -ESRCH. *sig (may be NULL): SIGSEGV or SIGBUS where it stopped. */
int64_t vm_peek(struct vm *vm, int pid, uint64_t addr, void *buf, uint64_t len,
		int *sig);
int64_t vm_poke(struct vm *vm, int pid, uint64_t addr, const void *buf,
		uint64_t len, int *sig);

/* ---- threads ---- */

enum vm_step {
	VM_STEP_AGAIN,		/* call me again (others may run between) */
	VM_STEP_FAULT,		/* cpu->fault is set: settle it, call me again */
	VM_STEP_WAIT,		/* parked by a vm_thread_*() call below */
	VM_STEP_DONE,		/* the thread ends */
};

struct vm_thread;
/*
 * The body: does a bounded piece of work (some 10 us, some hundred accesses)
 * and returns. Called outside; does cpu_enter()/cpu_leave() around accesses.
 */
typedef enum vm_step (*vm_step_fn)(struct vm_thread *t, struct cpu *cpu);

struct vm_thread_info {
	vm_step_fn step;
	void *arg;
	/* No lock held; may be NULL. Also when the machine goes first. */
	void (*end)(struct vm_thread *t, void *arg);
};

/* A new thread of process @pid. => 0, -ESRCH, -ENOMEM. */
int vm_thread_start(struct vm *vm, int pid, const struct vm_thread_info *info);
/* Inside a step or end function: */
void *vm_thread_arg(const struct vm_thread *t);
struct vm *vm_thread_vm(const struct vm_thread *t);
/* Which process its accesses go to; change it (=> 0, -ESRCH), then return
 * VM_STEP_AGAIN before the next access. pid 0: none, no accesses. */
int vm_thread_pid(const struct vm_thread *t);
int vm_thread_switch(struct vm_thread *t, int pid);
/*
 * The signal the last fault ended in (SIGSEGV, SIGBUS), or 0; reading it
 * clears it. A thread that had returned VM_STEP_FAULT is called again with
 * this set when the fault cannot be settled: check it first. *addr: where;
 * *why: one of the VM_WHY_* texts, for a message.
 */
int vm_thread_signal(struct vm_thread *t, uint64_t *addr, const char **why);
/* This step has made an access, though it may end in VM_STEP_FAULT now. A
 * thread that faults ten thousand times between the same pages without saying
 * so is taken for one that never gets on (RAM is too small for it), and gets
 * SIGBUS. */
void vm_thread_progress(struct vm_thread *t);
/* Call me again after so long: return VM_STEP_WAIT after this. */
void vm_thread_sleep(struct vm_thread *t, uint64_t ns);
/* msync without blocking: return VM_STEP_WAIT after 0; then the result is
 * vm_thread_result(). */
int vm_thread_msync(struct vm_thread *t, uint64_t addr, uint64_t len,
		    unsigned flags);
/* vm_sync() and vm_evict() in the same manner. */
int vm_thread_sync(struct vm_thread *t);
int vm_thread_evict(struct vm_thread *t, uint64_t nframes);
/* Wait until there are free frames, after a call that said -ENOMEM: return
 * VM_STEP_WAIT; then vm_thread_result() is 0, try again, or -ENOMEM: there is
 * nothing that pageout could free. */
void vm_thread_memory(struct vm_thread *t);
/* Wait until *another* thread calls vm_thread_wake() on this one. A wake
 * that comes first is kept (one of them). */
void vm_thread_park(struct vm_thread *t);
void vm_thread_wake(struct vm_thread *t);
int vm_thread_result(const struct vm_thread *t);

/* ---- the machine as a whole ---- */

/* Write every dirty file page and wait. => 0 or the first error. */
int vm_sync(struct vm *vm);
/* Who waits for memory gets it no more: SIGBUS. */
void vm_interrupt(struct vm *vm);
/* Write out and free what can be freed, up to @nframes; waits. => frames
 * freed. */
uint64_t vm_evict(struct vm *vm, uint64_t nframes);
/* Walk every structure; abort with a message on the first lie. Quiet or not:
 * takes the locks it needs. */
void vm_check(struct vm *vm);
uint64_t vm_now_ns(struct vm *vm);

/* Counters: name and value, Linux's names where Linux has them. Index 0.. =>
 * false past the last. */
bool vm_stat(struct vm *vm, unsigned index, const char **name, uint64_t *value);
/* By name. => false: no such counter. */
bool vm_stat_get(struct vm *vm, const char *name, uint64_t *value);

#endif
