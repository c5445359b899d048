#!/bin/sh
# setup-worker - the init container: prepares what the others work with, anew each time. It is re-entrant, as every init
# container of a Pod that restarts in place has to be: what an earlier run left is replaced, not tripped over.
#   WORK_DIR     where (else /work or /checkpoint, if one is a volume, else /tmp/work)
#   SETUP_TIME   seconds it takes (0.5)
set -eu
# shellcheck source=tools/images/lib.sh
. /usr/lib/ml-worker/lib.sh
dir=$(kept_dir)
[ -n "$dir" ] || dir=/tmp/work
mkdir -p "$dir"
run=$(($(number "$dir/setup.runs") + 1))
rm -rf "$dir/dataset.new" "$dir/failed"
mkdir "$dir/dataset.new"
for shard in 0 1 2 3; do
    seq 1 1000 >"$dir/dataset.new/shard-$shard"
done
sleep "${SETUP_TIME:-0.5}"
rm -rf "$dir/dataset"
mv "$dir/dataset.new" "$dir/dataset"
replace "$dir/setup.runs" "$run"
echo "setup: environment ready in $dir (run $run)"
