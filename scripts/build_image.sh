#!/usr/bin/env bash
# Builds the image of the Dockerfile with what the machine has (docker, podman or buildah; GRAFT_BUILDER chooses), then
# prints its size and its software bill of materials.
#
#   scripts/build_image.sh [NAME:TAG]         default: graft:<version>
#
#   BASE=...          base image (default: the Dockerfile's)        TFX=1.16           the older line (default: 1.21)
#   ACCELERATOR=cuda  with CUDA libraries (default: cpu)            SBOM=FILE          default: build/sbom.cdx.json
#
# The package index of pip's configuration (or PIP_INDEX_URL) and the bundle of certificates of PIP_CERT or SSL_CERT_FILE
# reach the build as secrets: they are in no layer. Proxies come from HTTP_PROXY, HTTPS_PROXY and NO_PROXY, as ever.
# Exit codes: 0 done, 1 the build failed, 2 the machine lacks what is needed (the text says what).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly SBOM=${SBOM:-build/sbom.cdx.json}
SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/graft-image.XXXXXX")
trap 'rm -rf "$SCRATCH"' EXIT

refuse() {
    printf '%s\n' "$@" >&2
    exit 2
}

works() { # builder: whether it can build here, not only be called
    command -v "$1" >/dev/null || return 1
    case $1 in
        docker) docker info >/dev/null 2>&1 ;; # the client alone is of no use
        *) "$1" info >/dev/null 2>&1 ;;
    esac
}

choose_builder() {
    local builder
    for builder in ${GRAFT_BUILDER:-docker podman buildah}; do
        if works "$builder"; then
            echo "$builder"
            return
        fi
    done
    refuse "Expected a builder that works here: docker with its daemon, podman or buildah; tried: ${GRAFT_BUILDER:-docker podman buildah}." \
        "  Debian: apt install buildah, which needs no daemon."
}

pip_setting() { # name: from the environment or pip's configuration, empty where there is none
    local variable=PIP_${1^^}
    variable=${variable//-/_}
    printf '%s' "${!variable:-$(python3 -m pip config get "global.$1" 2>/dev/null || true)}"
}

find_secrets() { # prints --secret options
    local index extra host certificates
    index=$(pip_setting index-url) extra=$(pip_setting extra-index-url) host=$(pip_setting trusted-host)
    if [[ -n $index ]]; then
        {
            printf '[global]\nindex-url = %s\n' "$index"
            if [[ $extra == http* ]]; then printf 'extra-index-url = %s\n' "$extra"; fi
            if [[ -n $host ]]; then printf 'trusted-host = %s\n' "$host"; fi
        } >"$SCRATCH/pip.conf"
        printf '%s\n' --secret "id=pip,src=$SCRATCH/pip.conf"
    fi
    certificates=${PIP_CERT:-${SSL_CERT_FILE:-}}
    if [[ -f $certificates ]]; then printf '%s\n' --secret "id=ca,src=$certificates"; fi
}

revision() {
    local commit
    commit=$(git rev-parse HEAD 2>/dev/null) || { echo unknown && return; }
    if [[ -n $(git status --porcelain 2>/dev/null) ]]; then commit+=-dirty; fi
    echo "$commit"
}

version() {
    sed -n 's/^__version__ = "\(.*\)"$/\1/p' pipeline/__init__.py
}

build() { # builder name
    local arguments=(--build-arg "VERSION=$(version)" --build-arg "REVISION=$(revision)" --tag "$2") name secrets
    for name in BASE TFX ACCELERATOR; do
        if [[ -n ${!name:-} ]]; then arguments+=(--build-arg "$name=${!name}"); fi
    done
    mapfile -t secrets < <(find_secrets)
    arguments+=("${secrets[@]}" --file Dockerfile .)
    case $1 in
        docker) DOCKER_BUILDKIT=1 docker build "${arguments[@]}" ;;
        podman) podman build --format docker "${arguments[@]}" ;;
        buildah) buildah bud --format docker --layers --isolation "${BUILDAH_ISOLATION:-chroot}" "${arguments[@]}" ;;
    esac
}

copy_out() { # builder name path-inside path-here
    local container
    case $1 in
        docker | podman)
            container=$("$1" create "$2")
            "$1" cp "$container:$3" "$4" && "$1" rm "$container" >/dev/null
            ;;
        buildah)
            container=$(buildah from --pull-never "$2")
            cp "$(buildah mount "$container")$3" "$4"
            buildah umount "$container" >/dev/null && buildah rm "$container" >/dev/null
            ;;
    esac
}

size_of() { # builder name; bytes, all layers, unpacked
    case $1 in
        docker | podman) "$1" image inspect --format '{{.Size}}' "$2" ;;
        buildah) buildah images --json "$2" | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["size"])' ;;
    esac
}

describe() { # builder name
    local size
    size=$(size_of "$1" "$2")
    if [[ $size =~ ^[0-9]+$ ]]; then size="$((size / 1000000)) MB"; fi
    mkdir -p "$(dirname "$SBOM")"
    copy_out "$1" "$2" /opt/graft/sbom.cdx.json "$SBOM"
    echo
    python3 - "$SBOM" <<'PYTHON'
import json, sys, textwrap
bill = json.load(open(sys.argv[1], encoding="utf-8"))
parts = sorted(f"{part['name']} {part.get('version', '?')}" for part in bill["components"])
print(f"Software bill of materials (CycloneDX {bill['specVersion']}, {len(parts)} Python distributions): {sys.argv[1]}")
print(textwrap.fill(", ".join(parts), 118, initial_indent="  ", subsequent_indent="  "))
PYTHON
    echo "Image $2: $size unpacked, built with $1."
}

main() {
    local name=${1:-graft:$(version)} builder started=$SECONDS
    builder=$(choose_builder)
    echo "Building $name with $builder..."
    build "$builder" "$name" || { echo "The build failed; the lines above say where." >&2 && exit 1; }
    describe "$builder" "$name"
    echo "Took $((SECONDS - started)) s."
}

main "$@"
