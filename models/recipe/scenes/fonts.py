"""The fonts that scenes may use: every installed Latin font except those reserved for held-out clips."""
import functools
import os
import re
import subprocess

from PIL import ImageFont

# Families kept for tests/clips: a detector must not have seen them.
RESERVED = re.compile(r"ubuntu|dejavu|liberation|roboto|noto\s*-?(sans\s*-?)?mono|overpass|b612|hack|verana|arimo|cousine", re.I)
USELESS = re.compile(r"emoji|symbol|dingbat|music|math|barcode|icon|awesome|cjk|braille|d050000l|standardsymbols", re.I)


@functools.lru_cache(maxsize=1)
def font_files():
    """Sorted font files that fontconfig says cover Latin letters and digits."""
    out = subprocess.run(["fc-list", ":charset=41 5a 30 39", "file", "family"], capture_output=True, text=True).stdout
    files = set()
    for line in out.splitlines():
        path, _, family = line.partition(":")
        ok = path.lower().endswith((".ttf", ".otf")) and not RESERVED.search(os.path.basename(path) + family)
        if ok and not USELESS.search(path + family):
            files.add(path)
    if len(files) < 10:
        raise RuntimeError("fewer than 10 usable fonts: install the packages in models/recipe/fonts.txt")
    return sorted(files)


@functools.lru_cache(maxsize=600)
def load(path, size_px):
    return ImageFont.truetype(path, size_px)


def pick(rng, size_px):
    """A random font; sizes are rounded so that the cache hits."""
    files = font_files()
    for _ in range(8):
        try:
            return load(files[int(rng.integers(len(files)))], int(size_px))
        except OSError:
            continue
    raise RuntimeError("no font could be loaded")
