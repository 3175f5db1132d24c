"""Draws vehicles, shadows, plates and lamps into a frame (u8 BGR [H, W, 3])."""
import cv2
import numpy as np

from geometry import NEAR_M, clip_near, rotate, vehicle_to_world

SHIFT = 4


def _polygon(cam, world):
    """World polygon to pixels after the near cut, or None."""
    c = clip_near(cam.to_camera(world))
    if len(c) < 3:
        return None
    return cam.to_pixels(c)


def _box(px, w, h, pad=3):
    x0, y0 = np.floor(px.min(0)).astype(int) - pad
    x1, y1 = np.ceil(px.max(0)).astype(int) + pad
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, w), min(y1, h)
    return (x0, y0, x1, y1) if x1 - x0 > 1 and y1 - y0 > 1 else None


class Light:
    """Sun direction (towards the sun), sun and sky strength, sky colour BGR."""

    def __init__(self, sun_dir, sun, ambient, sky_bgr, tint=(1, 1, 1)):
        d = np.asarray(sun_dir, float)
        self.dir = d / np.linalg.norm(d)
        self.sun, self.ambient, self.sky = sun, ambient, np.asarray(sky_bgr, float)
        self.tint = np.asarray(tint, float)


def shade(base, normals, centres, eye, light, glass):
    """Lambert + sky light + a sky reflection that grows at grazing angles. Returns colours [Q, 3]."""
    view = eye - centres
    view /= np.maximum(np.linalg.norm(view, axis=1, keepdims=True), 1e-9)
    ndl = np.clip((normals * light.dir).sum(1), 0, 1)
    lum = light.ambient * (0.62 + 0.38 * normals[:, 2]) + light.sun * ndl
    ndv = np.clip((normals * view).sum(1), 0, 1)
    refl = 2 * ndv[:, None] * normals - view
    fres = 0.06 + 0.60 * (1 - ndv) ** 3
    gain = np.where(glass, 1.5, 0.55)
    sky = np.clip(refl[:, 2] * 0.9 + 0.25, 0.05, 1)[:, None] * light.sky
    half = light.dir + view
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    spec = np.clip((normals * half).sum(1), 0, 1) ** 40 * light.sun * 120
    k = np.clip(fres * gain, 0, .8)[:, None]
    return (base * lum[:, None] * (1 - k) + sky * k) * light.tint + spec[:, None]


