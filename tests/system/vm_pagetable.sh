#!/usr/bin/env bash
# Page tables for people, from a running machine: PID/pagetable of its live
# view, and `pagervm explain', in every paging mode, with a large page.
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 60
src=$dir/src mnt=$dir/mnt
mount_store "$src" "$mnt"

# says WHAT PATTERN ARGUMENT...: pagervm explain ARGUMENT... says PATTERN
says() {
	local what=$1 pattern=$2
	shift 2
	timeout 10 "$BUILD/pagervm" explain -d "$mnt" -n "$mode" "$@" \
		>"$dir/said" 2>&1 || fail "explain $*: status $?"
	grep -Eq -- "$pattern" "$dir/said" && return
	fail "$what, $mode: $*: not said: $pattern"
	sed 's/^/    /' "$dir/said" >&2
}

for mode in 32 pae 64 la57; do
	machine_start $mode --mmu $mode --ram 16M --no-swap
	check "a program" ctl 'proc p
map p big anon 8M at 0x10000000
map p text anon 64K rx at 0x20000000
advise p big hugepage
store p big 0x1122334455667788
load p text'
	case $mode in
	32) digits=8 top='PD  ' levels=2 ;;
	pae) digits=16 top=PDPT levels=3 ;;
	64) digits=16 top=PML4 levels=4 ;;
	la57) digits=16 top=PML5 levels=5 ;;
	esac

	# the file: CR3, then every entry that maps something
	cp "$view/1/pagetable" "$dir/pagetable"
	check_equal "CR3, $mode" 'CR3 1000' "$(head -n 1 "$dir/pagetable")"
	check_equal "lines that look otherwise, $mode" "" "$(tail -n +2 \
		"$dir/pagetable" | grep -Ev "^ *(PT|PD|PDPT|PML4|PML5)\[[0-9]+(-[0-9]+)?\] [0-9a-f]{12} = [0-9a-f]{$digits} P[W-][U-][A-][D-][G-]( NX)? -> (table in frame [0-9]+|frame [0-9]+|frame [0-9]+-[0-9]+ \(large\))$")"
	check_equal "large pages, $mode" 1 "$(grep -c '(large)' "$dir/pagetable")"
	check "the large page is mapped where it is, $mode" grep -q \
		'^ *PD\[[0-9]*\] 000010000000 = .* PWUAD-.* (large)$' \
		"$dir/pagetable"
	check "the small one too, $mode" grep -Eq \
		'^ *PT\[0\] 000020000000 = .* P-UA-- -> frame [0-9]+$' \
		"$dir/pagetable"

	# smaps knows how much of it is large
	case $mode in 32) large=4096 ;; *) large=2048 ;; esac
	check_equal "AnonHugePages, $mode" "$large 0" "$(awk \
		'$1 == "AnonHugePages:" { printf "%s%s", n++ ? " " : "", $2 }' \
		"$view/1/smaps")"
	check_equal "advised, $mode" 1 "$(grep -c '^VmFlags:.* hg ' "$view/1/smaps")"

	# the walk: as many levels as there are, to what the file says
	says "levels" "^user mode, load from 20000000; CR3 = 1000, $levels levels$" \
		1 text load
	check_equal "entries told, $mode" $levels \
		"$(grep -c ' table in frame ' "$dir/said")"
	check "from the top, $mode" grep -q "^$top table in frame 1, entry " \
		"$dir/said"
	frame=$(sed -n 's/^ *PT\[0\] 000020000000 .* frame //p' "$dir/pagetable")
	check_equal "where it leads, $mode" \
		"allowed: physical address $(printf %x $((frame * 4096)))" \
		"$(grep ^allowed "$dir/said")"
	says "a large page ends one level higher" '^PD .* PWUAD-' 1 0x10000000
	check_equal "entries told of the large page, $mode" $((levels - 1)) \
		"$(grep -c ' table in frame ' "$dir/said")"

	# faults: which bit of which entry
	says "no writes" 'error code 0x7 \(P=1 rights, W=1 write, U=1 user\); decided by the PT entry, W = 0: no writes$' \
		1 text store
	says "the area says no too" ' r-xp does not allow it: SIGSEGV' \
		1 text store
	says "nothing there" 'error code 0x4 .* decided by the (PT|PD|PDPT|PML4|PML5) entry, P = 0: not present$' \
		1 text+4K
	says "never touched" '^pager: area 20000000-20010000 r-xp; .*never touched, zero$' \
		1 text+4K
	says "no area" '^pager: no area here: SIGSEGV$' 1 0x30000000
	if [ $mode = 32 ]; then
		says "no NX in two levels" '^allowed' 1 big fetch
	else
		says "no fetches" 'error code 0x15 .* decided by the PD entry, NX = 1: no fetches$' \
			1 big fetch
	fi
	case $mode in
	64) says "not canonical" '^#GP: not canonical, bits 63 to 47' 1 0x800000000000 ;;
	la57) says "not canonical" '^#GP: not canonical, bits 63 to 56' 1 0x100000000000000 ;;
	*) says "32 bits" '^linear addresses have 32 bits here: 10000000$' 1 0x110000000 ;;
	esac
	check "asking changed nothing, $mode" cmp "$dir/pagetable" \
		"$view/1/pagetable"

	# what is said follows what is done
	check "a fork" ctl 'fork p q'
	says "a copy to be" 'W = 0: no writes$' 1 big store
	check "and why, $mode" grep -q '; a write is to be copied$' "$dir/said"
	check "an exit" ctl 'exit q
exit p'
	check "of nobody, $mode" bash -c "! '$BUILD/pagervm' explain -d '$mnt' \
		-n $mode 1 0x1000"
	machine_end
done
check "no such machine is said so" grep -q 'is a machine of that name running' \
	<("$BUILD/pagervm" explain -d "$mnt" -n none 1 0 2>&1)
for wrong in 1 "1 ''" "x 0" "-- -1 0" "1 0 jump" "1 0 load more"; do
	eval "timeout 10 '$BUILD/pagervm' explain $wrong" 2>"$dir/said"
	check_equal "explain $wrong: status" 64 $?
	check_equal "explain $wrong: by whom, and what to do" 2 \
		"$(grep -c 'pagervm explain\>' "$dir/said")"
done
umount_store "$mnt"
finish
