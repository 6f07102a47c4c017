#!/usr/bin/env bash
# A client that has the daemon's whole attention and then becomes another
# program: in execve() its files are closed, each with a request to the daemon,
# and until it is through, whoever reads its /proc/PID/stat waits, too. A
# daemon that did would wait for a client that waits for it, and nothing but
# an abort of the connection could end them.
. "$(dirname "$0")/lib.sh"
time_limit 60
need python3
src=$dir/src mnt=$dir/mnt
mount_store "$src" "$mnt"
head -c 1M /dev/zero >"$src/f"
cat >"$dir/client.py" <<'END'
import mmap, os, sys
files = [os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT) for _ in range(200)]
page = mmap.mmap(-1, 4096)
for i in range(3000):
    os.preadv(files[0], [page], 4096 * (i % 200))
os.execv("/bin/true", ["true"])
END
for i in 1 2 3 4 5 6 7 8 9 10; do
	timeout -k 1 10 python3 "$dir/client.py" "$mnt/f"
	check_equal "client $i: status" 0 $?
	[ $failures = 0 ] || exit 1
done
umount_store "$mnt"
finish
