#!/usr/bin/env bash
# Held writes: what is acknowledged is seen by every reader and is in the real
# file with fsync, and not before; reordered writes; the power cut. Random
# operations over all of it, against an array.
. "$(dirname "$0")/lib.sh"
time_limit 100
need cmp dd tar
src=$dir/src mnt=$dir/mnt
. "$here/tests/lib/inject.sh"
mkdir -p "$src"
random=$BUILD/tests/fs/tool_random
need "$io" "$random"

ctl() {
	cat <<<"$1" >"$mnt/.pagerfs/ctl" ||
		fail "refused: $1: $(cat "$mnt/.pagerfs/ctl")"
}
held() { awk '$1 == "pagerfs_held_bytes" { print $2 }' \
	"$mnt/.pagerfs/stats"; }
bytes() { head -c "$1" /dev/zero | tr '\0' "$2"; }

mount_store "$src" "$mnt" -o seed=3,attr_timeout=0,entry_timeout=0
bytes 8192 A >"$src/f"
rules 'write f hold'
# ---- seen by readers, also new ones, direct ones and mappings; not there ----
io "held" "open $mnt/f write 4096 8192 66 count 0 99999 66 size" \
	"open 0;write 8192;count 8192;size 12288"
check_equal "real file" "8192x41" "$(real f 0 99999)"
io "O_DIRECT" "-d open $mnt/f count 4096 8192 66" "open 0;count 8192"
check_equal "stat" 12288 "$(stat -c %s "$mnt/f")"
check_equal "cat" "4096 8192" "$(cat "$mnt/f" | tr -dc A | wc -c) $(
	cat "$mnt/f" | tr -dc B | wc -c)"
check_equal "bytes held" 8192 "$(held)"
io "close is no fsync" "open $mnt/f close" "open 0;close 0"
mv "$mnt/f" "$mnt/g"
io "after a rename" "open $mnt/g count 0 99999 66" "open 0;count 8192"
check_equal "real file" "8192x41" "$(real g 0 99999)"
mv "$mnt/g" "$mnt/f"
# ---- written over, beyond the end, appended; what is between is zero ----
io "over it" "open $mnt/f write 5000 10 67 count 0 99999 66" \
	"open 0;write 10;count 8182"
io "a hole" "open $mnt/f write 20000 1 68 size count 12288 99999 0" \
	"open 0;write 1;size 20001;count 7712"
io "append" "-a open $mnt/f append 5 69 size count 20001 99 69" \
	"open 0;append 5;size 20006;count 5"
io "lseek" "open $mnt/f data 100 hole 100 data 20006" \
	"open 0;data 100;hole 20006;data ENXIO"
touch -d '2001-02-03 04:05' "$mnt/f"
io "and the time" "open $mnt/f write 20001 5 69" "open 0;write 5"
check "changes: $(stat -c %y "$mnt/f")" [ "$(stat -c %Y "$mnt/f")" -gt 1700000000 ]
# ---- fsync: all of the file, and then nothing is held ----
touch "$src/other"
rules 'write * hold'
io "another file" "open $mnt/other write 0 3 70" "open 0;write 3"
io "fsync" "open $mnt/f fsync" "open 0;fsync 0"
check_equal "real file" "4096x41 904x42 10x43 7278x42 7712x00 1x44 5x45" \
	"$(real f 0 99999)"
check_equal "the other's not" "3 0" "$(held) $(stat -c %s "$src/other")"
# ---- truncation, holes, removal ----
io "truncated" "open $mnt/other write 0 9000 71 truncate 5000 size \
truncate 9000 count 0 9999 71 count 0 9999 0" \
	"open 0;write 9000;truncate 0;size 5000;truncate 0;count 5000;count 4000"
