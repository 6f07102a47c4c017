/*
 * caller.c - switch this thread's file-system user and group, and back.
 *
 * setfsuid(2) and setfsgid(2) hold for one thread. Leaving user 0 drops the
 * file-system capabilities from the effective set; the permitted set keeps
 * them, so capset(2) brings them back. Returning to 0 restores all.
 *
 * The umask belongs to what threads share as CLONE_FS, so a serving thread
 * first gets that for itself. It counts only where something is made, and all
 * that is made is made between caller_enter() and caller_leave(): so it stays
 * until there is a caller who has another.
 */
#include "fs/caller.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

static __thread mode_t caller_umask;	/* this thread's */
static __thread uint32_t caller_lacks;	/* capabilities, of the first 32 */

static void caller_keep_capabilities(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return;
	data[0].effective = data[0].permitted & ~caller_lacks;
	data[1].effective = data[1].permitted;
	syscall(SYS_capset, &header, data);
}

/*
 * A new file's set-group-ID bit must go if its maker is not in the group that
 * its directory gives it. Linux 6.0 sees to that before we are asked. Before,
 * the file system below does, unless we are capable of keeping it.
 */
static uint32_t caller_find_lacks(void)
{
	struct utsname system;

	return uname(&system) || atoi(system.release) < 6 ? 1u << CAP_FSETID :
							    0;
}

int caller_start(void)
{
	caller_lacks = caller_find_lacks();
	/* Nothing is in the way of unmounting where we were started. */
	if (unshare(CLONE_FS) || chdir("/"))
		return -errno;
	umask(0);
	caller_umask = 0;
	return 0;
}

static void caller_take_umask(mode_t mask)
{
	if (mask == caller_umask)
		return;
	umask(mask);
	caller_umask = mask;
}

struct caller caller_enter(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct caller caller = { false };

	caller_take_umask(ctx->umask & 0777);
	if (!volume_of(req)->privileged || (!ctx->uid && !ctx->gid))
		return caller;
	setfsgid(ctx->gid);
	setfsuid(ctx->uid);
	if (ctx->uid)
		caller_keep_capabilities();
	caller.switched = true;
	return caller;
}

void caller_leave(struct caller caller)
{
	if (!caller.switched)
		return;
	setfsuid(0);
	setfsgid(0);
}

/* A user namespace of his own gives a caller capabilities that count there. */
static bool caller_is_at_home(pid_t pid)
{
	char name[40];
	struct stat his, ours;

	snprintf(name, sizeof(name), "/proc/%d/ns/user", pid);
	return !stat(name, &his) && !stat("/proc/self/ns/user", &ours) &&
	       his.st_ino == ours.st_ino;
}

/* The first 32 that @pid has in his user namespace. => false: not known. */
static bool caller_capabilities(pid_t pid, uint32_t *effective)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
		.pid = pid,
	};
	struct __user_cap_data_struct data[2];

	/* 0: not known here, and to capget(2) ourselves. */
	if (!pid || syscall(SYS_capget, &header, data))
		return false;
	*effective = data[0].effective;
	return true;
}

bool caller_is_trusted(fuse_req_t req)
{
	pid_t pid = fuse_req_ctx(req)->pid;
	uint32_t has;

	return caller_capabilities(pid, &has) && has & 1u << CAP_SYS_ADMIN &&
	       caller_is_at_home(pid);
}

bool caller_keeps_setid(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	uint32_t has;

	return !ctx->uid && (!caller_capabilities(ctx->pid, &has) ||
			     has & 1u << CAP_FSETID);
}
