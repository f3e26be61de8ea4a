#!/usr/bin/env bash
# Makes .venv from the locks in requirements/: once, and again when a lock or setup.py changes.
#
#   scripts/setup_env.sh runtime   what `graft` needs
#   scripts/setup_env.sh dev       that, and what lint and tests need
#   scripts/setup_env.sh uv        only prints the path of uv, fetching it when the machine has none
#
# GRAFT_PYTHON names a Python 3.10 when the search below does not find one.
# Exit codes: 0 done, 1 something failed on the way, 2 the machine lacks what is needed (the text says what).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly PYTHON_VERSION=3.10
readonly TFX_VERSION=1.16
readonly RUNTIME_LOCK=requirements/tfx-$TFX_VERSION.txt
readonly DEV_LOCK=requirements/dev.txt
readonly UV_LOCK=requirements/uv.txt
readonly BUILD_LOCK=requirements/build.txt
readonly OLDEST_UV=0.5.0
readonly TOOLS=.tools
readonly VENV=.venv
readonly LOG=$TOOLS/setup.log
readonly UNFINISHED=$TOOLS/unfinished

say() { printf '%s\n' "$*" >&2; }

refuse() { # line...
    printf '%s\n' "$@" >&2
    exit 2
}

digest() {
    if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c1-16
}

# What the environment was made from. The folder is part of it: a virtual environment does not survive a move.
fingerprint() {
    { pwd -P && cat "$@" "$BUILD_LOCK" setup.py && grep '^__version__' pipeline/__init__.py; } | digest
}

is_ready() { # stamp
    [[ -f $1 && -x $VENV/bin/python && -x $VENV/bin/graft && ! -e $UNFINISHED ]]
}

check_machine() {
    case "$(uname -s) $(uname -m)" in
        "Linux x86_64" | "Darwin x86_64") ;;
        *) refuse "Graft cannot be set up here: TFX $TFX_VERSION is published for x86_64 on Linux and macOS only." \
            "  Found: $(uname -s) $(uname -m)." \
            "  Try:   the Docker image, with --platform linux/amd64." ;;
    esac
}

# --- Python ----------------------------------------------------------------------------------------------------------

readonly PROBE="
import bz2, ctypes, sqlite3, ssl, sys, zlib
if '%d.%d' % sys.version_info[:2] != '$PYTHON_VERSION':
    sys.exit(1)
print(sys.executable)
"

usable_python() { # path; prints where it really is, fails when it is another version or incomplete
    "$1" -c "$PROBE" 2>/dev/null
}

python_candidates() {
    local candidate pyenv=${PYENV_ROOT:-$HOME/.pyenv} managed=${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/uv/python}
    command -v "python$PYTHON_VERSION" || true
    printf '%s\n' "$pyenv/versions/$PYTHON_VERSION".*/bin/python "$managed/cpython-$PYTHON_VERSION".*/bin/python
    command -v python3 python || true
    if candidate=$(present_uv); then "$candidate" python find --system --no-python-downloads "$PYTHON_VERSION" 2>/dev/null || true; fi
}

find_python() { # prints the path of a usable Python, or fails
    local candidate
    while read -r candidate; do
        if usable_python "$candidate"; then return; fi
    done < <(python_candidates)
    return 1
}

refuse_python() { # first line
    refuse "$1" \
        "  TFX $TFX_VERSION runs on Python $PYTHON_VERSION only. Any one of these provides it:" \
        "    pyenv install $PYTHON_VERSION" \
        "    uv python install $PYTHON_VERSION" \
        "    apt install python$PYTHON_VERSION        Ubuntu 22.04; newer ones from ppa:deadsnakes/ppa; Debian 12 has no package" \
        "    conda create -n graft python=$PYTHON_VERSION" \
        "  Then call the same command again; with GRAFT_PYTHON=/path/to/python$PYTHON_VERSION if it is not found by itself."
}

