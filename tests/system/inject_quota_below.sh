#!/usr/bin/env bash
# Quotas on file systems that show less than there is (tmpfs: what is only
# allocated), or more (XFS: what it allocates on its own); and of files that
# the daemon may not read. In a mount namespace, for a /dev/fuse that users may
# open.
if [ "$(id -u)" = 0 ] && [ -z "$PAGERFS_TEST_NAMESPACE" ]; then
	PAGERFS_TEST_NAMESPACE=1 exec unshare -m "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
time_limit 40
need_root
need setpriv
src=$dir/src mnt=$dir/mnt
. "$here/tests/lib/inject.sh"
need "$io"

used() { sed -n '2s/.*used //p' "$rules"; }
settled() { [ "$(used)" = "$1" ]; }
# below MNT: the file system to be served is mounted there
below() {
	echo "0 none $1" >>"$guard/mounts"
	src=$1/src
	mount_store "$src" "$mnt"
}
done_below() {
	umount_store "$mnt"
	umount "$1"
}

# ---- tmpfs: what is only allocated takes nothing ----
mkdir "$dir/memory" "$dir/xfs"
mount -t tmpfs -o size=8m none "$dir/memory" || skip "cannot mount a tmpfs"
below "$dir/memory"
rules 'write+fallocate * quota=256K'
for i in 1 2 3; do
	io "tmpfs $i" "-c open $mnt/a allocate 0 131072 write 0 131072 65" \
		"open 0;allocate 0;write 131072"
	check_equal "written" 131072 "$(used)"
	rm "$mnt/a"
	check_equal "removed" 0 "$(used)"
done
io "but has to fit" "-c open $mnt/a allocate 0 524288" "open 0;allocate ENOSPC"
done_below "$dir/memory"

# ---- the daemon of a user, and his file that he may not read ----
mkdir -p "$dir/bin" "$dir/theirs/s" "$dir/theirs/mnt"
chmod 755 "$dir" "$dir/bin"
install "$BUILD/pagerfs" "$BUILD/tests/fs/tool_io" "$dir/bin"
chown -R 65534:65534 "$dir/theirs"
# (fusermount3 wants a user with a name.)
as() { setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"; }
mknod -m 666 "$dir/bin/fuse" c 10 229 &&
	mount --bind "$dir/bin/fuse" /dev/fuse
if as test -w /dev/fuse && [ -u "$(command -v fusermount3)" ]; then
	at=$dir/theirs/mnt
	as "$dir/bin/pagerfs" -f "$dir/theirs/s" "$at" 2>>"$dir/store.log" &
	store_pid=$!
	echo "$store_pid" >>"$guard/pids"
	wait_for 5 is_mounted "$at" || fail "a user cannot mount"
	guard_mount "$at"
	for hold in '' 'write * hold'; do
		as "$dir/bin/tool_io" -c open "$at/f" write 8192 4096 65 run "
			cat >'$at/.pagerfs/rules' <<'RULES'
write+fallocate * quota=1M
$hold
RULES" write 0 1 65 write 65536 4096 65 ahead 131072 65536 \
			run "chmod 0200 '$at/f'" run "rm '$at/f'" run \
			"sed -n '2s/.*used /left /p' '$at/.pagerfs/rules'" \
			>"$dir/out" 2>&1
		check_equal "[$hold]" "left 0" "$(grep left "$dir/out")"
	done
	umount_store "$at"
	umount /dev/fuse
else
	say "part skipped: users cannot mount here"
fi

# ---- XFS: what is behind the end does not count, but has to fit ----
truncate -s 320M "$dir/image"
if ! mkfs.xfs -q "$dir/image" 2>/dev/null ||
	! mount -o loop "$dir/image" "$dir/xfs" 2>/dev/null; then
	say "part skipped: no XFS here"
	finish
fi
below "$dir/xfs"
rules 'write+fallocate * quota=4M'
head -c 1M /dev/zero >"$mnt/base"
check_equal "XFS, written" 1048576 "$(used)"
check "all that fits" bash -c "! dd if=/dev/zero of='$mnt/a' bs=64k 2>/dev/null"
check_equal "is there" "3145728 4194304" "$(stat -c %s "$src/a") $(used)"
rm "$mnt/a"
check_equal "removed" 1048576 "$(used)"
io "in many writes" "-c open $mnt/a write 0 65536 65 write 65536 65536 65 \
write 131072 65536 65 write 196608 65536 65 ahead 262144 1048576" \
	"open 0;write 65536;write 65536;write 65536;write 65536;ahead 0"
check_equal "and allocated ahead" 1310720 "$(used)"
io "and more than there is" "open $mnt/a ahead 262144 4194304" \
	"open 0;ahead ENOSPC"
rm "$mnt/a"
check_equal "removed" 1048576 "$(used)"
done_below "$dir/xfs"
finish
