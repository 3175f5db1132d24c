"""Evaluates an ONNX reader on shards drawn with the held-out fonts: `python -m reader.evaluate reader.onnx SHARDS`.

Prints a Markdown table: exact texts, exact when O/0 and I/1 count as equal, character accuracy. Without shards it draws
`--per` fresh samples for each fixed condition with the held-out fonts; that is the table of the card.
"""
from __future__ import annotations

import argparse
import pathlib

import cv2
import numpy as np

from plates import HELD_OUT, load_atlas
from plates.degrade import VARIANTS, Settings

from .data import shard
from .export import session
from .model import ALPHABET
from .scoring import SAME, edit_distance, table, texts_of


def read(run, images: np.ndarray) -> list[str]:
    """Plain CTC greedy decoding of the model's output."""
    texts = []
    for at in range(0, len(images), 64):
        best = run.run(None, {"image": images[at: at + 64, :, :, None]})[0].argmax(2)
        for row in best:
            keep = (row != 0) & (row != np.concatenate([[0], row[:-1]]))
            texts.append("".join(ALPHABET[k - 1] for k in row[keep]))
    return texts


# Name, settings, rows. `hard` scales perspective, blur, noise, dirt; 0.6 is an ordinary gate camera.
CONDITIONS = [(f"day, {w} px wide", Settings(width=w, night=False, variant="original", hard=0.6), None) for w in (50, 60, 75, 90, 120, 200)]
CONDITIONS += [("day, 60 px, two rows", Settings(width=60, night=False, variant="original", hard=0.6), 2),
               ("day, 120 px, one row", Settings(width=120, night=False, variant="original", hard=0.6), 1),
               ("day, 120 px, two rows", Settings(width=120, night=False, variant="original", hard=0.6), 2),
               ("day, 120 px, hard (blur, dirt, steep)", Settings(width=120, night=False, variant="original", hard=1.1), None),
               ("night, 60 px", Settings(width=60, night=True, variant="original", hard=0.8), None),
               ("night, 120 px", Settings(width=120, night=True, variant="original", hard=0.8), None)]
CONDITIONS += [(f"day, 120 px, {v}", Settings(width=120, night=False, variant=v, hard=0.6), None) for v in VARIANTS[1:]]


def conditions(run, per: int, seed: int) -> list[tuple[str, int, float, float, float, float]]:
    """(condition, samples, exact, exact with O=0 and I=1, exact of decidable texts only, character accuracy)."""
    atlas = load_atlas(HELD_OUT)
    rows = []
    for number, (name, settings, lines) in enumerate(CONDITIONS):
        images, labels = shard(np.random.default_rng([seed, number]), atlas, per, settings, crops=1, rows=lines)
        got, truth = read(run, images), texts_of(labels)
        right = np.array([a == b for a, b in zip(got, truth)])
        loose = np.array([a.translate(SAME) == b.translate(SAME) for a, b in zip(got, truth)])
        errors = sum(edit_distance(a, b) for a, b in zip(got, truth))
        clear = labels["undecidable"] == 0
        rows.append((name, per, right.mean(), loose.mean(), right[clear].mean(), 1 - errors / sum(map(len, truth))))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("shards", type=pathlib.Path, nargs="?")
    parser.add_argument("--per", type=int, default=400)
    parser.add_argument("--seed", type=int, default=4242)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    run = session(args.model)
    if args.shards:
        paths = sorted(args.shards.glob("*.images.npy"))
        images = np.concatenate([np.load(p) for p in paths])
        labels = np.concatenate([np.load(str(p).replace(".images.", ".labels.")) for p in paths])
        print("| condition | samples | exact | O=0, I=1 | characters |\n|---|---|---|---|---|")
        for name, count, *values in table(read(run, images), labels):
            print(f"| {name} | {count} | " + " | ".join(f"{100 * v:.1f} %" for v in values) + " |")
        return
    print("| condition | samples | exact | O=0, I=1 | decidable only | characters |\n|---|---|---|---|---|---|")
    for name, count, *values in conditions(run, args.per, args.seed):
        print(f"| {name} | {count} | " + " | ".join(f"{100 * v:.1f} %" for v in values) + " |", flush=True)


if __name__ == "__main__":
    main()
