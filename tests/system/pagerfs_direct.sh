#!/usr/bin/env bash
# O_DIRECT of any alignment, single requests of 1 MiB, appends, and fio's
# verifying jobs, all compared with the real file.
. "$(dirname "$0")/lib.sh"
time_limit 40
need fio dd
src=$dir/src mnt=$dir/mnt
mkdir -p "$src"
mount_store "$src" "$mnt"

head -c 3000001 /dev/urandom >"$src/in"
for bs in 1000 4095 4097 65536 1048576; do
	check "O_DIRECT read, blocks of $bs" \
		dd if="$mnt/in" of="$dir/copy" iflag=direct bs=$bs
	check "its bytes" cmp "$src/in" "$dir/copy"
	rm -f "$mnt/out"
	check "O_DIRECT write, blocks of $bs" \
		dd if="$src/in" of="$mnt/out" oflag=direct bs=$bs
	check "its bytes" cmp "$src/in" "$src/out"
done
check "odd offset and length" dd if="$src/in" of="$mnt/out" conv=notrunc \
	oflag=direct,seek_bytes iflag=skip_bytes,fullblock \
	bs=70001 count=3 seek=12345 skip=12345
check "its bytes" cmp "$src/in" "$src/out"

printf ab >"$mnt/log"
for i in 1 2 3; do printf "%s" $i >>"$mnt/log"; done
printf x >>"$src/log"
printf y >>"$mnt/log"
check_equal "appends, some made below" ab123xy "$(cat "$src/log")"

# copytruncate: small ones, one after another.
cut() {
	"$BUILD/tests/fs/tool_io" -c -d -a open "$1/cut" append 4096 1 \
		append 4096 2 run "truncate -s 0 '$src/cut'" append 4096 3 \
		append 4096 4
	cat "$src/cut"
	rm "$src/cut"
}
cut "$mnt" >"$dir/cut"
check "appends to what was cut" cmp "$dir/cut" <(cut "$src")

# A large asynchronous append is cut up, and the pieces overtake each other.
# large_append RULE
large_append() {
	local i
	rm -f "$mnt/log"
	echo "$1" >"$mnt/.pagerfs/rules"
	for ((i = 0; i < 10; i++)); do
		echo ring $((i * 3500000)) 3500000
	done >"$dir/io"
	# shellcheck disable=SC2046
	"$BUILD/tests/fs/tool_io" -c -d -a open "$mnt/log" $(cat "$dir/io") \
		>"$dir/said"
	echo >"$mnt/.pagerfs/rules"
	check_equal "large appends, $1" "10" \
		"$(grep -c "ring 3500000" "$dir/said")"
	check "their order, $1" cmp "$dir/wanted" "$src/log"
}
# ... also behind what somebody wrote in SOURCE, or where he cut it off, while
# the kernel keeps to the size it knew. changed_append BYTES RULE
changed_append() {
	rm -f "$mnt/log" "$dir/plain"
	"$BUILD/tests/fs/tool_io" -c -d -a open "$mnt/log" ring 0 8192 \
		run "truncate -s $1 '$src/log'
			echo '$2' >'$mnt/.pagerfs/rules'" \
		ring 8192 3500000 ring 3508192 4096 ring 3512288 2500000 \
		>"$dir/said"
	echo >"$mnt/.pagerfs/rules"
	"$BUILD/tests/fs/tool_io" -c -a open "$dir/plain" fill 0 8192 \
		run "truncate -s $1 '$dir/plain'" \
		fill 8192 3500000 fill 3508192 4096 fill 3512288 2500000 |
		sed s/fill/ring/ | cmp - "$dir/said" ||
		fail "appends after $1, $2: $(cat "$dir/said")"
	check "appends after $1, $2" cmp "$dir/plain" "$src/log"
}
changed_appends() {
	local bytes
	for bytes in +4096 +65536 +524288 +1M +1052672 +3M -1000 0; do
		changed_append $bytes ""
	done
	for bytes in +4096 +1M -4096; do
		changed_append $bytes "write log delay=0ms..10ms"
		changed_append $bytes "write log hold"
	done
}
if "$BUILD/tests/fs/tool_io" -c -d -a open "$dir/ring" \
	ring 0 4096 | grep -q "ring 4096"; then
	"$BUILD/tests/fs/tool_io" -c open "$dir/wanted" $(
		for ((i = 0; i < 10; i++)); do
			echo fill $((i * 3500000)) 3500000
		done) >/dev/null
	large_append ""
	large_append "write log delay=0ms..10ms"
	large_append "write log hold"
	changed_appends
