#!/bin/sh
# Gives the build a libtorch folder, once: training/libtorch.sh FOLDER
#
# The version is tied to the `tch` crate (see Cargo.toml): tch 0.24 speaks to PyTorch 2.11.0 and to no other.
# Nothing is fetched when LIBTORCH names a libtorch of that version, or when LIBTORCH_USE_PYTORCH=1 and the
# python3 on the PATH has that PyTorch. Otherwise PyPI's wheel is unpacked into FOLDER and its CPU half is linked.
set -eu

want=2.11.0
folder=${1:?usage: training/libtorch.sh FOLDER}

fail() {
    echo "espalier set-up: $*" >&2
    exit 1
}

if [ -n "${LIBTORCH_USE_PYTORCH:-}" ]; then
    command -v python3 >/dev/null 2>&1 ||
        fail "LIBTORCH_USE_PYTORCH is set but there is no python3 on the PATH; install Python 3 or unset it."
    have=$(python3 -c 'import torch; print(torch.__version__.split("+")[0])' 2>/dev/null) ||
        fail "LIBTORCH_USE_PYTORCH is set but python3 cannot import torch; run 'pip install torch==$want' or unset it."
    [ "$have" = "$want" ] ||
        fail "LIBTORCH_USE_PYTORCH is set but the installed PyTorch is $have and tch needs $want; run 'pip install torch==$want' or unset it."
    exit 0
fi

if [ -n "${LIBTORCH:-}" ] && [ "$LIBTORCH" != "$folder" ]; then
    [ -e "$LIBTORCH/lib/libtorch_cpu.so" ] ||
        fail "LIBTORCH=$LIBTORCH has no lib/libtorch_cpu.so; point it at an unpacked libtorch $want or unset it."
    have=$(cut -d+ -f1 "$LIBTORCH/build-version" 2>/dev/null || echo unknown)
    [ "$have" = "$want" ] ||
        fail "LIBTORCH=$LIBTORCH is version $have and tch needs $want; point it at libtorch $want or unset it."
    exit 0
fi

[ "$(cat "$folder/build-version" 2>/dev/null || true)" = "$want" ] && exit 0

command -v python3 >/dev/null 2>&1 ||
    fail "no python3 on the PATH to fetch libtorch with; install Python 3, or set LIBTORCH to an unpacked libtorch $want."

echo "espalier set-up: fetching PyTorch $want (about 1 GB, once) into $folder" >&2
rm -rf "$folder"
mkdir -p "$folder/lib"
python3 -m venv "$folder/venv" ||
    fail "python3 cannot make a virtual environment; install the venv module (Debian: python3-venv), or set LIBTORCH to an unpacked libtorch $want."
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps \
    "torch==$want" nvidia-cuda-runtime nvidia-cuda-cupti==13.0.85 ||
    fail "pip could not fetch PyTorch $want; check the network, or set LIBTORCH to an unpacked libtorch $want."

packages=$("$folder/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
ln -s "$packages/torch/include" "$folder/include"
for library in libc10.so libtorch_cpu.so libgomp.so.1; do
    ln -s "$packages/torch/lib/$library" "$folder/lib/$library"
done
for library in libcudart.so.13 libcupti.so.13; do
    ln -s "$packages/nvidia/cu13/lib/$library" "$folder/lib/$library"
done
# The wheel's own libtorch.so would ask for CUDA's gigabytes at link time.
echo 'INPUT(libtorch_cpu.so)' >"$folder/lib/libtorch.so"
# Written last: its presence says that the folder is whole.
echo "$want" >"$folder/build-version"
