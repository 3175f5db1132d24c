"""Flat plates and flat pictures of text that is no plate."""
import numpy as np
from PIL import Image, ImageDraw

from . import fonts

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
WORDS = (
    "parking exit entry stop slow keep left right only police taxi market hotel garage service open closed sale car wash bank street "
    "north south private no way out delivery truck route express fresh food water energy school zone speed check point camera one gate "
    "road works ahead toll pay here visitors staff reserved please drive welcome city centre airport station bus lane free new best "
    "north gate cam lane front rear entrance office logistics transport rental plumbing electric cleaning pizza coffee bakery flowers"
).split()


def colour(rng, lo=0, hi=255):
    return tuple(int(v) for v in rng.integers(lo, hi + 1, 3))


def plate_text(rng):
    kind = rng.random()
    if kind < 0.6:
        n = int(rng.integers(4, 10))
        p = rng.uniform(0.3, 0.7)
        return "".join(rng.choice(list(LETTERS if rng.random() < p else DIGITS)) for _ in range(n))
    pattern = str(rng.choice(["LLDDLLL", "LLLDDD", "LLDDDD", "DDDLLL", "LDDDLL", "LLLDDDD", "DLLLDDD", "LLDDDLL", "DDLLDDDD", "LLDDLLDDDD"]))
    return "".join(str(rng.choice(list(LETTERS if c == "L" else DIGITS))) for c in pattern)


def spaced(rng, text):
    sep = str(rng.choice(["", "", " ", "-", "·", "  "]))
    if not sep:
        return text
    cut = int(rng.integers(1, len(text)))
    return text[:cut] + sep + text[cut:]


def plate_colours(rng):
    """(background, ink), background usually brighter."""
    k = rng.random()
    if k < 0.5:
        v = int(rng.integers(195, 256))
        bg = tuple(int(np.clip(v + d, 0, 255)) for d in rng.integers(-14, 15, 3))
        ink = colour(rng, 0, 60) if rng.random() < 0.8 else tuple(int(x) for x in rng.choice([[20, 30, 140], [160, 20, 20], [10, 90, 40]]))
    elif k < 0.72:
        bg = (int(rng.integers(215, 256)), int(rng.integers(165, 225)), int(rng.integers(0, 90)))
        ink = colour(rng, 0, 50)
    elif k < 0.87:
        bg = tuple(int(x) for x in rng.choice([[20, 60, 160], [15, 15, 18], [20, 110, 60], [170, 25, 30], [60, 60, 65], [30, 90, 190]]))
        ink = colour(rng, 215, 255)
    else:
        bg = colour(rng, 110, 255)
        ink = tuple(int(v * rng.uniform(0.05, 0.35)) for v in bg)
    return bg, ink


def _draw_line(rng, draw, text, box, ink, font_path_size=80):
    """Writes `text` stretched into `box` (x0, y0, x1, y1) and returns the glyph picture and where it goes."""
    font = fonts.pick(rng, font_path_size)
    l, t, r, b = draw.textbbox((0, 0), text, font=font)
    if r - l < 4 or b - t < 4:
        return None
    track = int(rng.integers(0, 10)) if rng.random() < 0.4 else 0
    stroke = int(rng.integers(1, 4)) if rng.random() < 0.3 else 0
    w = r - l + track * len(text) + 8
    glyph = Image.new("L", (w, b - t + 8), 0)
    d = ImageDraw.Draw(glyph)
    if track:
        x = 4 - l
        for c in text:
            d.text((x, 4 - t), c, font=font, fill=255, stroke_width=stroke)
            x += draw.textlength(c, font=font) + track
    else:
        d.text((4 - l, 4 - t), text, font=font, fill=255, stroke_width=stroke)
    bb = glyph.getbbox()
    if bb is None:
        return None
    glyph = glyph.crop(bb)
    x0, y0, x1, y1 = box
    return glyph.resize((max(x1 - x0, 2), max(y1 - y0, 2)), Image.BILINEAR), (x0, y0)


