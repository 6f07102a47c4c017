#!/usr/bin/env bash
# The hidden directory .pagerfs: found by name, seen by nobody, closed to
# others, and right in what it says.
. "$(dirname "$0")/lib.sh"
time_limit 40
need_root
need setpriv
src=$dir/src mnt=$dir/mnt
mkdir -p "$src/sub"
chmod 755 "$dir"
io=$BUILD/tests/fs/tool_io
need "$io"
c=$mnt/.pagerfs
# Nothing is kept over an open: whether a close is told would hang on how long
# ago the file was changed (fs/keep.c).
mount_store "$src" "$mnt" \
	-o allow_other,seed=3,attr_timeout=0,entry_timeout=0,noauto_cache
chmod 777 "$src"

# ---- found by name only ----
check_equal "its files" "ctl inflight inodes rules stats" \
	"$(ls "$c" | paste -sd' ')"
check_equal "modes" "dr-x------ -rw------- -r-------- -r-------- -rw------- \
-r--------" "$(stat -c %A "$c" "$c"/* | paste -sd' ')"
# stat(1) without a format asks for a birth time as well
check_equal "all that is to be known" "$(stat -c '%A %u %i %Y' "$c"/*)" \
	"$(stat -c '%A %u %i %Y %W' "$c"/* | sed 's/ [0-]$//')"
check "stat" stat "$c" "$c"/*
check_equal "its file system" "$(stat -f -c '%l %s %b' "$mnt")" \
	"$(stat -f -c '%l %s %b' "$c")"
check_equal "for df, too" "$(df --output=size "$mnt")" \
	"$(df --output=size "$c/rules")"
check_equal "not listed" sub "$(ls -A "$mnt")"
check_equal "not found" 1 "$(find "$mnt" -mindepth 1 | wc -l)"
check "not in a subdirectory" [ ! -e "$mnt/sub/.pagerfs" ]
# ---- cannot be made, removed, renamed, linked, changed ----
refused() {
	check "$*" bash -c '! "$@" 2>/dev/null' _ "$@"
}
refused mkdir "$c"
refused rmdir "$c"
refused rm -rf "$c"
refused touch "$c/new"
refused rm -f "$c/rules"
refused mv "$c" "$mnt/other"
refused mv "$c/rules" "$mnt/other"
refused mv "$mnt/sub" "$c"
refused mv -T "$mnt/sub" "$c"
refused ln "$c/rules" "$mnt/other"
refused ln -s x "$c/link"
refused chmod 777 "$c/rules"
refused chown 1 "$c/rules"
refused mkfifo "$c/fifo"
refused setfattr -n user.a -v b "$c/rules"
# There is one; there is none, and none can be.
said() {
	check_equal "$*" "$1" \
		"$(LC_ALL=C "${@:2}" 2>&1 | sed 's/.*: //')"
}
said "File exists" mkdir "$c"
said "Operation not permitted" mkdir "$c/new"
said "Operation not permitted" ln -s x "$c/link"
said "Operation not permitted" mkfifo "$c/fifo"
said "Operation not permitted" ln "$c/rules" "$mnt/other"
check_equal "all is as it was" "5 sub" "$(ls "$c" | wc -l) $(ls -A "$src")"
# and no answer has made the kernel think that something is not possible
touch "$mnt/x"
check "holes" fallocate -l 64K "$mnt/x"
check "pipes elsewhere" mkfifo "$mnt/pipe"
rm -f "$mnt/pipe"
# ---- closed to others ----
as() { setpriv --reuid=1234 --regid=1234 --clear-groups -- "$@"; }
refused as ls "$c"
check "but seen, when its name is known" as stat "$c"
check "and so is the file system" as stat -f "$c"
refused as cat "$c/stats"
refused as bash -c "echo 'all * error=EIO' >'$c/rules'"
refused as bash -c "echo clear >>'$c/ctl'"
check "they use the mount" as touch "$mnt/theirs"
check_equal "no rule was set" 1 "$(wc -l <"$c/rules")"

# ---- rules: set, added, refused whole, shown, and what is shown can be set ----
cat >"$c/rules" <<'END'
# two of them
read a* error=EIO
write b at=4K.. every=2 delay=1ms	# the second
END
check_equal "shown" "# seed 3
read a* error=EIO
write b at=4K.. every=2 delay=1ms" "$(sed 's/\t.*//' "$c/rules")"
cp "$c/rules" "$dir/rules"
echo 'fsync c lost' >>"$c/rules"
check_equal "added" 4 "$(wc -l <"$c/rules")"
cat >"$c/rules" 2>/dev/null <<'END' && fail "a wrong rule is accepted"
read new error=EIO
write new eror=EIO
END
check "said: $(cat "$c/ctl")" grep -q "^.pagerfs/rules:2: 'eror=EIO': expected" \
	"$c/ctl"
