"""Vehicles as shaded solids under a real pinhole camera."""
import numpy as np

from .text import colour, flat_sign


class Camera:
    """Pinhole over the ground plane: x right, y up, z ahead, metres; `project` gives px."""

    def __init__(self, rng, w, h, target_depth_m, focal_px):
        self.f, self.w, self.h = focal_px, w, h
        self.height = float(np.exp(rng.uniform(np.log(0.6), np.log(7.0))))
        self.height = min(self.height, target_depth_m * 0.9)
        row = rng.uniform(0.45, 0.95) * h  # where ground at the target depth lands
        pitch = np.arctan2(self.height, target_depth_m) - np.arctan2(row - h / 2, focal_px)
        roll = rng.normal(0, 0.03)
        cp, sp, cr, sr = np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
        # Rows: image x, image y (down), depth.
        self.r = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1.0]]) @ np.array([[1, 0, 0], [0, -cp, -sp], [0, -sp, cp]])

    def to_camera(self, p):
        return (np.asarray(p, float) - (0, self.height, 0)) @ self.r.T

    def project(self, p):
        q = self.to_camera(p)
        z = np.maximum(q[:, 2:], 0.05)
        return q[:, :2] / z * self.f + (self.w / 2, self.h / 2), q[:, 2]


def _ellipse(cx, cy, rx, ry, n=14):
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([cx + rx * np.cos(t), cy + ry * np.sin(t)], 1)


def _rect(x0, y0, x1, y1):
    return np.array([[x0, y1], [x1, y1], [x1, y0], [x0, y0]], float)


def _end_details(rng, W, lo, hi, front, plate):
    """Polygons on a front or rear face, (points in (x, y) metres, colour, is_light): lights, grille, bumper."""
    out = []
    H = hi - lo
    if rng.random() < 0.7:
        c = tuple([int(rng.integers(10, 90))] * 3)
        out.append((_rect(-W / 2, lo, W / 2, lo + H * rng.uniform(0.1, 0.35)), c, False))
    if rng.random() < 0.6:
        gw, y = W * rng.uniform(0.15, 0.4), lo + H * rng.uniform(0.35, 0.6)
        gh = H * rng.uniform(0.1, 0.3)
        out.append((_rect(-gw, y, gw, y + gh), tuple([int(rng.integers(10, 70))] * 3), False))
        if rng.random() < 0.5:
            n = int(rng.integers(2, 6))
            for i in range(n):
                yy = y + gh * (i + 0.3) / n
                out.append((_rect(-gw, yy, gw, yy + gh * 0.3 / n), tuple([int(rng.integers(120, 230))] * 3), False))
    if rng.random() < 0.9:
        lw, lh = W * rng.uniform(0.06, 0.14), H * rng.uniform(0.06, 0.2)
        y = lo + H * rng.uniform(0.45, 0.85)
        c = tuple(int(v) for v in (rng.integers(200, 256), rng.integers(200, 256), rng.integers(180, 256))) if front else (int(rng.integers(120, 230)), 20, 25)
        round_ = rng.random() < 0.4
        for s in (-1, 1):
            x = s * (W / 2 - lw * rng.uniform(1.0, 1.3))
            pts = _ellipse(x, y, lw, lh) if round_ else _rect(x - lw, y - lh, x + lw, y + lh)
            out.append((pts, c, True))
    return out


def _plate_quad(rng, W, lo, hi, aspect):
    """Corners (x, y) metres of the plate on an end face: usually in the middle and low."""
    pw = rng.uniform(0.42, 0.56) if aspect > 2.3 else rng.uniform(0.24, 0.36)
    pw *= 1.0 if rng.random() < 0.85 else rng.uniform(0.8, 1.5)
    pw = min(pw, W * 0.9)
    ph = pw / aspect
    x = 0.0 if rng.random() < 0.75 else rng.uniform(-0.5, 0.5) * (W - pw)
    room = max(hi - lo - ph, 0)
    y = lo + room * (rng.uniform(0.08, 0.5) if rng.random() < 0.8 else rng.uniform(0, 1))
    return _rect(x - pw / 2, y, x + pw / 2, y + ph)


