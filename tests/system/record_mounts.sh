#!/usr/bin/env bash
# A file system mounted inside SOURCE is in the record, from the start and with
# all that is done there. What is seen twice, by a bind mount, is refused.
. "$(dirname "$0")/lib.sh"
time_limit 30
need_root
src=$dir/src mnt=$dir/mnt rec=$dir/rec
replay=$BUILD/pagerfs-replay
need "$replay"
export TMPDIR=$dir
mkdir -p "$src/sub" "$src/twice"
mount -t tmpfs -o size=1m none "$src/sub" 2>/dev/null || skip "no tmpfs"
echo "0 none $src/sub" >>"$guard/mounts"
mkdir "$src/sub/dir"
for file in top sub/f sub/kept sub/dir/deep; do
	echo "old $file" >"$src/$file"
done
ln "$src/sub/kept" "$src/sub/dir/link"

mount_store "$src" "$mnt" -o record="$rec"
echo new >"$mnt/sub/f"
echo new >"$mnt/top"
echo more >>"$mnt/sub/dir/link"
echo made >"$mnt/sub/dir/g"
sync "$mnt/sub/dir/g" "$mnt/sub/f" "$mnt/sub/kept"
mv "$mnt/sub/f" "$mnt/sub/h"
umount_store "$mnt"
check "built" "$replay" build "$rec" "$dir/built"
check "as it is" diff -r "$src" "$dir/built"
check_equal "two names, one file" 2 "$(stat -c %h "$dir/built/sub/kept")"
check "built: what was synced" "$replay" build --synced-only "$rec" \
	"$dir/synced"
check_equal "is there" "new made old sub/kept more" \
	"$(cd "$dir/synced/sub" && cat f dir/g kept | paste -sd' ')"
check "all known" bash -c "! '$replay' info '$rec' | grep '^strangers'"

# A file or directory of two names which the record could not tell apart.
# refuse NAME
refuse() {
	timeout 10 "$BUILD/pagerfs" -o record="$dir/none" "$src" "$mnt" \
		2>"$dir/err" && fail "$1: accepted"
	check "$1: $(cat "$dir/err")" grep -q 'is there under another name' \
		"$dir/err"
	check "$1: nothing is left" test ! -e "$dir/none"
}
mount --bind "$src/sub/dir" "$src/twice" || fail "no bind mount"
refuse "a directory"
umount "$src/twice"
mount --bind "$src/sub/kept" "$src/top" || fail "no bind mount"
refuse "a file"
umount "$src/top"
finish
