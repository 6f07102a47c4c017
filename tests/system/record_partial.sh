#!/usr/bin/env bash
# A write that failed after part of it was in SOURCE: the record has that part,
# also where other writes to the file are held.
. "$(dirname "$0")/lib.sh"
time_limit 30
need_root
io=$BUILD/tests/fs/tool_io replay=$BUILD/pagerfs-replay
need "$io" "$replay"
src=$dir/src mnt=$dir/mnt rec=$dir/rec
export TMPDIR=$dir
mkdir "$src"
mount -t tmpfs -o size=256k none "$src" 2>/dev/null || skip "no tmpfs"
echo "0 none $src" >>"$guard/mounts"

mount_store "$src" "$mnt" -o record="$rec"
check_equal "direct" "open 0;write ENOSPC" \
	"$("$io" -d -c open "$mnt/direct" write 0 1048576 65 | paste -sd';')"
rm "$mnt/direct"
check "buffered" bash -c "! head -c 1M /dev/zero >'$mnt/buffered' 2>'$dir/err'"
umount_store "$mnt"
"$replay" list "$rec" >"$dir/list"
check "said: $(grep 'write direct' "$dir/list")" grep -q \
	'write direct.* = No space left on device, after [1-9][0-9]* bytes' \
	"$dir/list"
# Before the file was removed, too: nothing that follows puts it right.
gone=$(awk '/unlink direct/ { print $1 - 1 }' "$dir/list")
check "built" "$replay" build --at "$gone" "$rec" "$dir/then"
check "with what there was" [ "$(stat -c %s "$dir/then/direct")" -gt 4096 ]
check "built at the end" "$replay" build "$rec" "$dir/built"
check "as it is" diff -r "$src" "$dir/built"

rm -r "$rec" "$dir/built" "$src"/*
head -c 8192 /dev/zero | tr '\0' a >"$src/torn"
mount_store "$src" "$mnt" -o record="$rec"
printf '%s\n' 'write torn nth=2 torn=1' 'write torn hold' \
	'write full nth=1 hold' >"$mnt/.pagerfs/rules"
check_equal "torn" "open 0;write 512;write EIO" \
	"$("$io" open "$mnt/torn" write 4096 512 104 write 0 2048 84 |
		paste -sd';')"
check_equal "full" "open 0;write 512;write ENOSPC" \
	"$("$io" -d -c open "$mnt/full" write 4096 512 104 \
		write 0 1048576 84 | paste -sd';')"
umount_store "$mnt"
"$replay" list "$rec" >"$dir/list"
for what in 'torn.* = Input/output error, after 512 bytes' \
	'full.* = No space left on device, after [1-9][0-9]* bytes'; do
	check "held: $(cat "$dir/list")" grep -q "write $what" "$dir/list"
done
check "held: built" "$replay" build "$rec" "$dir/built"
check "held: as it is" diff -rq "$src" "$dir/built"
finish
