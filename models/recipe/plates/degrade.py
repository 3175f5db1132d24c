"""From a flat plate to the crop a camera and a detector would give: perspective, light, blur, noise, codec, crop, variants.

Works in gray: that is what the reader takes, and what carries the detail in 4:2:0 video.
"""
from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .render import Plate

VARIANTS = ("original", "clahe", "equalize", "adaptive_threshold", "morphology", "sharpen")
_VARIANT_SHARE = (0.58, 0.10, 0.08, 0.09, 0.07, 0.08)


@dataclass
class Crop:
    """One reader input: `image` uint8 [H, W]; `centres[i]` is (x, row) of character `i`, x in 0..1 of the width."""

    image: np.ndarray
    text: str
    rows: int
    centres: np.ndarray
    width: int
    night: bool
    variant: str


@dataclass
class Settings:
    """What to draw; fixed values are for evaluation, `None` means random."""

    width: int | None = None
    night: bool | None = None
    variant: str | None = None
    hard: float = 1.0


def project(rng, aspect: float, hard: float) -> np.ndarray:
    """Corners [4, 2] of a plate seen under a random view; unit: plate height; clockwise from the top left."""
    yaw, pitch, roll = np.deg2rad([np.clip(rng.normal(0, s * hard), -m, m) for s, m in ((13, 36), (8, 22), (4, 12))])
    corners = np.array([[-aspect, -1, 0], [aspect, -1, 0], [aspect, 1, 0], [-aspect, 1, 0]], np.float64) / 2
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    turn = (np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
            @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]))
    points = corners @ turn.T
    distance = aspect * rng.uniform(3.0, 16.0)
    return points[:, :2] * (distance / (distance + points[:, 2:]))


def crop(rng: np.random.Generator, plate: Plate, out: tuple[int, int] = (160, 64), settings: Settings | None = None) -> Crop:
    """One degraded crop of a plate, stretched to `out` (width, height)."""
    s = settings or Settings()
    gray = _gray(rng, plate.rgb)
    quad = project(rng, plate.aspect, s.hard)
    low, high = quad.min(axis=0), quad.max(axis=0)
    extent = high - low
    # Narrowest advance of a character in plate widths decides how small the plate may be drawn.
    pitch = np.median(plate.chars[:, 2] - plate.chars[:, 0]) * 1.15 / plate.rgb.shape[1]
    if s.width is None:
        least = max(40.0, 5.2 / pitch)
        most = 300.0 if plate.rows == 1 else 220.0
        width = float(np.exp(rng.uniform(np.log(min(least, 120.0)), np.log(most))))
        if rng.random() < 0.08:  # smaller than can be read well: the reader must know what it does not know
            width = max(24.0, min(least, 60.0) * rng.uniform(0.6, 1.0))
    else:
        width = float(s.width)
    scale = width / extent[0]
    quad = (quad - low) * scale
    size = extent * scale
    for attempt in range(4):
        margin = np.clip(rng.normal(0.08, 0.05, 4), -0.05, 0.2) if attempt < 3 else np.full(4, 0.04)
        left, top = -margin[0] * size[0], -margin[1] * size[1]
        cw, ch = size[0] * (1 + margin[0] + margin[2]), size[1] * (1 + margin[1] + margin[3])
        cw, ch = max(16, round(cw)), max(8, round(ch))
        matrix = cv2.getPerspectiveTransform(
            np.float32([[0, 0], [plate.rgb.shape[1], 0], [plate.rgb.shape[1], plate.rgb.shape[0]], [0, plate.rgb.shape[0]]]),
            np.float32(quad - [left, top]))
        boxes = plate.chars
        ends = np.float32(np.concatenate([np.stack([boxes[:, x], (boxes[:, 1] + boxes[:, 3]) / 2], 1) for x in (0, 2)]
                                         + [np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, y]], 1) for y in (1, 3)]))
        ends = cv2.perspectiveTransform(ends[None], matrix)[0]
        slack = 0.12 * ch
        if (ends[:, 0] > -0.012 * cw).all() and (ends[:, 0] < 1.012 * cw).all() and (ends[:, 1] > -slack * 0.4).all() \
                and (ends[:, 1] < ch + slack * 0.4).all():
            break
    n = len(boxes)
    centres = np.stack([(ends[:n, 0] + ends[n:2 * n, 0]) / 2 / cw, boxes[:, 4]], 1).astype(np.float32)
    night = s.night if s.night is not None else bool(rng.random() < 0.22)
    image, variant = _seen(rng, _warp(rng, gray, matrix, cw, ch), night, max(3.0, width * pitch), out, s)
    return Crop(image, plate.text, plate.rows, centres, round(width), night, variant)