else
	say "skipped: large appends, there is no io_uring"
fi

verify() {
	check "fio $1" fio --name="$1" --directory="$mnt" --size=8M \
		--verify=crc32c --verify_fatal=1 --do_verify=1 \
		--verify_state_save=0 "${@:2}"
}
verify direct --rw=randwrite --bs=4k --ioengine=io_uring --direct=1 \
	--iodepth=16
verify odd --rw=randwrite --bsrange=512-33k --bs_unaligned=1 \
	--ioengine=psync --direct=1
verify buffered --rw=randrw --bs=4k --ioengine=psync --fsync=64
verify large --rw=write --bs=1M --ioengine=io_uring --direct=1 --iodepth=4
verify mapped --rw=randwrite --bs=4k --ioengine=mmap
verify many --rw=randwrite --bs=8k --ioengine=io_uring --direct=1 \
	--iodepth=8 --numjobs=4 --size=2M

# The daemon's own debug output says how large a request arrived.
umount_store "$mnt"
mount_store "$src" "$mnt" -d
dd if=/dev/zero of="$mnt/mib" oflag=direct bs=1M count=4 2>/dev/null
check "1 MiB arrives as one request" \
	grep -Eq 'opcode: WRITE .*insize: 1048656' "$dir/store.log"
umount_store "$mnt"

# A user's own limit for reads; libfuse must be told what the kernel is.
mount_store "$src" "$mnt" -o max_read=65536
check "in smaller pieces: $(grep " $mnt " /proc/mounts)" \
	grep -q " $mnt .*max_read=65536" /proc/mounts
check "read" dd if="$mnt/mib" of="$dir/mib" iflag=direct bs=1M
check "the same" cmp "$dir/mib" "$src/mib"
umount_store "$mnt"

# ---- one write that is to be durable, of a file not opened so: the device is
# told to empty its cache ----
device=/sys/dev/block/$(stat -c %Hd:%Ld "$src")/stat
flushes() { awk '{ print $16 + 0 }' "$device" 2>/dev/null || echo 0; }
before=$(flushes)
dd if=/dev/zero of="$src/flushed" bs=4k count=1 conv=fsync status=none
if [ "$(flushes)" = "$before" ]; then
	say "no cache to empty below: durable writes are left out"
else
	cat >"$dir/durable.py" <<-'end'
	import fcntl, mmap, os, sys
	page = mmap.mmap(-1, 4096)
	how = sys.argv[2]
	fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND if how == "append"
	             else os.O_RDWR | os.O_CREAT | os.O_DIRECT)
	if how == "cached":
	    fcntl.fcntl(fd, fcntl.F_SETFL, 0)
	for i in range(50):
	    os.pwritev(fd, [page], i * 4096, os.RWF_DSYNC)
	end
	# durable HOW: each write of it empties the cache
	durable() {
		before=$(flushes)
		check "durable writes, $1" python3 "$dir/durable.py" \
			"$mnt/durable" "$1"
		check "$1, each of them: $(($(flushes) - before)) of 50" \
			[ $(($(flushes) - before)) -ge 50 ]
	}
	mount_store "$src" "$mnt"
	durable direct
	durable cached		# open with O_DIRECT, which was taken back
	if chattr +a "$src/durable" 2>/dev/null; then
		durable append	# nothing else is allowed
		chattr -a "$src/durable"
	fi
	umount_store "$mnt"
fi
finish
