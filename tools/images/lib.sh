# shellcheck shell=sh
# lib.sh - what the three programs of the ML worker share. Runs in busybox's shell.

# Whether something is mounted at $1. (Debian's busybox has no mountpoint.)
is_volume() { grep -q " $1 " /proc/mounts; }

# A directory that outlives an in-place restart: the one that is named, else the first of these that is a volume. Nothing
# if there is none: the announcement's manifest mounts no volumes.
kept_dir() {
    if [ -n "${WORK_DIR:-}" ]; then
        echo "$WORK_DIR"
        return
    fi
    for d in /work /checkpoint; do
        if is_volume "$d"; then
            echo "$d"
            return
        fi
    done
}

# Reads a number from a file; 0 if it is not there, or was never whole.
number() {
    n=$(cat "$1" 2>/dev/null) || n=
    case $n in
    '' | *[!0-9]*) echo 0 ;;
    *) echo "$n" ;;
    esac
}

# Replaces a file at once: a kill at any instant leaves the old content or the new.
replace() {
    echo "$2" >"$1.new"
    mv -f "$1.new" "$1"
}
