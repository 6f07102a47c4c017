#!/usr/bin/env bash
# Commands in the control files of a real machine: those of one process do not
# wait for those of another, `self' is nobody else's, and what was wrong is said
# however much was printed before.
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 40
src=$dir/src mnt=$dir/mnt
mount_store "$src" "$mnt"
machine_start vm --ram 4M --no-swap
ctl 'proc p
map p a anon 8K
fill p a 1
proc q
map q a anon 8K
fill q a 2' || fail "$answer"

# ---- one at a time is for nobody but the writers of one opening ----
(echo 'sleep 5s' >"$view/1/ctl") 2>/dev/null &
sleeper=$!
sleep 0.2
check "another's, meanwhile" timeout 2 "$BUILD/pagervm" explain -d "$mnt" \
	-n vm 2 a
check "and the same one's" timeout 2 "$BUILD/pagervm" explain -d "$mnt" \
	-n vm 1 a
kill $sleeper

# ---- self ----
exec 5<>"$view/1/ctl"
echo 'expect self a == 0x0101010101010101' >&5
check_equal "self" ok "$(cat <&5)"
ctl 'load self a' && fail "self means somebody in the machine's own ctl"
ctl 'proc self
map self a anon 4K
fill self a 3' || fail "$answer"
echo 'store self a 9' >&5
check_equal "self is not a process of that name" ok "$(cat <&5)"
exec 5>&-
check "which is as it was" ctl 'expect fill self a 3
expect p a == 9'

# ---- much was printed, and then something was wrong ----
ctl 'repeat 10000 {
	print "much that is printed before the error"
}
load nobody a' && fail "a bad line passed"
check "what was wrong is there" grep -q "^ctl:4: .*no process 'nobody'" \
	<<<"${answer: -200}"
check "and that something is missing" grep -q '(cut)$' <<<"${answer: -700}"
ctl 'print "little"
load nobody a'
check_equal "little is all there" "little 2" \
	"$(head -n 1 <<<"$answer") $(wc -l <<<"$answer")"

# ---- a mapping called heap, and the heap ----
check "heap is what brk has made" ctl 'proc h
map h heap anon 64K
brk h +64K
mark
fill h heap 7
expect delta pgfault >= 16
expect fill h heap 7
brk h +64K
expect fill h heap+0 64K 7
fill h heap 8'

machine_end
umount_store "$mnt"
finish
