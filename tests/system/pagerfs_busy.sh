#!/usr/bin/env bash
# Many threads do everything to few names, in every way to mount: no error
# that the race itself does not explain, and afterwards both sides agree.
# (Under the sanitizers this is the load they look on.)
. "$(dirname "$0")/lib.sh"
time_limit 200
src=$dir/src mnt=$dir/mnt
operations=${BUSY:-3000}

# Names, kinds, modes, sizes and bytes of what is in $1
account_of() {
	(cd "$1" && find . -printf '%p %y %m %l ' \( -type f -printf '%s' \
		-o -true \) -printf '\n' | sort &&
		find . -type f -print0 | sort -z | xargs -0r cat | sha256sum)
}

for how in "" -s "-o threads=8" "-o inode_fds=1" "-o writeback" \
	"-o attr_timeout=0,entry_timeout=0"; do
	mount_store "$src" "$mnt" $how
	check "operations ($how)" "$BUILD/tests/fs/tool_busy" "$mnt" \
		"$RANDOM" "$operations" 8
	account_of "$mnt" >"$dir/mount.account"
	umount_store "$mnt"
	account_of "$src" >"$dir/source.account"
	check "both sides agree ($how)" cmp "$dir/mount.account" \
		"$dir/source.account"
	rm -rf "$src"
done
[ -s "$dir/source.account" ] || fail "nothing compared"
finish
