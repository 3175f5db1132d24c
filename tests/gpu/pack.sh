#!/usr/bin/env bash
# Builds the GPU checks and the whole graph and collects them, with run.sh, in a folder for a bare x86-64 machine: no Rust, no FFmpeg, no dora, no ONNX
# Runtime; an NVIDIA driver, Python 3.9 or newer, and CUDA's libraries from Python packages (cudnn, cublas, curand, cuda-runtime).
# usage: tests/gpu/pack.sh [--checks] [--parts] [FOLDER]     (default: target/gpu-pack; it is emptied first)
#   --checks   the check programs alone, without the graph: small, enough for kernels, memory, pools and NVDEC
#   --parts    also FOLDER.parts/: one archive in pieces and join.sh, which puts them together there, for where 64 MiB travel at once, this repository's
#              files among them
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
graph=yes
parts=no
folder=target/gpu-pack
for word in "$@"; do
    case $word in
    --checks) graph=no ;;
    --parts) parts=yes ;;
    -*)
        echo "error: unknown option \`$word\`" >&2
        echo "hint: the first lines of $0 say what there is" >&2
        exit 1
        ;;
    *) folder=$word ;;
    esac
done
travels_mib=64
# What tests/gpu was written against; the CPU's own is in xtask/src/setup.rs. docs/gpu.md names this one.
onnxruntime_gpu=1.31.0

# ffmpeg_that_travels: FFmpeg's libraries of this Debian, built with what cameras send and NVDEC and nothing else: 10 MB instead of 150. Kept in
# target/gpu-ffmpeg for the next time.
ffmpeg_that_travels() {
    local build=$root/target/gpu-ffmpeg
    if [ ! -e "$build/done" ]; then
        rm -rf "$build"
        mkdir -p "$build"/{lists/partial,cache/archives/partial,sources,headers,source}
        # The system's own package sources, asked for source code.
        cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed 's/^Types: deb$/Types: deb-src/' >"$build/sources/source.sources"
        local own="-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$build/sources -o Dir::State::lists=$build/lists -o Dir::Cache=$build/cache"
        # shellcheck disable=SC2086
        (cd "$build/source" && apt-get $own -q update && apt-get $own -q source --download-only ffmpeg=$(dpkg-query -W -f '${source:Version}' libavcodec59) &&
            apt-get -q download libffmpeg-nvenc-dev) >"$build/apt.log" 2>&1
        dpkg -x "$build"/source/libffmpeg-nvenc-dev*.deb "$build/headers"
        tar -C "$build" -xf "$build"/source/ffmpeg_*.orig.tar.xz
        (
            cd "$build"/ffmpeg-*/
            PKG_CONFIG_PATH=$build/headers/usr/lib/pkgconfig:$build/headers/usr/share/pkgconfig ./configure --quiet --disable-everything --disable-programs \
                --disable-doc --disable-autodetect --disable-static --enable-shared --enable-ffnvcodec --enable-cuda --enable-nvdec --disable-x86asm \
                --extra-cflags="-I$build/headers/usr/include" --prefix="$build/made" --enable-protocol=file,http,tcp,udp,rtp \
                --enable-demuxer=mov,matroska,mpegts,h264,hevc,rtsp,rtp,sdp --enable-parser=h264,hevc,vp8,vp9,av1,mpeg4video,mpegvideo,mjpeg \
                --enable-decoder=h264,hevc,vp8,vp9,av1,mpeg4,mpeg2video,mjpeg --enable-bsf=h264_mp4toannexb,hevc_mp4toannexb,extract_extradata \
                --enable-hwaccel=h264_nvdec,hevc_nvdec,vp8_nvdec,vp9_nvdec,av1_nvdec,mpeg2_nvdec,mpeg4_nvdec,mjpeg_nvdec
            make -j2 >"$build/make.log" 2>&1
            make install >>"$build/make.log" 2>&1
        )
        touch "$build/done"
    fi
    cp -L "$build"/made/lib/lib*.so.[0-9]* "$1/"
    # Each library once, by the name that programs ask for.
    find "$1" -name 'lib*.so.*.*' -delete
    strip --strip-unneeded "$1"/lib*.so.*
}

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
gantry-gpu-checks decode
gantry-gpu-checks plates
gantry-gpu-checks nvdec
END

# Kills and stops of producers and readers; no test program, so it does not lie in bin/.
cargo build --release --quiet -p gantry-chaos
cp target/release/gantry-chaos "$folder/"
strip "$folder/gantry-chaos"

# What the kernels are compared with, and the kernels' machine code: the machine with the card need not have NVRTC.
for operator in adaptive_threshold clahe equalize morphology sharpen; do
    cargo build --release --quiet -p "gantry-operator-${operator//_/-}"
    cp "target/release/libgantry_operator_$operator.so" "$folder/bin/"
