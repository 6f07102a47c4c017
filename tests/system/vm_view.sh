#!/usr/bin/env bash
# The live view of a real machine on a real mount: its files have Linux's
# formats, memory can be read and written through them, commands run, and a
# reader never waits for a frame that is busy.
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 40
need dd od cmp timeout
src=$dir/src mnt=$dir/mnt
mount_store "$src" "$mnt"
mkdir "$src/files"
head -c 300001 /dev/urandom >"$src/files/f"
cp "$src/files/f" "$dir/expected"
machine_start vm --ram 4M --swap swap/s,32M

check "a program" ctl 'proc p
map p data file "files/f" shared
map p copy file "files/f" private
map p heap anon 8M
fill p heap pattern 1
load p data u8
store p copy 0x55 u8'
check_equal "the answer" ok "$answer"
pid=$(pid_of p)
check_equal "the process's number" 1 "$pid"

# maps, as /proc writes it: range, protection, offset, device, inode, path
check_equal "lines of maps that look otherwise" "" "$(grep -Evn \
	'^[0-9a-f]{8,16}-[0-9a-f]{8,16} [r-][w-][x-][sp] [0-9a-f]{8} [0-9a-f]{2,}:[0-9a-f]{2,} [0-9]+ *( .*)?$' \
	"$view/$pid/maps")"
check_equal "areas" 3 "$(wc -l <"$view/$pid/maps")"
check "the inode of maps is the file's" grep -q " $(stat -c %i "$mnt/files/f") " \
	"$view/$pid/maps"
data=$((0x$(address_of "$pid" 'rw-s.*files/f')))
copy=$((0x$(address_of "$pid" 'rw-p.*files/f')))
heap=$((0x$(address_of "$pid" ' 0 *$')))

# peek ADDRESS LENGTH, through mem, by dd
peek() {
	timeout 10 dd if="$view/$pid/mem" bs=64K count="$2" skip="$1" \
		iflag=skip_bytes,count_bytes,fullblock 2>/dev/null
}
poke() {
	timeout 10 dd of="$view/$pid/mem" bs=64K seek="$1" \
		oflag=seek_bytes conv=notrunc 2>/dev/null
}
peek $data 300001 >"$dir/got"
check "mem is the file" cmp "$dir/got" "$dir/expected"
check "past the end of the file, in its last page: zeros" \
	cmp -n 3103 <(peek $((data + 300001)) 3103) /dev/zero
check_equal "past its end: nothing" 0 "$(peek $((data + 303104)) 4096 | wc -c)"
check_equal "unmapped: an error" "dd: error reading '$view/$pid/mem':" \
	"$(dd if="$view/$pid/mem" bs=1 count=1 skip=16 2>&1 |
		sed -n 's/ Input.*//p')"

# a store through mem, and msync through ctl: in the real file
printf 'hello, file' | poke $((data + 70000))
printf 'hello, file' | dd of="$dir/expected" bs=1 seek=70000 conv=notrunc \
	2>/dev/null
printf 'not for the file' | poke $((copy + 90000))
check_equal "the private store is there" "not for the file" \
	"$(peek $((copy + 90000)) 16)"
check "msync" ctl 'msync p data'
check "in the real file" cmp "$src/files/f" "$dir/expected"
exec 4<>"$view/$pid/ctl"
echo 'expect self data+70000 == 104 u8' >&4
check_equal "self" ok "$(cat <&4)"
exec 4>&-

# pagemap: eight bytes a page; present, or swapped and then in swap/0
entry() {
	dd if="$view/$pid/pagemap" bs=8 count=1 skip=$(($1 / 4096)) \
		2>/dev/null | od -An -tu8 | tr -d ' '
}
check "load" ctl 'load p data u8'
e=$(entry $data)
check "present" test $((e >> 63 & 1)) = 1
check "of a file" test $((e >> 61 & 1)) = 1
frame=$((e & 0x7fffffffffffff))
check_equal "its line in frames" "$pid $(printf %x $data)" \
	"$(awk -v n=$frame '$1 == n { print $6, $7 }' "$view/frames")"
read -r slot address < <(awk 'NR > 1 && $3 == 1 && $2 == "owned" {
	print $1, $7; exit }' "$view/swap/0")
e=$(entry $((0x$address)))
check "swapped" test $((e >> 62 & 1)) = 1
check_equal "into that slot" "$slot" $((e >> 5 & 0x3ffffffffffff))
check "which is the heap's" test $((0x$address)) -ge $heap

# swaps, vmstat, frames: the numbers agree
read -r file type size used priority < <(tail -n 1 "$view/swaps")
check_equal "swaps" "$mnt/swap/s file 32764 0" "$file $type $size $priority"
check_equal "slots in use" $((used / 4)) \
	"$(awk 'NR > 1' "$view/swap/0" | wc -l)"
check_equal "nr_swap_used" $((used / 4)) "$(counter nr_swap_used)"
check_equal "lines of vmstat that look otherwise" "" \
	"$(grep -Ev '^[a-z0-9_]+ [0-9]+$' "$view/vmstat")"
check_equal "frames" 1024 "$(awk 'NR > 1' "$view/frames" | wc -l)"
check_equal "free frames" "$(counter nr_free_pages)" \
	"$(awk '$2 == "free"' "$view/frames" | wc -l)"

# errors: of the write, and to be read
check "a bad command fails" bash -c "! echo 'fly away' 2>/dev/null \
	>'$view/ctl'"
ctl 'proc q
fly away' && fail "a bad line passed"
check "it names the line: $answer" grep -q '^ctl:2: ' <<<"$answer"
ctl 'expect p data+70000 == 105 u8' && fail "a wrong expectation passed"
check "it says what was found: $answer" grep -q 'found 104' <<<"$answer"

# While the store stands still, frames stay busy, and readers do not wait.
# Paths through $mnt would: what is needed is open or is here already.
cd "$view" || exit
ctl 'evict 100000'
exec 5<frames 6<vmstat 7<"$pid/maps" 8<swap/0
kill -STOP "$store_pid"
(cd "$pid" && exec dd if=mem bs=64K iflag=skip_bytes,count_bytes \
	skip=$((data + 20480)) count=4096 of="$dir/late" 2>/dev/null) &
reader=$!
reading() { awk '$2 == "reading"' frames | grep -q .; }
wait_for 5 reading || fail "no frame is busy reading"
t0=${EPOCHREALTIME/[.,]/}
for what in frames vmstat swaps swap/0 procs objects "$pid/maps" \
	"$pid/smaps" "$pid/status"; do
	check "$what, while a frame is busy" timeout 2 cat "$what"
done
check "none took long" test $((${EPOCHREALTIME/[.,]/} - t0)) -lt 1500000
line=$(awk '$2 == "reading" { print ($9 >= 1), ($10 > 0) }' frames | head -n 1)
check_equal "a thread waits for it, and since when" "1 1" "$line"
kill -0 $reader 2>/dev/null || fail "the reader did not wait"
kill -CONT "$store_pid"
wait $reader
check_equal "the reader's status" 0 $?
check "its bytes" cmp -i 0:20480 -n 4096 "$dir/late" "$dir/expected"
cd / || exit
exec 5<&- 6<&- 7<&- 8<&-

ctl 'check'
check_equal "the machine's books" ok "$answer"
ctl 'exit p'
check "the process's directory is gone" test ! -e "$view/$pid"
machine_end
check_equal "views left" "" "$(ls "$src/vm")"
check "the file at the end" cmp "$src/files/f" "$dir/expected"
umount_store "$mnt"
finish
