#!/usr/bin/env bash
# What is left out of what is built from a record is said, also by a check that
# finds nothing wrong.
. "$(dirname "$0")/lib.sh"
time_limit 30
src=$dir/src mnt=$dir/mnt rec=$dir/rec
replay=$BUILD/pagerfs-replay
need "$replay"
export TMPDIR=$dir

# A file that came into SOURCE behind the mount.
mount_store "$src" "$mnt" -o record="$rec"
echo known >"$mnt/known"
: >"$src/behind"
echo more >>"$mnt/behind"
umount_store "$mnt"
left_out='1 operations on files that came into SOURCE behind the mount'
check "info: $("$replay" info "$rec")" bash -c \
	"'$replay' info '$rec' | grep '^strangers  $left_out'"
check "built" bash -c "'$replay' build '$rec' '$dir/out' 2>'$dir/err'"
check "said: $(cat "$dir/err")" grep -q "$left_out.* are left out" "$dir/err"
check "each" bash -c "'$replay' each '$rec' true 2>'$dir/err'"
check "each: said: $(cat "$dir/err")" grep -q "$left_out.* are left out" \
	"$dir/err"
check "each: also of what comes after its limit" bash -c \
	"'$replay' each --limit 1 '$rec' true 2>&1 | grep '$left_out'"

# What goes while the files of the start are put into the record is not among
# them, and all else is. Here a name is in its directory, and cannot be found.
rm "$rec" "$src"/*
mkdir "$src/sub"
echo gone >"$src/sub/gone"
for name in sub/a sub/z z; do
	echo $name >"$src/$name"
done
mount_store "$src" "$dir/low" -o entry_timeout=0,attr_timeout=0
lower=$store_pid
echo 'lookup gone error=ENOENT' >"$dir/low/.pagerfs/rules"
mount_store "$dir/low/sub" "$mnt" -o record="$rec"
umount_store "$mnt"
store_pid=$lower
umount_store "$dir/low"
check "gone: built" "$replay" build "$rec" "$dir/start"
check_equal "gone: the others" "a z" "$(ls "$dir/start" | paste -sd' ')"
rm -r "$src/sub" "$src/z"

# A device, for one who may make none.
if [ "$(id -u)" = 0 ] && mknod "$src/null" c 1 3 2>/dev/null; then
	rm "$rec"
	mount_store "$src" "$mnt" -o record="$rec"
	echo again >"$mnt/file"
	umount_store "$mnt"
	mkdir -m 777 "$dir/user" "$dir/user/tmp"
	chmod 777 "$dir/user/tmp"
	chmod 755 "$dir" && chmod 644 "$rec"
	install "$replay" "$dir/user/replay"
	check "each, by nobody" bash -c "TMPDIR='$dir/user/tmp' setpriv \
		--reuid=65534 --regid=65534 --clear-groups \
		'$dir/user/replay' each '$rec' true 2>'$dir/err'"
	check "a device: said: $(cat "$dir/err")" grep -q \
		'1 device files are left out' "$dir/err"
fi
finish
