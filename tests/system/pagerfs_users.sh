#!/usr/bin/env bash
# Other users: mount -t, new files belong to their makers, permission is
# checked, and an unprivileged user can run the daemon.
#
# mount(8) looks for the helper in its own PATH, so the program is put on it
# in a mount namespace of this test.
if [ "$(id -u)" = 0 ] && [ -z "$PAGERFS_TEST_NAMESPACE" ]; then
	PAGERFS_TEST_NAMESPACE=1 exec unshare -m "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
time_limit 40
need_root
need setpriv mount fusermount3
src=$dir/src mnt=$dir/mnt
mkdir -p "$src" "$mnt" "$dir/bin"
chmod 755 "$dir"
chmod 1777 "$src"
install "$BUILD/pagerfs" "$dir/bin/pagerfs"

as() {
	setpriv --reuid="$1" --regid="$2" --clear-groups -- "${@:3}"
}

mount --bind "$dir/bin" /usr/local/sbin || skip "no mount namespaces here"
check "mount -t fuse.pagerfs" mount -t fuse.pagerfs \
	-o rw,noatime,dev,suid,allow_other,_netdev,nofail "$src" "$mnt"
is_mounted "$mnt" || finish
guard_mount "$mnt"
check "named after SOURCE" grep -q "^$src $mnt fuse.pagerfs" /proc/mounts
check "default_permissions is on" \
	grep -q " $mnt .*default_permissions" /proc/mounts

check "a user's file" as 1234 4321 touch "$mnt/theirs"
check_equal "its owner" 1234:4321 "$(stat -c %u:%g "$src/theirs")"
check "a user's directory" as 1234 4321 mkdir "$mnt/their-dir"
check_equal "its owner" 1234:4321 "$(stat -c %u:%g "$src/their-dir")"
check "a user's link" as 1234 4321 ln -s x "$mnt/their-link"
check_equal "its owner" 1234:4321 "$(stat -c %u:%g "$src/their-link")"
mkdir "$src/group" && chown 0:77 "$src/group" && chmod 2777 "$src/group"
check "in a setgid directory" as 1234 4321 touch "$mnt/group/f"
check_equal "its group" 1234:77 "$(stat -c %u:%g "$src/group/f")"
check "a directory there" as 1234 4321 mkdir "$mnt/group/d"
check_equal "its group and bit" 77:2755 "$(stat -c %g:%a "$src/group/d")"
install -m 600 /dev/null "$src/secret"
check "no permission" bash -c "! setpriv --reuid=1234 --regid=4321 \
	--clear-groups cat '$mnt/secret' 2>/dev/null"
install -m 4755 -o 0 /bin/true "$src/suid"
chmod 666 "$src/suid" && chmod 4777 "$src/suid"
check "a write clears the set-id bit" as 1234 4321 \
	bash -c "echo x >>'$mnt/suid'"
check_equal "mode after it" 777 "$(stat -c %a "$src/suid")"
# and so does fallocate, of user 0 as well if he lacks the capability
chmod 4777 "$src/suid"
check "fallocate" fallocate -l 4096 "$mnt/suid"
check_equal "of root: mode" 4777 "$(stat -c %a "$src/suid")"
check "fallocate" setpriv --bounding-set -fsetid --inh-caps -fsetid \
	fallocate -l 8192 "$mnt/suid"
check_equal "of less than root: mode" 777 "$(stat -c %a "$src/suid")"
check "umount" umount "$mnt"

# by a line of fstab, which only this test sees
echo "$src $mnt fuse.pagerfs noauto,nofail,x-systemd.device-timeout=1,allow_other,noatime 0 0" \
	>"$dir/fstab"
mount --bind "$dir/fstab" /etc/fstab
check "mount by fstab" mount "$mnt"
guard_mount "$mnt"
check "its options" grep -q " $mnt fuse.pagerfs rw,.*noatime.*allow_other" \
	/proc/mounts