check "logged" grep -q "pagerfs/rules:2: 'eror=EIO'" "$dir/store.log"
check_equal "nothing has changed" 4 "$(wc -l <"$c/rules")"
check "set again" cp "$dir/rules" "$c/rules"
check_equal "what was shown" "$(sed 's/#.*//' "$dir/rules")" \
	"$(sed 's/#.*//' "$c/rules")"
printf 'read z error=EIO' >"$c/rules"	# without its newline
check_equal "a last line without an end" 2 "$(wc -l <"$c/rules")"
printf 'read y err' >>"$c/rules" 2>/dev/null
check "refused when it is closed" grep -q "'err': expected" "$c/ctl"
(printf 'read y '; printf 'error=EIO\nread x'; printf ' error=EIO\n') \
	>>"$c/rules"
check_equal "by pieces" 4 "$(wc -l <"$c/rules")"
: >"$c/rules"
check_equal "emptied" 1 "$(wc -l <"$c/rules")"
# ---- not without end: all together, however they come ----
for i in 1 2; do
	for n in {1..512}; do echo 'read y error=EIO'; done >>"$c/rules"
done
check_equal "so many" 1025 "$(wc -l <"$c/rules")"
echo 'read y error=EIO' >>"$c/rules" 2>/dev/null && fail "one more accepted"
check "said: $(cat "$c/ctl")" grep -q \
	'^.pagerfs/rules: expected no more than 1024 rules in force' "$c/ctl"
check_equal "none was added" 1025 "$(wc -l <"$c/rules")"
for n in {1..64}; do echo 'read y freeze'; done >"$c/rules"
echo 'read y freeze' >>"$c/rules" 2>/dev/null && fail "65 freezes accepted"
check "said: $(cat "$c/ctl")" grep -q 'no more than 64 that freeze' "$c/ctl"
check_equal "none was added" 65 "$(wc -l <"$c/rules")"
: >"$c/rules"
# ---- commands ----
ctl() {
	exec 9<>"$c/ctl"
	cat <<<"$1" >&9 2>/dev/null
	answer=$(cat <&9)
	exec 9>&-
}
ctl 'read a error=EIO
read b error=EIO
remove 1'
check_equal "done" ok "$answer"
check_equal "the first is gone" "read b error=EIO" \
	"$(sed -n '2s/\t.*//p' "$c/rules")"
ctl 'remove 7'
check "$answer" grep -q "^.pagerfs/ctl: 'remove 7': expected remove NUMBER" \
	<<<"$answer"
ctl 'seed x'
check "$answer" grep -q "expected seed NUMBER" <<<"$answer"
ctl 'seed 99999999999999999999999'
check "$answer" grep -q "expected seed NUMBER" <<<"$answer"
ctl 'nonsense'
check "$answer" grep -q "'nonsense': expected operations" <<<"$answer"
ctl 'cut 50%; read d error=EIO'
check "$answer" grep -q "expected cut, or cut SHARE" <<<"$answer"
printf 'clear\0 and more\n' >"$c/ctl" 2>/dev/null && fail "a NUL is accepted"
check "said: $(cat "$c/ctl")" grep -q 'without a NUL' "$c/ctl"
check_equal "and not carried out up to it" "read b error=EIO" \
	"$(sed -n '2s/\t.*//p' "$c/rules")"
