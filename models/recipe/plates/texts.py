"""Plate texts: 4 to 10 characters of A-Z and 0-9, mostly without any grammar, in groups."""
from __future__ import annotations

import numpy as np

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
# Letters that look like digits are drawn as often as those digits, so that the reader does not lean to one of the two.
LIKE_DIGITS = {"O": 3.0, "I": 3.0, "Q": 1.5, "B": 1.8, "S": 1.8, "Z": 1.8, "G": 1.5, "D": 1.3}
_POOLS: dict[str, np.ndarray] = {}
LENGTHS = {4: 0.06, 5: 0.11, 6: 0.21, 7: 0.29, 8: 0.19, 9: 0.08, 10: 0.06}
# Shapes met on real plates (A letter, 9 digit, space ends a group); only the shape is taken, the characters are random.
SHAPES = ["AA99 AAA", "AAA 9999", "AAA 999", "999 AAA", "9AAA999", "AA 999 AA", "A AA 999", "AA A 9999", "AAA 9A99",
          "9999 AAA", "AA 99 AA 9999", "99 AA 99", "AA 9999 A", "A 9999 AA", "A999AA 99", "9AA 9999", "999 99", "99 99",
          "AA 99 A 9999", "AAA 99 A", "AA 99999", "AAA99A", "A99 AAA", "AAA 99A", "99A 99999", "AA999", "9 AAA 999"]


def random_text(rng: np.random.Generator) -> list[str]:
    """One plate text as its groups, e.g. `["AB12", "CDE"]`; joined it has 4 to 10 characters."""
    kind = rng.random()
    if kind < 0.40:
        shape = SHAPES[rng.integers(len(SHAPES))]
        return ["".join(_draw(rng, LETTERS if c == "A" else DIGITS) for c in group) for group in shape.split()]
    length = int(rng.choice(list(LENGTHS), p=list(LENGTHS.values())))
    if kind < 0.75:
        text = "".join(_draw(rng, LETTERS + DIGITS) for _ in range(length))
    else:
        text, pool = "", LETTERS if rng.random() < 0.5 else DIGITS
        while len(text) < length:
            text += "".join(_draw(rng, pool) for _ in range(int(rng.integers(1, 5))))
            pool = DIGITS if pool is LETTERS else LETTERS
        text = text[:length]
    return split_groups(rng, text, int(rng.choice([1, 2, 3], p=[0.35, 0.45, 0.20])))


def split_groups(rng: np.random.Generator, text: str, groups: int) -> list[str]:
    """Cuts a text into at most `groups` non-empty groups at random places."""
    groups = min(groups, len(text))
    cuts = sorted(rng.choice(np.arange(1, len(text)), size=groups - 1, replace=False)) if groups > 1 else []
    bounds = [0, *[int(c) for c in cuts], len(text)]
    return [text[a:b] for a, b in zip(bounds, bounds[1:])]


def small_words(rng: np.random.Generator) -> str:
    """Small print that is no plate text: state names, slogans, dealers, dates."""
    words = ["".join(_draw(rng, LETTERS) for _ in range(int(rng.integers(2, 9)))) for _ in range(int(rng.integers(1, 4)))]
    if rng.random() < 0.2:
        words.append("".join(_draw(rng, DIGITS) for _ in range(int(rng.integers(2, 5)))))
    text = " ".join(words)[:22]
    return text if rng.random() < 0.5 else text.title()


def _draw(rng: np.random.Generator, pool: str) -> str:
    if pool not in _POOLS:
        _POOLS[pool] = np.cumsum([LIKE_DIGITS.get(c, 1.0) for c in pool])
    sums = _POOLS[pool]
    return pool[int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))]
