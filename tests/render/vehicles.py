"""Vehicle bodies: lofted meshes with glass, lamps, wheels, and the place of the plate.

Vehicle axes: x forward, y left, z up, metres, origin on the ground below the middle. Colours BGR.
"""
import numpy as np

# Stations from the front: (x from the front, top height, width factor, glass) with glass a set of
# w (windscreen or rear window on top), s (side window) for the strip that ends at this station.
BODIES = {
    "sedan": dict(L=4.62, W=1.82, belt=0.93, wheel=0.32, axles=(0.86, 3.62), stations=[
        (0.0, .62, .86, ""), (.08, .70, .92, ""), (.30, .78, .97, ""), (.75, .86, 1, ""), (1.25, .94, 1, ""), (1.62, 1.20, 1, "w"), (1.98, 1.40, 1, "w"),
        (2.12, 1.43, 1, ""), (2.66, 1.45, 1, "s"), (2.76, 1.45, 1, ""), (3.40, 1.41, 1, "s"), (3.50, 1.39, 1, ""), (3.85, 1.21, .99, "w"), (4.15, 1.03, .98, "w"),
        (4.40, .98, .96, ""), (4.56, .94, .93, ""), (4.62, .84, .88, "")]),
    "hatch": dict(L=4.05, W=1.76, belt=0.95, wheel=0.31, axles=(0.78, 3.30), stations=[
        (0.0, .62, .86, ""), (.08, .72, .92, ""), (.30, .82, .97, ""), (.95, .96, 1, ""), (1.35, 1.26, 1, "w"), (1.68, 1.44, 1, "w"),
        (1.80, 1.48, 1, ""), (2.42, 1.50, 1, "s"), (2.52, 1.50, 1, ""), (3.15, 1.47, 1, "s"), (3.45, 1.44, .99, "s"), (3.60, 1.40, .98, ""), (3.85, 1.12, .96, "w"),
        (3.98, .92, .94, ""), (4.05, .82, .90, "")]),
    "suv": dict(L=4.55, W=1.90, belt=1.06, wheel=0.37, axles=(0.88, 3.58), stations=[
        (0.0, .78, .88, ""), (.08, .90, .94, ""), (.35, 1.00, .98, ""), (1.15, 1.08, 1, ""), (1.50, 1.38, 1, "w"), (1.85, 1.60, 1, "w"),
        (1.98, 1.65, 1, ""), (2.62, 1.69, 1, "s"), (2.72, 1.69, 1, ""), (3.40, 1.68, 1, "s"), (3.50, 1.68, 1, ""), (4.05, 1.65, .99, "s"), (4.22, 1.60, .97, ""), (4.45, 1.18, .95, "w"),
        (4.52, 1.02, .94, ""), (4.55, .88, .90, "")]),
    "van": dict(L=5.0, W=1.95, belt=1.20, wheel=0.34, axles=(0.90, 3.95), stations=[
        (0.0, .80, .88, ""), (.08, .95, .93, ""), (.35, 1.08, .98, ""), (.95, 1.22, 1, ""), (1.30, 1.62, 1, "w"), (1.66, 1.98, .99, "w"),
        (1.85, 2.10, .98, ""), (2.45, 2.18, .98, "s"), (2.55, 2.20, .98, ""), (3.6, 2.20, .98, ""), (4.80, 2.18, .98, ""), (4.96, 2.12, .97, ""), (5.0, 1.95, .95, "")]),
    "truck": dict(L=7.2, W=2.25, belt=1.45, wheel=0.44, axles=(1.15, 5.4), stations=[
        (0.0, 1.10, .90, ""), (.06, 1.25, .94, ""), (.22, 1.40, .96, ""), (.36, 1.90, .95, "w"), (.50, 2.30, .94, "w"), (.62, 2.42, .93, ""), (1.45, 2.48, .93, "s"),
        (1.75, 2.48, .93, ""), (1.80, 3.05, 1, "b"), (2.2, 3.08, 1, "b"), (4.2, 3.08, 1, "b"), (6.2, 3.08, 1, "b"), (7.15, 3.08, 1, "b"), (7.2, 3.04, 1, "b")]),
}
PAINTS = [(238, 238, 236), (176, 178, 180), (108, 110, 112), (44, 44, 46), (128, 64, 28), (40, 34, 150), (62, 92, 48), (120, 150, 176), (48, 130, 205), (150, 110, 60),
          (205, 205, 200), (70, 60, 54), (30, 60, 120), (140, 120, 40)]
