#!/usr/bin/env bash
# The tour: everything pagerfs and pagervm do, once, on a real file, seen from
# inside (the programs tour/*.pvm check what they load), through the live view
# while it runs, and at the end from outside, by other programs.
#
#	tour/tour.sh [FILE]	default: a sizeable file of this machine
#	BUILD=build		where the programs are
#	MNT=mnt			the mount point
#	STORE=$BUILD/store	what is mounted there; FILE is copied into it
#	RAM=BYTES		of the machine (an eighth of FILE, 1M to 64M)
#	LIMIT=120		seconds for all but the copying
#
# Exit status: 0 verified, 1 not, 64 wrong usage, 130 interrupted, 143 told to
# end by another signal, or LIMIT is over. Whatever happens, no mount and no
# process is left: the machine is ended first, then the store; what does not end
# has its FUSE connection aborted, because a process that waits for a dead mount
# cannot be killed.
#
# Both run in sessions of their own: Ctrl-C on the terminal is for this script
# alone, or the store would be gone before the machine has written to it. And
# the script is two: bash loses a SIGINT now and then while it waits for a
# command, but not while it only waits, nor a SIGTERM. So the outer one only
# waits, and passes the signal on as a SIGTERM.
set -u
export LC_ALL=C

if [ -z "${TOUR_INNER:-}" ]; then
	inner='' signal=''
	# shellcheck disable=SC2317
	pass_on() {
		signal=$1
		[ -z "$inner" ] || kill -TERM "$inner" 2>/dev/null
	}
	trap 'pass_on 130' INT
	trap 'pass_on 143' TERM HUP
	TOUR_INNER=1 bash "${BASH_SOURCE[0]}" "$@" &
	inner=$!
	[ -z "$signal" ] || kill -TERM "$inner" 2>/dev/null
	wait "$inner"
	status=$?
	while kill -0 "$inner" 2>/dev/null; do	# a signal ended the wait
		wait "$inner"
		status=$?
	done
	exit "${signal:-$status}"
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

