#!/usr/bin/env bash
# A full disk under a shared mapping of a sparse file: msync says so, once,
# and nothing is lost: the pages stay dirty and right in memory, and when
# there is room again the next msync brings them to the file.
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 40
need_root
need cmp
mkdir "$dir/small" || exit
mount -t tmpfs -o size=3m none "$dir/small" || skip "no small disk here"
echo "0 none $dir/small" >>"$guard/mounts"
src=$dir/small/src mnt=$dir/mnt
mount_store "$src" "$mnt"
mkdir "$src/files"
truncate -s 4M "$src/files/sparse"
head -c 1M /dev/zero >"$src/files/ballast"
machine_start vm --ram 8M --no-swap

# 4M of stores, 2M of room: all fits into RAM, so nothing has to go.
ctl 'proc p
proc q
map p data file files/sparse shared
map q data file files/sparse shared
fill p data pattern 9'
check_equal "the stores" ok "$answer"
check "msync says that the disk is full" ctl 'expect error ENOSPC msync p data'
check "counted" [ "$(counter pgwriteerr)" -gt 0 ]
check "all of it is still right" ctl 'expect fill p data pattern 9
expect fill q data pattern 9'
dirty=$(counter nr_dirty)
check "what did not fit is dirty: $dirty" [ "$dirty" -ge 480 ]
check "and stays, under pressure" ctl 'evict 10000
expect fill p data pattern 9'

# With room, it arrives. The error may have been met again meanwhile (evict
# writes, too), so the first msync may report it; the next one must not.
rm "$mnt/files/ballast"
head -c 1K /dev/zero >"$dir/small/some"
mount -o remount,size=8m "$dir/small"
ctl 'msync p data' || check "only of the full disk: $answer" \
	grep -q ENOSPC <<<"$answer"
check "msync after that" ctl 'msync p data'
check_equal "dirty pages" 0 "$(counter nr_dirty)"
pid=$(pid_of p)
data=$((0x$(address_of "$pid" files/sparse)))
dd if="$view/$pid/mem" bs=1M iflag=skip_bytes,count_bytes,fullblock \
	skip=$data count=4194304 2>/dev/null >"$dir/seen"
check_equal "bytes of memory" 4194304 "$(stat -c %s "$dir/seen")"
check "memory is in the file" cmp "$dir/seen" "$src/files/sparse"
ctl 'exit p
exit q'

# Once: a full disk, one error; the second msync, with all still dirty and no
# room yet, must not pretend that all is well.
truncate -s 0 "$src/files/sparse"
truncate -s 4M "$src/files/sparse"
mount -o remount,size=3m "$dir/small"
ctl 'proc r
map r data file files/sparse shared
fill r data pattern 11'
ctl 'expect error ENOSPC msync r data' ||
	fail "full again: $answer, $(df "$dir/small" | tail -n 1)"
check "while it is full, it is said" ctl 'expect error ENOSPC msync r data'
mount -o remount,size=8m "$dir/small"
check "then all is written" ctl 'msync r data
expect fill r data pattern 11'
check_equal "dirty pages" 0 "$(counter nr_dirty)"

# The same at the end of a machine: what cannot be written is said, not hidden.
mount -o remount,size=8m "$dir/small"
ctl 'exit r'
truncate -s 0 "$src/files/sparse"
truncate -s 4M "$src/files/sparse"
mount -o remount,size=3m "$dir/small"
ctl 'proc s
map s data file files/sparse shared
fill s data pattern 13'
machine_end 1
check "it says how much is lost: $(cat "$dir/vm.err")" \
	grep -Eq '^pagervm: [0-9]+ dirty pages could not be written' \
	"$dir/vm.err"
umount_store "$mnt"
finish
