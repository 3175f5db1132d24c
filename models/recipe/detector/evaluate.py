"""Recall and false plates of an exported detector, on clips with truth or on freshly drawn scenes.

    python -m detector.evaluate MODEL.onnx --clips ../../tests/clips [--every 6] [--show OUT_DIR]
    python -m detector.evaluate MODEL.onnx --scenes 150 --seed 999
"""
import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

H, W = 544, 960


def session(path):
    o = ort.SessionOptions()
    o.intra_op_num_threads = o.inter_op_num_threads = 1
    return ort.InferenceSession(str(path), o, providers=["CPUExecutionProvider"])


def letterbox(rgb):
    """u8 [H, W, 3] fitted into 544 x 960 on grey 114; returns the picture, scale, and left and top px."""
    h, w = rgb.shape[:2]
    s = min(W / w, H / h)
    nw, nh = round(w * s), round(h * s)
    out = np.full((H, W, 3), 114, np.uint8)
    x, y = (W - nw) // 2, (H - nh) // 2
    out[y : y + nh, x : x + nw] = cv2.resize(rgb, (nw, nh), interpolation=cv2.INTER_AREA)
    return out, s, x, y


def iou(a, b):
    """IoU of xyxy boxes [N, 4] and [M, 4]: [N, M]."""
    a, b = np.asarray(a, float).reshape(-1, 4), np.asarray(b, float).reshape(-1, 4)
    lt, rb = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = np.clip(rb - lt, 0, None).prod(-1)
    area = lambda q: (q[:, 2:] - q[:, :2]).prod(-1)
    return inter / np.maximum(area(a)[:, None] + area(b)[None] - inter, 1e-6)


def detect(sess, rgb544, min_score, nms_iou=0.5):
    """List per class of (xyxy [K, 4] in input px, scores [K])."""
    o = sess.run(None, {"images": np.ascontiguousarray(rgb544.transpose(2, 0, 1)[None])})[0][0]
    out = []
    for c in (0, 1):
        s = o[4 + c]
        keep = np.flatnonzero(s > min_score)
        keep = keep[np.argsort(-s[keep])][:300]
        cx, cy, w, h = o[:4, keep]
        box = np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], 1)
        chosen = []
        for i in range(len(keep)):
            if not chosen or iou(box[i : i + 1], box[chosen]).max() < nms_iou:
                chosen.append(i)
        out.append((box[chosen], s[keep][chosen]))
    return out


class Tally:
    """Counts of one class."""

    def __init__(self):
        self.wanted = self.found = self.false = self.frames = 0
        self.ious = []

    def add(self, wanted, ignored, boxes):
        self.frames += 1
        m = iou(wanted, boxes)
        free = set(range(len(boxes)))
        for i in np.argsort(-m.max(1)) if len(boxes) and len(wanted) else []:
            j = max(free, key=lambda k: m[i, k], default=None)
            if j is not None and m[i, j] >= 0.5:
                self.found += 1
                self.ious.append(m[i, j])
                free.discard(j)
        self.wanted += len(wanted)
        if len(ignored) and free:
            over = iou(ignored, boxes)
            # A box that mostly lies on something ignored is neither right nor wrong.
            for j in list(free):
                lt, rb = np.maximum(ignored[:, :2], boxes[j, :2]), np.minimum(ignored[:, 2:], boxes[j, 2:])
                part = np.clip(rb - lt, 0, None).prod(-1).max() / max((boxes[j, 2:] - boxes[j, :2]).prod(), 1e-6)
                if over[:, j].max() > 0.2 or part > 0.5:
                    free.discard(j)
        self.false += len(free)
        return free

    def row(self):
        q = np.array(self.ious) if self.ious else np.zeros(1)
        return f"recall {self.found / max(self.wanted, 1):.4f} ({self.found}/{self.wanted})  false/frame {self.false / max(self.frames, 1):.4f}  IoU median {np.median(q):.3f} p10 {np.quantile(q, 0.1):.3f}"


def clip_frames(clip, every):
    """Yields (frame rgb, truth boxes: list of (plate xyxy, vehicle xyxy)) of every n-th frame."""
    truth = json.loads(clip.with_suffix("").with_suffix(".truth.json").read_text())
    at = {}
    for v in truth["vehicles"]:
        for f in v["frames"]:
            at.setdefault(f["frame"], []).append(f)
    cap = cv2.VideoCapture(str(clip))
    n = 0
    while True:
        if n % every:
            ok = cap.grab()
        else:
            ok, bgr = cap.read()
        if not ok:
            return
        if n % every == 0:
            yield n, bgr[..., ::-1], at.get(n, [])
        n += 1


