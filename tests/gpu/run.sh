#!/usr/bin/env bash
# Runs every check that needs a GPU and writes a page of results.
# usage: [OUT=FOLDER] [ONLY="PREFIX ..."] [LIMIT_S=SECONDS] [STREAMS_S=SECONDS] bash run.sh
#        from a folder that tests/gpu/pack.sh made
#   OUT        where four files go (default: .): gpu.md, the page; logs.tar.gz, what every check printed and the graphs' runs; streams.md and streams.json
#   ONLY       checks whose names begin with one of these: `gantry-` (the programs in bin/), `graph:plates`, `graph:streams`, `chaos`, `sanitizer`; default all
#   LIMIT_S    everything ends by then (default: 570)
#   STREAMS_S  of it, for graph:streams (default: 180); what comes before has to end in time for it
# exit:  0 all passed   1 a check failed or what this folder was packed for was not run   2 ONLY names no check   3 no CUDA device, nothing was checked
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-.}
mkdir -p "$out" || exit 1
out=$(cd "$out" && pwd)
# `gantry` takes dora and ONNX Runtime from the project that it is started in, which may be a copy of the repository without either.
cd "$here" || exit 1
page=$out/gpu.md
only=${ONLY:-}
limit_s=${LIMIT_S:-570}
streams_s=${STREAMS_S:-180}
check_limit_s=120
failures=0
ran=0
not_run=0
matched=" "
SECONDS=0
work=$(mktemp -d) || exit 1
logs=$work/logs
mkdir -p "$logs"
running=

say() {
    printf '%s\n' "$*" | tee -a "$page"
}

# end: at every end of this script, also by a signal: one archive of what was written, as some machines give few files back. Evidence is left out.
end() {
    if [ -n "$running" ]; then
        kill "$running" 2>/dev/null
        wait "$running"
    fi
    # Of a log that ran full, the end.
    find "$work" -type f -size +4M -exec sh -c 'tail -c 1000000 "$1" >"$1.end" && rm "$1"' _ {} \;
    if tar -C "$work" --exclude=evidence -czf "$out/logs.tar.gz" .; then
        rm -rf "$work"
    else
        echo "warning: $out/logs.tar.gz is not complete; the logs stay in $work" >&2
    fi
}
trap end EXIT
trap 'say ""; say "Result: ended by a signal after $SECONDS s."; exit 143' TERM INT HUP

# chosen NAME: whether ONLY wants it.
chosen() {
    local prefix
    [ -n "$only" ] || return 0
    for prefix in $only; do
        case $1 in
        "$prefix"*)
            matched+="$prefix "
            return 0
            ;;
        esac
    done
    return 1
}

# any PREFIX: whether ONLY wants anything that begins so.
any() {
    local prefix
    for prefix in ${only:-$1}; do
        case $1 in "$prefix"*) return 0 ;; esac
        case $prefix in "$1"*) return 0 ;; esac
    done
    return 1
}

# skips NAME REASON: a row for what cannot be had here, through no fault of the pack or the card.
skips() {
    say "| $1 | not run: $2 | |"
    not_run=$((not_run + 1))
}

# fails NAME REASON: a row for what belongs to this run and did not happen.
fails() {
    say "| $1 | FAIL ($2) | |"
    ran=$((ran + 1))
    failures=$((failures + 1))
}

# check NAME COMMAND...: runs it under a time limit, until `until_s`; its output goes into a log. A check whose log has `refused_by` was not run.
until_s=$limit_s
refused_by=
check() {
    local name=$1 started ended result log left limit words
    shift
    log=$logs/${name//[^a-zA-Z0-9_]/_}.log
    # What is left of the time bounds a check, too: the page is written in any case.
    left=$((until_s - SECONDS))
    if [ "$left" -lt 5 ]; then
        fails "$name" "not run: no time left"
        return 1
    fi
    limit=$((left < check_limit_s ? left : check_limit_s))
    ran=$((ran + 1))
    started=$(date +%s%N)
    # In the background, so that a signal to this script is not left waiting for the check to end.
    timeout --kill-after=10 "$limit" "$@" >"$log" 2>&1 </dev/null &
    running=$!
    wait "$running"
    result=$?
    running=
    if [ "$result" -ne 0 ] && [ -n "$refused_by" ] && words=$(grep -m 1 -i "$refused_by" "$log"); then
        skips "$name" "${words//|/}"
        ran=$((ran - 1))
        return 2
    fi
    # A check that found no device proves nothing.
    if [ "$result" -eq 0 ] && grep -q 'skipped: ' "$log"; then
        result=skipped
    fi
    case $result in
    0) result=pass ;;
    124 | 137) result="FAIL (not done after $limit s)" ;;
    *) result="FAIL ($result)" ;;
    esac
    [ "$result" = pass ] || failures=$((failures + 1))
    ended=$(date +%s%N)
    say "| $name | $result | $(((ended - started) / 1000000)) ms |"
    [ "$result" = pass ]
}

