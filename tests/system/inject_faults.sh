#!/usr/bin/env bash
# Faults on command: each does exactly what it says, seen by the client and in
# the real file, and nothing else. Every check has its counterpart: what the
# rule does not name goes through untouched.
. "$(dirname "$0")/lib.sh"
time_limit 60
need cmp
src=$dir/src mnt=$dir/mnt
. "$here/tests/lib/inject.sh"
mkdir -p "$src/sub"
need "$io"
mount_store "$src" "$mnt" -o seed=7,attr_timeout=0,entry_timeout=0

# acted NUMBER MATCHED ACTED
acted() {
	check_equal "rule $1: $(sed -n "$(($1 + 1))p" "$rules")" \
		"matched $2, acted $3" \
		"$(grep -o "# $1: .*" "$rules" | sed "s/.*: //; s/, used.*//")"
}

# ---- errors: any operation, any number; nothing is done ----
io "no rules" "-c open $mnt/f write 0 8192 65 fsync" \
	"open 0;write 8192;fsync 0"
rules 'write f at=4096..8192 error=EIO'
io "an error in a range" "open $mnt/f write 0 4096 66 write 4095 2 67 \
write 8191 1 67 write 8192 10 68" \
	"open 0;write 4096;write EIO;write EIO;write 10"
check_equal "real file" "4096x42 4096x41 10x44" "$(real f 0 9000)"
acted 1 2 2
rules 'write end at=65536.. error=EIO'
check_equal "of what is appended, where the file ends" \
	"open 0;append 1;run 0;append EIO;size 65536" \
	"$("$io" -a -c open "$mnt/end" append 1 65 run \
		"truncate -s 64K '$src/end'" append 1 66 size | paste -sd';')"
rm "$mnt/end"
rules 'read f error=ENOMEM'
io "reads only" "open $mnt/f read 0 10 write 0 4 66" \
	"open 0;read ENOMEM;write 4"
rules 'fsync f error=ENOSPC
flush f error=EDQUOT'
io "fsync, and close" "open $mnt/f write 0 4 66 fsync close" \
	"open 0;write 4;fsync ENOSPC;close EDQUOT"
while IFS=: read -r ops err said command; do
	rules "$ops * error=$err"
	before=$(cd "$src" && find . -printf '%p %s %n %y\n' | sort)
	(cd "$mnt" && $command) >/dev/null 2>"$dir/said" &&
		fail "$ops: no error from $command"
	check "$ops: $(cat "$dir/said")" grep -q "$said" "$dir/said"
	check_equal "$ops: nothing is done" "$before" \
		"$(cd "$src" && find . -printf '%p %s %n %y\n' | sort)"
done <<'END'
open:EACCES:Permission denied:cat f
create:EMFILE:Too many open files:touch new
mkdir:ENOSPC:No space left:mkdir new
unlink:EBUSY:resource busy:rm -f f
rename:EPERM:not permitted:mv -T f new
link:EMLINK:Too many links:ln f new
symlink:EIO:Input/output:ln -s f new
setattr:EROFS:Read-only:truncate -s 1 f
getattr+lookup:ESTALE:Stale:stat f
statfs:EIO:Input/output:stat -f f
opendir:EIO:Input/output:ls sub
readdir:EUCLEAN:needs cleaning:ls sub
rmdir:EIO:Input/output:rmdir sub
mknod:EDQUOT:quota:mkfifo new
END
rules ''
check "without rules all of it works" bash -c "cd '$mnt' && touch new &&
	mv new new2 && mkdir d && rmdir d && rm new2 && ls sub && stat -f f"

# ---- when ----
rules 'write f every=3 error=EIO'
io "every third" "open $mnt/f write 0 1 65 write 0 1 65 write 0 1 65 \
write 0 1 65 write 0 1 65 write 0 1 65" \
	"open 0;write 1;write 1;write EIO;write 1;write 1;write EIO"
acted 1 6 2
rules 'write f after=2 times=1 error=EIO'
io "the third, once" "open $mnt/f write 0 1 65 write 0 1 65 write 0 1 65 \
write 0 1 65" "open 0;write 1;write 1;write EIO;write 1"
rules 'write f nth=2+4 error=EIO'
io "by number" "open $mnt/f write 0 1 65 write 0 1 65 write 0 1 65 \
write 0 1 65 write 0 1 65" "open 0;write 1;write EIO;write 1;write EIO;write 1"
rules 'write f from=800ms to=2s error=EIO'
io "not yet" "open $mnt/f write 0 1 65" "open 0;write 1"
sleep 0.9
io "now" "open $mnt/f write 0 1 65" "open 0;write EIO"
sleep 1.2
io "no more" "open $mnt/f write 0 1 65" "open 0;write 1"

