#!/usr/bin/env bash
# Held writes on their way to the real file: what could not be written is not
# lost while the daemon runs, and who asks is told so each time.
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

# ---- at the end nobody is left to keep it ----
below 'write f error=EIO'
rules 'write f hold'
io "held" "open $mnt/f write 0 512 68" "open 0;write 512"
umount_store "$mnt"
check "said" grep -q 'Input/output error: 512 bytes are lost' "$dir/store.log"
store_pid=$below_pid
umount_store "$below"
finish
