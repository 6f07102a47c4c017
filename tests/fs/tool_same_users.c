/*
 * tool_same_users.c - ACLs, owners, set-id bits, flags, xattrs, as below.
 */
#include "tests/fs/same.h"

#include <linux/capability.h>
#include <sched.h>

struct acl_entry {
	uint16_t tag, perm;
	uint32_t id;
};

struct acl {
	uint32_t version;
	struct acl_entry entries[5];
};

static const struct acl acl_wide = {
	2, { { 1, 7, -1 }, { 2, 7, 1234 }, { 4, 5, -1 }, { 16, 7, -1 },
	     { 32, 0, -1 } },
};

static void note_acl(const char *name, const char *which)
{
	struct acl acl = { 0 };
	ssize_t length = getxattr(name, which, &acl, sizeof(acl));
	unsigned int i;

	said(which, length);
	for (i = 0; length > 0 && i < (length - 4) / sizeof(*acl.entries); i++)
		note("  %d %o %d\n", acl.entries[i].tag, acl.entries[i].perm,
		     acl.entries[i].id);
}

static void acl_user(void)
{
	opened("allowed by the ACL", open("acl", O_RDWR));
	opened("denied by it", open("acl2", O_RDONLY));
	said("set another's", setxattr("acl", "system.posix_acl_access",
				       &acl_wide, sizeof(acl_wide), 0));
}

static void case_acl(void)
{
	struct acl narrow = acl_wide;

	narrow.entries[1].perm = 0;
	mkdir("d", 0755);
	said("default", setxattr("d", "system.posix_acl_default", &acl_wide,
				 sizeof(acl_wide), 0));
	umask(077);
	make_file("d/f", 1);
	mkdir("d/d", 0777);
	mknod("d/n", S_IFIFO | 0666, 0);
	make_file("f", 1);
	umask(027);
	mkdir("e", 0777);
	umask(0);
	note_stat("d/f");
	note_stat("d/d");
	note_stat("d/n");
	note_stat("f");
	note_stat("e");
	note_acl("d/f", "system.posix_acl_access");
	note_acl("d/d", "system.posix_acl_default");
	note_acl("f", "system.posix_acl_access");
	said("chmod", chmod("d/f", 0604));
	note_acl("d/f", "system.posix_acl_access");
	make_file("acl", 1);
	make_file("acl2", 1);
	chmod("acl", 0600);
	chmod("acl2", 0604);
	said("access", setxattr("acl", "system.posix_acl_access", &acl_wide,
				sizeof(acl_wide), 0));
	said("deny", setxattr("acl2", "system.posix_acl_access", &narrow,
			      sizeof(narrow), 0));
	note_stat("acl");
	as_user(1234, 1234, acl_user);
	as_user(1235, 1235, acl_user);
	narrow.entries[0].tag = 99;
	said("nonsense", setxattr("acl", "system.posix_acl_access", &narrow,
				  sizeof(narrow), 0));
	said("remove", removexattr("acl", "system.posix_acl_access"));
	note_stat("acl");
}

static void owner_user(void)
{
	make_file("d/mine", 5);
	mkdir("d/sub", 0777);
	symlink("x", "d/soft");
	mknod("d/pipe", S_IFIFO | 0666, 0);
	close(open("d", O_TMPFILE | O_RDWR, 0666));
	close(open("d/odd", O_CREAT | O_RDWR, 02777));
	said("chmod setgid", chmod("d/mine", 02777));
	said("give away", chown("d/mine", 5, 5));
	said("another's", chmod("other", 0777));
	said("its time", utimensat(AT_FDCWD, "other", NULL, 0));
	said("unlink another's", unlink("other"));
	said("in a sticky directory", unlink("sticky/x"));
	opened("its data", open("other", O_RDONLY));
	opened("its data, to write", open("other", O_WRONLY));
}

static void case_owner(void)
{
	mkdir("d", 0);
	chown("d", 0, 77);
	chmod("d", 02777);
	mkdir("sticky", 0);
	chmod("sticky", 01777);
	make_file("sticky/x", 1);
	make_file("other", 1);
	chmod("other", 0640);
	umask(022);
	as_user(1234, 4321, owner_user);
	umask(0);
	note_stat("d/mine");
	note_stat("d/sub");
	note_stat("d/soft");
	note_stat("d/pipe");
	note_stat("d/odd");
}

