#!/usr/bin/env bash
# Held writes on their way to the real file: what could not be written is not
# lost while the daemon runs, and who asks is told so each time; what clients
# set besides stays as they set it.
. "$(dirname "$0")/lib.sh"
time_limit 60
need dd
src=$dir/src below=$dir/below mnt=$dir/mnt
. "$here/tests/lib/inject.sh"
need "$io"

# A store whose SOURCE is one, too: $below/.pagerfs/rules make it fail.
mount_store "$src" "$below" -o attr_timeout=0,entry_timeout=0
below_pid=$store_pid
mount_store "$below" "$mnt" -o attr_timeout=0,entry_timeout=0
below() { cat <<<"$1" >"$below/.pagerfs/rules" || fail "refused: $1"; }
held() { awk '$1 == "pagerfs_held_bytes" { print $2 }' \
	"$mnt/.pagerfs/stats"; }
# ctl COMMAND: what came of it
ctl() {
	cat <<<"$1" 2>"$dir/err" >"$mnt/.pagerfs/ctl" && echo 0 ||
		sed 's/.*: //' "$dir/err"
}

# ---- a full disk: the first extent fits, the one behind it does not ----
: >"$src/f"
below 'write f at=4K..8K error=ENOSPC'
rules 'write f hold'
io "held" "open $mnt/f write 0 4096 65 write 4096 4096 66 write 8192 4096 67" \
	"open 0;write 4096;write 4096;write 4096"
check_equal "flush says it" "No space left on device" "$(ctl flush)"
check_equal "what fits is written" "4096x41 4096x00 4096x43 4096" \
	"$(real f 0 99999) $(held)"
check "said" grep -q 'No space left on device: 4096 bytes stay held' \
	"$dir/store.log"
io "fsync says it, each time" "open $mnt/f fsync fsync count 0 99999 66" \
	"open 0;fsync ENOSPC;fsync ENOSPC;count 4096"
check_equal "so does the end of the rules" "No space left on device" \
	"$(ctl clear)"
check_equal "they have ended" 0 "$(grep -vc '^#' "$rules")"
io "and nothing is lost" "open $mnt/f count 0 99999 66 fsync" \
	"open 0;count 4096;fsync ENOSPC"
below ''
io "when there is room" "open $mnt/f fsync" "open 0;fsync 0"
check_equal "all is written" "0 4096x41 4096x42 4096x43" \
	"$(held) $(real f 0 99999)"

# ---- an open that fails empties nothing ----
rules 'write f hold'
io "held" "open $mnt/f write 0 512 68" "open 0;write 512"
below 'open f error=EMFILE'
check_equal "O_TRUNC" "Too many open files in system" "$( (: >"$mnt/f") 2>&1 |
	sed 's/.*: //')"
below ''
io "all is there" "open $mnt/f size count 0 512 68 count 0 99999 67" \
	"open 0;size 12288;count 512;count 4096"
check_equal "also below" "512 12288" "$(held) $(stat -c %s "$src/f")"
(: >"$mnt/f") || fail "O_TRUNC"
check_equal "one that does not fail does" "0 0" \
	"$(held) $(stat -c %s "$src/f")"

# ---- another write's error is not this one's ----
rules 'write f reorder=1'
below 'write f error=EIO'
io "more than are kept" "open $mnt/f write 0 512 70 write 4096 512 71 \
count 0 99999 71" "open 0;write 512;write 512;count 512"
io "fsync" "open $mnt/f fsync" "open 0;fsync EIO"
below ''
io "fsync" "open $mnt/f fsync count 0 99999 71 count 0 99999 70" \
	"open 0;fsync 0;count 512;count 512"
check_equal "written" 0 "$(held)"

# ---- a write that is to be durable is not held, and it is durable ----
below 'fsync f error=EIO'
rules 'write f hold'
io "held" "-d open $mnt/f write 8192 4096 68" "open 0;write 4096"
io "O_DSYNC" "-d -s open $mnt/f write 0 4096 69" "open 0;write EIO"
io "RWF_DSYNC" "-d open $mnt/f dsync 0 4096 70" "open 0;dsync EIO"
io "RWF_DSYNC of one open with O_DIRECT" "-d open $mnt/f cached \
dsync 0 4096 70" "open 0;cached 0;dsync EIO"
below 'write f delay=0us'
io "RWF_DSYNC" "-d open $mnt/f dsync 0 4096 71" "open 0;dsync 4096"
io "O_DSYNC" "-d -s open $mnt/f write 4096 4096 72" "open 0;write 4096"
check_equal "not held" "4096 4096x47 4096x48" "$(held) $(real f 0 99999)"
io "the other is" "open $mnt/f fsync" "open 0;fsync 0"

# ---- at the end nobody is left to keep it ----
below 'write f error=EIO'
rules 'write f hold'
io "held" "open $mnt/f write 0 512 68" "open 0;write 512"
umount_store "$mnt"
check "said" grep -q 'Input/output error: 512 bytes are lost' "$dir/store.log"
store_pid=$below_pid
umount_store "$below"

