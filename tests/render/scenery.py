"""The fixed part of a picture: ground, sky, houses, trees, poles and signs, drawn once per clip, enlarged, then averaged down."""
import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from geometry import clip_near
from plates import font_path

WORDS = ["GARAGE", "HOTEL ROSE", "CAFE 21", "BAKERY", "PARKING", "A44 NORTH", "EXIT 12", "SHOP", "TYRES", "LIDO 500", "OPEN 24H", "ZONE 30", "DEPOT B7", "P+R"]


def noise_tile(rng, n=1024, octaves=(4, 8, 16, 32, 64, 128, 256), fall=0.75):
    """Smooth random tile f32 [n, n], zero mean, about unit deviation, that repeats at its edges."""
    out = np.zeros((n, n), np.float32)
    amp = 1.0
    for o in octaves:
        r = rng.standard_normal((o, o)).astype(np.float32)
        r = np.pad(r, 2, mode="wrap")
        k = n // o
        big = cv2.resize(r, ((o + 4) * k, (o + 4) * k), interpolation=cv2.INTER_CUBIC)
        out += amp * big[2 * k:2 * k + n, 2 * k:2 * k + n]
        amp *= fall
    return (out - out.mean()) / out.std()


def sample(tile, x, y, metres):
    k = tile.shape[0] / metres
    return cv2.remap(tile, np.float32(x * k), np.float32(y * k), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _ground(cam, rng, spec, scale):
    x, y, depth, below = cam.ground_grid(scale)
    tile = noise_tile(rng)
    grain = sample(tile, x, y, 3.1) * np.clip(6.0 / depth, 0, 1)
    patch = sample(tile, x + 17, y * .6, 41.0)
    streak = sample(tile, x * 3, y * .12, 11.0)
    asphalt = spec.get("asphalt", 92.0) + 5.5 * patch + 4.0 * grain + 3.0 * streak
    img = np.stack([asphalt + 3, asphalt + 1, asphalt], axis=-1)
    blur = depth / cam.f / scale * 2.0 + .01

    def band(v, lo, hi):
        return np.clip((v - lo) / blur + .5, 0, 1) * np.clip((hi - v) / blur + .5, 0, 1)

    def put(mask, bgr, wear=0.0):
        rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return
        part = np.s_[rows[0]:rows[-1] + 1, cols[0]:cols[-1] + 1]
        m = mask[part] if wear == 0 else mask[part] * np.clip(1 - wear * (patch[part] + grain[part] * .8 + .4), .15, 1)
        m = m[..., None]
        img[part] *= 1 - m
        img[part] += m * (np.float32(bgr) if np.ndim(bgr) == 1 else bgr[part])

    edges = spec["edges"]
    grass_noise = (4.5 * patch + 7 * grain)[..., None] * np.float32([.6, 1, .9])
    grass = np.float32(spec.get("verge", (52, 96, 84))) + grass_noise
    if spec["kind"] in ("road", "gate"):
        kerb = spec.get("kerb", True)
        put(1 - band(x, edges[0] - .45, edges[1] + .45), grass)
        if kerb:
            for lo, hi in ((edges[0] - .45, edges[0] - .15), (edges[1] + .15, edges[1] + .45)):
                put(band(x, lo, hi), (150, 154, 156), .12)
            pave = np.float32([128, 134, 138]) + (3 * patch + 3 * grain)[..., None]
            side = band(x, edges[1] + .45, edges[1] + 2.6)
            put(side, pave)
            put(side * np.clip(band(np.mod(y, 1.2), 0, .03), 0, 1) * np.clip(9 / depth, 0, 1), (96, 100, 104))
        for lx in (edges[0] + .12, edges[1] - .12):
            put(band(x, lx - .07, lx + .07), (222, 226, 226), .22)
        for lx in spec.get("dashes", []):
            put(band(x, lx - .07, lx + .07) * band(np.mod(y, 9.0), 0, 3.5), (222, 226, 226), .22)
        for ly in spec.get("stops", []):
            put(band(y, ly, ly + .35) * band(x, edges[0], edges[1]), (224, 228, 228), .25)
    else:
        put(1 - band(x, edges[0], edges[1]) * band(y, edges[2], edges[3]), grass)
        for row_y, depth_m in spec.get("bays", []):
            bay = band(np.mod(x, 2.6), 0, .10) * band(y, row_y, row_y + depth_m) * band(x, edges[0] + .5, edges[1] - .5)
            put(bay, (218, 222, 222), .3)
        for ly in spec.get("stops", []):
            put(band(y, ly, ly + .3) * band(x, edges[0], edges[1]), (220, 224, 224), .3)
    haze = np.clip((depth - 40) / 400, 0, .5)[..., None]
    img = img * (1 - haze) + np.float32(spec["haze"]) * haze
    return img, below


def _sky(shape, rng, spec):
    h, w = shape
    top, low = np.float32(spec["sky_top"]), np.float32(spec["haze"])
    g = np.linspace(0, 1, h, dtype=np.float32)[:, None, None] ** .7
    img = top * (1 - g) + low * g
    cloud = cv2.resize(noise_tile(rng, 512, (3, 4, 8, 16, 32), .62)[:256], (w, h), interpolation=cv2.INTER_CUBIC)
    m = np.clip((cloud - spec.get("cloud", .2)) * .55, 0, .85)[..., None]
    return np.broadcast_to(img, (h, w, 3)) * (1 - m) + np.float32(spec["cloud_bgr"]) * m


class Canvas:
    """Draws 3D flat shapes onto the enlarged picture (u8 BGR)."""

    def __init__(self, img, cam, scale):
        self.img, self.cam, self.scale = img, cam, scale

    def px(self, pts):
        c = clip_near(self.cam.to_camera(np.asarray(pts, float)))
        return None if len(c) < 3 else np.clip(self.cam.to_pixels(c) * self.scale, -9000, 15000)

    def quad(self, pts, bgr):
        p = self.px(pts)
        if p is not None:
            cv2.fillPoly(self.img, [np.round(p * 16).astype(np.int32)], [float(v) for v in bgr], cv2.LINE_AA, 4)

    def text(self, pts, text, bgr, back=None, font="Roboto-Bold.ttf", pad=.14):
        """`text` fitted on the quad (top left, top right, bottom right, bottom left)."""
        c = self.cam.to_camera(np.asarray(pts, float))
        if c[:, 2].min() < 1:
            return
        f = ImageFont.truetype(font_path(font), 120)
        b = f.getbbox(text)
        tw, th = b[2] - b[0], b[3] - b[1]
        p = int(th * pad) + 8
        flat = Image.new("L", (tw + 2 * p, th + 2 * p), 0)
        ImageDraw.Draw(flat).text((p - b[0], p - b[1]), text, font=f, fill=255)
        if back is not None:
            self.quad(pts, back)
        flat = np.asarray(flat)
        dst = np.float32(self.cam.to_pixels(c) * self.scale)
        x0, y0 = np.maximum(np.floor(dst.min(0)).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(dst.max(0)).astype(int), (self.img.shape[1], self.img.shape[0]))
        if x1 - x0 < 4 or y1 - y0 < 4:
            return
        k = min(1.0, np.ptp(dst[:, 0]) / flat.shape[1])
        flat = cv2.resize(flat, None, fx=max(k, .05), fy=max(k, .05), interpolation=cv2.INTER_AREA)
        m = cv2.getPerspectiveTransform(np.float32([[0, 0], [flat.shape[1], 0], [flat.shape[1], flat.shape[0]], [0, flat.shape[0]]]), dst - np.float32([x0, y0]))
        a = cv2.warpPerspective(flat, m, (int(x1 - x0), int(y1 - y0)))[..., None] / 255.0
        roi = self.img[y0:y1, x0:x1]
        self.img[y0:y1, x0:x1] = (roi * (1 - a) + np.float32(bgr) * a).astype(np.uint8)

    def house(self, rng, x, y, w, d, h, light, word=None):
        """A box with windows, its street side facing -Y (towards the camera) and one flank."""
        base = np.array([(150, 170, 190), (120, 140, 170), (170, 180, 184), (110, 120, 150), (190, 200, 206), (100, 118, 128)][int(rng.integers(6))], float)
        side = base * .72
        xs = x if x > self.cam.pos[0] else x + w
        self.quad([(xs, y, h), (xs, y + d, h), (xs, y + d, 0), (xs, y, 0)], side)
        roof = base * np.array([.45, .5, .7])
        self.quad([(x - .3, y - .2, h), (x + w + .3, y - .2, h), (x + w * .78, y + d / 2, h + w * .25), (x + w * .22, y + d / 2, h + w * .25)], roof)
        self.quad([(x, y, h), (x + w, y, h), (x + w, y, 0), (x, y, 0)], base)
        n, floors = max(int(w / 2.4), 1), max(int(h / 2.9), 1)
        for f in range(floors):
            for i in range(n):
                wx, wz = x + (i + .5) * w / n, f * 2.9 + 1.9
                lit = light["night"] and rng.random() < .35
                col = (110, 190, 235) if lit else (78 + 20 * rng.random(), 66, 58)
                self.quad([(wx - .62, y, wz + .75), (wx + .62, y, wz + .75), (wx + .62, y, wz - .62), (wx - .62, y, wz - .62)], np.minimum(base * 1.22, 250))
                self.quad([(wx - .52, y, wz + .65), (wx + .52, y, wz + .65), (wx + .52, y, wz - .52), (wx - .52, y, wz - .52)], col)
        if word:
            ww = min(w * .8, .45 * len(word) + 1)
            cx = x + w / 2
            self.text([(cx - ww / 2, y - .05, 3.35), (cx + ww / 2, y - .05, 3.35), (cx + ww / 2, y - .05, 2.75), (cx - ww / 2, y - .05, 2.75)], word, (240, 240, 240),
                      [(120, 60, 20), (30, 30, 140), (50, 90, 30), (40, 40, 44)][int(rng.integers(4))])

    def tree(self, rng, x, y, h):
        p, z = self.cam.project(np.array([(x, y, 0), (x, y, h)], float))
        if z.min() < 3:
            return
        k = self.cam.f / z[0] * self.scale
        p = p * self.scale
        trunk = max(int(.22 * k), 1)
        cv2.line(self.img, tuple(int(v) for v in p[0]), tuple(int(v) for v in (p[0] * .35 + p[1] * .65)), (52, 62, 76), trunk, cv2.LINE_AA)
        tone = np.array([36, 74, 58]) * rng.uniform(.8, 1.25)
        centre = p[0] * .3 + p[1] * .7
        for layer, m in ((1.0, .62), (.82, .85), (.62, 1.08), (.4, 1.3)):
            for _ in range(26):
                a, r = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random()) * .30 * h * k * layer
                c = centre + np.array([np.cos(a) * r - .04 * h * k * (1 - layer), np.sin(a) * r * .95 - .07 * h * k * (1 - layer)])
                rr = rng.uniform(.05, .10) * h * k
                cv2.ellipse(self.img, (int(c[0]), int(c[1])), (int(rr), int(rr * .8)), 0, 0, 360, (tone * m * rng.uniform(.9, 1.1)).tolist(), -1, cv2.LINE_AA)

    def sign(self, rng, x, y, z, w, h, word, style=None):
        style = int(rng.integers(4)) if style is None else style
        back, ink = [((150, 84, 20), (245, 245, 245)), ((70, 120, 30), (240, 240, 240)), ((238, 240, 240), (20, 20, 24)), ((40, 200, 240), (16, 16, 16))][style]
        self.quad([(x - .05, y + .03, z), (x + .05, y + .03, z), (x + .05, y + .03, 0), (x - .05, y + .03, 0)], (120, 122, 124))
        q = [(x - w / 2, y, z + h), (x + w / 2, y, z + h), (x + w / 2, y, z), (x - w / 2, y, z)]
        self.quad([(a + (np.sign(a - x) * .05), b + .01, c + (.05 if c > z else -.05)) for a, b, c in q], ink)
        self.text(q, word, ink, back, pad=.25)


