"""One training picture with its boxes, from a seed."""
import sys
from pathlib import Path

import cv2
import numpy as np

from . import background, effects, flat, solids
from .draw import box_of
from .text import flat_plate

H, W = 544, 960
VEHICLE, PLATE, IGNORE_PLATE, IGNORE_VEHICLE = 0, 1, 2, 3

try:  # the reader's plate renderer, where it is installed beside this package
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from plates import render_plate
except ImportError:
    render_plate = None


def plate_picture(rng):
    """A flat plate, u8 [H, W, 3] RGB, from this package's renderer or from the reader's."""
    if render_plate is not None and rng.random() < 0.6:
        return np.ascontiguousarray(render_plate(rng).rgb)
    return flat_plate(rng)


def _plate_px(rng, w):
    """Plate width in px of a `w` px wide picture: 10 to 170 px of 960, mostly small."""
    return float(np.exp(rng.uniform(np.log(11), np.log(165)))) * w / 960


def _solid_vehicles(rng, c, n, out, vid):
    w = c.w
    px = _plate_px(rng, w)
    focal = w * float(np.exp(rng.uniform(np.log(0.7), np.log(3.0))))
    depth = focal * 0.5 / px
    cam = solids.Camera(rng, w, c.h, depth, focal)
    traffic_yaw = rng.normal(0, 0.25) if rng.random() < 0.8 else rng.uniform(-1.2, 1.2)
    spots = []
    for _ in range(n * 4):
        z = depth * float(np.exp(rng.normal(0, 0.5)))
        x = rng.uniform(-0.55, 0.55) * z * w / focal
        if all(abs(x - a) > 2.3 or abs(z - b) > 5.5 for a, b in spots):
            spots.append((x, z))
        if len(spots) == n:
            break
    for x, z in sorted(spots, key=lambda s: -s[1]):
        vid += 2
        kind = str(rng.choice(["car", "car", "car", "car", "van", "truck", "bus", "bike"]))
        pic = plate_picture(rng) if rng.random() < 0.85 else None
        aspect = pic.shape[1] / pic.shape[0] if pic is not None else None
        solid = solids.build(rng, kind, aspect)
        yaw = traffic_yaw + rng.normal(0, 0.1) + (0 if rng.random() < 0.9 else rng.uniform(-1.6, 1.6))
        got = solids.paint(rng, c, cam, solid, (x, 0, z), yaw, vid, vid + 1, pic)
        if got:
            out.append((got[0], got[1], vid))
    return vid


def _flat_vehicles(rng, c, n, out, vid):
    w, h = c.w, c.h
    rows = sorted(rng.uniform(0.2, 1.1, n) * h)
    scale = _plate_px(rng, w)
    for base in rows:
        vid += 2
        pic = plate_picture(rng) if rng.random() < 0.85 else None
        aspect = pic.shape[1] / pic.shape[0] if pic is not None else 4.0
        px = np.clip(scale * np.exp(rng.normal(0, 0.5)), 9, 175)
        hull, quad = flat.paint_flat(rng, c, rng.uniform(0, 1) * w, base, px, aspect, pic, vid, vid + 1)
        out.append((hull, quad, vid))
    return vid


def _loose_plates(rng, c, n, out, vid):
    for _ in range(n):
        vid += 2
        pic = plate_picture(rng)
        px = _plate_px(rng, c.w)
        ph = px * pic.shape[0] / pic.shape[1]
        q = np.array([[-px / 2, -ph / 2], [px / 2, -ph / 2], [px / 2, ph / 2], [-px / 2, ph / 2]])
        q = background.tilt(rng, q, 1.2) + (rng.uniform(0.02, 0.98) * c.w, rng.uniform(0.02, 0.98) * c.h)
        c.paste(pic, q, owner=vid + 1)
        c.plates.append(q)
        out.append((None, q, vid))
    return vid


def _labels(c, objects):
    """f32 [K, 5]: class, x0, y0, x1, y1 in px. Hidden and tiny objects become classes to ignore."""
    rows = []
    for hull, quad, vid in objects:
        if hull is not None:
            box, inside = box_of(hull, c.w, c.h)
            x0, y0, x1, y1 = (int(v) for v in box)
            if x1 > x0 and y1 > y0:
                own = c.owner[y0:y1, x0:x1]
                seen = float(((own == vid) | (own == vid + 1)).mean())
                small = min(box[2] - box[0], box[3] - box[1]) < 7
                if inside > 0.03 and seen > 0.05:
                    ok = seen > 0.25 and not small and inside > 0.15
                    rows.append((VEHICLE if ok else IGNORE_VEHICLE, *box))
        if quad is not None:
            box, inside = box_of(quad, c.w, c.h)
            w, h = box[2] - box[0], box[3] - box[1]
            if w < 2 or h < 1 or inside < 0.05:
                continue
            seen = c.visible(quad, vid + 1)
            if seen < 0.15:
                continue  # nothing to see: what is there instead is background
            ok = seen > 0.6 and inside > 0.55 and w >= 9 and h >= 3.5
            rows.append((PLATE if ok else IGNORE_PLATE, *box))
    return np.array(rows, np.float32).reshape(-1, 5)


