#!/bin/sh
# Inside the image's build (see Dockerfile): makes /opt/graft, a virtual environment with what the lock names and
# nothing else, and /tools, which stays behind.
#
#   image_packages.sh TFX-LINE cpu|cuda
#
# Reads, where they are, /run/graft-pip.conf (the package index) and /run/graft-ca.pem (certificates).
set -eu

tfx=$1 accelerator=$2 packages=/opt/graft
lock=requirements/tfx-$tfx.txt

case $accelerator in
    cpu) locks=$lock ;;
    cuda) locks="$lock requirements/cuda-$tfx.txt" ;;
    *) echo "ACCELERATOR: expected cpu or cuda, got '$accelerator'." >&2; exit 2 ;;
esac
for file in $locks; do
    if [ ! -f "$file" ]; then
        echo "TFX=$tfx, ACCELERATOR=$accelerator: there is no lock $file. Present: $(ls requirements | tr '\n' ' ')" >&2
        exit 2
    fi
done

if [ -s /run/graft-ca.pem ]; then export PIP_CERT=/run/graft-ca.pem SSL_CERT_FILE=/run/graft-ca.pem; fi
if [ -s /run/graft-pip.conf ]; then export PIP_CONFIG_FILE=/run/graft-pip.conf; fi
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

python3 -m venv /tools
/tools/bin/python -m pip install --quiet --no-deps --require-hashes -r requirements/uv.txt
index=$(/tools/bin/python -m pip config get global.index-url 2>/dev/null || true) # uv does not read pip's configuration
if [ -n "$index" ]; then export UV_DEFAULT_INDEX=$index; fi
export UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=300 UV_COMPILE_BYTECODE=1
/tools/bin/uv pip install --quiet --python /tools/bin/python --no-deps --require-hashes -r requirements/sbom.txt

/tools/bin/uv venv --quiet --python "$(command -v python3)" $packages
# shellcheck disable=SC2086 # one or two files
/tools/bin/uv pip sync --quiet --python $packages/bin/python --require-hashes -b requirements/build.txt $locks

# What only a compiler, a debugger or the libraries' own tests would read: a fifth of the size.
cd $packages/lib/python3.*/site-packages
rm -rf tensorflow/include pyarrow/include pandas/tests pyarrow/tests
strip --strip-unneeded tensorflow/libtensorflow_*.so.2
find scipy sklearn -type d -name tests -prune -exec rm -rf {} +
