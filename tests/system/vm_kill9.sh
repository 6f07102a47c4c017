#!/usr/bin/env bash
# kill -9 of the machine in the middle of heavy writing is a power cut for
# the emulated processes and nothing for anybody else: the mount and the files
# go on, what msync covered is in the real file, and the next machine takes
# over name and swap, even when the helper that clears the view died, too.
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 60
need cmp pgrep
src=$dir/src mnt=$dir/mnt
mount_store "$src" "$mnt"
mkdir "$src/files"

# Chunk I of the file becomes bytes I+1; the line comes after msync returned.
# Meanwhile two others keep swap and another file busy.
cat >"$dir/write.pvm" <<'END'
proc w
map w data file files/data shared
spawn {
	proc hog
	map hog heap anon 12M
	fill hog heap pattern 1
	touch hog heap mix 50% random count 100000000 pattern 1 verify
}
spawn {
	proc other
	map other noise file files/noise shared
	repeat 1000000 $j {
		touch other noise write random count 500
		msync other noise async
	}
}
repeat 250 $i {
	fill w data+$i*48K 48K $i+1
	msync w data+$i*48K 48K
	print "synced" $i
}
repeat 1000000 {
	touch w data read random count 100
}
END

# start: the writer, as $machine_pid
start() {
	truncate -s 0 "$src/files/data"
	truncate -s 12000K "$src/files/data"
	truncate -s 4M "$src/files/noise"
	"$BUILD/pagervm" run -d "$mnt" -n victim --ram 4M --swap swap/s,64M \
		"$dir/write.pvm" >"$dir/out" 2>"$dir/err" </dev/null &
	machine_pid=$!
	echo "$machine_pid" >>"$guard/pids"
	wait_for 10 grep -q synced "$dir/out" || {
		cat "$dir/err" >&2
		fail "the writer does not start"
		exit 1
	}
	guard_mount "$mnt/vm/victim"
}

# covered WHAT: all that was said to be in the file is
covered() {
	local last i=0
	last=$(sed -n 's/^synced //p' "$dir/out" | tail -n 1)
	while [ "$i" -le "$last" ]; do
		bytes 49152 $((i + 1))
		i=$((i + 1))
	done >"$dir/expected"
	check "$1: $i chunks were synced" cmp -n $((i * 49152)) \
		"$dir/expected" "$src/files/data"
	check_equal "$1: the file's size" 12288000 \
		"$(stat -c %s "$src/files/data")"
}

usable() {
	check "$1: write to the mount" timeout 5 \
		sh -c "echo '$1' >'$mnt/files/new'"
	check_equal "$1: in the real file" "$1" "$(cat "$src/files/new")"
	check "$1: read the file through it" timeout 10 \
		cmp "$mnt/files/data" "$src/files/data"
}

for moment in 0.02 0.2 0.5; do
	start
	sleep $moment
	kill -KILL "$machine_pid"
	{ wait "$machine_pid"; } 2>/dev/null
	covered "killed after $moment"
	usable "killed after $moment"
	gone() { ! is_mounted "$mnt/vm/victim"; }
	wait_for 5 gone || fail "killed after $moment: the view stays"
done

# Helper and machine at once: the view is dead, but in the tree.
start
sleep 0.1
helpers=$(pgrep -P "$machine_pid")
check "there is a helper" [ -n "$helpers" ]
# shellcheck disable=SC2086
kill -KILL $helpers "$machine_pid"
{ wait "$machine_pid"; } 2>/dev/null
covered "helper killed, too"
check "the view is dead" bash -c "! timeout 5 ls '$mnt/vm/victim' 2>/dev/null"
check "but still there" is_mounted "$mnt/vm/victim"
usable "helper killed, too"

# The same name, the same swap area: cleared and taken over.
machine_start victim --ram 4M --swap swap/s
check "a program that swaps" ctl 'proc p
map p heap anon 12M
fill p heap pattern 7
expect fill p heap pattern 7
map p data file files/data shared
store p data 77 u8
msync p data
check'
check_equal "pages went to swap" yes \
	"$([ "$(counter pswpout)" -gt 1000 ] && echo yes)"
check_equal "and to the file" 77 "$(od -An -tu1 -N1 "$src/files/data" |
	tr -d ' ')"
machine_end 0
check_equal "views left" "" "$(ls "$src/vm")"
umount_store "$mnt"
finish