def flat_plate(rng):
    """A flat plate, u8 [H, W, 3] RGB, H about 100 px a row; one row or two."""
    rows = 2 if rng.random() < 0.22 else 1
    aspect = rng.uniform(1.15, 2.2) if rows == 2 else rng.uniform(2.4, 5.4)
    h = 150 if rows == 2 else 100
    w = int(h * aspect)
    bg, ink = plate_colours(rng)
    img = Image.new("RGB", (w, h), bg)
    d = ImageDraw.Draw(img)
    if rng.random() < 0.6:
        inset, width = int(rng.integers(0, 6)), int(rng.integers(2, 7))
        edge = ink if rng.random() < 0.7 else colour(rng)
        d.rounded_rectangle((inset, inset, w - 1 - inset, h - 1 - inset), radius=int(rng.integers(0, 16)), outline=edge, width=width)
    left, right, top, bottom = w * rng.uniform(0.03, 0.09), w * rng.uniform(0.03, 0.09), h * rng.uniform(0.08, 0.22), h * rng.uniform(0.08, 0.22)
    if rng.random() < 0.3:
        band = int(w * rng.uniform(0.06, 0.12))
        c = (20, 50, 160) if rng.random() < 0.6 else colour(rng)
        d.rectangle((0, 0, band, h), fill=c)
        d.text((band // 4, int(h * 0.6)), str(rng.choice(list(LETTERS))), font=fonts.pick(rng, 24), fill=(240, 240, 240))
        left = band + w * 0.03
    if rng.random() < 0.15:
        band = int(w * rng.uniform(0.06, 0.12))
        d.rectangle((w - band, 0, w, h), fill=colour(rng))
        right = band + w * 0.02
    for p, y in ((0.2, 0.02), (0.2, 0.84)):
        if rng.random() < p:
            s = str(rng.choice(WORDS))
            d.text((w * rng.uniform(0.2, 0.6), h * y), s.upper(), font=fonts.pick(rng, 14), fill=ink)
            if y < 0.5:
                top = max(top, h * 0.2)
            else:
                bottom = max(bottom, h * 0.2)
    text = plate_text(rng)
    if rows == 2:
        cut = int(rng.integers(2, len(text) - 1))
        mid = h * rng.uniform(0.42, 0.55)
        parts = [(text[:cut], (left + rng.uniform(0, 0.15) * w, top, w - right - rng.uniform(0, 0.15) * w, mid - 4)), (text[cut:], (left, mid + 4, w - right, h - bottom))]
    else:
        parts = [(spaced(rng, text), (left, top, w - right, h - bottom))]
    for t, box in parts:
        got = _draw_line(rng, d, t, tuple(int(v) for v in box), ink)
        if got:
            img.paste(Image.new("RGB", got[0].size, ink), got[1], got[0])
    if rng.random() < 0.3:
        for x in (0.25, 0.75) if rows == 1 else (0.1, 0.9):
            r = int(rng.integers(2, 6))
            d.ellipse((w * x - r, 8 - r, w * x + r, 8 + r), fill=colour(rng, 60, 180))
    out = np.asarray(img)
    if rng.random() < 0.2:  # holder around the plate
        p = int(rng.integers(3, 14))
        fr = np.empty((h + 2 * p, w + 2 * p, 3), np.uint8)
        fr[:] = colour(rng, 0, 70) if rng.random() < 0.7 else colour(rng, 150, 230)
        fr[p:-p, p:-p] = out
        out = fr
    return out


def board_words(rng):
    """A line of text that is no plate."""
    k = rng.random()
    n = int(rng.integers(1, 4))
    words = " ".join(str(rng.choice(WORDS)) for _ in range(n))
    if k < 0.35:
        return words.upper()
    if k < 0.7:
        return words if rng.random() < 0.5 else words.title()
    if k < 0.8:  # street furniture: short words with a number or a letter, the hardest to tell from a plate
        w = str(rng.choice(WORDS)).upper()
        tail = str(rng.choice([str(rng.integers(1, 100)), str(rng.choice(list(LETTERS))), f"{rng.choice(list(LETTERS))}{rng.integers(1, 10)}", f"{rng.integers(1, 20)} km", f"{rng.integers(1, 13)}0"]))
        return str(rng.choice([f"{w} {tail}", f"{tail} {w}", tail, f"{w} {tail}"]))
    if k < 0.88:
        return "".join(str(rng.integers(10)) for _ in range(3)) + " " + "".join(str(rng.integers(10)) for _ in range(3)) + " " + "".join(str(rng.integers(10)) for _ in range(4))
    return words.split()[0] + str(rng.choice([".com", ".de", "!", " 24h", " & co", ".net"]))


def timestamp(rng):
    y, m, d, hh, mm, ss = int(rng.integers(2015, 2031)), *(int(rng.integers(1, v)) for v in (13, 29, 24, 60, 60))
    date = str(rng.choice([f"{y}-{m:02}-{d:02}", f"{d:02}/{m:02}/{y}", f"{d:02}.{m:02}.{y}", f"{y}/{m:02}/{d:02}"]))
    return str(rng.choice(["", f"CAM{int(rng.integers(1, 20)):02} ", "Camera 01  ", str(rng.choice(WORDS)).title() + " "])) + f"{date} {hh:02}:{mm:02}:{ss:02}"


def flat_sign(rng):
    """A flat board with text, arrows, stripes or symbols that is no plate: u8 [H, W, 3]."""
    k = rng.random()
    if k < 0.12:  # lamp panel, vent or window: bars
        h, w = int(rng.integers(40, 140)), int(rng.integers(80, 300))
        out = np.empty((h, w, 3), np.uint8)
        out[:] = colour(rng)
        step = int(rng.integers(6, 30))
        c = colour(rng)
        for i in range(0, max(h, w), step):
            if rng.random() < 0.9:
                if k < 0.06:
                    out[i : i + step // 2] = c
                else:
                    out[:, i : i + step // 2] = c
        return out
    if k < 0.2:  # blank board
        h, w = int(rng.integers(40, 120)), int(rng.integers(80, 360))
        out = np.empty((h, w, 3), np.uint8)
        out[:] = colour(rng, 100, 255)
        if rng.random() < 0.5:
            t = int(rng.integers(2, 8))
            out[:t] = out[-t:] = 30
            out[:, :t] = out[:, -t:] = 30
        return out
    lines = int(rng.choice([1, 1, 1, 1, 2, 3, 4, 5]))
    texts = [board_words(rng) for _ in range(lines)]
    font = fonts.pick(rng, 40)
    probe = ImageDraw.Draw(Image.new("L", (1, 1)))
    boxes = [probe.textbbox((0, 0), t, font=font) for t in texts]
    pad = int(rng.integers(6, 50))
    w = max(b[2] for b in boxes) + 2 * pad
    h = sum(b[3] for b in boxes) + 2 * pad + 6 * lines
    w, h = min(w, 1200), min(h, 700)
    bg, ink = plate_colours(rng) if rng.random() < 0.6 else (colour(rng), colour(rng))
    img = Image.new("RGB", (w, h), bg)
    d = ImageDraw.Draw(img)
    if rng.random() < 0.4:
        d.rounded_rectangle((4, 4, w - 5, h - 5), radius=12, outline=ink, width=int(rng.integers(2, 8)))
    y = pad
    for t, b in zip(texts, boxes):
        d.text((pad if rng.random() < 0.5 else (w - b[2]) / 2, y), t, font=font, fill=ink)
        y += b[3] + 6
    if rng.random() < 0.2:
        x = int(rng.integers(0, w))
        d.polygon([(x, h * 0.2), (x + h * 0.3, h * 0.5), (x, h * 0.8)], fill=colour(rng))
    return np.asarray(img)