: >"$page" || exit 1
say "# GPU checks"
say ""
say "Commit $(cat "$here/commit" 2>/dev/null || echo unknown), $(date -u +%Y-%m-%dT%H:%MZ), $(uname -sr)."
[ -z "$only" ] || say "Of all checks only those that begin with: $only."
say ""

# CUDA's libraries out of Python packages, where the linker does not know them: ONNX Runtime's provider looks them up. FFmpeg's libraries come along.
packages=$(python3 -c 'import glob, sys; print(":".join(sorted({d for p in sys.path for d in glob.glob(p + "/nvidia/*/lib")})))' 2>/dev/null)
run=(env "LD_LIBRARY_PATH=$here/lib${packages:+:$packages}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}")

# What the loader finds as the programs will, and which file it takes.
found=$("${run[@]}" python3 - 2>>"$logs/libraries.log" <<'END'
import ctypes

graph = "models do not run on the card and graph:* fails (Python package {})"
wanted = {
    "libcuda.so.1": "nothing runs (driver)",
    "libnvcuvid.so.1": "no check of NVDEC passes, nor graph:* (driver; in a container its capability `video`)",
    "libcudnn.so.9": graph.format("nvidia-cudnn-cu13"),
    "libcublasLt.so.13": graph.format("nvidia-cublas"),
    "libcurand.so.10": graph.format("nvidia-curand"),
    "libcudart.so.13": graph.format("nvidia-cuda-runtime"),
}
for name, without in wanted.items():
    try:
        ctypes.CDLL(name)
        mapped = [line.split()[-1] for line in open("/proc/self/maps") if "/" in line]
        where = next((path for path in mapped if path.rsplit("/", 1)[-1].startswith(name)), "loaded, under another name")
    except OSError as error:
        where = f"**missing**: {error}; without it {without}".replace("|", "/")
    print(f"| {name} | {where} |", flush=True)
END
)
say "| there | where |"
say "|---|---|"
say "${found:-| libraries | **not asked for**: $(tail -n 1 "$logs/libraries.log" | tr -d '|') |}"
say "| CUDA's Python packages | ${packages:-none} |"
[ ! -d "$here/lib" ] || say "| FFmpeg, brought along | $here/lib |"
say ""

memory_mib=0
if command -v nvidia-smi >/dev/null && gpus=$(nvidia-smi --query-gpu=name,uuid,driver_version,memory.total --format=csv,noheader) && [ -n "$gpus" ]; then
    say "Devices: $gpus"
    memory_mib=$(printf '%s\n' "$gpus" | sed -n '1s/.*, *\([0-9]*\) MiB$/\1/p')
elif ! compgen -G '/dev/nvidia[0-9]*' >/dev/null && [ ! -e /dev/nvhost-gpu ]; then
    say "Result: no CUDA device: nvidia-smi shows none and there is no /dev/nvidia0 or the like. Nothing was checked."
    exit 3
else
    say "Devices: nvidia-smi does not answer, the device files are there."
fi
say ""

# A pack that says `checks` has no graph; in any other what is missing is a failure.
contents=$(cat "$here/contents" 2>/dev/null || echo full)
export GANTRY_GPU_REQUIRED=1
export GANTRY_KERNELS=$here/kernels
say "| check | result | time |"
say "|---|---|---|"