def build(rng, kind, aspect):
    """Faces in local metres (x across, y up, z along, the near end at z = 0): list of (pts [K, 3], colour, tag, details, group).

    Groups are painted in order; `aspect` is the plate's width over height, or None for no plate. Details are in face coordinates."""
    two = kind == "bike"
    W = rng.uniform(0.5, 0.8) if two else rng.uniform(1.55, 2.0)
    L = rng.uniform(1.8, 2.3) if two else rng.uniform(3.2, 5.0)
    H = rng.uniform(1.0, 1.5) if two else rng.uniform(1.35, 1.95)
    if kind in ("truck", "bus"):
        W, L, H = rng.uniform(2.0, 2.55), rng.uniform(5, 14), rng.uniform(2.2, 3.9)
    if kind == "van":
        W, L, H = rng.uniform(1.7, 2.1), rng.uniform(4.2, 6), rng.uniform(1.8, 2.7)
    base = np.array(colour(rng, 15, 245)) if rng.random() < 0.5 else np.array([int(rng.integers(15, 250))] * 3)
    lo = rng.uniform(0.12, 0.35)
    front = rng.random() < 0.5
    boxy = kind in ("truck", "bus", "van") or rng.random() < 0.12
    belt = H if boxy else H * rng.uniform(0.5, 0.68)
    glass = np.array([int(rng.integers(10, 110))] * 3) + np.array([0, rng.integers(0, 15), rng.integers(0, 40)])
    light = np.array([rng.normal(0, 0.4), 1.0, rng.normal(-0.3, 0.5)])
    light /= np.linalg.norm(light)
    shade = lambda n, c=base: tuple(int(v) for v in np.clip(np.asarray(c) * (0.55 + 0.5 * max(0.0, float(np.dot(n, light)))), 0, 255))
    x = W / 2
    slope = 0.0 if boxy else rng.uniform(0, 0.25)
    # Near end: z = 0 low, z = slope at the belt.
    near = [(-x, belt, slope), (x, belt, slope), (x, lo, 0), (-x, lo, 0)]
    far = [(x, belt, L), (-x, belt, L), (-x, lo, L), (x, lo, L)]
    details = _end_details(rng, W, lo, belt if not boxy else min(belt, lo + 1.1), front, aspect)
    plate = None
    if aspect is not None:
        top = min(belt, lo + 1.0)
        plate = _plate_quad(rng, W, lo, top, aspect)
    if boxy and rng.random() < 0.85:  # windscreen or rear window
        y0 = min(belt * 0.55, lo + 1.3)
        details.append((_rect(-x * 0.85, y0, x * 0.85, belt * rng.uniform(0.8, 0.95)), tuple(int(v) for v in glass), False))
    faces = [
        (far, shade((0, 0, 1)), "far", [], 0),
        ([(-x, belt, slope), (-x, belt, L), (x, belt, L), (x, belt, slope)][::1], shade((0, 1, 0)), "top", [], 0),
        ([(-x, belt, L), (-x, belt, slope), (-x, lo, 0), (-x, lo, L)], shade((-1, 0, 0)), "left", "side", 0),
        ([(x, belt, slope), (x, belt, L), (x, lo, L), (x, lo, 0)], shade((1, 0, 0)), "right", "side", 0),
        (near, shade((0, 0, -1)), "near", details, 0),
    ]
    if not boxy and not two:  # cabin
        z0, z1 = L * rng.uniform(0.05, 0.35), L * rng.uniform(0.7, 0.98)
        a0, a1 = z0 + rng.uniform(0.2, 0.7), z1 - rng.uniform(0.05, 0.6)
        b, t = x * 0.97, x * rng.uniform(0.7, 0.92)
        g = tuple(int(v) for v in glass)
        roof = [(-t, H, a0), (-t, H, a1), (t, H, a1), (t, H, a0)]
        frame = shade((0, 0.4, -0.8))
        faces += [
            ([(b, belt, z1), (-b, belt, z1), (-t, H, a1), (t, H, a1)][::-1], frame, "cfar", "glass", 1),
            ([(-b, belt, z1), (-b, belt, z0), (-t, H, a0), (-t, H, a1)][::-1], frame, "cleft", "glass2", 1),
            ([(b, belt, z0), (b, belt, z1), (t, H, a1), (t, H, a0)][::-1], frame, "cright", "glass2", 1),
            (roof, shade((0, 1, 0)), "roof", [], 1),
            ([(-t, H, a0), (t, H, a0), (b, belt, z0), (-b, belt, z0)], frame, "cnear", "glass", 1),
        ]
    if two:
        faces.append(([(-0.25, H * 1.25, L / 2), (0.25, H * 1.25, L / 2), (0.3, belt * 0.9, L / 2), (-0.3, belt * 0.9, L / 2)], tuple(int(v) for v in colour(rng, 10, 120)), "rider", [], 1))
    return {"faces": faces, "size": (W, L, H), "plate": plate, "near": np.array(near, float), "glass": tuple(int(v) for v in glass), "lo": lo, "front": front, "belt": belt}


def _wheels(L, lo, r, x, sign):
    for z in (L * 0.18, L * 0.8):
        t = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        yield np.stack([np.full(16, x * sign), r + r * np.sin(t), z + r * np.cos(t)], 1)