check "umount by fstab" umount "$mnt"
umount /etc/fstab

# On a kernel which leaves it to the file system below who may have a
# set-group-ID bit, that one is not told that the daemon may keep all: here it
# cannot see the maker's other groups, and takes one too many.
old_kernel() { setarch --uname-2.6 "$@"; }
made_mode() {
	python3 -c '
import os, sys
os.umask(0); os.setgroups([77]); os.setegid(4321); os.seteuid(1234)
os.open(sys.argv[1], os.O_CREAT | os.O_RDWR, 0o2777)' "$mnt/group/$1"
	stat -c %a "$src/group/$1"
}
if old_kernel true 2>/dev/null && command -v python3 >/dev/null; then
	mount_store "$src" "$mnt" -o allow_other
	check_equal "set-group-ID, told by the kernel" 2777 "$(made_mode new)"
	umount_store "$mnt"
	old_kernel "$BUILD/pagerfs" -o allow_other "$src" "$mnt" ||
		fail "an old kernel: no mount"
	guard_mount "$mnt"
	check_equal "set-group-ID, on an old one" 777 "$(made_mode old)"
	check "umount" umount "$mnt"
fi

# The project of a file, and the flags of one: whom the kernel lets set them
# below it lets here, by the same words. Below: XFS, which knows projects.
image=$dir/image xfs=$dir/xfs
flag() {
	local at=$1
	shift
	"$@" "$at/f" 2>&1 | sed "s#$at/##"
	lsattr -p "$at/f" | sed "s#$at/##"
}
flags() {
	local at=$1
	as 1234 4321 touch "$at/f"
	flag "$at" as 1234 4321 chattr -p 5
	flag "$at" as 1234 4321 chattr +P
	flag "$at" as 1234 4321 chattr +i
	flag "$at" as 1235 4321 chattr -p 6
	flag "$at" as 1234 4321 unshare -Ur chattr -p 7
	flag "$at" unshare -pf setpriv --reuid=1234 --clear-groups chattr -p 8
	flag "$at" setpriv --bounding-set -linux_immutable chattr +i
	flag "$at" chattr -p 9
}
mkdir "$xfs"
if ! command -v mkfs.xfs chattr >/dev/null || ! truncate -s 400M "$image" ||
	! mkfs.xfs -q "$image" 2>"$dir/err" ||
	! mount -o loop "$image" "$xfs" 2>"$dir/err"; then
	say "no XFS in a file ($(head -n 1 "$dir/err")): projects left out"
else
	mkdir -m 1777 "$xfs/src" "$xfs/bare"
	mount_store "$xfs/src" "$mnt" -o allow_other
	bare=$(flags "$xfs/bare")
	check "projects below: $bare" [ "${bare:0:6}" = "    5 " ]
	check_equal "projects and flags" "$bare" "$(flags "$mnt")"
	umount_store "$mnt"
	check "umount XFS" wait_for 5 umount "$xfs"
fi
rm -f "$image"

# auto_unmount: when the daemon is killed, the mount goes with it
mount_store "$src" "$mnt" -o auto_unmount
kill -KILL "$store_pid"
{ wait "$store_pid"; } 2>/dev/null
check "unmounted by itself" wait_for 5 bash -c "! grep -q ' $mnt ' \
	/proc/self/mounts"

# what may and may not be logged
mount_store "$src" "$mnt" -o log_level=info
umount_store "$mnt"
check "level info" grep -q "is served at $mnt" "$dir/store.log"
check "memory" grep -q "memory is" "$dir/store.log"
locked=$(grep -c "memory is locked" "$dir/store.log")
: >"$dir/store.log"
mount_store "$src" "$mnt"
# The sanitizers' mlockall() does nothing.
case $BUILD in *asan | *tsan) locked=0 ;; esac
if [ "$locked" = 1 ]; then
	check "locked" grep -Eq 'VmLck:[[:space:]]*[1-9]' "/proc/$store_pid/status"
