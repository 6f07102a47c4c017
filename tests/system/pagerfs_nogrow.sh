#!/usr/bin/env bash
# The promise of swap/nogrow.h, seen from a client and in the real file; and a
# mapping whose file is truncated does not bring it back, with no question
# asked before a write that fits.
. "$(dirname "$0")/lib.sh"
time_limit 30
src=$dir/src mnt=$dir/mnt
. "$here/tests/lib/inject.sh"
need perl "$io"
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
# ---- copies and allocations do not either ----
head -c 10000 /dev/zero | tr '\0' A >"$src/g"
head -c 5000 /dev/zero | tr '\0' B >"$src/h"
io "copies" "open $mnt/g nogrow from $mnt/h copy 0 5000 9999 copy 0 5001 9999 \
copy 4999 9999 9999 copy 4998 9999 9999 copy 9000 20000 1" \
	"open 0;nogrow 0;from 0;copy 5000;copy EFBIG;copy 1;copy EFBIG;copy 0"
io "copies, O_DIRECT" "-d open $mnt/g nogrow from $mnt/h copy 0 4096 4096 \
copy 0 8192 4096" "open 0;nogrow 0;from 0;copy 4096;copy EFBIG"
check_equal "the file" "4096x41 5903x42 1x42" "$(real g 0 9999) 1x$(
	tail -c 1 "$src/g" | od -An -tx1 | tr -d ' ')"
io "allocations" "open $mnt/g nogrow allocate 0 10000 allocate 0 10001 \
ahead 8192 8192 punch 9500 9999 size" "open 0;nogrow 0;allocate 0;"\
"allocate EFBIG;ahead 0;punch 0;size 10000"
# not every file system has it
zero=$("$io" -c open "$src/probe" zero 0 4096 | sed -n 's/^zero //p')
io "zeroes" "open $mnt/g nogrow zero 9000 1000 zero 9000 1001 size" \
	"open 0;nogrow 0;zero $zero;zero EFBIG;size 10000"
io "but a truncation does" "open $mnt/g nogrow truncate 10001 size" \
	"open 0;nogrow 0;truncate 0;size 10001"
io "and other descriptors" "open $mnt/g allocate 0 12000 copy 0 12000 100 size" \
	"open 0;allocate 0;copy 100;size 12100"
# ---- what may only be appended to ----
if [ "$(id -u)" = 0 ] && chattr +a "$src/h" 2>/dev/null; then
	io "append only" "-a open $mnt/h allocate 0 6000 copy 0 6000 10 \
punch 0 10 size append 1 65 size" "open 0;allocate 0;copy EBADF;"\
"punch EPERM;size 6000;append 1;size 6001"
	chattr -a "$src/h"
else
	say "no file can be made here that may only be appended to"
fi
umount_store "$mnt"
# ---- with a part of the size held back ----
mount_store "$src" "$mnt" -o 'inject=write k hold'
: >"$src/k"
io "held" "open $mnt/k write 0 10000 65 nogrow zero 9000 1000 zero 9000 1001 \
allocate 0 10001 size" "open 0;write 10000;nogrow 0;zero $zero;zero EFBIG;"\
"allocate EFBIG;size 10000"
umount_store "$mnt"
finish
