#!/usr/bin/env bash
# The emulated MMU against the model of the manual: 10^6 cases, and how
# `pagervm mmu-check' behaves.
. "$(dirname "$0")/lib.sh"
time_limit 230
vm=$BUILD/pagervm

status_of() {
	"$@" >"$dir/out" 2>"$dir/err" </dev/null
	echo $?
}

start=${EPOCHREALTIME/[.,]/}
"$vm" mmu-check --count 2000 >/dev/null 2>"$dir/err"
[ $? = 77 ] && skip "$(tail -n 1 "$dir/err")"
took=$((${EPOCHREALTIME/[.,]/} - start))

# A build that checks itself may be thirty times slower.
count=1000000
[ $took -lt 200000 ] || count=100000
[ $count = 1000000 ] || say "a slow build: only $count cases"
check "$count cases" "$vm" mmu-check --engine model --count $count
grep ' by model' "$guard/out" >&2
check_equal "modes judged" "32 pae 64 la57" \
	"$(awk '/ by model/ { printf s $1; s = " " }' "$guard/out")"
tail -n 1 "$guard/out" | grep -qE '^[0-9]{6,} accesses, 0 disagreements$' ||
	fail "last line: $(tail -n 1 "$guard/out")"

# One case alone; the same seed, the same cases.
check "one case alone" "$vm" mmu-check --mode la57 --seed 7 --case 123
first=$("$vm" mmu-check --mode pae --seed 9 --count 500 | tail -n 1)
check_equal "the same again" "$first" \
	"$("$vm" mmu-check --mode pae --seed 9 --count 500 | tail -n 1)"

# A check nobody can read is none; nor does it go where it must not.
for out in '>/dev/full' '>&-'; do
	eval '"$vm" mmu-check --count 100 '"$out"' 2>"$dir/err"'
	check_equal "status with $out" 1 $?
	check_equal "message with $out" \
		"pagervm: mmu-check: the results could not be written" \
		"$(cat "$dir/err")"
done

# RAM is a file, to which the limit of a file's size applies: that is said.
check_equal "status with ulimit -f" 77 \
	"$(ulimit -f 1000; status_of "$vm" mmu-check --count 100)"
check_equal "message with ulimit -f" \
	"pagervm: mmu-check: no emu here: the RAM judged: File too large" \
	"$(cat "$dir/err")"
mkdir "$dir/plain"
check_equal "status of a run with ulimit -f" 1 \
	"$(ulimit -f 100; status_of "$vm" run --plain -d "$dir/plain" -)"
grep -q '^pagervm: cannot make .* bytes of RAM: File too large$' "$dir/err" ||
	fail "a run with ulimit -f: $(cat "$dir/err")"

# Wrong usage: one clear line, then where help is.
for wrong in "--mode 16" "--engine qemu" "--count many" "--count -1" \
	"--count 0" "--count 3" "--mode 64 --count 0" \
	"--case 3" "stray"; do
	# shellcheck disable=SC2086
	check_equal "status of $wrong" 64 "$(status_of "$vm" mmu-check $wrong)"
	check_equal "output of $wrong" "" "$(cat "$dir/out")"
	head -n 1 "$dir/err" | grep -q '^pagervm mmu-check: ' ||
		fail "$wrong: $(head -n 1 "$dir/err")"
done
finish
