#!/usr/bin/env bash
# Nothing outside SOURCE is reached, whoever moves what while it is looked
# up; and the daemon never waits for itself, even if its own mount is bound
# into SOURCE.
if [ "$(id -u)" = 0 ] && [ -z "$PAGERFS_TEST_NAMESPACE" ]; then
	PAGERFS_TEST_NAMESPACE=1 exec unshare -m --propagation private \
		"$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
time_limit 60
src=$dir/src mnt=$dir/mnt
mkdir -p "$src/d" "$dir/outside"
echo inside >"$src/d/x"
echo outside >"$dir/outside/x"
ln -s "$dir/outside" "$src/l"

beneath() {
	check "$1" "$BUILD/tests/fs/tool_beneath" "$mnt" "$src" \
		"$dir/outside" 3
	check_equal "$1: what is outside" "x outside" \
		"$(ls "$dir/outside" | tr '\n' ' ')$(cat "$dir/outside/x")"
}
mount_store "$src" "$mnt" -o attr_timeout=0,entry_timeout=0
beneath "exchanged with a link"
umount_store "$mnt"
if [ "$(id -u)" = 0 ]; then
	mount_store "$src" "$mnt" \
		-o attr_timeout=0,entry_timeout=0,inode_fds=1
	beneath "the same by handles"
	umount_store "$mnt"
fi
rm -f "$src/d/x" "$src/l/x"

# The mount, a directory of it and a file of it bound into SOURCE; and SOURCE
# bound into itself. One thread: nobody would come to its help.
need_root
mkdir -p "$src/own" "$src/own-dir" "$src/self" "$src/some/where"
touch "$src/own-file"
echo text >"$src/some/where/file"
for threads in -s "-o threads=2"; do
	mount_store "$src" "$mnt" $threads
	mount --bind "$mnt" "$src/own" || skip "no mount namespaces here"
	mount --bind "$mnt/some" "$src/own-dir"
	mount --bind "$mnt/some/where/file" "$src/own-file"
	# What the kernel remembers from before is not asked for again.
	sleep 1.1
	for name in own own-dir own-file; do
		timeout 5 stat "$mnt/$name" >/dev/null 2>"$guard/err"
		check_equal "$name: status" 1 $?
		check "$name: $(cat "$guard/err")" \
			grep -q "Too many levels" "$guard/err"
	done
	timeout 5 ls -l "$mnt" >/dev/null 2>&1
	check_equal "ls, status" 1 $?
	check_equal "a name in it" own \
		"$(timeout 5 ls "$mnt" | grep -x own)"
	check "nothing is made in it" bash -c \
		"! timeout 5 touch '$mnt/own/file' 2>/dev/null"
	check "nor is it removed" bash -c \
		"! timeout 5 rmdir '$mnt/own' 2>/dev/null"
	timeout 5 mv -T "$mnt/some" "$mnt/own" 2>/dev/null
	timeout 5 ln "$mnt/own-file" "$mnt/link" 2>/dev/null
	check_equal "the rest is served" text \
		"$(timeout 5 cat "$mnt/some/where/file")"
	umount "$src/own-file" "$src/own-dir" "$src/own"
	sleep 1.1
	check "served when it is gone" timeout 5 touch "$mnt/own/file"
	umount_store "$mnt"
done

mount --bind "$src" "$src/self"
mount_store "$src" "$mnt"
check_equal "SOURCE in itself" text \
	"$(timeout 5 cat "$mnt/self/some/where/file")"
check_equal "not deeper" "" "$(timeout 5 ls "$mnt/self/self")"
check_equal "still there" text "$(timeout 5 cat "$mnt/some/where/file")"
check_equal "find" 2 "$(timeout 5 find "$mnt" -path '*/where/file' | wc -l)"
[ "$(stat -c %i "$mnt/some/where/file")" != \
	"$(stat -c %i "$mnt/self/some/where/file")" ] ||
	fail "one inode number for two inodes"
umount_store "$mnt"
umount "$src/self"
finish
