#!/usr/bin/env bash
# Large transfers of files in memory, whose pages go to clients by reference:
# every byte, while the file changes in every way, while rules and the
# recorder look at what is read, and when it all ends in the middle.
. "$(dirname "$0")/lib.sh"
time_limit 120
large=$BUILD/tests/fs/tool_large
need "$large"
[ "$(stat -f -c %T /dev/shm)" = tmpfs ] || skip "/dev/shm is no tmpfs"
memory=$(mktemp -d /dev/shm/large.XXXXXX) || exit 1
trap '(status=$?; rm -rf "$memory"; exit $status); cleanup' EXIT
src=$memory/src mnt=$dir/mnt
. "$here/tests/lib/inject.sh"
mkdir -p "$src"

pipes() {
	local here
	here=$(find "/proc/$store_pid/fd" -lname 'pipe:*' | wc -l)
	[ "$here" -gt "$1" ]
}

# ---- all of a file, in pieces of any size ----
head -c 3000001 /dev/urandom >"$src/in"
mount_store "$src" "$mnt" </dev/null
before=$(find "/proc/$store_pid/fd" -lname 'pipe:*' | wc -l)
for bs in 32768 99999 131072 1048576 4000000; do
	for how in direct nocache; do
		check "read, $how, blocks of $bs" dd if="$mnt/in" \
			of="$dir/copy" iflag=$how bs=$bs
		check "its bytes" cmp "$src/in" "$dir/copy"
		rm -f "$mnt/out"
		check "written, $how, blocks of $bs" dd if="$src/in" \
			of="$mnt/out" oflag=$how bs=$bs
		check "its bytes" cmp "$src/in" "$src/out"
	done
done
check "from odd offsets" dd if="$mnt/in" of="$dir/copy" bs=100001 skip=54321 \
	iflag=direct,skip_bytes
check "its bytes" cmp <(tail -c +54322 "$src/in") "$dir/copy"
check "pages go through a pipe" pipes "$before"

# ---- while it is written, cut and grown, through the mount and below ----
check "changing" timeout 60 "$large" "$mnt/f" "$src/f" 4

# ---- rules ----
"$large" "$mnt/g" "$src/g" 4 noisy >"$dir/noisy" 2>&1 &
load=$!
while kill -0 $load 2>/dev/null; do
	rules 'read g p=1/3 delay=10us..2ms; read g p=1/9 error=EIO'
	rules 'read g p=1/5 short'
	rules 'read nothing error=EIO'
	rules ''
	sleep 0.05
done
wait $load || fail "rules that come and go: $(cat "$dir/noisy")"
flips() { cmp -l "$src/in" "$dir/copy" | wc -l; }
rules 'read in flip at=1M.. times=1'
check "read" dd if="$mnt/in" of="$dir/copy" iflag=direct bs=1M
check_equal "bytes of which one bit is not" 1 "$(flips)"
check "read again" dd if="$mnt/in" of="$dir/copy" iflag=direct bs=1M
check_equal "bytes of which one bit is not" 0 "$(flips)"
rules ''

# ---- what is counted ----
count() {
	awk '$1 == "pagerfs_bytes_total{op=\"read\"}" { print $2 }' \
		"$mnt/.pagerfs/stats"
}
was=$(count)
check "read" dd if="$mnt/in" of="$dir/copy" iflag=direct bs=1M
check_equal "bytes counted" 3000001 $(($(count) - was))
umount_store "$mnt"

# ---- the recorder ----
mount_store "$src" "$mnt" -o record="$memory/record"
check "recorded" timeout 60 "$large" "$mnt/f" "$src/f" 1
umount_store "$mnt"

# ---- the end in the middle ----
# load COUNT: so many clients read large pieces until they get an error
load() {
	local i
	loads=()
	for ((i = 0; i < $1; i++)); do
		(while dd if="$mnt/in" of=/dev/null iflag=direct bs=1M \
			2>/dev/null; do :; done) &
		loads+=($!)
	done
	sleep 0.3
}
loaded() {
	local pid
	for pid in "${loads[@]}"; do
		wait_for 5 bash -c "! kill -0 $pid 2>/dev/null" ||
			fail "$1: a client hangs"
	done
}
for end in TERM abort KILL TERM abort; do
	mount_store "$src" "$mnt"
	load 4
	case $end in
	abort) abort_connection "$(connection_of "$mnt")" ;;
	*) kill -$end "$store_pid" ;;
	esac
	{ wait "$store_pid"; } 2>/dev/null
	status=$?
	[ $end = KILL ] || check_equal "$end: status" 0 $status
	loaded $end
	umount -l "$mnt" 2>/dev/null || fusermount3 -uz "$mnt" 2>/dev/null
	check "$end: what was there" cmp "$dir/copy" "$src/in"
done
finish
