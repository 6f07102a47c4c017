#!/usr/bin/env bash
# A file system mounted inside SOURCE: its files cannot be reopened by handle
# and need a descriptor each; what cannot get one is not made.
if [ "$(id -u)" = 0 ] && [ -z "$PAGERFS_TEST_NAMESPACE" ]; then
	PAGERFS_TEST_NAMESPACE=1 exec unshare -m --propagation private \
		"$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
time_limit 40
need_root
need python3
src=$dir/src mnt=$dir/mnt
mkdir -p "$src/sub"
mount -t tmpfs none "$src/sub" || skip "cannot mount a tmpfs"

cat >"$dir/make.py" <<'END'
import errno, os, sys
mnt, src = sys.argv[1] + "/sub/", sys.argv[2] + "/sub/"
def says(name, call):
    try:
        call(mnt + name)
        said = "ok"
    except OSError as e:
        said = errno.errorcode[e.errno]
    print(name, said, "is there" if os.path.lexists(src + name) else "is not")
held = []
try:
    for i in range(1000):
        os.mknod(mnt + "f%d" % i)
        held.append(os.open(mnt + "f%d" % i, os.O_PATH))
except OSError as e:
    print("full:", errno.errorcode[e.errno])
says("create", lambda name: os.open(name, os.O_CREAT | os.O_RDWR))
says("mkdir", os.mkdir)
says("mknod", os.mkfifo)
says("symlink", lambda name: os.symlink("to", name))
says("link", lambda name: os.link(mnt + "f0", name))
says("../elsewhere", os.mkdir)
for fd in held[:9]:
    os.close(fd)
for i in range(9):
    os.unlink(mnt + "f%d" % i)
says("again", os.mkdir)
END
mount_store "$src" "$mnt" -o inode_fds=100
check_equal "no room" "full: ENFILE;create ENFILE is not;\
mkdir ENFILE is not;mknod ENFILE is not;symlink ENFILE is not;link ok is there;\
../elsewhere ok is there;again ok is there" \
	"$(python3 "$dir/make.py" "$mnt" "$src" 2>&1 | paste -sd';')"
umount_store "$mnt"
umount "$src/sub"
finish
