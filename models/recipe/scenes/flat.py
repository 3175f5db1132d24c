"""Vehicles as flat drawings: rounded boxes, cartoons, textured blobs, with a plate wherever it fits."""
import numpy as np

from .background import tilt
from .draw import noise_field
from .text import colour, flat_sign


def _rounded(w, h, r, n=5):
    r = min(r, w / 2, h / 2)
    out = []
    for cx, cy, a in ((w / 2 - r, -h / 2 + r, -np.pi / 2), (w / 2 - r, h / 2 - r, 0), (-w / 2 + r, h / 2 - r, np.pi / 2), (-w / 2 + r, -h / 2 + r, np.pi)):
        t = np.linspace(a, a + np.pi / 2, n)
        out.append(np.stack([cx + r * np.cos(t), cy + r * np.sin(t)], 1))
    return np.concatenate(out)


def paint_flat(rng, c, cx, base, plate_w, aspect, picture, vid, pid):
    """A flat vehicle whose plate is `plate_w` px wide, standing on row `base`; returns (hull px, plate quad px or None)."""
    W = plate_w * float(np.exp(rng.uniform(np.log(1.9), np.log(5.0))))
    H = W * rng.uniform(0.4, 1.25)
    warp = np.eye(2)
    warp[1, 0] = rng.normal(0, 0.06)  # shear
    warp[0, 1] = rng.normal(0, 0.06)
    k = rng.normal(0, 0.12) / W if rng.random() < 0.5 else 0.0

    def put(p):
        p = np.asarray(p, float)
        q = p @ warp.T
        return q / (1 + k * q[:, :1]) + (cx, base - H / 2)

    body = colour(rng, 10, 245) if rng.random() < 0.6 else tuple([int(rng.integers(10, 250))] * 3)
    style = rng.random()
    r = W * rng.uniform(0, 0.25)
    grad = rng if rng.random() < 0.6 else None
    sh = put(_rounded(W * 1.05, H * 0.14, H * 0.1) + (0, H / 2))
    if rng.random() < 0.5:
        c.fill(sh, (10, 10, 12), alpha=rng.uniform(0.3, 0.9))
    if rng.random() < 0.6:  # wheels
        wh, ww = H * rng.uniform(0.1, 0.3), W * rng.uniform(0.08, 0.2)
        for s in (-1, 1):
            c.fill(put(_rounded(ww, wh, ww * 0.3) + (s * W * 0.36, H / 2 - wh * 0.3)), (18, 18, 20), owner=vid)
    lower, cut = put(_rounded(W, H, r)), 0.0
    if style < 0.65:  # body with a narrower cabin on top
        cut = H * rng.uniform(0.25, 0.5)
        tw = rng.uniform(0.55, 0.95)
        cab = put([(-W / 2 * tw, -H / 2), (W / 2 * tw, -H / 2), (W / 2 * 0.97, -H / 2 + cut * 1.1), (-W / 2 * 0.97, -H / 2 + cut * 1.1)])
        c.fill(cab, body, owner=vid, rng=grad)
        c.fill((cab - cab.mean(0)) * rng.uniform(0.7, 0.9) + cab.mean(0), tuple([int(rng.integers(10, 200))] * 3), owner=vid, rng=grad)
        lower = put(_rounded(W, H - cut, min(r, H * 0.2)) + (0, cut / 2))
    c.fill(lower, body, owner=vid, rng=grad)
    hull = np.concatenate([put(_rounded(W, H, 0))])
    if style < 0.65:
        hull = np.concatenate([lower, cab])
    elif rng.random() < 0.5:
        ww = W * rng.uniform(0.6, 0.9)
        c.fill(put(_rounded(ww, H * 0.3, 4) + (0, -H * 0.25)), tuple([int(rng.integers(10, 200))] * 3), owner=vid, rng=grad)
    if rng.random() < 0.2:  # patterned body
        x0, y0 = np.maximum(lower.min(0).astype(int), 0)
        x1, y1 = np.minimum(lower.max(0).astype(int), (c.w, c.h))
        if x1 - x0 > 4 and y1 - y0 > 4:
            v = c.img[y0:y1, x0:x1]
            own = c.owner[y0:y1, x0:x1] == vid
            tex = noise_field(rng, y1 - y0, x1 - x0, rng.uniform(3, 30))[..., None] * rng.uniform(10, 70)
            v[own] = np.clip(v + tex, 0, 255).astype(np.uint8)[own]
    y_mid = cut / 2
    hh = H - cut
    if rng.random() < 0.75:  # lamps
        lw, lh = W * rng.uniform(0.05, 0.14), hh * rng.uniform(0.06, 0.2)
        y = y_mid + hh * rng.uniform(-0.35, 0.2)
        front = rng.random() < 0.5
        col = (int(rng.integers(210, 256)), int(rng.integers(210, 256)), int(rng.integers(150, 256))) if front else (int(rng.integers(140, 240)), 20, 20)
        for s in (-1, 1):
            p = put(_rounded(2 * lw, 2 * lh, lh * rng.uniform(0, 1)) + (s * (W / 2 - lw * 1.2), y))
            c.fill(p, col, owner=vid)
            m = p.mean(0)
            c.lights.append((m[0], m[1], lh, (255, 250, 220) if front else (255, 30, 20)))
    if rng.random() < 0.35:  # grille
        n = int(rng.integers(1, 6))
        gw, gh = W * rng.uniform(0.2, 0.6), hh * rng.uniform(0.08, 0.25)
        y = y_mid + hh * rng.uniform(-0.3, 0.1)
        for i in range(n):
            c.fill(put(_rounded(gw, gh / n * 0.6, 0) + (0, y + gh * i / n)), tuple([int(rng.integers(5, 120))] * 3), owner=vid)
    for _ in range(int(rng.choice([0, 0, 1, 2]))):
        sw, sh_ = W * rng.uniform(0.1, 0.4), hh * rng.uniform(0.05, 0.2)
        q = np.array([[-sw / 2, -sh_ / 2], [sw / 2, -sh_ / 2], [sw / 2, sh_ / 2], [-sw / 2, sh_ / 2]])
        at = (rng.uniform(-0.4, 0.4) * W, y_mid + rng.uniform(-0.4, 0.4) * hh)
        c.paste(flat_sign(rng), put(tilt(rng, q, 0.4) + at), owner=vid)
    if picture is None:
        return hull, None
    ph = plate_w / aspect
    x = 0.0 if rng.random() < 0.7 else rng.uniform(-0.5, 0.5) * (W - plate_w)
    y = y_mid + (hh - ph) * (rng.uniform(0.0, 0.45) if rng.random() < 0.85 else rng.uniform(-0.5, 0.5))
    q = np.array([[-plate_w / 2, -ph / 2], [plate_w / 2, -ph / 2], [plate_w / 2, ph / 2], [-plate_w / 2, ph / 2]])
    if rng.random() < 0.3:
        q = tilt(rng, q, 0.7)
    quad = put(q + (x, y))
    c.paste(picture, quad, owner=pid)
    c.plates.append(quad)
    return hull, quad
