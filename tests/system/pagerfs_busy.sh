#!/usr/bin/env bash
# Many threads do everything to few names, in every way to mount: no error
# that the race itself does not explain, and afterwards both sides agree.
# (Under the sanitizers this is the load they look on.)
# A size that is too small on the mount, with -o writeback, once in a thousand
# runs: docs/conformance.md, 6.
. "$(dirname "$0")/lib.sh"
time_limit 200
src=$dir/src mnt=$dir/mnt
operations=${BUSY:-3000}

# Names, kinds, modes, sizes and bytes of what is in $1
account_of() {
	(cd "$1" && find . -printf '%p %y %m %l ' \( -type f -printf '%s' \
		-o -true \) -printf '\n' | sort &&
		find . -type f -print0 | sort -z | xargs -0r sha256sum)
}

# What differs, and where in a file: it may not come back soon.
differences() {
	local file
	diff "$dir/mount.account" "$dir/source.account" | head -n 20
	diff "$dir/mount.account" "$dir/source.account" |
		sed -n 's|^> [0-9a-f]\{64\}  ||p' | while read -r file; do
		echo "$file: bytes, on the mount, in SOURCE; first and last:"
		cmp -l "$dir/seen/$file" "$src/$file" | sed -n '1p;$p'
	done
}

for how in "" -s "-o threads=8" "-o inode_fds=1" "-o writeback" \
	"-o attr_timeout=0,entry_timeout=0"; do
	mount_store "$src" "$mnt" $how
	check "operations ($how)" "$BUILD/tests/fs/tool_busy" "$mnt" \
		"$RANDOM" "$operations" 8
	account_of "$mnt" >"$dir/mount.account"
	cp -a "$mnt" "$dir/seen"
	umount_store "$mnt"
	account_of "$src" >"$dir/source.account"
	cmp -s "$dir/mount.account" "$dir/source.account" ||
		fail "both sides agree ($how): $(differences)"
	rm -rf "$src" "$dir/seen"
done
[ -s "$dir/source.account" ] || fail "nothing compared"
finish
