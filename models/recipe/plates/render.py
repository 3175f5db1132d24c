"""Draws one clean flat plate: layout, colours, frame, small print, glyphs.

Units: pixels of the plate image; the plate fills it. Colours are RGB, uint8.
"""
from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from . import texts
from .fonts import CAP, PAD_BOTTOM, PAD_TOP, Atlas, Face, load_atlas

_ATLAS: Atlas | None = None
# Background, text: as painted on plates of the world; `_colours` moves each of them at random.
SCHEMES = [((235, 235, 232), (20, 20, 22), 30), ((240, 205, 50), (18, 18, 16), 12), ((245, 190, 20), (15, 15, 15), 5),
           ((20, 22, 26), (225, 226, 224), 7), ((28, 62, 150), (235, 236, 240), 7), ((24, 100, 60), (232, 236, 232), 6),
           ((165, 28, 34), (238, 234, 232), 5), ((236, 236, 236), (30, 60, 160), 7), ((235, 238, 235), (20, 110, 60), 6),
           ((238, 236, 236), (175, 26, 32), 6), ((180, 215, 180), (20, 30, 24), 4), ((170, 205, 235), (24, 32, 70), 4),
           ((190, 190, 188), (40, 40, 42), 4), ((240, 225, 120), (130, 30, 30), 2), ((245, 160, 60), (20, 18, 18), 3)]


@dataclass
class Plate:
    """One plate as drawn.

    `rgb` is uint8 [H, W, 3]; the plate fills it (its outer corners are the image's). `text` has no separators and reads
    top row first. `chars[i]` is the box `(x0, y0, x1, y1, row)` in px of character `i`.
    """

    rgb: np.ndarray
    text: str
    rows: int
    chars: np.ndarray
    face: Face = field(repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        return self.rgb.shape[1], self.rgb.shape[0]

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.rgb.shape[1] / self.rgb.shape[0]


def render_plate(rng: np.random.Generator, atlas: Atlas | None = None, height: int | None = None,
                 rows: int | None = None, text: list[str] | None = None) -> Plate:
    """Draws a random plate about `height` px tall (default 96 for one row, 160 for two).

    `atlas` defaults to the training fonts (loaded once per process, some seconds); `text` gives the groups of characters.
    """
    global _ATLAS
    if atlas is None:
        atlas = _ATLAS = _ATLAS or load_atlas()
    groups = text or texts.random_text(rng)
    count = sum(map(len, groups))
    rows = rows or (2 if rng.random() < 0.36 else 1)
    lines = _lines(rng, groups, rows)
    face = atlas.pick(rng)
    h = height or (96 if rows == 1 else 160)
    if rows == 2:
        aspect = rng.choice([rng.uniform(0.95, 1.5), rng.uniform(1.3, 2.2)])
    elif rng.random() < 0.62:
        aspect = rng.uniform(3.4, 5.4)
    else:
        aspect = rng.uniform(1.8, 3.6)
    if rows == 1 and count > 8:
        aspect = max(aspect, 3.2)
    w = int(round(h * aspect))
    bg, fg = _colours(rng)
    image = np.empty((h, w, 3), np.float32)
    image[:] = bg
    _background(rng, image, bg)
    area = _furniture(rng, image, rows, bg, fg, atlas)
    mask = np.zeros((h, w), np.uint8)
    boxes = _write(rng, mask, area, lines, face, rows)
    mask = _weight(rng, mask, boxes)
    _ink(rng, image, mask, fg)
    _marks(rng, image, boxes, area, fg)
    return Plate(np.clip(image, 0, 255).astype(np.uint8), "".join(groups), rows, boxes, face)


def _lines(rng, groups: list[str], rows: int) -> list[list[str]]:
    if rows == 1:
        return [groups]
    if len(groups) == 1:
        groups = texts.split_groups(rng, groups[0], 2)
    cut = int(rng.integers(1, len(groups)))
    lines = [groups[:cut], groups[cut:]]
    shares = [sum(map(len, line)) for line in lines]
    if min(shares) == 1 and sum(shares) > 4 and rng.random() < 0.6:  # one character alone in a row is rare
        lines = [["".join(groups)[:2]], ["".join(groups)[2:]]]
    if max(sum(map(len, line)) for line in lines) > 6:  # a row of more is never seen on a two-row plate
        text = "".join(groups)
        cut = int(rng.integers(max(1, len(text) - 6), min(6, len(text) - 1) + 1))
        lines = [[text[:cut]], [text[cut:]]]
    return lines


def _colours(rng) -> tuple[np.ndarray, np.ndarray]:
    if rng.random() < 0.15:  # anything with contrast
        while True:
            bg, fg = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
            if abs(_luma(bg) - _luma(fg)) > 70:
                return bg.astype(np.float32), fg.astype(np.float32)
    weights = np.array([s[2] for s in SCHEMES], np.float64)
    bg, fg, _ = SCHEMES[rng.choice(len(SCHEMES), p=weights / weights.sum())]
    bg = np.array(bg, np.float32) + rng.normal(0, 9, 3)
    fg = np.array(fg, np.float32) + rng.normal(0, 9, 3)
    fade = rng.beta(1.2, 4.0) * 0.55  # worn paint: text drifts toward the ground
    fg = fg + (bg - fg) * fade
    if abs(_luma(bg) - _luma(fg)) < 45:
        fg = fg + (0 if _luma(bg) > 128 else 255 - fg) * 0.6 - (fg * 0.6 if _luma(bg) > 128 else 0)
    return bg.astype(np.float32), fg.astype(np.float32)


def _luma(colour) -> float:
    return float(0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2])