def draw_shadow(frame, cam, veh, pos, heading, light, strength):
    """Ground shadow: hull pushed along the sun onto the road, plus a soft dark patch under the body."""
    h, w = frame.shape[:2]
    hull = vehicle_to_world(veh.hull, pos, heading)
    under = np.array([(x, y, 0.0) for x, y in ((veh.L / 2 - .1, veh.W / 2), (veh.L / 2 - .1, -veh.W / 2), (-veh.L / 2 + .1, -veh.W / 2), (-veh.L / 2 + .1, veh.W / 2))])
    layers = [(vehicle_to_world(under, pos, heading), 0.62, 9)]
    if light.sun > .15:
        cast = hull.copy()
        cast[:, :2] -= light.dir[:2] * (hull[:, 2] / max(light.dir[2], .2))[:, None]
        cast[:, 2] = 0
        flat = cv2.convexHull(cast[:, :2].astype(np.float32)).reshape(-1, 2)
        layers.insert(0, (np.concatenate([flat, np.zeros((len(flat), 1))], axis=1), strength, 3))
    for poly, dark, soft in layers:
        px = _polygon(cam, poly)
        if px is None:
            continue
        sigma = max(soft * min(np.ptp(px[:, 0]), 1600) / 1200.0, .7)
        box = _box(px, w, h, pad=int(13 * sigma) + 4)
        if box is None:
            continue
        x0, y0, x1, y1 = box
        q = 4
        mw, mh = (x1 - x0) // q + 1, (y1 - y0) // q + 1
        mask = np.zeros((mh, mw), np.uint8)
        cv2.fillPoly(mask, [np.round((px - [x0, y0]) / q * 16).astype(np.int32)], int(dark * 255), cv2.LINE_AA, SHIFT)
        mask = cv2.GaussianBlur(mask, (0, 0), sigma)
        mask = 255 - cv2.resize(mask, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
        frame[y0:y1, x0:x1] = cv2.multiply(frame[y0:y1, x0:x1], cv2.merge([mask] * 3), scale=1 / 255.0)


def _text_quad(canvas, quad, text, colour):
    """Lettering on a van side: drawn flat, then warped onto `quad` (pixels of the canvas, text order)."""
    (tw, th), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, 3, 7)
    flat = np.zeros((th + base + 10, tw + 10), np.uint8)
    cv2.putText(flat, text, (5, th + 4), cv2.FONT_HERSHEY_DUPLEX, 3, 255, 7, cv2.LINE_AA)
    src = np.float32([[0, 0], [flat.shape[1], 0], [flat.shape[1], flat.shape[0]], [0, flat.shape[0]]])
    quad = np.float32(quad)
    box = _box(quad, canvas.shape[1], canvas.shape[0], pad=1)
    if box is None:
        return
    x0, y0, x1, y1 = box
    m = cv2.getPerspectiveTransform(src, quad - np.float32([x0, y0]))
    a = cv2.warpPerspective(flat, m, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    blend(canvas, np.full((y1 - y0, x1 - x0, 3), np.clip(colour, 0, 255).astype(np.uint8)), a, box)


def body_polygons(cam, veh, pos, heading, light, lamps_on):
    """Every visible polygon of the vehicle, far to near: (pixels [N, 2], colour BGR)."""
    eye = cam.pos
    quads = vehicle_to_world(veh.quads.reshape(-1, 3), pos, heading).reshape(-1, 4, 3)
    normals = rotate(veh.normals, heading)
    centres = quads.mean(axis=1)
    colours = shade(veh.colours, normals, centres, eye, light, veh.is_glass)
    facing = ((eye - centres) * normals).sum(1) > 0
    depth = cam.to_camera(centres)[:, 2]
    out = []
    fwd = rotate(np.array([[1.0, 0, 0]]), heading)[0]
    left = rotate(np.array([[0.0, 1, 0]]), heading)[0]
    rel = eye - np.array([pos[0], pos[1], .6])
    side = 1 if rel @ left > 0 else -1
    front_seen, rear_seen = rel @ fwd > veh.L / 2, rel @ fwd < -veh.L / 2

    def add(local, colour):
        px = _polygon(cam, vehicle_to_world(np.asarray(local, float), pos, heading))
        if px is not None:
            out.append((px, colour))

    dark = np.array([22.0, 22, 22]) * (light.ambient + .15)
    for ax in veh.axles:  # tyres seen under the body from front or rear
        for s in (-1, 1):
            x = ax + (veh.wheel * .9 if front_seen else -veh.wheel * .9)
            y0, y1 = s * (veh.W / 2 - .02), s * (veh.W / 2 - .24)
            add([(x, y0, veh.wheel * 1.1), (x, y1, veh.wheel * 1.1), (x, y1, .02), (x, y0, .02)], dark)
    x = 0
    add([(x, -veh.W * .44, .34), (x, veh.W * .44, .34), (x, veh.W * .44, .16), (x, -veh.W * .44, .16)], dark * .6)
    order = [i for i in np.argsort(-depth) if facing[i]]
    cam_pts = cam.to_camera(quads[order].reshape(-1, 3))
    if len(cam_pts) and cam_pts[:, 2].min() > NEAR_M:
        out.extend(zip(cam.to_pixels(cam_pts).reshape(-1, 4, 2), colours[order]))
    else:
        for i, c in zip(order, cam_pts.reshape(-1, 4, 3)):
            c = clip_near(c)
            if len(c) >= 3:
                out.append((cam.to_pixels(c), colours[i]))
    if abs(rel @ left) > veh.W / 2:
        for ax in veh.axles:
            add(veh.wheel_ring(ax, side, veh.wheel * 1.16, -.004), dark * .8)
            add(veh.wheel_ring(ax, side, veh.wheel, -.008), dark * 1.3)
            add(veh.wheel_ring(ax, side, veh.wheel * .64, -.012), np.array([150.0, 150, 152]) * (light.ambient + .1))
            add(veh.wheel_ring(ax, side, veh.wheel * .2, -.016), dark * 2)
    for end, seen, cap, nx in (("front", front_seen, veh.front_cap, 1.0), ("rear", rear_seen, veh.rear_cap, -1.0)):
        if not seen:
            continue
        n = rotate(np.array([[nx, 0, .08]]), heading)
        wcap = vehicle_to_world(cap, pos, heading)
        base = veh.box if veh.kind == "truck" and end == "rear" else veh.paint
        add(cap, shade(base[None], n, wcap.mean(0)[None], eye, light, np.array([False]))[0])
        for e, poly, colour, lamp in veh.decals:
            if e != end:
                continue
            col = shade(colour[None], n, wcap.mean(0)[None], eye, light, np.array([False]))[0]
            if lamps_on and lamp:
                col = np.array([250.0, 252, 255]) if lamp == "head" else np.array([60.0, 40, 235])
            add(poly, col)
    return out, side


def draw_body(frame, cam, veh, pos, heading, light, lamps_on, blur_px):
    """Paints the body. Returns (alpha u8 of the box, box xyxy) or None when out of the picture."""
    h, w = frame.shape[:2]
    hull, depth = cam.project(vehicle_to_world(veh.hull, pos, heading))
    if depth.max() < NEAR_M or (depth.min() > NEAR_M and _box(hull, w, h) is None):
        return None
    polys, side = body_polygons(cam, veh, pos, heading, light, lamps_on)
    if not polys:
        return None
    allpx = np.concatenate([p for p, _ in polys])
    box = _box(allpx, w, h, pad=4 + int(max(abs(blur_px[0]), abs(blur_px[1])) / 2))
    if box is None:
        return None
    x0, y0, x1, y1 = box
    ss = 2 if (x1 - x0) * (y1 - y0) < 350_000 else 1
    canvas = cv2.resize(frame[y0:y1, x0:x1], None, fx=ss, fy=ss, interpolation=cv2.INTER_LINEAR) if ss > 1 else frame[y0:y1, x0:x1].copy()
    mask = np.zeros(canvas.shape[:2], np.uint8)
    flat = np.round((np.clip(allpx, -4000, 8000) - [x0, y0]) * ss * 16).astype(np.int32)
    colours = np.clip([c for _, c in polys], 0, 255).tolist()
    at = 0
    for (px, _), colour in zip(polys, colours):
        pts = flat[at:at + len(px)]
        at += len(px)
        cv2.fillConvexPoly(canvas, pts, colour, cv2.LINE_8, SHIFT)
        cv2.fillConvexPoly(mask, pts, 255, cv2.LINE_8, SHIFT)
    if veh.signage:
        l, y = veh.L, veh.W / 2 * 1.0 + .01
        z0, z1 = (1.35, 1.75) if veh.kind == "van" else (1.7, 2.4)
        a, b = (-l * .42, l * .02) if side < 0 else (l * .02, -l * .42)
        rect = vehicle_to_world(np.array([(a, side * y, z1), (b, side * y, z1), (b, side * y, z0), (a, side * y, z0)]), pos, heading)
        c = cam.to_camera(rect)
        rel = cam.pos[:2] - np.asarray(pos)
        lat = abs(-np.sin(heading) * rel[0] + np.cos(heading) * rel[1])
        if c[:, 2].min() > 1.0 and lat > veh.W / 2 + .3:
            ink = (60, 50, 40) if (veh.box if veh.kind == "truck" else veh.paint).mean() > 120 else (215, 215, 215)
            _text_quad(canvas, (cam.to_pixels(c) - [x0, y0]) * ss, veh.signage, [v * min(1, light.ambient + light.sun * .3) for v in ink])
    if ss > 1:
        size = (x1 - x0, y1 - y0)
        canvas, mask = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA), cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    else:
        canvas, mask = cv2.GaussianBlur(canvas, (3, 3), 0), cv2.GaussianBlur(mask, (3, 3), 0)
    kernel = motion_kernel(blur_px)
    if kernel is not None:
        canvas, mask = cv2.filter2D(canvas, -1, kernel), cv2.filter2D(mask, -1, kernel)
    blend(frame, canvas, mask, box)
    return mask, box


