"""Reads the plates of rendered clips at their true boxes: `python -m reader.clips reader.onnx ../../tests/clips`.

A check by another renderer: each visible plate of every `--every`-th frame is cut with a margin and read once, with no
tracking, voting or variants. Prints exact reads by clip and plate width.
"""
from __future__ import annotations

import argparse
import json
import pathlib

import cv2
import numpy as np

from .evaluate import read
from .export import session
from .model import HEIGHT, WIDTH
from .scoring import SAME

BINS = ((40, 60), (60, 90), (90, 150), (150, 1000))


def crops(clip: pathlib.Path, every: int, margin: float):
    """Yields (input [64, 160], text, plate width in px) of the visible plates."""
    truth = json.loads(clip.with_suffix(".truth.json").read_text())
    wanted: dict[int, list] = {}
    for vehicle in truth["vehicles"]:
        for frame in vehicle["frames"]:
            if frame.get("visible") and frame.get("plate_xyxy") and frame["frame"] % every == 0:
                wanted.setdefault(frame["frame"], []).append((frame["plate_xyxy"], vehicle["plate"]))
    video = cv2.VideoCapture(str(clip))
    number = 0
    while video.grab():
        for (x0, y0, x1, y1), text in wanted.get(number, []):
            _, picture = video.retrieve()
            dx, dy = (x1 - x0) * margin, (y1 - y0) * margin
            top, left = max(0, round(y0 - dy)), max(0, round(x0 - dx))
            cut = picture[top: round(y1 + dy), left: round(x1 + dx)]
            if min(cut.shape[:2]) >= 6:
                gray = cv2.cvtColor(cut, cv2.COLOR_BGR2GRAY)
                mode = cv2.INTER_AREA if gray.shape[1] > WIDTH * 1.3 else cv2.INTER_LINEAR
                yield cv2.resize(gray, (WIDTH, HEIGHT), interpolation=mode), text, x1 - x0
        number += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("clips", type=pathlib.Path)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--margin", type=float, default=0.05)
    parser.add_argument("--show", action="store_true", help="print each wrong text")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    run = session(args.model)
    print("| clip | " + " | ".join(f"{a} to {b} px" for a, b in BINS) + " | all | O=0, I=1 |")
    print("|---|" + "---|" * (len(BINS) + 2))
    for clip in sorted(args.clips.glob("*.mp4")):
        if not clip.with_suffix(".truth.json").exists():
            continue
        samples = list(crops(clip, args.every, args.margin))
        if not samples:
            continue
        got = read(run, np.stack([s[0] for s in samples]))
        right = np.array([g == s[1] for g, s in zip(got, samples)])
        loose = np.array([g.translate(SAME) == s[1].translate(SAME) for g, s in zip(got, samples)])
        width = np.array([s[2] for s in samples])
        cells = []
        for low, high in BINS:
            inside = (width >= low) & (width < high)
            cells.append(f"{100 * right[inside].mean():.0f} % of {inside.sum()}" if inside.any() else "-")
        print(f"| {clip.stem} | " + " | ".join(cells) + f" | {100 * right.mean():.1f} % of {len(right)} | {100 * loose.mean():.1f} % |", flush=True)
        if args.show:
            for text, (_, truth, w) in zip(got, samples):
                if text != truth:
                    print(f"    {truth} read {text} at {w:.0f} px")


if __name__ == "__main__":
    main()
