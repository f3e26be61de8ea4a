#!/usr/bin/env bash
# Makes .venv from the locks in requirements/: once, and again when a lock or setup.py changes.
#
#   scripts/setup_env.sh runtime   what `graft` needs
#   scripts/setup_env.sh dev       that, and what lint and tests need
#   scripts/setup_env.sh line      only prints the TFX line that would be taken and the path of its Python
#   scripts/setup_env.sh uv        only prints the path of uv, fetching it when the machine has none
#   scripts/setup_env.sh apart DIR PACKAGE...   the newest of these packages in a virtual environment of their own, DIR
#
# The TFX line is the newest one that this machine can load. GRAFT_TFX=1.16|1.21 asks for one, GRAFT_PYTHON for a Python.
# A Python that is not on the machine is fetched with uv into .tools; UV_PYTHON_INSTALL_MIRROR names another source.
# Exit codes: 0 done, 1 something failed on the way, 2 the machine lacks what is needed (the text says what).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly LINES="1.21 1.16" # the newest first
readonly OLDEST_GLIBC=2.39 # of the 1.21 line: the wheels of ML Metadata and TensorFlow Data Validation
readonly UV_LOCK=requirements/uv.txt
readonly BUILD_LOCK=requirements/build.txt
readonly OLDEST_UV=0.5.0
readonly TOOLS=.tools
readonly VENV=.venv
readonly LOG=$TOOLS/setup.log
readonly UNFINISHED=$TOOLS/unfinished

# Set by choose_line.
LINE="" PYTHON="" WHY=""

pythons_of() { # line; the preferred one first
    case $1 in
        1.21) echo "3.13 3.12 3.11" ;;
        1.16) echo "3.10" ;;
    esac
}

say() { printf '%s\n' "$*" >&2; }

refuse() { # line...
    printf '%s\n' "$@" >&2
    exit 2
}

digest() {
    if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c1-16
}

glibc_version() { # empty where there is no glibc
    getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2 || true
}

# What the environment was asked for and made from. The folder is part of it: a virtual environment does not survive a
# move. So is glibc: a newer system may load a newer line.
fingerprint() { # runtime|dev
    local line locks=("$BUILD_LOCK")
    for line in $LINES; do
        locks+=("requirements/tfx-$line.txt")
        if [[ $1 == dev ]]; then locks+=("requirements/dev-$line.txt"); fi
    done
    { pwd -P && echo "${GRAFT_TFX:-} $(glibc_version)" && cat "${locks[@]}" setup.py && grep '^__version__' pipeline/__init__.py; } | digest
}

stamp_of() { # runtime|dev
    echo "$VENV/.$1-$(fingerprint "$1")"
}

is_ready() { # runtime|dev
    [[ -f $(stamp_of "$1") && -x $VENV/bin/python && -x $VENV/bin/graft && ! -e $UNFINISHED ]] || return 1
    [[ -z ${GRAFT_PYTHON:-} ]] || same_version "$GRAFT_PYTHON" "$VENV/bin/python"
}

# --- The line --------------------------------------------------------------------------------------------------------

is_at_least() { # version oldest
    [[ $(printf '%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]
}

why_not() { # line; prints why this machine cannot load it, nothing where it can
    local glibc
    case "$1 $(uname -s) $(uname -m)" in
        *" Linux x86_64")
            glibc=$(glibc_version)
            if [[ -z $glibc ]]; then
                echo "TFX $1 needs glibc, which this machine does not have"
            elif [[ $1 == 1.21 ]] && ! is_at_least "$glibc" "$OLDEST_GLIBC"; then
                echo "TFX $1 needs glibc $OLDEST_GLIBC or newer, this machine has $glibc"
            fi
            ;;
        "1.21 Darwin arm64" | "1.16 Darwin x86_64") ;;
        *) echo "TFX $1 is not published for $(uname -s) on $(uname -m)" ;;
    esac
}

