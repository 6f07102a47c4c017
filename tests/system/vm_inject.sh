#!/usr/bin/env bash
# A machine on a store that fails on command while it runs: slow, full,
# frozen, with errors and torn writes. What the pager promises holds: a failed
# write keeps the page dirty, is counted and told once by the next msync; who
# reads goes on while a page is written; and in the end nothing is lost.
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 100
need cmp
src=$dir/src mnt=$dir/mnt
. "$here/tests/lib/inject.sh"
mount_store "$src" "$mnt" -o seed=11
mkdir "$src/files"
truncate -s 1M "$src/files/f"
acted() {
	grep -o "# $1: .*" "$rules" | sed 's/.*acted //; s/,.*//'
}
machine_start inject --ram 4M --swap swap/s,32M
ctl 'proc p
proc q
map p data file files/f shared
map q data file files/f shared
fill p data 1
msync p data'
check_equal "to begin with" ok "$answer"
check "the file" cmp "$src/files/f" <(bytes 1048576 1)

# ---- EIO: told once, kept, written by the next ----
rules 'write files/f times=1 error=EIO'
check "stores and an error" ctl 'fill p data 2
expect error EIO msync p data'
check_equal "the rule acted" 1 "$(acted 1)"
check "counted" [ "$(counter pgwriteerr)" -gt 0 ]
check "memory is right" ctl 'expect fill p data 2
expect fill q data 2'
check "the next msync has nothing to tell p" ctl 'msync p data'
check_equal "nothing is dirty" 0 "$(counter nr_dirty)"
check "the file" cmp "$src/files/f" <(bytes 1048576 2)

# ---- two who wait for the same write are both told ----
rules 'write files/f delay=300ms
write files/f times=1 error=EIO'
ctl 'store p data 7'
check "both are told" ctl 'together {
	expect error EIO msync p data
	expect error EIO msync p data
}'
check_equal "the rule acted" 1 "$(acted 2)"
rules ''
check "and then it is written" ctl 'msync p data'
ctl 'fill p data 2
msync p data'

# ---- torn writes: half a page on the disk is written again as a whole ----
rules 'write files/f times=3 torn'
ctl 'fill p data 3
expect error EIO msync p data
expect fill q data 3'
check_equal "torn" ok "$answer"
rules ''
ctl 'msync p data'
check "the file, after them" cmp "$src/files/f" <(bytes 1048576 3)

# ---- full: the pages stay, until there is room ----
truncate -s 2M "$src/files/sparse"
rules 'write files/sparse quota=256K'
check "a full disk" ctl 'map p more file files/sparse shared
fill p more 4
expect error ENOSPC msync p more'
dirty=$(counter nr_dirty)
check "what did not fit is dirty: $dirty" [ "$dirty" -ge 448 ]
check "and stays so, and right" ctl 'evict 2000
expect fill p more 4'
check "and the disk holds no more" [ "$(du -k "$src/files/sparse" |
	cut -f1)" -le 260 ]
rules ''
ctl 'msync p more'
ctl 'msync p more'
check_equal "with room it arrives" "ok 0" "$answer $(counter nr_dirty)"
check "the file" cmp "$src/files/sparse" <(bytes 2097152 4)

# ---- frozen: frames are busy as long, readers go on, then all is done ----
rules 'write files/f freeze'
cd "$view" || exit
writing() { awk '$2 == "writing"' frames | grep -q .; }
(cat <<<'fill p data 5
msync p data' >&3; cat <&3) 3<>ctl >"$dir/msync" 2>&1 &
msync=$!
wait_for 5 writing || fail "no frame is busy writing"
(cat <<<'expect q data == 5 u8' >&3; cat <&3) 3<>ctl >"$dir/read" 2>&1 &
reader=$!
ended 5 $reader || fail "a reader waits for a page that is only written"
check_equal "it read" ok "$(cat "$dir/read")"
sleep 0.3
kill -0 $msync 2>/dev/null || fail "msync returned before the write"
check "the control directory shows them: $(tail -n 1 \
	"$mnt/.pagerfs/inflight")" grep -q 'waiting write .* files/f$' \
	"$mnt/.pagerfs/inflight"
cat <<<thaw >"$mnt/.pagerfs/ctl"
ended 5 $msync || fail "msync does not go on after the thaw"
check_equal "msync" ok "$(cat "$dir/msync")"
cd / || exit
check "the file" cmp "$src/files/f" <(bytes 1048576 5)

# ---- what msync returned for survives a power cut ----
rules 'write files/* hold'
ctl 'fill p data 6
msync p data'
check_equal "msync over a volatile cache" ok "$answer"
cat <<<drop >"$mnt/.pagerfs/ctl"
check "the file" cmp "$src/files/f" <(bytes 1048576 6)

# ---- swap that lies: no process gets what is not its own ----
rules 'read swap/* times=1 flip'
ctl 'map p anon anon 8M
fill p anon pattern 1
expect error EFAULT touch p anon read pattern 1 verify'
check_equal "a flipped bit: SIGBUS, $(cat "$dir/inject.err")" ok "$answer"
check_equal "counted" "1 1" "$(acted 1) $(counter pswplost)"
check_equal "said" 1 "$(grep -c 'swap/s: a page is not what was written' \
	"$dir/inject.err")"
ctl 'expect fill p anon pattern 1'
check_equal "it was on the way only" ok "$answer"
rules 'write swap/* times=1 lost'
ctl 'fill p anon pattern 2
expect error EFAULT touch p anon read pattern 2 verify'
check_equal "a lost write: SIGBUS" ok "$answer"
check_equal "the rule acted" 1 "$(acted 1)"
check "counted" [ "$(counter pswplost)" -gt 1 ]
rules ''
ctl 'unmap p anon'

# ---- a storm: slow, with errors on the way out, and torn ----
rules 'data * p=1/10 tail=50us..20ms
write swap/* p=5% error=EIO
write files/* p=10% torn
write swap/* p=2% short'
check "the storm" ctl 'map p heap anon 8M
fill p heap pattern 7
repeat 6 {
touch p heap mix 50% zipf 0.9 count 4000 pattern 7 verify
touch p data mix 50% random count 400 pattern 8
}
expect fill p heap pattern 7
check'
check_equal "$answer" ok "$answer"
check "rules acted: $(tail -n +2 "$rules")" [ "$(acted 1)" -gt 50 -a \
	"$(acted 2)" -gt 0 ]
rules ''
ctl 'msync p data'
check "all is right" ctl 'expect fill p heap pattern 7
check'
ctl 'msync p data'
check_equal "nothing more to tell" ok "$answer"
pid=$(pid_of p)
data=$((0x$(address_of "$pid" files/f)))
dd if="$view/$pid/mem" bs=1M iflag=skip_bytes,count_bytes,fullblock \
	skip=$data count=1048576 2>/dev/null >"$dir/seen"
check "memory is in the file" cmp "$dir/seen" "$src/files/f"
machine_end 0
umount_store "$mnt"
finish
