#!/usr/bin/env bash
# A request that hangs in SOURCE is ended for its client after -o timeout,
# and what it uses stays its own until it is really done. SOURCE hangs here
# on command: it is another pagerfs, whose rules freeze it.
. "$(dirname "$0")/lib.sh"
time_limit 90
need_root
src=$dir/src low=$dir/low mnt=$dir/mnt
mkdir -p "$src"
io=$BUILD/tests/fs/tool_io
need "$io"
head -c 65536 /dev/zero | tr '\0' A >"$src/f"
cp "$src/f" "$src/g"
mount_store "$src" "$low" -o attr_timeout=0,entry_timeout=0
lower=$store_pid
# What hangs in the root of it keeps the kernel from looking up there what it
# has forgotten, as it may at any time: hold on to the way in.
exec 7<"$low/.pagerfs/rules"
mount_store "$low" "$mnt" -o timeout=1,threads=2,auto_unmount
upper=$store_pid

now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }
freeze() { cat <<<"$1" >"$low/.pagerfs/rules"; }
thaw() { : >"$low/.pagerfs/rules"; }
ended() { awk '$1 == "pagerfs_timeouts_total" { print $2 }' \
	"$mnt/.pagerfs/stats"; }
# hangs WHAT 'ARGUMENTS' 'LINES': ended after the timeout, and not before
hangs() {
	local start end
	start=$(now_ms)
	# shellcheck disable=SC2086
	check_equal "$1: $2" "$3" "$("$io" $2 2>&1 |
		sed 's/ *$//' | paste -sd';')"
	end=$(now_ms)
	check "$1: after $((end - start)) ms" \
		[ $((end - start)) -ge 950 -a $((end - start)) -le 4000 ]
}

# However short the timeout is, the first request of all is not ended: the
# kernel would refuse all that comes after it. (Others may be.)
mkdir "$dir/short"
for i in {1..20}; do
	"$BUILD/pagerfs" -o timeout=0.000000001 "$src" "$dir/short" \
		2>>"$dir/store.log" || fail "a short timeout: status $?"
	guard_mount "$dir/short"
	stat "$dir/short" 2>&1 | grep -q "Connection refused" &&
		fail "round $i: the mount is refused"
	umount "$dir/short"
done

check_equal "nothing hangs" "open 0;write 10;fsync 0" \
	"$("$io" open "$mnt/f" write 0 10 66 fsync | paste -sd';')"
check_equal "none ended" 0 "$(ended)"
freeze 'read f freeze'
hangs "a read" "-d open $mnt/f read 4096 4096" "open 0;read ETIMEDOUT"
check_equal "counted" 1 "$(ended)"
check "shown: $(tail -n 1 "$mnt/.pagerfs/inflight")" \
	grep -q ' ended   read ' "$mnt/.pagerfs/inflight"
check "logged" grep -q 'read at 4096, 4096 bytes, of process .* hangs for .*: '\
	'ended with ETIMEDOUT' "$dir/store.log"
wait_for 2 grep -q ' waiting release ' "$mnt/.pagerfs/inflight" ||
	fail "its file was closed under it"
# for its client the file is closed by now, and others are served, also in the same file
check "others are served" cmp -n 4096 "$src/g" "$mnt/g"
check_equal "the file can be written" "open 0;write 10" \
	"$("$io" -d open "$mnt/f" write 8192 10 67 | paste -sd';')"
thaw
wait_for 5 bash -c "! grep -q ended '$mnt/.pagerfs/inflight'" ||
	fail "it is not done after the thaw"
check "and all is right" cmp "$src/f" "$mnt/f"
# ---- a write: late, but whole; its memory was not used for anything else ----
freeze 'write f freeze'
"$io" -s -d open "$mnt/f" write 0 65536 90 >"$dir/write" 2>&1 &
write=$!
sleep 1.7
check_equal "a write" "open 0;write ETIMEDOUT" "$(paste -sd';' "$dir/write")"
wait $write
for byte in 70 71 72 73; do	# through the same daemon's slots
	"$io" open "$mnt/g" write 0 65536 $byte >/dev/null
