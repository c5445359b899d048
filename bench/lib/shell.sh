#!/bin/sh
# What bench/lib/shell.py talks to: runs each line of stdin as a command and answers with its status. One shell for a whole
# benchmark, so that a peer which is a sequence of commands pays for those commands alone. LOG gets what they say.

# crun_up N PODS: the containers of all Pods, N each, in Kubernetes' order: a Pod's first is an init container unless it is
# the only one. `run` is create and start in one process, which is faster than the two; without --detach it ends with the
# container. Container I has the bundle $CRUN_BUNDLES/I.
crun_up() {
    i=0
    while [ "$i" -lt $(($1 * $2)) ]; do
        if [ "$1" -gt 1 ] && [ $((i % $1)) = 0 ]; then
            crun --root "$CRUN_STATE" run --bundle "$CRUN_BUNDLES/$i" "c$i" || return
        else
            crun --root "$CRUN_STATE" run --detach --bundle "$CRUN_BUNDLES/$i" "c$i" || return
        fi
        i=$((i + 1))
    done
}

# crun_down N PODS: an init container was removed when it ended.
crun_down() {
    i=0
    while [ "$i" -lt $(($1 * $2)) ]; do
        if [ "$1" = 1 ] || [ $((i % $1)) != 0 ]; then
            crun --root "$CRUN_STATE" delete --force "c$i"
        fi
        i=$((i + 1))
    done
}

crun_restart() {
    crun_down "$1" "$2"
    crun_up "$1" "$2"
}

while read -r line; do
    eval "$line" </dev/null >>"$LOG" 2>&1
    echo $?
done