def _ignore_unseeable(img, labels):
    """What darkness, haze or glare leaves without contrast is neither right nor wrong."""
    grey = cv2.GaussianBlur(cv2.cvtColor(img, cv2.COLOR_RGB2GRAY), (0, 0), 1.0)
    for row in labels:
        x0, y0, x1, y1 = (int(v) for v in row[1:])
        part = grey[max(y0, 0) : y1 + 1, max(x0, 0) : x1 + 1]
        if part.size and row[0] < 2:
            lo, hi = np.percentile(part[:: max(1, part.shape[0] // 24), :: max(1, part.shape[1] // 48)], (4, 96))
            if hi - lo < 16:
                row[0] = IGNORE_PLATE if row[0] == PLATE else IGNORE_VEHICLE
    return labels


def _bars(rng, img, labels):
    """Letterbox: the picture shrunk between bars, grey 114 as the resize node pads, or black."""
    h, w = img.shape[:2]
    f = rng.uniform(0.5, 0.95)
    ax, ay = (f, 1.0) if rng.random() < 0.7 else (1.0, f)
    nw, nh = int(w * ax), int(h * ay)
    out = np.full_like(img, 114 if rng.random() < 0.7 else 0)
    x, y = (w - nw) // 2, (h - nh) // 2
    # A 4:3 camera in a 16:9 input: the picture is cut, not squeezed.
    x0, y0 = int(rng.integers(0, w - nw + 1)), int(rng.integers(0, h - nh + 1))
    out[y : y + nh, x : x + nw] = img[y0 : y0 + nh, x0 : x0 + nw]
    return out, crop_labels(labels, x0, y0, nw, nh) + np.float32([0, x, y, x, y])


def crop_labels(labels, x0, y0, w, h):
    """Labels of the window at (x0, y0) of w x h px; objects cut too far become ignored or vanish."""
    out = labels.copy()
    out[:, 1:] -= np.float32([x0, y0, x0, y0])
    full = (out[:, 3] - out[:, 1]) * (out[:, 4] - out[:, 2])
    out[:, 1::2] = out[:, 1::2].clip(0, w)
    out[:, 2::2] = out[:, 2::2].clip(0, h)
    part = (out[:, 3] - out[:, 1]) * (out[:, 4] - out[:, 2]) / np.maximum(full, 1e-6)
    cls = out[:, 0].astype(int)
    out[(cls == PLATE) & (part < 0.6), 0] = IGNORE_PLATE
    out[(cls == VEHICLE) & (part < 0.12), 0] = IGNORE_VEHICLE
    return out[part > 0.04]


def render_scene(rng, h=H, w=W):
    """One picture: u8 [h, w, 3] RGB, and labels f32 [K, 5] (class, x0, y0, x1, y1 px; classes 2 and 3 are to be ignored)."""
    c, _ = background.background(rng, h, w)
    objects, vid = [], 0
    k = rng.random()
    n = int(rng.choice([1, 1, 2, 3, 4, 6, 9]))
    if k < 0.55:
        vid = _solid_vehicles(rng, c, n, objects, vid)
    elif k < 0.87:
        vid = _flat_vehicles(rng, c, n, objects, vid)
    elif k < 0.93:
        vid = _flat_vehicles(rng, c, max(1, n // 2), objects, vid)
        vid = _solid_vehicles(rng, c, max(1, n // 2), objects, vid)
    if rng.random() < 0.08 or (k >= 0.93 and rng.random() < 0.4):
        vid = _loose_plates(rng, c, int(rng.integers(1, 5)), objects, vid)
    background.occluders(rng, c)
    if rng.random() < 0.25:
        for _ in range(int(rng.integers(1, 4))):
            background.sign(rng, c, rng.uniform(0, w), rng.uniform(0, h), float(np.exp(rng.uniform(np.log(14), np.log(200)))), owner=0)
    labels = _labels(c, objects)
    if rng.random() < 0.12:
        effects.painted_words(rng, c)
    dark = rng.random() < 0.25
    if dark:
        effects.night(rng, c)
    img = effects.camera(rng, c.img, dark)
    labels = _ignore_unseeable(img, labels)
    if rng.random() < 0.08:
        img, labels = _bars(rng, img, labels)
    return np.ascontiguousarray(img), labels


if __name__ == "__main__":  # contact sheet: python -m scenes.scene OUT.png [SEED]
    rng = np.random.default_rng(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    tiles = []
    for _ in range(12):
        img, lab = render_scene(rng)
        for cls, x0, y0, x1, y1 in lab:
            col = [(0, 255, 0), (255, 0, 0), (255, 160, 0), (0, 160, 160)][int(cls)]
            cv2.rectangle(img, (int(x0), int(y0)), (int(x1), int(y1)), col, 1)
        tiles.append(cv2.resize(img, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA))
    sheet = np.concatenate([np.concatenate(tiles[i : i + 3], 1) for i in range(0, 12, 3)], 0)
    cv2.imwrite(sys.argv[1], sheet[..., ::-1])
