#!/usr/bin/env bash
# The live view of an ordinary user's machine: beside the store, with a link to
# it. What is in the link's place and not ours stays as it is.
[ "$(id -u)" != 0 ] || [ "$1" = inside ] ||
	exec unshare -m "$0" inside	# whose /dev/fuse is for all
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 30
need_root
need setpriv fusermount3
src=$dir/src mnt=$dir/mnt
chmod 755 "$dir"
mkdir "$src" "$mnt" "$dir/run" "$dir/bin"
chown 65534:65534 "$src" "$mnt" "$dir/run"
install "$BUILD/pagerfs" "$BUILD/pagervm" "$dir/bin"
mknod "$guard/fuse" c 10 229 && chmod 666 "$guard/fuse" &&
	mount --bind "$guard/fuse" /dev/fuse || skip "no device for users"
[ -u "$(command -v fusermount3)" ] || skip "fusermount3 is not set-id"
user() {
	setpriv --reuid=65534 --regid=65534 --clear-groups \
		env XDG_RUNTIME_DIR="$dir/run" "$@"
}
user "$dir/bin/pagerfs" "$src" "$mnt" 2>"$dir/err" ||
	fail "unprivileged: $(cat "$dir/err")"
guard_mount "$mnt"
echo 'proc p' >"$dir/p.pvm"
machine() { user timeout 10 "$dir/bin/pagervm" run -d "$mnt" --no-swap "$@"; }

user mkdir "$mnt/vm"
user sh -c "echo precious >'$mnt/vm/mine'"
machine -n mine "$dir/p.pvm" 2>"$dir/err"
check_equal "a file in the way: status" 1 $?
check "a file in the way: $(cat "$dir/err")" \
	grep -q 'vm/mine: is in the way' "$dir/err"
check_equal "the file" precious "$(cat "$src/vm/mine")"
machine -n other "$dir/p.pvm"
check_equal "another name: status" 0 $?
user ln -s "$dir/run/gone" "$mnt/vm/old"
machine -n old "$dir/p.pvm"
check_equal "a link that leads nowhere: status" 0 $?
check_equal "what is left" mine "$(ls "$src/vm")"
check "unmount" user fusermount3 -u "$mnt"
finish
