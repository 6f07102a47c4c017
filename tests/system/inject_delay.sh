#!/usr/bin/env bash
# Delays and freezes: as long as they say, for those they name, while all
# others go on; a thaw, an interrupt, an unmount and a signal end them.
. "$(dirname "$0")/lib.sh"
time_limit 60
need_root
need fio
src=$dir/src mnt=$dir/mnt
. "$here/tests/lib/inject.sh"
mkdir -p "$src"
need "$io"
head -c 1048576 /dev/zero | tr '\0' A >"$src/f"
cp "$src/f" "$src/g"
mount_store "$src" "$mnt" -o seed=3

ctl() { cat <<<"$1" >"$mnt/.pagerfs/ctl"; }
now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }
waiting() { awk '$2 == "waiting"' "$mnt/.pagerfs/inflight" | wc -l; }
# took LEAST MOST WHAT...: in ms
took() {
	local least=$1 most=$2 start end
	shift 2
	start=$(now_ms)
	"$@" >"$dir/out" 2>&1
	end=$(now_ms)
	check "$*: $((end - start)) ms, of $least to $most" \
		[ $((end - start)) -ge "$least" -a $((end - start)) -le "$most" ]
}

# ---- fixed, for one file, while the other is served ----
rules 'write+fsync f delay=300ms'
took 600 3000 "$io" open "$mnt/f" write 0 100 66 fsync
took 0 550 "$io" open "$mnt/g" write 0 100 66 fsync
"$io" -t open "$mnt/f" write 0 100 67 >"$dir/delayed" &
delayed=$!
count=0
while kill -0 $delayed 2>/dev/null; do
	"$io" open "$mnt/g" write 0 100 68 fsync >/dev/null
	count=$((count + 1))
done
check "others go on meanwhile: $count times" [ $count -ge 3 ]
wait $delayed
check "$(tail -n 1 "$dir/delayed")" awk '$1 == "write" { exit !($3 >= 300000 &&
	$3 < 3000000) }' "$dir/delayed"
# ---- uniform and long tail: what the clients measure ----
rules 'read f delay=2ms..10ms'
for i in {1..60}; do words+=" read 0 512"; done
# shellcheck disable=SC2086
"$io" -d -t open "$mnt/f" $words | awk '$1 == "read" { print $4 }' | sort -n \
	>"$dir/times"
check "at least 2 ms: $(head -n 1 "$dir/times")" \
	[ "$(head -n 1 "$dir/times")" -ge 2000 ]
check "the middle is near 6 ms: $(sed -n 30p "$dir/times")" \
	[ "$(sed -n 30p "$dir/times")" -ge 4000 -a "$(sed -n 30p "$dir/times")" -le 15000 ]
rules 'read f tail=500us..200ms'
# shellcheck disable=SC2086
"$io" -d -t open "$mnt/f" $words | awk '$1 == "read" { print $4 }' | sort -n \
	>"$dir/times"
check "half within twice the least: $(sed -n 30p "$dir/times")" \
	[ "$(sed -n 30p "$dir/times")" -ge 900 -a "$(sed -n 30p "$dir/times")" -le 5000 ]
check "the longest is far out: $(tail -n 1 "$dir/times")" \
	[ "$(tail -n 1 "$dir/times")" -ge 5000 ]
# ---- many at once are delayed together, not one after another ----
rules 'read f delay=200ms'
took 200 3000 fio --name=many --filename="$mnt/f" --rw=randread --bs=4k \
	--size=1M --ioengine=io_uring --direct=1 --iodepth=256 --io_size=1M
check_equal "each of them" "matched 256, acted 256" \
	"$(grep -o 'matched.*' "$rules")"

# ---- freeze: for good, until thaw ----
rules 'write f freeze'
"$io" open "$mnt/f" write 0 10 70 >"$dir/frozen" &
frozen=$!
wait_for 5 eval '[ "$(waiting)" = 1 ]'
sleep 0.3
check "frozen" kill -0 $frozen
check_equal "nothing is written" 0 "$(head -c 10 "$src/f" | tr -dc F | wc -c)"
check "shown: $(tail -n 1 "$mnt/.pagerfs/inflight")" awk '$2 == "waiting" &&
	$3 == "write" && $4 == '$frozen' && $1 >= 300000 && $5 == 0 &&
	$6 == 10 && $7 == "f" { n++ } END { exit n != 1 }' \
	"$mnt/.pagerfs/inflight"