def blend(frame, canvas, mask, box):
    x0, y0, x1, y1 = box
    dst = frame[y0:y1, x0:x1]
    m = cv2.merge([mask] * 3)
    front = cv2.multiply(canvas, m, scale=1 / 255.0)
    back = cv2.multiply(dst, 255 - m, scale=1 / 255.0)
    frame[y0:y1, x0:x1] = cv2.add(front, back)


def motion_kernel(blur_px):
    """A line kernel as long as the movement during the exposure; None below 0.7 px."""
    dx, dy = blur_px
    length = float(np.hypot(dx, dy))
    if length < .7:
        return None
    n = int(np.ceil(length)) | 1
    n = min(n + 2, 41)
    k = np.zeros((n, n), np.float32)
    c = n // 2
    cv2.line(k, (int(round((c - dx / 2) * 16)), int(round((c - dy / 2) * 16))), (int(round((c + dx / 2) * 16)), int(round((c + dy / 2) * 16))), 1.0, 1, cv2.LINE_AA, SHIFT)
    return k / max(k.sum(), 1e-6)


def draw_plate(frame, cam, veh, corners_px, gain, tint, blur_px, soft):
    """Warps the plate picture onto its corners, three times finer than the frame, then averages down."""
    h, w = frame.shape[:2]
    box = _box(corners_px, w, h, pad=4 + int(max(abs(blur_px[0]), abs(blur_px[1])) / 2))
    if box is None:
        return
    x0, y0, x1, y1 = box
    ss = 3
    width = np.linalg.norm(corners_px[1] - corners_px[0])
    tex = veh.plate.rgb[:, :, ::-1]
    k = min(1.0, max(width * ss * 1.1 / tex.shape[1], .04))
    tex = cv2.resize(tex, (max(int(tex.shape[1] * k), 4), max(int(tex.shape[0] * k), 2)), interpolation=cv2.INTER_AREA)
    tex = np.clip(tex * (np.asarray(tint, np.float32) * gain), 0, 255).astype(np.uint8)
    th, tw = tex.shape[:2]
    m = cv2.getPerspectiveTransform(np.float32([[0, 0], [tw, 0], [tw, th], [0, th]]), np.float32((corners_px - [x0, y0]) * ss))
    size = ((x1 - x0) * ss, (y1 - y0) * ss)
    big = cv2.warpPerspective(tex, m, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpPerspective(np.full((th, tw), 255, np.uint8), m, size, flags=cv2.INTER_LINEAR)
    size = (x1 - x0, y1 - y0)
    big, mask = cv2.resize(big, size, interpolation=cv2.INTER_AREA), cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    # Blurring is done on the picture with the plate in it, so edges mix with the car.
    kernel = motion_kernel(blur_px)
    blend(frame, big, mask, box)
    if kernel is not None or soft > .3:
        roi = frame[y0:y1, x0:x1]
        if kernel is not None:
            roi = cv2.filter2D(roi, -1, kernel, borderType=cv2.BORDER_REPLICATE)
        if soft > .3:
            roi = cv2.GaussianBlur(roi, (0, 0), soft)
        frame[y0:y1, x0:x1] = roi


_GLOW = None


def glow(frame, centre, radius, bgr):
    """Adds a lamp glow (bright core, wide halo) of `radius` pixels."""
    global _GLOW
    if _GLOW is None:
        y, x = np.mgrid[-1:1:256j, -1:1:256j]
        r = np.sqrt(x * x + y * y)
        _GLOW = (np.exp(-(r / .07) ** 2) + .55 * np.exp(-(r / .22) ** 2) + .16 * np.exp(-(r / .5) ** 2)) * np.clip(1 - r, 0, 1)
        _GLOW = (_GLOW / _GLOW.max()).astype(np.float32)
    h, w = frame.shape[:2]
    r = int(min(max(radius, 3), 420))
    cx, cy = int(round(centre[0])), int(round(centre[1]))
    x0, y0, x1, y1 = max(cx - r, 0), max(cy - r, 0), min(cx + r, w), min(cy + r, h)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    g = cv2.resize(_GLOW, (2 * r, 2 * r), interpolation=cv2.INTER_LINEAR)[y0 - cy + r:y1 - cy + r, x0 - cx + r:x1 - cx + r]
    frame[y0:y1, x0:x1] = cv2.add(frame[y0:y1, x0:x1], (g[:, :, None] * np.float32(bgr)).astype(np.uint8))


def beam(frame, cam, pos, heading, bgr, reach_m=11.0):
    """Headlight pool on the road ahead of the vehicle, added at a quarter of the resolution."""
    h, w = frame.shape[:2]
    a = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    local = np.stack([reach_m * .62 + np.cos(a) * reach_m * .5, np.sin(a) * 2.2, np.full(28, .01)], axis=1)
    px = _polygon(cam, vehicle_to_world(local, pos, heading))
    if px is None:
        return
    q = 8
    sigma = float(np.clip(min(np.ptp(px[:, 0]), np.ptp(px[:, 1])) / q * .14, 1, 12))
    box = _box(px, w, h, pad=int(sigma * 3.2 * q) + q)
    if box is None:
        return
    x0, y0, x1, y1 = box
    m = np.zeros(((y1 - y0) // q + 1, (x1 - x0) // q + 1), np.uint8)
    cv2.fillPoly(m, [np.round((px - [x0, y0]) / q * 16).astype(np.int32)], 255, cv2.LINE_AA, SHIFT)
    m = cv2.GaussianBlur(m, (0, 0), sigma)
    m = cv2.resize(m, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    lit = cv2.merge([cv2.convertScaleAbs(m, alpha=c / 255.0) for c in bgr])
    frame[y0:y1, x0:x1] = cv2.add(frame[y0:y1, x0:x1], lit)
