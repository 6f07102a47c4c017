#!/usr/bin/env bash
# A long random workload over the real mount: shared and private mappings of
# three files, forks, anonymous memory in two swap areas, little RAM, evictions
# and msync between, every load checked; then the real files, from outside.
#
#	SEED=N SECONDS_MAX=N tests/system/vm_random.sh
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 120
need cmp
src=$dir/src mnt=$dir/mnt
seed=${SEED:-$RANDOM}
seconds=${SECONDS_MAX:-15}
say "SEED=$seed"
mount_store "$src" "$mnt"
mkdir "$src/files"
truncate -s 8M "$src/files/a"
truncate -s 3000001 "$src/files/b"
head -c 5M /dev/urandom >"$src/files/c"
cp "$src/files/c" "$dir/c"
machine_start random --ram 4M --seed "$seed" \
	--swap swap/s0,24M,5 --swap swap/s1,24M,5

# Everybody knows what is in a place: what is stored there is always the same
# pattern, or this thread's alone. Private mappings of the file that nobody
# may change have their own.
setup='proc p
map p a file files/a shared
map p b file files/b shared
map p c file files/c private
map p heap anon 8M
fill p a pattern 1
fill p b+0 3000001 pattern 2
fill p c+0 2M pattern 3
fill p heap pattern 4
fork p q
fork q r'
round='together {
	touch p a mix 40% zipf 0.9 count 3000 pattern 1 verify
	touch q a mix 40% random count 1500 pattern 1 verify
	touch r a read seq count 1000 pattern 1 verify
	touch q b+0 3000001 mix 50% random count 1000 stride 509 pattern 2 verify
	touch r c+0 2M mix 30% random count 1000 pattern 3 verify
	touch p heap mix 30% zipf 0.8 count 3000 pattern 4 verify
	do {
		fork r s
		touch s heap mix 50% random count 500 pattern 4 verify
		fork s t
		touch t heap mix 50% random count 500 pattern 4 verify
		touch t a mix 50% random count 300 pattern 1 verify
		exit s
		touch t c+0 2M mix 50% random count 300 pattern 3 verify
		exit t
	}
	repeat 4 {
		msync p a
		evict 200
		msync q b async
		sync
	}
}'
ctl "$setup" || fail "$answer"
end=$((SECONDS + seconds)) rounds=0
while [ $SECONDS -lt $end ] && [ $failures = 0 ]; do
	ctl "$round" || fail "round $rounds, SEED=$seed: $answer"
	[ $((rounds % 4)) != 3 ] || ctl check || fail "the books: $answer"
	rounds=$((rounds + 1))
done
ctl 'expect fill p a pattern 1
expect fill r b+0 3000001 pattern 2
expect fill q c+0 2M pattern 3
expect fill p heap pattern 4
expect fill r heap pattern 4
check' || fail "at the end, SEED=$seed: $answer"
say "$rounds rounds, $(counter pgmajfault) reads, $(counter pswpout) pages" \
	"to swap, $(counter pgretake) taken back, $(counter pgcow) copied"
check "there was swapping" [ "$(counter pswpout)" -gt 5000 ]
check "there were copies" [ "$(counter pgcow)" -gt 1000 ]
check_equal "errors" "0 0" "$(counter pgreaderr) $(counter pgwriteerr)"

# What the processes have, for a comparison from outside.
pid=$(pid_of p)
for file in a b; do
	size=$(stat -c %s "$src/files/$file")
	dd if="$view/$pid/mem" bs=1M iflag=skip_bytes,count_bytes,fullblock \
		skip=$((0x$(address_of "$pid" "files/$file"))) count="$size" \
		2>/dev/null >"$dir/$file"
done
machine_end 0
for file in a b c; do
	check "the real file $file" cmp "$dir/$file" "$src/files/$file"
done
umount_store "$mnt"

# The same pattern by a machine of another shape: 32 bits, another size.
mount_store "$src" "$mnt"
cat >"$dir/again.pvm" <<'END'
proc p
map p a file files/a shared r
map p b file files/b shared r
expect fill p a pattern 1
expect fill p b+0 3000001 pattern 2
END
check "another machine finds it so" vm --mode 32 --cpus 1 --ram 1M --no-swap \
	"$dir/again.pvm"
umount_store "$mnt"
finish
