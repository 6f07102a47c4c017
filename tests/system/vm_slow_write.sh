#!/usr/bin/env bash
# A slow write. The store is stopped while pages are on their way out: their
# frames are busy for exactly as long, everybody can see it, who touches one
# to store waits, who only reads takes it as it is, and a store made during
# the write reaches the disk with the next one.
#
# While the store stands still nothing may look up a path through $mnt: the
# view is entered before, and its files are named from there.
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 40
need cmp dd
src=$dir/src mnt=$dir/mnt
mount_store "$src" "$mnt"
mkdir "$src/files"
truncate -s 1M "$src/files/f"
machine_start slow --ram 4M --swap swap/s,32M
check "a dirty file" ctl 'proc p
proc q
map p data file files/f shared
map q data file files/f shared
fill p data 1
expect fill q data 1'
pid=$(pid_of p)
data=$((0x$(address_of "$pid" files/f)))
cd "$view" || exit

writing() { awk '$2 == "writing"' frames | grep -q .; }
busy_us() { awk '$2 == "writing" && $10 > n { n = $10 } END { print n + 0 }' \
	frames; }
waits() { awk '$2 == "writing" { n += $9 } END { print n + 0 }' frames; }
# A command in the background, by a path that needs no lookup through $mnt
later() {
	(cat <<<"$1" >&3; cat <&3) 3<>ctl >"$dir/$2" 2>&1 &
}

kill -STOP "$store_pid"
later 'msync p data' msync
msync=$!
wait_for 5 writing || fail "no frame is busy writing"
check_equal "all of the file is on its way" 256 \
	"$(awk '$2 == "writing" && $3 ~ /F/' frames | wc -l)"
check_equal "nr_writeback" 256 \
	"$(awk '$1 == "nr_writeback" { print $2 }' vmstat)"
one=$(busy_us)
sleep 0.3
two=$(busy_us)
check "busy for longer: $one, $two" [ $((two - one)) -ge 250000 ]

# Reading does not change the page: nobody has to wait.
later 'expect fill q data 1' read
reader=$!
ended 5 $reader || fail "a reader waits for a page that is only written"
check_equal "it read" ok "$(cat "$dir/read")"

# Storing has to wait, or re-take the page: either way the store counts.
later 'store p data+8192 2 u8
store q data+40960 3 u8' store
store=$!
took=no
until [ "$(waits)" -gt 0 ]; do
	ended 0 $store && took=yes && break
	sleep 0.02
done
[ $took = yes ] || check "a thread waits for the frame" [ "$(waits)" -gt 0 ]
kill -0 $msync 2>/dev/null || fail "msync returned before the write"
view_is=$(timeout 2 cat frames | wc -l)
check_equal "the view answers meanwhile" 1025 "$view_is"
sleep 0.3
kill -CONT "$store_pid"
for job in $msync $store; do
	ended 5 "$job" || fail "it does not go on when the store does"
done
check_equal "msync" ok "$(cat "$dir/msync")"
check_equal "store" ok "$(cat "$dir/store")"
wait_for 5 bash -c "! awk '\$2 == \"writing\"' frames | grep -q ." ||
	fail "frames stay busy"

bytes 1048576 1 >"$dir/expected"
check "the stores are there" ctl 'expect q data+8192 == 2 u8
expect p data+40960 == 3 u8
msync p data'
printf '\2' | dd of="$dir/expected" bs=1 seek=8192 conv=notrunc 2>/dev/null
printf '\3' | dd of="$dir/expected" bs=1 seek=40960 conv=notrunc 2>/dev/null
check "and in the file" cmp "$src/files/f" "$dir/expected"

# The same for swap, while the pager itself is writing: stop the store at a
# moment when it does, again and again.
check "anonymous memory" ctl 'map p heap anon 8M
fill p heap pattern 1'
later 'repeat 60 {
touch p heap write random count 500 pattern 1
touch p heap read random count 500 pattern 1 verify
}' storm
storm=$!
seen=0
while kill -0 $storm 2>/dev/null; do
	kill -STOP "$store_pid"
	sleep 0.05	# what is submitted meanwhile stays on its way, too
	writing && seen=$((seen + 1))
	kill -CONT "$store_pid"
	sleep 0.05
done
check_equal "the storm" ok "$(cat "$dir/storm")"
check "pages were seen on their way to swap: $seen" [ $seen -gt 0 ]
check "all of it is right" ctl 'expect fill p heap pattern 1
check'
cd / || exit
machine_end 0
check "the file at the end" cmp "$src/files/f" "$dir/expected"
umount_store "$mnt"
finish
