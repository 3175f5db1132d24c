"""Renders the held-out clips and their truth.

    python tests/render/render.py --out tests/clips --set shipped
    python tests/render/render.py --out DIR --set accuracy --seed 1 [--only NAME] [--limit N]

Needs numpy, opencv-python-headless, pillow, the `ffmpeg` program with libx264, and the fonts of fonts.txt.
Truth coordinates are source pixels; a frame entry exists while the plate faces the camera and at least a part of it lies in the
picture; `visible` is true when all of it does and nearer vehicles cover less than 5 % of it. `plate_corners` go top left, top
right, bottom right, bottom left as the text is read; `best_plate_width_px` is the longest mean of top and bottom edge over the
visible frames.
"""
import argparse
import json
import os
import subprocess
import sys
import time

import cv2
import numpy as np

import clips as clip_specs
import paint
import scenery
from clips import FPS, LIGHTS
from geometry import NEAR_M, rotate, vehicle_to_world

MIN_BEST_PX, MAX_BEST_PX, MIN_FRAMES = 61.0, 249.0, 12


def plate_view(cam, p, frame):
    """Corners [4, 2] in pixels, mean edge width, and whether the plate faces the camera; None when behind it."""
    pos, heading = p.pose(frame)
    corners = vehicle_to_world(p.vehicle.plate_corners, pos, heading)
    c = cam.to_camera(corners)
    if c[:, 2].min() < NEAR_M:
        return None
    normal = rotate(p.vehicle.plate_normal, heading)[0]
    view = cam.pos - corners.mean(0)
    cosine = float(normal @ view / np.linalg.norm(view) / np.linalg.norm(normal))
    px = cam.to_pixels(c)
    width = (np.linalg.norm(px[1] - px[0]) + np.linalg.norm(px[2] - px[3])) / 2
    return px, float(width), cosine > .30


def inside(px, cam, margin=2):
    return px[:, 0].min() >= margin and px[:, 1].min() >= margin and px[:, 0].max() <= cam.w - margin and px[:, 1].max() <= cam.h - margin


def prune(clip):
    """Keeps the vehicles whose plate gets 60 to 250 px wide and is whole in the picture, at 50 px or more, for 12 frames, and
    leaves out any that would drive through another."""
    kept = []
    for p in clip.passes:
        best, count, seen = 0.0, 0, False
        for f in range(clip.frames):
            v = plate_view(clip.camera, p, f)
            if v is None:
                continue
            px, width, faces = v
            if faces and inside(px, clip.camera):
                best = max(best, width)
                count += width >= 50
            seen = True
        if any(collide(p, q, clip.frames) for q in kept):
            continue
        if seen and MIN_BEST_PX <= best <= MAX_BEST_PX and count >= MIN_FRAMES:
            kept.append(p)
    clip.passes = kept


def collide(a, b, frames):
    """True when the bodies, taken as three discs each, touch in any frame."""
    for f in range(0, frames, 3):
        discs = []
        for p in (a, b):
            pos, heading = p.pose(f)
            k = np.array([-.36, 0, .36])[:, None] * p.vehicle.L
            discs.append(pos + k * np.array([np.cos(heading), np.sin(heading)]))
        gap = np.linalg.norm(discs[0][:, None] - discs[1][None], axis=2).min()
        if gap < (a.vehicle.W + b.vehicle.W) / 2 + .1:
            return True
    return False


class Encoder:
    """ffmpeg writing H.264 BT.709 limited range from raw BGR frames."""

    def __init__(self, path, clip, threads):
        cam = clip.camera
        self.p = subprocess.Popen(
            ["ffmpeg", "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{cam.w}x{cam.h}", "-r", str(int(FPS)), "-i", "-",
             "-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p", "-c:v", "libx264", "-preset", clip.preset, "-crf", str(clip.crf), "-bf", str(clip.bframes),
             "-g", "60", "-threads", str(threads), "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv",
             "-bitexact", "-movflags", "+faststart", path], stdin=subprocess.PIPE)

    def write(self, frame):
        self.p.stdin.write(frame.data)

    def close(self):
        self.p.stdin.close()
        if self.p.wait() != 0:
            raise SystemExit("ffmpeg failed: see its message above")


