#!/usr/bin/env bash
# A store that takes no writes: whoever needs memory that only a write can free
# waits, whatever the size of RAM, file or swap; this is said once, in one line
# that says what is wrong and what to do; when the store takes writes again all
# go on, and nothing is lost; and a signal ends the wait.
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 60
need cmp
src=$dir/src mnt=$dir/mnt
. "$here/tests/lib/inject.sh"
mount_store "$src" "$mnt" -o seed=11
mkdir "$src/files" "$src/swap"

# begin NAME RAM SIZE SWAP anon|file: a machine that is to wait. Its swap area
# gets its header written and nothing more.
names=() pids=()
begin() {
	local name=$1 what="anon $3"
	names+=("$name")
	truncate -s "$4" "$src/swap/$name"
	if [ "$5" = file ]; then
		truncate -s "$3" "$src/files/$name"
		what="file files/$name shared"
	fi
	echo "write swap/$name after=1 error=$error" >>"$rules"
	cat >"$dir/$name.pvm" <<-END
		proc p
		map p a $what
		fill p a pattern 3
		expect fill p a pattern 3
		fork p q
		expect fill q a pattern 3
		check
	END
	"$BUILD/pagervm" run -d "$mnt" --no-view --ram "$2" \
		--swap "swap/$name" "$dir/$name.pvm" </dev/null \
		>"$dir/$name.out" 2>"$dir/$name.err" &
	pids+=($!)
	echo $! >>"$guard/pids"
}
said() {
	local name
	for name in "${names[@]}"; do
		grep -q 'processes wait' "$dir/$name.err" || return
	done
}

for error in EIO ENOSPC EROFS; do
	names=() pids=()
	rules "write files/* error=$error"
	begin "tiny$error" 64K 2M 4M anon
	begin "less$error" 64K 100K 128K anon
	begin "some$error" 256K 2M 4M anon
	begin "more$error" 1M 4M 16M anon
	begin "file$error" 64K 2M 1M file
	begin "mile$error" 1M 4M 1M file
	check "$error: all say that they wait" wait_for 10 said
	for i in "${!names[@]}"; do
		kill -0 "${pids[i]}" 2>/dev/null ||
			fail "$error: ${names[i]} ended: $(cat "$dir/${names[i]}.err")"
	done
	sleep 0.5
	# The last of them are told to end; they wait, and not for ever.
	kill -TERM "${pids[3]}" "${pids[5]}"
	check "$error: a signal ends it" ended 5 "${pids[3]}"
	check "$error: and of a file" ended 5 "${pids[5]}"
	wait "${pids[3]}"
	check_equal "$error: status after the signal" 130 $?
	wait "${pids[5]}"
	check_equal "$error: status when data is lost" 1 $?
	check "$error: and it says so" grep -q 'could not be written .* lost' \
		"$dir/mile$error.err"
	rules ''
	for i in 0 1 2 4; do
		name=${names[i]}
		check "$error: $name goes on" ended 10 "${pids[i]}"
		wait "${pids[i]}"
		check_equal "$error: $name: status" 0 $?
		check_equal "$error: $name: lines" 1 "$(wc -l <"$dir/$name.err")"
		check "$error: $name: $(cat "$dir/$name.err")" grep -Eq \
			"^pagervm: .*$mnt/.*/$name takes no writes \(.*\); .*SIGINT" \
			"$dir/$name.err"
	done
done
umount_store "$mnt"
finish
