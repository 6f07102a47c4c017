# inject.sh - what the tests of faults on command share. After lib.sh:
#
#	src=$dir/src mnt=$dir/mnt	then
#	. "$here/tests/lib/inject.sh"
#
# $rules is the file of the rules in force, $io the program that does
# operations on a file and says what came of each.
rules=$mnt/.pagerfs/rules
io=$BUILD/tests/fs/tool_io

# rules TEXT: in force instead of those there are
rules() {
	cat <<<"$1" >"$rules" || fail "refused: $1: $(cat "$mnt/.pagerfs/ctl")"
}

# io WHAT 'ARGUMENTS' 'LINES, joined by ;'
io() {
	# shellcheck disable=SC2086
	check_equal "$1: $2" "$3" \
		"$("$io" $2 2>&1 | sed 's/ *$//' | paste -sd';')"
}

# real FILE OFFSET LENGTH: as hexadecimal bytes, each once with its count
real() {
	dd if="$src/$1" bs=1 skip="$2" count="$3" 2>/dev/null |
		od -An -v -tx1 -w1 | uniq -c | awk '{ printf "%s%sx%s",
			n++ ? " " : "", $1, $2 }'
}
