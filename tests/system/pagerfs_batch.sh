#!/usr/bin/env bash
# Answers that leave together (fs/slot.c: loop_send()): a tmpfs and many
# requests at once, so that serving threads take them by the batch. The bytes
# are right, clients killed in the middle leave nothing behind, and an unmount
# finds every answer out.
. "$(dirname "$0")/lib.sh"
time_limit 90
command -v fio >/dev/null || skip "fio is missing"
memory=$(mktemp -d /dev/shm/batch.XXXXXX) || exit 1
mnt=$dir/mnt
mount_store "$memory" "$mnt"

many() {
	fio --name=many --directory="$mnt" --size=4M --bs=4k --direct=1 \
		--ioengine=io_uring --iodepth=64 --numjobs=2 --thread "$@"
}
check "64 at once, twice" many --rw=randwrite --verify=crc32c \
	--verify_fatal=1 --do_verify=1 --verify_state_save=0
check "and as the real files have it" many --rw=randread --verify=crc32c \
	--verify_fatal=1 --verify_only

# Room is made by somebody else than root, in the midst of many reads: the file
# is asked for its set-user-ID bit before an entry of the ring is taken.
if [ "$(id -u)" = 0 ]; then
	umount_store "$mnt"
	disk=$dir/disk
	mkdir -p "$disk"
	chmod 755 "$dir"
	head -c 4M /dev/urandom >"$disk/many.0.0"
	cp "$disk/many.0.0" "$disk/many.1.0"
	cp "$disk/many.0.0" "$dir/random"
	: >"$disk/room"
	chown 1234 "$disk/room"
	mount_store "$disk" "$mnt" -o allow_other,threads=1
	many --rw=randread --time_based --runtime=20 >/dev/null 2>&1 &
	client=$!
	sleep 0.4
	check "room made by others" timeout 20 python3 - "$mnt/room" <<-'end'
		import os, sys
		os.setgroups([])
		os.setresgid(1234, 1234, 1234)
		os.setresuid(1234, 1234, 1234)
		fd = os.open(sys.argv[1], os.O_RDWR)
		for i in range(1000):
		    os.posix_fallocate(fd, i % 100 * 4096, 4096)
		end
	pkill -KILL -P "$client"
	wait "$client" 2>/dev/null
	check "the others' bytes" cmp "$dir/random" "$mnt/many.0.0"
	umount_store "$mnt"
	mount_store "$memory" "$mnt"
fi

# The control directory is asked through the same threads.
nothing_waits() { [ "$(grep -c many "$mnt/.pagerfs/inflight")" = 0 ]; }
for ((i = 0; i < 5; i++)); do
	many --rw=randrw --time_based --runtime=20 >/dev/null 2>&1 &
	client=$!
	sleep 0.4
	pkill -KILL -P "$client"
	wait "$client" 2>/dev/null
done
check "nothing is left of killed clients: $(cat "$mnt/.pagerfs/inflight")" \
	wait_for 10 nothing_waits

ended() { ! kill -0 "$store_pid" 2>/dev/null; }
# under_load COMMAND...: the daemon must end, and well
under_load() {
	many --rw=randread --time_based --runtime=20 >/dev/null 2>&1 &
	client=$!
	sleep 0.4
	"$@"
	pkill -KILL -P "$client"
	wait "$client" 2>/dev/null
	check "$*: the daemon ends" wait_for 10 ended
	wait "$store_pid"
	check_equal "$*: and well" 0 $?
}
under_load umount -l "$mnt"
if [ "$(id -u)" = 0 ]; then
	mount_store "$memory" "$mnt"
	under_load abort_connection "$(connection_of "$mnt")"
	umount -l "$mnt" 2>/dev/null
fi
rm -rf "$memory"
finish
