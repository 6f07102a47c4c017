#!/usr/bin/env bash
# A thread that is stuck in SOURCE keeps none of the other requests from being
# served, with no -o timeout to help. SOURCE gets stuck on command: it is
# another pagerfs, whose rules freeze it.
. "$(dirname "$0")/lib.sh"
time_limit 120
need_root
src=$dir/src low=$dir/low mnt=$dir/mnt
mkdir -p "$src"
echo text >"$src/f"
echo other >"$src/g"
mount_store "$src" "$low" -o attr_timeout=0,entry_timeout=0
lower=$store_pid
freeze() { cat <<<"$1" >"$low/.pagerfs/rules"; }
thaw() { echo clear >"$low/.pagerfs/ctl"; }
# begin OPTIONS: one seat, so that nobody else takes requests by chance
begin() {
	mount_store "$low" "$mnt" -o "threads=2,attr_timeout=0,entry_timeout=0$1"
	check_equal "served" text "$(cat "$mnt/f")"
}
end() {
	thaw
	wait "$stuck"
	umount_store "$mnt"
}
served() {
	check "$1: others are served" timeout 5 stat "$mnt/g"
	check "$1: and again" timeout 5 stat "$mnt/g"
}

# ---- in a call that a rule put off: the thread waits for requests, too ----
begin
echo 'lookup late delay=50ms' >"$mnt/.pagerfs/rules"
freeze 'lookup late freeze'
timeout 30 stat "$mnt/late" >/dev/null 2>&1 &
stuck=$!
sleep 0.5
served "a call put off"
end

# ---- in reading, and in asking how long the file is ----
begin ,attr_timeout=60
exec 3<"$mnt/f"
stat "$mnt/f" >/dev/null
freeze 'getattr f freeze'
timeout 30 dd bs=4k <&3 >/dev/null 2>&1 &
stuck=$!
exec 3<&-
sleep 0.5
served "a read"
check "it is stuck" kill -0 "$stuck"
end

# ---- in asking where a file has holes, for a quota ----
begin
echo 'write f quota=1M' >"$mnt/.pagerfs/rules"
freeze 'lseek f freeze'
timeout 30 dd if=/dev/zero of="$mnt/f" bs=4k count=1 conv=notrunc status=none &
stuck=$!
wait_for 10 grep -q ' lseek ' "$low/.pagerfs/inflight" || fail "nothing hangs"
served "a quota"
check "a quota: the rules can be read" timeout 5 cat "$mnt/.pagerfs/rules"
check "a quota: and taken back" timeout 5 \
	bash -c "echo clear >'$mnt/.pagerfs/ctl'"
check "a quota: it is stuck" kill -0 "$stuck"
end
echo text >"$src/f"

# ---- in a file that has held writes, with others waiting for it ----
begin
echo 'write f hold' >"$mnt/.pagerfs/rules"
dd if=/dev/zero of="$mnt/f" bs=4k count=1 conv=notrunc status=none
freeze 'read f freeze'
for i in 1 2 3 4; do
	timeout 30 dd if="$mnt/f" of=/dev/null bs=8k count=1 iflag=direct \
		status=none &
	late[i]=$!
done
stuck=${late[1]}
wait_for 10 grep -q ' read ' "$low/.pagerfs/inflight" || fail "nothing hangs"
sleep 0.5
served "a held file"
check "a held file: it is stuck" kill -0 "$stuck"
echo drop >"$mnt/.pagerfs/ctl" &
dropped=$!
thaw
wait "$dropped" "${late[@]:1:4}"
umount_store "$mnt"
echo text >"$src/f"

# ---- in writing what was held, because the rules are emptied ----
begin
echo 'write f hold' >"$mnt/.pagerfs/rules"
dd if=/dev/zero of="$mnt/f" bs=4k count=1 conv=notrunc status=none
freeze 'write f freeze'
: >"$mnt/.pagerfs/rules"
stuck=
wait_for 10 grep -q ' write ' "$low/.pagerfs/inflight" || fail "nothing hangs"
served "rules emptied"
thaw
wait_for 5 cmp -s -n 4096 "$src/f" /dev/zero || fail "rules emptied: not written"
umount_store "$mnt"
echo text >"$src/f"

