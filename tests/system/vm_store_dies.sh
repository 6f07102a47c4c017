#!/usr/bin/env bash
# kill -9 of the store under a working machine is a disk that goes away: the
# machine says so and ends, or stays up and ends when it is told to; nothing
# hangs, and the documented commands clear the mounts.
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 60
need cmp
src=$dir/src mnt=$dir/mnt

no_mount() { ! grep "$mnt" /proc/self/mounts; }

# The command that the message names must do, although the view may be in its
# way: once the kernel has forgotten what lay in the dead mount, nobody can
# name the view any more to take it out.
clear_mounts() {
	local text
	text=$("$BUILD/pagervm" run -d "$mnt" /dev/null 2>&1)
	check "$1: the next machine names the command: $text" \
		grep -q "fusermount3 -uz $mnt" <<<"$text"
	check "$1: one line" [ "$(wc -l <<<"$text")" = 1 ]
	check "$1: and it clears the mount" fusermount3 -uz "$mnt"
	check "$1: no mount is left" no_mount
}

# A program in the middle of everything.
cat >"$dir/busy.pvm" <<'END'
proc p
map p data file files/f shared
map p heap anon 12M
fill p data pattern 2
fill p heap pattern 1
print "busy"
together {
	touch p heap mix 50% random count 100000000 pattern 1 verify
	repeat 1000000 {
		touch p data mix 50% random count 100 pattern 2 verify
		msync p data
	}
}
END
for moment in 0 0.3; do
	mount_store "$src" "$mnt"
	mkdir -p "$src/files"
	truncate -s 4M "$src/files/f"
	"$BUILD/pagervm" run -d "$mnt" -n vm --ram 4M --swap swap/s,32M \
		"$dir/busy.pvm" >"$dir/out" 2>"$dir/err" </dev/null &
	machine_pid=$!
	echo "$machine_pid" >>"$guard/pids"
	wait_for 15 grep -q busy "$dir/out" || fail "it does not get busy"
	guard_mount "$mnt/vm/vm"
	sleep $moment
	kill -KILL "$store_pid"
	{ wait "$store_pid"; } 2>/dev/null
	if ended 15 "$machine_pid"; then
		wait "$machine_pid"
		status=$?
		check_equal "running: status" 1 $status
		check "running: it says why: $(cat "$dir/err")" \
			grep -Eq '^pagervm: .*(SIGBUS|connect|I/O)' "$dir/err"
		check "running: in a few lines" \
			[ "$(wc -l <"$dir/err")" -le 3 ]
	else
		fail "running: the machine hangs"
		kill -KILL "$machine_pid"
	fi
	clear_mounts "running"
done

# A machine that is held up with nothing to do must end when told to, and it
# must say how many pages are lost.
mount_store "$src" "$mnt"
machine_start idle --ram 4M --swap swap/s
ctl 'proc p
map p data file files/f shared
fill p data+0 40960 7'
kill -KILL "$store_pid"
{ wait "$store_pid"; } 2>/dev/null
sleep 2			# entry_timeout, and some
kill -TERM "$machine_pid"
ended 15 "$machine_pid" || fail "held: the machine hangs"
wait "$machine_pid"
check_equal "held: status" 1 $?
check "held: it says what is lost: $(cat "$dir/idle.err")" \
	grep -q '^pagervm: 10 dirty pages .* lost' "$dir/idle.err"
clear_mounts "held"

# And all goes on with a new store over the same files.
mount_store "$src" "$mnt"
cat >"$dir/again.pvm" <<'END'
proc p
map p data file files/f shared
fill p data 9
END
check "a new store" vm --ram 1M --swap swap/s "$dir/again.pvm"
bytes 4194304 9 >"$dir/expected"
check "its file" cmp "$src/files/f" "$dir/expected"
umount_store "$mnt"
finish
