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
umount_store "$mnt"
finish
