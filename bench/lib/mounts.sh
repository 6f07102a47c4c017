# shellcheck shell=bash
# mounts.sh - what the bench scripts share: places to work in, stores that
# are mounted there, programs with a time limit.
#
#	places BUILD			$memory: on a tmpfs; $disk: below BUILD
#	served MOUNT COMMAND...		COMMAND serves it, in the foreground
#	stop_serving			the last one ends
#	limited COMMAND...		for LIMIT seconds at most
#
# Whatever happens, nothing stays mounted: what hangs on a mount is freed by
# aborting the FUSE connection when its time is over.
LIMIT=${LIMIT:-180}		# seconds for each program
fusectl=/sys/fs/fuse/connections
daemons=() mounts=()
memory='' disk=''

places() {
	mkdir -p "$1"
	trap cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	memory=$(mktemp -d /dev/shm/pagerfs-bench.XXXXXX) || exit 1
	disk=$(mktemp -d "$(realpath "$1")/pagerfs-bench.XXXXXX") || exit 1
}

cleanup() {
	local entry
	trap - EXIT INT TERM
	for entry in "${mounts[@]}"; do
		release "${entry#* }" "${entry%% *}"
	done
	[ ${#daemons[@]} -eq 0 ] || kill "${daemons[@]}" 2>/dev/null
	wait 2>/dev/null
	rm -rf --one-file-system ${memory:+"$memory"} ${disk:+"$disk"}
}

# The number of the FUSE connection mounted at $1.
connection_of() {
	awk -v at="$1" '$5 == at { split($3, dev, ":"); n = dev[2] }
		END { print n }' /proc/self/mountinfo
}

is_mounted() {
	awk -v at="$1" '$5 == at { found = 1 } END { exit !found }' \
		/proc/self/mountinfo
}

# release MOUNT NUMBER: take the mount away, by force if need be.
release() {
	is_mounted "$1" || return 0
	umount "$1" 2>/dev/null || fusermount3 -u "$1" 2>/dev/null && return 0
	[ -e "$fusectl/$2" ] || mount -t fusectl none $fusectl 2>/dev/null
	echo 1 >"$fusectl/$2/abort" 2>/dev/null
	umount -l "$1" 2>/dev/null || fusermount3 -uz "$1"
}

# served MOUNT COMMAND...: run COMMAND, which mounts there, until it has.
served() {
	local at=$1 i
	shift
	mkdir -p "$at"
	"$@" &
	daemons+=($!)
	for ((i = 0; i < 250; i++)); do
		is_mounted "$at" && break
		sleep 0.02
	done
	mounts+=("$(connection_of "$at") $at")
}

stop_serving() {
	local last=$((${#mounts[@]} - 1))
	local entry=${mounts[last]}
	release "${entry#* }" "${entry%% *}"
	wait "${daemons[last]}" 2>/dev/null
	unset "mounts[last]" "daemons[last]"
}

# limited COMMAND...: when the time is over, abort every connection of ours
# first, so that what hangs on it can be killed at all; then there is no store
# for the other benches either, so that is the end.
limited() {
	local pid watch status
	"$@" &
	pid=$!
	(
		trap - EXIT
		sleep "$LIMIT" &
		trap 'kill $!; exit' TERM
		wait $!
		echo "${0##*/}: $1 is still running after $LIMIT s" >&2
		for entry in "${mounts[@]}"; do
			echo 1 >"$fusectl/${entry%% *}/abort"
		done 2>/dev/null
		kill -KILL $pid
	) &
	watch=$!
	wait $pid
	status=$?
	kill $watch 2>/dev/null
	wait $watch 2>/dev/null
	[ $status -le 128 ] || exit 1
	return $status
}

# Is $1 one of BENCHES?
wanted() {
	case " $BENCHES " in *" $1 "*) return 0 ;; esac
	return 1
}

any_wanted() {
	local name
	for name in "$@"; do
		wanted "$name" && return 0
	done
	return 1
}

heading() {
	printf '\n## %s\n' "$1"
}

# What was measured on: the first line.
machine_line() {
	echo "# Measured: $(date -u +%F), $(nproc) CPUs" \
		"($(sed -n 's/^model name.*: //p' /proc/cpuinfo |
			head -n 1))," \
		"Linux $(uname -r)," \
		"load $(cut -d ' ' -f 1 /proc/loadavg)," \
		"medians of $REPS repetitions"
}
