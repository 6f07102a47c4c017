#!/usr/bin/env bash
# What the kernel has cached of a file is kept when the file is opened again,
# and only if nobody can have changed it, in whatever way.
. "$(dirname "$0")/lib.sh"
time_limit 120
src=$dir/src mnt=$dir/mnt
long=attr_timeout=1000,entry_timeout=1000
mkdir -p "$src"

# READ requests so far.
reads() {
	awk '/^pagerfs_requests_total.op="read"/ { n = $2 } END { print n + 0 }' \
		"$mnt/.pagerfs/stats"
}

# reads_of COMMAND...: how many of them it takes.
reads_of() {
	local before
	before=$(reads)
	"$@" >/dev/null || fail "$*"
	echo $(($(reads) - before))
}

# kept WHAT FILE: its second open from now on makes no request to read; the
# first may have to.
kept() {
	sleep 0.1
	cat "$2" >/dev/null
	check_equal "$1: read anew" 0 "$(reads_of cat "$2")"
}

# dropped WHAT COMMAND...: it makes requests
dropped() {
	local what=$1
	shift
	[ "$(reads_of "$@")" -gt 0 ] || fail "$what: not read anew"
}

head -c 100000 /dev/urandom >"$src/file"
: >"$src/empty"
case $(stat -f -c %T "$src") in
ext2/ext3 | xfs | btrfs | f2fs | tmpfs | ramfs) ;;
*) skip "the files below are not on a file system which is trusted" ;;
esac

mount_store "$src" "$mnt" -o $long
kept "unchanged" "$mnt/file"
check_equal "and again" 0 "$(reads_of cat "$mnt/file")"
ln "$src/file" "$src/other"
dropped "linked" cat "$mnt/other"
kept "by its other name" "$mnt/other"
check_equal "by the first one" 0 "$(reads_of cat "$mnt/file")"
kept "without a byte" "$mnt/empty"

# Not by those who only write, read and write, or execute, either.
check_equal "opened to write" 0 \
	"$(reads_of bash -c ": >>'$mnt/file' && cat '$mnt/file'")"
check_equal "opened for both" 0 \
	"$(reads_of bash -c ": <>'$mnt/file' && cat '$mnt/file'")"
cp "$(type -P true)" "$src/true"
sleep 0.1
"$mnt/true" && sleep 0.1 && "$mnt/true" && sleep 0.1
check_equal "executed" 0 "$(reads_of "$mnt/true")"

# Changes, seen at once; and kept again.
printf X | dd of="$src/file" bs=1 seek=5000 conv=notrunc status=none
check "changed below" cmp "$src/file" "$mnt/file"
kept "after that" "$mnt/file"
printf Y | dd of="$mnt/file" bs=1 seek=6000 conv=notrunc status=none
check "changed through the mount" cmp "$src/file" "$mnt/file"
kept "after that" "$mnt/file"
touch -r "$src/file" "$dir/times"
printf Z | dd of="$src/file" bs=1 seek=7000 conv=notrunc status=none
touch -r "$dir/times" "$src/file"
check "changed, the time restored" cmp "$src/file" "$mnt/file"

# Who has it open to write in SOURCE may have more to write.
kept "before a writer" "$mnt/file"
exec 3<>"$src/file"
printf W >&3
sleep 0.1
cat "$mnt/file" >/dev/null
dropped "open to write below" cat "$mnt/file"
exec 3>&-
kept "closed" "$mnt/file"

# A file that stays open sees the change when attributes are next asked for.
umount_store "$mnt"
mount_store "$src" "$mnt" -o attr_timeout=0.1
exec 3<"$mnt/file"
head -c 4096 <&3 >/dev/null
sleep 0.1
printf '\0\0\0\0' | dd of="$src/file" bs=1 conv=notrunc status=none
sleep 0.2
check_equal "changed while it is open" "$(head -c 4 "$src/file" | od -x)" \
	"$(head -c 4 /dev/fd/3 | od -x)"
exec 3<&-

# Faults: nothing is kept while there are rules, nor what was read then.
if [ -w "$mnt/.pagerfs/rules" ]; then
	kept "before the rules" "$mnt/file"
	echo "read empty delay=1ms" >"$mnt/.pagerfs/rules"
	cat "$mnt/file" >/dev/null
	dropped "with a rule" cat "$mnt/file"
	echo clear >"$mnt/.pagerfs/ctl"
	kept "the rule gone" "$mnt/file"
	exec 3<"$mnt/file"
	echo "read file flip=1000" >"$mnt/.pagerfs/rules"
	sleep 0.1
	cmp "$src/file" "$mnt/file" >/dev/null && fail "no bit was flipped"
	echo clear >"$mnt/.pagerfs/ctl"
	check "flipped bits are gone" cmp "$src/file" "$mnt/file"
	exec 3<&-
	kept "before a write is lost" "$mnt/file"
	echo "write file lost" >"$mnt/.pagerfs/rules"
	printf L | dd of="$mnt/file" bs=1 seek=100 conv=notrunc status=none
	echo clear >"$mnt/.pagerfs/ctl"
	check "what was lost is gone" cmp "$src/file" "$mnt/file"
	kept "before a write is held" "$mnt/file"
	echo "write file hold" >"$mnt/.pagerfs/rules"
	printf H | dd of="$mnt/file" bs=1 seek=100 conv=notrunc status=none
	cat "$mnt/file" >/dev/null
	dropped "held" cat "$mnt/file"
	echo drop >"$mnt/.pagerfs/ctl"
	echo clear >"$mnt/.pagerfs/ctl"
	check "what was held is gone" cmp "$src/file" "$mnt/file"
	kept "after all that" "$mnt/file"