choose_python() {
    if [[ -n ${GRAFT_PYTHON:-} ]]; then
        PYTHON=$(usable_python "$GRAFT_PYTHON") ||
            refuse_python "GRAFT_PYTHON=$GRAFT_PYTHON is not a complete Python $PYTHON_VERSION."
    else
        PYTHON=$(find_python) || refuse_python "No usable Python $PYTHON_VERSION found (looked in PATH, pyenv and uv)."
    fi
}

# --- uv --------------------------------------------------------------------------------------------------------------

is_recent_uv() { # path
    local version
    version=$("$1" --version 2>/dev/null | cut -d' ' -f2) &&
        [[ $(printf '%s\n' "$OLDEST_UV" "$version" | sort -V | head -n 1) == "$OLDEST_UV" ]]
}

present_uv() { # prints the path of uv, or fails
    local candidate
    for candidate in "$(command -v uv || true)" "$HOME/.local/bin/uv" "$PWD/$TOOLS/uv"; do
        if [[ -x $candidate ]] && is_recent_uv "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

find_uv() { # prints the path of uv, fetching it when there is none
    present_uv || { fetch_uv && present_uv; }
}

fetch_uv() { # into .tools/uv: complete or absent
    local folder python
    say "Fetching uv, the installer, into $TOOLS..."
    folder=$(mktemp -d "$TOOLS/fetch.XXXXXX")
    for python in "${PYTHON:-}" python3 "python$PYTHON_VERSION" python; do
        if [[ -n $python ]] && pip_install_uv "$python" "$folder" >>"$LOG" 2>&1; then
            mv -f "$folder/uv" "$TOOLS/uv"
            rm -rf "$folder"
            return
        fi
    done
    rm -rf "$folder"
    tail -n 5 "$LOG" >&2
    refuse "uv is not installed and could not be fetched with pip (all of the log: $LOG)." \
        "  Expected: uv $OLDEST_UV or newer in PATH; or a python3 with pip (Debian: apt install python3-pip) and a package index." \
        "  Try:      https://docs.astral.sh/uv/getting-started/installation/, then call the same command again."
}

pip_install_uv() { # python folder; a plain Debian has venv without ensurepip, so pip's --target is the second way
    local python=$1 folder=$2 pip=(-m pip install --quiet --no-deps --require-hashes -r "$UV_LOCK")
    if "$python" -m venv "$folder/venv" && "$folder/venv/bin/python" "${pip[@]}"; then
        mv "$folder/venv/bin/uv" "$folder/uv"
    else
        "$python" "${pip[@]}" --target "$folder/lib" && mv "$folder/lib/bin/uv" "$folder/uv"
    fi
}

# uv does not read pip's configuration: a machine that reaches its index through pip's gets the same one here.
follow_pip_configuration() {
    local index
    if [[ -z ${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-} && ! -e ${XDG_CONFIG_HOME:-$HOME/.config}/uv/uv.toml && ! -e /etc/uv/uv.toml ]]; then
        index=${PIP_INDEX_URL:-$("$PYTHON" -m pip config get global.index-url 2>/dev/null || true)}
        if [[ -n $index ]]; then export UV_DEFAULT_INDEX=$index; fi
    fi
    if [[ -n ${PIP_CERT:-} ]]; then export SSL_CERT_FILE=${SSL_CERT_FILE:-$PIP_CERT}; fi
}

# Hard links from uv's cache need one file system; say "copy" ourselves where there are two, so that uv need not warn.
choose_link_mode() {
    local cache
    cache=$("$UV" cache dir)
    while [[ ! -e $cache ]]; do cache=$(dirname "$cache"); done
    if [[ $("$PYTHON" -c 'import os, sys; print(len({os.stat(p).st_dev for p in sys.argv[1:]}))' . "$cache") != 1 ]]; then
        export UV_LINK_MODE=${UV_LINK_MODE:-copy}
    fi
}

# --- .venv -----------------------------------------------------------------------------------------------------------

install() { # lock...
    local lock python=$VENV/bin/python
    # What was interrupted may be half written, package by package: start over, uv's cache makes that quick.
    if [[ -e $UNFINISHED ]] || ! usable_python "$python"; then
        : >"$UNFINISHED"
        rm -rf "$VENV"
        "$UV" venv --quiet --no-project --python "$PYTHON" "$VENV"
    fi
    : >"$UNFINISHED"
    rm -f "$VENV"/.runtime-* "$VENV"/.dev-*
    # Some packages have no wheel; they are built with the tools of a lock of their own, not with the newest.
    # Bytecode is compiled now: where PYTHONDONTWRITEBYTECODE is set, as in many images, each run would pay for it
    # (`from tfx import v1`: 21 s without, 8 s with).
    "$UV" pip sync --quiet --compile-bytecode --python "$python" --require-hashes \
        -b "$BUILD_LOCK" "$@"
    "$UV" pip install --quiet --python "$python" --no-deps --no-build-isolation --editable .
    for lock in "$@"; do : >"$(stamp_of "$lock")"; done
    rm -f "$UNFINISHED"
}

stamp_of() { # lock
    case $1 in
        "$RUNTIME_LOCK") echo "$VENV/.runtime-$(fingerprint "$RUNTIME_LOCK")" ;;
        "$DEV_LOCK") echo "$VENV/.dev-$(fingerprint "$RUNTIME_LOCK" "$DEV_LOCK")" ;;
    esac
}

