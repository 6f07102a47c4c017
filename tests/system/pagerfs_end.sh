#!/usr/bin/env bash
# How the daemon ends and begins: signals under load, a mount whose daemon
# was killed, and everything that must be refused with one clear line.
. "$(dirname "$0")/lib.sh"
time_limit 40
need fio
src=$dir/src mnt=$dir/mnt
mkdir -p "$src" "$mnt"

for signal in TERM INT HUP; do
	mount_store "$src" "$mnt"
	fio --name=load --directory="$mnt" --size=4M --rw=randrw --bs=4k \
		--ioengine=io_uring --direct=1 --iodepth=8 --time_based \
		--runtime=1 >/dev/null 2>&1 &
	load=$!
	sleep 0.5
	kill -$signal "$store_pid"
	wait "$store_pid"
	check_equal "status after SIG$signal" 0 $?
	wait $load
	check "no mount left by SIG$signal" bash -c "! grep -q ' $mnt ' \
		/proc/self/mounts"
done

# not a descriptor left to look at the table of mounts with
mount_store "$src" "$mnt"
check "no descriptors" prlimit --pid "$store_pid" --nofile=8:8
kill -TERM "$store_pid"
wait "$store_pid"
check "no mount left by one without descriptors" bash -c "! grep -q ' $mnt ' \
	/proc/self/mounts"

# one that was started to outlive its terminal
(trap '' HUP; exec "$BUILD/pagerfs" -f "$src" "$mnt" 2>>"$dir/store.log") &
store_pid=$!
echo "$store_pid" >>"$guard/pids"
wait_for 5 is_mounted "$mnt" || fail "no mount"
guard_mount "$mnt"
kill -HUP "$store_pid"
sleep 0.1
echo still >"$mnt/still"
check_equal "served after an ignored SIGHUP" still "$(cat "$src/still")"
kill -TERM "$store_pid"
wait "$store_pid"
check_equal "status after SIGTERM" 0 $?

# kill -9: the mount is stale; say so, and the said command clears it
mount_store "$src" "$mnt"
kill -KILL "$store_pid"
{ wait "$store_pid"; } 2>/dev/null
"$BUILD/pagerfs" "$src" "$mnt" 2>"$dir/err" && fail "mounted over a stale one"
check "the line names the command" grep -q "fusermount3 -uz $mnt" "$dir/err"
check_equal "one line" 1 "$(wc -l <"$dir/err")"
check "the command works" fusermount3 -uz "$mnt"
mount_store "$src" "$mnt"
echo again >"$mnt/again"
check_equal "served again" again "$(cat "$src/again")"

# refuse WHAT PATTERN ARGUMENTS...: non-zero, one line, no mount
refuse() {
	local what=$1 pattern=$2 before after
	shift 2
	before=$(grep -c " $dir" /proc/self/mounts)
	timeout 10 "$BUILD/pagerfs" "$@" 2>"$dir/err" && fail "$what: accepted"
	after=$(grep -c " $dir" /proc/self/mounts)
	check_equal "$what: mounts" "$before" "$after"
	check_equal "$what: lines" 1 "$(wc -l <"$dir/err")"
	check "$what: $(cat "$dir/err")" grep -Eq "$pattern" "$dir/err"
}
mkdir -p "$src/in" "$dir/free"
echo file >"$dir/file"
refuse "mounted twice" 'already.*fusermount3 -u' "$src" "$mnt"
umount_store "$mnt"
refuse "no SOURCE" "SOURCE $dir/none: there is no" "$dir/none" "$mnt"
refuse "no MOUNTPOINT" "MOUNTPOINT $dir/none: there" "$src" "$dir/none"
refuse "SOURCE a file" "not a directory" "$dir/file" "$mnt"
refuse "MOUNTPOINT a file" "not a directory" "$src" "$dir/file"
refuse "MOUNTPOINT in SOURCE" "serve itself" "$src" "$src/in"
refuse "MOUNTPOINT is SOURCE" "serve itself" "$src" "$src"
refuse "one argument" "MOUNTPOINT is missing" "$src"
refuse "SOURCE empty" "SOURCE is empty: name" '' "$mnt"
refuse "MOUNTPOINT empty" "MOUNTPOINT is empty: name" "$src" ''
refuse "three arguments" "too many" "$src" "$mnt" "$dir/free"
refuse "unknown option" "$mnt: unknown.*-o no_such_option'.*pagerfs -h" \
	-o no_such_option "$src" "$mnt"
refuse "unknown options" "$mnt: unknown.*\`--no --such'.*pagerfs -h" \
	--no --such "$src" "$mnt"
refuse "bad max_read" "$mnt: .*max_read=abc" -o max_read=abc "$src" "$mnt"
refuse "seed 0" "seed=0: expected a number from 1" -o seed=0 "$src" "$mnt"
refuse "record empty" "record= is empty: name" -o record= "$src" "$mnt"
refuse "rules empty" "rules= is empty: name" -o rules= "$src" "$mnt"
refuse "bad timeout" "seconds" -o attr_timeout=-1 "$src" "$mnt"
# too few descriptors, wherever they end: it says so
for few in {4..14}; do
	if timeout 10 prlimit --nofile="$few:$few" "$BUILD/pagerfs" "$src" \
			"$dir/free" 2>"$dir/err"; then
		guard_mount "$dir/free"
		check "$few descriptors" take_away "$dir/free"
	else
		check "$few descriptors: a line" grep -q '^pagerfs: ' "$dir/err"
	fi
