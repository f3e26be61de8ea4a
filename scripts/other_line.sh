#!/usr/bin/env bash
# Tests the TFX line that this machine does not take by itself, in a copy of this checkout with a .venv of its own.
#
#   scripts/other_line.sh                        all but end-to-end tests, then the sample on both lines, which must agree
#   scripts/other_line.sh [--bind DIR] COMMAND   any command in that copy, such as `make bench`; DIR is seen there too
#
# TFX 1.16 runs on any Linux with a Python 3.10. TFX 1.21 needs glibc 2.39: where this machine's is older, it gets a
# Debian 13 tree (debootstrap, as root; DEBIAN_MIRROR names a mirror), entered in mount and process namespaces of its own,
# which end with this script, whatever ends it. Tree, copy and packages are kept in ~/.cache/graft (GRAFT_CACHE).
# Exit codes: 0 done, or skipped (the text says why); 1 a test failed or the lines disagree; 2 wrong usage.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly CACHE=${GRAFT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/graft}
readonly COPY=$CACHE/checkout
readonly SUITE=trixie
readonly PACKAGES=ca-certificates,g++,git,make,python3,python3-dev,python3-venv
readonly TREE=$CACHE/debian-$SUITE
readonly LIMIT=${GRAFT_LIMIT:-3600} # seconds

say() { printf '%s\n' "$*" >&2; }

skip() { # why
    say "skipped: the tests of the other TFX line. $1"
    exit 0
}

other_of() { # line
    case $1 in 1.21) echo 1.16 ;; *) echo 1.21 ;; esac
}

make_tree() { # a Debian with a Python that TFX 1.21 runs on: complete or absent
    local scratch=$TREE.$$
    [[ ! -e $TREE/.complete-$PACKAGES ]] || return 0
    say "Making a Debian 13 tree in $TREE (a minute)..."
    rm -rf "$TREE"
    if ! debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$scratch" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$CACHE/debootstrap.log" 2>&1; then
        rm -rf "$scratch"
        return 1
    fi
    rm -rf "$scratch"/var/cache/apt/archives/*.deb
    : >"$scratch/.complete-$PACKAGES"
    mv "$scratch" "$TREE"
}

copy_checkout() { # all that git knows or would add; .venv and what set-up keeps stay, what is gone here goes there
    mkdir -p "$COPY"
    find "$COPY" -mindepth 1 -maxdepth 1 ! -name .venv ! -name .tools -exec rm -rf {} +
    git ls-files --cached --others --exclude-standard -z | while IFS= read -r -d '' file; do
        if [[ -e $file ]]; then printf '%s\0' "$file"; fi
    done | tar --create --null --files-from=- | tar --extract --directory "$COPY"
}

# Inside the namespaces: mounts what a build needs and becomes the command. $CACHE has the same path inside, so that
# both lines can work in one working directory, and uv's cache and .venv are on one mount: it links instead of copying.
enter_tree() { # command...
    local folder
    mount -t proc proc "$TREE/proc"
    mount --rbind /dev "$TREE/dev"
    mount -t tmpfs tmpfs "$TREE/tmp"
    mount --rbind /sys "$TREE/sys"
    for folder in "$CACHE" /etc/ssl/certs ${BIND:+"$BIND"}; do
        mkdir -p "$TREE$folder"
        mount --bind "$folder" "$TREE$folder"
    done
    for file in /etc/resolv.conf /etc/hosts /etc/pip.conf; do
        if [[ -f $file ]]; then cp --dereference "$file" "$TREE$file"; fi
    done
    # shellcheck disable=SC2016 # expanded by the inner shell
    exec timeout --foreground --kill-after=30 "$LIMIT" chroot "$TREE" /usr/bin/env \
        -u PYENV_ROOT -u PYENV_VERSION -u GRAFT_PYTHON -u GRAFT_TFX -u TMPDIR -u LD_LIBRARY_PATH \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 UV_CACHE_DIR="$CACHE/uv" \
        bash -c 'cd "$1" && shift && exec "$@"' _ "$COPY" "$@"
}

run_there() { # command...
    local child
    case $WHERE in
        here)
            (cd "$COPY" && GRAFT_TFX=$OTHER exec timeout --kill-after=30 "$LIMIT" "$@") &
            child=$! # timeout leads a process group of its own
            trap 'kill -- -$child 2>/dev/null; exit 130' INT TERM
            wait "$child"
            ;;
        tree) # the first process inside ends with unshare, and unshare with this script; all others with the first
            setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child \
                "$PWD/scripts/other_line.sh" --inside "$BIND" "$@"
            ;;
    esac
}

choose_place() { # sets WHERE; skips where there is none
    local found
    if found=$(GRAFT_TFX=$OTHER GRAFT_PYTHON="" scripts/setup_env.sh line 2>&1 >/dev/null); then
        WHERE=here
    elif [[ $OTHER != 1.21 || $(uname -sm) != "Linux x86_64" ]]; then
        skip "$(sed -n 's/^  Found: //p' <<<"$found" | tail -n 1)"
    elif [[ $(id -u) != 0 ]] || ! command -v debootstrap >/dev/null; then
        skip "TFX $OTHER needs a newer glibc than this machine has; a Debian 13 tree to run it in needs root and debootstrap (Debian: apt install debootstrap)."
    elif ! unshare --mount --pid --fork true 2>/dev/null; then
        skip "TFX $OTHER needs a newer glibc than this machine has; a Debian 13 tree needs mount namespaces, which are not allowed here."
    elif ! make_tree; then
        skip "The Debian 13 tree could not be made: $(tail -n 1 "$CACHE/debootstrap.log")"
    else
        WHERE=tree
    fi
}

test_both() { # all tests but the end-to-end ones there; then the sample there, and here in the same working directory
    # One chain: where a failure is waited for, bash does not stop by itself.
    run_there make unit MARKS='not e2e' &&
        run_there make run &&
        say "The sample under TFX $LINE, in the working directory of TFX $OTHER..." &&
        scripts/setup_env.sh runtime &&
        .venv/bin/graft run configs/sample.yaml --workdir "$COPY/work/sample" &&
        .venv/bin/python scripts/compare_lines.py "$COPY/work/sample"
}

main() {
    local status=0
    if [[ ${1:-} == --inside ]]; then
        BIND=$2
        enter_tree "${@:3}"
    fi
    BIND=""
    if [[ ${1:-} == --bind ]]; then
        [[ -d ${2:-} && -n ${3:-} ]] || { say "usage: scripts/other_line.sh [--bind DIR] [COMMAND...]" && exit 2; }
        BIND=$(realpath "$2")
        shift 2
    fi
    mkdir -p "$CACHE"
    exec 8>"$CACHE/lock"
    flock --nonblock 8 || { say "Waiting for another test of the other line to end..." && flock 8; }
    read -r LINE _ < <(scripts/setup_env.sh line 2>/dev/null) || true
    OTHER=$(other_of "$LINE")
    choose_place
    copy_checkout
    say "The other line: TFX $OTHER, $([[ $WHERE == here ]] && echo "on this machine" || echo "in a Debian 13 tree"), copy of this checkout in $COPY."
    if (($#)); then run_there "$@"; else test_both; fi || status=$?
    if ((status == 124)); then say "Ended after $LIMIT s (GRAFT_LIMIT)."; fi
    ((status == 0)) || exit 1
}

main "$@"
