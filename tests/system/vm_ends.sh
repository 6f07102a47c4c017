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
finish