static void setid_reset(mode_t mode)
{
	chown("f", 1234, 1234);
	chmod("f", mode);
}

static void (*setid_change)(int fd);

static void setid_user(void)
{
	int fd = opened("open", open("f", O_RDWR));

	if (fd < 0)
		return;
	setid_change(fd);
	close(fd);
}

static void setid_write(int fd) { pwrite(fd, "x", 1, 0); }
static void setid_truncate(int fd) { ftruncate(fd, 77); }
static void setid_fallocate(int fd) { fallocate(fd, 0, 0, 9999); }
static void setid_chown(int fd) { fchown(fd, 1234, 1234); }

static void setid_copy(int fd)
{
	off_t from = 0, to = 50;

	copy_file_range(fd, &from, fd, &to, 20, 0);
}

static void setid_direct(int fd)
{
	void *page = aligned_alloc(4096, 4096);

	memset(page, 1, 4096);
	fcntl(fd, F_SETFL, O_DIRECT);
	pwrite(fd, page, 4096, 0);
	free(page);
}

static void setid_map(int fd)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  0);

	page[0] = 1;
	munmap(page, 4096);
	fsync(fd);
}

static void case_setid(void)
{
	static const struct { const char *what; void (*change)(int); } how[] = {
		{ "write", setid_write }, { "direct write", setid_direct },
		{ "truncate", setid_truncate }, { "chown", setid_chown },
		{ "fallocate", setid_fallocate }, { "copy", setid_copy },
		{ "mapping", setid_map },
	};
	static const mode_t modes[] = { 06777, 06766, 02676, 04711 };
	size_t i, j;

	make_file("f", 100);
	for (i = 0; i < sizeof(how) / sizeof(*how); i++) {
		for (j = 0; j < sizeof(modes) / sizeof(*modes); j++) {
			note("%s, %o:\n", how[i].what, modes[j]);
			setid_change = how[i].change;
			
			setid_reset(modes[j]);
			setid_user();
			note_stat("f");
			setid_reset(modes[j]);
			as_user(1234, 1234, setid_user);
			note_stat("f");
			setid_reset(modes[j]);
			as_user(1235, 1235, setid_user);
			note_stat("f");
		}
	}
}

static void chown_user(void)
{
	said("its group", chown("f", -1, getegid()));
	note_stat("f");
}

static void chown_user_same(void)
{
	said("its owner", chown("f", geteuid(), -1));
	note_stat("f");
}

/* By one who is, and by one who is not, in the file's group. */
static void case_chown_setid(void)
{
	static const mode_t modes[] = { 06777, 02747, 06747, 06666, 02070 };
	static void (*const how[])(void) = { chown_user, chown_user_same };
	static const gid_t groups[] = { 77, 1234 };
	size_t i, j, k;

	make_file("f", 100);
	for (i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		for (j = 0; j < 2; j++) {
			for (k = 0; k < 2; k++) {
				note("%o, group %d\n", modes[i], groups[k]);
				chown("f", 1234, groups[k]);
				chmod("f", modes[i]);
				as_user(1234, 1234, how[j]);
			}
			chown("f", 1234, 77);
			chmod("f", modes[i]);
			how[j]();
		}
	}
}

static void flags_user(void)
{
	int fd = open("f", O_RDONLY), flags = FS_IMMUTABLE_FL;

	said("immutable, by a user", ioctl(fd, FS_IOC_SETFLAGS, &flags));
	flags = FS_NODUMP_FL;
	said("another's", ioctl(fd, FS_IOC_SETFLAGS, &flags));
	close(fd);
}

static void flags_append(void)
{
	int log = opened("to append", open("f", O_RDWR | O_APPEND));

	said("append", write(log, "appended", 8));
	note_stat("f");
	note_sum("f");
	close(log);
}