explain_failure() {
    tail -n 20 "$LOG" >&2
    say "Set-up failed (all of the log: $LOG)."
    if ! command -v c++ >/dev/null && ! command -v g++ >/dev/null; then
        say "  One package has no wheel and is compiled: it needs a C++ compiler (Debian: apt install g++)."
    fi
    say "  The same command continues from what was downloaded."
    exit 1
}

on_signal() {
    trap - INT TERM
    say "Set-up interrupted; the same command starts it again."
    exit 130
}

set_up() { # what it is, lock...
    local what=$1 started=$SECONDS status
    shift
    check_machine
    if command -v flock >/dev/null; then # two calls at once: the second waits, then finds the work done
        exec 9>"$TOOLS/lock"
        flock --nonblock 9 || { say "Waiting for another set-up to end..." && flock 9; }
        if is_ready "$(stamp_of "${*: -1}")"; then return; fi
    fi
    : >"$LOG"
    rm -rf "$TOOLS"/fetch.* # of a call that was interrupted
    choose_python
    UV=$(find_uv)
    say "Setting up $VENV: $what (a minute or two)..."
    follow_pip_configuration
    choose_link_mode
    export UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-300}
    unset UV_SYSTEM_PYTHON VIRTUAL_ENV CONDA_PREFIX PYTHONHOME
    set +e # inside `if` or `||`, bash would ignore -e in the function too
    (set -e && install "$@") >>"$LOG" 2>&1
    status=$?
    set -e
    ((status == 0)) || explain_failure
    say "$VENV is ready ($((SECONDS - started)) s)."
}

main() {
    mkdir -p "$TOOLS"
    trap on_signal INT TERM
    case ${1:-} in
        runtime)
            is_ready "$(stamp_of "$RUNTIME_LOCK")" ||
                set_up "TFX $TFX_VERSION on Python $PYTHON_VERSION" "$RUNTIME_LOCK"
            ;;
        dev)
            is_ready "$(stamp_of "$DEV_LOCK")" ||
                set_up "TFX $TFX_VERSION on Python $PYTHON_VERSION, lint and test tools" "$RUNTIME_LOCK" "$DEV_LOCK"
            ;;
        uv) find_uv ;;
        *) refuse "usage: scripts/setup_env.sh runtime|dev|uv" ;;
    esac
}

main "$@"
