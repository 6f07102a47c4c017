#!/usr/bin/env bash
# 2000 emulated threads fault on a file through the mount at once, on two
# CPUs: a thread that waits for a page holds no host thread.
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 40
src=$dir/src mnt=$dir/mnt
mount_store "$src" "$mnt"
mkdir "$src/files"
bytes 33554432 7 >"$src/files/f"
machine_start many --ram 16M --cpus 2 --no-swap
threads() { ls "/proc/$machine_pid/task" | wc -l; }
at_rest=$(threads)

# With the store stopped, all of them come to wait. Nothing may be looked up
# in $mnt then.
cd "$view" || exit
check "a process" ctl 'proc p
map p data file files/f shared
load p data'
kill -STOP "$store_pid"
(cat >&3; cat <&3) 3<>ctl >"$dir/answer" 2>&1 <<'END' &
spawn 2000 $i {
	touch p data read random count 3 seed $i
	expect p data+$i*16K == 7 u8
	store p data+$i*16K 9 u8
}
wait
END
job=$!
waiting() { awk 'NR > 1 { n += $5 - 0 > 0 ? $4 : 0 } END { print n + 0 }' \
	procs; }
all_wait() { [ "$(awk '$NF == "p" { print $4 }' procs)" -ge 2000 ]; }
wait_for 10 all_wait || fail "they do not wait: $(cat procs)"
check "host threads: $at_rest, then $(threads)" \
	[ "$(threads)" -le $((at_rest + 8)) ]
check "few in all" [ "$(threads)" -le 24 ]
t0=${EPOCHREALTIME/[.,]/}
kill -CONT "$store_pid"
ended 20 $job || fail "they do not end"
say "2000 threads, 8000 accesses, $((${EPOCHREALTIME/[.,]/} - t0)) us"
check_equal "all of them" ok "$(cat "$dir/answer")"
check "and what they stored" ctl 'repeat 2000 $i {
	expect p data+$i*16K == 9 u8
}
msync p data
check'
cd / || exit
machine_end 0
check_equal "in the file" 2000 "$(tr -cd '\11' <"$src/files/f" | wc -c)"
umount_store "$mnt"
finish
