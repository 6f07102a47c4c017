#!/usr/bin/env bash
# Everything that must be refused: one clear line, the right exit status, no
# mount left, and nothing lost. And what must work although it looks odd.
. "$(dirname "$0")/lib.sh"
. "$here/tests/lib/vm.sh"
time_limit 100
need cmp
src=$dir/src mnt=$dir/mnt
mount_store "$src" "$mnt"
mkdir "$src/files" "$src/swap" "$dir/plain"
echo 'proc p' >"$dir/ok.pvm"
mounts() { grep -cF "$dir" /proc/self/mounts; }
mounts_before=$(mounts)

# refused STATUS WHAT PATTERN ARGUMENTS...: so, with one line. Wrong usage
# (64) has argp's second line, which says where there is help.
refused() {
	local status=$1 what=$2 pattern=$3 lines=1
	shift 3
	[ "$status" = 64 ] && lines=2
	timeout -k 1 8 "$BUILD/pagervm" "$@" </dev/null >"$dir/out" \
		2>"$dir/err"
	check_equal "$what: status" "$status" $?
	check_equal "$what: lines, $(cat "$dir/err")" $lines \
		"$(wc -l <"$dir/err")"
	check "$what: $(cat "$dir/err")" grep -Eq "^pagervm: .*$pattern" \
		"$dir/err"
	check_equal "$what: mounts" "$mounts_before" "$(mounts)"
	check_equal "$what: views" "" "$(ls "$src/vm" 2>/dev/null)"
}

# program STATUS WHAT PATTERN [options]: the same of a program on stdin
program() {
	local status=$1 what=$2 pattern=$3
	shift 3
	cat >"$dir/p.pvm"
	refused "$status" "$what" "$pattern" run -d "$mnt" --swap swap/s,8M \
		"$@" "$dir/p.pvm"
}

# ---- the command line ----
run=(run -d "$mnt" --no-swap)
refused 64 "no command" "say what to do"
refused 64 "unknown command" "unknown command 'fly'" fly
refused 64 "options before the command" "'explain' comes before its options" \
	-n x explain 1 0
refused 64 "unknown option" "unrecognized option" run --fly
for ram in x 1x "" -1 1KK 99999999999999999999; do
	refused 64 "--ram '$ram'" "--ram: .* is not a size" "${run[@]}" --ram "$ram"
done
refused 1 "--ram is decimal" "at least 64K" "${run[@]}" --ram 065535 \
	"$dir/ok.pvm"
check "--ram is decimal" vm --no-swap --ram 0100000 "$dir/ok.pvm"
for ram in 0 1 4K $((1 << 62))  0x8000000000000000 0xffffffffffffffff 8388607T; do
	refused 1 "--ram $ram" "RAM" "${run[@]}" --ram "$ram" "$dir/ok.pvm"
done
# It would be killed when it had filled the memory with what it knows of frames.
memory=$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)
refused 1 "more RAM than memory" "MiB of memory of this computer; say less" \
	"${run[@]}" --ram $((memory + (1 << 20)))K "$dir/ok.pvm"
for cpus in 0 64 x -1 4294967297; do
	refused 64 "--cpus $cpus" "--cpus: .* from 1 to 63" "${run[@]}" \
		--cpus "$cpus"
done
refused 64 "--mmu 33" "--mmu: '33' is not 32, pae, 64 or la57" "${run[@]}" --mmu 33
refused 64 "--cluster 0" "from 1 to 256" "${run[@]}" --cluster 0
refused 64 "--cluster 257" "from 1 to 256" "${run[@]}" --cluster 257
for name in a/b .. . "" "$(bytes 64 120)"; do
	refused 64 "name '$name'" "is not a file name" "${run[@]}" --name "$name"
done
refused 64 "a file without a name" "a FILE has no name" "${run[@]}" ""
refused 64 "--swap f,x" "'x' is not a size" run -d "$mnt" --swap f,x
refused 64 "--swap f,8M,9999999999" "is not a priority" run -d "$mnt" \
	--swap f,8M,9999999999
refused 64 "--swap f,8M,x" "'x' is not a priority" run -d "$mnt" --swap f,8M,x

