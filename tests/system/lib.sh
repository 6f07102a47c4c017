# lib.sh - what the system tests share. Source it first thing:
#
#	. "$(dirname "$0")/lib.sh"
#	time_limit 20			# no test may hang
#	need fio			# or skip, loudly
#	mount_store "$dir/src" "$dir/mnt" [pagerfs options]
#	...				# set -e is not on: use "check"
#	finish				# or just end: 0 passed, 77 skipped
#
# $BUILD names the build directory (default build), $dir is a directory of
# this test's own, removed at its end. Whatever happens, on exit every FUSE
# connection made here is aborted, its mount taken away and its daemon ended:
# a process that waits on a dead mount could otherwise never be killed. The
# connection's number is read while the mount is in the tree, because after a
# lazy unmount nothing names it any more.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$here/$BUILD ;; esac
test_name=$(basename "$0" .sh)
dir=$(mktemp -d "${TMPDIR:-/tmp}/$test_name.XXXXXX") || exit 1
guard=$(mktemp -d "${TMPDIR:-/tmp}/$test_name-guard.XXXXXX") || exit 1
failures=0
watchdog=

# What a daemon has when it ends under load is no leak: files which clients
# still hold open, and libfuse's note of a mount that is taken away already.
printf 'leak:%s\n' file_start fuse_session_mount dir_open \
	control_file_open control_append \
	>"$guard/lsan"
export LSAN_OPTIONS=suppressions=$guard/lsan:print_suppressions=0
# Threads that hang in SOURCE are left behind on purpose, and the device is taken
# from under them (session_abandon()); so is who writes for a machine that leaves
# (leave()), if it does not end in time.
printf '%s\n' thread:loop_ race:session_abandon thread:leave >"$guard/tsan"
# What a sanitizer says counts also where nobody asks how the process ended,
# and whoever it runs as.
chmod 711 "$guard" && mkdir -m 1777 "$guard/reports" || exit 1
reports=log_path=$guard/reports/of
export ASAN_OPTIONS=$reports${ASAN_OPTIONS:+:$ASAN_OPTIONS}
export TSAN_OPTIONS=$reports:suppressions=$guard/tsan${TSAN_OPTIONS:+:$TSAN_OPTIONS}

say() {
	echo "$test_name: $*" >&2
}

# skip REASON: the machine cannot run this test.
skip() {
	say "skipped: $*"
	exit 77
}

fail() {
	say "FAILED: $*"
	failures=$((failures + 1))
}

# check WHAT COMMAND...: run it; count and name it if it fails.
check() {
	local what=$1
	shift
	"$@" >"$guard/out" 2>&1 && return
	fail "$what: $* (status $?)"
	sed 's/^/    /' "$guard/out" >&2
	return 1
}