def on_clips(sess, folder, every, score, min_px, show):
    total = [Tally(), Tally()]
    for clip in sorted(Path(folder).glob("*.mp4")):
        if not clip.with_suffix("").with_suffix(".truth.json").exists():
            continue
        tally = [Tally(), Tally()]
        for n, rgb, objects in clip_frames(clip, every):
            pic, s, dx, dy = letterbox(rgb)
            found = detect(sess, pic, score)
            scaled = lambda b: np.asarray(b, float) * s + (dx, dy, dx, dy)
            plates = [(scaled(o["plate_xyxy"]), o.get("visible", True)) for o in objects if o.get("plate_xyxy")]
            inside = lambda b: b[0] >= 0 and b[1] >= 0 and b[2] <= W and b[3] <= H
            want = [b for b, v in plates if v and (b[2] - b[0]) / s >= min_px and inside(b)]
            skip = [b for b, v in plates if not (v and (b[2] - b[0]) / s >= min_px and inside(b))]
            cars = [scaled(o["vehicle_xyxy"]) for o in objects if o.get("vehicle_xyxy")]
            cars = [np.clip(b, 0, [W, H, W, H]) for b in cars]
            big = [b for b in cars if b[2] - b[0] > 30 and b[3] - b[1] > 20]
            small = [b for b in cars if not (b[2] - b[0] > 30 and b[3] - b[1] > 20)]
            jobs = ((0, big, small), (1, want, skip))
            bad = False
            for c, w, i in jobs:
                for t in (tally[c], total[c]):
                    before = t.found, t.wanted
                    wrong = t.add(np.array(w).reshape(-1, 4), np.array(i).reshape(-1, 4), found[c][0])
                bad |= c == 1 and (bool(wrong) or t.found - before[0] < t.wanted - before[1])
            if show and bad:
                draw(Path(show) / f"{clip.stem}_{n}.png", pic, found, want)
        print(f"{clip.stem:16} plate   {tally[1].row()}\n{'':16} vehicle {tally[0].row()}", flush=True)
    print(f"{'all':16} plate   {total[1].row()}\n{'':16} vehicle {total[0].row()}")


def draw(path, pic, found, want):
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = np.ascontiguousarray(pic[..., ::-1])
    for b in want:
        cv2.rectangle(bgr, tuple(int(v) for v in b[:2]), tuple(int(v) for v in b[2:]), (0, 255, 0), 1)
    for (boxes, scores), col in zip(found, ((255, 160, 0), (0, 0, 255))):
        for b, s in zip(boxes, scores):
            cv2.rectangle(bgr, tuple(int(v) for v in b[:2]), tuple(int(v) for v in b[2:]), col, 1)
            cv2.putText(bgr, f"{s:.2f}", (int(b[0]), int(b[1]) - 2), 0, 0.4, col, 1)
    cv2.imwrite(str(path), bgr)


def on_scenes(sess, count, seed, score, show):
    from scenes.scene import render_scene

    tally = {k: Tally() for k in ("vehicle", "plate", "plate >= 20 px")}
    for i in range(count):
        img, lab = render_scene(np.random.default_rng([seed, i]))
        found = detect(sess, img, score)
        of = lambda c: lab[lab[:, 0] == c, 1:]
        tally["vehicle"].add(of(0), of(3), found[0][0])
        p, wide = of(1), (of(1)[:, 2] - of(1)[:, 0]) >= 20
        tally["plate"].add(p, of(2), found[1][0])
        tally["plate >= 20 px"].add(p[wide], np.concatenate([of(2), p[~wide]]), found[1][0])
        if show:
            draw(Path(show) / f"scene_{i}.png", img, found, p)
    for k, t in tally.items():
        print(f"{k:16} {t.row()}")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("model")
    ap.add_argument("--clips")
    ap.add_argument("--every", type=int, default=6)
    ap.add_argument("--scenes", type=int)
    ap.add_argument("--seed", type=int, default=999)
    ap.add_argument("--score", type=float, default=0.4)
    ap.add_argument("--min-px", type=float, default=40, help="smallest plate that counts, px of the source")
    ap.add_argument("--show")
    a = ap.parse_args()
    cv2.setNumThreads(1)
    sess = session(a.model)
    x = np.zeros((1, 3, H, W), np.uint8)
    times = []
    for _ in range(30):
        t = time.perf_counter()
        sess.run(None, {"images": x})
        times.append(time.perf_counter() - t)
    print(f"one picture, one thread: fastest {min(times) * 1e3:.2f} ms, median {np.median(times) * 1e3:.2f} ms")
    if a.clips:
        on_clips(sess, a.clips, a.every, a.score, a.min_px, a.show)
    if a.scenes:
        on_scenes(sess, a.scenes, a.seed, a.score, a.show)


if __name__ == "__main__":
    main()