done
check "-h" bash -c "'$BUILD/pagerfs' -h | grep -q 'usage: pagerfs'"
# What the manual page heads a paragraph with, -h has, and it has no other;
# those of any mount are named in the page's last one.
"$BUILD/pagerfs" -h | grep -o -- '-o [a-z_]*' | sort -u >"$dir/said"
sed -n '/^.SH OPTIONS/,/^.SH LOCKS/p' "$here/docs/pagerfs.8" |
	sed -n 's/^\.[BT].*\\-o\\\{0,1\} \([a-z_]*\).*/-o \1/p' | sort -u >"$dir/page"
check_equal "-h has all of the manual page" "" \
	"$(comm -13 "$dir/said" "$dir/page" | paste -sd' ')"
check_equal "and no more" "-o auto_unmount -o ro" \
	"$(comm -23 "$dir/said" "$dir/page" | paste -sd' ')"
check "which are there" [ "$(wc -l <"$dir/page")" -ge 15 ]
check "-V" bash -c "'$BUILD/pagerfs' -V | grep -q '^pagerfs '"

# in the background: the parent returns when the mount is live
"$BUILD/pagerfs" "$src" "$mnt"
check_equal "status of the parent" 0 $?
guard_mount "$mnt"
check_equal "live at once" again "$(cat "$mnt/again")"
fusermount3 -u "$mnt"
need_root

# a signal to one that was unmounted already, but is in use: what has been
# mounted there since stays
mount_store "$src" "$mnt"
first=$store_pid
exec 3<"$mnt/again"
umount -l "$mnt"
mount_store "$src" "$mnt"
kill -TERM "$first"
wait "$first"
check_equal "status of the first" 0 $?
exec 3<&-
check "the second is still there" is_mounted "$mnt"
umount_store "$mnt"

# auto_unmount: when its daemon was killed the mount goes; when that ended well,
# what has been mounted there since stays. (Numbers of devices are used again.)
mount_store "$src" "$mnt" -o auto_unmount
kill -KILL "$store_pid"
{ wait "$store_pid"; } 2>/dev/null
gone() { ! is_mounted "$mnt"; }
wait_for 5 gone || fail "auto_unmount: the mount is there"
mount_store "$src" "$mnt" -o auto_unmount
first=$store_pid after=$(pgrep -P "$store_pid" -x pagerfs-unmount)
echo "$after" >>"$guard/pids"
kill -STOP "$after"
umount_store "$mnt"
mount_store "$src" "$mnt"
kill -CONT "$after"
ended() { ! kill -0 "$after" 2>/dev/null; }
wait_for 5 ended || fail "auto_unmount: process $after is there"
check "auto_unmount: the next mount stays" is_mounted "$mnt"
umount_store "$mnt"

# /dev/fuse says something that nobody expects: no mount is left behind
if command -v strace >/dev/null; then
	# (What is traced cannot look for leaks.)
	ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 mount_store "$src" "$mnt"
	strace -qq -f -p "$store_pid" -P /dev/fuse -e trace=read \
		-e inject=read:error=EIO -o "$dir/trace" &
	wait_for 5 test -e "$dir/trace"
	sleep 0.3
	timeout 5 stat "$mnt/again" >/dev/null 2>&1
	wait "$store_pid"
	check_equal "status after a bad read" 1 $?
	check "no mount left" bash -c "! grep -q ' $mnt ' /proc/self/mounts"
	umount -l "$mnt" 2>/dev/null
fi

# the ring fails: it ends, and says so
if command -v strace >/dev/null; then
	ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 mount_store "$src" "$mnt"
	strace -qq -f -p "$store_pid" -e trace=io_uring_enter \
		-e inject=io_uring_enter:error=EBADF -o "$dir/trace2" &
	wait_for 5 test -e "$dir/trace2"
	sleep 0.3
	timeout 5 stat "$mnt/again" >/dev/null 2>&1
	dead() { ! kill -0 "$store_pid" 2>/dev/null; }
	if wait_for 5 dead; then
		wait "$store_pid"
		check_equal "status after a failed ring" 1 $?
		check "said" grep -q 'io_uring: .*: serving ends' \
			"$dir/store.log"
	else
		fail "it goes on without its ring"
		kill -KILL "$store_pid"
	fi
	umount -l "$mnt" 2>/dev/null
fi

# where it was started is not kept busy
mkdir -p "$dir/start"
mount -t tmpfs none "$dir/start" || skip "cannot mount a tmpfs"
(cd "$dir/start" && "$BUILD/pagerfs" "$src" "$mnt")
guard_mount "$mnt"
check "where it was started is free" umount "$dir/start" ||
	umount -l "$dir/start"
fusermount3 -u "$mnt"
finish