done
thaw
wait_for 5 bash -c "! grep -q ended '$mnt/.pagerfs/inflight'"
check_equal "late, but whole" 65536 "$(tr -dc Z <"$src/f" | wc -c)"
# ---- an appending write, in pieces: where they were to go is not where the
# next one goes ----
"$io" -c -d -a open "$mnt/log" ring 0 8192 \
	run "echo 'write log freeze' >'$low/.pagerfs/rules'" \
	ring 8192 3500000 run "cat </dev/null >'$low/.pagerfs/rules'
		while grep -q ended '$mnt/.pagerfs/inflight'; do sleep 0.1; done
		truncate -s 50000 '$src/log'" append 4096 90 >"$dir/append"
check_equal "an append in pieces" \
	"open 0;ring 8192;run 0;ring ETIMEDOUT;run 0;append 4096" \
	"$(paste -sd';' "$dir/append")"
check_equal "the size of the log" 54096 "$(stat -c %s "$src/log")"
check_equal "its end" 4096 "$(tail -c +50001 "$src/log" | tr -dc Z | wc -c)"
# ---- a copy: neither of its files is closed under it; nor a truncated one ----
cp "$src/f" "$src/from" && cp "$src/f" "$src/cut"
for i in {1..16}; do cat "$src/f"; done >>"$src/from"	# more than one piece
: >"$src/to"
freeze 'copy to freeze
setattr cut freeze'
waiting() {
	[ "$(grep -c ' waiting release ' "$mnt/.pagerfs/inflight")" = "$1" ]
}
hangs "a copy" "open $mnt/to from $mnt/from copy 0 0 1000000" \
	"open 0;from 0;copy ETIMEDOUT"
wait_for 2 waiting 2 || fail "closed under it: $(cat "$mnt/.pagerfs/inflight")"
hangs "a truncation" "open $mnt/cut truncate 1000" \
	"open 0;truncate ETIMEDOUT"
wait_for 2 waiting 3 || fail "closed under it: $(cat "$mnt/.pagerfs/inflight")"
thaw
wait_for 5 bash -c "! grep -q 'ended\|release' '$mnt/.pagerfs/inflight'" ||
	fail "not done: $(cat "$mnt/.pagerfs/inflight")"
check_equal "late, but whole" 1000000 "$(stat -c %s "$src/to")"
check "the copy" cmp -n 1000000 "$src/from" "$src/to"
check_equal "truncated" 1000 "$(stat -c %s "$src/cut")"
# ---- names: a thread of the daemon sleeps in the system call ----
# (Not in the root: the kernel below lets nobody look up there meanwhile what
# it has forgotten, and it may forget at any time.)
mkdir "$src/sub"
cp "$src/f" "$src/sub/gone"
freeze 'lookup+getattr never freeze
unlink gone freeze
fsync f freeze'
for what in "stat $mnt/never" "rm -f $mnt/sub/gone"; do
	start=$(now_ms)
	check "$what" bash -c "! $what 2>'$dir/err'"
	check "$what: $(cat "$dir/err")" grep -q 'timed out' "$dir/err"
	end=$(now_ms)
	check "$what: after $((end - start)) ms" \
		[ $((end - start)) -ge 950 -a $((end - start)) -le 4000 ]
	check "others are served" cmp "$src/f" "$mnt/f"
done
hangs "fsync" "open $mnt/f fsync" "open 0;fsync ETIMEDOUT"
thaw
wait_for 5 bash -c "! grep -q ended '$mnt/.pagerfs/inflight'" ||
	fail "not done: $(cat "$mnt/.pagerfs/inflight")"
