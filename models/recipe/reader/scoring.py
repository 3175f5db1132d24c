"""Labels to texts, and the table of exact reads by condition."""
from __future__ import annotations

import numpy as np

from plates.degrade import VARIANTS

from .model import ALPHABET

SAME = str.maketrans("OI", "01")


def texts_of(labels: np.ndarray) -> list[str]:
    """The texts of label records."""
    return ["".join(ALPHABET[k - 1] for k in record["text"][: record["count"]]) for record in labels]


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def table(read: list[str], labels: np.ndarray) -> list[tuple[str, int, float, float, float]]:
    """Rows of (condition, samples, exact, exact counting O=0 and I=1 as equal, character accuracy)."""
    truth = texts_of(labels)
    right = np.array([a == b for a, b in zip(read, truth)])
    loose = np.array([a.translate(SAME) == b.translate(SAME) for a, b in zip(read, truth)])
    errors = np.array([edit_distance(a, b) for a, b in zip(read, truth)])
    count = labels["count"].astype(float)
    day, plain = labels["night"] == 0, labels["variant"] == 0
    width = labels["width"].astype(int)
    conditions = [("all", np.ones(len(labels), bool)), ("day, original", day & plain)]
    for low, high in ((40, 60), (60, 90), (90, 150), (150, 400)):
        conditions.append((f"day, original, {low} to {high} px", day & plain & (width >= low) & (width < high)))
    conditions += [("night, original, 90 px and up", ~day & plain & (width >= 90)),
                   ("one row, day, original, 90 px and up", day & plain & (width >= 90) & (labels["rows"] == 1)),
                   ("two rows, day, original, 90 px and up", day & plain & (width >= 90) & (labels["rows"] == 2))]
    conditions += [(f"day, {name}, 90 px and up", day & (labels["variant"] == k) & (width >= 90))
                   for k, name in enumerate(VARIANTS) if k]
    return [(name, int(m.sum()), float(right[m].mean()), float(loose[m].mean()),
             float(1 - errors[m].sum() / count[m].sum())) for name, m in conditions if m.any()]
