"""Trains the detector from a pool of rendered scenes for a given wall time.

    python -m detector.train --pool DIR --out ckpt.pt --minutes 80 [--init ckpt.pt] [--threads 1]

Batches are windows of 352x192 px at scales 0.36 to 1.3, most of them around an object, since most of a road is empty; every eighth
step takes whole 960x544 pictures for the large vehicles."""
import argparse
import copy
import math
import queue
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.multiprocessing as mp

from scenes.scene import crop_labels

from .loss import detection_loss
from .net import Detector, flatten, grid
from .pool import filled, open_pool

CROP_H, CROP_W = 192, 352


def window(rng, img, lab):
    """A 352x192 px view of a picture at a random scale, with its labels."""
    h, w = img.shape[:2]
    s = 1.0 if rng.random() < 0.35 else float(np.exp(rng.uniform(np.log(0.367), np.log(1.25))))
    ww, wh = min(w, round(CROP_W / s)), min(h, round(CROP_H / s))
    x0, y0 = int(rng.integers(0, w - ww + 1)), int(rng.integers(0, h - wh + 1))
    keep = lab[lab[:, 0] == (1 if rng.random() < 0.7 else 0)]
    if len(keep) and rng.random() < 0.75:  # look where something is
        b = keep[int(rng.integers(len(keep)))]
        cx, cy = (b[1] + b[3]) / 2 + rng.uniform(-0.4, 0.4) * ww, (b[2] + b[4]) / 2 + rng.uniform(-0.4, 0.4) * wh
        x0, y0 = int(np.clip(cx - ww / 2, 0, w - ww)), int(np.clip(cy - wh / 2, 0, h - wh))
    view = img[y0 : y0 + wh, x0 : x0 + ww]
    lab = crop_labels(lab, x0, y0, ww, wh)
    if (ww, wh) != (CROP_W, CROP_H):
        if s < 0.6:  # by exactly two first: area resizing by other factors costs more than the network's first stage
            view = cv2.resize(view, (ww // 2, wh // 2), interpolation=cv2.INTER_AREA)
        view = cv2.resize(view, (CROP_W, CROP_H), interpolation=cv2.INTER_LINEAR)
        lab[:, 1:] *= np.float32([CROP_W / ww, CROP_H / wh] * 2)
    small = (lab[:, 0] == 1) & ((lab[:, 3] - lab[:, 1] < 8) | (lab[:, 4] - lab[:, 2] < 3.2))
    lab[small, 0] = 2
    tiny = (lab[:, 0] == 0) & (np.minimum(lab[:, 3] - lab[:, 1], lab[:, 4] - lab[:, 2]) < 7)
    lab[tiny, 0] = 3
    return view, lab


def batches(folder, slots, seed, size, out):
    """Endless batches into the queue: (u8 [N, 3, H, W], labels f32 [N, G, 5])."""
    images, labels = open_pool(folder, slots, "r")
    rng = np.random.default_rng(seed)
    have, step = filled(folder, slots), 0
    while True:
        if step % 40 == 0:
            have = filled(folder, slots)
        full = step % 8 == 7
        n = max(2, size // 8) if full else size
        pics, labs = [], []
        for i in rng.choice(have, n):
            img, lab = images[i], labels[i]
            lab = np.array(lab[lab[:, 0] >= 0])
            if full:
                img = np.array(img)
            else:
                img, lab = window(rng, img, lab)
            if rng.random() < 0.08:
                img = img[..., rng.permutation(3)]
            pics.append(np.ascontiguousarray(img.transpose(2, 0, 1)))
            labs.append(lab)
        g = max(1, max(len(l) for l in labs))
        pad = np.full((n, g, 5), -1, np.float32)
        for k, l in enumerate(labs):
            pad[k, : len(l)] = l
        out.put((torch.from_numpy(np.stack(pics)), torch.from_numpy(pad)))
        step += 1


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--pool", required=True)
    ap.add_argument("--slots", type=int, default=4000)
    ap.add_argument("--out", required=True)
    ap.add_argument("--minutes", type=float, default=80)
    ap.add_argument("--batch", type=int, default=16)
    ap.add_argument("--lr", type=float, default=3e-3)
    ap.add_argument("--warm", type=float, default=0.02)
    ap.add_argument("--init")
    ap.add_argument("--processes", type=int, default=1)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--seed", type=int, default=0)
    a = ap.parse_args()
    torch.manual_seed(a.seed)
    torch.set_num_threads(a.threads)
    cv2.setNumThreads(1)
    net = Detector()
    seen = 0
    if a.init:
        ck = torch.load(a.init, map_location="cpu", weights_only=True)
        net.load_state_dict(ck["ema"])
        seen = ck["seen"]
    net = net.to(memory_format=torch.channels_last)
    net.share_memory()
    # Processes that update one set of weights without locks: on few and busy cores two of them waste less than two threads of one.
    for rank in range(1, a.processes):
        mp.get_context("fork").Process(target=loop, args=(a, net, seen, rank), daemon=True).start()
    loop(a, net, seen, 0)


def loop(a, net, seen, rank):
    """One process's training; only process 0 averages, prints and saves."""
    torch.set_num_threads(a.threads)
    ema = copy.deepcopy(net).eval()
    decay = [p for p in net.parameters() if p.ndim > 1]
    flat = [p for p in net.parameters() if p.ndim <= 1]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": 0.02}, {"params": flat, "weight_decay": 0.0}], lr=a.lr, betas=(0.9, 0.98), fused=True)
    q = queue.Queue(4)
    threading.Thread(target=batches, args=(a.pool, a.slots, a.seed + 1000 + 7 * rank, a.batch, q), daemon=True).start()
    floating = lambda m: [v for v in m.state_dict().values() if v.dtype.is_floating_point]
    averaged, current = floating(ema), floating(net)
    grids, start, saved, step, mean = {}, time.time(), time.time(), 0, None
    while True:
        t = (time.time() - start) / (a.minutes * 60)
        if t >= 1:
            break
        lr = a.lr * (t / a.warm if t < a.warm else 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (t - a.warm) / (1 - a.warm))))
        for g in opt.param_groups:
            g["lr"] = lr
        x, y = q.get()
        size = tuple(x.shape[2:])
        if size not in grids:
            grids[size] = grid(*size)
        net.train()
        raw = flatten(net(x.float().to(memory_format=torch.channels_last)))
        loss, parts = detection_loss(raw, y, *grids[size])
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        opt.step()
        step += 1
        seen += len(x) * a.processes
        if rank:
            continue
        d = min(0.997, (1 + step) / (20 + step))
        with torch.no_grad():
            torch._foreach_lerp_(averaged, current, 1 - d)
        v = np.array([loss.item(), *parts])
        mean = v if mean is None else mean * 0.98 + v * 0.02
        if step % 25 == 0:
            print(f"{(time.time() - start) / 60:5.1f} min step {step} seen {seen} lr {lr:.1e} loss {mean[0]:.3f} vehicle {mean[1]:.3f} plate {mean[2]:.3f} box {mean[3]:.3f} queue {q.qsize()}", flush=True)
        if time.time() - saved > 120 or step == 100:
            saved = time.time()
            save(a.out, ema, seen)
    if rank == 0:
        save(a.out, ema, seen)


def save(path, ema, seen):
    tmp = Path(path).with_suffix(".tmp")
    torch.save({"ema": {k: v.contiguous() for k, v in ema.state_dict().items()}, "seen": seen}, tmp)
    tmp.replace(path)


if __name__ == "__main__":
    main()