# check_equal WHAT WANTED GOT
check_equal() {
	[ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"
}

# need PROGRAM...: skip when one is missing.
need() {
	local program
	for program; do
		command -v "$program" >/dev/null ||
			[ -x "$program" ] || skip "$program is missing"
	done
}

need_root() {
	[ "$(id -u)" = 0 ] || skip "only root can do this"
}

# The connection's number, from the device of the mount at $1; the last one
# mounted there counts.
connection_of() {
	awk -v at="$1" '$5 == at { split($3, dev, ":"); n = dev[2] }
		END { print n }' /proc/self/mountinfo
}

fusectl=/sys/fs/fuse/connections

# What tells connection NUMBER from others: numbers are used again.
identity_of() {
	[ -e "$fusectl/$1" ] || mountpoint -q $fusectl ||
		mount -t fusectl none $fusectl 2>/dev/null
	stat -c %i "$fusectl/$1" 2>/dev/null || echo none
}

# abort_connection NUMBER [IDENTITY]: every request on it fails now. With its
# identity, only if it is still that connection, and not somebody else's.
abort_connection() {
	[ -n "$1" ] || return 0
	[ "${2:-$(identity_of "$1")}" = "$(identity_of "$1")" ] || return 0
	[ ! -e "$fusectl/$1/abort" ] || echo 1 >"$fusectl/$1/abort"
}

is_mounted() {
	awk -v at="$1" '$5 == at { found = 1 } END { exit !found }' \
		/proc/self/mountinfo
}

# guard_mount MNT: remember it, so that it cannot outlive the test. Call it
# for each FUSE mount made by other means than mount_store.
guard_mount() {
	local number
	number=$(connection_of "$1")
	echo "${number:-0} $(identity_of "${number:-0}") $1" >>"$guard/mounts"
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
	local until=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
	shift
	until "$@"; do
		[ "${EPOCHREALTIME/[.,]/}" -lt $until ] || return 1
		sleep 0.02
	done
}

# mount_store SOURCE MOUNTPOINT [pagerfs options]: serve it; $store_pid is
# the daemon, its messages are in $dir/store.log.
mount_store() {
	local source=$1 at=$2
	shift 2
	mkdir -p "$source" "$at"
	"$BUILD/pagerfs" -f "$@" "$source" "$at" 2>>"$dir/store.log" &
	store_pid=$!
	echo "$store_pid" >>"$guard/pids"
	if ! wait_for 5 is_mounted "$at"; then
		cat "$dir/store.log" >&2
		fail "pagerfs $* $source $at did not mount"
		exit 1
	fi
	guard_mount "$at"
}

take_away() {
	if [ "$(id -u)" = 0 ]; then umount "$1"; else fusermount3 -u "$1"; fi
}

# umount_store MOUNTPOINT: unmount, and the daemon must end well. The kernel
# takes a killed client's io_uring apart after its end, and closes its files
# with it: until then the mount is busy.
umount_store() {
	local status
	if ! wait_for 10 take_away "$1" 2>"$guard/umount"; then
		fail "umount $1: $(tail -n 1 "$guard/umount")"
		exit 1
	fi
	wait "$store_pid"
	status=$?
	check_equal "status of the daemon" 0 "$status"
	[ "$status" = 0 ] || cat "$dir/store.log" >&2
}

mounts_end() {
	local number identity at
	[ -e "$guard/mounts" ] || return 0
	while read -r number identity at; do
		abort_connection "$number" "$identity"
		while is_mounted "$at"; do
			umount -l "$at" 2>/dev/null ||
				fusermount3 -uz "$at" || break
		done
	done < <(tac "$guard/mounts")
}

daemons_end() {
	local pid
	[ -e "$guard/pids" ] || return 0
	while read -r pid; do
		kill -KILL "$pid" 2>/dev/null
	done <"$guard/pids"
}

sanitizers_end() {
	local report
	for report in "$guard"/reports/*; do
		[ -s "$report" ] || continue
		fail "a sanitizer: $(grep SUMMARY "$report")"
		cat "$report" >&2
	done
}

cleanup() {
	local status=$?
	trap - EXIT
	cd /
	[ -z "$watchdog" ] || kill "$watchdog" 2>/dev/null
	mounts_end
	daemons_end
	wait 2>/dev/null
	sanitizers_end
	rm -rf --one-file-system "$dir" "$guard"
	[ "$failures" = 0 ] || [ "$status" != 0 ] || status=1
	exit $status
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# time_limit SECONDS: then free everything that hangs, and fail. The abort
# comes first: it is what lets stuck children die.
time_limit() {
	(
		trap - EXIT INT TERM HUP
		sleep "$1" &
		trap 'kill $!; exit' TERM
		wait $!
		say "FAILED: still running after $1 s"
		mounts_end
		kill -TERM $$
		pkill -KILL -P $$ -x -v bash 2>/dev/null
	) &
	watchdog=$!
}

finish() {
	[ "$failures" = 0 ] || exit 1
	exit 0
}
