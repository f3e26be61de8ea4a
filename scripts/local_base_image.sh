#!/usr/bin/env bash
# A base image for the Dockerfile where no registry of images is reached: Debian from its package mirror (debootstrap).
# Needs root, debootstrap and one of buildah, podman, docker.
#
#   scripts/local_base_image.sh [NAME]        default: localhost/graft-base:<line>
#
#   TFX=1.21 (default)   Debian 13 with its own Python 3.13
#   TFX=1.16             Debian 12, with a Python 3.10 of this machine put into /usr/local: GRAFT_PYTHON names it (default:
#                        pyenv's); it must have been built on a glibc no newer than the image's
#
# DEBIAN_MIRROR names a mirror. Exit codes: 0 done, 1 something failed on the way, 2 the machine lacks what is needed.
set -euo pipefail

readonly TFX=${TFX:-1.21}
readonly NAME=${1:-localhost/graft-base:$TFX}
# What CPython's modules are linked against on Debian 12, and certificates.
readonly LIBRARIES=ca-certificates,libbz2-1.0,libexpat1,libffi8,liblzma5,libncursesw6,libreadline8,libsqlite3-0,libssl3,libuuid1,zlib1g
SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/graft-base.XXXXXX")
trap 'rm -rf "$SCRATCH"' EXIT

refuse() {
    printf '%s\n' "$@" >&2
    exit 2
}

find_python() { # prints the folder that holds bin/python3.10
    local python=${GRAFT_PYTHON:-}
    if [[ -z $python ]]; then
        python=$(ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10.*/bin/python3.10 2>/dev/null | tail -n 1 || true)
    fi
    [[ -x $python ]] || refuse "No Python 3.10 found." "  Try: pyenv install 3.10, or GRAFT_PYTHON=/path/to/python3.10."
    "$python" -c 'import sys; print(sys.base_prefix)'
}

import_image() { # archive
    if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
        docker import "$1" "$NAME"
    elif command -v podman >/dev/null; then
        podman import "$1" "$NAME"
    elif command -v buildah >/dev/null; then
        local container
        container=$(buildah from scratch)
        buildah add --quiet "$container" "$1" /
        buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
        buildah commit --quiet --rm "$container" "$NAME"
    else
        refuse "Expected docker, podman or buildah; found none." "  Debian: apt install buildah"
    fi
}

bootstrap() { # packages suite root
    debootstrap --variant=minbase --include="$1" "$2" "$3" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
}

copy_python() { # prefix root
    tar -C "$1" -c --exclude=__pycache__ --exclude='lib/python3.10/test' --exclude='lib/python3.10/lib2to3/tests' --exclude='lib/python3.10/idlelib' \
        --exclude='lib/python3.10/tkinter' --exclude='lib/python3.10/site-packages/*' --exclude='*.a' \
        bin/python3 bin/python3.10 include lib | tar -C "$2/usr/local" -x --no-same-owner
    chroot "$2" sh -c 'ldconfig && python3 -m compileall -q /usr/local/lib/python3.10'
}

main() {
    local root=$SCRATCH/root archive=$SCRATCH/root.tar prefix
    [[ $(id -u) == 0 ]] || refuse "debootstrap needs root." "  Try: sudo $0"
    command -v debootstrap >/dev/null || refuse "debootstrap is not installed." "  Debian: apt install debootstrap"
    case $TFX in
        1.21) bootstrap ca-certificates,python3,python3-venv trixie "$root" ;;
        1.16)
            prefix=$(find_python)
            bootstrap "$LIBRARIES" bookworm "$root"
            copy_python "$prefix" "$root"
            ;;
        *) refuse "TFX: expected 1.21 or 1.16, received '$TFX'." ;;
    esac
    chroot "$root" sh -c 'python3 -c "import bz2, ctypes, lzma, sqlite3, ssl, zlib" \
        && apt-get clean && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/debconf/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*'
    tar -C "$root" -c . >"$archive"
    import_image "$archive"
    printf '%s is ready (%s MB).\n' "$NAME" "$(($(stat -c %s "$archive") / 1000000))"
}

main "$@"