# ---- the store ----
refused 1 "no such mount" "none: No such file.*pagerfs SOURCE" run -d "$dir/none"
refused 1 "a file" "ok.pvm" run -d "$dir/ok.pvm"
refused 1 "a plain directory" "no store is mounted here.*--plain" \
	run -d "$dir/plain"
check "with --plain" timeout 20 "$BUILD/pagervm" run -d "$dir/plain" --plain \
	"$dir/ok.pvm"

# ---- nothing is made when a start is refused ----
in_store() { (cd "$src" && find . -printf '%p %s\n' | sort); }
rmdir "$src/swap"
rm -rf "$src/vm"
start_refused() {
	local pattern=$1 before
	shift
	before=$(in_store)
	refused 1 "$*" "$pattern" run -d "$mnt" "$@"
	check_equal "$*: what is left" "$before" "$(in_store)"
}
start_refused "at least 64K" --ram 63K "$dir/ok.pvm"
start_refused "reach no more than 4G" --mmu 32 --ram 5G "$dir/ok.pvm"
start_refused "none: No such file" "$dir/ok.pvm" "$dir/none"
start_refused "plain: Is a dir" "$dir/plain"
# ... also by what is found late: the view cannot be mounted
touch "$src/vm"
before=$(in_store)
for swap in swap/swap0,256M s,8M; do
	"$BUILD/pagervm" run -d "$mnt" --swap "$swap" "$dir/ok.pvm" 2>"$dir/err"
	check_equal "no view, $swap: status" 1 $?
	check_equal "no view, $swap: what is left" "$before" "$(in_store)"
done
rm "$src/vm"
mkdir "$src/swap"

# ---- swap areas ----
head -c 100000 /dev/urandom >"$src/files/precious"
precious=$(sha256sum <"$src/files/precious")
refused 1 "a file that is no swap area" "precious: .*not a swap area" \
	run -d "$mnt" --swap files/precious "$dir/ok.pvm"
refused 1 "the same with a size" "precious: .*not a swap area" \
	run -d "$mnt" --swap files/precious,8M "$dir/ok.pvm"
check_equal "it is untouched" "$precious" "$(sha256sum <"$src/files/precious")"
refused 1 "no such area" "swap area .*none: is not there; .* --swap FILE,SIZE" \
	run -d "$mnt" --swap swap/none "$dir/ok.pvm"
refused 1 "a directory" "swap area .*: (not a regular|Is a dir)" \
	run -d "$mnt" --swap files,8M "$dir/ok.pvm"
refused 1 "4K of swap" "at least two pages" \
	run -d "$mnt" --swap swap/tiny,4K "$dir/ok.pvm"
check "nothing of it stays" [ ! -e "$src/swap/tiny" ]
refused 1 "8T of swap" "at most 1T" \
	run -d "$mnt" --swap swap/tiny,8T "$dir/ok.pvm"
check "nothing of it stays" [ ! -e "$src/swap/tiny" ]
refused 1 "one area twice" "swap/t: is named twice" \
	run -d "$mnt" --swap swap/t,8M --swap swap/t,8M "$dir/ok.pvm"
ln -s s1 "$src/swap/l1"
refused 1 "one area by two names" "swap/l1: is named twice" \
	run -d "$mnt" --swap swap/s1,8M --swap swap/s2,8M --swap swap/l1 \
	"$dir/ok.pvm"
refused 1 "no such directory" "none/s: the directory is not there" \
	run -d "$mnt" --swap none/s,8M "$dir/ok.pvm"
refused 1 "a path that is too long" "File name too long" \
	run -d "$mnt" --swap "files/$(printf './%.0s' {1..2030})cut1,8M" \
	"$dir/ok.pvm"

# ---- programs ----
refused 1 "no such program" "none: No such file" "${run[@]}" "$dir/none"
refused 1 "a directory as program" "plain: Is a dir" "${run[@]}" "$dir/plain"
program 1 "syntax" "p.pvm:2: expected .*found 'fly'" <<<$'proc p\nfly away'
long=$(bytes 31 120)
program 1 "a long name" "p.pvm:1: .*at most 31 characters, found 'x*1'" \
	<<<"proc ${long}1"
program 1 "a name that gets long" "p.pvm:2: .*at most 31 .*found 'xx*777'" \
	<<<"set \$i 777
proc ${long:2}\$i"
program 1 "a name twice" "p.pvm:2: .*process '$long' already" \
	<<<"proc $long