io "punched" "open $mnt/other write 0 9000 72 punch 0 4096 punch 8192 4096 \
size count 0 9999 72" "open 0;write 9000;punch 0;punch 0;size 9000;count 4096"
io "fsync" "open $mnt/other fsync" "open 0;fsync 0"
check_equal "real file" "4096x00 4096x48 808x00" "$(real other 0 99999)"
io "held again" "open $mnt/other write 0 100 73" "open 0;write 100"
bytes 50 K >"$mnt/other"	# opened with O_TRUNC
check_equal "only what came after" "50 50" "$(held) $(wc -c <"$mnt/other")"
rm "$mnt/other"
check_equal "gone with its file" 0 "$(held)"
# ---- who asked not to extend the file does not, by a held write either ----
head -c 4096 /dev/zero >"$src/small"
io "not extended" "open $mnt/small nogrow write 0 4096 80 write 4095 2 81 \
size" "open 0;nogrow 0;write 4096;write EFBIG;size 4096"
rm "$mnt/small"
# ---- O_SYNC writes are no held ones ----
io "O_DSYNC" "-s open $mnt/f write 0 512 74" "open 0;write 512"
check_equal "real file" "512x4a" "$(real f 0 512)"
# ---- nor are torn ones: what arrives of them is in the file ----
rules 'write f hold'
io "held" "open $mnt/f write 0 512 74" "open 0;write 512"
rules 'write f hold
write f torn=3'
io "torn" "open $mnt/f write 0 4096 73 count 0 4096 73" \
	"open 0;write EIO;count 1536"
ctl drop
check_equal "of this, and nothing else" "1536x49" "$(real f 0 1536)"
io "seen" "open $mnt/f count 0 4096 73" "open 0;count 1536"
rules 'write * hold'
# ---- copies take it along ----
io "held" "open $mnt/f write 0 512 75" "open 0;write 512"
check "copy" cp --reflink=never "$mnt/f" "$mnt/copy"
check_equal "the copy" 512 "$(head -c 512 "$mnt/copy" | tr -dc K | wc -c)"
# and are held themselves, under a rule that only may cut, too
for rule in 'write * hold' 'mkdir now cut'; do
	rm -f "$mnt/copy"
	rules "$rule"
	ctl drop
	io "held" "-c open $mnt/copy from $mnt/f copy 0 0 4096 copy 0 4096 512 size" \
		"open 0;from 0;copy 4096;copy 512;size 4608"
	check_equal "$rule: the copy" "0 4608" \
		"$(stat -c %s "$src/copy") $(held)"
done
rm "$mnt/copy"
rules 'write * hold'
io "held" "open $mnt/f write 0 512 75" "open 0;write 512"
bytes 9000 L >"$mnt/new"
check_equal "held, and not without blocks" "0 18" \
	"$(stat -c %b "$src/new") $(stat -c %b "$mnt/new")"
check "an archive that leaves out holes" bash -c \
	"tar -C '$mnt' -cSf - new | tar -C '$dir' -xf - && cmp '$mnt/new' '$dir/new'"
rm "$mnt/new"
# ---- drop, flush, and no rule any more ----
io "held" "open $mnt/f write 0 512 76" "open 0;write 512"
ctl drop
check_equal "nothing held" 0 "$(held)"
io "as never written" "open $mnt/f count 0 512 76" "open 0;count 0"
io "held" "open $mnt/f write 0 512 77" "open 0;write 512"
ctl flush
check_equal "real file" "0 512x4d" "$(held) $(real f 0 512)"
io "held" "open $mnt/f write 0 512 78" "open 0;write 512"
rules ''
check_equal "without rules nothing is held" "0 512x4e" "$(held) $(real f 0 512)"
# one that was to be held, and comes when the rule has gone
rules 'write f delay=500ms
write f hold'
"$io" open "$mnt/f" write 0 512 79 >/dev/null &
late=$!
sleep 0.2
ctl clear
wait $late
check_equal "nor what comes late" "0 512x4f" "$(held) $(real f 0 512)"
# ---- reorder: as many are kept, the others are written in another order ----
rm -f "$src/f"
truncate -s 4M "$src/f"
rules 'write f reorder=16'
for i in {0..39}; do words+=" write $((i * 65536)) 512 65"; done
# shellcheck disable=SC2086
"$io" open "$mnt/f" $words >/dev/null
check_equal "16 are kept" $((16 * 512)) "$(held)"
order=
for i in {0..39}; do
	[ "$(real f $((i * 65536)) 1)" = 1x41 ] && order+=" $i"