# (Opening it again would wait: the kernel then drops its cached pages.)
took 0 2000 stat "$mnt/f"
took 0 2000 "$io" open "$mnt/g" read 0 10 write 0 10 65
ctl thaw
wait_for 2 bash -c "! kill -0 $frozen 2>/dev/null" || fail "thaw frees nobody"
check_equal "and it is done" "open 0;write 10" "$(paste -sd';' "$dir/frozen")"
check_equal "real file" 10 "$(head -c 10 "$src/f" | tr -dc F | wc -c)"
check_equal "the rule is gone" 1 "$(wc -l <"$rules")"
# ---- by many rules: until the last of them is gone ----
rules "$(for i in 1 2 3 4 5 6; do echo 'write f freeze'; done)"
"$io" open "$mnt/f" write 0 10 70 >/dev/null &
frozen=$!
wait_for 5 eval '[ "$(waiting)" = 1 ]'
for i in 1 2 3 4 5; do ctl "remove $i"; done
# one that was not there then takes their place, and means nothing to it
echo 'write f freeze' >>"$rules"
sleep 0.3
check "frozen by the sixth" kill -0 $frozen
ctl 'remove 6'
wait_for 2 bash -c "! kill -0 $frozen 2>/dev/null" ||
	fail "the last one's end frees nobody"
ctl thaw
# ---- for a time ----
rules 'write f to=400ms freeze'
took 350 3000 "$io" open "$mnt/f" write 0 10 71
# ---- taken back by setting other rules ----
rules 'write f freeze'
"$io" open "$mnt/f" write 0 10 72 >"$dir/frozen" &
frozen=$!
wait_for 5 eval '[ "$(waiting)" = 1 ]'
rules 'read f freeze'
wait_for 2 bash -c "! kill -0 $frozen 2>/dev/null" ||
	fail "another set of rules does not thaw"
# ---- everything is frozen, more than there are slots; control still works ----
rules 'data * freeze'
fio --name=many --filename="$mnt/f" --rw=randread --bs=4k --size=1M \
	--ioengine=io_uring --direct=1 --iodepth=256 --io_size=1M \
	--numjobs=3 >"$dir/fio" 2>&1 &
many=$!
wait_for 10 eval '[ "$(waiting)" -ge 500 ]' ||
	fail "only $(waiting) requests are frozen"
took 0 2000 cat "$mnt/.pagerfs/stats"
took 0 2000 ls "$mnt"
ctl thaw
wait_for 10 bash -c "! kill -0 $many 2>/dev/null" || fail "fio hangs"
wait $many
check_equal "fio" 0 $?
rules 'all * freeze'
(stat "$mnt/never" >"$dir/stat" 2>&1) &
stat=$!
wait_for 5 eval '[ "$(waiting)" -ge 1 ]' || fail "stat is not frozen"
took 0 2000 cat "$mnt/.pagerfs/inodes"
ctl clear
wait_for 2 bash -c "! kill -0 $stat 2>/dev/null" || fail "stat hangs"
# ---- a client that is killed need not wait (where the kernel lets it), not
# even for a delay that outlasts its rule ----
rules 'write g delay=20s'
"$io" open "$mnt/g" write 0 512 73 >/dev/null &
delayed=$!
wait_for 5 eval '[ "$(waiting)" = 1 ]'
ctl clear
kill -KILL $delayed
wait_for 2 bash -c "! kill -0 $delayed 2>/dev/null" ||
	fail "a killed client waits for a delay whose rule is gone"
{ wait $delayed; } 2>/dev/null
check_equal "and nothing is done" 0 \
	"$(head -c 512 "$src/g" | tr -dc I | wc -c)"
rules 'write f freeze'
"$io" open "$mnt/f" write 0 512 73 >/dev/null &
frozen=$!
wait_for 5 eval '[ "$(waiting)" = 1 ]'
kill -KILL $frozen
wait_for 2 bash -c "! kill -0 $frozen 2>/dev/null" ||
	fail "a killed client waits for the thaw"
{ wait $frozen; } 2>/dev/null
check_equal "and nothing is done" 0 \
	"$(head -c 512 "$src/f" | tr -dc I | wc -c)"
# ---- SIGTERM ends the daemon, and what is frozen is done before ----
"$io" open "$mnt/f" write 0 10 74 >"$dir/frozen" &
wait_for 5 eval '[ "$(waiting)" = 1 ]'
kill -TERM "$store_pid"
took 0 4000 wait "$store_pid"
check_equal "what was frozen" "open 0;write 10" "$(paste -sd';' "$dir/frozen")"
# ---- a lazy unmount while a delay is pending; kill -9 while frozen ----
mount_store "$src" "$mnt" -o 'inject=write f delay=60s'
"$io" open "$mnt/f" write 0 10 75 >"$dir/frozen" 2>&1 &
frozen=$!
wait_for 5 eval '[ "$(waiting)" = 1 ]'
connection=$(connection_of "$mnt")
umount -l "$mnt"
abort_connection "$connection"
took 0 2000 wait "$store_pid"
wait_for 2 bash -c "! kill -0 $frozen 2>/dev/null" || fail "client hangs"
mount_store "$src" "$mnt" -o 'inject=write f freeze'
"$io" open "$mnt/f" write 0 10 75 >"$dir/frozen" 2>&1 &
frozen=$!
wait_for 5 eval '[ "$(waiting)" = 1 ]'
kill -KILL "$store_pid"
{ wait "$store_pid"; } 2>/dev/null
wait_for 2 bash -c "! kill -0 $frozen 2>/dev/null" || fail "client hangs"
fusermount3 -u "$mnt"
finish