fi
umount_store "$mnt"

mount_store "$src" "$mnt" -o noauto_cache
kept_not() {
	sleep 0.1
	cat "$mnt/file" >/dev/null
	dropped "noauto_cache" cat "$mnt/file"
}
kept_not
umount_store "$mnt"

# Nobody else changes anything: kept after our own writes, too, and in SOURCE
# the file is not looked at. But what faults have left goes.
cat >"$dir/past.py" <<'END'
import fcntl, mmap, os, sys
fd = os.open(sys.argv[1], os.O_WRONLY |
             (os.O_DIRECT if sys.argv[2] == "open" else 0))
if sys.argv[2] == "fcntl":
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_DIRECT)
    os.pwrite(fd, mmap.mmap(-1, 4096), 0)
print("open", flush=True)
sys.stdin.read()
END
for more in kernel_cache kernel_cache,writeback noauto_cache,kernel_cache; do
	mount_store "$src" "$mnt" -o "$long,$more"
	cat "$mnt/file" >/dev/null
	check_equal "$more: at once" 0 "$(reads_of cat "$mnt/file")"
	printf V | dd of="$mnt/file" bs=1 seek=8000 conv=notrunc status=none
	exec 3<>"$src/file"
	check_equal "$more: after a write" 0 "$(reads_of cat "$mnt/file")"
	check "$more: the write is seen" cmp "$mnt/file" "$src/file"
	exec 3<&-
	truncate -s 90000 "$mnt/file"
	check "$more: cut" cmp "$src/file" "$mnt/file"
	fallocate -p -o 4096 -l 8192 "$mnt/file"
	check "$more: a hole" cmp "$src/file" "$mnt/file"
	dd if="$mnt/other" of="$mnt/file" oflag=direct conv=notrunc bs=4k \
		count=2 seek=2 status=none
	check "$more: by O_DIRECT" cmp "$src/file" "$mnt/file"
	for how in open fcntl; do
		coproc past {
			exec python3 "$dir/past.py" "$mnt/file" $how
		}
		read -r -u "${past[0]}"
		cat "$mnt/file" >/dev/null
		dropped "$more: somebody may write past the cache, by $how" \
			cat "$mnt/file"
		exec {past[1]}>&-
		wait "$past_PID"
		dropped "$more: or may have" cat "$mnt/file"
		check_equal "$more: kept again" 0 "$(reads_of cat "$mnt/file")"
	done
	cp "$mnt/file" "$mnt/copy"
	check "$more: copied" cmp "$src/copy" "$mnt/copy"
	if [ -w "$mnt/.pagerfs/rules" ]; then
		echo "read file flip=1000" >"$mnt/.pagerfs/rules"
		cmp "$src/file" "$mnt/file" >/dev/null &&
			fail "$more: no bit was flipped"
		echo clear >"$mnt/.pagerfs/ctl"
		check "$more: flipped bits are gone" \
			cmp "$src/file" "$mnt/file"
		# nor does a question for its flags make them good
		exec 3<"$mnt/file"
		echo "read file flip=1000" >"$mnt/.pagerfs/rules"
		cat "$mnt/file" >/dev/null
		echo clear >"$mnt/.pagerfs/ctl"
		python3 -c 'import fcntl
fcntl.ioctl(3, 0x80086601, bytes(8))' 2>"$dir/err"	# FS_IOC_GETFLAGS
		check "$more: flipped bits are gone, asked for flags" \
			cmp "$src/file" "$mnt/file"
		exec 3<&-
	fi
	umount_store "$mnt"
done

# Many rounds, with changes close to the opens. Long timeouts: the kernel
# finds nothing out by itself.
tool() {
	check "$1, $2, $3" "$BUILD/tests/fs/tool_cache" "$2" "$mnt" "$1" "$4" 1
}

# rounds SOURCE OPTIONS...
rounds() {
	local from=$1 options
	shift
	for options; do
		mount_store "$from" "$mnt" -o "$options"
		tool "$from" race "$options" 2
		tool "$from" together "$options" 1
		tool "$from" mapped "$options" 1
		tool "$from" each "$options" 2
		tool "$from" asked "$options" 1
		umount_store "$mnt"
	done
	mount_store "$from" "$mnt" -o attr_timeout=0,entry_timeout=0
	tool "$from" names "no timeouts" 1
	umount_store "$mnt"
}
rounds "$src" $long $long,writeback $long,threads=1

# The same in memory, where a mapping does not change the times.
memory=$(mktemp -d /dev/shm/pagerfs_cache.XXXXXX 2>/dev/null) || finish
trap 'rm -rf "$memory"; cleanup' EXIT
rounds "$memory" $long
finish
