#!/usr/bin/env bash
# Names, links, attributes, xattrs, sparse files: through the mount as in the
# directory below, and what is done on one side is seen on the other.
. "$(dirname "$0")/lib.sh"
time_limit 20
need stat
src=$dir/src mnt=$dir/mnt
mount_store "$src" "$mnt"
cd "$mnt" || exit 1

echo one >a
check_equal "written below" one "$(cat "$src/a")"
echo two >"$src/b"
check_equal "read from below" two "$(cat b)"
ln a a2
check_equal "links" 2 "$(stat -c %h a)"
check_equal "one inode" "$(stat -c %i a)" "$(stat -c %i a2)"
check_equal "the inode below" "$(stat -c %i "$src/a")" "$(stat -c %i a)"
ln -s a soft
check_equal "symlink" a "$(readlink soft)"
ln -s /etc/hostname out
check_equal "symlink kept as it is" /etc/hostname "$(readlink "$src/out")"

mkdir -p d/e
mv a d/e/moved
check_equal "renamed" one "$(cat "$src/d/e/moved")"
check "rename onto a directory is refused" bash -c '! mv -T b d 2>/dev/null'
mv -n b d/e/moved
check_equal "rename without replacing" one "$(cat d/e/moved)"
check "rmdir of a full directory is refused" bash -c '! rmdir d 2>/dev/null'
mkfifo fifo
check_equal "fifo" fifo "$(stat -c %F "$src/fifo")"
rm a2 fifo soft out
check "removed below" test ! -e "$src/a2"

chmod 640 b
check_equal "mode" 640 "$(stat -c %a "$src/b")"
touch -d '2001-02-03 04:05:06.789' b
check_equal "times" "$(stat -c %y "$src/b")" "$(stat -c %y b)"
truncate -s 12345 b
check_equal "truncated" 12345 "$(stat -c %s "$src/b")"
if [ "$(id -u)" = 0 ]; then
	chown 12:34 b
	check_equal "owner" 12:34 "$(stat -c %u:%g "$src/b")"
fi

# xattrs, where the file system below has them
python=$(command -v python3)
if [ -n "$python" ]; then
	"$python" - "$mnt/b" "$src/b" <<-'PY' || fail "xattrs"
	import os, sys
	a, b = sys.argv[1:]
	try:
	    os.setxattr(b, "user.below", b"x")
	except OSError:
	    sys.exit(0)
	assert os.getxattr(a, "user.below") == b"x"
	os.setxattr(a, "user.k" * 20, b"v" * 1000)
	assert os.getxattr(b, "user.k" * 20) == b"v" * 1000
	assert sorted(os.listxattr(a)) == sorted(os.listxattr(b))
	os.removexattr(a, "user.below")
	assert "user.below" not in os.listxattr(b)
	PY
fi

fallocate -l 1M f
check_equal "fallocate" 1048576 "$(stat -c %s "$src/f")"
head -c 1M /dev/urandom >f
fallocate -p -o 4096 -l 8192 f
check_equal "hole" 0 "$(tail -c +4097 "$src/f" | head -c 8192 |
	tr -d '\0' | wc -c)"
fallocate -z -o 65536 -l 4096 f
check_equal "zero range" 0 "$(tail -c +65537 "$src/f" | head -c 4096 |
	tr -d '\0' | wc -c)"
fallocate -n -o 2M -l 1M f
check_equal "size kept" 1048576 "$(stat -c %s "$src/f")"
check "copy_file_range" cp --reflink=never f g
check "same after the copy" cmp "$src/f" "$src/g"
check "sync" sync f

# many names: more than one buffer of a directory listing
mkdir many
(cd many && seq -f 'a-rather-long-name-%05g' 3000 | xargs touch)
check_equal "names listed" 3000 "$(ls many | wc -l)"
check_equal "names listed with attributes" 3000 \
	"$(ls -l many | grep -c name-)"
check_equal "the same names" "$(ls "$src/many" | sha256sum)" \
	"$(ls many | sha256sum)"

# a change below is seen within a second or so
stat b >/dev/null
echo longer-than-before-by-far >"$src/b"
sleep 1.1
check_equal "change below" longer-than-before-by-far "$(cat b)"
check "removed below" rm "$src/b"
sleep 1.1
check "gone above" test ! -e b

cd / && umount_store "$mnt"
finish
