"""Plate texts and plate pictures for the held-out clips.

Texts can be decided by a reader who sees only the plate:
- most texts are made of a letter block and digit blocks (one of SYNTAXES) without the letters I, O and Q, so a round
  glyph is always the digit 0 and a bar always the digit 1;
- free mixtures of letters and digits leave out I, O, Q, 0 and 1 (a slash in a zero is lost in a plate 70 px wide).
"""
import os

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

PLAIN_FONTS = [
    "DejaVuSans-Bold.ttf", "DejaVuSansCondensed-Bold.ttf", "LiberationSans-Bold.ttf", "LiberationSansNarrow-Bold.ttf",
    "Roboto-Bold.ttf", "Roboto-Medium.ttf", "RobotoCondensed-Bold.ttf", "B612-Bold.otf", "Roboto-Black.ttf",
]
MARKED_ZERO_FONTS = ["DejaVuSansMono-Bold.ttf", "Hack-Bold.ttf", "LiberationMono-Bold.ttf", "B612Mono-Bold.otf"]
SYNTAXES = ["LL99LLL", "LLL9999", "LL999LL", "9LLL999", "LLL999", "9999LLL", "LL9999", "LLLL99", "L999LLL", "LL99LL9999", "99LL999", "L9999",
            "LLL9L99", "999LL99", "LL9999LL", "LLL99", "L99999", "LLL9999LL"]
LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
MIX = LETTERS + "23456789"
PX_PER_MM = 2.0
ROOTS = ["/usr/share/fonts", "/usr/local/share/fonts"]
_INDEX = {}


def font_path(name):
    """Finds an installed font by file name."""
    if not _INDEX:
        for root in ROOTS:
            for folder, _, files in os.walk(root):
                for f in files:
                    if f.endswith((".ttf", ".otf")):
                        _INDEX.setdefault(f, os.path.join(folder, f))
    if name not in _INDEX:
        raise SystemExit(f"font `{name}` is not installed\nhint: apt-get install the packages in tests/render/fonts.txt")
    return _INDEX[name]


def make_text(rng, max_chars):
    """Random text and where it is parted: (groups). Length 4..=max_chars."""
    if rng.random() < 0.15:
        n = int(rng.integers(4, max_chars + 1))
        text = "".join(rng.choice(list(MIX)) for _ in range(n))
        cut = int(rng.integers(2, n - 1)) if n > 4 else 2
        return [text[:cut], text[cut:]]
    syntax = rng.choice([s for s in SYNTAXES if len(s) <= max_chars])
    text = "".join(rng.choice(list(LETTERS if c == "L" else "0123456789")) for c in syntax)
    groups, start = [], 0
    for i in range(1, len(syntax)):
        if syntax[i] != syntax[i - 1]:
            groups.append(text[start:i])
            start = i
    groups.append(text[start:])
    return groups


# name: (mm wide, mm high, rows, [(background, ink)]) colours RGB
LAYOUTS = {
    "long": (520, 112, 1, [((244, 244, 240), (14, 14, 18)), ((250, 205, 40), (12, 12, 12)), ((20, 20, 24), (232, 232, 226)),
                           ((238, 240, 242), (20, 40, 120)), ((240, 240, 236), (150, 20, 24)), ((16, 84, 60), (240, 240, 236))]),
    "band": (520, 112, 1, [((246, 246, 242), (12, 12, 14)), ((246, 246, 242), (16, 28, 84)), ((248, 212, 56), (12, 12, 12))]),
    "short": (330, 160, 1, [((240, 240, 236), (20, 32, 110)), ((236, 232, 214), (100, 24, 30)), ((250, 200, 60), (16, 16, 16)),
                            ((226, 238, 246), (16, 66, 60)), ((24, 46, 110), (244, 226, 120))]),
    "two": (340, 230, 2, [((244, 244, 240), (14, 14, 16)), ((250, 205, 44), (14, 14, 14)), ((20, 20, 22), (236, 236, 230)),
                          ((240, 242, 244), (130, 22, 26)), ((18, 60, 120), (242, 242, 240))]),
    "two_small": (280, 205, 2, [((242, 242, 238), (16, 16, 18)), ((248, 210, 60), (14, 14, 14)), ((238, 240, 240), (16, 70, 44))]),
}


def _row_picture(text, font_name, cap_px, width_px, spacing):
    """One line of text, alpha mask fitted into `width_px` by narrowing or widening the letters."""
    font = ImageFont.truetype(font_path(font_name), int(cap_px * 1.45))
    cells, gap = [], int(cap_px * spacing)
    x = 0
    for ch in text:
        if ch == " ":
            x += int(cap_px * 0.30)
            continue
        box = font.getbbox(ch)
        adv = box[2] - box[0] if ch not in "-." else max(box[2] - box[0], int(cap_px * 0.12))
        cells.append((ch, x - box[0]))
        x += adv + gap
    total = max(x - gap, 1)
    img = Image.new("L", (total + 4, int(cap_px * 2)), 0)
    d = ImageDraw.Draw(img)
    base = font.getbbox("H")
    for ch, cx in cells:
        d.text((cx + 2, -base[1] + int(cap_px * 0.3)), ch, font=font, fill=255)
    img = img.crop((0, int(cap_px * 0.3) - int(cap_px * 0.06), total + 4, int(cap_px * 0.3) + (base[3] - base[1]) + int(cap_px * 0.10)))
    k = min(max(width_px / img.width, 0.55), 1.28)
    return img.resize((max(int(img.width * k), 4), int(cap_px * 1.16)), Image.LANCZOS)


