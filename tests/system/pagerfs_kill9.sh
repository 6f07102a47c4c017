#!/usr/bin/env bash
# kill -9 of the daemon at a random moment under load, $ROUNDS times (make
# soak: 200): every client gets its error within 5 s, the documented command
# clears the mount, a new daemon serves, and what was synced is there.
. "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-4}
time_limit $((30 + rounds * 12))
need fusermount3
src=$dir/src mnt=$dir/mnt
survivor=$BUILD/tests/fs/tool_survivor
slowest=0 longest=0 last=

larger() {
	if [ "$1" -gt "$2" ]; then echo "$1"; else echo "$2"; fi
}

# one OPTIONS: mount, load, kill, clear
one() {
	local load killed took
	mount_store "$src" "$mnt" "$@"
	"$survivor" check "$mnt" "$dir/account" >"$dir/checked" 2>&1 || {
		fail "after the kill, with '$*': $(cat "$dir/checked")"
		exit 1
	}
	last=$(cat "$dir/checked")
	"$survivor" load "$mnt" "$dir/account" >"$dir/load" 2>&1 &
	load=$!
	sleep "0.$(printf %03d $((50 + RANDOM % 450)))"
	kill -KILL "$store_pid"
	killed=${EPOCHREALTIME/[.,]/}
	{ wait "$store_pid"; } 2>/dev/null
	wait_for 5 bash -c "! kill -0 $load 2>/dev/null" || {
		fail "a client hangs for more than 5 s"
		exit 1
	}
	wait $load
	check_equal "status of the load" 0 $?
	took=$((${EPOCHREALTIME/[.,]/} - killed))
	slowest=$(larger $took "$slowest")
	longest=$(larger "$(cat "$dir/load")" "$longest")
	check "the documented command" timeout 5 fusermount3 -uz "$mnt"
	check "no mount is left" bash -c "! grep -q ' $mnt ' \
		/proc/self/mountinfo"
	[ "$failures" = 0 ] || exit 1
}

for ((i = 0; i < rounds; i++)); do
	case $((i % 4)) in
	0) one ;;
	1) one -s ;;
	2) one -o writeback ;;
	3) one -o attr_timeout=0,entry_timeout=0 ;;
	esac
done
mount_store "$src" "$mnt"
check "at last" "$survivor" check "$mnt" "$dir/account"
umount_store "$mnt"
say "$rounds kills: clients ended within $((slowest / 1000)) ms of it," \
	"the longest call took $((longest / 1000)) ms; $last"
[ "$(awk '{ print ($1 * $2 * $3 * $4 * $5 > 0) }' <<<"$last")" = 1 ] ||
	fail "some way was promised nothing: this tests nothing"
finish
