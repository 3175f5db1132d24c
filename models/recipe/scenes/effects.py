"""What light, lens, sensor and encoder do to a picture."""
import cv2
import numpy as np
from PIL import Image, ImageDraw

from . import fonts, text
from .draw import noise_field


def night(rng, c):
    """Darkens; lamps, headlights and plates shine."""
    h, w = c.h, c.w
    amb = rng.uniform(0.1, 0.55)
    light = np.full((h // 4, w // 4), amb, np.float32)
    yy, xx = np.mgrid[0 : h // 4, 0 : w // 4].astype(np.float32)
    for _ in range(int(rng.integers(0, 4))):
        cx, cy, r = rng.uniform(0, w / 4), rng.uniform(0, h / 4), rng.uniform(0.1, 0.5) * w / 4
        light += rng.uniform(0, 0.8) * np.exp(-(((xx - cx) / r) ** 2 + ((yy - cy) / (r * rng.uniform(0.4, 1.2))) ** 2))
    light *= 1 + 0.15 * noise_field(rng, h // 4, w // 4, 6)
    light = cv2.resize(light, (w, h))
    gain = rng.uniform(0.4, 1.15)
    for q in c.plates:  # retroreflection
        if rng.random() < 0.8:
            cv2.fillConvexPoly(light, np.round(q).astype(np.int32), float(max(gain * rng.uniform(0.8, 1.2), amb)), cv2.LINE_AA)
    tint = np.float32([1, rng.uniform(0.8, 1), rng.uniform(0.55, 1.1)])
    img = c.img * (light[..., None] * tint)
    glow = np.zeros((h // 4, w // 4, 3), np.float32)
    for x, y, r, rgb in c.lights:
        if rng.random() < 0.75:
            r = max(r, 1.5) / 4
            s = rng.uniform(0.6, 2.5)
            x, y = x / 4, y / 4
            for k, a in ((r * s, 1.0), (r * s * 4, rng.uniform(0.1, 0.5))):
                x0, x1, y0, y1 = int(max(x - 3 * k, 0)), int(min(x + 3 * k + 1, w // 4)), int(max(y - 3 * k, 0)), int(min(y + 3 * k + 1, h // 4))
                if x1 > x0 and y1 > y0:
                    glow[y0:y1, x0:x1] += np.exp(-(((xx[y0:y1, x0:x1] - x) ** 2 + (yy[y0:y1, x0:x1] - y) ** 2) / (k * k + 0.1)))[..., None] * np.float32(rgb) * a
    if c.lights:
        img += cv2.resize(glow, (w, h))
    c.img[:] = np.clip(img, 0, 255).astype(np.uint8)


def _blur(rng, img):
    k = rng.random()
    if k < 0.4:
        return cv2.GaussianBlur(img, (0, 0), rng.uniform(0.4, 1.7))
    if k < 0.75:  # motion
        n = int(rng.integers(3, 10))
        ker = np.zeros((n, n), np.float32)
        a = rng.uniform(0, np.pi) if rng.random() < 0.5 else rng.normal(0, 0.3)
        c = (n - 1) / 2
        d = np.array([np.cos(a), np.sin(a)]) * c
        cv2.line(ker, tuple(int(round(v)) for v in (c - d[0], c - d[1])), tuple(int(round(v)) for v in (c + d[0], c + d[1])), 1.0, 1)
        return cv2.filter2D(img, -1, ker / max(ker.sum(), 1))
    f = rng.uniform(0.45, 0.9)  # a softer sensor
    h, w = img.shape[:2]
    return cv2.resize(cv2.resize(img, None, fx=f, fy=f, interpolation=cv2.INTER_AREA), (w, h), interpolation=cv2.INTER_LINEAR)


def _tone(rng, img):
    """Exposure, gamma, contrast and colour cast through a table of 256 entries per channel."""
    x = np.arange(256, dtype=np.float32) / 255
    g = np.exp(rng.normal(0, 0.28))
    gain = rng.uniform(0.75, 1.25)
    off = rng.normal(0, 0.05)
    cast = rng.normal(0, 0.05, 3)
    lut = np.stack([np.clip((x**g) * gain * (1 + k) + off, 0, 1) * 255 for k in cast], 1).astype(np.uint8)
    return cv2.LUT(img, lut.reshape(256, 1, 3))


def overlay_text(rng, img):
    """Burnt-in time and camera name."""
    h, w = img.shape[:2]
    size = int(rng.integers(9, 30))
    s = text.timestamp(rng)
    font = fonts.pick(rng, size)
    pic = Image.fromarray(img)
    d = ImageDraw.Draw(pic)
    l, t, r, b = d.textbbox((0, 0), s, font=font)
    x = int(rng.choice([6, max(w - r - 8, 0), rng.integers(0, w)]))
    y = int(rng.choice([4, h - b - 6, 4, rng.integers(0, h - 30)]))
    if rng.random() < 0.4:
        d.rectangle((x - 3, y + t - 2, x + r + 3, y + b + 3), fill=text.colour(rng, 0, 60) if rng.random() < 0.7 else text.colour(rng))
    d.text((x, y), s, font=font, fill=(255, 255, 255) if rng.random() < 0.7 else text.colour(rng))
    return np.asarray(pic).copy()


def painted_words(rng, c):
    """Words straight on walls and bodies, where no labelled plate is."""
    pic = Image.fromarray(c.img)
    d = ImageDraw.Draw(pic)
    for _ in range(int(rng.integers(1, 4))):
        s = text.board_words(rng)
        font = fonts.pick(rng, int(np.exp(rng.uniform(np.log(8), np.log(60)))))
        l, t, r, b = d.textbbox((0, 0), s, font=font)
        x, y = int(rng.integers(0, c.w)), int(rng.integers(0, c.h))
        box = c.owner[max(y + t, 0) : y + b + 1, x : x + r + 1]
        if not (box % 2).any():  # plates have odd ids
            d.text((x, y), s, font=font, fill=text.colour(rng))
    c.img[:] = np.asarray(pic)


def camera(rng, img, dark):
    """Lens, sensor and encoder. `dark`: more noise."""
    h, w = img.shape[:2]
    if rng.random() < 0.5:
        img = _blur(rng, img)
    if rng.random() < 0.06:  # rain
        streaks = np.zeros((h, w), np.uint8)
        a = rng.normal(0, 4)
        for _ in range(int(rng.integers(50, 400))):
            x, y, n = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(5, 30)
            cv2.line(streaks, (int(x), int(y)), (int(x + a * n / 20), int(y + n)), int(rng.integers(30, 150)), 1, cv2.LINE_AA)
        img = cv2.add(img, cv2.merge([streaks] * 3))
    if rng.random() < 0.08:  # haze
        a = rng.uniform(0.1, 0.5)
        img = cv2.addWeighted(img, 1 - a, np.full_like(img, int(rng.integers(120, 230))), a, 0)
    if rng.random() < 0.7:
        img = _tone(rng, img)
    if rng.random() < 0.15:  # vignette
        yy, xx = np.linspace(-1, 1, h, dtype=np.float32)[:, None], np.linspace(-1, 1, w, dtype=np.float32)[None]
        img = (img * np.clip(1 - rng.uniform(0.1, 0.6) * (xx * xx + yy * yy) / 2, 0, 1)[..., None]).astype(np.uint8)
    if rng.random() < (0.9 if dark else 0.45):
        s = rng.uniform(2, 22) if dark else rng.uniform(1, 11)
        if rng.random() < 0.5:
            tile = rng.standard_normal((h // 2, w // 2, 1), dtype=np.float32) * s
            n = np.tile(tile, (3, 3, 1))[int(rng.integers(h // 2)) :, int(rng.integers(w // 2)) :][:h, :w]
        else:  # coarser, as after a codec
            n = cv2.resize(rng.standard_normal((h // 2, w // 2, 3), dtype=np.float32) * s, (w, h), interpolation=cv2.INTER_LINEAR)
        img = cv2.convertScaleAbs(np.maximum(img + n, 0))
    if rng.random() < 0.12:
        g = cv2.cvtColor(img, cv2.COLOR_RGB2GRAY)
        img = cv2.merge([g, g, g])
    if rng.random() < 0.25:
        img = overlay_text(rng, img)
    if rng.random() < 0.65:
        q = int(rng.integers(18, 92))
        img = cv2.imdecode(cv2.imencode(".jpg", img, [cv2.IMWRITE_JPEG_QUALITY, q])[1], cv2.IMREAD_COLOR)
        if rng.random() < 0.2:
            img = cv2.medianBlur(img, 3)
    if rng.random() < 0.08:  # oversharp cameras
        img = cv2.addWeighted(img, 2.0, cv2.GaussianBlur(img, (0, 0), 1.5), -1.0, 0)
    return img