def paint(rng, c, cam, solid, pos, yaw, vid, pid, picture):
    """Draws the solid with its near end towards the camera; returns (hull points px, plate quad px or None), or None if it is behind the lens."""
    W, L, H = solid["size"]
    cy, sy = np.cos(yaw), np.sin(yaw)
    rot = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    place = lambda p: (np.asarray(p, float) - (0, 0, L / 2)) @ rot.T + np.asarray(pos) + (0, 0, L / 2)
    every = np.concatenate([place(f[0]) for f in solid["faces"]])
    hull, z = cam.project(every)
    if z.min() < 0.4:
        return None
    ground = place([(-W / 2, 0, 0), (W / 2, 0, 0), (W / 2, 0, L), (-W / 2, 0, L)])
    hull = np.concatenate([hull, cam.project(ground)[0]])
    grow = 1 + rng.uniform(0.02, 0.15)
    sh = cam.project((ground - ground.mean(0)) * grow + ground.mean(0) + (rng.normal(0, 0.2), 0, 0))[0]
    c.fill(sh, (15, 15, 18), alpha=rng.uniform(0.3, 0.85))
    quad = None
    light = np.array([0.0, 0, 0])
    gradient = rng if rng.random() < 0.7 else None
    for group in (0, 1):
        faces = [f for f in solid["faces"] if f[4] == group]
        faces.sort(key=lambda f: -np.linalg.norm(cam.to_camera(place(f[0])).mean(0)))
        for pts, col, tag, details, _ in faces:
            world = place(pts)
            px, _ = cam.project(world)
            area = np.sum(px[:, 0] * np.roll(px[:, 1], -1) - px[:, 1] * np.roll(px[:, 0], -1))
            if tag not in ("roof", "top", "rider") and area < 0 and not tag.startswith("c"):
                continue
            c.fill(px, col, owner=vid, rng=gradient)
            if details == "side":
                s = 1 if tag == "right" else -1
                r = min(0.5, solid["belt"] * 0.38)
                for ring in _wheels(L, solid["lo"], r, W / 2 + 0.01, s):
                    c.fill(cam.project(place(ring))[0], (20, 20, 22), owner=vid)
                    m = ring.mean(0)
                    c.fill(cam.project(place(m + (ring - m) * 0.55))[0], colour(rng, 60, 220), owner=vid)
                if H > 1.9 and rng.random() < 0.6:  # writing on vans
                    z0, z1 = L * 0.35, L * rng.uniform(0.7, 0.95)
                    y0, y1 = H * 0.45, H * rng.uniform(0.6, 0.9)
                    p3 = [(s * W / 2, y1, z0), (s * W / 2, y1, z1), (s * W / 2, y0, z1), (s * W / 2, y0, z0)]
                    if s < 0:
                        p3 = [p3[1], p3[0], p3[3], p3[2]]
                    c.paste(flat_sign(rng), cam.project(place(p3))[0], owner=vid)
            elif details in ("glass", "glass2"):
                m = world.mean(0)
                c.fill(cam.project(m + (world - m) * (0.86 if details == "glass" else 0.8))[0], solid["glass"], owner=vid, rng=gradient)
            elif isinstance(details, list) and tag == "near":
                quad = _near(rng, c, cam, solid, place, details, vid, pid, picture)
    for s in (-1, 1):  # wheels seen from the near end
        r = 0.3
        w = _rect(s * (W / 2 - 0.12) - 0.11, 0, s * (W / 2 - 0.12) + 0.11, solid["lo"] + 0.05)
        c.fill(cam.project(place(np.c_[w, np.full(4, 0.05)]))[0], (14, 14, 15), owner=vid)
    return hull, quad


def _near(rng, c, cam, solid, place, details, vid, pid, picture):
    n = solid["near"]
    lo, belt, slope = n[2][1], n[0][1], n[0][2]
    on = lambda xy: place(np.c_[xy, slope * (xy[:, 1] - lo) / max(belt - lo, 1e-3) - 0.01])
    for pts, col, lamp in details:
        px, _ = cam.project(on(pts))
        c.fill(px, col, owner=vid)
        if lamp:
            m = px.mean(0)
            c.lights.append((m[0], m[1], np.ptp(px[:, 1]) / 2, (255, 250, 220) if solid["front"] else (255, 30, 20)))
    W = solid["size"][0]
    for _ in range(int(rng.choice([0, 0, 0, 1, 2]))):  # stickers, badges, slogans
        w = rng.uniform(0.1, 0.5)
        x, y = rng.uniform(-W / 2, W / 2 - w), rng.uniform(lo, belt)
        q = _rect(x, y, x + w, y + w * rng.uniform(0.15, 0.6))
        c.paste(flat_sign(rng), cam.project(on(q))[0], owner=vid)
    if solid["plate"] is None:
        return None
    if rng.random() < 0.25:  # a dark or light recess behind the plate
        m = solid["plate"].mean(0)
        c.fill(cam.project(on(m + (solid["plate"] - m) * rng.uniform(1.1, 1.6)))[0], tuple([int(rng.integers(10, 240))] * 3), owner=vid)
    quad, _ = cam.project(on(solid["plate"]))
    c.paste(picture, quad, owner=pid)
    c.plates.append(quad)
    return quad
