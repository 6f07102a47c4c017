#!/usr/bin/env bash
# A full disk on command: what is new counts, what is written over does not,
# what is freed comes back; names need room, too.
. "$(dirname "$0")/lib.sh"
time_limit 30
src=$dir/src mnt=$dir/mnt
. "$here/tests/lib/inject.sh"
mkdir -p "$src"
need "$io" fio
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
rules 'write * quota=8K
write * after=1 error=EIO'
io "and some behind, if it is only used up" "-c open $mnt/e write 0 8192 65 \
write 8192 4096 65 write 0 4096 65" "open 0;write 8192;write EIO;write EIO"
check_equal "both acted" "matched 1, acted 0, used 8192 matched 3, acted 2" \
	"$(grep -o 'matched.*' "$rules" | paste -sd' ')"
rm "$mnt/e"
rules 'write a quota=8K'
io_used "by name" "-c open $mnt/other write 0 65536 65" "open 0;write 65536" 0
# what the real file refuses is not charged
rules 'write a at=0..4096 error=EIO
write * quota=1M'
: >"$mnt/a"
io_used "an error takes nothing" "open $mnt/a write 0 4096 65" "open 0;write EIO" ""
check_equal "used" 0 "$(sed -n '3s/.*used //p' "$rules")"

# ---- all that is given back was taken, and once ----
# used_of N: as used, of the Nth rule
used_of() { sed -n "$(($1 + 1))s/.*used //p" "$rules"; }
fresh() { rm -rf "${mnt:?}"/*; rules "$1"; }
fresh 'write * quota=1M'
"$io" -c open "$mnt/a" write 0 65536 65 fsync close open "$mnt/b" \
	write 0 4096 65 fsync >/dev/null
io_used "names exchanged" "exchange $mnt/a $mnt/b exchange $mnt/a $mnt/b" \
	"exchange 0;exchange 0" 69632
io_used "attributes do not count" "attribute $mnt/b 2000" "attribute 0" 69632
rm "$mnt/b"
check_equal "nor when they go" 65536 "$(used)"

fresh 'write a* quota=1M'
"$io" -c open "$mnt/a" write 0 65536 65 fsync close open "$mnt/b" \
	write 0 65536 65 fsync >/dev/null
: >"$mnt/a2"
mv "$mnt/a2" "$mnt/b"
check_equal "another's file, renamed over by ours" 65536 "$(used)"
"$io" -c open "$mnt/a2" write 0 4096 65 fsync >/dev/null
mv "$mnt/b" "$mnt/a2"
check_equal "ours, by another's" 65536 "$(used)"

# an open that waits and then truncates nothing
fresh 'write * quota=1M
open a after=1 freeze'
: >"$mnt/a"
"$io" open "$mnt/a" write 0 65536 65 fsync run "cat '$mnt/a' >/dev/null &" \
	run 'sleep 0.1' truncate 0 write 0 32768 65 fsync >/dev/null
check_equal "before it" 32768 "$(used)"
echo thaw >"$mnt/.pagerfs/ctl"
wait_for 5 bash -c "! grep -q open '$mnt/.pagerfs/inflight'"
check_equal "and after it" 32768 "$(used)"

# a write that waits, and the file is emptied under it
fresh 'write * quota=1M
write a after=1 delay=300ms'
"$io" -c open "$mnt/a" write 0 65536 65 fsync >/dev/null
"$io" -d open "$mnt/a" write 0 65536 66 >/dev/null &
sleep 0.1
: >"$mnt/a"
wait $!
check_equal "what it brings in the end" "65536 65536" \
	"$(stat -c %s "$src/a") $(used)"

# what arrives of a write, whichever rule comes first
for torn in 'torn=8' 'short=4096'; do
	fresh "write * quota=1M
write a $torn"
	"$io" -c open "$mnt/a" write 0 65536 65 fsync >/dev/null
	check_equal "$torn behind" "4096 4096" \
		"$(stat -c %s "$src/a") $(used_of 1)"
	fresh "write a $torn
write * quota=1M"
	"$io" -c open "$mnt/a" write 0 65536 65 fsync >/dev/null
	check_equal "$torn before" "4096 4096" \
		"$(stat -c %s "$src/a") $(used_of 2)"
	fresh "write a $torn
write * quota=2K"
	"$io" -c open "$mnt/a" write 0 65536 65 fsync >/dev/null
	check_equal "$torn, too much even so" "0 0" \
		"$(stat -c %s "$src/a") $(used_of 2)"
done
for none in 'torn=0' lost error=EIO; do
	fresh "write * quota=1M
write a $none"
	"$io" -c open "$mnt/a" write 0 65536 65 fsync >/dev/null
	check_equal "$none takes nothing" 0 "$(used_of 1)"
done

# more than one quota
fresh 'write * quota=1M
write *.db quota=64K
write * quota=96K'
io "the second's" "-c open $mnt/a.db write 0 65536 65 write 65536 4096 65" \
	"open 0;write 65536;write ENOSPC"
io "the third's" "-c open $mnt/b write 0 32768 65 write 32768 4096 65" \
	"open 0;write 32768;write ENOSPC"
check_equal "each counts" "98304 65536 98304" \
	"$(used_of 1) $(used_of 2) $(used_of 3)"
rm "$mnt/a.db"
check_equal "and gets back" "32768 0 32768" \
	"$(used_of 1) $(used_of 2) $(used_of 3)"

# appended where the file ends, not where the kernel thinks it does
fresh 'write * quota=1M'
"$io" -a -c open "$mnt/a" append 4096 65 run "head -c 65536 /dev/zero \
	>>'$src/a'" append 8192 66 >/dev/null
check_equal "behind what came in SOURCE" "77824 12288" \
	"$(stat -c %s "$src/a") $(used)"
fresh 'write * quota=1M
write a after=1 times=1 lost'
"$io" -a -c open "$mnt/a" append 100 65 append 3996 66 append 100 67 >/dev/null
check_equal "what is lost is not in between" "200 4096" \
	"$(stat -c %s "$src/a") $(used)"
fresh 'write * quota=1M
write * hold'
"$io" -a -c open "$mnt/a" append 100 65 append 100 65 append 4096 66 >/dev/null
check_equal "held" "0 8192" "$(stat -c %s "$src/a") $(used)"

# files without a name: what they take then comes back when they are gone
fresh 'write * quota=256K'
now() { echo "run"; echo "sed -n '2s/.*used //p' '$rules' >>'$dir/used'"; }
mapfile -t now < <(now)
"$io" -c open "$mnt/a" write 0 65536 65 fsync "${now[@]}" run "rm '$mnt/a'" \
	"${now[@]}" run "head -c 65536 /dev/zero >'$mnt/b'" truncate 0 \
	"${now[@]}" write 0 32768 65 write 65536 32768 65 "${now[@]}" \
	truncate 32768 "${now[@]}" write 32768 4096 65 "${now[@]}" >/dev/null
check_equal "removed and open" "65536 0 65536 131072 98304 102400" \
	"$(paste -sd' ' "$dir/used")"
settled() { [ "$(used)" = "$1" ]; }
check "closed: $(used)" wait_for 5 settled 65536
temporary() {
	python3 -c "import os
fd = os.open('$mnt', os.O_TMPFILE | os.O_RDWR)
os.write(fd, b'x' * 65536)
$1"
}
if temporary "" 2>/dev/null; then
	check "made without a name: $(used)" wait_for 5 settled 65536
	check "and given one" temporary \
		"os.link('/proc/self/fd/%d' % fd, 'c', follow_symlinks=True,
	dst_dir_fd=os.open('$mnt', os.O_RDONLY))"
	: >"$mnt/d" && rm "$mnt/d"
	sleep 0.05
	check_equal "it stays" 131072 "$(used)"
	rm "$mnt/c"
	check_equal "and goes, once" 65536 "$(used)"
fi
# again and again, and without a loss
for i in {1..20}; do
	"$io" -c open "$mnt/a" run "rm '$mnt/a'" write 0 65536 65 >"$dir/out"
	check_equal "temporary $i" "write 65536" "$(tail -n 1 "$dir/out")"
	wait_for 5 settled 65536 || break
done
# also those whose writes are under way when the name goes
fresh 'write * quota=1G'
head -c 16M /dev/zero >"$mnt/big" && sync "$mnt/big"
check "removed under its writes" "$BUILD/tests/fs/tool_race" unlink "$mnt/a" 40
check "all comes back, once: $(used)" wait_for 5 settled 16777216
# held writes have room as if they were written
fresh 'write * quota=128K
write * hold'
for i in 1 2 3; do
	io "held, and gone $i" "-c open $mnt/h write 0 65536 65 truncate 0 \
write 0 98304 65" "open 0;write 65536;truncate 0;write 98304"
	check_equal "held" "0 98304" "$(stat -c %s "$src/h") $(used)"
	rm "$mnt/h"
	check_equal "removed" 0 "$(used)"
done
io_used "pieces of a block" "-c open $mnt/h write 0 100 65 write 200 100 66 \
write 5000 1 67 write 4000 200 68" \
	"open 0;write 100;write 100;write 1;write 200" 8192
io_used "written" "open $mnt/h fsync" "open 0;fsync 0" 8192
io_used "again" "open $mnt/h write 0 8192 69" "open 0;write 8192" 8192
io_used "a hole" "open $mnt/h punch 0 4096" "open 0;punch 0" 4096
io_used "truncated" "open $mnt/h truncate 100" "open 0;truncate 0" 0

if [ "$(stat -f -c %T "$src")" = ext2/ext3 ]; then
	fresh 'write+fallocate * quota=1M
write * hold'
	io_used "what is allocated behind the end stays" "-c open $mnt/a \
ahead 65536 65536 write 0 8192 65 punch 0 4096 write 0 100 65 punch 4096 4096" \
		"open 0;ahead 0;write 8192;punch 0;write 100;punch 0" 69632
	"$io" open "$mnt/a" fsync >/dev/null
	check_equal "also written" "136 69632" \
		"$(stat -c %b "$src/a") $(used)"
	rm "$mnt/a"
	check_equal "and comes back" 0 "$(used)"
fi

for n in {1..65}; do echo 'write * quota=1M'; done >"$rules" 2>/dev/null &&
	fail "65 quotas accepted"
fresh 'write * quota=1M'
truncate -s 1M "$mnt/a"
check "sectors of a block, side by side, and no room to spare" fio --name=a --filename="$mnt/a" \
	--rw=write --bs=512 --size=1M --direct=1 --ioengine=io_uring \
	--iodepth=16 --fallocate=none
check_equal "and each block once" 1048576 "$(used)"
umount_store "$mnt"

# two at a time, over a SOURCE that is slow: what one does is counted once
mount_store "$src" "$dir/slow" -o inject='open a delay=100ms'
slow=$store_pid
mount_store "$dir/slow" "$mnt"
fresh 'write * quota=1M'
"$io" -c open "$mnt/b" write 0 65536 65 fsync close open "$mnt/a" \
	write 0 65536 65 fsync >/dev/null
: >"$mnt/a" & twice=$!
: >"$mnt/a"
wait $twice
check_equal "emptied twice" "0 65536" "$(stat -c %s "$src/a") $(used)"
umount_store "$mnt"
store_pid=$slow
umount_store "$dir/slow"
finish