fi
umount_store "$mnt"
check_equal "by default" "" "$(cat "$dir/store.log")"
"$BUILD/pagerfs" -o log_level=loud "$src" "$mnt" 2>"$dir/err" &&
	fail "log_level=loud accepted"
check "refused" grep -q "error, warning or info" "$dir/err"

# a device that is none, or is not FUSE's
touch "$dir/device"
for device in "$dir/device" /dev/null; do
	mount --bind "$device" /dev/fuse || skip "no device to put there"
	"$BUILD/pagerfs" "$src" "$mnt" 2>"$dir/err" && fail "$device: mounted"
	check_equal "$device: a line" 1 "$(wc -l <"$dir/err")"
	check "$device: $(cat "$dir/err")" grep -q "not FUSE's device" \
		"$dir/err"
	umount /dev/fuse
done

# the daemon run by nobody (fusermount3 wants a user with a name)
user_src=$dir/user-src user_mnt=$dir/user-mnt
mkdir "$user_src" "$user_mnt" && chown 65534:65534 "$user_src" "$user_mnt"
mknod "$guard/fuse" c 10 229 && chmod 666 "$guard/fuse" &&
	mount --bind "$guard/fuse" /dev/fuse || skip "no device for users"
if [ ! -u "$(command -v fusermount3)" ]; then
	say "fusermount3 is not set-id: unprivileged mount left out"
elif as 65534 65534 "$dir/bin/pagerfs" "$user_src" "$user_mnt" 2>"$dir/err"
then
	guard_mount "$user_mnt"
	check "its own file" as 65534 65534 touch "$user_mnt/f"
	check "removed" as 65534 65534 rm "$user_mnt/f"
	mkdir "$dir/user-bare" && chown 65534:65534 "$dir/user-bare"
	install "$BUILD/tests/fs/tool_same" "$dir/bin/tool_same"
	check "the same answers" as 65534 65534 "$dir/bin/tool_same" \
		"$user_mnt" "$dir/user-bare"
	check "unmounted" as 65534 65534 fusermount3 -u "$user_mnt"
	# With a writeback cache the kernel reads a page to write part of it.
	check "writeback" as 65534 65534 "$dir/bin/pagerfs" -o writeback \
		"$user_src" "$user_mnt"
	guard_mount "$user_mnt"
	as 65534 65534 bash -c 'echo first >"$0"; chmod 222 "$0"' "$user_mnt/f"
	if [[ $(uname -r) =~ ^(5|6\.[0-5])\. ]]; then
		say "before Linux 6.6: a file to write only left out"
	else
		check "may only write" as 65534 65534 bash -c \
			'echo second >>"$0"' "$user_mnt/f"
		printf F | check "and elsewhere" as 65534 65534 \
			dd of="$user_mnt/f" conv=notrunc status=none
		check_equal "written" "$(printf 'First\nsecond')" \
			"$(cat "$user_src/f")"
	fi
	check "unmounted" as 65534 65534 fusermount3 -u "$user_mnt"
	# Where rings are counted as locked memory it is said what to do.
	if (ulimit -l 16 && as 65534 65534 "$dir/bin/pagerfs" "$user_src" \
		"$user_mnt") 2>"$dir/err"; then
		guard_mount "$user_mnt"
		say "rings are not locked memory here: the limit left out"
		check "unmounted" as 65534 65534 fusermount3 -u "$user_mnt"
	else
		check_equal "a line" 1 "$(wc -l <"$dir/err")"
		check "the limit: $(cat "$dir/err")" grep -Eq \
			'may have 16 KiB: allow [0-9]+ \(ulimit -l' "$dir/err"
		check "no mount left" bash -c "! grep -q ' $user_mnt ' \
			/proc/self/mounts"
	fi
else
	fail "unprivileged: $(cat "$dir/err")"
fi
umount /dev/fuse
finish
