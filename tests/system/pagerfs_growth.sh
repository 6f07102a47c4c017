#!/usr/bin/env bash
# Nothing grows with the operations served: memory, descriptors and inodes
# (each has a descriptor here) after $OPERATIONS of them (make soak: a
# million) are what they were after as many before.
. "$(dirname "$0")/lib.sh"
operations=${OPERATIONS:-8000}
time_limit $((60 + operations / 500))
need_root
src=$dir/src mnt=$dir/mnt
busy=$BUILD/tests/fs/tool_busy

# round SEED: the operations; then the kernel forgets all files.
round() {
	check "operations" "$busy" "$mnt" "$1" "$operations" 4
	rm -rf "${mnt:?}"/*
	mount -i -o remount,rw "$mnt"
	sleep 1
	requests=$(awk '/^rchar|^syscr/ { print $2 }' "/proc/$store_pid/io" |
		tail -1)
	memory=$(awk '/^RssAnon/ { print $2 }' "/proc/$store_pid/status")
	local all=("/proc/$store_pid/fd/"*)
	descriptors=${#all[@]}
}
mount_store "$src" "$mnt" -o inode_fds=5000
round 1
# What is in memory once stays: the second time nothing is new. But for the
# buffer of a large request, if there were never so many of them at once; what
# grows with the operations grows every time.
round 2
for seed in 3 4 5 6; do
	memory_before=$memory descriptors_before=$descriptors
	requests_before=$requests
	round $seed
	grown=$((memory - memory_before))
	say "$operations operations ($((requests - requests_before)) reads of" \
		"/dev/fuse and files): memory $memory_before to $memory KiB," \
		"descriptors $descriptors_before to $descriptors"
	check_equal "descriptors" "$descriptors_before" "$descriptors"
	[ $grown -gt 256 ] || break
done
# What ASan keeps of freed memory is not ours.
case $BUILD in
*asan | *tsan) ;;
*) [ $grown -le 256 ] || fail "memory grows: $grown KiB" ;;
esac
umount_store "$mnt"
finish
