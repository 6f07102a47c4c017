#!/usr/bin/env bash
# copy_file_range: what it brings, and that a slow one does not keep its
# thread from what else that has in flight. SOURCE is slow on command: it is
# another pagerfs.
. "$(dirname "$0")/lib.sh"
time_limit 60
src=$dir/src low=$dir/low mnt=$dir/mnt
. "$here/tests/lib/inject.sh"
need "$io"
mkdir -p "$src"
head -c 6000000 /dev/urandom >"$src/f"
mount_store "$src" "$low" -o attr_timeout=0,entry_timeout=0
lower=$store_pid
mount_store "$low" "$mnt" -o threads=1
slow() { cat <<<"$1" >"$low/.pagerfs/rules"; }
below() { grep -q "$1" "$low/.pagerfs/inflight"; }

# ---- what it brings: no more than 4 MiB at a time, from and to anywhere ----
: >"$src/whole" && : >"$src/odd" && : >"$src/direct"
io "a copy" "open $mnt/whole from $mnt/f copy 0 0 99999999 \
copy 4194304 4194304 99999999 copy 6000000 6000000 1" \
	"open 0;from 0;copy 4194304;copy 1805696;copy 0"
check "the copy" cmp "$src/f" "$src/whole"
io "elsewhere" "open $mnt/odd from $mnt/f copy 1001 7 1000000" \
	"open 0;from 0;copy 1000000"
check "the copy" cmp -i 1001:7 -n 1000000 "$src/f" "$src/odd"
io "O_DIRECT" "-d open $mnt/direct from $mnt/f copy 8192 4096 1048576 \
copy 1056775 1052679 1000" "open 0;from 0;copy 1048576;copy 1000"
check "the copy" cmp -i 8192:4096 -n 1048576 "$src/f" "$src/direct"
check "its end" cmp -i 1056775:1052679 -n 1000 "$src/f" "$src/direct"

# ---- a read that the one thread has in flight, while it copies ----
: >"$src/out"
slow 'read f freeze'
"$io" -d open "$mnt/f" read 0 4096 >"$dir/read" 2>&1 &
read=$!
check "the read is under way" wait_for 5 below ' read '
slow 'read f freeze
copy out delay=200ms'
"$io" open "$mnt/out" from "$mnt/f" copy 0 0 4194304 >"$dir/copy" 2>&1 &
copy=$!
check "the copy is under way" wait_for 5 below ' copy '
slow 'copy out delay=200ms'
wait $read
check_equal "the read ends first" "open 0;from 0" "$(paste -sd';' "$dir/copy")"
check "the read" grep -q '^read 4096 ' "$dir/read"
wait $copy
check "the copy, in the end" grep -q '^copy 4194304$' "$dir/copy"
check "it" cmp -n 4194304 "$src/f" "$src/out"
slow ''
umount_store "$mnt"
store_pid=$lower
umount_store "$low"
finish