def noise_bank(rng, shape, sigma):
    """Eight int16 noise pictures larger than the frame: shared brightness noise and weaker colour noise, slightly smoothed."""
    h, w = shape
    out = []
    for _ in range(8):
        luma = cv2.GaussianBlur(rng.standard_normal((h + 64, w + 64), np.float32), (0, 0), .55)
        luma *= sigma / luma.std()
        chroma = cv2.resize(rng.standard_normal(((h + 64) // 2, (w + 64) // 2, 3), np.float32), (w + 64, h + 64)) * (sigma * .45)
        out.append(np.round(luma[..., None] + chroma).astype(np.int16))
    return out


def lit_background(clip, light):
    bg = scenery.build(clip.camera, clip.seed, clip.scenery, clip.backdrop_scale)
    look = LIGHTS[clip.condition]
    bg = np.clip(bg.astype(np.float32) * look["level"] * np.float32(look["tint"])[::-1], 0, 255).astype(np.uint8)
    if clip.condition != "day":
        power = .5 if clip.condition == "dusk" else 1.0
        for t in clip.scenery["things"]:
            if t[0] != "pole":
                continue
            _, x, y, h = t
            towards_road = 1 if x < 0 else -1
            paint.beam(bg, clip.camera, (x + towards_road * 1.0, y), 0 if towards_road > 0 else np.pi, tuple(v * power for v in (34, 52, 66)), reach_m=9)
            c = clip.camera.to_camera(np.array([[x + towards_road * .6, y, h]]))
            if c[0, 2] > 1:
                px = clip.camera.to_pixels(c)[0]
                paint.glow(bg, px, clip.camera.f / c[0, 2] * 1.2, tuple(v * power for v in (170, 220, 250)))
    h, w = bg.shape[:2]
    yy, xx = np.mgrid[-1:1:h * 1j, -1:1:w * 1j].astype(np.float32)
    vignette = 1 - .14 * (xx * xx + yy * yy) / 2
    return cv2.GaussianBlur(np.clip(bg * vignette[..., None], 0, 255).astype(np.uint8), (0, 0), look["soft"])


def covered_share(corners, mask, box):
    """Share of the plate hidden by a vehicle painted over it."""
    x0, y0, x1, y1 = box
    px0, py0 = np.floor(corners.min(0)).astype(int)
    px1, py1 = np.ceil(corners.max(0)).astype(int)
    if px1 <= x0 or px0 >= x1 or py1 <= y0 or py0 >= y1:
        return 0.0
    w, h = max(px1 - px0, 1), max(py1 - py0, 1)
    plate = np.zeros((h, w), np.uint8)
    cv2.fillConvexPoly(plate, np.round(corners - [px0, py0]).astype(np.int32), 1)
    cover = np.zeros((h, w), np.uint8)
    ax0, ay0, ax1, ay1 = max(px0, x0), max(py0, y0), min(px1, x1), min(py1, y1)
    cover[ay0 - py0:ay1 - py0, ax0 - px0:ax1 - px0] = mask[ay0 - y0:ay1 - y0, ax0 - x0:ax1 - x0] > 100
    return float((plate & cover).sum()) / max(int(plate.sum()), 1)


def movement(cam, p, frame, shutter):
    """Pixels the plate moves during the exposure."""
    a, b = plate_view(cam, p, frame), plate_view(cam, p, frame + 1)
    if a is None or b is None:
        return 0.0, 0.0
    d = (b[0].mean(0) - a[0].mean(0)) * shutter
    return float(np.clip(d[0], -24, 24)), float(np.clip(d[1], -24, 24))


def plate_gain(clip, p, heading, light, lit):
    """Brightness of the plate: sun and sky by day; lamps near the road or the camera's own light otherwise."""
    if clip.condition != "day":
        return lit
    n = rotate(p.vehicle.plate_normal, heading)[0]
    ndl = max(float(n @ light.dir) / np.linalg.norm(n), 0)
    return min(.70 + .35 * ndl, 1.02)


def paint_frame(clip, frame_no, bg, light, look, lit, records):
    cam = clip.camera
    img = bg.copy()
    order = []
    for i, p in enumerate(clip.passes):
        pos, heading = p.pose(frame_no)
        depth = cam.to_camera(np.array([[pos[0], pos[1], .6]]))[0, 2]
        if depth > -p.vehicle.L:
            order.append((depth, i, p, pos, heading))
    order.sort(key=lambda o: -o[0])
    dark = clip.condition != "day"
    for _, i, p, pos, heading in order:
        paint.draw_shadow(img, cam, p.vehicle, pos, heading, light, .42)
    if dark:
        k = 1.0 if clip.condition == "night" else .35
        for _, i, p, pos, heading in order:
            front = np.array(pos) + np.array([np.cos(heading), np.sin(heading)]) * p.vehicle.L / 2
            if p.speed > 0:
                paint.beam(img, cam, front, heading, tuple(v * k for v in (66, 74, 78)))
    shown = []
    for depth, i, p, pos, heading in order:
        blur = movement(cam, p, frame_no, look["shutter"])
        painted = paint.draw_body(img, cam, p.vehicle, pos, heading, light, dark and p.speed > 0, blur)
        if painted is None:
            continue
        mask, box = painted
        for rec in shown:
            rec["hidden"] = max(rec["hidden"], covered_share(rec["corners"], mask, box))
        v = plate_view(cam, p, frame_no)
        if v is not None and v[2]:
            px = v[0]
            if px[:, 0].max() > 2 and px[:, 1].max() > 2 and px[:, 0].min() < cam.w - 2 and px[:, 1].min() < cam.h - 2:
                tint = np.array(look["tint"])[::-1] if dark else np.ones(3)
                paint.draw_plate(img, cam, p.vehicle, px, plate_gain(clip, p, heading, light, lit[i]), tint, blur, look["soft"] * .8)
                shown.append(dict(id=i, corners=px, width=v[1], box=box, hidden=0.0, whole=inside(px, cam)))
        if dark and p.speed > 0:
            fwd = np.array([np.cos(heading), np.sin(heading)])
            for end, s, colour, metres in (("front", 1, (215, 235, 245), 1.0), ("rear", -1, (30, 26, 190), .42)):
                rel = cam.pos[:2] - (np.array(pos) + s * fwd * p.vehicle.L / 2)
                cosine = float(rel @ (s * fwd)) / np.linalg.norm(rel)
                if cosine > .15:
                    for lamp in p.vehicle.lamps(end):
                        c = cam.to_camera(vehicle_to_world(lamp[None], pos, heading))
                        if c[0, 2] > 1.5:
                            k = (1.0 if clip.condition == "night" else .55) * min(cosine * 1.2, 1)
                            paint.glow(img, cam.to_pixels(c)[0], cam.f / c[0, 2] * metres, tuple(v * k for v in colour))
    for rec in shown:
        c = rec["corners"]
        x0, y0 = np.clip(c.min(0), 0, [cam.w, cam.h])
        x1, y1 = np.clip(c.max(0), 0, [cam.w, cam.h])
        records[rec["id"]].append(dict(
            frame=frame_no, plate_xyxy=[round(float(v), 2) for v in (x0, y0, x1, y1)], plate_corners=[[round(float(a), 2), round(float(b), 2)] for a, b in c],
            vehicle_xyxy=[int(v) for v in rec["box"]], visible=bool(rec["whole"] and rec["hidden"] < .05), _width=rec["width"]))
    return img


def finish(img, clip, frame_no, noises, rng, look):
    """Lens softness, lettering of the recorder, sensor noise."""
    n = noises[int(rng.integers(len(noises)))]
    dy, dx = int(rng.integers(64)), int(rng.integers(64))
    img = cv2.add(img, n[dy:dy + img.shape[0], dx:dx + img.shape[1]], dtype=cv2.CV_8U)
    if clip.osd:
        s = frame_no // int(FPS)
        for text, y in ((clip.osd, 46), (f"2026-05-14 16:20:{11 + s:02d}", 1060)):
            cv2.putText(img, text, (28, y), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (10, 10, 10), 5, cv2.LINE_AA)
            cv2.putText(img, text, (28, y), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (245, 245, 245), 2, cv2.LINE_AA)
    return img


def render(clip, out, threads, stills=()):
    look = dict(LIGHTS[clip.condition])
    look["shutter"] = look["shutter"] if clip.shutter is None else clip.shutter
    light = paint.Light(clip.sun_dir, look["sun"], look["ambient"], look["sky"], np.array(look["tint"])[::-1])
    rng = np.random.default_rng(clip.seed + 5)
    lit = rng.uniform(.62, .85, len(clip.passes)) if clip.condition == "dusk" else rng.uniform(.50, .80, len(clip.passes))
    bg = lit_background(clip, light)
    noises = noise_bank(rng, bg.shape[:2], look["noise"] * clip.extra_noise)
    records = [[] for _ in clip.passes]
    part = os.path.join(out, clip.name + ".part.mp4")
    enc = None if stills else Encoder(part, clip, threads)
    for f in stills or range(clip.frames):
        img = finish(paint_frame(clip, f, bg, light, look, lit, records), clip, f, noises, rng, look)
        if enc:
            enc.write(img)
        else:
            cv2.imwrite(os.path.join(out, f"{clip.name}_{f:04d}.png"), img)
    if enc:
        enc.close()
        os.replace(part, os.path.join(out, clip.name + ".mp4"))
        write_truth(clip, records, out)


def write_truth(clip, records, out):
    vehicles, weak = [], []
    for i, (p, rec) in enumerate(zip(clip.passes, records)):
        widths = [r["_width"] for r in rec if r["visible"]]
        best = max(widths, default=0.0)
        if best < 60 or sum(w >= 50 for w in widths) < 8:
            weak.append(i)
        vehicles.append(dict(id=i, plate=p.vehicle.plate.text, rows=p.vehicle.plate.rows, first_frame=rec[0]["frame"] if rec else 0, last_frame=rec[-1]["frame"] if rec else 0,
                             best_plate_width_px=round(float(best), 1), frames=[{k: v for k, v in r.items() if k != "_width"} for r in rec]))
    truth = dict(clip=clip.name + ".mp4", width=clip.camera.w, height=clip.camera.h, fps=FPS, frames=clip.frames, condition=clip.condition, vehicles=vehicles)
    with open(os.path.join(out, clip.name + ".truth.json"), "w") as fh:
        json.dump(truth, fh, separators=(",", ":"))
        fh.write("\n")
    if weak:
        print(f"warning: {clip.name}: vehicles {weak} are hidden or small for most of their pass", file=sys.stderr)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--out", required=True)
    ap.add_argument("--set", choices=["shipped", "accuracy"], default="shipped")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--only", default="")
    ap.add_argument("--limit", type=int, default=0)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--stills", default="", help="comma-separated frame numbers to write as PNG instead of a clip")
    ap.add_argument("--plan", action="store_true", help="print the vehicles of each clip and stop")
    a = ap.parse_args()
    cv2.setNumThreads(a.threads)
    os.makedirs(a.out, exist_ok=True)
    chosen = clip_specs.shipped() if a.set == "shipped" else clip_specs.accuracy(a.seed)
    chosen = [c for c in chosen if a.only in c.name]
    for clip in chosen[:a.limit or None]:
        asked = len(clip.passes)
        prune(clip)
        if a.plan:
            best = [max([v[1] for v in (plate_view(clip.camera, p, f) for f in range(clip.frames)) if v and v[2] and inside(v[0], clip.camera)], default=0) for p in clip.passes]
            print(clip.name, f"{len(clip.passes)}/{asked}", [f"{p.vehicle.plate.layout}:{b:.0f}" for p, b in zip(clip.passes, best)], f"cam h {clip.camera.pos[2]:.1f} f {clip.camera.f:.0f}")
            continue
        t = time.time()
        render(clip, a.out, a.threads, [int(v) for v in a.stills.split(",") if v])
        size = os.path.getsize(os.path.join(a.out, clip.name + ".mp4")) if not a.stills else 0
        print(f"{clip.name}: {len(clip.passes)} vehicles, {clip.frames} frames, {size / 1e6:.2f} MB, {clip.frames / (time.time() - t):.1f} frames/s", flush=True)


if __name__ == "__main__":
    main()
