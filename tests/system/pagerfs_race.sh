#!/usr/bin/env bash
# Requests that meet: while two threads serve, one may come to what the other
# is in the middle of. (Under the sanitizers this is the load they look on.)
. "$(dirname "$0")/lib.sh"
time_limit 150
src=$dir/src mnt=$dir/mnt
. "$here/tests/lib/inject.sh"
race=$BUILD/tests/fs/tool_race
busy=$BUILD/tests/fs/tool_busy
need "$race" "$busy" "$io"
mkdir -p "$src"
head -c 65536 /dev/zero >"$src/f"
ctl=$mnt/.pagerfs/ctl

# ---- a control file closed while it is written ----
mount_store "$src" "$mnt"
check "closed and written" timeout 60 "$race" close "$ctl" 20000
check "it still serves" cat "$mnt/f"

# ---- an interrupt that comes before its request ----
rules 'read f freeze'
check "interrupted" timeout 60 "$race" interrupt "$mnt/f" 300
echo thaw >"$ctl"

# ---- tables and rules, while all that they show comes and goes ----
mkdir "$src/busy"
"$busy" "$mnt/busy" 7 "${BUSY:-6000}" 8 >"$dir/busy" 2>&1 &
load=$!
while kill -0 $load 2>/dev/null; do
	cat "$mnt/.pagerfs/inflight" "$mnt/.pagerfs/inodes" \
		"$mnt/.pagerfs/stats" >/dev/null || fail "tables"
	rules 'write * hold'
	rules 'all * p=1/10 delay=10us'
	rules ''
done
wait $load || fail "busy: $(cat "$dir/busy")"
check_equal "nothing is left held" 0 "$(awk \
	'$1 == "pagerfs_held_bytes" { print $2 }' "$mnt/.pagerfs/stats")"
umount_store "$mnt"
[ ! -s "$dir/store.log" ] || fail "said: $(cat "$dir/store.log")"

# ---- more requests in the table than one request may have files ----
if [ "$(id -u)" = 0 ]; then
	mkdir "$src/many"
	for i in {1..40}; do echo >"$src/many/$i"; done
	mount_store "$src" "$mnt" -o inode_fds=1
	rules 'read * freeze'
	for i in {1..40}; do cat "$mnt/many/$i" >/dev/null & jobs+=" $!"; done
	waiting() { [ "$(grep -c waiting "$mnt/.pagerfs/inflight")" = 40 ]; }
	check "40 wait: $(wc -l <"$mnt/.pagerfs/inflight")" wait_for 10 waiting
	echo thaw >"$ctl"
	# shellcheck disable=SC2086
	wait $jobs
	umount_store "$mnt"
else
	say "not root: file handles left out"
fi
finish