# The same seed, the same faults; another seed, others.
chance() {
	echo "seed $1" >"$mnt/.pagerfs/ctl"
	rules 'write f p=1/2 error=EIO'
	local i words=
	for i in {1..40}; do words+=" write 0 1 65"; done
	# shellcheck disable=SC2086
	"$io" open "$mnt/f" $words | md5sum
}
a=$(chance 5) b=$(chance 5) c=$(chance 6)
check_equal "the same seed" "$a" "$b"
[ "$a" != "$c" ] || fail "another seed makes no difference"
check_equal "the seed is shown" "# seed 6" "$(head -n 1 "$rules")"

# ---- patterns ----
touch "$src/sub/f" "$src/g"
rules 'write sub/* error=EIO'
io "by directory" "open $mnt/f write 0 1 65 close open $mnt/sub/f \
write 0 1 65" "open 0;write 1;close 0;open 0;write EIO"
mv "$mnt/sub/f" "$mnt/h"
io "by its present name" "open $mnt/h write 0 1 65" "open 0;write 1"
rules 'write [gh] error=EIO'
io "by a set" "open $mnt/g write 0 1 65" "open 0;write EIO"
acted 1 1 1

# ---- short ----
head -c 100000 /dev/zero | tr '\0' A >"$src/f"
rules 'read f short=1000'
io "a short direct read" "-d open $mnt/f read 0 8192" "open 0;read 1000 \
$("$io" open "$src/f" read 0 1000 | awk '/read/ { print $3 }')"
io "what is cached cannot be short" "open $mnt/f count 0 8192 65" \
	"open 0;count 8192"
acted 1 1 1
rules 'read g short=1000
read g error=EIO'
echo >"$src/g"
io "and is for the next rule" "open $mnt/g read 0 1" "open 0;read EIO"
rules 'write f short=700'
io "a short write" "open $mnt/f write 0 8192 66" "open 0;write 700"
check_equal "real file" "700x42 324x41" "$(real f 0 1024)"
rules 'write f short'
got=$("$io" open "$mnt/f" write 0 8192 67 | awk '/write/ { print $2 }')
check "anything from 1 to 8191: $got" [ "$got" -ge 1 -a "$got" -le 8191 ]
check_equal "so much is there" "$got" "$(tr -dc C <"$src/f" | wc -c)"
io "a mapped page is never short" "open $mnt/f map 0 4096 68" "open 0;map 0"
check_equal "real file" "4096x44" "$(real f 0 4096)"

# ---- torn ----
head -c 16384 /dev/zero | tr '\0' A >"$src/f"
rules 'write f torn=3'
for flag in -s -d; do
	io "torn $flag" "$flag open $mnt/f write 4096 4096 66" "open 0;write EIO"
	check_equal "three sectors" "4096x41 1536x42 10752x41" \
		"$(real f 0 16384)"
	head -c 16384 /dev/zero | tr '\0' A >"$src/f"
done
rules 'write f torn=0 then=ENOSPC'
io "none of it" "open $mnt/f write 0 4096 66" "open 0;write ENOSPC"
check_equal "real file" "16384x41" "$(real f 0 16384)"
rules 'write f torn=100'
io "all of it, and an error" "open $mnt/f write 0 4096 66" "open 0;write EIO"
check_equal "real file" "4096x42 12288x41" "$(real f 0 16384)"
head -c 2048 /dev/zero | tr '\0' A >"$src/f"
rules 'write f torn=1'
io "a sector of the file" "open $mnt/f write 100 1000 66" "open 0;write EIO"
check_equal "whole or not" "100x41 412x42 1536x41" "$(real f 0 2048)"
rules 'write f torn=3'
io "the last in part" "open $mnt/f write 100 1000 67" "open 0;write EIO"
check_equal "all of it" "100x41 1000x43 948x41" "$(real f 0 2048)"
head -c 16384 /dev/zero | tr '\0' A >"$src/f"
rules 'write f torn'
seen=
for byte in 67 68 69 70 71 72 73 74; do
	"$io" open "$mnt/f" write 0 8192 $byte >/dev/null
	n=$(tr -dc "\\$(printf %03o $byte)" <"$src/f" | wc -c)
	check "whole sectors, fewer than all: $n" [ $((n % 512)) = 0 -a $n -lt 8192 ]
	seen+="$n "
done
check "of random number: $seen" \
	[ "$(tr ' ' '\n' <<<"$seen" | sort -u | wc -l)" -ge 4 ]

# ---- lost ----
head -c 8192 /dev/zero | tr '\0' A >"$src/f"
rules 'write f lost times=1
fsync f lost times=1'
io "lost, also for fsync" "-d open $mnt/f write 0 4096 66 fsync \
count 0 8192 65" "open 0;write 4096;fsync 0;count 8192"
check_equal "real file" "8192x41" "$(real f 0 8192)"
io "then not" "-d open $mnt/f write 0 4096 66 fsync" \
	"open 0;write 4096;fsync 0"
