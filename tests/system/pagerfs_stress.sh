#!/usr/bin/env bash
# The bytes, whichever way they go: a file against a flat array (read, write,
# O_DIRECT, mappings, io_uring, truncate, fallocate, copies mixed), fio with
# verify, stress-ng's file and mmap stressors with --verify.
. "$(dirname "$0")/lib.sh"
time_limit 150
fsx=$BUILD/tests/fs/tool_fsx
seed=${SEED:-$RANDOM}
memory=$(mktemp -d /dev/shm/stress.XXXXXX) || exit 1
src=$dir/src mnt=$dir/mnt

# judge WHAT SOURCE [pagerfs options]
judge() {
	local what=$1 source=$2
	shift 2
	mount_store "$source" "$mnt" "$@"
	check "$what: seed 1" "$fsx" "$mnt/f" 1 4000
	check "$what: seed $seed" "$fsx" "$mnt/f" "$seed" 4000
	check "$what: two at once" bash -c \
		"'$fsx' '$mnt/g' $seed 2000 & '$fsx' '$mnt/h' 5 2000 && wait \$!"
	check "$what: the real file" cmp "$mnt/f" "$source/f"
	umount_store "$mnt"
}
judge "disk" "$src"
judge "write cache" "$src" -o writeback
judge "kept" "$src" -o kernel_cache
judge "write cache, kept" "$src" -o writeback,kernel_cache
judge "tmpfs" "$memory"
rm -rf "$memory"

mount_store "$src" "$mnt" -o writeback
if command -v fio >/dev/null; then
	verify() {
		check "fio $1, write cache" fio --name="$1" --size=8M \
			--directory="$mnt" --verify=crc32c --verify_fatal=1 \
			--do_verify=1 --verify_state_save=0 "${@:2}"
	}
	verify uring --rw=randwrite --bs=4k --ioengine=io_uring --iodepth=16
	verify direct --rw=randwrite --bs=4k --ioengine=io_uring --direct=1 \
		--iodepth=16
	verify odd --rw=randwrite --bsrange=512-33k --bs_unaligned=1 \
		--ioengine=psync --direct=1
	verify mapped --rw=randwrite --bs=4k --ioengine=mmap
else
	say "fio is missing: its part is left out"
fi
umount_store "$mnt"

# The mount is the temporary directory: what these stressors check fails here
# if it fails below, and otherwise must not.
stress() {
	local stressors=()
	for one; do
		stressors+=("--$one" 1)
	done
	check "stress-ng $*" timeout -k 5 60 stress-ng --temp-path "$mnt" \
		"${stressors[@]}" --timeout 4 --verify --hdd-bytes 8m \
		--mmap-file --mmap-bytes 4m --copy-file-bytes 128m \
		--fallocate-bytes 8m --seek-size 4m --iomix-bytes 16m \
		--sync-file-bytes 16m --readahead-bytes 16m --aiol-requests 16
}
command -v stress-ng >/dev/null || {
	say "stress-ng is missing: its part is left out"
	[ "$failures" = 0 ] && skip "stress-ng is missing, the rest passed"
	exit 1
}
chmod 755 "$dir"
mount_store "$src" "$mnt" -o allow_other
stress copy-file dentry dir fallocate filename fpunch fstat hdd iomix
stress link lockf lockofd flock mmap msync rename seek symlink
stress aio aiol chmod sendfile splice sync-file touch utime xattr
umount_store "$mnt"
finish
