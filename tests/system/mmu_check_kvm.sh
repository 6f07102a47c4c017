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
grep -qE '^64 +emu by kvm: .* [0-9]{6,} accesses' "$guard/out" ||
	fail "KVM has not judged: $(grep '^64' "$guard/out")"

# The two judges must agree as well, or one of them is wrong.
check "the judges" "$vm" mmu-check --engine kvm --against model --mode 64 \
	--count 5000 --seed 3
grep -qE '^64 +model by kvm: 5000 cases' "$guard/out" ||
	fail "KVM has not judged the model: $(grep '^64' "$guard/out")"

# What KVM has not judged has not been judged as asked.
for mode in 32 pae 64 la57; do
	"$vm" mmu-check --engine kvm --mode $mode --count 1 >/dev/null \
		2>"$dir/err"
	status=$?
	wanted=0
	grep -q "^$mode: not supported" "$dir/err" && wanted=77
	check_equal "status of mode $mode alone" $wanted $status
done

# A KVM that cannot make a machine is no judge: /dev/kvm, the machine, and no
# room for its CPU.
bash -c 'ulimit -n 5; exec "$@"' bash "$vm" mmu-check --engine kvm --mode 64 \
	--count 1 >"$dir/out" 2>"$dir/err" 3>&- 4>&-
check_equal "status without a machine" 77 $?
check_equal "output without a machine" "" "$(cat "$dir/out")"
grep -q 'no kvm here: KVM_CREATE_' "$dir/err" ||
	fail "without a machine: $(cat "$dir/err")"

# Nothing is lost to a reader that comes late.
{
	head -c 65536 /dev/zero
	exec "$vm" mmu-check --engine kvm --mode 64 --count 300 2>"$dir/err"
} | {
	sleep 1
	tail -c +65537
} >"$dir/late"
check_equal "lines read late" "64 1" \
	"$(awk '/by kvm/ { n = $1 } /^[0-9]+ accesses, 0 / { a++ }
		END { print n, a }' "$dir/late")"
finish
