# vm.sh - machines for the system tests. Source it after lib.sh; it goes with
# mount_store: $mnt is the mounted store, where the machines work.
#
#	vm [options] FILE	run a program and wait for its end; 60 s at most
#	machine_start NAME [options]
#				a machine that is held up; its view is $view
#	ctl TEXT		a command to it; what it answers is $answer
#	machine_end [STATUS]	tell it to end, and how it must (default: 0)
#
# What a machine writes is in $dir/NAME.out and $dir/NAME.err.
# shellcheck shell=bash disable=SC2154

vm() {
	timeout -k 5 60 "$BUILD/pagervm" run -d "$mnt" "$@"
}

machine_start() {
	local name=$1
	shift
	view=$mnt/vm/$name
	: >"$dir/$name.out"
	"$BUILD/pagervm" run -d "$mnt" -n "$name" --hold "$@" \
		</dev/null >>"$dir/$name.out" 2>"$dir/$name.err" &
	machine_pid=$!
	echo "$machine_pid" >>"$guard/pids"
	if ! wait_for 10 test -e "$view/ctl"; then
		cat "$dir/$name.err" >&2
		fail "machine $name $* did not start"
		exit 1
	fi
	guard_mount "$view"
}

# Through one opening of the file, so that the answer is to this command; by
# cat, which writes all of it at once, where bash writes line by line.
ctl() {
	local status
	exec 9<>"$view/ctl" || return
	cat <<<"$1" >&9 2>/dev/null
	status=$?
	answer=$(cat <&9)
	exec 9>&-
	return $status
}

# ended SECONDS PID: it has ended by then
ended() {
	wait_for "$1" bash -c "! kill -0 $2 2>/dev/null"
}

machine_end() {
	local status
	kill -TERM "$machine_pid"
	ended 10 "$machine_pid" || fail "the machine does not end"
	wait "$machine_pid"
	status=$?
	check_equal "status of the machine" "${1:-0}" "$status" ||
		tail -n 3 "$dir"/*.err >&2
}

# counter NAME: of $view
counter() {
	awk -v name="$1" '$1 == name { print $2 }' "$view/vmstat"
}

pid_of() {
	awk -v name="$1" '$NF == name { print $1 }' "$view/procs"
}

# address_of PID TEXT: where the first area whose line in maps matches begins
address_of() {
	awk -v text="$2" '$0 ~ text { sub(/-.*/, ""); print; exit }' \
		"$view/$1/maps"
}

# bytes COUNT BYTE: that many of it, as a program other than ours makes them
bytes() {
	head -c "$1" /dev/zero | tr '\0' "\\$(printf %03o "$2")"
}