check_equal "real file" "4096x42 4096x41" "$(real f 0 8192)"

# ---- bits ----
flips() { cmp -l "$1" "$2" | awk '
	function bits(a, b,  n, i, x, y) {
		for (i = 1; i < 1000; i *= 2) {
			x = int(a / i) % 2; y = int(b / i) % 2; n += x != y
		}
		return n
	}
	function dec(o) { return int(o/100)*64 + int(o%100/10)*8 + o%10 }
	{ n += bits(dec($2), dec($3)) } END { print n + 0 }'; }
head -c 65536 /dev/urandom >"$src/f"
cp "$src/f" "$dir/f"
rules 'read f flip times=1'
dd if="$mnt/f" of="$dir/copy" iflag=direct bs=64k 2>/dev/null
check_equal "one bit of what was read" 1 "$(flips "$dir/f" "$dir/copy")"
check "none on the disk" cmp "$dir/f" "$src/f"
dd if="$mnt/f" of="$dir/copy" iflag=direct bs=64k 2>/dev/null
check "read again it is right" cmp "$dir/f" "$dir/copy"
rules 'write f flip=3 at=8192..12288'
dd if="$dir/f" of="$mnt/f" oflag=direct bs=4k conv=notrunc 2>/dev/null
check_equal "three bits of what was written" 3 "$(flips "$dir/f" "$src/f")"
check_equal "all in that block" 0 "$(cmp -l "$dir/f" "$src/f" |
	awk '$1 <= 8192 || $1 > 12288' | wc -l)"
acted 1 1 1

printf A >"$src/f"
rules 'write f flip=8'
io "each bit once" "open $mnt/f write 0 1 65" "open 0;write 1"
check_equal "all of a byte" 1xbe "$(real f 0 1)"
rules 'write f flip=9'
io "more than there are" "open $mnt/f write 0 1 65" "open 0;write 1"
check_equal "all of a byte" 1xbe "$(real f 0 1)"

# ---- several rules: delays and bits add up, the first outcome counts ----
rules 'write f delay=100ms
write f delay=50ms
write f error=EIO
write f error=ENOSPC'
got=$("$io" -t open "$mnt/f" write 0 1 65 | tail -n 1)
check "EIO after 150 ms: $got" awk '{ exit !($2 == "EIO" && $3 >= 150000 &&
	$3 < 3000000) }' <<<"$got"
acted 1 1 1
acted 3 1 1
acted 4 0 0

# ---- kill ----
head -c 16384 /dev/zero | tr '\0' A >"$src/f"
rules 'write f after=1 torn=2 then=kill'
io "the daemon dies in a write" "open $mnt/f write 8192 4096 66 \
write 0 4096 66 write 0 1 66" \
	"open 0;write 4096;write ECONNABORTED;write ENOTCONN"
{ wait "$store_pid"; } 2>/dev/null
check_equal "killed" 137 $?
check_equal "real file" "1024x42 7168x41 4096x42 4096x41" "$(real f 0 16384)"
check "cleared by the command" fusermount3 -uz "$mnt"

# ---- by the command line ----
echo 'write f error=EIO	# a comment' >"$dir/rules"
mount_store "$src" "$mnt" -o "rules=$dir/rules" \
	-o 'inject=read g error=ENOMEM;read h error=EBUSY' -o seed=99
check_equal "all of them, in order" "# seed 99
write f error=EIO
read g error=ENOMEM
read h error=EBUSY" "$(sed 's/\t.*//' "$rules")"
io "from the file" "open $mnt/f write 0 1 65" "open 0;write EIO"
umount_store "$mnt"
echo 'write f eror=EIO' >>"$dir/rules"
"$BUILD/pagerfs" -o "rules=$dir/rules" "$src" "$mnt" 2>"$dir/err" &&
	fail "a wrong file is accepted"
check "file and line: $(cat "$dir/err")" \
	grep -q "^pagerfs: $dir/rules:2: 'eror=EIO': expected " "$dir/err"
"$BUILD/pagerfs" -o 'inject=reed * error=EIO' "$src" "$mnt" 2>"$dir/err" &&
	fail "a wrong rule is accepted"
check "$(cat "$dir/err")" grep -q "inject=:1: 'reed': expected" "$dir/err"
"$BUILD/pagerfs" -o "rules=$dir/none" "$src" "$mnt" 2>"$dir/err" &&
	fail "a missing file is accepted"
check "$(cat "$dir/err")" grep -q "rules=$dir/none: No such" "$dir/err"
"$BUILD/pagerfs" -o "rules=$dir" "$src" "$mnt" 2>"$dir/err" &&
	fail "a directory is accepted"
check "$(cat "$dir/err")" grep -q "rules=$dir: Is a directory" "$dir/err"
check "nothing is mounted" bash -c "! grep -q ' $mnt ' /proc/self/mounts"
finish
