#!/usr/bin/env bash
# kill -9 of the store under a working machine is a disk that goes away; a new
# daemon over the same files is the disk that comes back. The machine keeps its
# pages and goes on: files, swap, the live view. What is not the same any more
# is not taken for it.
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 110
need cmp
src=$dir/src mnt=$dir/mnt

# new_store: the daemon dies, the documented command clears the mount, and
# another daemon serves the same directory.
new_store() {
	store_dies
	mount_store "$src" "$mnt"
}
store_dies() {
	kill -KILL "$store_pid"
	{ wait "$store_pid"; } 2>/dev/null
	fusermount3 -uz "$mnt"
}
# until_killed NAME: $dir/NAME.pvm runs, and has come to where the store dies.
until_killed() {
	"$BUILD/pagervm" run -d "$mnt" --no-view --ram 2M --swap swap/s,16M \
		"$dir/$1.pvm" >"$dir/$1.out" 2>"$dir/$1.err" &
	machine_pid=$!
	echo "$machine_pid" >>"$guard/pids"
	wait_for 15 grep -q killed "$dir/$1.out" ||
		fail "$1: it does not get there"
}
is_back() { grep -q 'the store is back' "$dir/$1.err"; }

# ---- a program that goes on, with three times as much data as RAM ----

mount_store "$src" "$mnt"
mkdir -p "$src/files"
truncate -s 1M "$src/files/f"
cat >"$dir/through.pvm" <<'END'
proc p
map p data file files/f shared
map p heap anon 6M
fill p heap pattern 1
fill p data pattern 2
print "killed now"
sleep 3s
touch p heap read pattern 1 verify
touch p data read pattern 2 verify
fill p heap pattern 3
msync p data
touch p heap read pattern 3 verify
fork p q
touch q heap read pattern 3 verify
check
END
until_killed through
new_store
ended 30 "$machine_pid" || fail "through: it hangs"
wait "$machine_pid"
status=$?
check_equal "through: status, $(cat "$dir/through.err")" 0 $status
check "through: it says so" is_back through

# ---- dirty pages, with nothing but ctl ----

machine_start held --ram 4M --swap swap/s,16M
ctl 'proc p
map p data file files/f shared
fill p data 7'
new_store
wait_for 5 is_back held || fail "held: not back"
wait_for 5 test -e "$mnt/vm/held/ctl" || fail "held: the view is not back"
guard_mount "$mnt/vm/held"
# Mapped again it is the same file, on a mount of another number.
ctl 'proc q
map q data file files/f shared
expect fill q data 7
fill q data+0 4096 8
expect fill p data+0 4096 8
msync p data' || fail "held, mapped again: $answer"
check_equal "held: the file" 8 "$(od -An -tu1 -N1 -j4095 "$src/files/f" |
	tr -d ' ')"
check_equal "held: behind it" 7 "$(od -An -tu1 -N1 -j4096 "$src/files/f" |
	tr -d ' ')"
ctl 'fill p data 9' || fail "held, at last: $answer"
new_store		# and a second time
wait_for 5 eval '[ "$(grep -c "store is back" "$dir/held.err")" = 2 ]' ||
	fail "held: not back again"
kill -TERM "$machine_pid"
ended 15 "$machine_pid" || fail "held: it hangs"
wait "$machine_pid"
status=$?
check_equal "held: status, $(cat "$dir/held.err")" 0 $status
bytes 1048576 9 >"$dir/nines"
check "held: all of the file" cmp "$dir/nines" "$src/files/f"

# ---- files that nobody maps any more, or of which nothing is in RAM ----

# Alone on the mount: no swap there that would be asked. The first file of the
# machine is on another file system, the second has no page in RAM, the third
# is dirty and unmapped.
truncate -s 64K "$dir/elsewhere" "$src/files/second"
cat >"$dir/alone.pvm" <<END
proc p
map p other file $dir/elsewhere shared
load p other
map p second file files/second shared
map p data file files/f shared
fill p data 5
print "killed now"
sleep 1s
unmap p data
sleep 4s
expect p second == 0
END
"$BUILD/pagervm" run -d "$mnt" --no-view --ram 4M --no-swap "$dir/alone.pvm" \
	>"$dir/alone.out" 2>"$dir/alone.err" &
machine_pid=$!
echo "$machine_pid" >>"$guard/pids"
wait_for 15 grep -q killed "$dir/alone.out" || fail "alone: it does not get there"
store_dies
sleep 1.5
mount_store "$src" "$mnt"
ended 30 "$machine_pid" || fail "alone: it hangs"
wait "$machine_pid"
status=$?
check_equal "alone: status, $(cat "$dir/alone.err")" 0 $status
check "alone: the file" cmp <(bytes 1048576 5) "$src/files/f"

# ---- back, and the machine ends before it has looked ----

for ((i = 0; i < 3; i++)); do
	machine_start soon --ram 4M --swap swap/s,16M
	ctl "proc p
map p data file files/f shared
fill p data $((20 + i))"
	new_store
	kill -TERM "$machine_pid"
	ended 15 "$machine_pid" || fail "soon: it hangs"
	wait "$machine_pid"
	status=$?
	check_equal "soon: status, $(cat "$dir/soon.err")" 0 $status
	check "soon: the file" cmp <(bytes 1048576 $((20 + i))) "$src/files/f"
done
cp "$dir/nines" "$src/files/f"

# ---- another file of that name is not the file ----

machine_start other --ram 4M --swap swap/s,16M
ctl 'proc p
map p data file files/f shared
fill p data 1'
store_dies
mv "$src/files/f" "$src/files/g"
cp "$src/files/g" "$src/files/f"
mount_store "$src" "$mnt"
sleep 2.5
kill -TERM "$machine_pid"
ended 15 "$machine_pid" || fail "other: it hangs"
wait "$machine_pid"
check_equal "other: status" 1 $?
check "other: what is lost: $(cat "$dir/other.err")" \
	grep -q '256 dirty pages .* lost' "$dir/other.err"
check "other: it is left alone" cmp "$dir/nines" "$src/files/f"
mv "$src/files/g" "$src/files/f"

# ---- and a swap area that another machine has used is not ours ----

cat >"$dir/robbed.pvm" <<'END'
proc p
map p heap anon 6M
fill p heap pattern 1
print "killed now"
sleep 4s
touch p heap read pattern 1 verify
END
until_killed robbed
store_dies
mkdir -p "$dir/mnt2"
mount_store "$src" "$dir/mnt2"
echo 'proc p; map p heap anon 6M; fill p heap 66; expect fill p heap 66' \
	>"$dir/robber.pvm"
check "the robber" "$BUILD/pagervm" run -d "$dir/mnt2" --no-view --ram 2M \
	--swap swap/s,16M "$dir/robber.pvm"
umount_store "$dir/mnt2"
mount_store "$src" "$mnt"
ended 30 "$machine_pid" || fail "robbed: it hangs"
wait "$machine_pid"
check_equal "robbed: status" 1 $?
check "robbed: SIGBUS, and not the robber's bytes: $(cat "$dir/robbed.err")" \
	grep -q SIGBUS "$dir/robbed.err"
umount_store "$mnt"
finish
