#!/usr/bin/env bash
# Builds the GPU checks and collects them, with run.sh, in a folder for a bare x86-64 machine: no Rust, no FFmpeg, an NVIDIA driver.
# usage: tests/gpu/pack.sh [FOLDER]     (default: target/gpu-pack; it is emptied first)
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
folder=${1:-target/gpu-pack}
limit_mb=64

# A folder that this script did not make is not emptied.
if [ -e "$folder" ] && [ ! -e "$folder/.gantry-gpu-pack" ]; then
    echo "error: \`$folder\` exists and was not made by this script" >&2
    echo "hint: name another folder" >&2
    exit 1
fi
rm -rf "$folder"
mkdir -p "$folder/bin"
touch "$folder/.gantry-gpu-pack"

# One line for each package with GPU checks: package and test target.
while read -r package target; do
    built=$(cargo test --release -p "$package" --test "$target" --no-run --message-format=json |
        grep '"profile":{[^}]*"test":true' | grep -o '"executable":"[^"]*"' | tail -n 1 | cut -d '"' -f 4)
    if [ -z "$built" ]; then
        echo "error: cargo named no program for test \`$target\` of \`$package\`" >&2
        exit 1
    fi
    cp "$built" "$folder/bin/$package.$target"
    strip "$folder/bin/$package.$target"
done <<'END'
gantry-gpu-checks memory
gantry-gpu-checks pools
gantry-kernels kernels
gantry-gpu-checks queue
gantry-gpu-checks resize
END

# What the kernels are compared with, and the kernels' machine code: the machine with the card need not have NVRTC.
for operator in adaptive_threshold clahe equalize morphology sharpen; do
    cargo build --release --quiet -p "gantry-operator-${operator//_/-}"
    cp "target/release/libgantry_operator_$operator.so" "$folder/bin/"
done
cargo run --release --quiet -p gantry-kernels --example ahead_of_time -- "$folder/kernels"

cp tests/gpu/run.sh "$folder/run.sh"
git rev-parse HEAD >"$folder/commit"
size_mb=$(du -sm "$folder" | cut -f 1)
if [ "$size_mb" -ge "$limit_mb" ]; then
    echo "error: \`$folder\` has $size_mb MB, less than $limit_mb can be carried at once" >&2
    exit 1
fi
echo "packed $size_mb MB into $folder; on the other machine: bash $folder/run.sh"