ctl 'seed 78
read c error=EIO'
check_equal "numbered on, after a seed too" "2 3" \
	"$(sed -n 's/.*# \([0-9]*\):.*/\1/p' "$c/rules" | paste -sd' ')"
ctl 'seed 77
clear'
check_equal "done" "ok # seed 77" "$answer $(cat "$c/rules")"

# ---- stats: exactly what was done ----
stat_of() { awk -v name="$1" '$1 == name { print $2 }' "$c/stats"; }
before=$(stat_of 'pagerfs_requests_total{op="write"}')
bytes=$(stat_of 'pagerfs_bytes_total{op="write"}')
slow=$(stat_of 'pagerfs_request_seconds_bucket{op="write",le="0.008192"}')
ctl 'write x nth=1 delay=20ms
write x nth=2+3 error=EIO'
"$io" open "$mnt/x" write 0 1000 65 write 0 24 65 write 0 1 65 write 0 500 65 \
	>/dev/null
check_equal "requests" $((before + 4)) \
	"$(stat_of 'pagerfs_requests_total{op="write"}')"
check_equal "errors" 2 "$(stat_of 'pagerfs_errors_total{op="write"}')"
check_equal "bytes" $((bytes + 1500)) \
	"$(stat_of 'pagerfs_bytes_total{op="write"}')"
check_equal "count" $((before + 4)) \
	"$(stat_of 'pagerfs_request_seconds_count{op="write"}')"
check_equal "all but one within 8 ms" $((slow + 3)) \
	"$(stat_of 'pagerfs_request_seconds_bucket{op="write",le="0.008192"}')"
check_equal "all" $((before + 4)) \
	"$(stat_of 'pagerfs_request_seconds_bucket{op="write",le="+Inf"}')"
check_equal "of the rules" "4 2" "$(stat_of \
	'pagerfs_rule_matched_total{rule="2"}') $(stat_of \
	'pagerfs_rule_acted_total{rule="2"}')"
check_equal "no line which is not Prometheus'" "" "$(grep -vE \
	'^# (HELP|TYPE) [a-z_]+ .+|^[a-z_]+(\{[a-z]+="[^"]+"(,le="[^"]+")?\})? [0-9.]+$' \
	"$c/stats")"
check_equal "each metric has one type" "" \
	"$(grep '^# TYPE' "$c/stats" | sort | uniq -d)"
buckets=$(grep -c 'seconds_bucket{op="write"' "$c/stats")
check_equal "buckets" 26 "$buckets"
check "they only rise" awk -F' ' '/seconds_bucket{op="write"/ {
	if ($2 < last) exit 1; last = $2 }' "$c/stats"
# ---- a close is told only where it can matter: to rules ----
closed=$(stat_of 'pagerfs_requests_total{op="flush"}')
"$io" open "$mnt/x" write 0 4 65 close >/dev/null
check_equal "closes with rules" $((closed + 1)) \
	"$(stat_of 'pagerfs_requests_total{op="flush"}')"
ctl clear
case $(stat -f -c %T "$src") in
ext2/ext3|xfs|btrfs|f2fs|tmpfs|ramfs)
	closed=$(stat_of 'pagerfs_requests_total{op="flush"}')
	"$io" open "$mnt/x" write 0 4 65 close >/dev/null
	echo made >"$mnt/made"
	check_equal "closes without, of files opened and made" "$closed" \
		"$(stat_of 'pagerfs_requests_total{op="flush"}')" ;;
esac
# ---- a snapshot: one open file shows one moment ----
exec 5<"$c/stats"
touch "$mnt/more" && rm "$mnt/more"
one=$(dd bs=64 count=100 <&5 2>/dev/null | md5sum)
exec 5<&-
[ "$one" != "$(head -c 6400 "$c/stats" | md5sum)" ] || fail "no snapshot"
# ---- inodes ----
mkdir "$mnt/deep" && touch "$mnt/deep/file"
ino=$(stat -c %i "$src/deep/file")
check "$(cat "$c/inodes")" awk '$1 == '"$ino"' && $2 == "-" && $3 >= 1 &&
	$4 == "deep/file" { n++ } END { exit n != 1 }' "$c/inodes"
