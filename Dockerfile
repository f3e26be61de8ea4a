# The image of Graft's tasks: on Kubeflow, as Beam's workers, or as `graft` by hand. docs/image.md says how to build it
# where there is no Docker Hub, no PyPI or no daemon; `make image` calls this file with what the machine has.
#
#   docker build -t graft .                                        CPU, TFX 1.21, Python 3.12, Debian 13
#   docker build -t graft:gpu --build-arg ACCELERATOR=cuda .       with the CUDA 12 libraries of tensorflow[and-cuda]
#   docker build -t graft:1.16 --build-arg TFX=1.16 .              the older line: TFX 1.16, Python 3.10, Debian 12
#
# Two optional secrets reach the build and no layer: `pip`, a pip.conf with the package index, and `ca`, a bundle of
# certificates.

ARG TFX=1.21
# Any image with Python and a Debian or Ubuntu below it, with a Python that the TFX line runs on; by default the line's.
ARG BASE=base-${TFX}

FROM docker.io/library/python:3.12-slim-trixie AS base-1.21
FROM docker.io/library/python:3.10-slim-bookworm AS base-1.16

# --- What the lock names, in a virtual environment; the only stage with a compiler and with network ------------------
FROM ${BASE} AS packages
ARG TFX
ARG ACCELERATOR=cpu

# Some packages have no wheel and are compiled, against Python's headers.
RUN missing=$(command -v c++ >/dev/null || echo g++) \
    && headers=$(python3 -c "import sysconfig; print(sysconfig.get_path('include'))") \
    && if [ ! -f "$headers/Python.h" ]; then missing="$missing python3-dev"; fi \
    && if [ -n "$missing" ]; then apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends $missing; fi

WORKDIR /src
# By name: a changed lock of the tools for developers makes nothing here again.
COPY requirements/uv.txt requirements/sbom.txt requirements/build.txt requirements/tfx-*.txt requirements/cuda-*.txt \
    requirements/
COPY scripts/image_packages.sh scripts/
RUN --mount=type=secret,id=pip,target=/run/graft-pip.conf \
    --mount=type=secret,id=ca,target=/run/graft-ca.pem \
    sh scripts/image_packages.sh "${TFX}" "${ACCELERATOR}"

# --- Graft itself, apart, so that a changed line does not move two gigabytes -----------------------------------------
FROM packages AS graft
COPY setup.py pyproject.toml ./
COPY pipeline pipeline
COPY components components
COPY configs/sample configs/sample
RUN /tools/bin/uv pip install --quiet --offline --no-cache --no-deps --no-build-isolation --compile-bytecode \
        --python /opt/graft/bin/python . \
    && /tools/bin/cyclonedx-py environment --output-reproducible --of JSON -o /opt/graft/sbom.cdx.json /opt/graft/bin/python \
    && mkdir /graft && cd /opt/graft \
    && cp --recursive --parents sbom.cdx.json bin/graft lib/python*/site-packages/pipeline \
        lib/python*/site-packages/components lib/python*/site-packages/graft-*.dist-info /graft

# --- The image --------------------------------------------------------------------------------------------------------
FROM ${BASE}
ARG TFX
ARG ACCELERATOR=cpu
ARG VERSION=unknown
ARG REVISION=unknown

LABEL org.opencontainers.image.title="graft" \
    org.opencontainers.image.description="A TFX pipeline for transfer learning on images" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    graft.tfx="${TFX}" \
    graft.accelerator="${ACCELERATOR}"

# A number, so that Kubernetes can tell that it is not root; group 0, so that any other number may write here too.
RUN useradd --uid 1000 --gid 0 --home-dir /home/graft --create-home graft && chmod 0775 /home/graft

COPY --from=packages /opt/graft /opt/graft
# pip's CUDA libraries lie in folders of their own; without CUDA, the list is empty.
RUN for folder in /opt/graft/lib/python3.*/site-packages/nvidia/*/lib; do \
        if [ -d "$folder" ]; then echo "$folder"; fi; \
    done > /etc/ld.so.conf.d/graft-cuda.conf && ldconfig
COPY --from=graft /graft /opt/graft
COPY configs /home/graft/configs

# USER and HOME in words: a cluster may start the container under a number that /etc/passwd does not have.
ENV PATH=/opt/graft/bin:$PATH \
    HOME=/home/graft \
    USER=graft \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /home/graft
USER 1000:0
ENTRYPOINT ["graft"]
CMD ["--help"]