absolute() {
	case $1 in
	/*) echo "$1" ;;
	*) echo "$2/$1" ;;
	esac
}
build=$(absolute "${BUILD:-build}" "$here")
mnt=$(absolute "${MNT:-mnt}" "$here")
store=$(absolute "${STORE:-$build/store}" "$here")
limit=${LIMIT:-120}
view=$mnt/vm/tour
work=
store_pid='' machine_pid='' step_pid='' watchdog=''
connection='' view_connection=''

# ---- what is said, and the bar ----

bold='' dim='' green='' red='' off=''
[ -t 1 ] && [ "${TERM:-dumb}" != dumb ] &&
	bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' off=$'\e[0m'
bar=
[ -t 1 ] && bar=yes
bar_drawn=

bar_clear() {
	[ -z "$bar_drawn" ] || printf '\r%70s\r' ''
	bar_drawn=
}

bar_draw() {	# PERCENT WHAT
	local full='########################################'
	[ -n "$bar" ] || return 0
	printf '\r  [%-40s] %3d%%  %-16s' "${full:0:$1*40/100}" "$1" "$2"
	bar_drawn=yes
}

title() {
	bar_clear
	printf '\n%s%s%s\n' "$bold" "$*" "$off"
}

row() {		# LABEL TEXT...
	local label=$1
	shift
	bar_clear
	printf '  %-9s %s\n' "$label" "$*"
}

# What the live view shows, as it is, up to the screen's edge.
quote() {
	bar_clear
	cut -c 1-76 |
		sed "s/ *\$//; s/^/    $dim/; s/\$/$off/"
}

die() {
	bar_clear
	printf 'tour: %s\n' "$*" >&2
	exit 1
}

size() {	# BYTES => 31.8 MiB
	awk -v n="$1" 'BEGIN {
		split("bytes KiB MiB GiB TiB", unit)
		for (i = 1; n >= 1024 && i < 5; i++) n /= 1024
		printf(i == 1 ? "%d %s" : "%.1f %s", n, unit[i]) }'
}

short() {	# a path as one would type it from here
	case $1 in
	"$PWD"/*) echo "${1#"$PWD"/}" ;;
	*) echo "$1" ;;
	esac
}

since() {	# MICROSECONDS-OF-THEN => 1.2 s
	awk -v t="$((${EPOCHREALTIME/[.,]/} - $1))" \
		'BEGIN { printf("%.1f s", t / 1e6) }'
}

# ---- the end, whatever it is ----

connection_of() {
	awk -v at="$1" '{ gsub(/\\040/, " ", $5) } $5 == at {
		split($3, dev, ":"); n = dev[2] } END { print n }' \
		/proc/self/mountinfo
}

abort() {	# CONNECTION: every request on it fails now
	local file=/sys/fs/fuse/connections/$1/abort
	[ -n "$1" ] && [ -w "$file" ] && echo 1 >"$file"
}

unmount() {	# [-z]
	if [ "$(id -u)" = 0 ]; then
		umount ${1:+-l} "$mnt"
	else
		fusermount3 -u"${1:+z}" "$mnt"
	fi 2>/dev/null
}

# ends SECONDS PID: does it, in time?
ends() {
	local until=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
	while kill -0 "$2" 2>/dev/null; do
		[ "${EPOCHREALTIME/[.,]/}" -lt $until ] || return 1
		sleep 0.02
	done
}

machine_end() {
	[ -n "$machine_pid" ] || return 0
	local pid=$machine_pid
	machine_pid=
	kill -TERM "$pid" 2>/dev/null
	if ! ends 10 "$pid"; then
		abort "$view_connection"
		abort "$connection"
		kill -KILL "$pid" 2>/dev/null
		ends 5 "$pid"
	fi
	wait "$pid"
}

store_end() {
	[ -n "$store_pid" ] || return 0
	local pid=$store_pid
	store_pid=
	unmount || kill -TERM "$pid" 2>/dev/null
	if ! ends 5 "$pid"; then
		abort "$connection"
		unmount -z
		kill -KILL "$pid" 2>/dev/null
		ends 5 "$pid"
	fi
	# A signal may have met it before it knew how to end.
	[ -z "$(connection_of "$mnt")" ] || unmount -z
	wait "$pid"
}

cleanup() {
	local status=$?
	trap '' TERM
	trap - EXIT
	bar_clear
	[ -z "$watchdog" ] || kill "$watchdog" 2>/dev/null
	machine_end 2>/dev/null
	[ -z "$step_pid" ] || kill "$step_pid" 2>/dev/null
	store_end 2>/dev/null
	[ -z "$work" ] || rm -rf "$work"
	[ -z "${swap_file:-}" ] || rm -f "$swap_file"
	exit $status
}
trap cleanup EXIT

# Between "hold" and "go_on", so that no process is started whose number we
# do not know, a signal waits.
held='' told=
# shellcheck disable=SC2317
on_signal() {
	told=yes
	[ -n "$held" ] || exit 143
}
trap on_signal TERM
hold() { held=yes; }
go_on() {
	held=
	[ -z "$told" ] || exit 143
}

# The connection's abort frees whoever hangs, this script's children too.
watch() {
	hold
	(
		trap - EXIT
		trap 'kill $!; exit' TERM
		sleep "$limit" &
		wait $!
		echo "tour: still running after $limit s, giving up" >&2
		abort "$(connection_of "$(realpath "$view")")"
		abort "$connection"
		kill -TERM $$
	) &
	watchdog=$!
	go_on
}

# ---- the file ----

find_file() {
	local f
	for f in "$(gcc -print-prog-name=cc1 2>/dev/null)" \
		/usr/lib/gcc/*/*/cc1 /usr/libexec/gcc/*/*/cc1 \
		/usr/bin/gdb /usr/lib/x86_64-linux-gnu/*.so.* /usr/bin/*; do
		[ -f "$f" ] && [ -r "$f" ] &&
			[ "$(stat -Lc %s "$f")" -gt $((8 << 20)) ] &&
			echo "$f" && return
	done
	return 1
}

[ $# -le 1 ] || { echo "usage: tour/tour.sh [FILE]" >&2; exit 64; }
if [ -n "${1:-}" ]; then
	file=$1
else
	file=$(find_file) || die "no file over 8M found; name one: FILE=..."
fi
[ -e "$file" ] || die "$file: there is no such file"
[ ! -d "$file" ] || die "$file: is a directory; name a file"
[ -f "$file" ] || die "$file: not a regular file"
[ -r "$file" ] || die "$file: may not be read by you"
[ -s "$file" ] || die "$file: is empty, there is nothing to map"
for word in RAM LIMIT; do
	case ${!word:-0} in
	*[!0-9]*) die "$word=${!word}: expected a number" ;;
	esac
done
for program in "$build/pagerfs" "$build/pagervm"; do
	[ -x "$program" ] || die "$(short "$program") is missing: run make"
done

file=$(realpath -- "$file")
name=$(basename -- "$file" | tr -c '[:alnum:]._+ \n-' _)
copy=$store/files/$name
bytes=$(stat -c %s -- "$file")
mkdir -p "$store/files" "$store/swap" "$mnt" || exit 1
store=$(realpath -- "$store") mnt=$(realpath -- "$mnt")
copy=$store/files/$name view=$mnt/vm/tour
case $file in
"$store"/*) die "$file: is in the tour's own store; copy it elsewhere" ;;
esac
[ -z "$(connection_of "$mnt")" ] ||
	die "$mnt: something is mounted here already; if nobody uses it:" \
		"fusermount3 -u '$mnt'"
work=$(mktemp -d "${TMPDIR:-/tmp}/tour.XXXXXX") || exit 1

# ---- sizes ----

least() { echo $(($1 < $2 ? $1 : $2)); }
most() { echo $(($1 > $2 ? $1 : $2)); }

page=4096
ram=${RAM:-$(least $((64 << 20)) "$(most $((1 << 20)) $((bytes / 8)))")}
ram=$((ram / page * page))
hog=$((2 * ram))
kept=$(((ram / 2 + page - 1) / page * page))
first=$(od -An -tu1 -N1 -- "$file")
walk=$(least "$bytes" $((64 << 20)))
ranges=$((bytes < 64 ? 1 : 8))
step=$((bytes / ranges))
len=$(least 10000 $((bytes < 64 ? 1 : step / 4)))
gap=$((bytes < 64 ? 0 : step / 2))
shared=$((first ^ 0xff)) private=$((first ^ 0x55)) last=$((first ^ 0x0f))
parts=$((walk < 64 * page ? 1 : 32))
rounds=120

fill_in() {
	sed "s|@FILE@|files/$name|; s|@WALK@|$walk|; s|@PARTS@|$parts|
		s|@PART@|$((walk / parts))|g; s|@RANGES@|$ranges|
		s|@STEP@|$step|g; s|@LEN@|$len|g; s|@GAP@|$gap|g
		s|@SHARED@|$shared|g; s|@PRIVATE@|$private|g
		s|@LAST@|$last|; s|@HEAP@|$(most $((ram / 8)) $((16 * page)))|
		s|@HOG@|$hog|; s|@COPY@|$(least "$bytes" "$kept")|
		s|@KEPT@|$kept|g; s|@REST@|$((hog - kept))|g
		s|@ROUNDS@|$rounds|; s|@COUNT@|500|" "$here/tour/$1"
}

# ---- the machine, driven through its ctl file ----

declare -A now before

# Read vmstat; the reading before this one is kept.
counters() {
	local key value
	for key in "${!now[@]}"; do before[$key]=${now[$key]}; done
	while read -r key value; do now[$key]=$value; done <"$view/vmstat"
}

delta() { echo $((now[$1] - ${before[$1]:-0})); }

# A program is written to ctl in parts, each in one write and so one text: what
# stands between "# N times" and "# end" is N of them, with @I@ the number of
# the round. How many have been written is the bar's progress.
parts_of() {
	rm -f "$work"/part.* && fill_in "$1" | awk -v at="$work/part." '
	function part(text) {
		if (text == "") return
		file = sprintf("%s%04d", at, n++)
		printf("%s", text) >file
		close(file)
	}
	/^# [0-9]+ times$/ { part(text); text = ""; times = $2; next }
	/^# end$/ {
		for (i = 0; i < times; i++) {
			round = text
			gsub(/@I@/, i, round)
			part(round)
		}
		text = ""
		next
	}
	{ text = text $0 "\n" }
	END { part(text) }'
}

# The answer to a write comes when what it says has been done.
command_run() {
	local part status=0
	exec 3<>"$view/ctl" || return
	for part in "$work"/part.*; do
		cat "$part" >&3 2>/dev/null
		status=$?
		[ $status = 0 ] || break
		echo >>"$work/written"
	done
	cat <&3 >"$work/answer" 2>/dev/null
	return $status
}

# step PROGRAM FROM TO WHAT [LOOK]: run it, the bar going from FROM to TO as
# its parts are done; LOOK is called meanwhile, with how many are.
step() {
	local at all answer
	parts_of "$1" || exit 1
	all=("$work"/part.*)
	: >"$work/written"
	hold
	command_run &
	step_pid=$!
	go_on
	while kill -0 $step_pid 2>/dev/null; do
		at=$(wc -l <"$work/written")
		bar_draw $(($2 + ($3 - $2) * at / ${#all[@]})) "$4"
		[ -z "${5:-}" ] || "$5" "$at"
		sleep 0.05 &
		wait $!
	done
	if ! wait $step_pid; then
		step_pid=
		answer=$(cat "$work/answer" 2>/dev/null)
		[ -n "$answer" ] || answer=$(tail -n 1 "$work/machine.err")
		die "tour/$1: ${answer:-the machine has ended}"
	fi
	step_pid=
	counters
}

# Where process $1 has the file mapped; the frame that shows its first page.
pid_of() { awk -v name="$1" '$NF == name { print $1 }' "$view/procs"; }
area_of() { sed -n "1,\$ { \\|$2|{s/-.*//;p;q} }" "$view/$1/maps"; }
frame_of() {
	local pid entry at
	pid=$(pid_of "$1")
	at=$((0x$(area_of "$pid" "files/$name") / page))
	entry=$(dd if="$view/$pid/pagemap" bs=8 skip=$at count=1 2>/dev/null |
		od -An -tx8)
	echo $((0x${entry// /} & 0x7fffffffffffff))
}

# ---- go ----

printf '%spagervm: the tour%s  %s, %s, on a machine with %s of RAM\n' \
	"$bold" "$off" "$(basename -- "$file")" "$(size "$bytes")" \
	"$(size $ram)"
# A new file: whoever else has a link to the old one keeps what he has.
bar_draw 0 "copying"
swap_file=$store/swap/tour
hold
{
	rm -f -- "$copy" "$swap_file" &&
		exec cp --no-preserve=all -- "$file" "$copy"
} 2>"$work/copy.err" &
step_pid=$!
go_on
if ! wait $step_pid; then
	rm -f -- "$copy" 2>/dev/null
	die "$(tail -n 1 "$work/copy.err")"
fi
step_pid=
original=$(sha256sum <"$file")
watch

hold
setsid "$build/pagerfs" -f "$store" "$mnt" >"$work/store.err" 2>&1 &
store_pid=$!
go_on
until connection=$(connection_of "$mnt") && [ -n "$connection" ]; do
	kill -0 $store_pid 2>/dev/null || die "$(cat "$work/store.err")"
	sleep 0.02
done
hold
setsid "$build/pagervm" run --dir "$mnt" --name tour --ram $ram \
	--swap swap/tour,$((2 * hog + (1 << 20))) --hold \
	>/dev/null 2>"$work/machine.err" </dev/null &
machine_pid=$!
go_on
until [ -e "$view/ctl" ]; do
	kill -0 $machine_pid 2>/dev/null || die "$(cat "$work/machine.err")"
	sleep 0.02
done
# For an ordinary user it is a link to the mount.
view_connection=$(connection_of "$(realpath "$view")")
counters
row store "$(short "$store"): $name is copied into files/, yours stays as it is"
row mount "$(short "$mnt"), by pagerfs; the machine maps and swaps through it"
row machine "$(short "$view"), its live view: ${now[nr_free_pages]} free frames"

title "Map: alice and bob share the file, carol has it private"
step 1-map.pvm 2 5 map
row reads "alice loads the first byte: a fault, $(delta pgpgin) KiB read"
row shares "bob and carol load it too: $(delta pgshare) faults, nothing read;" \
	"frame $(frame_of alice), $(frame_of bob), $(frame_of carol)"
t0=${EPOCHREALTIME/[.,]/}
step 2-walk.pvm 5 35 "reading the file"
row walk "alice goes through $(size "$walk"): $(delta pgmajfault) faults" \
	"read $(size $(($(delta pgpgin) * 1024))) in $(since "$t0")"
row frames "$(delta pgsteal) taken again for other pages," \
	"$(delta pgscan) looked at by the clock"

title "Store: into the shared mapping, and into the private one"
step 3-store.pvm 35 40 stores
# What must be in the file, made by others from the original.
bytes_of() { head -c "$2" /dev/zero | tr '\0' "\\$(printf %o "$1")"; }
put() {		# OFFSET LENGTH BYTE
	bytes_of "$3" "$2" | dd of="$work/expected" bs=64K seek="$1" \
		oflag=seek_bytes conv=notrunc iflag=fullblock 2>/dev/null
}
cp --no-preserve=all -- "$file" "$work/expected" || exit 1
for ((i = 0; i < ranges; i++)); do put $((i * step)) "$len" $shared; done
row shared "alice fills $ranges times $(size "$len"), bob sees it at once"
row private "carol does, too: $(delta pgcow) pages are copied, for her alone"
row msync "$(delta pglaunder) dirty pages in $(delta pgoutclusters) writes;" \
	"cmp of the real file: $(cmp -s -- "$copy" "$work/expected" &&
		echo equal || echo DIFFERENT)"

title "Fork: copy on write"
step 4-fork.pvm 40 45 fork
row fork "dave forks erin: 0 pages copied; erin stores into 8 pages: 8 copied"
row shadows "carol, who has pages of her own, forks frank;" \
	"$(delta shadows) shadow objects"

title "Swap: hog has $(size $hog) of memory, the machine $(size $ram)"
# Once hog's memory is full, keep what there is to be seen; rather while frames
# are busy; best, being written.
seen=
look() {	# PARTS-DONE
	[ "$1" != 0 ] && [ "$seen" != writing ] || return 0
	cat "$view/frames" >"$work/busy"
	if grep -q ' writing ' "$work/busy"; then
		seen=writing
	elif [ "$seen" != reading ] && grep -q ' reading ' "$work/busy"; then
		seen=reading
	elif [ -z "$seen" ]; then
		seen=active
	else
		return 0
	fi
	head -n 1 "$work/busy" >"$work/frames"
	grep " $seen " "$work/busy" | sort -k10nr >>"$work/frames"
	cat "$view/swaps" >"$work/swaps"
	cat "$view/swap/0" >"$work/slots"
	cat "$view/$(pid_of hog)/maps" >"$work/maps"
	grep -E '^(nr_writeback|nr_reading|pswpin|pswpout) ' "$view/vmstat" \
		>"$work/vmstat"
}
t0=${EPOCHREALTIME/[.,]/}
step 5-swap.pvm 45 92 swapping look
out=$(delta pswpout) clusters=$(delta pgoutclusters)
row out "$out pages in $(since "$t0"), $((out / (clusters ? clusters : 1))) to a write on average"
row in "$(delta pswpin) pages, every load checked; $(delta pgretake) pages were" \
	"caught while being written"
if [ -n "$seen" ]; then
	bar_clear
	echo "  meanwhile, in $(short "$view"):"
	row frames "$(($(wc -l <"$work/frames") - 1)) $seen"
	head -n 3 "$work/frames" | quote
	row swaps "$(wc -l <"$work/slots") slots in use, swap/0 says by whom"
	awk '{ printf("%-32s %-6s %9s %9s %9s\n", $1, $2, $3, $4, $5) }' \
		"$work/swaps" | quote
	head -n 3 "$work/slots" | quote
	row maps "of hog"
	sed 's/ \{9,\}/  /' "$work/maps" | quote
	row vmstat "$(paste -s -d ' ' "$work/vmstat")"
fi

# Hog's copy of the file has been out in swap: read it back as a stranger.
hog_pid=$(pid_of hog)
heap=$((0x$(awk 'NF == 5 { sub(/-.*/, ""); print; exit }' \
	"$view/$hog_pid/maps")))
copied=$(least "$bytes" $kept)
timeout 30 dd if="$view/$hog_pid/mem" bs=64K iflag=skip_bytes,count_bytes \
	skip=$heap count="$copied" 2>/dev/null |
	cmp -s -n "$copied" -- - "$work/expected" && back=yes
step 6-last.pvm 92 94 "last store"
bar_draw 95 "ending"

# ---- the end, and the checks from outside ----

title "Checked from outside, by sha256sum and cmp, all being ended"
failed=0
verdict() {	# TEXT COMMAND...
	local text=$1
	shift
	bar_clear
	if "$@"; then
		printf '  %sok%s        %s\n' "$green" "$off" "$text"
	else
		printf '  %sFAILED%s    %s\n' "$red" "$off" "$text"
		failed=1
	fi
}
machine_end 2>"$work/end.err"
machine_status=$?
store_end 2>"$work/end.err"
store_status=$?
put 0 1 $last
no_mount() { ! grep -qF " ${mnt// /\\040}" /proc/self/mounts; }
sum() { sha256sum <"$1" | cut -d ' ' -f 1; }

verdict "both programs ended by themselves, and well" \
	[ "$machine_status$store_status" = 00 ]
verdict "no mount is left" no_mount
verdict "what hog had in swap was the file's bytes (through mem, by dd)" \
	[ "${back:-}" = yes ]
verdict "$(short "$copy") is the original and the shared stores, no more" \
	cmp -- "$copy" "$work/expected"
verdict "sha256 $(sum "$copy" | cut -c 1-40)..., as expected" \
	[ "$(sum "$copy")" = "$(sum "$work/expected")" ]
verdict "your own file was not touched" \
	[ "$(sha256sum <"$file")" = "$original" ]
[ $failed = 0 ] || die "NOT verified"
printf '%sverified%s\n' "$bold$green" "$off"