# ---- times and privileges: of the write, or set after it ----
mount_store "$src" "$mnt" -o attr_timeout=0,entry_timeout=0
rules 'write * hold'
io "held" "open $mnt/f write 0 512 69" "open 0;write 512"
touch -d '2001-02-03 04:05' "$mnt/f"
io "synced" "open $mnt/f fsync" "open 0;fsync 0"
check_equal "the time that was set" "512x45 2001-02-03" \
	"$(real f 0 512) $(stat -c %y "$src/f" | cut -d' ' -f1)"
rules 'write * reorder=1'
io "held" "open $mnt/f write 0 512 70" "open 0;write 512"
written=$(stat -c %Y "$mnt/f")
check "it was the write's: $written" [ "$written" -gt 1000000000 ]
touch -d '2001-02-03 04:05' "$mnt/f"
io "held" "open $mnt/f write 512 512 70" "open 0;write 512"
check "one is written" [ "$(held)" = 512 ]
check "and is no older" [ "$(stat -c %Y "$mnt/f")" -ge "$written" ]

# caps FILE: has it file capabilities?
caps() { getfattr -n security.capability "$1" 2>/dev/null | grep -c =; }
if [ "$(id -u)" = 0 ] && setcap cap_net_raw+ep "$src/f" 2>/dev/null &&
   command -v getfattr >/dev/null; then
	rules 'write * hold'
	check_equal "before" 1 "$(caps "$mnt/f")"
	io "held" "open $mnt/f write 0 512 71" "open 0;write 512"
	check_equal "the write took it" 0 "$(caps "$mnt/f")"
	setcap cap_net_raw+ep "$mnt/f"
	io "synced" "open $mnt/f fsync" "open 0;fsync 0"
	check_equal "the flush does not" "512x47 1" \
		"$(real f 0 512) $(caps "$src/f")"
fi

# ---- of each of these writes 512 bytes are left, and no more is kept ----
rules 'write * hold'
resident() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$store_pid/status"; }
before=$(resident)
words=
for i in {0..199}; do words+=" write $((i * 512)) 1048576 73"; done
# shellcheck disable=SC2086
"$io" -c open "$mnt/over" $words >/dev/null
check_equal "held" $((199 * 512 + 1048576)) "$(held)"
taken=$(awk '$1 == "pagerfs_held_memory_bytes" { print $2 }' \
	"$mnt/.pagerfs/stats")
check "memory: $taken" [ "$taken" -gt 1150000 -a "$taken" -lt 4000000 ]
# (A sanitizer keeps what was freed.)
if ! ldd "$BUILD/pagerfs" | grep -Eq 'lib[at]san'; then
	more=$(($(resident) - before))
	check "resident: $more KiB more" [ $more -lt 50000 ]
fi
rm "$mnt/over"
umount_store "$mnt"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	setpriv --inh-caps=-fsetid --bounding-set=-fsetid "$BUILD/pagerfs" -f \
		-o 'inject=write * hold' "$src" "$mnt" 2>>"$dir/store.log" &
	store_pid=$!
	echo "$store_pid" >>"$guard/pids"
	wait_for 5 is_mounted "$mnt" || fail "no mount"
	guard_mount "$mnt"
	io "held" "open $mnt/f write 0 512 72" "open 0;write 512"
	chmod 6755 "$mnt/f"
	io "synced" "open $mnt/f fsync" "open 0;fsync 0"
	check_equal "set-id bits that were set after the write" "512x48 6755" \
		"$(real f 0 512) $(stat -c %a "$src/f")"
	umount_store "$mnt"
fi

# ---- and the time of a file that is not the daemon's, but it may write ----
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	rm -f "$src/f"
	: >"$src/f"
	chown 1000:1000 "$src/f"
	touch -d '2001-02-03 04:05' "$src/f"
	setpriv --inh-caps=-fowner --bounding-set=-fowner "$BUILD/pagerfs" -f \
		-o 'inject=write * hold' "$src" "$mnt" 2>>"$dir/store.log" &
	store_pid=$!
	echo "$store_pid" >>"$guard/pids"
	wait_for 5 is_mounted "$mnt" || fail "no mount"
	guard_mount "$mnt"
	io "held" "open $mnt/f write 0 512 72" "open 0;write 512"
	check_equal "it is held" 512 "$(held)"
	check "and its time is now: $(stat -c %y "$src/f")" \
		[ "$(stat -c %Y "$src/f")" -gt 1700000000 ]
	umount_store "$mnt"
fi

# ---- what another user writes, or punches, has no set-id bit, at once ----
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	rm -f "$src/f"
	: >"$src/f"
	chown 1000:1000 "$src/f"
	chmod 755 "$dir" "$src"
	cp "$io" "$dir/io"
	mount_store "$src" "$mnt" -o 'allow_other,inject=write f hold'
	other() {
		setpriv --reuid=1000 --regid=1000 --clear-groups \
			"$dir/io" open "$mnt/f" "$@" | paste -sd';'
	}
	for what in 'write 0 512 74' 'punch 0 4096'; do
		# shellcheck disable=SC2086
		check_equal "$what" "open 0;write 8192;run 0;${what%% *} $(
			[ "${what%% *}" = write ] && echo 512 || echo 0)" \
			"$(other write 0 8192 73 run "chmod 4755 $mnt/f" $what)"
		check_equal "$what: mode" 755 "$(stat -c %a "$mnt/f")"
	done
	umount_store "$mnt"
fi
finish
