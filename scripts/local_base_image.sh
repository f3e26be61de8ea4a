#!/usr/bin/env bash
# A base image for the Dockerfile where no registry of images is reached: Debian from its package mirror (debootstrap),
# with a Python of this machine put into /usr/local. Needs root, debootstrap and one of buildah, podman, docker.
#
#   scripts/local_base_image.sh [NAME]        default: localhost/graft-base:3.10
#
# GRAFT_PYTHON names the Python 3.10 to take (default: pyenv's); it must have been built on a glibc no newer than the
# image's. DEBIAN_SUITE (bookworm) and DEBIAN_MIRROR choose what is below it.
# Exit codes: 0 done, 1 something failed on the way, 2 the machine lacks what is needed.
set -euo pipefail

readonly NAME=${1:-localhost/graft-base:3.10}
readonly SUITE=${DEBIAN_SUITE:-bookworm}
# What CPython's modules are linked against, and certificates.
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

main() {
    local root=$SCRATCH/root archive=$SCRATCH/root.tar prefix
    [[ $(id -u) == 0 ]] || refuse "debootstrap needs root." "  Try: sudo $0"
    command -v debootstrap >/dev/null || refuse "debootstrap is not installed." "  Debian: apt install debootstrap"
    prefix=$(find_python)
    debootstrap --variant=minbase --include="$LIBRARIES" "$SUITE" "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
    tar -C "$prefix" -c --exclude=__pycache__ --exclude='lib/python3.10/test' --exclude='lib/python3.10/lib2to3/tests' --exclude='lib/python3.10/idlelib' \
        --exclude='lib/python3.10/tkinter' --exclude='lib/python3.10/site-packages/*' --exclude='*.a' \
        bin/python3 bin/python3.10 include lib | tar -C "$root/usr/local" -x --no-same-owner
    chroot "$root" sh -c 'ldconfig && python3 -c "import bz2, ctypes, lzma, sqlite3, ssl, zlib" \
        && python3 -m compileall -q /usr/local/lib/python3.10 \
        && apt-get clean && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/debconf/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*'
    tar -C "$root" -c . >"$archive"
    import_image "$archive"
    printf '%s is ready (%s MB).\n' "$NAME" "$(($(stat -c %s "$archive") / 1000000))"
}

main "$@"
