#!/usr/bin/env bash
# Options that a mount has later or below: remount read-only and back, and
# noatime, which holds for the real files as well.
if [ "$(id -u)" = 0 ] && [ -z "$PAGERFS_TEST_NAMESPACE" ]; then
	PAGERFS_TEST_NAMESPACE=1 exec unshare -m "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
time_limit 20
need_root
src=$dir/src mnt=$dir/mnt
mkdir -p "$dir/bin" "$src"
install "$BUILD/pagerfs" "$dir/bin/pagerfs"
mount --bind "$dir/bin" /usr/local/sbin || skip "no mount namespaces here"

mount_store "$src" "$mnt"
echo before >"$mnt/f"
check "remounted read-only" mount -o remount,ro "$mnt"
check "no writes" bash -c "! touch '$mnt/f' 2>/dev/null"
check_equal "reads" before "$(cat "$mnt/f")"
check "and back" mount -o remount,rw "$mnt"
check "writes" touch "$mnt/f"
umount_store "$mnt"
"$BUILD/pagerfs" -o remount,ro "$src" "$mnt" 2>"$dir/err" &&
	fail "remounted where nothing is"
check "$(cat "$dir/err")" grep -q "no pagerfs is mounted" "$dir/err"
mkdir "$dir/other"
mount -t tmpfs none "$dir/other"
"$BUILD/pagerfs" -o remount,ro "$src" "$dir/other" 2>"$dir/err" &&
	fail "remounted another file system"
check "$(cat "$dir/err")" grep -q "no pagerfs is mounted" "$dir/err"
check "it stays as it was" touch "$dir/other/file"
umount "$dir/other"

# The real file's time of access is older than its last change, so a read
# would move it even with relatime.
aged() {
	touch -a -d '2001-02-03' "$src/f"
	cat "$mnt/f" >/dev/null
	stat -c %X "$src/f"
}
touch -a -d '2001-02-03' "$src/f"
old=$(stat -c %X "$src/f")
mount_store "$src" "$mnt" -o noatime
check_equal "noatime holds below" "$old" "$(aged)"

# What is said last holds, and what cannot be done is not done without a word.
# times OPTIONS: of access, on the mount, after it was remounted with them
times() {
	mount -o "remount,$1" "$mnt" 2>"$dir/err" || echo refused
	awk -v at="$mnt" '$5 == at { print $6 }' /proc/self/mountinfo |
		tr , '\n' | grep atime || echo always
}
check_equal "as mounted" noatime "$(times ro)"
check_equal "relatime" relatime "$(times rw,relatime)"
check_equal "noatime" noatime "$(times noatime)"
check_equal "strictatime" always "$(times strictatime)"
check_equal "relatime" relatime "$(times noatime,relatime)"
check_equal "noatime" noatime "$(times noatime)"
check "by hand" "$BUILD/pagerfs" -o remount,noatime,atime "$src" "$mnt"
check_equal "atime" relatime "$(times rw)"
check_equal "no such option" "refused relatime" \
	"$(times no_such_thing | paste -sd' ')"
check "is named: $(cat "$dir/err")" grep -q "no option 'no_such_thing'" \
	"$dir/err"
umount_store "$mnt"
finish
