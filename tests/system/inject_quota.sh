#!/usr/bin/env bash
# A full disk on command: what is new counts, what is written over does not,
# what is freed comes back; names need room, too.
. "$(dirname "$0")/lib.sh"
time_limit 30
src=$dir/src mnt=$dir/mnt
. "$here/tests/lib/inject.sh"
mkdir -p "$src"
need "$io"
mount_store "$src" "$mnt" -o seed=3

used() { sed -n '2s/.*used //p' "$rules"; }
# io_used: as io, and then how much the quota counts
io_used() {
	io "$1" "$2" "$3"
	check_equal "$1: used" "$4" "$(used)"
}
head -c 65536 /dev/zero >"$src/old"
rules 'write+fallocate+create+mkdir * quota=64K'
io_used "over what is there" "open $mnt/old write 0 65536 65 fsync" \
	"open 0;write 65536;fsync 0" 0
io_used "new" "-c open $mnt/a write 0 40960 65 fsync" \
	"open 0;write 40960;fsync 0" 40960
io_used "again" "open $mnt/a write 0 40960 66" "open 0;write 40960" 40960
io_used "too much" "open $mnt/a write 40960 28672 66 size" \
	"open 0;write ENOSPC;size 40960" 40960
io_used "some of it is there" "open $mnt/a write 36864 28672 66 fsync" \
	"open 0;write 28672;fsync 0" 65536
io_used "full" "open $mnt/a write 65536 1 66 write 0 65536 67 fsync" \
	"open 0;write ENOSPC;write 65536;fsync 0" 65536
check "no names either" bash -c "! touch '$mnt/b' 2>/dev/null &&
	! mkdir '$mnt/d' 2>/dev/null"
check "reads go on" cmp "$src/a" "$mnt/a"
io_used "truncated" "open $mnt/a truncate 32768" "open 0;truncate 0" 32768
check "names again" bash -c "touch '$mnt/b' && mkdir '$mnt/d'"
io_used "a hole" "open $mnt/a punch 0 16384" "open 0;punch 0" 16384
io_used "into the hole" "open $mnt/a write 0 16384 68" "open 0;write 16384" 32768
io_used "far out" "open $mnt/b write 1048576 4096 69 write 0 4096 69 fsync" \
	"open 0;write 4096;write 4096;fsync 0" 40960
ln "$mnt/b" "$mnt/link"
rm "$mnt/b"
check_equal "one of two names frees nothing" 40960 "$(used)"
rm "$mnt/link"
check_equal "the last does" 32768 "$(used)"
cp "$src/old" "$dir/old"
head -c 8192 /dev/zero >"$mnt/c" && sync "$mnt/c"
check_equal "another file" 40960 "$(used)"
mv "$mnt/c" "$mnt/a"
check_equal "renamed over" 8192 "$(used)"
: >"$mnt/a"
check_equal "opened with O_TRUNC" 0 "$(used)"
if fallocate -l 4096 "$dir/probe" && [ "$(stat -f -c %T "$src")" != tmpfs ]; then
	check "room ahead" fallocate -l 32768 "$mnt/a"
	check_equal "taken" 32768 "$(used)"
	io_used "into it" "open $mnt/a write 0 32768 70 fsync" \
		"open 0;write 32768;fsync 0" 32768
	check "not more than there is" bash -c \
		"! fallocate -l 131072 '$mnt/a' 2>/dev/null"
fi
rules 'write * quota=64K'
rm "$mnt/a"
io_used "a copy is a write" "-c open $mnt/a from $mnt/old copy 0 0 40960 \
copy 0 40960 40960 size fsync" \
	"open 0;from 0;copy 40960;copy ENOSPC;size 40960;fsync 0" 40960
rules 'write * quota=64K
copy a error=EPERM'
io "of which other rules come first" "open $mnt/a from $mnt/old copy 0 0 4096" \
	"open 0;from 0;copy EPERM"
rules 'write a quota=8K'
io_used "by name" "-c open $mnt/other write 0 65536 65" "open 0;write 65536" 0
# what the real file refuses is not charged
rules 'write a at=0..4096 error=EIO
write * quota=1M'
: >"$mnt/a"
io_used "an error takes nothing" "open $mnt/a write 0 4096 65" "open 0;write EIO" ""
check_equal "used" 0 "$(sed -n '3s/.*used //p' "$rules")"
umount_store "$mnt"
finish
