"""Trains the reader from shards: `python -m reader.train SHARDS RUN --minutes 90`.

Loss: CTC, and for the first part of training also cross-entropy per step, since the renderer knows where each character
stands (it takes the CTC plateau away). AdamW, one-cycle over wall time, exponential moving average of the weights. Stops by the clock
or at `--steps`; the checkpoint `RUN/last.pt` is written every few minutes and holds both sets of weights.
"""
from __future__ import annotations

import argparse
import copy
import math
import os
import pathlib
import time

import numpy as np
import torch
from torch.nn import functional as F

from .data import SHARD
from .model import CLASSES, STEPS, Reader, greedy
from .scoring import texts_of


class Pool:
    """Shards as they appear in a folder, mapped; batches are drawn from them, newest first until each was seen once."""

    def __init__(self, folder: pathlib.Path, seed: int):
        self.folder, self.rng = folder, np.random.default_rng(seed)
        self.shards: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.queue: list[tuple[str, np.ndarray]] = []
        self.checked = 0.0

    def refresh(self) -> None:
        if time.time() - self.checked < 20 and self.shards:
            return
        self.checked = time.time()
        for path in sorted(self.folder.glob("*.images.npy")):
            name = path.name.split(".")[0]
            if name not in self.shards:
                self.shards[name] = (np.load(path, mmap_mode="r"), np.load(self.folder / f"{name}.labels.npy"))
                self._enqueue(name, front=True)

    def _enqueue(self, name: str, front: bool = False) -> None:
        parts = [(name, part) for part in np.array_split(self.rng.permutation(SHARD), 8)]
        if front:
            self.queue[:0] = parts
            head = min(len(self.queue), 64)
            order = self.rng.permutation(head)
            self.queue[:head] = [self.queue[i] for i in order]
        else:
            self.queue.extend(parts)

    def batch(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels, gathered from two parts of shards so that a batch mixes them."""
        self.refresh()
        images, labels = [], []
        for share in (size // 2, size - size // 2):
            if not self.queue:
                for name in self.rng.permutation(list(self.shards)):
                    self._enqueue(str(name))
                self.rng.shuffle(self.queue)
            at = int(self.rng.integers(min(len(self.queue), 16)))
            name, index = self.queue[at]
            take, rest = index[:share], index[share:]
            if len(rest):
                self.queue[at] = (name, rest)
            else:
                self.queue.pop(at)
            take = np.sort(take)
            images.append(self.shards[name][0][take])
            labels.append(self.shards[name][1][take])
        return np.concatenate(images), np.concatenate(labels)


def augment(rng: np.random.Generator, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cheap changes for a sample seen again: inversion, shift, gain, noise, small blots."""
    images = images.copy()
    flip = rng.random(len(images)) < 0.06
    images[flip] = 255 - images[flip]
    dx, dy = rng.integers(-4, 5, len(images)), rng.integers(-3, 4, len(images))
    for i in range(len(images)):
        image = images[i]
        if dx[i] or dy[i]:
            rows = np.clip(np.arange(image.shape[0]) + dy[i], 0, image.shape[0] - 1)
            columns = np.clip(np.arange(image.shape[1]) + dx[i], 0, image.shape[1] - 1)
            images[i] = image[rows][:, columns]
        if rng.random() < 0.15:
            y, x = rng.integers(0, 56), rng.integers(0, 152)
            images[i][y: y + rng.integers(2, 12), x: x + rng.integers(2, 8)] = rng.integers(0, 256)
    labels["x"] -= dx[:, None] / images.shape[2]
    return images


def step_targets(labels: np.ndarray) -> torch.Tensor:
    """Class per step `[N, 2 * STEPS]`: the character at its centre, ignored beside it, blank elsewhere."""
    target = np.zeros((len(labels), 2 * STEPS), np.int64)
    n, k = np.nonzero(np.arange(10)[None] < labels["count"][:, None])
    centre = labels["x"][n, k] * STEPS - 0.5
    offset = labels["row"][n, k].astype(np.int64) * STEPS
    for shift in (-1, 1):  # first the unsure neighbours, then the centres over them
        beside = np.clip(np.round(centre + 0.75 * shift), 0, STEPS - 1).astype(np.int64)
        target[n, offset + beside] = -100
    target[n, offset + np.clip(np.round(centre), 0, STEPS - 1).astype(np.int64)] = labels["text"][n, k]
    return torch.from_numpy(target)


def loss_of(logits: torch.Tensor, labels: np.ndarray, guide: float, weight: torch.Tensor) -> torch.Tensor:
    """CTC per character, plus `guide` times the per-step cross-entropy."""
    logp = F.log_softmax(logits.float(), dim=2)
    counts = torch.from_numpy(labels["count"].astype(np.int64))
    texts = torch.from_numpy(labels["text"].astype(np.int64))
    steps = torch.full((len(labels),), 2 * STEPS, dtype=torch.int64)
    ctc = F.ctc_loss(logp.transpose(0, 1), texts, steps, counts, blank=0, reduction="none", zero_infinity=True)
    # A crop nobody can read must not drown the others: its loss per character is bounded softly.
    each = ctc / counts.clamp(min=1)
    loss = (4.0 * torch.tanh(each / 4.0)).mean()
    if guide > 0:
        loss = loss + guide * F.cross_entropy(logits.float().flatten(0, 1), step_targets(labels).flatten(), weight, ignore_index=-100)
    return loss


def exact(model: Reader, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of texts read exactly."""
    model.eval()
    right, truth = 0, texts_of(labels)
    with torch.inference_mode():
        for at in range(0, len(images), 128):
            best = model.logits(torch.from_numpy(images[at: at + 128])).argmax(2)
            right += sum(a == b for a, b in zip(greedy(best), truth[at: at + 128]))
    return right / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=pathlib.Path)
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--steps", type=int, default=0, help="stop after so many steps, whatever the clock says")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--validation", type=pathlib.Path, help="folder with one shard drawn with the held-out fonts")
    parser.add_argument("--resume", type=pathlib.Path)
    parser.add_argument("--begin", type=float, default=0.0, help="where in the schedule a resumed run goes on, 0 to 1")
    parser.add_argument("--peer", type=pathlib.Path, nargs="+", help="run folders of other trainers; all draw towards their mean")
    parser.add_argument("--guide", type=float, default=1.0)
    parser.add_argument("--warm", type=float, default=0.03)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    args.run.mkdir(parents=True, exist_ok=True)
    model = Reader().to(memory_format=torch.channels_last)
    if args.resume:
        state = torch.load(args.resume)
        model.load_state_dict(state["model"])
    ema = copy.deepcopy(model)
    if args.resume:
        ema.load_state_dict(state["ema"])
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decay, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}], lr=args.rate,
                                  betas=(0.9, 0.98))
    if args.resume and "optimiser" in state:
        optimiser.load_state_dict(state["optimiser"])
    pool = Pool(args.shards, args.seed)
    held = None
    if args.validation:
        path = sorted(args.validation.glob("*.images.npy"))[0]
        held = (np.load(path, mmap_mode="r")[:512], np.load(str(path).replace(".images.", ".labels."))[:512])
    weight = torch.ones(CLASSES)
    weight[0] = 0.35  # blanks are most of the steps
    start, saved, mean = time.time(), time.time(), None
    step = first = state["step"] if args.resume else 0
    while True:
        t = args.begin + (1 - args.begin) * (time.time() - start) / (args.minutes * 60)
        t = max(t, step / args.steps if args.steps else 0.0)
        if t >= 1.0:
            break
        rate = args.rate * min(1.0, t / args.warm + 0.05) * (0.5 + 0.5 * math.cos(math.pi * max(0.0, t - args.warm) / (1 - args.warm)))
        for group in optimiser.param_groups:
            group["lr"] = max(rate, 1e-5)
        images, labels = pool.batch(args.batch)
        images = augment(rng, images, labels)
        model.train()
        loss = loss_of(model.logits(torch.from_numpy(images)), labels, args.guide * max(0.1, 1 - 2 * t), weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 3.0)
        optimiser.step()
        step += 1
        with torch.no_grad():
            keep = min(0.998, (1 + step) / (10 + step))
            for a, b in zip(ema.state_dict().values(), model.state_dict().values()):
                a.lerp_(b, 1 - keep) if a.dtype.is_floating_point else a.copy_(b)
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        if args.peer and step % 25 == 0:
            meet(args.run, args.peer, model)
        if step % 50 == 0:
            speed = (step - first) * args.batch / (time.time() - start)
            print(f"step {step} t {t:.3f} loss {mean:.4f} {speed:.0f} samples/s pool {len(pool.shards) * SHARD}", flush=True)
        if time.time() - saved > 300:
            saved = time.time()
            save(args.run, model, ema, optimiser, step)
            if held is not None:
                print(f"step {step} held-out exact {exact(ema, *held):.4f}", flush=True)
    save(args.run, model, ema, optimiser, step)
    if held is not None:
        print(f"end step {step} held-out exact {exact(ema, *held):.4f}", flush=True)


def meet(run: pathlib.Path, peers: list[pathlib.Path], model: Reader) -> None:
    """Leaves the weights for the peers and takes the mean with their newest: training over processes that need not wait for
    each other, on a machine whose cores are shared."""
    torch.save(model.state_dict(), run / "meet.tmp")
    os.replace(run / "meet.tmp", run / "meet.pt")
    left = [p / "meet.pt" for p in peers if (p / "meet.pt").exists() and time.time() - (p / "meet.pt").stat().st_mtime < 600]
    others = [torch.load(path) for path in left]
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if others and value.dtype.is_floating_point:
                value.copy_(torch.stack([value, *(other[name] for other in others)]).mean(dim=0))


def save(run: pathlib.Path, model: Reader, ema: Reader, optimiser: torch.optim.Optimizer, step: int) -> None:
    """Writes the checkpoint whole or not at all."""
    torch.save({"model": model.state_dict(), "ema": ema.state_dict(), "optimiser": optimiser.state_dict(), "step": step}, run / "last.tmp")
    os.replace(run / "last.tmp", run / "last.pt")


if __name__ == "__main__":
    main()
