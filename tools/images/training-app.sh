#!/bin/sh
# training-app - the main container: trains step by step and goes on from its last checkpoint.
#   CHECKPOINT_DIR  where checkpoints go (else /checkpoint or /work, if one is a volume, else /tmp: then a restart begins at 0)
#   STEPS           steps in all (40)
#   STEP_TIME       seconds a step (0.25)
#   FAIL_AT         steps at which it reports a failure to the watcher, each once, and hangs ("10 25"; none)
#   WORK_DIR        where the report goes (else /work or /checkpoint, if one is a volume)
set -eu
# shellcheck source=tools/images/lib.sh
. /usr/lib/ml-worker/lib.sh
trap 'echo "training: stopping at step $step"; exit 143' TERM INT
dir=${CHECKPOINT_DIR:-}
for d in /checkpoint /work; do
    if [ -z "$dir" ] && is_volume "$d"; then dir=$d; fi
done
[ -n "$dir" ] || dir=/tmp
mkdir -p "$dir"
shared=$(kept_dir)
[ -z "$shared" ] || mkdir -p "$shared"
steps=${STEPS:-40}
step=$(number "$dir/checkpoint")
run=$(($(number "$dir/training.runs") + 1))
replace "$dir/training.runs" "$run"
if [ "$step" -gt 0 ]; then
    echo "training: run $run, going on from checkpoint: step $step of $steps"
else
    echo "training: run $run, no checkpoint in $dir: from the beginning, $steps steps"
fi
while [ "$step" -lt "$steps" ]; do
    sleep "${STEP_TIME:-0.25}"
    step=$((step + 1))
    replace "$dir/checkpoint" "$step"
    echo "training: step $step of $steps, loss $(awk -v s="$step" 'BEGIN { printf "%.4f", 2.5 / (1 + s / 8) }')"
    for at in ${FAIL_AT:-}; do
        if [ "$at" = "$step" ] && [ -n "$shared" ] && [ ! -e "$dir/failed-at-$at" ]; then
            : >"$dir/failed-at-$at"
            replace "$shared/failed" "collective operation timed out at step $step"
            echo "training: collective operation timed out at step $step, waiting for the watcher"
            while :; do sleep 0.1; done
        fi
    done
done
echo "training: done, $steps steps"
