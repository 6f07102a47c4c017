#!/usr/bin/env bash
# What the watchdog ended, in a record: in flight until it is over in SOURCE,
# and then no longer. SOURCE hangs here on command: it is another pagerfs,
# whose rules freeze it.
. "$(dirname "$0")/lib.sh"
time_limit 60
need_root
src=$dir/src low=$dir/low mnt=$dir/mnt rec=$dir/rec
replay=$BUILD/pagerfs-replay
io=$BUILD/tests/fs/tool_io
need "$io" "$replay"
# (No name that hangs is in the root: the kernel below lets nobody look up there
# meanwhile what it has forgotten, and it may forget .pagerfs at any time.)
mkdir -p "$src/sub" "$src/names"
for name in a x z; do
	echo $name >"$src/names/$name"
done
export TMPDIR=$dir
head -c 8192 /dev/zero | tr '\0' A >"$src/f"
mount_store "$src" "$low" -o attr_timeout=0,entry_timeout=0
lower=$store_pid
# What hangs in the root of it keeps the kernel from looking up there what it
# has forgotten, as it may at any time: hold on to the way in.
exec 7<"$low/.pagerfs/rules"
mount_store "$low" "$mnt" -o timeout=1,record="$rec" \
	-o entry_timeout=60,attr_timeout=60
freeze() { cat <<<"$1" >"$low/.pagerfs/rules"; }
ended() { grep -q ' ended ' "$mnt/.pagerfs/inflight"; }
all_done() { ! ended; }

# Who renames is to ask for nothing that hangs besides.
stat -c %n "$mnt"/names/* >/dev/null
freeze 'write f freeze
mkdir * freeze
rename a freeze
fsync g freeze'
echo g >"$mnt/g"
# The second begins when the first was ended, and is about what that leaves.
(cd "$mnt/names" && for to in 'a x' 'x z'; do
	mv -fT $to 2>>"$dir/mv"	# both words
done) &
renames=$!
check_equal "a write" "open 0;write ETIMEDOUT" \
	"$("$io" -d open "$mnt/f" write 0 4096 66 | paste -sd';')"
check_equal "an fsync" "open 0;fsync ETIMEDOUT" \
	"$("$io" open "$mnt/g" fsync | paste -sd';')"
check "a directory" bash -c "! mkdir '$mnt/sub/made' 2>'$dir/err'"
check "$(cat "$dir/err")" grep -q 'timed out' "$dir/err"
wait $renames
check_equal "two renames: $(cat "$dir/mv")" 2 \
	"$(grep -c 'timed out' "$dir/mv")"
"$replay" list "$rec" >"$dir/list"
check_equal "in flight: $(cat "$dir/list")" 5 \
	"$(grep -c 'never ended' "$dir/list")"
freeze ''
check "they end" wait_for 5 all_done
# ---- what comes now comes after them ----
check_equal "written over" "open 0;write 4096;fsync 0" \
	"$("$io" -d open "$mnt/f" write 0 4096 67 fsync | paste -sd';')"
echo in >"$mnt/sub/made/in"
umount_store "$mnt"
exec 7<&-
store_pid=$lower
umount_store "$low"
"$replay" list "$rec" >"$dir/list"
check_equal "the renames" a "$(cat "$src/names/z")"
for what in 'write f 0+4096' 'fsync g' 'mkdir sub/made' \
	'rename names/a to names/x' 'rename names/x to names/z'; do
	check "$what: $(cat "$dir/list")" grep -q \
		"$what (late: its client had been told ETIMEDOUT)" "$dir/list"
done
check "info" bash -c "'$replay' info '$rec' >'$dir/info'"
check "no fsync but one: $(cat "$dir/info")" \
	grep -q '^fsyncs *1 went well' "$dir/info"
check "none in flight, no strangers" \
	bash -c "! grep '^in flight\|^strangers' '$dir/info'"
check "built" "$replay" build "$rec" "$dir/built"
check "as it is" diff -r "$src" "$dir/built"
# after its fsync, the later write is there in every state
cat >"$dir/check" <<'END'
[ "$PAGERFS_REPLAY_FSYNCS" = 0 ] || cmp -n 4096 f /tmp/c
END
head -c 4096 /dev/zero | tr '\0' C >"$dir/c"
sed -i "s,/tmp/c,$dir/c," "$dir/check"
check "each: $("$replay" each "$rec" "sh $dir/check" 2>&1 | tail -3)" \
	"$replay" each "$rec" "sh $dir/check"
finish