proc $long"
program 1 "unknown process" "p.pvm:1: .*'p'" <<<'load p 0'
program 1 "expectation" "p.pvm:3: .*expected == 1.*found 0" \
	<<<$'proc p\nmap p a anon 4K\nexpect p a == 1'
program 1 "nothing mapped" "p.pvm:2: .*SIGSEGV.* at 0x1234" \
	<<<$'proc p\nload p 0x1234'
far=$dir/$(bytes 70 120)
mkdir "$far"
echo 'fly away' >"$far/end.pvm"
refused 1 "a long path" "x/end.pvm:1: expected .*found 'fly'" \
	"${run[@]}" "$far/end.pvm"
echo 'proc p' | check "a program from standard input" vm --no-swap -
echo 'fly' >"$dir/fly"
"$BUILD/pagervm" "${run[@]}" - <"$dir/fly" 2>"$dir/err"
check_equal "a bad one: status" 1 $?
check "a bad one: it says where" grep -q 'standard input:1: ' "$dir/err"

# ---- ranges ----
while IFS='|' read -r call said; do
	program 1 "$call" "p.pvm:3: .*$said .EINVAL" \
		<<<$'proc p\nmap p a anon 8K\n'"$call"
done <<'END'
map p b anon 0|expected a size, found 0
map p b anon 4K at 0x1001|an address that is a multiple of 4096, found 0x1001
map p b file f shared offset 100 size 4K|an offset that is a multiple of 4096, found 0x64
unmap p a+1 4K|an address that is a multiple of 4096, found 0x.*1
protect p a+1 4K r|an address that is a multiple of 4096, found 0x.*1
msync p a+1 4K|an address that is a multiple of 4096, found 0x.*1
unmap p 0xfffffffffffff000 4K|addresses of the process, found 0xf*000 and 4096 bytes
END

# ---- memory ----
for mmu in pae 64; do	# PAE: four frames at once
	program 1 "RAM too small for one more process, $mmu" "fork.*ENOMEM" \
		--mmu $mmu --ram 96K <<<"proc p0
$(for i in {1..40}; do echo "fork p0 p$i"; done)"
done
program 1 "RAM too small for the page tables" "RAM|memory|ENOMEM" --ram 64K \
	<<<'repeat 100 $i {
proc p$i
map p$i a anon 4K
fill p$i a 1
}'
program 1 "swap full" "p.pvm:3: .*(SIGBUS|memory|swap)" --ram 1M <<<'proc p
map p a anon 40M
fill p a 1'
program 1 "no swap" "p.pvm:3: .*(SIGBUS|memory|swap)" --ram 1M --no-swap \
	<<<'proc p
map p a anon 4M
fill p a 1'

# ---- files ----
truncate -s 0 "$src/files/empty"
head -c 10000 /dev/urandom >"$src/files/f"
head -c 10000 /dev/urandom >"$src/files/ro"
program 1 "no such file" "files/none.*No such file" \
	<<<$'proc p\nmap p a file files/none shared'
program 1 "a directory" "(Is a dir|not a regular|No such dev)" \
	<<<$'proc p\nmap p a file files shared'
cat >"$dir/short.pvm" <<'END'
proc p
map p a file files/f size 40960 shared
fill p a+0 12288 7
expect fault SIGBUS load p a+12288
expect fault SIGBUS store p a+36864
msync p a
END
bytes 10000 7 >"$dir/expected"
check "shorter than the mapping: SIGBUS, and it does not grow" \
	vm --no-swap "$dir/short.pvm"
check "its bytes" cmp "$src/files/f" "$dir/expected"
program 1 "unexpected SIGBUS" "p.pvm:3: .*SIGBUS.*at 0x" <<<'proc p
map p a file files/empty size 4K shared
load p a'

# Truncated and removed, by somebody else, while a machine maps it.
truncate -s 40960 "$src/files/f" "$src/files/gone"
machine_start vm --ram 1M --no-swap
ctl 'proc p
map p a file files/f shared
map p b file files/gone shared
fill p a 1
fill p b 1
msync p a
msync p b'
# ... and noticed, though all of it is in RAM, and nothing else is asked for
ctl 'expect fill p a 1'
truncate -s 20480 "$mnt/files/f"
check "truncated: clean pages past the end go" wait_for 10 \
	ctl 'expect fault SIGBUS load p a+20480'
