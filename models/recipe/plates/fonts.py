"""Fonts: which files train, which are held out, and an atlas of glyph masks.

Training fonts are those of the Debian packages in `fonts.txt`; held-out fonts are never drawn in training.
"""
from __future__ import annotations

import os
import pathlib
import re
import subprocess
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

CHARS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TRAINING, HELD_OUT = "training", "held-out"
HELD_OUT_PACKAGES = ["fonts-dejavu-core", "fonts-dejavu-extra", "fonts-liberation", "fonts-roboto-fontface",
                     "fonts-roboto-unhinted", "fonts-noto-mono", "fonts-b612", "fonts-hack", "fonts-ubuntu",
                     "fonts-overpass"]
# Held-out families and their close relatives (DejaVu and Hack descend from Vera), kept out of training wherever they come from.
RESERVED = re.compile(r"ubuntu|dejavu|liberation|roboto|notosansmono|notomono|overpass|b612|hack|verana|arimo|cousine", re.I)
UNFIT = re.compile(r"italic|oblique|slant|inclined|thin|hairline|ultralight|extralight|outline|math|symbol|chorus|"
                   r"Z003|D050000|BdIta|Bd?Italic|LinBiolinum_K|_M\.|RI\.|RBI\.|RZI\.|smallcaps|monoisome|caps10|unsl|dunh|"
                   r"roman[5-8]|Dingbat|f500|Tamil|BI\.ttf|/I\.ttf|It\.otf|eurof.6|monof.6|PT.56|PT.76|discord", re.I)
CAP = 72          # cap height of an atlas glyph, px
PAD_TOP = 10      # rows above the cap line (accents of Q's tail need none; round letters overshoot)
PAD_BOTTOM = 16   # rows below the baseline (J and Q may descend)
HERSHEY = {"hershey-simplex": cv2.FONT_HERSHEY_SIMPLEX, "hershey-duplex": cv2.FONT_HERSHEY_DUPLEX,
           "hershey-complex": cv2.FONT_HERSHEY_COMPLEX, "hershey-triplex": cv2.FONT_HERSHEY_TRIPLEX}


@dataclass
class Face:
    """One font file's glyphs: `glyphs[c]` is a uint8 mask [PAD_TOP + CAP + PAD_BOTTOM, w], tight in x."""

    family: str
    name: str
    glyphs: dict[str, np.ndarray]
    ambiguous: frozenset[str]


class Atlas:
    """Faces grouped by family, so that a family with many weights is not drawn more often than others."""

    def __init__(self, faces: list[Face]):
        self.families: dict[str, list[Face]] = {}
        for face in faces:
            self.families.setdefault(face.family, []).append(face)
        self.keys = sorted(self.families)
        if not self.keys:
            raise RuntimeError("no usable fonts found: install the packages listed in models/recipe/fonts.txt")

    def pick(self, rng: np.random.Generator) -> Face:
        """A random face: family first, then weight."""
        styles = self.families[self.keys[rng.integers(len(self.keys))]]
        return styles[rng.integers(len(styles))]

    def __len__(self) -> int:
        return sum(len(v) for v in self.families.values())


def font_files(split: str) -> list[pathlib.Path]:
    """Font files of a split (`TRAINING` or `HELD_OUT`), sorted, without italics and hairlines."""
    if split == HELD_OUT:
        packages = HELD_OUT_PACKAGES
    else:
        packages = (pathlib.Path(__file__).parent.parent / "fonts.txt").read_text().split()
    found: set[pathlib.Path] = set()
    for package in packages:
        listing = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True, check=False).stdout
        for line in listing.splitlines():
            if re.search(r"\.(ttf|otf|ttc)$", line) and not UNFIT.search(os.path.basename(line)):
                found.add(pathlib.Path(line))
    return sorted(p for p in found if bool(RESERVED.search(p.name)) == (split == HELD_OUT))


