"""What is behind the vehicles: roads, yards, walls, and shapes with no meaning."""
import cv2
import numpy as np

from .draw import Canvas, noise_field
from .text import colour, flat_sign


def _gradient(rng, h, w, lo=0, hi=255):
    a, b = np.float32(colour(rng, lo, hi)), np.float32(colour(rng, lo, hi))
    t = np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
    return np.broadcast_to(a + (b - a) * t, (h, w, 3)).copy()


def _texture(rng, img, strength):
    """Adds smooth noise at two scales and grain, in place; f32."""
    h, w = img.shape[:2]
    for _ in range(int(rng.integers(1, 3))):
        img += noise_field(rng, h, w, float(np.exp(rng.uniform(1, 5.5))))[..., None] * rng.uniform(0, strength)
    if rng.random() < 0.5:
        img += rng.standard_normal((h // 2 + 1, w // 2 + 1, 1)).astype(np.float32).repeat(2, 0).repeat(2, 1)[:h, :w] * rng.uniform(0, strength / 4)


def _building(rng, c, x, base, s):
    w, h = s * rng.uniform(0.5, 2), s * rng.uniform(0.5, 2)
    col = np.array(colour(rng, 60, 220))
    c.fill([(x, base - h), (x + w, base - h), (x + w, base), (x, base)], tuple(int(v) for v in col), rng=rng)
    nx, ny = int(rng.integers(2, 8)), int(rng.integers(2, 7))
    win = colour(rng, 10, 255)
    for i in range(nx):
        for j in range(ny):
            x0, y0 = x + w * (i + 0.2) / nx, base - h + h * (j + 0.2) / ny
            c.fill([(x0, y0), (x0 + w * 0.6 / nx, y0), (x0 + w * 0.6 / nx, y0 + h * 0.55 / ny), (x0, y0 + h * 0.55 / ny)], win)

    if rng.random() < 0.35:
        sign(rng, c, x + w * rng.uniform(0.2, 0.8), base - h * rng.uniform(0.2, 0.95), w * rng.uniform(0.15, 0.7))


def _tree(rng, c, x, base, s):
    c.fill([(x - s * 0.05, base - s), (x + s * 0.05, base - s), (x + s * 0.05, base), (x - s * 0.05, base)], (70, 50, 35))
    col = np.array([rng.integers(20, 90), rng.integers(60, 150), rng.integers(10, 70)])
    for _ in range(int(rng.integers(3, 10))):
        t = np.linspace(0, 2 * np.pi, 14)
        r = s * rng.uniform(0.15, 0.45) * rng.uniform(0.8, 1.2, 14)
        cx, cy = x + rng.uniform(-0.3, 0.3) * s, base - s * rng.uniform(0.7, 1.5)
        c.fill(np.stack([cx + r * np.cos(t), cy + r * np.sin(t)], 1), tuple(int(v) for v in np.clip(col * rng.uniform(0.7, 1.3), 0, 255)))


def _pole(rng, c, x, base, s):
    t = max(1.0, s * 0.03)
    c.fill([(x - t, base - 2 * s), (x + t, base - 2 * s), (x + t, base), (x - t, base)], colour(rng, 40, 200))
    if rng.random() < 0.6:
        sign(rng, c, x, base - 2 * s, s * rng.uniform(0.3, 1.2))


def sign(rng, c, x, y, width_px, owner=None):
    """A board with text that is no plate, centred at (x, y), at some angle."""
    pic = flat_sign(rng)
    hpx = width_px * pic.shape[0] / pic.shape[1]
    q = np.array([[-width_px / 2, -hpx / 2], [width_px / 2, -hpx / 2], [width_px / 2, hpx / 2], [-width_px / 2, hpx / 2]])
    c.paste(pic, tilt(rng, q) + (x, y), owner)


def tilt(rng, quad, strength=1.0):
    """Random rotation, shear and perspective of a quad centred on 0."""
    a = rng.normal(0, 0.07) * strength
    q = quad @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    q[:, 1] += q[:, 0] * rng.normal(0, 0.1) * strength
    q[:, 0] *= rng.uniform(0.75, 1.0)
    k = rng.normal(0, 0.1) * strength / max(np.abs(q[:, 0]).max(), 1)
    return q / (1 + k * q[:, :1])


def _ground(rng, c, horizon):
    h, w = c.h, c.w
    vx = rng.uniform(0.1, 0.9) * w
    col = colour(rng, 50, 150) if rng.random() < 0.6 else tuple([int(rng.integers(40, 170))] * 3)
    wide = rng.uniform(0.6, 3) * w
    if rng.random() < 0.8:
        c.fill([(vx - 6, horizon), (vx + 6, horizon), (vx + wide, h), (vx - wide, h)], col, rng=rng)
    mark = tuple([int(rng.integers(150, 256))] * 3)
    for k in range(int(rng.integers(0, 6))):
        bx = vx + rng.uniform(-1, 1) * wide
        dashes = int(rng.integers(1, 9))
        ts = np.linspace(0.02, 1, dashes * 2)
        for i in range(dashes):
            t0, t1 = ts[2 * i] ** 2, ts[2 * i + 1] ** 2
            lw = w * 0.008
            p = lambda t, s: (vx + (bx - vx) * t + s * lw * t, horizon + (h - horizon) * t)
            c.fill([p(t0, -1), p(t0, 1), p(t1, 1), p(t1, -1)], mark)


def _clutter(rng, c, n):
    """Polygons, circles and lines with no meaning."""
    for _ in range(n):
        col = colour(rng)
        s = float(np.exp(rng.uniform(np.log(6), np.log(c.w * 0.5))))
        x, y = rng.uniform(0, c.w), rng.uniform(0, c.h)
        k = rng.random()
        if k < 0.3:
            c.fill(np.array([x, y]) + rng.uniform(-s, s, (int(rng.integers(3, 7)), 2)), col)
        elif k < 0.6:
            a = rng.uniform(0.2, 1.5)
            c.fill([(x, y), (x + s, y), (x + s, y + s * a), (x, y + s * a)], col, rng=rng)
        elif k < 0.8:
            t = np.linspace(0, 6.283, 20)
            c.fill(np.stack([x + s / 2 * np.cos(t), y + s / 2 * rng.uniform(0.4, 1.2) * np.sin(t)], 1), col)
        else:
            x2, y2 = rng.uniform(0, c.w), rng.uniform(0, c.h)
            cv2.line(c.img, (int(x), int(y)), (int(x2), int(y2)), col, int(rng.integers(1, 7)), cv2.LINE_AA)


def background(rng, h, w):
    """A canvas with a scene to put vehicles on, and its horizon row in px."""
    k = rng.random()
    horizon = h * rng.uniform(-0.15, 0.6)
    if k < 0.08:
        img = np.empty((h, w, 3), np.float32)
        img[:] = colour(rng)
        _texture(rng, img, rng.choice([0, 6, 40]))
        return Canvas(np.clip(img, 0, 255).astype(np.uint8)), horizon
    img = _gradient(rng, h, w) if k < 0.35 else _gradient(rng, h, w, 90, 230)
    if k >= 0.35 and horizon > 0:
        y = int(horizon)
        img[:y] = _gradient(rng, y, w, 130, 255) if y > 1 else 200
    _texture(rng, img, 60 if k < 0.35 else 25)
    if rng.random() < 0.12:  # bricks or tiles
        s, t = int(rng.integers(8, 60)), int(rng.integers(1, 4))
        d = rng.uniform(-60, 60)
        for i in range(0, h, s):
            img[i : i + t] += d
            img[i : i + s, (s * (i // s % 2)) :: 2 * s] += d
    c = Canvas(np.clip(img, 0, 255).astype(np.uint8))
    if k < 0.35:
        _clutter(rng, c, int(rng.integers(0, 30)))
    else:
        _ground(rng, c, horizon)
        base = max(horizon, 0)
        for _ in range(int(rng.integers(0, 6))):
            s = rng.uniform(0.08, 0.4) * w
            _building(rng, c, rng.uniform(-0.2, 1) * w, base + rng.uniform(0, 0.1) * h, s)
        for _ in range(int(rng.integers(0, 5))):
            _tree(rng, c, rng.uniform(0, 1) * w, base + rng.uniform(0, 0.25) * h, rng.uniform(0.05, 0.3) * w)
        for _ in range(int(rng.integers(0, 6))):
            _pole(rng, c, rng.uniform(0, 1) * w, base + rng.uniform(0, 0.4) * h, rng.uniform(0.04, 0.15) * w)
        if rng.random() < 0.25:
            _clutter(rng, c, int(rng.integers(1, 8)))
    for _ in range(int(rng.choice([0, 0, 1, 2, 4, 6]))):
        sign(rng, c, rng.uniform(0, w), rng.uniform(0, h), float(np.exp(rng.uniform(np.log(14), np.log(260)))))
    return c, horizon


def occluders(rng, c):
    """Things in front of vehicles: barrier arms, posts, leaves, people-like blobs."""
    for _ in range(int(rng.choice([0, 0, 0, 1, 2]))):
        k = rng.random()
        x, y = rng.uniform(0, c.w), rng.uniform(0.2, 1) * c.h
        if k < 0.35:
            t = rng.uniform(1, 10)
            a = rng.normal(0, 0.1)
            n = int(rng.integers(1, 14))
            cols = [(225, 225, 225), (200, 30, 30)] if rng.random() < 0.6 else [colour(rng), colour(rng)]
            L = c.w * rng.uniform(0.3, 1.2)
            for i in range(n):
                x0, x1 = x + L * i / n, x + L * (i + 1) / n
                c.fill([(x0, y + a * (x0 - x) - t), (x1, y + a * (x1 - x) - t), (x1, y + a * (x1 - x) + t), (x0, y + a * (x0 - x) + t)], cols[i % 2], owner=0)
        elif k < 0.7:
            t, s = rng.uniform(1, 12), rng.uniform(0.1, 0.8) * c.h
            c.fill([(x - t, y - s), (x + t, y - s), (x + t, y), (x - t, y)], colour(rng), owner=0, rng=rng)
        else:
            col = np.array(colour(rng, 10, 160))
            for _ in range(int(rng.integers(2, 12))):
                t = np.linspace(0, 6.283, 10)
                r = rng.uniform(4, 40)
                px, py = x + rng.normal(0, 40), y + rng.normal(0, 40)
                c.fill(np.stack([px + r * np.cos(t), py + r * rng.uniform(0.5, 1.8) * np.sin(t)], 1), tuple(int(v) for v in np.clip(col * rng.uniform(0.6, 1.4), 0, 255)), owner=0)
