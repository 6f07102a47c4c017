#!/usr/bin/env bash
# The end while SOURCE hangs: the daemon leaves without the requests that do in
# some seconds, and without held writes that do when it is told so again; those
# of all other files are in them. So they are in a power cut, at once. A part of
# SOURCE hangs on command: another pagerfs is mounted there, whose rules freeze
# it.
. "$(dirname "$0")/lib.sh"
time_limit 40
need_root
src=$dir/src low=$dir/src/low
mkdir -p "$src/a" "$src/b" "$src/cut"
mount_store "$dir/deep" "$low" -o attr_timeout=0,entry_timeout=0
lower=$store_pid
mkdir "$low/cut"
for i in {1..9}; do
	echo old >"$low/f$i"
	echo old >"$low/cut/f$i"
	echo old >"$src/a/f$i"
	echo old >"$src/b/f$i"
	echo old >"$src/cut/f$i"
done
# held MOUNTPOINT DIRECTORY: a write to each file there
held() {
	for i in {1..9}; do
		echo new | dd of="$1/$2/f$i" conv=notrunc status=none
	done
}
# written DIRECTORY: do all have it?
written() {
	check_equal "$1: written" "new" "$(sort -u "$src/$1"/f*)"
}

# ---- files that hang when they are written, among such as do not ----
mount_store "$src" "$dir/a" -o 'inject=write * hold'
held "$dir/a" low
held "$dir/a" a
a=$store_pid

# ---- a power cut beside such files: all of these is to be kept ----
mount_store "$src" "$dir/cut" -o 'inject=write * hold'
held "$dir/cut" low/cut
held "$dir/cut" cut
cut=$store_pid

# ---- a request that hangs, and nothing that is held does ----
mount_store "$src" "$dir/b" -o 'threads=2,inject=write * hold'
held "$dir/b" b
b=$store_pid
mount_store "$src" "$dir/again"
again=$store_pid
echo 'write * freeze
read * freeze
lookup late* freeze' >"$low/.pagerfs/rules"
timeout 30 stat "$dir/b/low/late" >/dev/null 2>&1 &
client=$!
timeout 30 stat "$dir/again/low/late2" >/dev/null 2>&1 &
impatient=$!
hang() { [ "$(grep -Ec ' (lookup|read) ' \
	"$low/.pagerfs/inflight")" = "$1" ]; }
wait_for 5 hang 2 || fail "nothing hangs"
timeout 30 dd if="$dir/b/low/f1" iflag=direct bs=4k of=/dev/null \
	status=none 2>/dev/null &
reader=$!
wait_for 5 hang 3 || fail "nothing hangs"

# Somebody asks for something again and again, and in the end for too much.
(cd "$dir/b" && while stat a/f1; do sleep 0.05; done) >/dev/null 2>&1 &
asker=$!
kill -TERM "$a" "$b" "$again"
kill -TERM "$a" "$again"	# as timeout(1) does it: that is once
(timeout 30 cat <<<'cut 100%' >"$dir/cut/.pagerfs/ctl") 2>/dev/null &
cutter=$!
away() { ! is_mounted "$dir/cut"; }
check "cut: the mount goes at once" wait_for 2 away
ended() {
	read -r -a now <"/proc/$1/stat" && cpu=$((now[13] + now[14]))
	! kill -0 "$1"
} 2>/dev/null
sleep 1.1
kill -TERM "$again"
check "told again: it ends" wait_for 2 ended "$again"
check "in its own time" wait_for 15 ended "$b"
written a
written b
check "cut: it ends" ended "$cut"
written cut
check "cut: said" grep -q 'power cut: of 72 bytes not synced, 36 reached' \
	"$dir/store.log"
check "what is held is waited for" kill -0 "$a"
check "which is said" grep -q 'held writes: 36 bytes wait for SOURCE' \
	"$dir/store.log"
kill -TERM "$a"
check "but not when told again" wait_for 3 ended "$a"
check "not busy while it waits: $cpu" [ "$cpu" -lt "$(getconf CLK_TCK)" ]
check "said, what is lost" grep -q \
	'held writes: 36 bytes are lost in files that hang' "$dir/store.log"
echo clear >"$low/.pagerfs/ctl"
wait "$client" "$reader" "$asker" "$impatient" "$cutter"
for pid in "$a" "$b" "$again" "$cut"; do
	wait "$pid"
	check_equal "status" 1 $?
done
check "no mount is left" bash -c \
	"! grep -Eq ' $dir/(a|b|again|cut) ' /proc/self/mounts"
store_pid=$lower
umount_store "$low"
finish
