#!/usr/bin/env bash
# In a user namespace, as in a container without root: we seem to have all
# capabilities there, and the limits of who has none hold all the same.
. "$(dirname "$0")/lib.sh"
time_limit 30
need unshare prlimit
timeout 5 unshare -Urm true 2>/dev/null ||
	skip "no user namespaces here (user.max_user_namespaces, seccomp)"
src=$dir/src mnt=$dir/mnt
mkdir "$src" "$mnt"
# One of somebody who does not exist there: no owner of theirs could ask for it
# to be read without its time of access.
echo theirs >"$src/theirs" && chmod 666 "$src/theirs"
[ "$(id -u)" != 0 ] || chown 1234 "$src/theirs"

# It must be less than the threads' stacks together. The mount goes with its
# namespace; the daemon is ended by the unmount, or here.
cat >"$dir/inside" <<'END'
"$1" -f -o log_level=info,noatime "$2" "$3" 2>"$4" &
for i in {1..250}; do
	grep -q " $3 " /proc/self/mountinfo && grep -q "is served" "$4" && break
	kill -0 $! 2>/dev/null || exit 3
	sleep 0.02
done
echo served >"$3/f" && cat "$3/f" "$3/theirs"
umount "$3" || kill $!
wait $!
END
prlimit --memlock=8388608:8388608 timeout 20 unshare -Urm bash "$dir/inside" \
	"$BUILD/pagerfs" "$src" "$mnt" "$dir/log" >"$dir/out" 2>&1
status=$?
if grep -q "mount failed\|fuse: .*/dev/fuse" "$dir/log"; then
	skip "no FUSE in user namespaces: $(head -n 1 "$dir/log")"
fi
check "it starts and ends well: $(cat "$dir/log")" [ $status = 0 ]
check_equal "and serves" "served theirs" "$(paste -sd' ' "$dir/out")"
check_equal "the file" served "$(cat "$src/f")"
# The sanitizers' mlockall() does nothing.
case $BUILD in *asan | *tsan) finish ;; esac
check "which lock it has: $(cat "$dir/log")" \
	grep -q "memory is not locked" "$dir/log"
finish
