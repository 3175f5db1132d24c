#!/usr/bin/env bash
# Runs every check that needs a GPU and writes a page of results.
# usage: [OUT=FOLDER] [LIMIT_S=SECONDS] bash run.sh
#        from a folder that tests/gpu/pack.sh made; OUT is where gpu.md and the logs go (default: .); everything ends in LIMIT_S (default: 570)
# exit:  0 all passed   1 a check failed   3 no CUDA device, nothing was checked
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-.}
mkdir -p "$out" || exit 1
page=$out/gpu.md
limit_s=${LIMIT_S:-570}
check_limit_s=120
failures=0
ran=0
SECONDS=0

say() {
    printf '%s\n' "$*" | tee -a "$page"
}

# library NAME FILE: whether the dynamic linker knows it.
library() {
    local path
    path=$( (ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null) | awk -v name="$2" '$1 ~ "^" name {print $NF; exit}')
    say "| $1 | ${path:-missing} |"
}

# check NAME COMMAND...: runs it under a time limit; its output goes into a log.
check() {
    local name=$1 started ended result log
    shift
    log=$out/gpu-${name//[^a-zA-Z0-9_]/_}.log
    started=$(date +%s%N)
    ran=$((ran + 1))
    # What is left of the time bounds a check, too: the page is written in any case.
    local left=$((limit_s - SECONDS))
    if [ "$left" -lt 5 ]; then
        say "| $name | FAIL (no time left) | |"
        failures=$((failures + 1))
        return
    fi
    local limit=$((left < check_limit_s ? left : check_limit_s))
    if timeout --kill-after=5 "$limit" "$@" >"$log" 2>&1; then
        result=pass
    else
        result="FAIL ($?)"
        failures=$((failures + 1))
    fi
    # A check that found no device proves nothing.
    if [ "$result" = pass ] && grep -q 'skipped: ' "$log"; then
        result="FAIL (skipped)"
        failures=$((failures + 1))
    fi
    ended=$(date +%s%N)
    say "| $name | $result | $(((ended - started) / 1000000)) ms |"
}

: >"$page" || exit 1
say "# GPU checks"
say ""
say "Commit $(cat "$here/commit" 2>/dev/null || echo unknown), $(date -u +%Y-%m-%dT%H:%MZ), $(uname -sr)."
say ""
say "| there | where |"
say "|---|---|"
library driver 'libcuda[.]so[.]1'
library nvcuvid 'libnvcuvid[.]so'
library nvrtc 'libnvrtc[.]so'
library cudnn 'libcudnn[.]so'
# CUDA's libraries out of Python packages, where the linker does not know them: ONNX Runtime's provider looks them up.
packages=$(python3 -c 'import glob, sys; print(":".join(sorted({d for p in sys.path for d in glob.glob(p + "/nvidia/*/lib")})))' 2>/dev/null)
say "| CUDA's Python packages | ${packages:-missing} |"
if [ -d "$here/lib" ]; then
    say "| FFmpeg, brought along | $here/lib |"
fi
say ""

if command -v nvidia-smi >/dev/null && gpus=$(nvidia-smi --query-gpu=name,uuid,driver_version,memory.total --format=csv,noheader) && [ -n "$gpus" ]; then
    say "Devices: $gpus"
elif ! compgen -G '/dev/nvidia[0-9]*' >/dev/null && [ ! -e /dev/nvhost-gpu ]; then
    say "Result: no CUDA device: nvidia-smi shows none and there is no /dev/nvidia0 or the like. Nothing was checked."
    exit 3
else
    say "Devices: nvidia-smi does not answer, the device files are there."
fi
say ""

# Which tests there are is asked of the programs, so that a new one is never forgotten here. Those over the driver shim are for machines without a card.
export GANTRY_GPU_REQUIRED=1
export GANTRY_KERNELS=$here/kernels
# FFmpeg's libraries come along.
run=(env "LD_LIBRARY_PATH=$here/lib:${packages:+$packages:}${LD_LIBRARY_PATH:-}")
say "| check | result | time |"
say "|---|---|---|"
for program in "$here"/bin/*; do
    case $program in
    *.so) continue ;;
    esac
    [ -x "$program" ] || continue
    while read -r test; do
        check "$(basename "$program"):$test" "${run[@]}" "$program" --exact "$test" --nocapture --test-threads=1
    done < <(comm -23 <("${run[@]}" "$program" --list | sed -n 's/: test$//p' | sort) <("${run[@]}" "$program" --list --ignored | sed -n 's/: test$//p' | sort) | grep -v shim)
done
# Producers and readers killed and stopped at armed points, with work under way; the card's memory is back at the end. A process needs some tenths of a
# second for its context, so there are few kills here: --kills says how many, for whoever has the card for longer.
if [ -x "$here/gantry-chaos" ]; then
    for memory in cuda_vmm cuda_ipc; do
        check "chaos:$memory" "${run[@]}" "$here/gantry-chaos" --kills 60 --seconds $((check_limit_s - 20)) --seed 1 --memory "$memory"
    done
else
    say "| chaos | not run: no gantry-chaos in $here | |"
fi
# The whole graph: the plates of the CPU, no frame copied, and then as many live cameras as the machine takes.
nodes=$here/target/release
dora=$here/.gantry/dora/bin/dora
if [ -x "$nodes/gantry" ]; then
    check graph:plates "${run[@]}" python3 "$here/plates.py" --gantry "$nodes/gantry" --cpu "$here/graphs/read.yml" --card "$here/graphs/gpu/read.yml" \
        --out "$out" "$here/tests/clips/gate_day.mp4" "$here/tests/clips/road_night.mp4"
    # A minute is kept for the sanitizer.
    budget=$((limit_s - SECONDS - 75))
    if [ "$budget" -ge 60 ]; then
        check_limit_s=$((budget + 10))
        check graph:streams "${run[@]}" "ORT_DYLIB_PATH=$(echo "$here"/.gantry/onnxruntime/libonnxruntime.so.*)" python3 "$here/streams.py" --bin "$nodes" \
            --dora "$dora" --root "$here" --clip "$here/tests/clips/gate_day.mp4" --out "$out" --budget "$budget"
        check_limit_s=120
    else
        say "| graph:streams | not run: $budget s are left | |"
    fi
else
    say "| graph | not run: no nodes in $nodes, the folder was packed with --checks | |"
fi
# Where the toolkit's own checker is at hand: accesses out of bounds, races in shared memory, reads of what nobody wrote.
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck; do
        check "sanitizer:$tool" compute-sanitizer --tool "$tool" --error-exitcode 9 "$here/bin/gantry-gpu-checks.queue" --test-threads=1 a_frame_goes_through
    done
else
    say "| sanitizer | not run: no compute-sanitizer on this machine | |"
fi
say ""
for part in graph_plates graph_streams; do
    [ -f "$out/gpu-$part.log" ] || continue
    say "## $part"
    say ""
    if [ "$part" = graph_streams ] && [ -f "$out/streams.md" ]; then
        say "$(cat "$out/streams.md")"
    else
        say '```text'
        say "$(head -c 4000 "$out/gpu-$part.log")"
        say '```'
    fi
    say ""
done
grep -h 'GB/s' "$out"/gpu-*.log 2>/dev/null | head -n 5 | while read -r line; do say "Kernels: $line"; done
say ""
if [ "$ran" -eq 0 ]; then
    say "Result: no programs in $here/bin: make the folder with tests/gpu/pack.sh."
    exit 1
fi
say "Result: $((ran - failures)) of $ran checks passed."
[ "$failures" -eq 0 ]