done
check_equal "24 are written" 24 "$(wc -w <<<"$order")"
[ "$order" != " $(seq -s' ' 0 23)" ] || fail "not reordered:$order"
io "all are seen" "open $mnt/f count 0 4194304 65 fsync" \
	"open 0;count 20480;fsync 0"
check_equal "with fsync all are written" 20480 "$(tr -dc A <"$src/f" | wc -c)"
# ---- a clean end is no power cut ----
rules 'write * hold'
io "held" "open $mnt/f write 0 512 66" "open 0;write 512"
umount_store "$mnt"
check_equal "real file" "512x42" "$(real f 0 512)"
# ---- kill -9 is one ----
mount_store "$src" "$mnt" -o 'inject=write * hold'
io "held" "open $mnt/f write 0 512 67 write 512 512 68 fsync \
write 0 512 69" "open 0;write 512;write 512;fsync 0;write 512"
kill -KILL "$store_pid"
{ wait "$store_pid"; } 2>/dev/null
check_equal "what was synced" "512x43 512x44" "$(real f 0 1024)"
fusermount3 -u "$mnt"

# ---- the power cut: on a request, by the command, wholly or in part ----
# cut MOUNT-OPTION COMMAND: mount, write, cut; sets $kept
cut() {
	rm -f "$src"/*
	mount_store "$src" "$mnt" -o "$1"
	bytes 51200 A >"$mnt/synced"
	"$io" open "$mnt/synced" fsync >/dev/null
	bytes 512000 B >"$mnt/not"
	eval "$2"
	wait_for 5 bash -c "! grep -q ' $mnt ' /proc/self/mounts" ||
		fail "$1: the mount is still there"
	wait "$store_pid"
	check_equal "$1: status" 0 $?
	check_equal "$1: what was synced is there" 51200 \
		"$(tr -dc A <"$src/synced" | wc -c)"
	kept=$(tr -dc B <"$src/not" | wc -c)
	check_equal "$1: the rest is zero" 0 "$(tr -d 'B\0' <"$src/not" | wc -c)"
}
cut 'inject=mkdir now cut' "mkdir '$mnt/now' 2>'$dir/err'"
check_equal "nothing of it" 0 "$kept"
check "its client: $(cat "$dir/err")" grep -q 'Input/output' "$dir/err"
check "it was not done" [ ! -e "$src/now" ]
check "said" grep -q 'power cut: of 512000 bytes not synced, 0 reached' \
	"$dir/store.log"
cut 'inject=mkdir now cut=50%,seed=8' "mkdir '$mnt/now' 2>/dev/null"
check "about half of it: $kept" [ "$kept" -gt 220000 -a "$kept" -lt 290000 ]
check_equal "whole sectors" 0 $((kept % 512))
sum=$(md5sum <"$src/not") first=$kept
cut 'inject=mkdir now cut=50%,seed=8' "mkdir '$mnt/now' 2>/dev/null"
check_equal "the same seed, the same half" "$first $sum" \
	"$kept $(md5sum <"$src/not")"
cut 'inject=write * hold' "cat <<<'cut 10%' >'$mnt/.pagerfs/ctl'"
check "a tenth: $kept" [ "$kept" -gt 30000 -a "$kept" -lt 75000 ]
# with a client that has it open and goes on
cut 'inject=mkdir now cut' "(cd '$mnt'; exec 7>>not; mkdir now; echo >&7;
	echo status \$?) >'$dir/err' 2>/dev/null"
check_equal "a later write" "status 1" "$(cat "$dir/err")"

# a sector of several writes survives as a whole, or not at all
seen=
for seed in 1 2 3 4 5 6 7 8; do
	rm -f "$src"/*
	mount_store "$src" "$mnt" -o "inject=mkdir now cut=50%,seed=$seed"
	bytes 512 A >"$mnt/f"
	"$io" open "$mnt/f" fsync write 0 100 66 write 100 100 67 \
		write 200 312 68 >/dev/null
	mkdir "$mnt/now" 2>/dev/null
	wait "$store_pid"
	seen+="$(real f 0 512);"
done
check_equal "of a sector" "100x42 100x43 312x44;512x41" \
	"$(tr ';' '\n' <<<"${seen%;}" | sort -u | paste -sd';')"

# with an fsync on its way: it must not say that it was done
rm -f "$src"/*
mount_store "$src" "$dir/slow" -o 'inject=fsync f delay=300ms'
mount_store "$dir/slow" "$mnt" -o 'inject=write f hold'
"$io" -c open "$mnt/f" write 0 512 65 fsync >"$dir/synced" &
client=$!
sleep 0.1
echo cut >"$mnt/.pagerfs/ctl"
wait $client
check_equal "an fsync across the cut" "open 0;write 512;fsync EIO" \
	"$(sed 's/ *$//' "$dir/synced" | paste -sd';')"
wait "$store_pid"
umount "$dir/slow"

# ---- a file that the daemon may not open so is not held, which is said ----
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	rm -f "$src"/*
	: >"$dir/store.log"
	weak="setpriv --inh-caps=-dac_override,-dac_read_search \
		--bounding-set=-dac_override,-dac_read_search"
	$weak "$BUILD/pagerfs" -f -o 'inject=write * hold' "$src" "$mnt" \
		2>>"$dir/store.log" &
	store_pid=$!
	echo "$store_pid" >>"$guard/pids"
	wait_for 5 is_mounted "$mnt" || fail "no mount"
	guard_mount "$mnt"
	(umask 222; echo 1 >"$mnt/one"; echo 2 >"$mnt/two")
	echo 3 >"$mnt/held"
	check_equal "those written, that held" "2 2 0" "$(cd "$src" &&
		stat -c %s one two held | paste -sd' ')"
	check_equal "said once" 1 \
		"$(grep -c 'Permission denied.*are not held' "$dir/store.log")"
	umount_store "$mnt"
fi

# ---- all of it at random, against an array ----
mount_store "$src" "$mnt"
for rule in 'write * hold' 'write * reorder=8' 'write * p=1/2 hold' \
	'write * p=1/3 reorder=20
all * p=1/4 delay=0..200us' 'all * delay=0..50us'; do
	rules "$rule"
	for seed in 1 2; do
		check "$rule" timeout 60 "$random" "$mnt/x$seed" $seed 3000 \
			"$src/x$seed"
	done
	check "acted: $(sed -n 2p "$rules")" bash -c \
		"grep -Eq '# 1: .* acted [0-9]{3}' '$rules'"
done
# with many files, and rules that come and go meanwhile
for seed in 3 4 5; do
	timeout 60 "$random" "$mnt/x$seed" $seed 6000 >"$dir/fsx$seed" 2>&1 &
	jobs+=" $!"
done
for i in {1..30}; do
	rules 'write * hold'
	sleep 0.02
	rules "write * reorder=$i"
	sleep 0.02
	ctl clear
	sleep 0.01
done
for job in $jobs; do
	wait "$job" || fail "rules that come and go: $(cat "$dir"/fsx*)"
done
ctl clear
check_equal "nothing is left" 0 "$(held)"
umount_store "$mnt"

# ---- removed in SOURCE, open for a client, and known by its handle only ----
if [ "$(id -u)" = 0 ]; then
	bytes 4096 A >"$src/open" && : >"$src/other"
	cat >"$dir/remove" <<END
#!/bin/sh
rm '$src/open' '$mnt/other'	# the second is forgotten
END
	chmod +x "$dir/remove"
	mount_store "$src" "$mnt" -o inode_fds=1 -o 'inject=write open hold'
	io "still held" "-d open $mnt/open write 0 4096 66 run $dir/remove \
count 0 4096 66" "open 0;write 4096;run 0;count 4096"
	umount_store "$mnt"
fi

# ---- a record has what clients did, also where it is held ----
rm -f "$src"/*
mount_store "$src" "$mnt" -o "record=$dir/record" -o 'inject=write * hold'
check "random operations, recorded" timeout 60 "$random" "$mnt/x" 4 2000 \
	"$src/x"
umount_store "$mnt"
check "the record" "$BUILD/pagerfs-replay" build "$dir/record" "$dir/replayed"
check "built from it" cmp "$src/x" "$dir/replayed/x"
finish