check "the unlink was done in the end" [ ! -e "$src/sub/gone" ]
# ---- a directory: what its entries counted is taken back ----
inodes() { awk '$1 == "pagerfs_inodes" { print $2 }' "$mnt/.pagerfs/stats"; }
few_inodes() {
	mount -i -o remount,rw "$mnt"
	[ "$(inodes)" -lt $((before + 50)) ]
}
mkdir "$src/d"
touch "$src"/d/{1..100}
before=$(inodes)
freeze 'readdir d freeze'
check "a directory" bash -c "! ls '$mnt/d' 2>'$dir/err'"
check "a directory: $(cat "$dir/err")" grep -q 'timed out' "$dir/err"
thaw
wait_for 5 bash -c "! grep -q ended '$mnt/.pagerfs/inflight'"
wait_for 5 few_inodes || fail "$(inodes) inodes, and there were $before"
# ---- more hanging calls than threads: there is always one that serves ----
freeze 'lookup+getattr never* freeze'
for i in {1..9}; do
	(stat "$mnt/never$i" 2>&1 | grep -c 'timed out' >"$dir/stat$i") &
	jobs[i]=$!
done
sleep 0.2
start=$(now_ms)
check "others are served" cmp "$src/f" "$mnt/f"
check "$(cat "$mnt/.pagerfs/inflight")" grep -q lookup "$mnt/.pagerfs/inflight"
check "soon: $(($(now_ms) - start)) ms" [ $(($(now_ms) - start)) -lt 4000 ]
wait "${jobs[@]}"
check_equal "each of them was told" "1 1 1 1 1 1 1 1 1" \
	"$(cat "$dir"/stat? | paste -sd' ')"
thaw
# ---- what a rule of its own keeps back does not hang ----
before=$(ended)
echo 'read f delay=2s' >"$mnt/.pagerfs/rules"
check_equal "delayed" "open 0;read 10" \
	"$("$io" -d open "$mnt/f" read 0 10 | cut -d' ' -f1,2 | paste -sd';')"
check_equal "not ended" "$before" "$(ended)"
: >"$mnt/.pagerfs/rules"
# ---- many at once, again and again, with files opened and closed ----
for round in 1 2 3; do
	freeze 'read+write f p=1/2 freeze'
	for i in {1..20}; do
		"$io" -d open "$mnt/f" read $((i * 512)) 512 write 512 512 88 \
			close >/dev/null 2>&1 &
		jobs[i]=$!
	done
	sleep 0.3
	[ $round = 1 ] && sleep 2.5
	thaw
	for i in {1..20}; do wait "${jobs[i]}"; done
done
wait_for 5 bash -c "! grep -q ended '$mnt/.pagerfs/inflight'" ||
	fail "not done: $(cat "$mnt/.pagerfs/inflight")"
check "some were ended: $(ended)" [ "$(ended)" -gt "$before" ]
check "all is right" cmp "$src/f" "$mnt/f"
# ---- SIGTERM while SOURCE hangs: the daemon does not ----
freeze 'all f freeze'
"$io" -d open "$mnt/f" read 0 4096 >/dev/null 2>&1 &
client=$!
(stat "$mnt/f" >/dev/null 2>&1) &
sleep 0.3
start=$(now_ms)
kill -TERM "$upper"
wait_for 12 bash -c "! kill -0 $client 2>/dev/null" || fail "its clients do"
check "free after $(($(now_ms) - start)) ms" [ $(($(now_ms) - start)) -lt 11000 ]
check "no mount is left" bash -c "! grep -q ' $mnt ' /proc/self/mounts"
# (With the number of the device that the old one had.)
mount_store "$src" "$mnt"
next=$store_pid
wait_for 12 grep -q 'requests still hang in SOURCE' "$dir/store.log" ||
	fail "the daemon waits for SOURCE"
thaw
wait_for 5 bash -c "! kill -0 $upper 2>/dev/null" || fail "it hangs, too"
wait "$upper"
check_equal "its status" 1 $?
check "what was mounted there since stays" is_mounted "$mnt"
store_pid=$next
umount_store "$mnt"
exec 7<&-
store_pid=$lower
wait_for 5 bash -c "umount '$low' 2>/dev/null"
wait "$lower"
check_equal "the lower one" 0 $?
finish
