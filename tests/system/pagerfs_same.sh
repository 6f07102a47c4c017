#!/usr/bin/env bash
# The same calls on a mount and on the directory below get the same answers:
# names, data, times, locks, ACLs, owners, set-id bits, flags; with and
# without the kernel's write cache, over a disk and over memory.
. "$(dirname "$0")/lib.sh"
time_limit 120

# judge WHAT BASE [pagerfs options]
judge() {
	local what=$1 base=$2 tool
	shift 2
	mkdir -p "$base/bare"
	mount_store "$base/src" "$dir/mnt" "$@"
	for tool in same same_users; do
		check "$what, $tool" "$BUILD/tests/fs/tool_$tool" "$dir/mnt" \
			"$base/bare"
	done
	umount_store "$dir/mnt"
	rm -rf "$base"
}
chmod 755 "$dir"
judge "as it comes" "$dir/base" -o allow_other,dev,suid
SAME_WRITE_CACHE=1 judge "write cache" "$dir/base" -o allow_other,dev,suid,writeback
judge "one thread" "$dir/base" -s -o allow_other,dev,suid
judge "by handles" "$dir/base" -o allow_other,dev,suid,inode_fds=1
judge "no timeouts" "$dir/base" \
	-o allow_other,dev,suid,attr_timeout=0,entry_timeout=0
if [ "$(stat -f -c %T /dev/shm)" = tmpfs ]; then
	memory=$(mktemp -d /dev/shm/same.XXXXXX)
	chmod 755 "$memory"
	judge "tmpfs" "$memory/base" -o allow_other,dev,suid
	rm -rf "$memory"
fi
finish