done
cargo run --release --quiet -p gantry-kernels --example ahead_of_time -- "$folder/kernels"

# What checks and graph read, where they look for it: above the program.
mkdir -p "$folder/tests/clips" "$folder/tests/models" "$folder/lib" "$folder/.gantry/onnxruntime"
cp tests/clips/gate_day.mp4 tests/clips/road_night.mp4 "$folder/tests/clips/"
cp tests/models/{ctc,ctc_steps_first_f32,slots_flat_rgb}.onnx tests/models/slots_flat_rgb_plate_config.yaml "$folder/tests/models/"
mkdir -p "$folder/models"
cp models/detector.onnx models/reader.onnx "$folder/models/"

ffmpeg_that_travels "$folder/lib"
# The clips of the decoder's checks are made here, where there is an `ffmpeg` command.
mkdir -p "$folder/gpu-clips"
GANTRY_KEEP_CLIPS=$(realpath "$folder/gpu-clips") cargo test --release --quiet -p gantry-gpu-checks --test decode -- the_node_passes_over_the_driver_shim >/dev/null

if [ "$graph" = yes ]; then
    nodes="camera decode resize detect track crop enhance recognize vote store"
    # shellcheck disable=SC2046
    cargo build --release --quiet -p gantry $(printf -- '-p gantry-node-%s ' $nodes)
    mkdir -p "$folder/target/release" "$folder/graphs/gpu"
    for program in $nodes gantry; do
        cp "target/release/$program" "$folder/target/release/"
        strip "$folder/target/release/$program"
    done
    cp "$folder"/bin/*.so "$folder/target/release/"
    cp graphs/read.yml "$folder/graphs/"
    cp graphs/gpu/*.yml "$folder/graphs/gpu/"
    ln -s ../target/release "$folder/graphs/bin"
    # dora's command is a Python package with everything in one library of Python's stable interface.
    package=$(echo .gantry/dora/lib/python3*/site-packages/dora_cli)
    mkdir -p "$folder/.gantry/dora/bin"
    cp -r "$package" "$folder/.gantry/dora/dora_cli"
    strip --strip-unneeded "$folder/.gantry/dora/dora_cli/"*.so
    cat >"$folder/.gantry/dora/bin/dora" <<'END'
#!/bin/sh
PYTHONPATH=$(dirname "$0")/.. exec python3 -c 'import sys; sys.argv[0] = "dora"; from dora_cli import py_main; sys.exit(py_main())' "$@"
END
    chmod +x "$folder/.gantry/dora/bin/dora"
    # ONNX Runtime with its CUDA provider, from the Python package index; kept for the next time.
    wheels=target/gpu-wheels
    wheel=$(compgen -G "$wheels/onnxruntime_gpu-$onnxruntime_gpu-*.whl" | head -n 1 || true)
    if [ -z "$wheel" ]; then
        # Those of other releases are not needed again.
        rm -rf "$wheels"
        .gantry/dora/bin/pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp --platform manylinux_2_28_x86_64 \
            --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 -d "$wheels" "onnxruntime-gpu==$onnxruntime_gpu"
        wheel=$(compgen -G "$wheels/onnxruntime_gpu-$onnxruntime_gpu-*.whl" | head -n 1)
    fi
    python3 - "$wheel" "$folder/.gantry/onnxruntime" <<'END'
import pathlib, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in wheel.namelist():
        file = pathlib.PurePosixPath(name)
        if file.parent.name == "capi" and file.name.startswith("libonnxruntime") and "tensorrt" not in file.name:
            (pathlib.Path(sys.argv[2]) / file.name).write_bytes(wheel.read(name))
END
    echo full >"$folder/contents"
else
    cp .gantry/onnxruntime/*.so* "$folder/.gantry/onnxruntime/"
    echo checks >"$folder/contents"
fi

cp tests/gpu/run.sh tests/gpu/streams.py tests/gpu/plates.py "$folder/"
git rev-parse HEAD >"$folder/commit"
echo "packed $(du -sm "$folder" | cut -f 1) MB into $folder; on the other machine: bash $(basename "$folder")/run.sh"

if [ "$parts" = yes ]; then
    # The repository's files travel with every part; some room is left for what git does not know yet.
    tree_kib=$(git ls-files -z --cached --others --exclude-standard | xargs -0 du -cks --apparent-size | awk '$2 == "total" {sum += $1} END {print sum}')
    part_mib=$((travels_mib - 6 - (tree_kib + 1023) / 1024))
    if [ "$part_mib" -lt 8 ]; then
        echo "error: the repository's own files are $((tree_kib / 1024)) MiB of the $travels_mib that travel at once: no room for parts" >&2
        echo "hint: let git ignore what does not belong to it" >&2
        exit 1
    fi
    tests/gpu/parts.sh "$folder" "$part_mib"
fi