static void case_flags(void)
{
	int fd, flags = 0;
	struct stat st;
	long before;
	struct fsxattr xattr = { 0 };

	make_file("f", 10);
	mkdir("d", 0755);
	fd = open("f", O_RDWR);
	said("get", ioctl(fd, FS_IOC_GETFLAGS, &flags));
	flags |= FS_NODUMP_FL | FS_NOATIME_FL;
	if (said("set", ioctl(fd, FS_IOC_SETFLAGS, &flags)) < 0)
		return;
	said("get", ioctl(fd, FS_IOC_GETFLAGS, &flags));
	note("  %x\n", flags);
	stat("f", &st);
	usleep(20000);
	said("set", ioctl(fd, FS_IOC_SETFLAGS, &flags));
	before = st.st_ctim.tv_nsec;
	stat("f", &st);
	/* With its write cache the kernel takes its own word for times. */
	if (!getenv("SAME_WRITE_CACHE"))
		said("ctime moves", st.st_ctim.tv_nsec != before);
	said("xattr", ioctl(fd, FS_IOC_FSGETXATTR, &xattr));
	note("  %x %u\n", xattr.fsx_xflags, xattr.fsx_projid);
	flags |= FS_IMMUTABLE_FL;
	said("immutable", ioctl(fd, FS_IOC_SETFLAGS, &flags));
	opened("write an immutable file", open("f", O_WRONLY));
	said("unlink it", unlink("f"));
	flags &= ~FS_IMMUTABLE_FL;
	said("mutable", ioctl(fd, FS_IOC_SETFLAGS, &flags));
	flags |= FS_APPEND_FL;
	said("append-only", ioctl(fd, FS_IOC_SETFLAGS, &flags));
	opened("to overwrite", open("f", O_RDWR));
	opened("to truncate", open("f", O_RDWR | O_APPEND | O_TRUNC));
	flags_append();
	flags &= ~FS_APPEND_FL;
	said("any", ioctl(fd, FS_IOC_SETFLAGS, &flags));
	as_user(1234, 1234, flags_user);
	chown("f", 1234, 1234);
	as_user(1234, 1234, flags_user);
	close(fd);
	fd = open("d", O_RDONLY);
	said("of a directory", ioctl(fd, FS_IOC_GETFLAGS, &flags));
	said("another ioctl", ioctl(fd, _IOR('f', 77, int), &flags));
	close(fd);
}

/* What there is, and how much room it takes; without room for half of it. */
static void xattr_list(void)
{
	char names[1024], *name;
	ssize_t length = listxattr("f", names, sizeof(names));

	said("size", listxattr("f", NULL, 0));
	said("list", length);
	for (name = names; name < names + length; name += strlen(name) + 1)
		note("  %s\n", name);
	if (length > 0)
		said("as much room", listxattr("f", names, length));
	said("too little", listxattr("f", names, 8));
	said("its value", getxattr("f", "trusted.b", names, sizeof(names)));
}

static void xattr_lower(unsigned int capability, bool lower)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		abort();
	if (lower)
		data[0].effective &= ~(1u << capability);
	else
		data[0].effective = data[0].permitted;
	if (syscall(SYS_capset, &header, data))
		abort();
}

/* All capabilities, but in a namespace of one's own. => The list's length. */
static int xattr_elsewhere(void)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid)
		_exit(unshare(CLONE_NEWUSER) ? 255 :
		      listxattr("f", NULL, 0));
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static void case_xattr(void)
{
	make_file("f", 1);
	said("user", setxattr("f", "user.a", "1", 1, 0));
	said("trusted", setxattr("f", "trusted.b", "2", 1, 0));
	said("user", setxattr("f", "user.c", "3", 1, 0));
	said("trusted", setxattr("f", "trusted.longer-than-user", "4", 1, 0));
	xattr_list();
	as_user(1234, 1234, xattr_list);
	xattr_lower(CAP_SYS_ADMIN, true);
	xattr_list();
	xattr_lower(CAP_SYS_ADMIN, false);
	said("elsewhere", xattr_elsewhere());
}

int main(int argc, char **argv)
{
	static const struct same_case cases[] = {
		SAME_CASE(acl),
		SAME_ROOT_CASE(owner),
		SAME_ROOT_CASE(setid),
		SAME_ROOT_CASE(chown_setid),
		SAME_CASE(flags),
		SAME_ROOT_CASE(xattr),
	};

	return same_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