def negative(rng: np.random.Generator, out: tuple[int, int] = (160, 64), settings: Settings | None = None) -> Crop:
    """A crop without any text, as a detector's false alarm gives: lamps, grilles, edges, texture."""
    s = settings or Settings()
    width = float(np.exp(rng.uniform(np.log(30.0), np.log(250.0))))
    w, h = round(width), max(10, round(width / rng.uniform(1.2, 5.0)))
    image = _body(rng, w, h)
    for _ in range(int(rng.integers(0, 7))):
        colour = float(rng.uniform(0, 255))
        p, q = [(int(rng.integers(-w // 4, w + w // 4)), int(rng.integers(-h // 4, h + h // 4))) for _ in range(2)]
        kind = rng.random()
        if kind < 0.35:
            cv2.line(image, p, q, colour, int(rng.integers(1, max(2, h // 5))), cv2.LINE_AA)
        elif kind < 0.7:
            cv2.rectangle(image, p, q, colour, -1 if rng.random() < 0.6 else 2)
        else:
            cv2.ellipse(image, p, (int(rng.integers(2, w)), int(rng.integers(2, h))), float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    if rng.random() < 0.25:  # a grille: stripes that are no characters
        step = int(rng.integers(3, 12))
        if rng.random() < 0.5:
            image[::step] = rng.uniform(0, 255)
        else:
            image[:, ::step] = rng.uniform(0, 255)
    night = bool(rng.random() < 0.22)
    image, variant = _seen(rng, image.astype(np.float32), night, width / 8, out, s)
    return Crop(image, "", 1, np.zeros((0, 2), np.float32), round(width), night, variant)


def _seen(rng, image: np.ndarray, night: bool, char: float, out: tuple[int, int], s: Settings) -> tuple[np.ndarray, str]:
    """Light, lens, sensor, codec and the graph's own steps; `char` is the width of a character in px."""
    image = _light(rng, image, night, s.hard)
    image = _lens(rng, image, char, s.hard)
    image = _sensor(rng, image, night, s.hard)
    image = _codec(rng, image, s.hard)
    variant = s.variant or str(rng.choice(VARIANTS, p=_VARIANT_SHARE))
    image = apply_variant(rng, _upscale(rng, image), variant)
    mode = cv2.INTER_AREA if image.shape[1] > out[0] * 1.3 else int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
    return cv2.resize(image, out, interpolation=mode), variant


def _gray(rng, rgb: np.ndarray) -> np.ndarray:
    if rng.random() < 0.75:
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    weights = rng.dirichlet([2.5, 4.0, 1.8]).astype(np.float32)  # other sensors, IR
    return np.clip(rgb.astype(np.float32) @ weights, 0, 255).astype(np.uint8)


def _warp(rng, gray: np.ndarray, matrix: np.ndarray, cw: int, ch: int) -> np.ndarray:
    """Draws the plate into a crop of `cw` x `ch` over something that may be a car."""
    over = 2 if cw < 150 else 1
    target = max(1.0, gray.shape[1] / (cw * over))
    if target > 1.3:  # shrink by area first: the warp itself is bilinear
        small = cv2.resize(gray, None, fx=1 / target, fy=1 / target, interpolation=cv2.INTER_AREA)
        fit = np.diag([gray.shape[1] / small.shape[1], gray.shape[0] / small.shape[0], 1.0])
    else:
        small, fit = gray, np.eye(3)
    total = np.diag([over, over, 1.0]) @ matrix @ fit
    body = _body(rng, cw * over, ch * over)
    cv2.warpPerspective(small, total, (cw * over, ch * over), dst=body, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT)
    if over > 1:
        body = cv2.resize(body, (cw, ch), interpolation=cv2.INTER_AREA)
    return body.astype(np.float32)


def _body(rng, w: int, h: int) -> np.ndarray:
    base, slope = rng.uniform(5, 240), rng.normal(0, 30)
    body = base + np.linspace(-slope, slope, h)[:, None] + np.zeros((1, w))
    roll = rng.random()
    if roll < 0.3:
        body = body + cv2.resize(rng.normal(0, 25, (4, 6)), (w, h), interpolation=cv2.INTER_LINEAR)
    elif roll < 0.5:  # grille or bumper edges
        for _ in range(int(rng.integers(1, 4))):
            y = int(rng.integers(0, h))
            body[y: y + max(1, h // 12)] = rng.uniform(0, 255)
    return np.clip(body, 0, 255).astype(np.uint8)


def _light(rng, image: np.ndarray, night: bool, hard: float) -> np.ndarray:
    h, w = image.shape
    ys, xs = np.linspace(0, 1, h, dtype=np.float32)[:, None], np.linspace(0, 1, w, dtype=np.float32)[None]
    if rng.random() < 0.4 * hard:  # uneven light
        a = rng.uniform(0, 2 * np.pi)
        image = image * (1 + rng.uniform(0, 0.45) * ((xs - 0.5) * np.cos(a) + (ys - 0.5) * np.sin(a)) * 2)
    if rng.random() < 0.16 * hard:  # edge of a shadow
        a = rng.uniform(0, 2 * np.pi)
        distance = (xs - rng.uniform(0.1, 0.9)) * np.cos(a) + (ys - rng.uniform(0.1, 0.9)) * np.sin(a) * h / w
        image = image * (1 - rng.uniform(0.25, 0.65) / (1 + np.exp(-np.clip(distance * rng.uniform(15, 120), -30, 30))))
    if rng.random() < 0.10 * hard:  # glare
        r = ((xs - rng.uniform(-0.1, 1.1)) / rng.uniform(0.08, 0.4)) ** 2 + ((ys - rng.uniform(-0.2, 1.2)) / rng.uniform(0.2, 0.8)) ** 2
        image = image + rng.uniform(40, 170) * np.exp(-r)
    if rng.random() < 0.14 * hard:  # dirt
        coarse = rng.random((max(2, h // 7), max(3, w // 9))).astype(np.float32)
        mud = np.clip((cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC) - rng.uniform(0.62, 0.9)) * 5, 0, 1)
        image = image + (rng.uniform(40, 150) - image) * mud * rng.uniform(0.3, 0.75)
    if rng.random() < 0.05 * hard:  # a scratch, a cable, a hitch
        colour = float(rng.uniform(0, 255))
        p = [(int(rng.integers(0, w)), int(rng.integers(0, h))) for _ in range(2)]
        cv2.line(image, p[0], p[1], colour, max(1, h // 24), cv2.LINE_AA)
    image = np.clip(image, 0, 255)
    if night:
        if rng.random() < 0.25:  # headlights or IR on a reflective plate
            image = np.clip(image * rng.uniform(1.2, 1.7), 0, 255)
            image = np.clip(image + cv2.GaussianBlur(image, (0, 0), max(0.6, h * 0.06)) * rng.uniform(0.05, 0.3) - 20, 0, 255)
        else:
            image = 255 * (image / 255) ** rng.uniform(0.9, 1.7) * rng.uniform(0.13, 0.5) + rng.uniform(0, 18)
    else:
        contrast, brightness = rng.uniform(0.45, 1.15), rng.uniform(-30, 40)
        image = 255 * (np.clip(image, 0, 255) / 255) ** np.exp(rng.normal(0, 0.22))
        image = (image - 128) * contrast + 128 + brightness
    return np.clip(image, 0, 255).astype(np.float32)


def _lens(rng, image: np.ndarray, char: float, hard: float) -> np.ndarray:
    """Defocus and motion; `char` is the width of a character in px, to which the blur is bounded."""
    h, w = image.shape
    if rng.random() < 0.7:
        sigma = abs(rng.normal(0, 0.085 * hard)) * char
        if sigma > 0.3:
            image = cv2.GaussianBlur(image, (0, 0), min(sigma, 0.21 * char, 3.2))
    if rng.random() < 0.4:
        length = min(abs(rng.normal(0, 0.24 * hard)) * char, 0.5 * char)
        if length > 1.2:
            size = int(length) | 1
            size = max(3, size)
            kernel = np.zeros((size, size), np.float32)
            a = rng.normal(0, 0.3) if rng.random() < 0.65 else rng.uniform(0, np.pi)
            d = np.array([np.cos(a), np.sin(a)]) * length / 2
            c = (size - 1) / 2
            ends = [tuple(int(round((c + k * v) * 256)) for v in d) for k in (-1, 1)]
            cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA, 8)
            if kernel.sum() > 0:
                image = cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    return image


def _sensor(rng, image: np.ndarray, night: bool, hard: float) -> np.ndarray:
    sigma = abs(rng.normal(0, 9.0 if night else 5.0)) * hard
    if rng.random() < 0.85 and sigma > 0.5:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * sigma
        if rng.random() < 0.4:  # after demosaicing and denoising noise is not white
            noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.5, 1.0)) * 1.6
        image = image + noise * np.sqrt(0.25 + image / 170.0)
    if rng.random() < 0.3:
        amount = rng.uniform(0.3, 1.3)
        image = image + (image - cv2.GaussianBlur(image, (0, 0), rng.uniform(0.7, 1.6))) * amount
    if night and rng.random() < 0.4:  # automatic gain
        image = image * rng.uniform(1.2, 2.6)
    return np.clip(image, 0, 255)


def _codec(rng, image: np.ndarray, hard: float) -> np.ndarray:
    """JPEG as a stand-in for H.264 at CRF 18 to 36, on a random block grid, at times with deblocking."""
    image = image.astype(np.uint8)
    if rng.random() < 0.8:
        quality = int(np.clip(rng.beta(1.7, 1.5) * 75 + 15, 15, 90))
        dy, dx = (int(v) for v in rng.integers(0, 8, 2))
        padded = cv2.copyMakeBorder(image, dy, 8, dx, 8, cv2.BORDER_REPLICATE)
        _, data = cv2.imencode(".jpg", padded, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)[dy: dy + image.shape[0], dx: dx + image.shape[1]]
        if quality < 55 and rng.random() < 0.5:
            image = cv2.bilateralFilter(image, 3, 20, 2)
    return np.ascontiguousarray(image)


def _upscale(rng, image: np.ndarray) -> np.ndarray:
    """What the graph does to small crops before the variants: up to 64 to 96 px of height or left alone."""
    h, w = image.shape
    if h >= 72 or rng.random() < 0.25:
        return image
    factor = float(rng.uniform(60, 100)) / h if rng.random() < 0.7 else float(rng.uniform(1.0, 2.5))
    factor = min(factor, 420.0 / w)
    if factor <= 1.05:
        return image
    mode = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4], p=[0.4, 0.45, 0.15]))
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=mode)


def apply_variant(rng, image: np.ndarray, variant: str) -> np.ndarray:
    """The graph's preprocessing variants at random strength, uint8 to uint8."""
    h = image.shape[0]
    if variant == "clahe":
        tiles = int(rng.integers(2, 9))
        return cv2.createCLAHE(float(rng.uniform(1.5, 4.5)), (tiles, max(2, tiles // int(rng.integers(1, 3))))).apply(image)
    if variant == "equalize":
        return cv2.equalizeHist(image)
    if variant == "adaptive_threshold":
        block = max(5, int(h * rng.uniform(0.2, 0.75))) | 1
        kind = cv2.ADAPTIVE_THRESH_GAUSSIAN_C if rng.random() < 0.6 else cv2.ADAPTIVE_THRESH_MEAN_C
        if rng.random() < 0.3:
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.2))
        return cv2.adaptiveThreshold(image, 255, kind, cv2.THRESH_BINARY, block, float(rng.uniform(1, 12)))
    if variant == "morphology":
        size = 2 if h < 40 else int(rng.integers(2, 4))
        kernel = cv2.getStructuringElement(int(rng.choice([cv2.MORPH_RECT, cv2.MORPH_ELLIPSE, cv2.MORPH_CROSS])), (size, size))
        operation = int(rng.choice([cv2.MORPH_OPEN, cv2.MORPH_CLOSE, cv2.MORPH_GRADIENT], p=[0.48, 0.48, 0.04]))
        return cv2.morphologyEx(image, operation, kernel)
    if variant == "sharpen":
        soft = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.8, 2.5))).astype(np.float32)
        source = image.astype(np.float32)
        return np.clip(source + (source - soft) * rng.uniform(0.5, 2.0), 0, 255).astype(np.uint8)
    return image