def build(cam, seed, spec, scale=2.0):
    """The background u8 [H, W, 3] BGR of a scene before its light level is applied."""
    rng = np.random.default_rng(seed)
    ground, below = _ground(cam, rng, spec, scale)
    h, w = ground.shape[:2]
    horizon = int(np.argmax(below[:, w // 2])) if below[:, w // 2].any() else h
    img = ground
    if horizon > 0:
        sky = _sky((h, w), rng, spec)
        top = np.zeros_like(img)
        n = max(horizon, 2)
        top[:] = np.float32(spec["haze"])
        top[:n] = cv2.resize(np.float32(sky), (w, n), interpolation=cv2.INTER_AREA)
        img = np.where(below[..., None], ground, top)
    c = Canvas(np.clip(img, 0, 255).astype(np.uint8), cam, scale)
    light = {"night": spec["condition"] == "night"}
    things = []
    for t in spec.get("things", []):
        things.append((t[2], t))
    for _, t in sorted(things, key=lambda a: -a[0]):
        kind, x, y, *rest = t
        if kind == "house":
            c.house(rng, x, y, *rest, light=light, word=str(rng.choice(WORDS)) if rng.random() < .5 else None)
        elif kind == "tree":
            c.tree(rng, x, y, *rest)
        elif kind == "sign":
            c.sign(rng, x, y, *rest, word=str(rng.choice(WORDS)))
        elif kind == "pole":
            c.quad([(x - .07, y, rest[0]), (x + .07, y, rest[0]), (x + .09, y, 0), (x - .09, y, 0)], (104, 106, 108))
        elif kind == "rail":
            x1 = rest[0]
            c.quad([(x, y, .8), (x1, rest[1], .8), (x1, rest[1], .5), (x, y, .5)], (160, 164, 168))
            c.quad([(x, y, .62), (x1, rest[1], .62), (x1, rest[1], .58), (x, y, .58)], (110, 114, 118))
        elif kind == "kiosk":
            c.quad([(x, y, 2.6), (x, y + 2.2, 2.6), (x, y + 2.2, 0), (x, y, 0)], (120, 128, 134))
            c.quad([(x, y, 2.6), (x + 2.0, y, 2.6), (x + 2.0, y, 0), (x, y, 0)], (176, 184, 190))
            c.quad([(x + .25, y, 2.2), (x + 1.75, y, 2.2), (x + 1.75, y, 1.2), (x + .25, y, 1.2)], (92, 84, 74))
            c.text([(x + .2, y - .02, 2.55), (x + 1.8, y - .02, 2.55), (x + 1.8, y - .02, 2.25), (x + .2, y - .02, 2.25)], "GATE 2", (250, 250, 250), (120, 60, 20))
        elif kind == "barrier":  # raised arm beside its cabinet
            c.quad([(x - .2, y, 1.1), (x + .2, y, 1.1), (x + .2, y, 0), (x - .2, y, 0)], (40, 120, 220))
            for k in range(8):
                z0 = 1.0 + k * .4
                col = (40, 40, 200) if k % 2 else (240, 240, 240)
                c.quad([(x - .05 + k * .03, y, z0 + .4), (x + .05 + k * .03, y, z0 + .4), (x + .05 + k * .03, y, z0), (x - .05 + k * .03, y, z0)], col)
    return cv2.resize(c.img, (cam.w, cam.h), interpolation=cv2.INTER_AREA)