check "truncated: the others are there" ctl 'expect fill p a+0 20480 1'
truncate -s 10000 "$mnt/files/f"
check "truncated: SIGBUS beyond, the rest is there" ctl 'evict 10000
expect fault SIGBUS load p a+20480
expect fill p a+0 10000 1
fill p a+0 10000 2
msync p a'
check_equal "truncated: it does not grow" 10000 "$(stat -c %s "$src/files/f")"
bytes 10000 2 | check "truncated: what was stored" cmp - "$src/files/f"
exec 5<"$src/files/gone"
rm "$mnt/files/gone"
check "removed: goes on" ctl 'evict 10000
expect fill p b 1
fill p b 3
msync p b
evict 10000
expect fill p b 3'
bytes 40960 3 | check "removed: written all the same" cmp - /dev/fd/5
exec 5<&-
ctl 'map p c file files/gone shared' && fail "a removed file can be mapped"
check "removed: $answer" grep -q 'No such file' <<<"$answer"

# A second machine of the same name; and of the same swap area.
"$BUILD/pagervm" run -d "$mnt" -n vm --no-swap "$dir/ok.pvm" 2>"$dir/err"
check_equal "the same name: status" 1 $?
check "the same name: $(cat "$dir/err")" \
	grep -q 'running machine is mounted here; .*another name' "$dir/err"
check_equal "the same name: lines" 1 "$(wc -l <"$dir/err")"
check "the first one lives on" ctl 'expect fill p b 3'
machine_end 0
machine_start vm --ram 1M --swap swap/both,8M
"$BUILD/pagervm" run -d "$mnt" -n two --swap swap/both,8M "$dir/ok.pvm" \
	2>"$dir/err"
check_equal "the same swap area: status" 1 $?
check "the same swap area: $(cat "$dir/err")" \
	grep -q 'swap/both: is in use .* another machine; .*--swap FILE,SIZE' \
	"$dir/err"
check "the first one swaps on" ctl 'proc p
map p a anon 4M
fill p a pattern 1
expect fill p a pattern 1'
machine_end 0

# A read-only file: shared and writable is refused, private is not.
chmod 444 "$src/files/ro"
if [ "$(id -u)" = 0 ] && command -v chattr >/dev/null &&
	chattr +i "$src/files/ro" 2>/dev/null; then
	precious=$(sha256sum <"$src/files/ro")
	program 1 "a read-only file, shared and writable" \
		"p.pvm:2: .*(denied|not permitted|read-only)" \
		<<<$'proc p\nmap p a file files/ro shared rw'
	cat >"$dir/ro.pvm" <<'END'
proc p
map p a file files/ro shared r
map p b file files/ro private rw
fill p b 1
expect fault SIGSEGV store p a
END
	check "a read-only file" vm --no-swap "$dir/ro.pvm"
	check_equal "it is untouched" "$precious" \
		"$(sha256sum <"$src/files/ro")"
	chattr -i "$src/files/ro"
else
	say "no read-only file can be made here"
fi
check_equal "views left" "" "$(ls "$src/vm")"
umount_store "$mnt"

# A full disk: no swap area, and what was made of it is removed.
if [ "$(id -u)" = 0 ] && mkdir "$dir/full" &&
	mount -t tmpfs -o size=1m none "$dir/full"; then
	echo "0 none $dir/full" >>"$guard/mounts"
	mount_store "$dir/full/src" "$mnt"
	mounts_before=$(mounts) src=$dir/full/src
	refused 1 "a full disk" "swap area .*No space left.*--no-swap" \
		run -d "$mnt" --swap swap/s,8M "$dir/ok.pvm"
	check "nothing of it stays" [ ! -e "$src/swap/s" ]
	umount_store "$mnt"
else
	say "no small disk can be made here"
fi

# Stale: the store was killed.
mount_store "$dir/src" "$mnt"
kill -KILL "$store_pid"
{ wait "$store_pid"; } 2>/dev/null
mounts_before=$(mounts) src=$dir/src
refused 1 "a stale mount" "daemon has died; .*fusermount3 -uz $mnt" \
	run -d "$mnt" "$dir/ok.pvm"
check "the command clears it" fusermount3 -uz "$mnt"
finish
