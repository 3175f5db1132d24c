"""Renders reader samples into shards that the trainer maps: `python -m reader.data OUT --shards 60 --seed 1`.

A shard is a pair of files: `NNNNN.images.npy` uint8 [S, 64, 160] and `NNNNN.labels.npy`, a record array of
text (10 class indices, 0 pads), count, rows, x (10 centres in 0..1), width (px in the source), night and variant.
"""
from __future__ import annotations

import argparse
import os
import pathlib
import time

import cv2
import numpy as np

from plates import HELD_OUT, TRAINING, degrade, load_atlas, render_plate

from .model import ALPHABET, HEIGHT, WIDTH

SHARD = 4096
CROPS_PER_PLATE = 3
LABEL = np.dtype([("text", np.uint8, 10), ("count", np.uint8), ("rows", np.uint8), ("x", np.float32, 10),
                  ("row", np.uint8, 10), ("width", np.uint16), ("night", np.uint8), ("variant", np.uint8),
                  ("undecidable", np.uint8)])


def label(sample: degrade.Crop, undecidable: bool) -> np.void:
    """The label record of a crop."""
    record = np.zeros((), LABEL)
    count = len(sample.text)
    record["text"][:count] = [ALPHABET.index(c) + 1 for c in sample.text]
    record["count"], record["rows"] = count, sample.rows
    record["x"][:count], record["row"][:count] = sample.centres[:, 0], sample.centres[:, 1]
    record["width"], record["night"] = sample.width, sample.night
    record["variant"] = degrade.VARIANTS.index(sample.variant)
    record["undecidable"] = undecidable
    return record


def is_undecidable(plate) -> bool:
    """Whether the font draws two of the plate's possible characters alike (O/0, I/1) and the text has one of them."""
    return any(set(pair) & set(plate.text) for pair in plate.face.ambiguous if pair in ("O0", "I1"))


def shard(rng: np.random.Generator, atlas, size: int = SHARD, settings: degrade.Settings | None = None,
          crops: int = CROPS_PER_PLATE, rows: int | None = None, negatives: float = 0.0):
    """Images and labels of one shard; `negatives` is the share of crops without text."""
    images, labels = np.empty((size, HEIGHT, WIDTH), np.uint8), np.empty(size, LABEL)
    at = 0
    while at < size:
        if negatives and rng.random() < negatives * crops:
            sample = degrade.negative(rng, (WIDTH, HEIGHT))
            images[at], labels[at] = sample.image, label(sample, False)
            at += 1
            continue
        plate = render_plate(rng, atlas, height=None, rows=rows) if rng.random() < 0.15 else \
            render_plate(rng, atlas, height=64 if rng.random() < 0.7 and rows != 2 else 112, rows=rows)
        for _ in range(min(crops, size - at)):
            sample = degrade.crop(rng, plate, (WIDTH, HEIGHT), settings or degrade.Settings(hard=float(rng.uniform(0.25, 1.1))))
            images[at], labels[at] = sample.image, label(sample, is_undecidable(plate))
            at += 1
    return images, labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--shards", type=int, default=60)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--held-out", action="store_true", help="draw with the held-out fonts")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    atlas = load_atlas(HELD_OUT if args.held_out else TRAINING)
    for number in range(args.first, args.first + args.shards):
        start = time.time()
        images, labels = shard(np.random.default_rng([args.seed, number]), atlas, negatives=0.0 if args.held_out else 0.03)
        base = args.out / f"{number:05}"
        np.save(f"{base}.tmp.npy", images)
        np.save(f"{base}.labels.npy", labels)
        os.replace(f"{base}.tmp.npy", f"{base}.images.npy")  # the trainer looks for this name
        print(f"shard {number}: {len(images)} samples, {len(images) / (time.time() - start):.0f}/s", flush=True)


if __name__ == "__main__":
    main()
