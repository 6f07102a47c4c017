#!/usr/bin/env bash
# The end of a machine whose live view is in use: by readers of much, by an
# access that waits for memory, by a store that takes its time. What was stored
# is in the file afterwards, and it does not take long.
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 60
need cmp dd timeout
src=$dir/src mnt=$dir/mnt
. "$here/tests/lib/inject.sh"
mount_store "$src" "$mnt"
mkdir "$src/files" "$src/swap"
bytes 1048576 7 >"$dir/sevens"

# begin NAME: a machine with a mebibyte that is dirty
begin() {
	truncate -s 0 "$src/files/f"
	truncate -s 1M "$src/files/f"
	machine_start "$@" --ram 8M
	ctl 'proc d
map d f file files/f shared
fill d f 7' || fail "$1: $answer"
}
stored() {
	check "$1: what was stored is in the file" cmp "$src/files/f" \
		"$dir/sevens"
	check_equal "$1: views left" "" "$(ls "$src/vm")"
}

# ---- readers of large areas that were never touched ----
begin large --no-swap
ctl "proc p
$(for i in {1..120}; do echo "map p a$i anon 60G"; done)" || fail "$answer"
for _ in 1 2 3 4 5 6; do
	cat "$view/2/smaps" >"$dir/smaps" 2>/dev/null &
done
check "vmstat beside them" timeout 2 cat "$view/vmstat"
machine_end
stored large

# ---- an access that waits for memory, with no program active ----
begin poked --swap swap/s,64M
rules 'write swap/* error=ENOSPC'
ctl 'proc p
map p a anon 32M' || fail "$answer"
at=$((0x$(address_of 2 rw-p)))
timeout 20 dd if=/dev/zero of="$view/2/mem" bs=1M count=32 oflag=seek_bytes \
	seek=$at conv=notrunc 2>/dev/null &
check "it waits" wait_for 10 grep -q 'processes wait' "$dir/poked.err"
machine_end
stored poked
rules ''

# ---- a store that is slow, and healthy ----
truncate -s 4K "$src/files/slow"
begin slow --no-swap
ctl 'proc p
map p s file files/slow shared' || fail "$answer"
rules 'read files/slow delay=4s'
(echo 'load p s' >"$view/ctl") 2>/dev/null &
reads() { [ "$(awk '$2 == "reading"' "$view/frames" | wc -l)" = 1 ]; }
check "it reads" wait_for 5 reads
machine_end
stored slow
check "it says so" grep -q 'all that was dirty has been written' \
	"$dir/slow.err"
rules ''

# ---- a store that stands still: who says it again need not wait ----
begin twice --no-swap
kill -STOP "$store_pid"
kill -TERM "$machine_pid"
kill -TERM "$machine_pid"	# as timeout(1) does it
sleep 1.2
check_equal "twice at once is once" "" "$(cat "$dir/twice.err")"
kill -TERM "$machine_pid"
check "it leaves" wait_for 2 grep -q 'told again to end' "$dir/twice.err"
kill -CONT "$store_pid"
check "it is gone" ended 5 "$machine_pid"
wait "$machine_pid"
check_equal "status" 1 $?

# ---- signals that were ignored ----
machine_start deaf --no-swap	# in the background of a script: SIGINT is
(trap '' HUP; exec "$BUILD/pagervm" run -d "$mnt" -n nohup --no-swap --hold) \
	</dev/null 2>"$dir/nohup.err" &
nohup=$!
echo $nohup >>"$guard/pids"
wait_for 10 test -e "$mnt/vm/nohup/ctl" || fail "it did not start"
guard_mount "$mnt/vm/nohup"
kill -INT "$machine_pid"
kill -HUP $nohup
sleep 0.3
check "SIGINT stays ignored" ctl 'check'
check "SIGHUP stays ignored" test -e "$mnt/vm/nohup/ctl"
kill -TERM $nohup
wait $nohup
check_equal "nohup: status" 0 $?
machine_end
umount_store "$mnt"
finish
