#!/usr/bin/env bash
# Descriptors: however many files the kernel remembers the daemon needs few;
# when clients have as many open as it may, they are told so; and when the
# kernel forgets, every lookup has been counted right: nothing is left.
. "$(dirname "$0")/lib.sh"
time_limit 60
need python3
src=$dir/src mnt=$dir/mnt
mkdir -p "$src/many"
(cd "$src/many" && seq -f f%05g 5000 | xargs touch)

count_descriptors() {
	local all=("/proc/$store_pid/fd/"*)
	echo ${#all[@]}
}

has_descriptors() {
	[ "$(count_descriptors)" = "$1" ]
}

# The kernel drops what it remembers of this mount, and tells the daemon.
forget() {
	mount -i -o remount,rw "$mnt"
}

if [ "$(id -u)" = 0 ]; then
	mount_store "$src" "$mnt" -o inode_fds=100
	before=$(count_descriptors)
	check_equal "files seen" 5000 \
		"$(find "$mnt/many" -type f -printf '%s\n' | wc -l)"
	has=$(count_descriptors)
	[ "$has" -le $((before + 110)) ] ||
		fail "5000 files remembered with $has descriptors"
	check "they still work" chmod 600 "$mnt/many/f04999"
	check_equal "below as well" 600 "$(stat -c %a "$src/many/f04999")"
	check "replaced below" bash -c "rm '$src/many/f04998' &&
		echo new >'$src/many/other' &&
		mv '$src/many/other' '$src/many/f04998'"
	sleep 1.1
	check_equal "the new one is seen" new "$(cat "$mnt/many/f04998")"
	# A file that keeps a name needs no descriptor; one that is held
	# without any does.
	mkdir "$src/more" "$src/full" "$src/full/"{a..z}{a..z}
	touch "$src/full/"{a..z}{a..z}/f
	check "second names" cp -rl "$src/many/." "$src/more"
	has=$(count_descriptors)
	ls -lR "$mnt/more" "$mnt/full" >/dev/null
	check "are removed" find "$mnt/more" -type f -delete
	rmdir "$mnt/full/"?? 2>/dev/null && fail "a full directory removed"
	[ "$(count_descriptors)" -le $((has + 10)) ] ||
		fail "names removed: $(count_descriptors) descriptors, not $has"
	exec 3<"$mnt/many/f04997"
	check "a last name" rm "$mnt/many/f04997"
	check_equal "its file" 0 "$(stat -L -c %h "/dev/fd/3")"
	exec 3<&-
	umount_store "$mnt"
else
	say "not root: file handles left out"
fi

# As many open as there may be. A daemon may raise its limit as far as the
# hard one, so that has to be low.
cat >"$dir/open.py" <<'END'
import errno, os, resource, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held, told = [], set()
for i in range(3000):
    try:
        held.append(os.open("%s/f%05d" % (sys.argv[1], i + 1), os.O_RDONLY))
    except OSError as e:
        told.add(errno.errorcode[e.errno])
for fd in held[:50]:
    os.close(fd)
again = os.open(sys.argv[1] + "/f00001", os.O_RDONLY)
print(len(held) >= 600, told)
END
mount_limited() {
	(
		ulimit -n 1500
		exec "$BUILD/pagerfs" -f "$src" "$mnt" 2>>"$dir/store.log"
	) &
	store_pid=$!
	echo "$store_pid" >>"$guard/pids"
	wait_for 5 is_mounted "$mnt" || fail "did not mount"
	guard_mount "$mnt"
}
mount_limited
check_equal "1500 descriptors" "True {'ENFILE'}" \
	"$(python3 "$dir/open.py" "$mnt/many" 2>&1)"
check "said in the log" grep -q 'out of descriptors.*ulimit -n' \
	"$dir/store.log"
umount_store "$mnt"

# The same when it is the kernel that has none for the daemon.
cat >"$dir/none.py" <<'END'
import errno, os, resource, sys
mnt, pid = sys.argv[1], int(sys.argv[2])
def says(what, call):
    try:
        call()
        print(what, "ok")
    except OSError as e:
        print(what, errno.errorcode[e.errno])
os.chmod(mnt + "/f", 0o666)
fd = os.open(mnt + "/f", os.O_WRONLY)
os.write(fd, b"data")
limit = resource.prlimit(pid, resource.RLIMIT_NOFILE)
resource.prlimit(pid, resource.RLIMIT_NOFILE, (8, limit[1]))
says("close", lambda: os.close(fd))
if os.geteuid() == 0:
    os.seteuid(1234)
    says("truncate", lambda: os.truncate(mnt + "/f", 2))
    os.seteuid(0)
says("create", lambda: os.open(mnt + "/new", os.O_CREAT | os.O_WRONLY))
resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
END
wanted="close ENFILE;truncate ENFILE;create ENFILE"
[ "$(id -u)" = 0 ] || wanted="close ENFILE;create ENFILE"
chmod 755 "$dir" && chmod 777 "$src" && : >"$src/f"
mount_store "$src" "$mnt" -o writeback"$([ "$(id -u)" != 0 ] ||
	echo ,allow_other)"
