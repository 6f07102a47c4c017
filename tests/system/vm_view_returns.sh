#!/usr/bin/env bash
# The live view goes with the store that it is in, and comes back with the next
# one: into a store and not its bare mount point, over nobody else's view, and
# without what was running for the one before. The end of the machine does not
# wait for it.
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 60
need cmp
src=$dir/src mnt=$dir/mnt

store_dies() {
	kill -KILL "$store_pid"
	{ wait "$store_pid"; } 2>/dev/null
	fusermount3 -uz "$mnt"
}
new_store() {
	store_dies
	mount_store "$src" "$mnt" "$@"
}
view_returns() {
	wait_for 5 test -e "$view/ctl" || fail "$1: the view is not back"
	guard_mount "$view"
}
says() { grep -q "$2" "$dir/$1.err"; }

# ---- with nothing on the store, and a command that runs ----

mount_store "$src" "$mnt"
mkdir "$src/files" "$src/swap"
truncate -s 1M "$src/files/f"
machine_start bare --no-swap --ram 4M
ctl 'proc p
map p h anon 1M' || fail "bare: $answer"
exec 7<"$view/frames"
cat <<<'repeat 1000000000 {
store p h 1 u8
}' 2>/dev/null >"$view/ctl" &
writer=$!
sleep 0.3
kill -0 $writer || fail "bare: the command has ended"
new_store
view_returns bare
wait $writer && fail "bare: its writer is told that it was done"
check "bare: commands run" ctl 'load p h u8'
machine_end
check_equal "bare: it says nothing" "" "$(cat "$dir/bare.err")"
exec 7<&-
check_equal "bare: views left" "" "$(ls "$src/vm")"

# ---- another machine of that name was quicker ----

machine_start twin --swap swap/s,8M --ram 4M
first=$machine_pid
sleep 60 <"$view/frames" &	# not in this shell, whose children would wait
reader=$!
echo $reader >>"$guard/pids"
kill -STOP "$first"
mv "$dir/twin.err" "$dir/first.err"
new_store
machine_start twin --no-swap --ram 4M
kill -CONT "$first"
check "twin: the first sees it" wait_for 5 says first 'machine is mounted here'
check "twin: the second's view stays" ctl check
sleep 1.2
check_equal "twin: it says it once" 2 "$(wc -l <"$dir/first.err")"
{ kill $reader && wait $reader; } 2>/dev/null
kill -TERM "$first"
ended 10 "$first" || fail "twin: the first does not end"
wait "$first"
check_equal "twin: status of the first" 0 $?
check "twin: after its end as well" ctl check
machine_end
check_equal "twin: views left" "" "$(ls "$src/vm")"

# ---- a store that is not the view's comes back first ----

view_store=$store_pid
mkdir -p "$dir/src2/swap"
mount_store "$dir/src2" "$dir/mnt2"
swap_store=$store_pid
machine_start early --swap "$dir/mnt2/swap/s,8M" --ram 4M
kill -KILL "$swap_store"
{ wait "$swap_store"; } 2>/dev/null
fusermount3 -uz "$dir/mnt2"
store_pid=$view_store
store_dies
mount_store "$dir/src2" "$dir/mnt2"
swap_store=$store_pid
check "early: swap is back" wait_for 5 says early 'store is back'
sleep 0.3
check_equal "early: the bare mount point" "" "$(ls "$mnt")"
mount_store "$src" "$mnt"
view_returns early
check "early: commands run" ctl check
machine_end
is_mounted "$view" && fail "early: its view is left"
check_equal "early: views left" "" "$(ls "$src/vm")"
view_store=$store_pid store_pid=$swap_store
umount_store "$dir/mnt2"
store_pid=$view_store

# ---- a store that makes no place for it does not hold up the end ----

machine_start slow --no-swap --ram 4M
ctl 'proc p
map p data file files/f shared
fill p data 7' || fail "slow: $answer"
store_dies
rm -r "$src/vm"
mount_store "$src" "$mnt" -o 'inject=mkdir vm delay=50s'
check "slow: it is back" wait_for 5 says slow 'store is back'
sleep 0.3
machine_end
bytes 1048576 7 >"$dir/sevens"
check "slow: what was stored is in the file" cmp "$src/files/f" "$dir/sevens"
finish
