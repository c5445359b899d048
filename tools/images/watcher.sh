#!/bin/sh
# watcher - the sidecar: exits 88 when the job must start anew. It sees a failure when somebody writes the file "failed" into
# the shared directory, and, to have something to show, it also meets one by itself:
#   FAIL_AFTER   seconds after which it sees a failure (5; "never" = only the file counts)
#   FAIL_TIMES   how often at most. It counts in the shared directory, so the default is 2 where a volume is mounted and no
#                limit where none is; when it is set and there is no volume, the Pod's /dev/shm is tried
#   WORK_DIR     the shared directory (else /work or /checkpoint, if one is a volume)
set -eu
# shellcheck source=tools/images/lib.sh
. /usr/lib/ml-worker/lib.sh
trap 'echo "watcher: stopping"; exit 0' TERM INT
dir=$(kept_dir)
[ -n "$dir" ] || [ -z "${FAIL_TIMES:-}" ] || dir=/dev/shm
seen=0
[ -z "$dir" ] || { mkdir -p "$dir"; seen=$(number "$dir/watcher.failures"); }
after=${FAIL_AFTER:-5}
if [ -n "$dir" ] && [ "$seen" -ge "${FAIL_TIMES:-2}" ]; then
    after=never
fi
echo "watcher: watching ${dir:-nothing but the clock} (failures so far: $seen, next after: $after)"

fail() {
    [ -z "$dir" ] || replace "$dir/watcher.failures" $((seen + 1))
    echo "watcher: $1, exit 88: restart all containers"
    exit 88
}

# uptime's hundredths, without the point: the wall clock may be set meanwhile.
now() { cut -d' ' -f1 /proc/uptime | tr -d .; }
if [ "$after" != never ]; then
    end=$(($(now) + $(echo "$after" | awk '{ printf "%d", $1 * 100 }')))
fi
while :; do
    if [ -n "$dir" ] && [ -e "$dir/failed" ]; then
        why=$(cat "$dir/failed" 2>/dev/null || :)
        rm -f "$dir/failed" # else a restart that lasts long would be asked for twice
        fail "failure reported: ${why:-unknown}"
    fi
    [ "$after" = never ] || [ "$(now)" -lt "$end" ] || fail "retriable failure after ${after}s"
    sleep 0.1
done