check_equal "as many as counted" "$(stat_of pagerfs_inodes)" \
	"$(($(wc -l <"$c/inodes") - 1))"
for i in {1..200}; do echo $i >"$mnt/deep/$i"; done
check_equal "named right" 200 "$(grep -cE ' deep/[0-9]+$' "$c/inodes")"
# of several names the first, and another one when that is gone
echo 1 >"$mnt/deep/one"
ln "$mnt/deep/one" "$mnt/deep/two"
check_equal "two names" deep/one "$(sed -n 's/.* \(deep\/[a-z]*\)$/\1/p' \
	"$c/inodes" | grep -v file)"
rm "$mnt/deep/one"
echo 'write two error=EIO' >"$c/rules"
check_equal "the other's rule" "open 0;write EIO" \
	"$("$io" open "$mnt/deep/two" write 0 1 65 | sed 's/ *$//' |
	paste -sd';')"
check_equal "and name" deep/two "$(sed -n 's/.* \(deep\/[a-z]*\)$/\1/p' \
	"$c/inodes" | grep -v file)"
: >"$c/rules"
# deeper than a path reaches: by no means the root
python3 - "$mnt/deep" <<'END'
import os, sys
os.chdir(sys.argv[1])
for i in range(25):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
with open("far", "w"):
    pass
END
check_equal "one root" 1 "$(grep -c ' /$' "$c/inodes")"
check "too long" grep -q ' (too long)$' "$c/inodes"
rm -r "$mnt/deep"
wait_for 5 bash -c "! grep -q deep/ '$c/inodes'" || fail "not forgotten"
# ---- the way in stays open, also when the root is another one's, for whose
# access list the kernel then asks ----
chown 1234:1234 "$src"
for rule in 'all * freeze' 'all * error=EIO'; do
	cat <<<"$rule" >"$c/rules"
	check "$rule: is read" timeout 5 grep -qF "$rule" "$c/rules"
	check "$rule: taken back" timeout 5 bash -c "echo clear >'$c/ctl'" || {
		abort_connection "$(connection_of "$mnt")"
		exit 1
	}
done
echo 'getxattr * error=EIO' >"$c/rules"
check "another list of its is not on the way" bash -c "python3 -c 'import os
os.getxattr(\"$mnt\", \"user.a\")' 2>&1 | grep -q 'Input/output'"
ctl clear
chown 0:0 "$src"
umount_store "$mnt"

# ---- none; one that SOURCE has itself; pagerfs over pagerfs ----
mount_store "$src" "$mnt" -o nocontrol
check "no directory" [ ! -e "$c" ]
mkdir "$c" && echo own >"$c/rules"
check_equal "its own" own "$(cat "$c/rules")"
check_equal "and listed" 1 "$(ls -A "$mnt" | grep -c pagerfs)"
umount_store "$mnt"
: >"$dir/store.log"
mount_store "$src" "$mnt"
check "said: $(cat "$dir/store.log")" grep -q "its own entry .pagerfs is out of \
reach" "$dir/store.log"
check_equal "ours is there" 5 "$(ls "$c" | wc -l)"
check_equal "its is not listed" 0 "$(ls -A "$mnt" | grep -c pagerfs)"
check "its is untouched" [ "$(cat "$src/.pagerfs/rules")" = own ]
lower=$store_pid
mount_store "$mnt" "$dir/upper"
echo 'write x error=EIO' >"$dir/upper/.pagerfs/rules"
check_equal "the upper one's" "1 2" "$(wc -l <"$c/rules") \
$(wc -l <"$dir/upper/.pagerfs/rules")"
umount_store "$dir/upper"
store_pid=$lower
umount_store "$mnt"
finish
