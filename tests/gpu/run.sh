#!/usr/bin/env bash
# Runs every check that needs a GPU and writes a page of results.
# usage: [OUT=FOLDER] bash run.sh       from a folder that tests/gpu/pack.sh made; OUT is where gpu.md and the logs go (default: .)
# exit:  0 all passed   1 a check failed   3 no CUDA device, nothing was checked
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-.}
mkdir -p "$out" || exit 1
page=$out/gpu.md
check_limit_s=120
failures=0

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
    if timeout --kill-after=5 "$check_limit_s" "$@" >"$log" 2>&1; then
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
say "| check | result | time |"
say "|---|---|---|"
ran=0
for program in "$here"/bin/*; do
    case $program in
    *.so) continue ;;
    esac
    [ -x "$program" ] || continue
    while read -r test; do
        ran=$((ran + 1))
        check "$(basename "$program"):$test" "$program" --exact "$test" --nocapture --test-threads=1
    done < <(comm -23 <("$program" --list | sed -n 's/: test$//p' | sort) <("$program" --list --ignored | sed -n 's/: test$//p' | sort) | grep -v shim)
done
# Where the toolkit's own checker is at hand: accesses out of bounds, races in shared memory, reads of what nobody wrote.
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck; do
        ran=$((ran + 1))
        check "sanitizer:$tool" compute-sanitizer --tool "$tool" --error-exitcode 9 "$here/bin/gantry-gpu-checks.queue" --test-threads=1 a_frame_goes_through
    done
else
    say "| sanitizer | not run: no compute-sanitizer on this machine | |"
fi
say ""
if [ "$ran" -eq 0 ]; then
    say "Result: no programs in $here/bin: make the folder with tests/gpu/pack.sh."
    exit 1
fi
say "Result: $((ran - failures)) of $ran checks passed."
[ "$failures" -eq 0 ]
