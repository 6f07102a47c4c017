#!/usr/bin/env bash
# What msync returned for is durable: a machine's stores are recorded, and in
# every state that a power cut of the whole host could leave, at each moment,
# the file holds what the program had been told is there. Without waiting for
# msync it does not, which shows that the check can fail.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm	# hundreds of states are built
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 100
need cmp
src=$dir/src mnt=$dir/mnt rec=$dir/rec
export TMPDIR=$dir

# Chunk I of the file becomes bytes I+1; then the line goes to files/log,
# which is on the mount, too, and so in the record, in its place.
# record MSYNC
record() {
	rm -rf "$src" "$rec"
	mkdir -p "$src/files"
	truncate -s 48K "$src/files/data"
	cat >"$dir/write.pvm" <<-END
	proc w
	map w data file files/data shared
	repeat 4 \$i {
		fill w data+\$i*12K 12K \$i+1
		msync w data+\$i*12K 12K $1
		print "synced" \$i
	}
	END
	mount_store "$src" "$mnt" -o record="$rec"
	vm --ram 1M --no-swap "$dir/write.pvm" >"$mnt/files/log" ||
		fail "the program: status $?"
	check_equal "lines" 4 "$(grep -c '^synced' "$src/files/log")"
	umount_store "$mnt"
}

# In a state: all chunks of which the log told are there.
cat >"$dir/check" <<'END'
told=$(grep -cs '^synced' "$PAGERFS_REPLAY_SEEN/files/log")
head -c $((told * 12288)) "$EXPECTED" | cmp -n $((told * 12288)) - files/data
END
for i in 1 2 3 4; do
	bytes 12288 $i
done >"$dir/expected"
export EXPECTED=$dir/expected

record ""
check "msync holds" "$BUILD/pagerfs-replay" each --seen "$rec" \
	"sh $dir/check" && states=$(sed -n 's/ states.*//p' "$guard/out")
check "in many states: $states" [ "${states:-0}" -gt 100 ]
record async
"$BUILD/pagerfs-replay" each --seen --limit 150 "$rec" "sh $dir/check" \
	>"$dir/each"
check_equal "without waiting it does not" 1 $?
finish