def _draw(font: ImageFont.FreeTypeFont, char: str, cap_top: int, baseline: int) -> np.ndarray | None:
    width = int(font.getlength(char)) + 80
    image = Image.new("L", (width, baseline + 60), 0)
    ImageDraw.Draw(image).text((40, baseline), char, font=font, fill=255, anchor="ls")
    mask = np.asarray(image)[cap_top - PAD_TOP: baseline + PAD_BOTTOM]
    columns = np.flatnonzero(mask.max(axis=0) > 40)
    if columns.size == 0:
        return None
    return np.ascontiguousarray(mask[:, columns[0]: columns[-1] + 1])


def _similar(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two glyphs are told apart by nothing that survives a camera (same picture at 16x12)."""
    if abs(a.shape[1] - b.shape[1]) > 0.16 * max(a.shape[1], b.shape[1]):
        return False
    small = [cv2.resize(g, (12, 16), interpolation=cv2.INTER_AREA).astype(np.float32) for g in (a, b)]
    return float(np.abs(small[0] - small[1]).mean()) < 14.0


def _finish(family: str, name: str, glyphs: dict[str, np.ndarray]) -> Face:
    same = {pair for pair in ("O0", "I1", "Q0", "OQ", "B8", "S5", "Z2", "OD", "0D")
            if _similar(glyphs[pair[0]], glyphs[pair[1]])}
    return Face(family, name, glyphs, frozenset(same))


def _face(path: pathlib.Path) -> Face | None:
    try:
        probe = ImageFont.truetype(str(path), 100)
        _, top, _, bottom = probe.getbbox("H", anchor="ls")
        if bottom - top < 20:
            return None
        font = ImageFont.truetype(str(path), round(100 * CAP / (bottom - top)))
        notdef = bytes(font.getmask("\uffff"))
    except OSError:
        return None
    baseline = 200
    cap_top = baseline - CAP
    glyphs: dict[str, np.ndarray] = {}
    for char in CHARS:
        if bytes(font.getmask(char)) == notdef:
            return None
        glyph = _draw(font, char, cap_top, baseline)
        if glyph is None or glyph.shape[1] > 2.2 * CAP:
            return None
        rows = np.flatnonzero(glyph.max(axis=1) > 100)
        # Old-style digits and small capitals: their height tells them from lining figures.
        if rows.size == 0 or (char in "0123456789ABDEFGHKLMNOPRSTUVWXYZ" and rows.size < 0.86 * CAP):
            return None
        if char in "0123456789" and rows[-1] - PAD_TOP - CAP > 0.10 * CAP:
            return None
        glyphs[char] = glyph
    widths = {c: glyphs[c].shape[1] for c in CHARS}
    if all(np.array_equal(glyphs[c], glyphs["A"]) for c in "BCD") or widths["M"] < 6:
        return None
    family = re.sub(r"(Bold|Regular|Cond|Medium|Light)$", "", re.split(r"[-_\[ ]", path.stem)[0]).lower()
    if not re.match(r"rg2014|3270", family):  # sizes of Latin Modern, widths of M+ and the like are one family
        family = re.sub(r"\d.*", "", family)
    return _finish(family, path.stem, glyphs)


def _hershey(name: str, code: int, thickness: int) -> Face:
    """OpenCV's stroke fonts at a stroke width."""
    (_, height), _ = cv2.getTextSize("H", code, 1.0, 1)
    scale = (CAP - thickness) / height
    glyphs = {}
    for char in CHARS:
        canvas = np.zeros((300, 300), np.uint8)
        cv2.putText(canvas, char, (80, 200 - thickness // 2), code, scale, 255, thickness, cv2.LINE_AA)
        mask = canvas[200 - CAP - PAD_TOP: 200 + PAD_BOTTOM]
        columns = np.flatnonzero(mask.max(axis=0) > 40)
        glyphs[char] = np.ascontiguousarray(mask[:, columns[0]: columns[-1] + 1])
    return _finish(name, f"{name}-{thickness}", glyphs)


def load_atlas(split: str = TRAINING, limit: int | None = None) -> Atlas:
    """Glyph masks of every usable font of a split (some seconds); `limit` keeps the first fonts only, for quick tests."""
    faces = [face for face in map(_face, font_files(split)[:limit]) if face is not None]
    if split == TRAINING:
        faces += [_hershey(name, code, t) for name, code in HERSHEY.items() for t in (4, 7, 10, 13)]
    return Atlas(faces)