class Plate:
    """A plate: its text, size in metres and picture `rgb` u8 [H, W, 3] at 2 px per mm."""

    def __init__(self, rng, rows=None, max_chars=9, layout=None):
        marked = rng.random() < 0.25
        if layout is None:
            names = [n for n, v in LAYOUTS.items() if rows is None or v[2] == rows]
            weights = np.array([{"long": 4, "band": 3, "short": 2, "two": 1.4, "two_small": 0.8}[n] for n in names])
            layout = str(rng.choice(names, p=weights / weights.sum()))
        w_mm, h_mm, self.rows, colours = LAYOUTS[layout]
        self.layout = layout
        limit = {"short": 7, "two": 9, "two_small": 8}.get(layout, max_chars)
        self.font = str(rng.choice(MARKED_ZERO_FONTS if marked else PLAIN_FONTS))
        groups = make_text(rng, min(limit, max_chars))
        # The J of DejaVu Sans hangs below the line and would be cut.
        while self.font.startswith("DejaVuSans") and "J" in "".join(groups):
            groups = make_text(rng, min(limit, max_chars))
        self.text = "".join(groups)
        bg, ink = colours[int(rng.integers(len(colours)))]
        self.size_m = (w_mm / 1000.0, h_mm / 1000.0)
        self.rgb = self._draw(rng, int(w_mm * PX_PER_MM), int(h_mm * PX_PER_MM), groups, bg, ink)

    def _draw(self, rng, w, h, groups, bg, ink):
        img = Image.new("RGB", (w, h), bg)
        d = ImageDraw.Draw(img)
        edge = int(h * 0.035) + 2
        if rng.random() < 0.75:
            d.rounded_rectangle((edge, edge, w - edge - 1, h - edge - 1), radius=int(h * 0.09), outline=ink, width=max(edge // 2, 3))
        left, right, top, bottom = int(w * 0.035) + edge, w - int(w * 0.035) - edge, edge * 2, h - edge * 2
        if self.layout == "band":
            bw = int(w * 0.085)
            d.rectangle((0, 0, bw, h), fill=(20, 54, 150))
            small = ImageFont.truetype(font_path("LiberationSans-Bold.ttf"), int(h * 0.24))
            for k in range(12):
                a = k * np.pi / 6
                x, y = bw / 2 + np.cos(a) * bw * 0.28, h * 0.3 + np.sin(a) * bw * 0.28
                d.ellipse((x - 3, y - 3, x + 3, y + 3), fill=(240, 210, 60))
            d.text((bw / 2, h * 0.78), str(rng.choice(["D", "F", "E", "NL", "S"])), font=small, fill=(240, 240, 240), anchor="mm")
            left = bw + int(w * 0.03)
        if self.layout == "short":
            small = ImageFont.truetype(font_path("DejaVuSans.ttf"), int(h * 0.105))
            d.text((w / 2, h * 0.135), str(rng.choice(["northland", "Lake County", "river state", "Sunrise Bay"])), font=small, fill=ink, anchor="mm")
            d.text((w / 2, h * 0.885), str(rng.choice(["land of hills", "drive safely", "since 1889"])), font=small, fill=ink, anchor="mm")
            top, bottom = int(h * 0.22), int(h * 0.80)
        sep = str(rng.choice([" ", " ", "-", "", " "]))
        if self.rows == 1:
            lines = [sep.join(groups)]
        else:
            cut = min(range(1, len(self.text)), key=lambda k: abs(2 * k - len(self.text)) + (0 if k in np.cumsum([len(g) for g in groups]) else 1.6))
            lines = [self.text[:cut], self.text[cut:]]
        gap = int(h * 0.05)
        row_h = (bottom - top - gap * (len(lines) - 1)) / len(lines)
        spacing = float(rng.uniform(0.09, 0.17))
        for i, line in enumerate(lines):
            cap = row_h * (0.78 if self.rows == 1 else 0.80)
            pic = _row_picture(line, self.font, cap, right - left, spacing)
            if pic.width > right - left:
                pic = pic.resize((right - left, pic.height), Image.LANCZOS)
            x = left + (right - left - pic.width) // 2
            y = int(top + i * (row_h + gap) + (row_h - pic.height) / 2)
            img.paste(Image.new("RGB", pic.size, ink), (x, y), pic)
        for bx in (0.12, 0.88) if self.layout == "short" and rng.random() < 0.7 else ():
            d.ellipse((w * bx - 9, h * 0.1 - 9, w * bx + 9, h * 0.1 + 9), fill=(150, 150, 150), outline=(60, 60, 60))
        a = np.asarray(img, np.float32)
        ramp = np.linspace(1.0 - rng.uniform(0, 0.10), 1.0, h, dtype=np.float32)[:, None, None]
        a = a * ramp
        if rng.random() < 0.35:  # dirt: smooth brownish patches, denser at the lower edge
            n = rng.random((6, 16)).astype(np.float32)
            m = np.asarray(Image.fromarray((n * 255).astype(np.uint8)).resize((w, h), Image.BICUBIC).filter(ImageFilter.GaussianBlur(6)), np.float32) / 255
            m = np.clip(m - 0.45, 0, 1)[..., None] * rng.uniform(0.3, 0.7) * np.linspace(0.4, 1, h, dtype=np.float32)[:, None, None]
            a = a * (1 - m) + np.array([104, 92, 76], np.float32) * m
        return np.clip(a, 0, 255).astype(np.uint8)
