#!/usr/bin/env bash
# The examples of the documentation do what they say, through a real mount.
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 220
src=$dir/src mnt=$dir/mnt
mount_store "$src" "$mnt"
mkdir "$src/files"
truncate -s 64K "$src/files/shared.dat"
before=$(sha256sum <"$src/files/shared.dat")

for example in "$here"/docs/examples/*.pvm; do
	ram=8M
	case $example in */zipf.pvm) ram=28M ;; esac	# for the time it takes
	check "$(basename "$example")" vm --ram $ram --swap swap/s,64M "$example"
done
check "the shared file was written" \
	[ "$before" != "$(sha256sum <"$src/files/shared.dat")" ]
check_equal "its size" 65536 "$(stat -c %s "$src/files/shared.dat")"
check_equal "the word at 4K" "ce fa ed fe" "$(od -An -tx1 -j4096 -N4 \
	"$src/files/shared.dat" | sed 's/^ //')"
check_equal "views left" "" "$(ls "$src/vm")"
umount_store "$mnt"
finish