check_equal "none left" "$wanted" \
	"$(python3 "$dir/none.py" "$mnt" "$store_pid" 2>&1 | paste -sd';')"
umount_store "$mnt"

# Exact counts: with a descriptor for each inode, what is left is seen.
if [ "$(id -u)" = 0 ]; then
	mount_store "$src" "$mnt" -o inode_fds=9000
	forget
	before=$(count_descriptors)
	for i in 1 2 3 4; do
		(
			cd "$mnt" || exit
			for j in 1 2 3 4 5 6 7 8 9 10; do
				ls -l many >/dev/null
				mkdir d$i
				echo $j >d$i/f
				ln d$i/f d$i/link
				ln -s f d$i/soft
				mkfifo d$i/fifo
				mv d$i/f many/f0100$j
				stat d$i/* many/f0000[0-9] >/dev/null
				rm -r d$i
			done
		) 2>/dev/null &
	done
	for job in $(jobs -p); do
		[ "$job" = "$store_pid" ] || [ "$job" = "$watchdog" ] ||
			wait "$job"
	done
	[ "$(count_descriptors)" -gt $((before + 4000)) ] ||
		fail "the kernel remembers nothing: this tests nothing"
	forget
	wait_for 10 has_descriptors "$before" ||
		fail "forgotten, but $(count_descriptors) of $before" \
			"descriptors are held"
	umount_store "$mnt"
fi

# A handle of the mount, kept beyond its file, opens no other one: addresses of
# inodes are used again.
cat >"$dir/handles.py" <<'END'
import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
mnt = sys.argv[1]
root = os.open(mnt, os.O_RDONLY)
wrong = 0
for i in range(50):
    path = "%s/h%d" % (mnt, i)
    open(path, "w").close()
    handle = ctypes.create_string_buffer(136)
    ctypes.memmove(handle, (128).to_bytes(4, "little"), 4)
    mount = ctypes.c_int()
    if libc.name_to_handle_at(-100, path.encode(), handle,
                              ctypes.byref(mount), 0):
        sys.exit("no handles: " + os.strerror(ctypes.get_errno()))
    os.unlink(path)
    next = "%s/n%d" % (mnt, i)
    with open(next, "w") as f:
        f.write("another")
    fd = libc.open_by_handle_at(root, handle, os.O_RDONLY)
    if fd >= 0:
        wrong += os.read(fd, 7) == b"another"
        os.close(fd)
    os.unlink(next)
print(wrong)
END
if [ "$(id -u)" = 0 ]; then
	mount_store "$src" "$mnt"
	check_equal "files that were another" 0 \
		"$(python3 "$dir/handles.py" "$mnt" 2>&1)"
	umount_store "$mnt"
fi
finish
