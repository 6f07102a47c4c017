#!/usr/bin/env bash
# A store that takes no writes, and RAM full of what should go there: who
# needs memory waits for the store to come back. A signal ends it all the same.
. "$(dirname "$0")/lib.sh"
time_limit 60
mkdir -p "$dir/src/files"
truncate -s 12M "$dir/src/files/d"
mount_store "$dir/src" "$dir/mnt" -o 'inject=write * error=ENOSPC'
cat >"$dir/p.pvm" <<'END'
proc p
map p d file files/d shared
fill p d pattern 1
END
for signal in INT TERM HUP; do
	timeout -k 12 -s $signal 2 "$BUILD/pagervm" run -d "$dir/mnt" --ram 2M \
		--no-swap "$dir/p.pvm" 2>"$dir/err"
	check_equal "$signal: 124 is ended by it, 137 killed" 124 $?
	check "$signal: $(cat "$dir/err")" grep -q 'pages could not be written' \
		"$dir/err"
done
umount_store "$dir/mnt"

# ---- asleep: a signal ends that, too ----
mount_store "$dir/src" "$dir/mnt"
printf 'proc p\nsleep 600s\n' >"$dir/asleep.pvm"
timeout -k 12 -s INT 1 "$BUILD/pagervm" run -d "$dir/mnt" "$dir/asleep.pvm" \
	2>/dev/null
check_equal "asleep: 124 is ended by it, 137 killed" 124 $?
# ---- and a command in ctl the end of the program; what was stored is kept ----
printf 'proc p\nmap p d file files/d shared\nfill p d pattern 5\nsleep 1s\n' \
	>"$dir/short.pvm"
"$BUILD/pagervm" run -d "$dir/mnt" -n short "$dir/short.pvm" 2>"$dir/err" &
machine=$!
wait_for 5 test -e "$dir/mnt/vm/short/ctl" || fail "no ctl"
(echo 'sleep 600s' >"$dir/mnt/vm/short/ctl") 2>/dev/null &
command=$!
wait "$machine"
check_equal "a command in ctl at the end: status" 0 $?
wait "$command"
printf 'proc p\nmap p d file files/d shared\nexpect fill p d pattern 5\n' |
	check "what was stored is in the file" "$BUILD/pagervm" run \
	-d "$dir/mnt" -
umount_store "$dir/mnt"

# ---- a mapped file that does not say how long it is: what was stored is kept,
# and the machine ends all the same ----
. "$here/tests/lib/vm.sh"
src=$dir/src mnt=$dir/mnt
. "$here/tests/lib/inject.sh"
mount_store "$src" "$mnt"
truncate -s 1M "$src/files/e"
machine_start mute --no-swap
ctl 'proc p
map p d file files/d shared
map p e file files/e shared
fill p d pattern 6
fill p e 6'
rules 'getattr files/e freeze'
asked() { grep -q 'getattr .*files/e' "$mnt/.pagerfs/inflight"; }
wait_for 5 asked || fail "nobody asks how long the file is"
machine_end 1
check "it says why: $(cat "$dir/mute.err")" \
	grep -q 'does not say how long' "$dir/mute.err"
check_equal "and nothing is lost" 1 "$(wc -l <"$dir/mute.err")"
check "what was stored is in the file" cmp "$src/files/e" \
	<(bytes 1048576 6)
rules ''
umount_store "$mnt"
finish