choose_line() {
    local line reason reasons=() wanted=${GRAFT_TFX:-$LINES}
    [[ " $LINES " == *" ${GRAFT_TFX:-${LINES%% *}} "* ]] ||
        refuse "GRAFT_TFX: expected one of ${LINES// /, }, received '$GRAFT_TFX'." "  Without it, the newest line that this machine can load is taken."
    if [[ -n ${GRAFT_PYTHON:-} ]]; then wanted=$(line_of_given_python) || exit 2; fi
    for line in $wanted; do
        reason=$(why_not "$line")
        if [[ -z $reason ]]; then
            if find_or_fetch_python "$line"; then
                LINE=$line
                explain_choice ${reasons[@]+"${reasons[@]}"} # older bash takes an empty list for unset
                return
            fi
            reason="no Python $(pythons_in_words "$line") for TFX $line was found (looked in PATH, pyenv and uv) or could be fetched"
        fi
        reasons+=("$reason")
    done
    refuse_machine "${reasons[@]}"
}

explain_choice() { # reason against each newer line...
    WHY="TFX $LINE on Python $(version_of "$PYTHON"): "
    if [[ -n ${GRAFT_TFX:-} ]]; then
        WHY+="GRAFT_TFX asks for it."
    elif [[ -n ${GRAFT_PYTHON:-} ]]; then
        WHY+="the line of GRAFT_PYTHON=$GRAFT_PYTHON."
    elif (($#)); then
        WHY+="$1."
    else
        WHY+="the newest line, which this machine can load."
    fi
}

refuse_machine() { # reason...
    local line text lines=()
    for text in "$@"; do lines+=("  Found: $text."); done
    if [[ "$*" != *"no Python "* ]]; then
        refuse "Graft cannot be set up here${GRAFT_TFX:+ with GRAFT_TFX=$GRAFT_TFX}." "${lines[@]}" \
            "  Expected: Linux on x86_64 with glibc, from $OLDEST_GLIBC on for TFX 1.21; macOS on arm64 for 1.21, on x86_64 for 1.16." \
            "  Try:   GRAFT_TFX and GRAFT_PYTHON unset; or the container image (docs/image.md), with --platform linux/amd64."
    fi
    for line in ${GRAFT_TFX:-$LINES}; do if [[ -z $(why_not "$line") ]]; then break; fi; done
    refuse_python "$line" "No usable Python for Graft found." "${lines[@]}"
}

# --- Python ----------------------------------------------------------------------------------------------------------

# A complete Python: one package has no wheel and is compiled against the headers.
readonly PROBE="
import bz2, ctypes, os, sqlite3, ssl, sys, sysconfig, zlib
if not os.path.isfile(os.path.join(sysconfig.get_path('include'), 'Python.h')):
    sys.exit('no Python.h')
print(sys.executable)
"

version_of() { # python; major and minor
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

same_version() { # python python
    [[ $(version_of "$1") == "$(version_of "$2")" ]]
}

usable_python() { # python version; prints where it really is, fails when it is another version or incomplete
    [[ $(version_of "$1") == "$2" ]] && "$1" -c "$PROBE" 2>/dev/null
}

pythons_in_words() { # line
    local versions
    versions=$(pythons_of "$1")
    if [[ $versions == *" "* ]]; then versions="${versions% *} or ${versions##* }"; fi
    echo "${versions/ /, }"
}

python_candidates() { # version
    local candidate pyenv=${PYENV_ROOT:-$HOME/.pyenv} managed=${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/uv/python}
    command -v "python$1" || true
    printf '%s\n' "$pyenv/versions/$1".*/bin/python "$managed/cpython-$1".*/bin/python "$PWD/$TOOLS/python/cpython-$1".*/bin/python
    command -v python3 python || true
    if candidate=$(present_uv); then "$candidate" python find --system --no-python-downloads "$1" 2>/dev/null || true; fi
}

find_python() { # line; prints the path of a usable Python, or fails
    local candidate version
    for version in $(pythons_of "$1"); do
        while read -r candidate; do
            if usable_python "$candidate" "$version"; then return; fi
        done < <(python_candidates "$version")
    done
    return 1
}

fetch_python() { # line; prints the path, or fails
    local version uv python
    version=$(pythons_of "$1") && version=${version%% *}
    say "No usable Python $(pythons_in_words "$1") found: fetching Python $version with uv into $TOOLS/python..."
    uv=$(find_uv) || return 1
    # Links in ~/.local/bin would outlive .tools.
    UV_PYTHON_INSTALL_DIR=$PWD/$TOOLS/python UV_PYTHON_INSTALL_BIN=0 "$uv" python install --no-config "$version" >>"$LOG" 2>&1 ||
        { say "  It could not be fetched: $(grep -v '^ *$' "$LOG" | tail -n 1) (all of the log: $LOG)" && return 1; }
    for python in "$TOOLS/python/cpython-$version".*/bin/python; do
        if usable_python "$PWD/$python" "$version"; then return; fi
    done
    return 1
}

find_or_fetch_python() { # line
    if [[ -n ${GRAFT_PYTHON:-} ]]; then
        PYTHON=$(usable_python "$GRAFT_PYTHON" "$(version_of "$GRAFT_PYTHON")") ||
            refuse_python "$1" "GRAFT_PYTHON=$GRAFT_PYTHON is not complete: expected the modules bz2, ctypes, sqlite3, ssl and zlib, and Python.h."
    else
        PYTHON=$(find_python "$1") || PYTHON=$(fetch_python "$1")
    fi
}

line_of_given_python() { # of GRAFT_PYTHON; one that GRAFT_TFX allows
    local line version
    version=$(version_of "$GRAFT_PYTHON") || refuse "GRAFT_PYTHON=$GRAFT_PYTHON is no Python that runs."
    for line in ${GRAFT_TFX:-$LINES}; do
        if [[ " $(pythons_of "$line") " == *" $version "* ]]; then
            echo "$line"
            return
        fi
    done
    refuse_python "$line" "GRAFT_PYTHON=$GRAFT_PYTHON is Python $version, which TFX ${GRAFT_TFX:-${LINES/ / or }} does not run on."
}

refuse_python() { # line text...
    local line=$1 version
    shift
    version=$(pythons_of "$line") && version=${version%% *}
    refuse "$@" \
        "  TFX $line runs on Python $(pythons_in_words "$line"), with its headers. Any one of these provides it:" \
        "    apt install python3-dev        Debian 13 and Ubuntu 24.04 (TFX 1.21), Ubuntu 22.04 (TFX 1.16); Debian 12 has none that fits" \
        "    pyenv install $version" \
        "    uv python install $version" \
        "    conda create -n graft python=$version" \
        "  Then call the same command again; with GRAFT_PYTHON=/path/to/python$version if it is not found by itself."
}

# --- uv --------------------------------------------------------------------------------------------------------------

is_recent_uv() { # path
    local version
    version=$("$1" --version 2>/dev/null | cut -d' ' -f2) && is_at_least "$version" "$OLDEST_UV"
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

find_uv() { # prints the path of uv, fetching it when there is none; or fails, having said why
    present_uv || { fetch_uv && present_uv; }
}

fetch_uv() { # into .tools/uv: complete or absent
    local folder python found=""
    say "Fetching uv, the installer, into $TOOLS..."
    folder=$(mktemp -d "$TOOLS/fetch.XXXXXX")
    for python in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10 python; do
        if [[ -n $python ]] && pip_install_uv "$python" "$folder" >>"$LOG" 2>&1; then found=yes && break; fi
    done
    if [[ -n $found ]] || run_uv_installer "$folder" >>"$LOG" 2>&1; then
        mv -f "$folder/uv" "$TOOLS/uv"
        rm -rf "$folder"
        return
    fi
    rm -rf "$folder"
    tail -n 5 "$LOG" >&2
    say "uv is not installed and could not be fetched, with pip or by its own installer (all of the log: $LOG)."
    say "  Expected: uv $OLDEST_UV or newer in PATH; or a python3 with pip (Debian: apt install python3-pip) and a package index; or curl or wget, and internet."
    say "  Try:      https://docs.astral.sh/uv/getting-started/installation/, then call the same command again."
    return 1
}

# Where no Python has pip: the installer that uv's own documentation names, for the version of the lock.
run_uv_installer() { # folder
    local url
    url="https://astral.sh/uv/$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' "$UV_LOCK")/install.sh"
    download "$url" >"$1/install.sh" && UV_UNMANAGED_INSTALL=$PWD/$1 sh "$1/install.sh" && [[ -x $1/uv ]]
}

download() { # url; to standard output, with whatever the machine has
    if command -v curl >/dev/null; then
        curl --fail --silent --show-error --location --max-time 120 "$1"
    elif command -v wget >/dev/null; then
        wget --quiet --timeout=60 --output-document=- "$1"
    else
        python3 -c 'import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1], timeout=60).read())' "$1"
    fi
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

install() { # runtime|dev
    local python=$VENV/bin/python locks=("requirements/tfx-$LINE.txt")
    if [[ $1 == dev ]]; then locks+=("requirements/dev-$LINE.txt"); fi
    # What was interrupted may be half written, package by package: start over, uv's cache makes that quick.
    if [[ -e $UNFINISHED ]] || ! usable_python "$python" "$(version_of "$PYTHON")"; then
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
        -b "$BUILD_LOCK" "${locks[@]}"
    "$UV" pip install --quiet --python "$python" --no-deps --no-build-isolation --editable .
    : >"$(stamp_of runtime)"
    if [[ $1 == dev ]]; then : >"$(stamp_of dev)"; fi
    rm -f "$UNFINISHED"
}

# For tests against what others have released since the locks were made; .venv is not touched.
install_apart() { # folder package...
    local folder=$1
    UV=$(find_uv) || exit 2
    PYTHON=${GRAFT_PYTHON:-python3} follow_pip_configuration
    export UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-300}
    unset UV_SYSTEM_PYTHON VIRTUAL_ENV CONDA_PREFIX PYTHONHOME
    mkdir -p "$folder"
    if command -v flock >/dev/null; then exec 9>"$folder.lock" && flock 9; fi # two calls at once
    "$folder/bin/python" -c "" 2>/dev/null || "$UV" venv --quiet --no-project --clear --python ">=3.11" "$folder"
    "$UV" pip install --quiet --upgrade --python "$folder/bin/python" "${@:2}"
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

set_up() { # runtime|dev
    local started=$SECONDS status tools=""
    if [[ $1 == dev ]]; then tools=", lint and test tools"; fi
    if command -v flock >/dev/null; then # two calls at once: the second waits, then finds the work done
        exec 9>"$TOOLS/lock"
        flock --nonblock 9 || { say "Waiting for another set-up to end..." && flock 9; }
        if is_ready "$1"; then return; fi
    fi
    : >"$LOG"
    rm -rf "$TOOLS"/fetch.* # of a call that was interrupted
    choose_line
    say "$WHY"
    UV=$(find_uv) || exit 2
    say "Setting up $VENV: TFX $LINE on Python $(version_of "$PYTHON")$tools (a minute or two)..."
    follow_pip_configuration
    choose_link_mode
    export UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-300}
    unset UV_SYSTEM_PYTHON VIRTUAL_ENV CONDA_PREFIX PYTHONHOME
    set +e # inside `if` or `||`, bash would ignore -e in the function too
    (set -e && install "$1") >>"$LOG" 2>&1
    status=$?
    set -e
    ((status == 0)) || explain_failure
    say "$VENV is ready ($((SECONDS - started)) s)."
}

main() {
    mkdir -p "$TOOLS"
    trap on_signal INT TERM
    case ${1:-} in
        runtime | dev) is_ready "$1" || set_up "$1" ;;
        line)
            choose_line
            say "$WHY"
            echo "$LINE $PYTHON"
            ;;
        uv) find_uv || exit 2 ;;
        apart) install_apart "${@:2}" ;;
        *) refuse "usage: scripts/setup_env.sh runtime|dev|line|uv|apart" ;;
    esac
}

main "$@"
