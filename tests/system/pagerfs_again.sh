#!/usr/bin/env bash
# A call into SOURCE that was interrupted is made again: nobody interrupts the
# daemon but the ring, and its clients had no signal. SOURCE is another pagerfs,
# whose rules interrupt every second call. One that always says so is believed.
. "$(dirname "$0")/lib.sh"
time_limit 40
need_root
need python3
src=$dir/src low=$dir/low mnt=$dir/mnt
io=$BUILD/tests/fs/tool_io
need "$io"
mkdir -p "$src/d"
mount_store "$src" "$low" -o attr_timeout=0,entry_timeout=0
lower=$store_pid
mount_store "$low" "$mnt" -o attr_timeout=0,entry_timeout=0

# Calls that Python itself does not make again
cat >"$dir/calls.py" <<'END'
import os, sys
at = sys.argv[1] + "/"
for i in range(10):
    for what, call in (
            ("mkdir", lambda: os.mkdir(at + "e")),
            ("mknod", lambda: os.mknod(at + "f")),
            ("symlink", lambda: os.symlink("f", at + "s")),
            ("readlink", lambda: os.readlink(at + "s")),
            ("link", lambda: os.link(at + "f", at + "l")),
            ("rename", lambda: os.rename(at + "l", at + "e/g")),
            ("stat", lambda: os.stat(at + "e/g")),
            ("chmod", lambda: os.chmod(at + "f", 0o600)),
            ("chown", lambda: os.chown(at + "f", 1, 1)),
            ("utime", lambda: os.utime(at + "f", (1, 1))),
            ("truncate", lambda: os.truncate(at + "f", 5000)),
            ("setxattr", lambda: os.setxattr(at + "f", "user.a", b"b")),
            ("getxattr", lambda: os.getxattr(at + "f", "user.a")),
            ("listxattr", lambda: os.listxattr(at + "f")),
            ("removexattr", lambda: os.removexattr(at + "f", "user.a")),
            ("listdir", lambda: os.listdir(at + "e")),
            ("statvfs", lambda: os.statvfs(at + "e")),
            ("unlink", lambda: os.unlink(at + "e/g")),
            ("unlink", lambda: os.unlink(at + "f")),
            ("unlink", lambda: os.unlink(at + "s")),
            ("rmdir", lambda: os.rmdir(at + "e"))):
        try:
            call()
        except OSError as e:
            print(what, e.strerror)
END
echo 'all * p=1/2 error=EINTR' | cat >"$low/.pagerfs/rules"
check_equal "names and attributes" "" \
	"$(python3 "$dir/calls.py" "$mnt/d" 2>&1 | sort | uniq -c)"
for i in {1..10}; do
	check_equal "data" "open 0;write 5000;fsync 0;truncate 0;read 100" \
		"$("$io" -c open "$mnt/d/new$i" write 0 5000 66 fsync \
		truncate 100 read 0 200 | cut -d' ' -f1,2 | paste -sd';')"
	check "room" fallocate -l 8K "$mnt/d/new$i"
done
echo 'unlink new1 error=EINTR' | cat >"$low/.pagerfs/rules"
check "always" bash -c "rm '$mnt/d/new1' 2>&1 | grep -q 'Interrupted'"
echo clear >"$low/.pagerfs/ctl"
umount_store "$mnt"
store_pid=$lower
umount_store "$low"
finish