# ---- in asking where an append will go, for a record ----
begin ",attr_timeout=60,record=$dir/record"
exec 3>>"$mnt/f"
stat "$mnt/f" >/dev/null
freeze 'getattr f freeze'
timeout 30 dd bs=4k >&3 <<<more status=none &
stuck=$!
exec 3>&-
wait_for 10 grep -q ' getattr ' "$low/.pagerfs/inflight" || fail "nothing hangs"
served "an append while it is recorded"
check "an append: it is stuck" kill -0 "$stuck"
end
echo text >"$src/f"

# ---- in more fsyncs than the ring has threads by default, of one thread ----
mount_store "$low" "$mnt" -o threads=1,attr_timeout=0,entry_timeout=0
n=$(($(getconf _NPROCESSORS_ONLN) * 4 + 4))
freeze 'fsync late* freeze'
late=()
for ((i = 0; i < n; i++)); do
	timeout 30 dd if=/dev/zero of="$mnt/late$i" bs=4k count=1 conv=fsync \
		status=none &
	late[i]=$!
done
hang() { [ "$(grep -c ' fsync ' "$low/.pagerfs/inflight")" = $n ]; }
wait_for 10 hang || fail "$n fsyncs: $(grep -c ' fsync ' \
	"$low/.pagerfs/inflight") hang"
check "$n fsyncs: another is done" timeout 5 sync "$mnt/g"
check "$n fsyncs: and fallocate" timeout 5 fallocate -n -l 8k "$mnt/g"
thaw
wait "${late[@]}"
check_equal "$n fsyncs: all of them in the end" 0 $?
umount_store "$mnt"
rm -f "$src"/late*

# ---- not stuck, but bad in the middle: the file does not end there ----
head -c 256K /dev/urandom >"$src/bad"
for more in '' ,writeback ,kernel_cache; do
	begin "$more"
	freeze 'read bad at=64K..65K error=EIO'
	cat "$mnt/bad" >"$dir/read" 2>"$dir/said" && fail "bad$more: no error"
	check "bad$more: said" grep -q 'Input/output error' "$dir/said"
	check_equal "bad$more: what is before it" 65536 \
		"$(stat -c %s "$dir/read")"
	check "bad$more: the bytes" cmp -n 65536 "$src/bad" "$dir/read"
	check_equal "bad$more: its size" 262144 "$(stat -c %s "$mnt/bad")"
	check "bad$more: behind it" cmp -i 69632 "$src/bad" "$mnt/bad"
	thaw
	check "bad$more: mended" cmp "$src/bad" "$mnt/bad"
	umount_store "$mnt"
done

# ---- in opening a file that is being read, by more clients than threads ----
begin
freeze 'read f freeze
open late* freeze'
for i in {1..9}; do
	echo >"$src/late$i"
	(timeout 30 cat "$mnt/f" "$mnt/late$i" >/dev/null 2>&1) &
	late[i]=$!
done
for i in {11..19}; do
	echo >"$src/late$i"
	timeout 30 cat "$mnt/late$i" >/dev/null 2>&1 &
	late[i]=$!
done
served "more calls than threads"
check "they are in its table" [ "$(grep -c ' served ' \
	"$mnt/.pagerfs/inflight")" -ge 10 ]
thaw
wait "${late[@]}"
umount_store "$mnt"

# ---- when it is told to end: what has been asked is done before ----
mount_store "$low" "$mnt" -o threads=1,attr_timeout=0,entry_timeout=0
freeze 'lookup late freeze'
(
	cd "$mnt" || exit
	timeout 30 stat late >/dev/null 2>&1 &
	wait_for 5 grep -q ' lookup ' "$low/.pagerfs/inflight"
	kill -TERM "$store_pid"
	timeout 20 cat g >"$dir/read" 2>&1
)
check_equal "asked at the end" other "$(cat "$dir/read")"
thaw
wait "$store_pid"
check_equal "asked at the end: status" 0 $?

# ---- in more calls than there can ever be threads: it goes on after them ----
mount_store "$low" "$mnt" -o threads=1,attr_timeout=0,entry_timeout=0
freeze 'lookup late* freeze'
late=()
for i in {1..40}; do
	timeout 30 stat "$mnt/late$i" >/dev/null 2>&1 &
	late[i]=$!
