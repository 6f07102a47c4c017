#!/usr/bin/env bash
# Standard input, output and error as others leave them: closed, what the
# programs open must not take their place; full, somebody must be told.
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 60
need cmp
src=$dir/src mnt=$dir/mnt
mkdir -p "$src/files"
head -c 20000 /dev/urandom >"$src/files/f"
cp "$src/files/f" "$dir/expected"

# ---- closed, for the store: it must serve SOURCE, not /dev/null ----
mkdir "$mnt"
"$BUILD/pagerfs" "$src" "$mnt" <&- >&- 2>&-
check_equal "pagerfs without any: status" 0 $?
guard_mount "$mnt"
check "it serves" cmp "$mnt/files/f" "$dir/expected"
check "its directory" mkdir "$mnt/new"
check "it ends" take_away "$mnt"

# ---- closed, for the machine: what it prints must not go into its RAM ----
mount_store "$src" "$mnt"
bytes 8192 9 >"$dir/nines"
cat >"$dir/p.pvm" <<'END'
proc p
map p d file files/f shared
map p a anon 512K
fill p a 5
repeat 2000 {
	print "fills frame after frame, page tables among them"
}
expect fill p a 5
fill p d+0 8192 9
END
vm --no-swap --no-view --ram 1M "$dir/p.pvm" >&- 2>"$dir/err"
check_equal "no standard output: status" 1 $?
check "and it says so: $(cat "$dir/err")" grep -q \
	'^pagervm: standard output: ' "$dir/err"
check "what it stored" cmp -n 8192 "$src/files/f" "$dir/nines"
vm --no-swap --no-view "$dir/p.pvm" <&- 2>&- >"$dir/out"
check_equal "no input and no error: status" 0 $?
check_equal "what it printed" 2000 "$(wc -l <"$dir/out")"

# ---- a program that is being typed, and then not ----
exec 6<> <(:)
timeout -s INT -k 5 0.5 "$BUILD/pagervm" run -d "$mnt" --no-swap --no-view \
	- <&6 2>"$dir/err"
check_equal "interrupted: status" 124 $?
check_equal "interrupted: nothing to say" "" "$(cat "$dir/err")"
exec 6>&-

# ---- full ----
# told WHAT STATUS
told() {
	check_equal "$1: status" 1 "$2"
	check "$1: $(cat "$dir/err")" grep -q \
		'^pagervm: standard output: \(No space left\|not all\)' "$dir/err"
}
vm --no-swap --no-view "$dir/p.pvm" >/dev/full 2>"$dir/err"
told "print, full" $?
vm --no-swap --no-view --stats /dev/null >/dev/full 2>"$dir/err"
told "counters, full" $?
machine_start asked --ram 1M --no-swap
ctl 'proc p
map p a anon 8K'
explain() { "$BUILD/pagervm" explain -d "$mnt" -n asked "$@"; }
explain 1 a >/dev/full 2>"$dir/err"
told "an answer, full" $?
explain 1 a >&- 2>"$dir/err"
check_equal "an answer, closed: status" 1 $?
check "an answer, open" explain 1 a
explain 1 none 2>"$dir/err" >"$dir/out"
check_equal "a refusal: status" 1 $?
check "a refusal: $(cat "$dir/err")" grep -q \
	"^pagervm: .*has no mapping 'none'" "$dir/err"
check_equal "a refusal: nothing else" "" "$(cat "$dir/out")"
machine_end
umount_store "$mnt"
finish
