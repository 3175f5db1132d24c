"""A ring of rendered scenes on disk that workers keep renewing while the trainer reads it.

    python -m detector.pool --dir DIR --slots 4000 --worker 0 --workers 2 [--rounds 5] [--seed 1]

Files: images.u8 [slots, 544, 960, 3] RGB, labels.f32 [slots, 48, 5] (class, xyxy px; unused rows have class -1),
done.<worker> (slots this worker has filled at least once)."""
import argparse
import os
import sys
from pathlib import Path

import cv2
import numpy as np

from scenes.scene import H, W, render_scene

MAX_OBJECTS = 48


def open_pool(folder, slots, mode):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {"images.u8": ((slots, H, W, 3), np.uint8), "labels.f32": ((slots, MAX_OBJECTS, 5), np.float32)}
    out = []
    for name, (shape, dtype) in shapes.items():
        path = folder / name
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if not path.exists() or path.stat().st_size != size:
            with open(path, "wb") as f:
                f.truncate(size)
        out.append(np.memmap(path, dtype, mode, shape=shape))
    return out


def filled(folder, slots):
    """Indices of slots that hold a picture."""
    idx = []
    for p in Path(folder).glob("done.*"):
        worker, workers, n = (int(v) for v in p.read_text().split())
        idx += list(range(worker, slots, workers))[:n]
    return np.array(sorted(idx))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--dir", required=True)
    ap.add_argument("--slots", type=int, default=4000)
    ap.add_argument("--worker", type=int, default=0)
    ap.add_argument("--workers", type=int, default=1)
    ap.add_argument("--rounds", type=int, default=1000)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--begin", type=int, default=0, help="position in the first round, to go on where an earlier worker stopped")
    a = ap.parse_args()
    cv2.setNumThreads(1)
    images, labels = open_pool(a.dir, a.slots, "r+")
    mine = list(range(a.worker, a.slots, a.workers))
    done = Path(a.dir) / f"done.{a.worker}"
    known = int(done.read_text().split()[2]) if done.exists() else 0
    for r in range(a.rounds):
        for k, slot in enumerate(mine):
            if r == 0 and k < a.begin:
                continue
            # One stream per picture: the pool does not depend on how many workers fill it.
            img, lab = render_scene(np.random.default_rng([a.seed, r, slot]))
            images[slot] = img
            row = np.full((MAX_OBJECTS, 5), -1, np.float32)
            row[: min(len(lab), MAX_OBJECTS)] = lab[:MAX_OBJECTS]
            labels[slot] = row
            if r == 0 and k >= known and (k % 8 == 7 or k + 1 == len(mine)):
                tmp = done.with_suffix(".tmp%d" % os.getpid())
                tmp.write_text(f"{a.worker} {a.workers} {k + 1}")
                tmp.replace(done)
        print(f"worker {a.worker} round {r} done", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
