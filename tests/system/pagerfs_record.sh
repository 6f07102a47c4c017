#!/usr/bin/env bash
# -o record=FILE and pagerfs-replay: the record of a load builds the files as
# they are in SOURCE; each fsync's files are there when all else is dropped;
# a planted bug is found, and its cure passes; kill -9, a full disk and a torn
# record lose nothing that was recorded, and say so.
. "$(dirname "$0")/lib.sh"
time_limit 100
need fio fallocate
src=$dir/src mnt=$dir/mnt rec=$dir/rec
replay=$BUILD/pagerfs-replay
export TMPDIR=$dir

# same WHAT A B: names, modes, links, sizes, contents
same() {
	local side
	check "$1" diff -r --no-dereference --exclude=fifo "$2" "$3"
	for side in "$2" "$3"; do
		(cd "$side" && find . -type d -printf '%p %m %u\n' -o \
			-printf '%p %y %m %n %s %u %g %l\n' | sort)
	done >"$dir/lists"
	check_equal "$1: attributes" 0 "$(sort "$dir/lists" | uniq -u | wc -l)"
}

# load: something of everything
load() {
	local job
	for job in 'bs=4k direct=1 ioengine=io_uring iodepth=16 fsync=50' \
		'bsrange=1-9000 bs_unaligned=1 ioengine=psync fdatasync=40' \
		'bs=4k ioengine=mmap fsync=60' \
		'bsrange=512-64k ioengine=io_uring iodepth=8 numjobs=2' \
		'bs=4k ioengine=psync sync=1'; do
		printf '[%s]\nsize=1M\nrw=randwrite\nstonewall\n%s\n' \
			"${job//[^a-z0-9]/}" "${job// /$'\n'}"
	done >"$dir/jobs"
	timeout 60 fio --directory="$mnt" --fallocate=none "$dir/jobs" \
		>"$dir/fio.out" 2>&1 || {
		fail "fio"
		tail -n 5 "$dir/fio.out" >&2
	}
	(
		cd "$mnt" || exit
		cp -r "$here/record" tree
		mv tree moved
		rm moved/*.h
		ln moved/format.c moved/hard
		ln -s nowhere moved/soft
		truncate -s 5000 moved/format.c
		fallocate -p -o 1000 -l 2000 moved/reader.c
		fallocate -z -o 100 -l 1000 moved/reader.c
		fallocate -l 100K big
		echo longer >>moved/writer.c
		chmod 600 moved/writer.c
		mkdir -p deep/er
		mv moved/writer.c deep/er
		cp moved/hard copy
		mkfifo fifo
		echo new >moved/hard
		chmod 2750 deep
		exec 8>gone
		echo a >&8
		rm gone
		echo b >&8
	)
}

mkdir -p "$src/old"
head -c 300000 /dev/urandom >"$src/old/data"
truncate -s 1M "$src/old/data"
ln "$src/old/data" "$src/old/link"
ln -s data "$src/old/soft"
chmod 640 "$src/old/data"
cp -a "$src" "$dir/before"

# ---- a load, its end and its fsyncs ----
mount_store "$src" "$mnt" -o record="$rec"
load
umount_store "$mnt"
check "info" bash -c "'$replay' info '$rec' >'$dir/info'"
check "ended in order" grep -q '^end  *in order' "$dir/info"
check_equal "private" 600 "$(stat -c %a "$rec")"
check "built" "$replay" build "$rec" "$dir/out"
same "the end is what SOURCE is" "$src" "$dir/out"
rm -r "$dir/out"
first=$("$replay" list "$rec" | awk 'NR == 2 { print $1 - 1 }')
check "built at the start" "$replay" build --at "$first" "$rec" "$dir/out"
same "the start is what SOURCE was" "$dir/before" "$dir/out"
rm -r "$dir/out"
check_equal "every operation ended" 0 \
	"$("$replay" list "$rec" | grep -c 'never ended')"
check "refuses a directory with files" bash -c \
	"! '$replay' build '$rec' '$src' 2>/dev/null"

# What is written and fsynced, one file after the other, is there after the
# K-th fsync, whatever else is lost: by --synced-only and at random.
rm "$rec"
rm -r "$src"
mount_store "$src" "$mnt" -o record="$rec"
for i in 1 2 3 4 5; do
	seq $((i * 1000)) >"$mnt/file$i"
	echo unsynced >"$mnt/loose$i"
	sync "$mnt/file$i"
	echo more >>"$mnt/loose$i"
done
umount_store "$mnt"
for k in 1 2 3 4 5; do
	for how in --synced-only '--random 1' '--random 2' '--random 3'; do
		rm -rf "$dir/out"
		# shellcheck disable=SC2086
		check "fsync $k $how" "$replay" build --until-fsync $k $how \
			"$rec" "$dir/out"
		for ((i = 1; i <= k; i++)); do
			check "fsync $k $how: file$i" cmp \
				<(seq $((i * 1000))) "$dir/out/file$i"
		done
	done
done
check "the sixth fsync is refused" bash -c "! '$replay' build --until-fsync 6 \
	'$rec' '$dir/none' 2>'$dir/err'"
check "with the number there is" grep -q 'only 5 fsyncs' "$dir/err"
rm -rf "$dir/out"
"$replay" build --synced-only "$rec" "$dir/out"
check_equal "unsynced and lost" "" "$(cat "$dir/out/loose5" 2>/dev/null)"

# A single write that was asked to be durable is: RWF_DSYNC, past the page cache,
# also where O_DIRECT was taken back (for others the kernel asks for an fsync).
rm -rf "$dir/out" "$rec"
: >"$src/one"
: >"$src/two"
mount_store "$src" "$mnt" -o record="$rec"
check "one durable write" python3 -c "import os, mmap, fcntl
fd = os.open('$mnt/one', os.O_RDWR | os.O_DIRECT)
page = mmap.mmap(-1, 4096)
page[:] = b'z' * 4096
assert os.pwritev(fd, [page], 0, os.RWF_DSYNC) == 4096
assert os.pwritev(fd, [page], 4096, 0) == 4096
fd = os.open('$mnt/two', os.O_RDWR | os.O_DIRECT)
fcntl.fcntl(fd, fcntl.F_SETFL, 0)
assert os.pwritev(fd, [b'z' * 100], 0, os.RWF_DSYNC) == 100"
umount_store "$mnt"
check "built" "$replay" build --synced-only "$rec" "$dir/out"
check_equal "these are there, the other is not" "4096 100" \
	"$(cd "$dir/out" && stat -c %s one two | paste -sd' ')"

# ---- a bug of an application, and its cure ----
# save [sync]: replace the file "config" three times
save() {
	local i
	rm -rf "$rec" "$src"
	mkdir "$src"
	echo version 0 >"$src/config"
	mount_store "$src" "$mnt" -o record="$rec"
	for i in 1 2 3; do
		echo "version $i" >"$mnt/config.tmp"
		[ -z "$1" ] || sync "$mnt/config.tmp"
		mv "$mnt/config.tmp" "$mnt/config"
	done
	umount_store "$mnt"
}
intact='grep -qx "version [0-3]" config'
save ""
"$replay" each "$rec" "$intact" >"$dir/each"
check_equal "the bug is found" 1 $?
failed=$(sed -n 's/.* points, \([0-9]*\) failed/\1/p' "$dir/each")
check "in several states: $failed" [ "$failed" -gt 3 ]
check "the write is named" grep -q 'without 8 write config.tmp' "$dir/each"
# The command which it gives makes a state that fails, alone.
line=$(grep -m 1 'pagerfs-replay build' "$dir/each")
line=${line/DIR/$dir/failing}
check "the given command" bash -c "$line"
check "makes a state" test -e "$dir/failing/config"
check "that fails" bash -c "cd '$dir/failing' && ! $intact"
save sync
check "the cure passes" "$replay" each "$rec" "$intact"
check "strictly, too" "$replay" each --strict "$rec" "$intact"
check_equal "a limit is said" 1 "$("$replay" each --limit 3 "$rec" true |
	grep -c 'limit of 3 states is reached')"
# There are not as many states as that; it ends all the same, and at a limit.
timeout -k 1 20 "$replay" each --randoms 100000000 "$rec" true >"$dir/each"
check_equal "random ones at an end" "0 1" \
	"$? $(grep -c 'random outcomes came to an end' "$dir/each")"
timeout -k 1 20 "$replay" each --randoms 100000000 --limit 12 "$rec" true \
	>"$dir/each"
check_equal "random ones at the limit" "0 1" \
	"$? $(grep -c 'limit of 12 states is reached' "$dir/each")"
# Nobody reads on, or the terminal goes: that ends it, and cleanly.
"$replay" each --show 1000 "$rec" false 2>/dev/null | head -n 1 >"$dir/each"
check "read no further: $(cat "$dir/each")" grep -q '^FAILED' "$dir/each"
"$replay" each "$rec" 'kill -HUP $PPID; sleep 0.1' >"$dir/each"
check_equal "hung up" "2 1" "$? $(grep -c '^interrupted' "$dir/each")"
check_equal "nothing left of it" "" "$(ls -d "$dir"/pagerfs-replay.* \
	2>/dev/null)"
# The command that makes a state is one for a shell, whatever the paths.
cp "$rec" "$dir/rec's"
"$replay" each --show 1 "$dir/rec's" false >"$dir/each"
line=$(grep -m 1 'pagerfs-replay build' "$dir/each")
rm -rf "$dir/failing"
line=${line/ DIR/ $dir/failing}
check "a quote in the path: $line" bash -c "$line"

# What clients had been told is in the other directory.
"$replay" each --seen "$rec" 'test -e "$PAGERFS_REPLAY_SEEN/config" &&
	cmp config "$PAGERFS_REPLAY_SEEN/config"' >"$dir/each"
check_equal "a name is not durable by its rename" 1 $?
check "it is found wherever the check runs" bash -c "cd '$dir' && mkdir -p tmp &&
	TMPDIR=tmp '$replay' each --seen '$rec' \
		'test -e \"\$PAGERFS_REPLAY_SEEN/config\"'"

# Its end was in order, but is cut off.
head -c -1 "$rec" >"$dir/cut"
check "the end is missing: info" bash -c "'$replay' info '$dir/cut' 2>/dev/null |
	grep -q '^end .*but is not here'"

# ---- kill -9 under load ----
rm -rf "$rec" "$src"
mount_store "$src" "$mnt" -o record="$rec"
fio --name=load --directory="$mnt" --size=4M --rw=randwrite --bs=4k \
	--ioengine=psync --fsync=1 --time_based --runtime=20 \
	>/dev/null 2>&1 &
load=$!
(i=0; while echo $i >"$mnt/n$i" && sync "$mnt/n$i"; do
	echo $i >"$dir/told"; i=$((i + 1)); done) 2>/dev/null &
teller=$!
wait_for 10 grep -qs "[1-9][0-9]" "$dir/told"
kill -KILL "$store_pid"
{ wait "$store_pid" $load $teller; } 2>/dev/null
check "info after kill -9" bash -c "'$replay' info '$rec' >'$dir/info'"
check "says so" grep -q '^end  *none: pagerfs was killed' "$dir/info"
rm -rf "$dir/out"
check "synced-only after kill -9" "$replay" build --synced-only "$rec" \
	"$dir/out"
told=$(cat "$dir/told")
for ((i = 0; i <= told; i++)); do
	check_equal "fsynced before the kill: n$i" "$i" "$(cat "$dir/out/n$i")"
done
fusermount3 -u "$mnt"

# ---- torn, and not a record at all ----
size=$(stat -c %s "$rec")
head -c $((size - 7)) "$rec" >"$dir/torn"
check "torn: built" bash -c "'$replay' build '$dir/torn' '$dir/torn.out' \
	2>'$dir/err'"
check "torn: said" grep -q 'ends in the middle: going by those before it' \
	"$dir/err"
check_equal "torn: one line" 1 "$(wc -l <"$dir/err")"
# In the files of the start: no state can be told from it.
head -c 200 "$rec" >"$dir/torn"
"$replay" each "$dir/torn" true >"$dir/each" 2>"$dir/err"
check_equal "torn at the start: each" 2 $?
check "with a reason: $(cat "$dir/err")" grep -q 'nothing can be checked' \
	"$dir/err"
check "torn at the start: info" bash -c "'$replay' info '$dir/torn' \
	2>'$dir/err' && grep -q 'are not all in it: pagerfs' '$dir/err'"
mkfifo "$dir/fifo"
timeout -k 1 5 "$replay" info "$dir/fifo" 2>"$dir/err"
check_equal "a FIFO is refused" 2 $?
check "nonsense is refused" bash -c "! '$replay' info /bin/sh 2>'$dir/err'"
check "with a reason" grep -q 'not a record of pagerfs' "$dir/err"

# ---- a file that may not grow: the record stops and says so ----
rm -rf "$rec" "$src"
mkdir "$src"
(
	ulimit -f 400	# KiB
	exec "$BUILD/pagerfs" -f -o record="$rec" "$src" "$mnt" \
		2>"$dir/full.log"
) &
store_pid=$!
echo "$store_pid" >>"$guard/pids"
wait_for 5 is_mounted "$mnt" || fail "no mount"
guard_mount "$mnt"
for i in 1 2 3 4 5 6; do
	head -c 100000 /dev/zero | tr '\0' "$i" >"$mnt/f$i"
	check_equal "written all the same: f$i" 100000 \
		"$(stat -c %s "$src/f$i")"
done
umount_store "$mnt"
check_equal "one line in the log" 1 "$(wc -l <"$dir/full.log")"
check "that says what" grep -q 'recording stops after record' "$dir/full.log"
rm -rf "$dir/out"
"$replay" build "$rec" "$dir/out" 2>"$dir/err"
check_equal "built" 0 $?
check "called incomplete" grep -q 'incomplete: recording stopped' "$dir/err"
check "up to there" cmp "$dir/out/f1" "$src/f1"
check "and no further" test ! -e "$dir/out/f6"

# ---- without the files of the start ----
rm -rf "$rec" "$src"
cp -a "$dir/before" "$src"
mount_store "$src" "$mnt" -o record="$rec",record_base=no
echo changed | dd of="$mnt/old/data" bs=1 seek=1000 conv=notrunc status=none
fallocate -p -o 8192 -l 4096 "$mnt/old/data"
umount_store "$mnt"
check "smaller than the files" [ "$(stat -c %s "$rec")" -lt 10000 ]
rm -rf "$dir/out"
check "asks for them" bash -c "! '$replay' build '$rec' '$dir/out' \
	2>'$dir/err' && grep -q -e '--base DIR' '$dir/err'"
check "takes them" "$replay" build --base "$dir/before" "$rec" "$dir/out"
same "with --base" "$src" "$dir/out"
echo x >>"$dir/before/old/data"
rm -rf "$dir/out"
check "notices others" bash -c "! '$replay' build --base '$dir/before' \
	'$rec' '$dir/out' 2>'$dir/err'"
check "and says which" grep -q 'old/.*: is not as it was' "$dir/err"
"$replay" each --base "$dir/before" "$rec" true 2>"$dir/err" >&2
check "each, too: $(cat "$dir/err")" \
	grep -q 'old/.*: is not as it was' "$dir/err"

# ---- directories, 300 deep ----
rm -rf "$rec" "$src" "$dir/out"
deep=$(printf 'd/%.0s' {1..300})
mkdir -p "$src/$deep"
echo deep >"$src/${deep}file"
mount_store "$src" "$mnt" -o record="$rec"
umount_store "$mnt"
check "deep: built" "$replay" build "$rec" "$dir/out"
check "deep: whole" cmp "$src/${deep}file" "$dir/out/${deep}file"
rm -rf "$rec" "$dir/out"
mount_store "$src" "$mnt" -o record="$rec",record_base=no
umount_store "$mnt"
check "deep, --base: built" "$replay" build --base "$src" "$rec" "$dir/out"
check "deep, --base: whole" cmp "$src/${deep}file" "$dir/out/${deep}file"
rm -rf "$src/d" "$rec"

# ---- a device of two names, built by who may make none ----
mkdir "$dir/user"
if mknod "$src/null" c 1 3 2>/dev/null && chown 65534:65534 "$dir/user"; then
	rm -rf "$dir/out"
	ln "$src/null" "$src/null2"
	echo beside >"$src/file"
	mount_store "$src" "$mnt" -o record="$rec"
	umount_store "$mnt"
	chmod 755 "$dir" && chmod 644 "$rec"
	install "$replay" "$dir/user/replay"
	as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
	check "device: built" as_nobody "$dir/user/replay" build "$rec" \
		"$dir/user/out"
	cp "$guard/out" "$dir/err"
	check "device: one is left out: $(cat "$dir/err")" \
		grep -q '1 device file' "$dir/err"
	check "device: not its neighbour" cmp "$src/file" "$dir/user/out/file"
	check "device: built by root" "$replay" build "$rec" "$dir/out"
	check_equal "device: with both names" \
		"$(cd "$src" && stat -c '%n %f %t:%T %h' null*)" \
		"$(cd "$dir/out" && stat -c '%n %f %t:%T %h' null*)"
	rm -f "$src"/null* "$src/file" "$rec"
fi

# ---- refused ----
# refuse PATTERN RECORD
refuse() {
	timeout 10 "$BUILD/pagerfs" -o record="$2" "$src" "$mnt" \
		2>"$dir/err" && fail "record=$2: accepted"
	check_equal "record=$2: lines" 1 "$(wc -l <"$dir/err")"
	check "record=$2: $(cat "$dir/err")" grep -q "$1" "$dir/err"
	check "record=$2: no mount" bash -c "! grep -q ' $mnt ' \
		/proc/self/mounts"
}
touch "$rec"
mkdir -p "$src/old"
refuse 'exists: a record is not written over' "$rec"
refuse 'lies in SOURCE' "$src/old/rec"
refuse 'lies in MOUNTPOINT' "$mnt/rec"
refuse 'No such file' "$dir/none/rec"
mkdir "$dir/bound"
if mount --bind "$src/old" "$dir/bound" 2>/dev/null; then
	(ulimit -f 10000; refuse "lies in SOURCE, as 'rec'" "$dir/bound/rec"
		exit $failures)
	failures=$((failures + $?))
	check "bound: nothing is left" test ! -e "$src/old/rec"
	umount "$dir/bound"
fi
# A directory of two names could not be built.
rm -rf "$src/twice" && mkdir "$src/twice"
if mount --bind "$src/old" "$src/twice" 2>/dev/null; then
	refuse "\(old\|twice\)' is there under another name" "$dir/twice"
	check "twice: nothing is left" test ! -e "$dir/twice"
	umount "$src/twice"
fi
rmdir "$src/twice"
head -c 100000 /dev/urandom >"$src/large"
(ulimit -f 10; refuse 'do not fit: make room' "$dir/small"; exit $failures)
failures=$((failures + $?))
check "a refused record is not left" test ! -e "$dir/small"
rm "$src/large"
check "nothing was made" test ! -e "$src/old/rec" -a ! -e "$mnt/rec"
for line in '' 'list' 'build rec' 'burn rec' "info $rec more" \
	"build --at 0 $rec x" "build --synced-only --keep-all $rec x" \
	"build --at 1 --last --until-fsync 2 $rec x" \
	"each --at 1 $rec true" "each --keep-begun $rec true" \
	"each --limit 0 $rec" "build --limit 1 $rec x" "build --seen $rec x" "list --at 1 $rec" \
	"info --strict $rec" "info --show 1 $rec" "list --fly $rec"; do
	# shellcheck disable=SC2086
	"$replay" $line >/dev/null 2>"$dir/err"
	check_equal "usage: $line" 64 $?
	check "usage: $line: by name" bash -c "! grep -q '$replay' '$dir/err'"
done
finish