GLASS, TRIM = np.array([46.0, 42, 38]), np.array([34.0, 34, 34])


class Vehicle:
    """Mesh of one vehicle: quads [Q, 4, 3], normals [Q, 3], base colours [Q, 3], glass flags, and decals drawn after it."""

    def __init__(self, rng, kind, plate, towards):
        spec = BODIES[kind]
        self.kind, self.plate, self.towards = kind, plate, towards
        self.L, self.W = spec["L"], spec["W"]
        self.wheel, self.axles = spec["wheel"], [self.L / 2 - a for a in spec["axles"]]
        self.paint = np.array(PAINTS[int(rng.integers(len(PAINTS)))], np.float64)
        self.box = np.array([(232, 232, 228), (170, 120, 60), (60, 90, 190), (90, 140, 90)][int(rng.integers(4))], np.float64)
        self.signage = str(rng.choice(["FRESH FISH", "ALPHA GAS", "MOVERS 24", "0800 4477", "NORD BAU", "PARCEL"])) if kind in ("van", "truck") and rng.random() < .8 else ""
        self.sill = 0.24 if kind != "truck" else 0.45
        self._loft(spec)
        self._decals(rng)
        self._place_plate(rng)

    def _section(self, st, belt):
        x, top, k, _ = st
        w = self.W / 2 * k
        belt = min(belt, top - 0.03)
        lean = max(top - belt, 0) * (0.30 if self.kind in ("sedan", "hatch", "suv") else 0.10)
        rail = w * 0.97 - lean
        glass_top = belt + (top - belt) * 0.86
        pts = [(w * .95, self.sill), (w, self.sill + (belt - self.sill) * .35), (w * .995, self.sill + (belt - self.sill) * .75), (w * .97, belt),
               (w * .97 - lean * .86, glass_top), (rail - .02, top - .02), (rail * .88, top), (0.0, top + .025)]
        half = [(self.L / 2 - x, y, z) for y, z in pts]
        return half + [(px, -py, pz) for px, py, pz in half[-2::-1]]

    def _loft(self, spec):
        st = spec["stations"]
        sec = np.array([self._section(s, spec["belt"]) for s in st])
        quads, colours, glass = [], [], []
        for i in range(1, len(st)):
            for j in range(sec.shape[1] - 1):
                m = j if j < 7 else 13 - j
                flag = st[i][3]
                base, is_glass = self.paint, False
                if "b" in flag:
                    base = self.box
                elif (m == 3 and "s" in flag) or (m == 6 and "w" in flag):
                    base, is_glass = GLASS, True
                elif m == 0:
                    base = self.paint * 0.55 if self.kind != "truck" else TRIM
                quads.append([sec[i - 1, j], sec[i - 1, j + 1], sec[i, j + 1], sec[i, j]])
                colours.append(base)
                glass.append(is_glass)
        self.quads = np.array(quads)
        n = np.cross(self.quads[:, 2] - self.quads[:, 0], self.quads[:, 1] - self.quads[:, 3])
        ln = np.linalg.norm(n, axis=1, keepdims=True)
        n = n / np.maximum(ln, 1e-9)
        c = self.quads.mean(axis=1) - np.array([0, 0, 0.7])
        n *= np.sign((n * c).sum(1, keepdims=True) + 1e-12)
        self.normals, self.colours, self.is_glass = n, np.array(colours), np.array(glass)
        self.front_cap, self.rear_cap = sec[0], sec[-1]
        self.hull = np.concatenate([sec[:, 0], sec[:, 3], sec[:, 5], sec[:, 7], sec[:, 9], sec[:, 11], sec[:, 14]])

    def _rect(self, end, y0, y1, z0, z1, out=0.012):
        x = (self.L / 2 + out) if end == "front" else (-self.L / 2 - out)
        return np.array([(x, y0, z1), (x, y1, z1), (x, y1, z0), (x, y0, z0)])

    def _decals(self, rng):
        """(end, polygon, colour BGR, lamp) drawn over the caps, back to front."""
        w, big = self.W / 2, self.kind in ("van", "truck")
        top_f = self.front_cap[7, 2] - .04
        d = []
        d.append(("front", self._rect("front", -w * .84, w * .84, self.sill, self.sill + .13), TRIM, None))
        g0 = self.sill + .36
        style = int(rng.integers(3))
        d.append(("front", self._rect("front", -w * (.42 + .1 * style), w * (.42 + .1 * style), g0 if style else g0 - .08, top_f), TRIM * .8, None))
        for k in range(2 + style):
            z = g0 + (top_f - g0) * (k + .6) / (2.6 + style)
            d.append(("front", self._rect("front", -w * .40, w * .40, z, z + .016, .016), np.array([150.0, 150, 150]) if style != 1 else TRIM * 1.7, None))
        for s in (-1, 1):
            d.append(("front", self._rect("front", s * w * .56, s * w * .84, top_f - .15, top_f - .01), np.array([205.0, 205, 200]), "head"))
            d.append(("front", self._rect("front", s * w * .63, s * w * .76, top_f - .125, top_f - .035, .02), np.array([245.0, 245, 245]), None))
        top_r = self.rear_cap[7, 2] - .05
        d.append(("rear", self._rect("rear", -w * .86, w * .86, self.sill, self.sill + .20), TRIM, None))
        lz0, lz1 = (self.sill + .55, self.sill + .95) if big else (top_r - .18, top_r - .02)
        if self.kind == "truck":
            lz0, lz1 = .72, .90
        for s in (-1, 1):
            d.append(("rear", self._rect("rear", s * w * .60 if not big else s * w * .80, s * w * .90, lz0, lz1), np.array([38.0, 30, 168]), "tail"))
        if self.kind == "van":
            for s in (-1, 1):
                d.append(("rear", self._rect("rear", s * .06, s * w * .78, 1.25, 1.80), GLASS, None))
            d.append(("rear", self._rect("rear", -.01, .01, .45, 1.95), TRIM, None))
        if self.kind == "truck":
            d.append(("rear", self._rect("rear", -.015, .015, .95, 2.95, .015), TRIM, None))
            d.append(("rear", self._rect("rear", -w * .9, w * .9, .52, .93), TRIM, None))
        self.decals = d

    def _place_plate(self, rng):
        pw, ph = self.plate.size_m
        w, h = pw / 2, ph / 2
        if self.towards:
            x, z, y = self.L / 2 + .03, self.sill + .15 + h, 0.0
            sign = 1
        else:
            x, sign = -self.L / 2 - .03, -1
            y = 0.0
            z = {"sedan": .62, "hatch": .60, "suv": .74, "van": .62, "truck": .66}[self.kind]
            if self.kind == "van" and rng.random() < .5:
                y = self.W * .22
        self.plate_z = z
        lean, roll = np.radians(rng.uniform(-2, 8)), np.radians(rng.uniform(-1.5, 1.5))
        out = []
        for cx, cz in ((-w, h), (w, h), (w, -h), (-w, -h)):
            rx, rz = cx * np.cos(roll) - cz * np.sin(roll), cx * np.sin(roll) + cz * np.cos(roll)
            # Seen from outside the left of the text is the right of the car in front, the left of it behind.
            out.append((x - sign * rz * np.sin(lean), y + sign * rx, z + rz * np.cos(lean)))
        self.plate_corners = np.array(out)
        self.plate_normal = np.array([[float(sign), 0, np.sin(lean)]])

    def lamps(self, end):
        return [(poly.mean(axis=0)) for e, poly, _, lamp in self.decals if e == end and lamp]

    def wheel_ring(self, axle_x, side, radius, inset=0.0, n=20):
        a = np.linspace(0, 2 * np.pi, n, endpoint=False)
        y = np.full(n, side * (self.W / 2 - inset))
        return np.stack([axle_x + np.cos(a) * radius, y, self.wheel + np.sin(a) * radius], axis=1)