done
hang() { [ "$(grep -c ' lookup ' "$low/.pagerfs/inflight")" = 33 ]; }
wait_for 15 hang || fail "not all 33 threads are stuck"
sleep 1
check "all threads stuck: the daemon is there" kill -0 "$store_pid"
thaw
wait "${late[@]}"
served "all threads were stuck"
umount_store "$mnt"

# ---- in reads that fill all slots of a thread (128), of two, of four ----
reads() { grep -c ' read ' "$1/.pagerfs/inflight"; }
many() {
	hang() { [ "$(reads "$low")" = "$1" ]; }
	fio --name=many --filename="$mnt/h" --rw=randread --bs=4k --size=8M \
		--ioengine=io_uring --direct=1 --iodepth=$(($1 / 4)) \
		--numjobs=4 >"$dir/fio" 2>&1 &
	stuck=$!
	wait_for 20 hang "$1" || fail "only $(reads "$low") reads hang"
	served "$1 reads"
	check_equal "$1 reads: shown" "$1" "$(reads "$mnt")"
	thaw
	wait "$stuck"
	check_equal "$1 reads: all of them in the end" 0 $?
	umount_store "$mnt"
}
if command -v fio >/dev/null; then
	truncate -s 8M "$src/h"
	for n in 256 512; do
		begin
		freeze 'read h freeze'
		many $n
	done
fi

# ---- in names of another file system below, by a thread that has reads in
# flight: they are answered, and those kept back go on. (The rule sees to it that
# some always are.) ----
both=$dir/both deep=$dir/deep
mkdir -p "$deep/sub"
touch "$deep/sub/"{free,late}{1..6}
mount_store "$deep" "$both/sub" -o attr_timeout=0,entry_timeout=0
deeper=$store_pid
head -c 4M /dev/urandom >"$both/h"
deep_hang() { [ "$(grep -c ' lookup ' "$both/sub/.pagerfs/inflight")" = 4 ]; }
if command -v fio >/dev/null; then
	mount_store "$both" "$mnt" \
		-o threads=2,attr_timeout=0,entry_timeout=0,timeout=30
	check "below" timeout 5 stat "$mnt/sub/sub/free1"
	echo 'read h delay=5ms' >"$mnt/.pagerfs/rules"
	echo 'lookup late* freeze' >"$both/sub/.pagerfs/rules"
	fio --name=reads --filename="$mnt/h" --rw=randread --bs=4k --direct=1 \
		--ioengine=io_uring --iodepth=16 --time_based --runtime=2 \
		--readonly --output-format=terse --output="$dir/fio" &
	reads=$!
	sleep 0.5
	late=()
	for i in 1 2 3 4; do
		timeout 30 stat "$mnt/sub/sub/late$i" >/dev/null 2>&1 &
		late[i]=$!
	done
	wait_for 10 deep_hang || fail "names below: not all of them hang"
	check "names below: others there" timeout 5 stat "$mnt/sub/sub/free2"
	check "names below: and elsewhere" timeout 5 ls "$mnt"
	ended() { ! kill -0 "$reads" 2>/dev/null; }
	wait_for 10 ended || fail "names below: reads of another file hang"
	echo clear >"$both/sub/.pagerfs/ctl"
	wait "$reads"
	check_equal "names below: the reads" 0 $?
	wait "${late[@]}"
	check_equal "names below: all of them in the end" 0 $?
	umount_store "$mnt"
fi
store_pid=$deeper
umount_store "$both/sub"

# ---- in forgetting: closing the last descriptor of a file may take long ----
if command -v strace >/dev/null; then
	begin
	stat "$mnt/f" >/dev/null
	strace -qq -f -p "$store_pid" -P "$low/f" -e trace=close \
		-e inject=close:delay_enter=4000000 -o "$dir/trace" &
	tracer=$!
	sleep 0.7
	mount -i -o remount,rw "$mnt"
	check "forgetting: others are served" timeout 2 stat "$mnt/g"
	check "forgetting: a file is closed" grep -q close "$dir/trace"
	kill "$tracer"
	wait "$tracer"
	umount_store "$mnt"
fi

store_pid=$lower
umount_store "$low"
finish