# Cheap ones first. Which tests there are is asked of the programs, so that a new one is never forgotten here. Those over the driver shim are for machines
# without a card, those of the suite in host memory need none.
! any graph:streams || [ "$contents" = checks ] || until_s=$((limit_s - streams_s - 30))
for program in "$here"/bin/*; do
    base=$(basename "$program")
    case $base in *.so) continue ;; esac
    [ -x "$program" ] && any "$base:" || continue
    if ! all=$("${run[@]}" "$program" --list 2>"$logs/list_$base.log" </dev/null) || ! ignored=$("${run[@]}" "$program" --list --ignored 2>>"$logs/list_$base.log" </dev/null); then
        chosen "$base:"
        fails "$base" "does not start: $(tail -n 1 "$logs/list_$base.log" | tr -d '|')"
        continue
    fi
    tests=$(comm -23 <(sed -n 's/: test$//p' <<<"$all" | sort) <(sed -n 's/: test$//p' <<<"$ignored" | sort) | grep -v -e shim -e '^host::')
    if [ -z "$tests" ]; then
        chosen "$base:"
        fails "$base" "names no test for a card"
        continue
    fi
    for test in $tests; do
        ! chosen "$base:$test" || check "$base:$test" "${run[@]}" "$program" --exact "$test" --nocapture --test-threads=1
    done
done

# The whole graph: the plates of the CPU, no frame copied, and then as many live cameras as the machine takes.
nodes=$here/target/release
for part in plates streams; do
    chosen "graph:$part" || continue
    if [ ! -x "$nodes/gantry" ]; then
        if [ "$contents" = checks ]; then
            skips "graph:$part" "the folder was packed with --checks"
        else
            fails "graph:$part" "not run: no nodes in $nodes"
        fi
    elif [ "$part" = plates ]; then
        check graph:plates "${run[@]}" python3 "$here/plates.py" --gantry "$nodes/gantry" --cpu "$here/graphs/read.yml" --card "$here/graphs/gpu/read.yml" \
            --out "$work/plates" "$here/tests/clips/gate_day.mp4" "$here/tests/clips/road_night.mp4"
    else
        until_s=$limit_s
        budget=$((limit_s - SECONDS - 20))
        budget=$((budget < streams_s ? budget : streams_s))
        if [ "$budget" -lt 60 ]; then
            fails graph:streams "not run: $budget s are left, 60 is the least"
            continue
        fi
        check_limit_s=$((budget + 10))
        check graph:streams "${run[@]}" "ORT_DYLIB_PATH=$(echo "$here"/.gantry/onnxruntime/libonnxruntime.so.*)" python3 "$here/streams.py" --bin "$nodes" \
            --dora "$here/.gantry/dora/bin/dora" --root "$here" --clip "$here/tests/clips/gate_day.mp4" --out "$out" --work "$work" \
            --budget "$budget" --first $((memory_mib > 40000 ? 32 : 8))
        check_limit_s=120
    fi
done
until_s=$limit_s

# Producers and readers killed and stopped at armed points, with work under way; the card's memory is back at the end. Each kill is a new process with a
# context, some tenths of a second to a second, so there are few kills here: --kills says how many, for whoever has the card for longer.
for memory in cuda_vmm cuda_ipc; do
    chosen "chaos:$memory" || continue
    if [ -x "$here/gantry-chaos" ]; then
        check "chaos:$memory" "${run[@]}" "$here/gantry-chaos" --kills 20 --seconds $((check_limit_s - 20)) --seed 1 --memory "$memory"
    else
        fails "chaos:$memory" "not run: no gantry-chaos in $here"
    fi
done

# Where the toolkit's own checker is at hand and the machine lets it at the card: accesses out of bounds, races in shared memory, reads of what nobody wrote.
sanitize() {
    local name=$1 tool=$2 program=$3
    shift 3
    chosen "sanitizer:$name" || return 0
    refused_by='device not supported'
    check "sanitizer:$name" "${run[@]}" compute-sanitizer --tool "$tool" --error-exitcode 9 "$here/bin/$program" --test-threads=1 "$@"
    [ $? -ne 2 ] || sanitizer=no
    refused_by=
}
if any sanitizer:; then
    sanitizer=$(command -v compute-sanitizer || true)
    [ -n "$sanitizer" ] || skips sanitizer "no compute-sanitizer on this machine"
    for tool in memcheck racecheck initcheck; do
        # One that was refused is refused with every tool.
        [ -z "$sanitizer" ] || [ "$sanitizer" = no ] || sanitize "$tool" "$tool" gantry-gpu-checks.queue a_frame_goes_through candidates_are
    done
    [ -z "$sanitizer" ] || [ "$sanitizer" = no ] || sanitize memcheck_of_kernels memcheck gantry-kernels.kernels --skip full_hd give_the_bytes \
        gives_the_bytes is_the_number are_those_of_the_cpu are_the_levels
    [ -z "$sanitizer" ] || [ "$sanitizer" = no ] || sanitize memcheck_of_a_readers_input memcheck gantry-gpu-checks.plates a_readers_input
fi

say ""
for part in graph_plates graph_streams; do
    [ -f "$logs/$part.log" ] || continue
    say "## $part"
    say ""
    if [ "$part" = graph_streams ] && [ -f "$out/streams.md" ]; then
        say "$(cat "$out/streams.md")"
    else
        say '```text'
        say "$(head -c 4000 "$logs/$part.log")"
        say '```'
    fi
    say ""
done
grep -h 'GB/s' "$logs"/*.log 2>/dev/null | head -n 5 | while read -r line; do say "Kernels: $line"; done
say ""
for prefix in $only; do
    case $matched in *" $prefix "*) continue ;; esac
    [ "$prefix" != sanitizer ] || [ "$not_run" -eq 0 ] || continue
    say "Result: no check begins with \`$prefix\`: gantry-, graph:plates, graph:streams, chaos and sanitizer do."
    exit 2
done
if [ "$((ran + not_run))" -eq 0 ]; then
    say "Result: no programs in $here/bin: make the folder with tests/gpu/pack.sh."
    exit 1
fi
say "Result: $((ran - failures)) of $ran checks passed, in $SECONDS s."
[ "$failures" -eq 0 ]
