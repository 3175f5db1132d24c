#!/usr/bin/env bash
# Makes awkward input files out of one shipped clip, for the bad-input tests.
#   tests/render/odd_inputs.sh OUT_DIR [SOURCE.mp4]
# Needs ffmpeg with libx264, libx265, libvpx-vp9, libaom-av1 or libsvtav1, and python3. A format the local ffmpeg cannot write is
# named on stderr and skipped; every other failure ends the script.
set -euo pipefail

out=${1:?usage: odd_inputs.sh OUT_DIR [SOURCE.mp4]}
here=$(cd "$(dirname "$0")" && pwd)
src=${2:-$here/../clips/gate_day.mp4}
mkdir -p "$out"
# Encoders with worker threads were seen to wait for ever on a busy machine (x265, libvpx, SVT-AV1), so each gets one thread and a limit.
ff() { timeout 120 ffmpeg -hide_banner -loglevel error -nostdin -y "$@"; }
encoders=$(ffmpeg -hide_banner -encoders 2>/dev/null)
has() { [[ $encoders == *" $1 "* ]]; }
x264=(-c:v libx264 -preset veryfast -crf 24 -pix_fmt yuv420p -bitexact)
cut=(-ss 1 -t 1.5 -i "$src" -an)

# One short plain piece; most others come from it. Index first, so a cut file can still be opened.
ff "${cut[@]}" "${x264[@]}" -g 15 -movflags +faststart "$out/plain.mp4"
piece=(-i "$out/plain.mp4" -an)

python3 - "$out" <<'PY'
import pathlib, sys
out = pathlib.Path(sys.argv[1])
data = (out / "plain.mp4").read_bytes()
(out / "truncated.mp4").write_bytes(data[: len(data) * 6 // 10])
bad = bytearray(data)
lo, hi = len(data) * 45 // 100, len(data) * 65 // 100
for i in range(lo, hi, 37):
    bad[i] ^= 0xFF
(out / "half_corrupt.mp4").write_bytes(bytes(bad))
(out / "empty.mp4").write_bytes(b"")
(out / "not_a_video.mp4").write_bytes(b"this is a text file with the wrong name\n" * 40)
PY
# The index of this one is at the end and is lost with the cut: nothing in it can be decoded.
ff "${piece[@]}" -c copy "$out/plain_index_last.mp4"
head -c $(($(stat -c %s "$out/plain_index_last.mp4") * 6 / 10)) "$out/plain_index_last.mp4" >"$out/truncated_no_index.mp4"
rm "$out/plain_index_last.mp4"

ff -f lavfi -i "sine=frequency=440:duration=1" -c:a aac "$out/audio_only.mp4"
# x264 writes odd sizes only as 4:4:4; MPEG-4 writes them as 4:2:0.
ff "${piece[@]}" -vf "scale=854:480,crop=853:479:0:0:exact=1" -c:v mpeg4 -q:v 3 -pix_fmt yuv420p "$out/odd_853x479.mp4"
ff "${piece[@]}" -vf "scale=854:480,format=yuv444p,crop=853:479:0:0:exact=1" -c:v libx264 -preset veryfast -crf 22 -pix_fmt yuv444p "$out/odd_853x479_444.mp4"
ff "${piece[@]}" -vf transpose=2 "${x264[@]}" "$out/turned.mp4"
ff -i "$out/turned.mp4" -c copy -metadata:s:v:0 rotate=270 "$out/rotated.mp4"
rm "$out/turned.mp4"
ff "${piece[@]}" -vf interlace=scan=tff "${x264[@]}" -flags +ilme+ildct -x264-params tff=1 "$out/interlaced.mp4"
ff "${piece[@]}" -vf "select='lt(n,12)+not(mod(n,3))'" -vsync vfr "${x264[@]}" "$out/vfr.mp4"
ff "${piece[@]}" -c copy -bsf:v h264_mp4toannexb -f h264 "$out/raw.h264"
ff "${piece[@]}" -c:v mpeg4 -q:v 4 "$out/mpeg4.avi"
if has libx265; then
  ff "${piece[@]}" -c:v libx265 -preset veryfast -crf 26 -pix_fmt yuv420p -tag:v hvc1 -x265-params log-level=error:pools=none:frame-threads=1 "$out/hevc.mp4"
  ff "${piece[@]}" -c:v libx265 -preset veryfast -crf 26 -pix_fmt yuv420p10le -tag:v hvc1 -x265-params log-level=error:pools=none:frame-threads=1 "$out/ten_bit.mp4"
else echo "skipped hevc.mp4 and ten_bit.mp4: this ffmpeg has no libx265" >&2; fi
if has libvpx-vp9; then
  ff "${piece[@]}" -c:v libvpx-vp9 -threads 1 -row-mt 0 -deadline realtime -cpu-used 8 -crf 34 -b:v 0 "$out/vp9.webm"
else echo "skipped vp9.webm: this ffmpeg has no libvpx-vp9" >&2; fi
if has libsvtav1; then
  ff "${piece[@]}" -c:v libsvtav1 -svtav1-params lp=1 -preset 11 -crf 38 -pix_fmt yuv420p "$out/av1.mp4" 2>/dev/null
elif has libaom-av1; then
  ff "${piece[@]}" -c:v libaom-av1 -threads 1 -cpu-used 8 -usage realtime -crf 38 -b:v 0 -pix_fmt yuv420p "$out/av1.mp4"
else echo "skipped av1.mp4: this ffmpeg has no AV1 encoder" >&2; fi
ls -l "$out"
