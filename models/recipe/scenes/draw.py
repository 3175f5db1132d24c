"""Antialiased filling, warping and light on u8 RGB pictures, plus a mask of who owns each pixel."""
import cv2
import numpy as np


class Canvas:
    """`img`: u8 [H, W, 3] RGB; `owner`: i16 [H, W], 0 = background or occluder, else the vehicle's or plate's id."""

    def __init__(self, img):
        self.img = img
        self.h, self.w = img.shape[:2]
        self.owner = np.zeros((self.h, self.w), np.int16)
        self.lights = []  # (x, y, radius_px, rgb) lit at night
        self.plates = []  # quads, for retroreflection

    def _roi(self, pts, pad=1):
        x0, y0 = np.floor(pts.min(0)).astype(int) - pad
        x1, y1 = np.ceil(pts.max(0)).astype(int) + pad + 1
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, self.w), min(y1, self.h)
        return (x0, y0, x1, y1) if x1 - x0 > 0 and y1 - y0 > 0 else None

    def fill(self, pts, rgb, owner=None, alpha=1.0, rng=None):
        """Fills polygon `pts` [K, 2] px; `rng` adds a light gradient over it."""
        pts = np.asarray(pts, np.float32)
        if not np.isfinite(pts).all() or np.abs(pts).max() > 20000:
            return
        roi = self._roi(pts)
        if roi is None:
            return
        x0, y0, x1, y1 = roi
        if rng is not None and (y1 - y0) * (x1 - x0) < 600:
            rng = None  # too small for a gradient to show
        fixed = [np.round(pts * 16).astype(np.int32)]
        if owner is not None:
            cv2.fillPoly(self.owner, fixed, int(owner), cv2.LINE_8, 4)
        if rng is None and alpha == 1.0:
            cv2.fillPoly(self.img, fixed, tuple(int(v) for v in rgb), cv2.LINE_AA, 4)
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [np.round((pts - (x0, y0)) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        view = self.img[y0:y1, x0:x1]
        layer = np.empty_like(view)
        layer[:] = rgb
        if rng is not None:
            gy, gx = np.linspace(-1, 1, y1 - y0, dtype=np.float32), np.linspace(-1, 1, x1 - x0, dtype=np.float32)
            ramp = 1 + rng.uniform(-0.35, 0.2) * gy[:, None] + rng.uniform(-0.2, 0.2) * gx[None]
            if rng.random() < 0.3:  # a band of reflected sky
                ramp += rng.uniform(0.1, 0.5) * np.exp(-(((gy - rng.uniform(-0.9, 0.9)) / 0.15) ** 2))[:, None]
            layer = cv2.merge([cv2.convertScaleAbs(ramp, alpha=float(v)) for v in rgb])
        blend(view, layer, mask if alpha == 1.0 else (mask * alpha).astype(np.uint8))

    def paste(self, picture, quad, owner=None, alpha=1.0):
        """Warps `picture` onto `quad` (tl, tr, br, bl; px) with 3x supersampling."""
        quad = np.asarray(quad, np.float32)
        if not np.isfinite(quad).all() or np.abs(quad).max() > 6000:
            return
        roi = self._roi(quad)
        if roi is None:
            return
        x0, y0, x1, y1 = roi
        big = max(x1 - x0, y1 - y0) > 400
        ss = 1 if big else 3
        wpx = max(np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[2] - quad[3]), 2) * ss
        hpx = max(np.linalg.norm(quad[3] - quad[0]), np.linalg.norm(quad[2] - quad[1]), 2) * ss
        ph, pw = picture.shape[:2]
        tw, th = max(2, min(pw, int(wpx))), max(2, min(ph, int(hpx)))
        if tw < pw or th < ph:
            picture = cv2.resize(picture, (tw, th), interpolation=cv2.INTER_AREA)
            ph, pw = th, tw
        src = np.float32([[0, 0], [pw, 0], [pw, ph], [0, ph]])
        m = cv2.getPerspectiveTransform(src - np.float32(0.5), ((quad - (x0, y0)) * ss - 0.5).astype(np.float32))
        size = ((x1 - x0) * ss, (y1 - y0) * ss)
        warped = cv2.warpPerspective(picture, m, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        mask = np.zeros((size[1], size[0]), np.uint8)
        cv2.fillPoly(mask, [np.round((quad - (x0, y0)) * ss * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        if ss > 1:
            warped = cv2.resize(warped, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
            mask = cv2.resize(mask, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
        blend(self.img[y0:y1, x0:x1], warped, mask if alpha == 1.0 else (mask * alpha).astype(np.uint8))
        if owner is not None:
            self.owner[y0:y1, x0:x1][mask > 127] = owner

    def visible(self, quad, owner):
        """Share of the quad's pixels (those off the picture count as hidden) that `owner` still holds."""
        quad = np.asarray(quad, np.float32)
        area = max(cv2.contourArea(quad), 1.0)
        roi = self._roi(quad)
        if roi is None:
            return 0.0
        x0, y0, x1, y1 = roi
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [np.round((quad - (x0, y0)) * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
        # Rasterised area, so that thin quads are judged against what could be drawn at all.
        held = int(((self.owner[y0:y1, x0:x1] == owner) & (mask > 0)).sum())
        return min(1.0, held / max(area, 1.0))


def blend(view, layer, mask):
    """view = layer where mask is 255, in place; u8."""
    a = mask.astype(np.float32) * np.float32(1 / 255)
    view[:] = cv2.blendLinear(np.ascontiguousarray(layer), np.ascontiguousarray(view), a, 1 - a)


def noise_field(rng, h, w, cells, channels=1):
    """Smooth noise in -1..1, f32 [h, w] or [h, w, C]; `cells` across the width."""
    small = rng.standard_normal((max(2, int(cells * h / w) + 1), max(2, int(cells)), channels)).astype(np.float32)
    if cells < w / 8 and h > 64:  # two steps: cubic where it is cheap, then linear
        small = cv2.resize(small, (w // 4, h // 4), interpolation=cv2.INTER_CUBIC)
    return np.clip(cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR) * 0.5, -1, 1)


def box_of(pts, w, h):
    """xyxy bounding box of points, clipped to the picture; the share of the box inside it."""
    pts = np.asarray(pts, np.float32)
    x0, y0 = pts.min(0)
    x1, y1 = pts.max(0)
    full = max((x1 - x0) * (y1 - y0), 1e-3)
    c = (max(x0, 0), max(y0, 0), min(x1, w), min(y1, h))
    return c, max(0.0, c[2] - c[0]) * max(0.0, c[3] - c[1]) / full
