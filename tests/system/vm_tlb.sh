#!/usr/bin/env bash
# --tlb and --check-tlb: a machine that models a real part's caches does what
# every machine does, counts it, and no translation that it uses is stale, in
# any paging mode, with pages going out and large pages coming apart.
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 100
src=$dir/src mnt=$dir/mnt
mount_store "$src" "$mnt"
mkdir "$src/files"
truncate -s 64K "$src/files/shared.dat"

cat >"$dir/all.pvm" <<'END'
proc p
map p heap anon 12M at 0x10000000
advise p heap hugepage
fill p heap pattern 4
expect count thp_fault_alloc > 0
fork p q
touch q heap mix 40% random count 3K pattern 4 verify
evict 1000
touch p heap read random count 2K pattern 4 verify
unmap p heap+4K 4K
expect fill q heap pattern 4
exit q
check
expect count thp_split_pmd > 0
expect count tlb_stale == 0
END
for mode in 32 pae 64 la57; do
	check "checked, $mode" vm --mmu $mode --ram 16M --swap swap/s,64M \
		--check-tlb "$dir/all.pvm"
	check_equal "nothing said, $mode" "" "$(cat "$guard/out")"
	check "checked and counted, $mode" vm --mmu $mode --ram 8M \
		--swap swap/s,64M --check-tlb --tlb p6 --stats \
		"$here/docs/examples/concurrent.pvm"
	check_equal "stale uses, $mode" 0 \
		"$(awk '$1 == "tlb_stale" { print $2 }' "$guard/out")"
done

# hits, misses and walks add up, and are in the live view as well
machine_start vm --ram 8M --no-swap --tlb skylake
check "a program" ctl 'proc p
map p heap anon 1M
fill p heap pattern 1
touch p heap read random count 5K pattern 1 verify'
for name in accesses l1_hits l2_hits misses rewalks faults cycles; do
	declare "$name=$(counter tlb_$name)"
done
check "every access hit or missed or found too little" test \
	"$accesses" = $((l1_hits + l2_hits + misses + rewalks))
check "256 pages at least faulted" test "$faults" -ge 256
check "5000 loads of 256 pages hit, mostly: $l1_hits and $l2_hits of $accesses" \
	test $((l1_hits + l2_hits)) -gt 3000
check "they cost cycles: $cycles" test "$cycles" -gt $((faults * 1000))
machine_end

# without a model nobody counts
if ! "$BUILD/pagervm" --version | grep -q check-tlb; then
	machine_start vm --ram 8M --no-swap
	check_equal "counters of no model" "" "$(counter tlb_accesses)"
	machine_end
fi

for part in p6 jaguar zen skylake; do
	check "$part is listed" grep -q "^$part: " <("$BUILD/pagervm" run --tlb list)
	check "$part" vm --ram 8M --no-swap --tlb $part - <<<'proc p
map p heap anon 64K
fill p heap pattern 1
expect fill p heap pattern 1'
done
vm --tlb 486 "$dir/all.pvm" 2>"$dir/refused"
check_equal "status of a part that is not known" 64 $?
check "and what it says" grep -q "'486' is no part that is known; --tlb list" \
	"$dir/refused"
umount_store "$mnt"
finish
