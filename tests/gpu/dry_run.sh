#!/usr/bin/env bash
# Runs a packed folder's run.sh on a machine without a card, over the driver shim: what fails here would have failed on the card, too.
# usage: [KEEP=FOLDER] [ONLY="PREFIX ..."] [LIMIT_S=SECONDS] [SHIM=no] tests/gpu/dry_run.sh [FOLDER]
#        FOLDER is what tests/gpu/pack.sh made (default: target/gpu-pack); KEEP is where the page and the logs go (default: they go away);
#        SHIM=no leaves the driver shim out, for a folder whose programs are stand-ins
# exit:  0 every check passed over the shim or stopped where only a card goes on, 1 otherwise
#
# `graph:*` needs ONNX Runtime on a card, which no shim has: it must get as far as its CUDA provider and fail there, by a missing library of CUDA's or at its
# first call of the driver. What is measured against the speed of a card (`…faster_than…`) must get as far as its number. The sanitizer is not run. Everything
# else must pass.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(realpath "${1:-$root/target/gpu-pack}")
built=$root/target/release/examples
if [ ! -f "$folder/run.sh" ]; then
    echo "error: no run.sh in $folder" >&2
    echo "hint: make the folder with tests/gpu/pack.sh" >&2
    exit 1
fi
# Where ONNX Runtime's CUDA provider gives up without a card: its library asks for CUDA's and for more of the driver than the shim has.
stop='providers_cuda\.so with error|CUDA failure [0-9]+|CUDNN failure'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{driver,bin,pictures,out}
if [ "${SHIM:-yes}" != no ]; then
    (cd "$root" && cargo build --release --quiet -p gantry-gpu-checks --example driver_shim --example shim_pictures)
    ln -s "$built/libdriver_shim.so" "$work/driver/libcuda.so.1"
    ln -s "$built/libdriver_shim.so" "$work/driver/libnvcuvid.so.1"
    # What NVDEC would decode: 3 MB a picture, so only the clips that are decoded on the card. Those of `gantry-gpu-checks.decode` write their own.
    "$built/shim_pictures" "$work/pictures" "$folder"/tests/clips/*.mp4
fi
cat >"$work/bin/nvidia-smi" <<'END'
#!/bin/sh
# Answers the two questions of run.sh and streams.py.
case "$*" in
*name,uuid*) echo "driver shim, GPU-07070707-0707-0707-0707-070707070707, 0.0, 1024 MiB" ;;
*) echo "0, 0, 0" ;;
esac
END
chmod +x "$work/bin/nvidia-smi"

status=0
env PATH="$work/bin:$PATH" LD_LIBRARY_PATH="$work/driver${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" GANTRY_SHIM_RUN="dry-run-$$" \
    GANTRY_SHIM_VIDEO="$work/pictures" OUT="$work/out" LIMIT_S="${LIMIT_S:-1800}" ONLY="${ONLY:-gantry- graph: chaos}" STREAMS_S="${STREAMS_S:-90}" \
    bash "$folder/run.sh" >"$work/said" || status=$?
mkdir -p "$work/all"
tar -C "$work/all" -xzf "$work/out/logs.tar.gz"
if [ -n "${KEEP:-}" ]; then
    mkdir -p "$KEEP"
    cp "$work"/out/* "$KEEP/"
fi
if [ "$status" -gt 1 ]; then
    echo "error: run.sh ended with $status" >&2
    tail -n 20 "$work/said" >&2
    exit 1
fi

# words LOG: what a check said of its failure: the message of a panic, or its last line.
words() {
    local said
    said=$(awk '/panicked at/ {getline; print; exit}' "$1")
    [ -n "$said" ] || said=$(grep -v '^ *$' "$1" | tail -n 1)
    printf '%s' "$said" | tr -d '|' | cut -c 1-300
}

failed=0
checked=0
while IFS='|' read -r _ name result _; do
    name=$(echo $name)
    result=$(echo $result)
    case $result in
    pass | FAIL* | 'not run'*) ;;
    *) continue ;;
    esac
    checked=$((checked + 1))
    log=$work/all/logs/${name//[^a-zA-Z0-9_]/_}.log
    if [ "$result" = pass ]; then
        said="passed over the shim"
    elif [[ $result == 'not run'* ]]; then
        said=$result
    elif [[ $name == *faster_than* ]] && line=$(grep -m 1 'frames/s' "$log"); then
        said="as fast as no shim is: ${line//|/}"
    elif [ "$name" = graph:plates ] && ! grep -qE '/gpu/read\.yml .*ended with' "$log"; then
        # The graph of the CPU comes first; it asks for the provider, too, and goes on without.
        said="FAILED: $result before the graph of the card, $(words "$log")"
        failed=$((failed + 1))
    elif [[ $name == graph:* ]] && line=$(grep -m 1 -E "$stop" "$log"); then
        said="stopped at the card: $(cut -c 1-300 <<<"${line//|/}")"
    else
        said="FAILED: $result"
        [ ! -f "$log" ] || said+=", $(words "$log")"
        failed=$((failed + 1))
    fi
    printf '| %s | %s |\n' "$name" "$said"
done < <(sed -n '/^| check /,$p' "$work/out/gpu.md")
if [ "$checked" -eq 0 ]; then
    echo "error: run.sh checked nothing" >&2
    tail -n 20 "$work/said" >&2
    exit 1
fi
echo "$((checked - failed)) of $checked checks did over the shim what they can."
[ "$failed" -eq 0 ]
