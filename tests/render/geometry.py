"""Pinhole camera over a ground plane, and vehicle paths.

World: X right, Y away from the camera along the road, Z up, metres. Pixels: origin top left, x right, y down.
"""
import math

import numpy as np

NEAR_M = 0.6


class Camera:
    """A fixed camera at `pos` (X, Y, Z), turned right by `yaw_deg`, tilted down by `pitch_deg`, focal length in pixels."""

    def __init__(self, pos, yaw_deg, pitch_deg, focal_px, size=(1920, 1080)):
        self.pos = np.asarray(pos, np.float64)
        self.f = float(focal_px)
        self.w, self.h = size
        self.cx, self.cy = self.w / 2.0, self.h / 2.0
        yaw, pitch = math.radians(yaw_deg), math.radians(pitch_deg)
        fwd = np.array([math.sin(yaw) * math.cos(pitch), math.cos(yaw) * math.cos(pitch), -math.sin(pitch)])
        right = np.array([math.cos(yaw), -math.sin(yaw), 0.0])
        down = np.cross(fwd, right)
        self.rot = np.stack([right, down, fwd])

    def to_camera(self, pts):
        """World [N, 3] to camera axes [N, 3] (right, down, depth)."""
        return (np.asarray(pts, np.float64) - self.pos) @ self.rot.T

    def to_pixels(self, cam_pts):
        """Camera axes [N, 3] to pixels [N, 2]; depth must be positive."""
        z = np.maximum(cam_pts[:, 2:3], 1e-6)
        return cam_pts[:, :2] / z * self.f + np.array([self.cx, self.cy])

    def project(self, pts):
        c = self.to_camera(pts)
        return self.to_pixels(c), c[:, 2]

    def ground_grid(self, scale):
        """Ground coordinates seen by each pixel of the picture enlarged `scale` times: X, Y, depth, below-horizon mask."""
        w, h = int(self.w * scale), int(self.h * scale)
        u = ((np.arange(w, dtype=np.float32) + 0.5) / scale - self.cx) / self.f
        v = ((np.arange(h, dtype=np.float32) + 0.5) / scale - self.cy) / self.f
        r = self.rot.astype(np.float32)
        dx = r[0, 0] * u[None, :] + (r[1, 0] * v + r[2, 0])[:, None]
        dy = r[0, 1] * u[None, :] + (r[1, 1] * v + r[2, 1])[:, None]
        dz = r[0, 2] * u[None, :] + (r[1, 2] * v + r[2, 2])[:, None]
        below = dz < -1e-4
        t = np.where(below, -self.pos[2] / np.where(below, dz, -1.0), 1e6).astype(np.float32)
        t = np.minimum(t, 5000.0)
        return dx * t + np.float32(self.pos[0]), dy * t + np.float32(self.pos[1]), t, below


def clip_near(poly, near=NEAR_M):
    """Cuts a camera-space polygon [N, 3] at depth `near`; may return an empty array."""
    inside = poly[:, 2] > near
    if inside.all():
        return poly
    if not inside.any():
        return poly[:0]
    out = []
    n = len(poly)
    for i in range(n):
        a, b = poly[i], poly[(i + 1) % n]
        ia, ib = inside[i], inside[(i + 1) % n]
        if ia:
            out.append(a)
        if ia != ib:
            t = (near - a[2]) / (b[2] - a[2])
            out.append(a + (b - a) * t)
    return np.array(out)


class Path:
    """A smooth curve on the ground through control points, walked by arc length; it goes on straight at both ends."""

    def __init__(self, points):
        p = np.asarray(points, np.float64)
        if len(p) == 2:
            curve = p[0] + (p[1] - p[0]) * np.linspace(0, 1, 50)[:, None]
        else:
            t = np.linspace(0, 1, 400)[:, None]
            if len(p) == 3:
                curve = (1 - t) ** 2 * p[0] + 2 * t * (1 - t) * p[1] + t**2 * p[2]
            else:
                curve = (1 - t) ** 3 * p[0] + 3 * t * (1 - t) ** 2 * p[1] + 3 * t**2 * (1 - t) * p[2] + t**3 * p[3]
        self.curve = curve
        self.s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
        self.length = float(self.s[-1])

    def at(self, s):
        """Position (X, Y) and heading in radians at arc length `s`."""
        c = self.curve
        if s <= 0:
            d = c[1] - c[0]
            d /= np.linalg.norm(d)
            p = c[0] + d * s
        elif s >= self.length:
            d = c[-1] - c[-2]
            d /= np.linalg.norm(d)
            p = c[-1] + d * (s - self.length)
        else:
            i = min(int(np.searchsorted(self.s, s)) or 1, len(c) - 1)
            seg = max(self.s[i] - self.s[i - 1], 1e-9)
            k = (s - self.s[i - 1]) / seg
            p = c[i - 1] + (c[i] - c[i - 1]) * k
            lo, hi = max(i - 4, 1), min(i + 4, len(c) - 1)
            d = c[hi] - c[lo - 1]
        return p, math.atan2(d[1], d[0])


def vehicle_to_world(local, pos, heading):
    """Vehicle axes [N, 3] (x forward, y left, z up, origin on the ground mid-vehicle) to world."""
    c, s = math.cos(heading), math.sin(heading)
    out = np.empty_like(local, dtype=np.float64)
    out[:, 0] = pos[0] + local[:, 0] * c - local[:, 1] * s
    out[:, 1] = pos[1] + local[:, 0] * s + local[:, 1] * c
    out[:, 2] = local[:, 2]
    return out


def rotate(vectors, heading):
    c, s = math.cos(heading), math.sin(heading)
    out = np.array(vectors, np.float64)
    x, y = out[:, 0].copy(), out[:, 1].copy()
    out[:, 0], out[:, 1] = x * c - y * s, x * s + y * c
    return out
