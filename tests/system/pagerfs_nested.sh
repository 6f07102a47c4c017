#!/usr/bin/env bash
# A file system mounted inside SOURCE: its files have numbers of their own,
# said by readdir(3) as by stat(2). They cannot be reopened by handle and need a
# descriptor each; what cannot get one is not made.
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

cat >"$dir/numbers.py" <<'END'
import os, sys
numbers = {e.name: e.inode() for e in os.scandir(sys.argv[1])}
print(len(numbers), sum(number != os.lstat(sys.argv[1] + "/" + name).st_ino
                        for name, number in numbers.items()))
END
mkdir "$src/many" "$src/sub/many"
(cd "$src/many" && seq 300 | xargs touch)
(cd "$src/sub/many" && seq 300 | xargs touch)
mount_store "$src" "$mnt"
for where in many sub/many; do
	check_equal "$where: files, other numbers" "300 0" \
		"$(python3 "$dir/numbers.py" "$mnt/$where" 2>&1)"
done
umount_store "$mnt"

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
