#!/usr/bin/env bash
# A file known by its handle only goes away in SOURCE, and another gets its
# inode number and has held writes: what is asked of the first changes nothing
# of the second.
. "$(dirname "$0")/lib.sh"
time_limit 30
need python3
need_root	# others have no handles
src=$dir/src mnt=$dir/mnt
mkdir -p "$src"
for i in {1..80}; do : >"$src/x$i"; done
echo old >"$src/first"
mount_store "$src" "$mnt" -o "attr_timeout=1000,entry_timeout=1000" \
	-o "inode_fds=64,inject=write * hold"
timeout 20 python3 - "$mnt" "$src" >"$dir/out" 2>&1 <<'END'
import errno, os, sys
mnt, src = sys.argv[1:]
keep = [os.open(f"{mnt}/x{i}", os.O_PATH) for i in range(1, 81)]
first = os.open(f"{mnt}/first", os.O_PATH)
number = os.stat(f"{src}/first").st_ino
os.unlink(f"{src}/first")
for i in range(1000):
    real = f"{src}/second{i}"
    os.close(os.open(real, os.O_CREAT | os.O_WRONLY))
    if os.stat(real).st_ino == number:
        break
else:
    sys.exit(77)
second = os.open(f"{mnt}/second{i}", os.O_RDWR)
os.pwrite(second, b"B" * 8192, 0)
try:
    os.truncate(f"/proc/self/fd/{first}", 100)
    print("truncated")
except OSError as e:
    print(errno.errorcode[e.errno])
print("real", os.stat(real).st_size)
os.fsync(second)
print("synced", open(real, "rb").read() == b"B" * 8192)
END
[ $? = 77 ] && skip "this file system uses no inode number again"
check_equal "the first, and the second" "ESTALE;real 0;synced True" \
	"$(paste -sd';' <"$dir/out")"
umount_store "$mnt"
finish
