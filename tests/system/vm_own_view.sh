#!/usr/bin/env bash
# A machine must not map a file of its own live view: killed, it would wait for
# itself, for ever, to close it. What it maps otherwise goes away with it.
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 30
src=$dir/src mnt=$dir/mnt
mount_store "$src" "$mnt"
mkdir "$src/files"
truncate -s 64K "$src/files/f"

# gone PID: no more than what its parent has yet to take note of
gone() {
	! grep -q '^State:.[^Z]' "/proc/$1/status" 2>/dev/null
}

machine_start own --no-swap
ln -s ../vm/own/frames "$src/files/l"
for file in vm/own/frames vm/own/ctl files/l "$view/vmstat"; do
	ctl "proc p
	map p a file \"$file\" private size 64K" && fail "$file can be mapped"
	check "$file: $answer" grep -q ELOOP <<<"$answer"
	ctl 'exit p'
done
check "another file" ctl 'proc p
map p a file files/f shared
fill p a 1'
check "it says so to who expects it" ctl \
	'expect error ELOOP map p b file vm/own/frames private size 64K'
kill -KILL "$machine_pid"
check "killed, it is gone" wait_for 5 gone "$machine_pid"
{ wait "$machine_pid"; } 2>/dev/null
gone_view() { ! is_mounted "$view"; }
check "and its view" wait_for 10 gone_view

# Nor is root led elsewhere by a link that another user has put there.
if [ "$(id -u)" = 0 ]; then
	mkdir "$dir/elsewhere"
	ln -s "$dir/elsewhere" "$src/vm/led"
	chown -h 65534 "$src/vm/led"
	vm -n led --no-swap /dev/null 2>"$dir/led.err"
	check_equal "another's link: status" 1 $?
	check "another's link: $(cat "$dir/led.err")" \
		grep -q 'vm/led: is a link that another user made' "$dir/led.err"
	ln -s "$dir/elsewhere" "$mnt/vm/mine"
	check "one's own" vm -n mine --no-swap /dev/null
fi
umount_store "$mnt"
finish