def _background(rng, image: np.ndarray, bg: np.ndarray) -> None:
    h, w, _ = image.shape
    roll = rng.random()
    if roll < 0.12:  # vertical fade, as on state plates
        other = bg + rng.normal(0, 35, 3)
        t = np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
        image[:] = image * (1 - t) + other.astype(np.float32) * t
    elif roll < 0.24:  # printed scenery, faint
        for _ in range(int(rng.integers(1, 6))):
            colour = tuple(float(v) for v in bg + rng.normal(0, 22, 3))
            centre = (int(rng.integers(0, w)), int(rng.integers(0, h)))
            axes = (int(rng.integers(3, w // 3)), int(rng.integers(2, h)))
            cv2.ellipse(image, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    elif roll < 0.30:  # guilloche lines
        step, tilt = int(rng.integers(5, 14)), int(rng.integers(-30, 31))
        colour = tuple(float(v) for v in bg + rng.normal(0, 18, 3))
        for x in range(-40, w + 40, step):
            cv2.line(image, (x, 0), (x + tilt, h), colour, 1, cv2.LINE_AA)


def _small(rng, image, box, text, colour, atlas: Atlas) -> None:
    """Writes small print centred in a box `(x0, y0, x1, y1)`."""
    x0, y0, x1, y1 = (int(v) for v in box)
    if y1 - y0 < 5 or x1 - x0 < 12 or not text:
        return
    face = atlas.pick(rng)
    cap = max(4.0, (y1 - y0) * rng.uniform(0.6, 0.92))
    scale = cap / CAP
    pieces, width = [], 0
    for char in text.upper():
        if char == " ":
            pieces.append(None)
            width += int(cap * 0.5)
            continue
        glyph = face.glyphs.get(char)
        if glyph is None:
            continue
        size = (max(2, int(glyph.shape[1] * scale)), max(4, int(glyph.shape[0] * scale)))
        pieces.append(cv2.resize(glyph, size, interpolation=cv2.INTER_AREA))
        width += size[0] + max(1, int(cap * 0.12))
    x = x0 + max(0, (x1 - x0 - width) // 2)
    y = int(y0 + (y1 - y0 - cap) / 2 - PAD_TOP * scale)
    for piece in pieces:
        if piece is None:
            x += int(cap * 0.5)
            continue
        if x + piece.shape[1] >= x1:
            return
        top, bottom = max(0, y), min(image.shape[0], y + piece.shape[0])
        alpha = piece[top - y: bottom - y, :, None].astype(np.float32) / 255.0
        region = image[top:bottom, x: x + piece.shape[1]]
        region += (np.asarray(colour, np.float32) - region) * alpha
        x += piece.shape[1] + max(1, int(cap * 0.12))


def _furniture(rng, image, rows, bg, fg, atlas) -> tuple[float, float, float, float]:
    """Frame, country band, state name, slogan. Returns the area left for the text."""
    h, w, _ = image.shape
    x0, y0, x1, y1 = 0.0, 0.0, float(w), float(h)
    pad = h * rng.uniform(0.02, 0.09) / (rows ** 0.7)
    if rng.random() < 0.25:  # dealer's plastic frame outside of the plate
        dark = tuple(float(v) for v in rng.uniform(5, 70, 3)) if rng.random() < 0.8 else tuple(float(v) for v in rng.uniform(120, 250, 3))
        t = h * rng.uniform(0.03, 0.09)
        low = t * rng.uniform(1.0, 2.2)
        image[: int(t)], image[h - int(low):], image[:, : int(t)], image[:, w - int(t):] = dark, dark, dark, dark
        if rng.random() < 0.6:
            light = tuple(float(v) for v in rng.uniform(150, 255, 3))
            _small(rng, image, (x0 + w * 0.1, h - low, x1 - w * 0.1, h), texts.small_words(rng), light, atlas)
        x0, y0, x1, y1 = x0 + t, y0 + t, x1 - t, y1 - low
    if rng.random() < 0.5:  # painted border line
        inset = int(h * rng.uniform(0.0, 0.04))
        colour = tuple(float(v) for v in (fg if rng.random() < 0.8 else rng.uniform(0, 255, 3)))
        cv2.rectangle(image, (int(x0) + inset, int(y0) + inset), (int(x1) - 1 - inset, int(y1) - 1 - inset), colour,
                      max(1, int(h * rng.uniform(0.012, 0.04))), cv2.LINE_AA)
        pad += inset + h * 0.02
    for side in ("left", "right"):  # country band
        if rng.random() < (0.30 if side == "left" else 0.07):
            band = (y1 - y0) * rng.uniform(0.28, 0.5) / rows ** 0.5
            blue = np.array([20, 60, 160]) + rng.normal(0, 18, 3) if rng.random() < 0.75 else rng.uniform(0, 255, 3)
            left = x0 if side == "left" else x1 - band
            image[int(y0): int(y1), int(left): int(left + band)] = np.clip(blue, 0, 255)
            light = (240.0, 240.0, 240.0) if _luma(blue) < 140 else (15.0, 15.0, 15.0)
            code = "".join(rng.choice(list(texts.LETTERS), size=int(rng.integers(1, 4))))
            _small(rng, image, (left + 1, y1 - (y1 - y0) * 0.38, left + band - 1, y1 - (y1 - y0) * 0.08), code, light, atlas)
            cy = y0 + (y1 - y0) * rng.uniform(0.25, 0.35)
            for k in range(12 if rng.random() < 0.7 else 0):
                a = k * np.pi / 6
                cv2.circle(image, (int(left + band / 2 + np.cos(a) * band * 0.3), int(cy + np.sin(a) * band * 0.3)),
                           max(1, int(band * 0.05)), (230.0, 210.0, 60.0), -1, cv2.LINE_AA)
            if side == "left":
                x0 += band
            else:
                x1 -= band
    tall = w / h < 3.4 and rows == 1
    colour = fg if rng.random() < 0.6 else np.clip(rng.uniform(0, 255, 3), 0, 255)
    if rng.random() < (0.6 if tall else 0.12):
        strip = (y1 - y0) * rng.uniform(0.14, 0.28)
        _small(rng, image, (x0 + pad, y0 + pad * 0.5, x1 - pad, y0 + strip), texts.small_words(rng), colour, atlas)
        y0 += strip
    if rng.random() < (0.45 if tall else 0.12):
        strip = (y1 - y0) * rng.uniform(0.12, 0.22)
        _small(rng, image, (x0 + pad, y1 - strip, x1 - pad, y1 - pad * 0.5), texts.small_words(rng), colour, atlas)
        y1 -= strip
    return x0 + pad + w * 0.01, y0 + pad, x1 - pad - w * 0.01, y1 - pad


def _write(rng, mask, area, lines, face: Face, rows: int) -> np.ndarray:
    """Places the glyphs of all rows in the area; returns the boxes [n, 5] of characters."""
    x0, y0, x1, y1 = area
    if rows == 1:
        bands = [(y0, y1)]
    else:
        share = rng.choice([0.5, rng.uniform(0.34, 0.6)])
        middle = y0 + (y1 - y0) * share
        bands = [(y0, middle), (middle, y1)]
    stretch = float(np.exp(rng.normal(0, 0.16)))
    gap = rng.choice([rng.uniform(0.05, 0.16), rng.uniform(0.1, 0.32)])
    fill = rng.uniform(0.78, 0.97) if rng.random() < 0.7 else rng.uniform(0.6, 0.85)
    mono = rng.random() < 0.3
    shear = rng.normal(0, 0.12) if rng.random() < 0.12 else 0.0
    boxes = []
    for row, (groups, (top, bottom)) in enumerate(zip(lines, bands)):
        width, cap = x1 - x0, (bottom - top) * fill
        word_gap = rng.uniform(0.12, 0.75)
        separator = rng.choice(["", "-", ".", "o", "|"], p=[0.62, 0.14, 0.10, 0.10, 0.04])
        glyphs = [[face.glyphs[c] for c in group] for group in groups]
        cell = max(g.shape[1] for group in glyphs for g in group) / CAP
        widths = [[cell if mono else g.shape[1] / CAP for g in group] for group in glyphs]
        unit = sum(sum(g) + gap * (len(g) - 1) for g in widths) * stretch + (len(groups) - 1) * (word_gap + gap)
        squeeze = min(1.0, width / (unit * cap))
        if squeeze < 0.6:  # no room even for narrow glyphs: smaller letters too
            cap *= max(squeeze / 0.6, 0.35)
            squeeze = min(1.0, width / (unit * cap))
        sx = squeeze * stretch
        spare = width - unit * cap * squeeze
        spread = rng.choice([0.0, rng.uniform(0, 1)])
        slots = sum(map(len, groups)) - 1
        extra = min(spare * spread / max(1, slots), cap * 0.45)
        spare -= extra * slots
        x = x0 + spare * rng.choice([0.5, rng.uniform(0, 1)], p=[0.8, 0.2])
        baseline = (top + bottom) / 2 + cap / 2 + (bottom - top - cap) * rng.uniform(-0.35, 0.35)
        scale = cap / CAP
        for index, group in enumerate(glyphs):
            for glyph, advance in zip(group, widths[index]):
                slot = advance * cap * sx
                gw = max(2, round(glyph.shape[1] * scale * sx))
                gh = max(5, round(glyph.shape[0] * scale))
                piece = cv2.resize(glyph, (gw, gh), interpolation=cv2.INTER_AREA if gh < glyph.shape[0] else cv2.INTER_LINEAR)
                gx, gy = round(x + (slot - gw) / 2), round(baseline - (PAD_TOP + CAP) * scale)
                if shear:
                    move = np.float32([[1, -shear, shear * gh / 2 + 6], [0, 1, 0]])
                    piece = cv2.warpAffine(piece, move, (gw + 12, gh))
                    gx -= 6
                _paste(mask, piece, gx, gy)
                boxes.append((gx, baseline - cap, gx + gw, baseline, row))
                x += slot + gap * cap * squeeze * stretch + extra
            if index + 1 < len(glyphs):
                space = word_gap * cap * squeeze
                _separator(mask, separator, x + space / 2 - gap * cap * squeeze * 0.5, baseline, cap, space)
                x += space
    return np.array(boxes, np.float32)


def _paste(mask: np.ndarray, piece: np.ndarray, x: int, y: int) -> None:
    h, w = mask.shape
    x0, y0, x1, y1 = max(0, x), max(0, y), min(w, x + piece.shape[1]), min(h, y + piece.shape[0])
    if x1 > x0 and y1 > y0:
        view = mask[y0:y1, x0:x1]
        np.maximum(view, piece[y0 - y: y1 - y, x0 - x: x1 - x], out=view)


def _separator(mask, kind: str, x: float, baseline: float, cap: float, space: float) -> None:
    y, t = int(baseline - cap / 2), max(1, int(cap * 0.1))
    if kind == "-" and space > cap * 0.2:
        half = min(space * 0.32, cap * 0.28)
        cv2.line(mask, (int(x - half), y), (int(x + half), y), 255, t, cv2.LINE_AA)
    elif kind == ".":
        cv2.circle(mask, (int(x), y), max(1, int(min(cap * 0.08, space * 0.3))), 255, -1, cv2.LINE_AA)
    elif kind == "o" and space > cap * 0.25:
        cv2.circle(mask, (int(x), y), max(1, int(min(cap * 0.2, space * 0.36))), 200, max(1, t // 2), cv2.LINE_AA)
    elif kind == "|" and space > cap * 0.35:
        cv2.line(mask, (int(x), int(baseline - cap * 0.7)), (int(x), int(baseline - cap * 0.3)), 160, max(1, t // 2), cv2.LINE_AA)


def _weight(rng, mask: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Bolder or lighter strokes, rounder corners."""
    cap = float(np.median(boxes[:, 3] - boxes[:, 1]))
    roll = rng.random()
    size = int(cap * rng.uniform(0.02, 0.055)) + 1
    if roll < 0.25 and size > 1:
        mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    elif roll < 0.33 and size > 1:
        mask = cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(2, size // 2), max(2, size // 2))))
    if rng.random() < 0.15:  # pressed metal: round corners
        soft = cv2.GaussianBlur(mask, (0, 0), max(0.8, cap * 0.03))
        mask = np.clip((soft.astype(np.float32) - 96) * 4, 0, 255).astype(np.uint8)
    return mask


def _ink(rng, image: np.ndarray, mask: np.ndarray, fg: np.ndarray) -> None:
    alpha = (mask.astype(np.float32) / 255.0)[:, :, None]
    image += (fg - image) * alpha
    if rng.random() < 0.3:  # embossed: light from one side
        soft = cv2.GaussianBlur(mask, (0, 0), max(0.8, mask.shape[0] * rng.uniform(0.008, 0.02))).astype(np.float32)
        angle = rng.uniform(0, 2 * np.pi)
        slope = cv2.Sobel(soft, cv2.CV_32F, 1, 0) * np.cos(angle) + cv2.Sobel(soft, cv2.CV_32F, 0, 1) * np.sin(angle)
        image += (slope * rng.uniform(0.03, 0.16))[:, :, None]


def _marks(rng, image, boxes, area, fg) -> None:
    """Bolts and stickers: on the plate, beside or slightly over the text."""
    h, w, _ = image.shape
    if rng.random() < 0.35:
        grey = float(rng.uniform(30, 220))
        radius = max(1, int(h * rng.uniform(0.012, 0.035)))
        y = int(h * rng.choice([0.08, 0.5, 0.92], p=[0.5, 0.2, 0.3]))
        for x in (rng.uniform(0.04, 0.3), rng.uniform(0.7, 0.96)):
            cv2.circle(image, (int(w * x), y), radius, (grey, grey, grey), -1, cv2.LINE_AA)
    if rng.random() < 0.25:  # a sticker between or beside characters
        order = boxes[np.argsort(boxes[:, 0])]
        spots = [(a[2], b[0]) for a, b in zip(order, order[1:]) if b[4] == a[4] and b[0] - a[2] > h * 0.05]
        spots += [(area[0], order[0, 0]), (order[-1, 2], area[2])]
        left, right = spots[rng.integers(len(spots))]
        radius = min((right - left) * 0.45, h * 0.14)
        if radius >= 2:
            centre = (int((left + right) / 2), int(rng.uniform(area[1] + radius, max(area[1] + radius + 1, area[3] - radius))))
            colour = tuple(float(v) for v in rng.uniform(0, 255, 3))
            if rng.random() < 0.5:
                cv2.circle(image, centre, int(radius), colour, -1, cv2.LINE_AA)
            else:
                r = int(radius)
                cv2.rectangle(image, (centre[0] - r, centre[1] - r), (centre[0] + r, centre[1] + r), colour, -1)
