#!/usr/bin/env bash
# The emulated MMU against KVM's: 10^5 accesses, and KVM against the model.
. "$(dirname "$0")/lib.sh"
time_limit 200
vm=$BUILD/pagervm

"$vm" mmu-check --engine kvm --mode 64 --count 1 >/dev/null 2>"$dir/err"
[ $? = 77 ] && skip "$(tail -n 1 "$dir/err")"

check "10^5 accesses" "$vm" mmu-check --engine kvm --count 80000
cat "$guard/out" >&2
tail -n 1 "$guard/out" | grep -qE '^[0-9]{6,} accesses, 0 disagreements$' ||
	fail "last line: $(tail -n 1 "$guard/out")"

# The two judges must agree as well, or one of them is wrong.
check "the judges" "$vm" mmu-check --engine kvm --against model --mode 64 \
	--count 5000 --seed 3
finish
