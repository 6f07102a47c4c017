#!/usr/bin/env bash
# The record has an appending write where it went, which nobody knew when it
# came: the file was emptied while the write was kept back.
. "$(dirname "$0")/lib.sh"
time_limit 30
src=$dir/src mnt=$dir/mnt rec=$dir/rec
replay=$BUILD/pagerfs-replay
need "$replay"
export TMPDIR=$dir

kept_back() { grep -q ' waiting ' "$mnt/.pagerfs/inflight"; }

mount_store "$src" "$mnt" -o record="$rec"
for file in plain held; do
	echo "what was there" >"$mnt/$file"
	rule=
	# What else is held of the file must not matter.
	[ $file = plain ] || rule=$'\nwrite held hold'
	echo "write $file freeze$rule" >"$mnt/.pagerfs/rules"
	echo appended >>"$mnt/$file" &
	writer=$!
	check "$file: kept back" wait_for 5 kept_back
	# (Who opens it then waits in the kernel, for who appends.)
	: >"$mnt/$file" &
	opener=$!
	check "$file: emptied" wait_for 5 test ! -s "$src/$file"
	echo "${rule#?}" >"$mnt/.pagerfs/rules"
	wait $writer $opener
	echo >"$mnt/.pagerfs/rules"
done
# Directly, through the one descriptor of two kinds: what does not fit the
# alignment is written through another.
python3 -c "import os, mmap
fd = os.open('$mnt/direct', os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_DIRECT)
page = mmap.mmap(-1, 4096)
page[:] = b'd' * 4096
for size in 4096, 100, 4096, 7:
    assert os.writev(fd, [memoryview(page)[:size]]) == size
"
umount_store "$mnt"
"$replay" list "$rec" >"$dir/list"
for file in plain held; do
	check "$file: $(cat "$dir/list")" grep -q "write $file 0+9" "$dir/list"
done
check "direct: $(cat "$dir/list")" grep -q "write direct 8292+7" "$dir/list"
check "built" "$replay" build "$rec" "$dir/built"
check "as it is" diff -r "$src" "$dir/built"
finish
