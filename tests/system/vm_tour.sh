#!/usr/bin/env bash
# The tour: verified, on files large and tiny; refused with one line; and at
# Ctrl-C, at whatever moment, nothing of it is left.
. "$(dirname "$0")/lib.sh"
time_limit 90
need setsid sha256sum cmp dd script
mkdir -p "$dir/in/a dir" "$dir/mnt"
head -c 6000001 /dev/urandom >"$dir/in/a file"
printf x >"$dir/in/byte"
: >"$dir/in/empty"

export STORE=$dir/store MNT=$dir/mnt BUILD
tour=$here/tour/tour.sh

no_mount() { ! grep "$dir" /proc/self/mounts; }
no_process() { ! pgrep -af "$dir/mnt"; }
no_swap() { ! ls "$dir"/store/swap/*; }
nothing_left() {
	check "$1: no mount" no_mount
	check "$1: no process" no_process
	check "$1: nothing in swap" no_swap
}

before=$(sha256sum <"$dir/in/a file")
cd "$dir/in" || exit
for file in "a file" byte; do
	timeout -k 5 60 "$tour" "$file" >"$dir/out" 2>"$dir/err"
	check_equal "$file: status" 0 $?
	check_equal "$file: its end" verified "$(tail -n 1 "$dir/out")"
	check_equal "$file: errors" "" "$(cat "$dir/err")"
	check_equal "$file: no colour, no bar" "" \
		"$(grep '[[:cntrl:]]' "$dir/out")"
	check "$file: shows the live view" grep -q "meanwhile, in .*vm/tour" \
		"$dir/out"
	check "$file: fits on a screen" test "$(wc -l <"$dir/out")" -le 50
	nothing_left "$file"
done
check_equal "the user's file" "$before" "$(sha256sum <"$dir/in/a file")"
check "the copy differs" bash -c \
	"! cmp -s '$dir/in/a file' '$dir/store/files/a file'"

# On a terminal a bar goes along, inside the long parts, too.
timeout -k 5 60 script -qec "'$tour' 'a file'" /dev/null >"$dir/out" 2>&1
check_equal "on a terminal: status" 0 $?
steps() { tr '\r' '\n' <"$dir/out" | grep "%  $1" | sort -u | wc -l; }
check "the bar of reading moves" test "$(steps "reading the file")" -ge 3
check "the bar of swapping moves" test "$(steps swapping)" -ge 3
nothing_left "on a terminal"

# A script's background children ignore SIGINT, and bash cannot take that back.
for moment in 0.1 0.4 0.8 1.5 2.5; do
	env --default-signal=INT "$tour" "$dir/in/a file" >"$dir/out" 2>&1 &
	pid=$!
	sleep $moment
	kill -INT $pid
	wait_for 20 bash -c "! kill -0 $pid 2>/dev/null" ||
		fail "interrupted at $moment: still there"
	wait $pid
	check_equal "interrupted at $moment: status" 130 $?
	nothing_left "interrupted at $moment"
done

refuse() {
	timeout 20 "$tour" "$1" >"$dir/out" 2>"$dir/err"
	check_equal "$1: status" 1 $?
	check_equal "$1: lines" 1 "$(wc -l <"$dir/err")"
	check_equal "$1: nothing else" "" "$(cat "$dir/out")"
	check "$1: $(cat "$dir/err")" grep -q "^tour: $1: $2" "$dir/err"
	nothing_left "$1"
}
refuse "a dir" "is a directory"
refuse empty "is empty"
refuse none "there is no such file"
refuse /dev/null "not a regular file"
check "RAM=4M is told" grep -qx "tour: RAM=4M: expected a number" \
	<(RAM=4M timeout 20 "$tour" "a file" 2>&1)
finish
