# shellcheck shell=bash
# fio.sh - one kind of request, on several sides in turn.
#
# A cell is MODE,SIZE,DEPTH,ORDER,WAY: direct,4k,64,rand,read or
# buffered,1m,16,seq,write. A side is a directory with a file in it, the same
# one for all sides or one for each. All run in one fio, one after the other,
# REPS times in turn, so that what the machine does meanwhile hits all alike.
#
#	side NAME FILE [OPTION]		OPTION: of its fio jobs
#	fill FILE			make it, of FILE_MIB, written
#	cell CELL NAME...		measure: NAMEs in turn
#	median_of NAME			requests a second
#	ratio_of NAME OTHER		median of the ratios of each turn
#	longer_than NAME OTHER		median of the differences, us a request
#
# Of a side that failed the last three print nothing.
FILE_MIB=${FILE_MIB:-128}
seconds=1			# for each side in each turn, but for RUNTIME
REALTIME=${REALTIME:-}			# a priority for chrt -r
realtime=()
[ -z "$REALTIME" ] || realtime=(chrt -r "$REALTIME")
declare -A side_file=() side_option=()

side() {
	side_file[$1]=$2
	side_option[$1]=${3:-}
}

fill() {
	dd if=/dev/zero of="$1" bs=1M count="$FILE_MIB" conv=fsync status=none
}

# What all jobs of a cell have in common. invalidate=0: warm is warm.
cell_global() {
	local mode size depth order way
	IFS=, read -r mode size depth order way <<<"$1"
	cat <<-end
		[global]
		ioengine=io_uring
		direct=$([ "$mode" = direct ] && echo 1 || echo 0)
		bs=$size
		iodepth=$depth
		rw=${order/seq/}$way
		size=${FILE_MIB}m
		runtime=$(awk -v s="${RUNTIME:-$seconds}" 'BEGIN { print s * 1000 }')ms
		time_based
		stonewall
		invalidate=0
		norandommap
		randrepeat=0
		allow_file_create=0
		gtod_reduce=1
	end
}

# $disk/cell: lines "turn name requests milliseconds"
cell() {
	local what=$1 turn name
	shift
	{
		cell_global "$what"
		for ((turn = 0; turn < REPS; turn++)); do
			for name in "$@"; do
				printf '[%s %s]\nfilename=%s\n%s\n' "$turn" \
					"$name" "${side_file[$name]}" \
					"${side_option[$name]}"
			done
		done
	} >"$disk/job"
	progress "$what"
	limited "${realtime[@]}" fio --minimal "$disk/job" \
		>"$disk/terse" 2>&1
	awk -F ';' -v size="${what#*,}" '
		BEGIN {
			bytes = size + 0
			bytes *= size ~ /^[0-9]+m/ ? 1024 : 1	# KiB
		}
		$1 == 3 && $5 == 0 && $9 + $50 > 0 {
			print $3, ($6 + $47) / bytes, $9 + $50
		}' "$disk/terse" >"$disk/cell"
	progress
}

median='function median(v, n,	i, j, t) {
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && v[j - 1] > v[j]; j--) {
			t = v[j]; v[j] = v[j - 1]; v[j - 1] = t
		}
	return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}'

# cell_median EXPRESSION NAME [OTHER]: of a and b, their requests a second.
cell_median() {
	awk -v name="$2" -v other="${3:-$2}" "$median"'
		{ rate[$1, $2] = $3 * 1000 / $4; turns[$1] }
		END {
			for (t in turns)
				if ((t, name) in rate && (t, other) in rate) {
					a = rate[t, name]; b = rate[t, other]
					v[++n] = '"$1"'
				}
			if (n)
				printf "%.6g\n", median(v, n)
		}' "$disk/cell"
}

median_of() {
	cell_median a "$1"
}

ratio_of() {
	cell_median 'a / b' "$1" "$2"
}

longer_than() {
	cell_median '1e6 / a - 1e6 / b' "$1" "$2"
}

# What is being done, for who looks on.
progress() {
	[ ! -t 2 ] || printf '\r\033[K%s' "$*" >&2
}
