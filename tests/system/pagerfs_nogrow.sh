#!/usr/bin/env bash
# The promise of swap/nogrow.h, seen from a client and in the real file; and a
# mapping whose file is truncated does not bring it back, with no question
# asked before a write that fits.
. "$(dirname "$0")/lib.sh"
time_limit 30
need perl
src=$dir/src mnt=$dir/mnt
mkdir -p "$src"
mount_store "$src" "$mnt"
head -c 10000 /dev/urandom >"$src/f"

# ask FILE: the promise, then writes at 0, 8192 and 9999 of 4096, 1808 and 2
# bytes by sysopen FLAGS; prints what each said
ask() {
	perl -MFcntl -MErrno -e '
		sysopen F, $ARGV[0], O_RDWR or die "$!";
		my $r = ioctl F, 0xf501, 0;
		print defined $r ? "yes" : $!{ENOTTY} ? "no" : "$!";
		for ([0, 4096], [8192, 1808], [9999, 2], [20000, 1]) {
			sysseek F, $_->[0], 0;
			my $n = syswrite F, "x" x $_->[1];
			print " ", defined $n ? $n : $!{EFBIG} ? "EFBIG" : $!;
		}' "$1"
}
check_equal "promise and writes" "yes 4096 1808 EFBIG EFBIG" "$(ask "$mnt/f")"
check_equal "size of the real file" 10000 "$(stat -c %s "$src/f")"
check_equal "its bytes" "$(printf 'x%.0s' {1..100})" \
	"$(dd if="$src/f" bs=1 skip=9900 status=none)"
check_equal "elsewhere it is not known" no "$(ask "$src/f" | cut -d' ' -f1)"
check_equal "other descriptors extend it" 20001 "$(stat -c %s "$src/f")"
umount_store "$mnt"
finish
