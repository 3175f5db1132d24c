"""What each clip shows: camera, traffic, light, encoder settings. Everything follows from a name and a seed."""
import dataclasses
import zlib

import numpy as np

from geometry import Camera, Path
from plates import Plate
from vehicles import Vehicle

FPS = 30.0
LIGHTS = {
    "day": dict(sun=.62, ambient=.62, sky=(225, 205, 190), sky_top=(206, 160, 112), haze=(226, 216, 206), cloud_bgr=(242, 240, 238), level=1.0, tint=(1, 1, 1), noise=1.2, soft=.45,
                shutter=.035),
    "dusk": dict(sun=.05, ambient=.62, sky=(150, 130, 140), sky_top=(120, 88, 70), haze=(140, 140, 190), cloud_bgr=(120, 120, 170), level=.58, tint=(1.10, .98, .96), noise=4.0, soft=.7,
                 shutter=.06),
    "night": dict(sun=.0, ambient=.34, sky=(40, 34, 34), sky_top=(26, 18, 16), haze=(36, 32, 34), cloud_bgr=(30, 28, 30), level=.26, tint=(.90, 1.0, 1.08), noise=6.0, soft=.6,
                  shutter=.05),
}


@dataclasses.dataclass
class Pass:
    """One vehicle on its way: s(t) = s0 + integral of speed."""

    vehicle: Vehicle
    path: Path
    s0: float
    speed: float
    profile: np.ndarray | None = None  # metres gone at each frame, replaces speed

    def pose(self, frame):
        gone = self.profile[min(frame, len(self.profile) - 1)] if self.profile is not None else self.speed * frame / FPS
        return self.path.at(self.s0 + gone)


@dataclasses.dataclass
class Clip:
    name: str
    condition: str
    camera: Camera
    passes: list
    scenery: dict
    frames: int
    crf: int
    seed: int
    osd: str = ""
    preset: str = "medium"
    sun_dir: tuple = (0.5, -0.4, 0.8)
    bframes: int = 2
    extra_noise: float = 1.0
    backdrop_scale: float = 2.0
    shutter: float | None = None  # share of the frame time the shutter is open, in place of the light's own


def _kind(rng):
    return str(rng.choice(["sedan", "hatch", "suv", "van", "truck"], p=[.31, .27, .22, .14, .06]))


def _scenery(kind, condition, rng, **over):
    light = LIGHTS[condition]
    spec = dict(kind=kind, condition=condition, sky_top=light["sky_top"], haze=light["haze"], cloud_bgr=light["cloud_bgr"], asphalt=float(rng.uniform(82, 118)),
                verge=[(52, 96, 84), (60, 104, 104), (84, 116, 128)][int(rng.integers(3))])
    spec.update(over)
    return spec


def _street_things(rng, x_left, x_right, near=14.0, far=150.0, houses=.5):
    out = []
    for side, x0 in ((-1, x_left), (1, x_right)):
        y = near + rng.uniform(0, 8)
        while y < far:
            r = rng.random()
            if r < houses:
                w, d, h = rng.uniform(7, 13), rng.uniform(7, 12), float(rng.choice([3.4, 6.0, 8.8]))
                x = x0 + rng.uniform(3, 7) if side > 0 else x0 - rng.uniform(3, 7) - w
                out.append(("house", x, y, w, d, h))
                y += d + rng.uniform(1, 6)
            else:
                out.append(("tree", x0 + side * rng.uniform(1.6, 6), y, rng.uniform(4, 9)))
                y += rng.uniform(3, 8)
    for _ in range(3):
        side = rng.choice([-1, 1])
        out.append(("sign", (x_right + .9) if side > 0 else (x_left - .9), rng.uniform(near + 6, near + 45), rng.uniform(1.9, 2.6), rng.uniform(.8, 1.6), rng.uniform(.35, .6)))
    for k in range(5):
        out.append(("pole", x_left - 1.2, near + 4 + 24 * k, 7.5))
    return out


def road(name, condition, seed, crf, seconds, target_px, lanes=None, f=None, rows=None, gap_s=(1.3, 2.4), max_chars=9, **over):
    """Two or three straight lanes seen from a mast or a bridge, some towards the camera, some away."""
    rng = np.random.default_rng(seed)
    n = lanes or int(rng.integers(2, 4))
    f = f or float(rng.uniform(1900, 3200))
    half = np.degrees(np.arctan(540 / f))
    pitch = half + rng.uniform(-1.0, 2.5)
    cam_h = .55 + .52 * f * np.tan(np.radians(pitch + half)) / target_px
    width = 3.5
    left = -width * n / 2 + rng.uniform(-.8, .8)
    yaw = rng.uniform(-4, 4)
    y_mid = cam_h / np.tan(np.radians(pitch))
    cam = Camera((-np.tan(np.radians(yaw)) * y_mid * .8, 0, cam_h), yaw, pitch, f)
    frames = int(seconds * FPS)
    y_near = (cam_h - .5) / np.tan(np.radians(pitch + half))
    y_far = min(f * .52 / 22.0, 130.0)
    passes = []
    towards_mask = [bool(rng.random() < .6) for _ in range(n)]
    if all(towards_mask) and n > 2:
        towards_mask[0] = False
    if not any(towards_mask):
        towards_mask[-1] = True
    for lane in range(n):
        x = left + width * (lane + .5)
        towards = towards_mask[lane]
        path = Path([(x, y_far + 60), (x, y_near - 30)] if towards else [(x, y_near - 30), (x, y_far + 60)])
        # Speed such that a pass from 45 px wide to the edge takes 1.2 to 2.6 s.
        span = max(f * .52 / 45.0 - y_near, 4.0)
        speed = float(np.clip(span / rng.uniform(1.3, 2.6), 5.0, 19.0))
        at_edge = path.length - 30 if towards else 30.0
        t = rng.uniform(.3, 1.4) if towards else rng.uniform(.1, 1.0)
        while t < seconds - (.5 if towards else 1.3):
            v = Vehicle(rng, _kind(rng), Plate(rng, rows=rows, max_chars=max_chars if target_px > 85 else min(max_chars, 8)), towards)
            p = path if rng.random() < .5 else Path([(a + d, b) for (a, b), d in zip(((path.curve[0]), (path.curve[-1])), np.full(2, rng.uniform(-.35, .35)))])
            passes.append(Pass(v, p, at_edge - speed * t, speed))
            t += max(rng.uniform(*gap_s), (v.L + 6.0) / speed)
    dashes = [left + width * k for k in range(1, n)]
    spec = _scenery("road", condition, rng, edges=(left - .4, left + width * n + .4), dashes=dashes,
                    things=_street_things(rng, left - 2.5, left + width * n + 3.2, near=y_near + 10) + [("rail", left - 1.4, y_near + 1, left - 1.4, 160.0)])
    return Clip(name, condition, cam, passes, spec, frames, crf, seed, **over)


def gate(name, condition, seed, crf, seconds, target_px, rows=None, stops=True, max_chars=9, **over):
    """One lane past a kiosk, cars slow or stopping, the camera on a post beside the lane."""
    rng = np.random.default_rng(seed)
    f = float(rng.uniform(1500, 2100))
    half = np.degrees(np.arctan(540 / f))
    cam_h = float(rng.uniform(1.9, 2.9))
    pitch = float(np.clip(np.degrees(np.arctan((cam_h - .55) * target_px / (.52 * f))) - half, -8, 14))
    side = rng.choice([-1, 1])
    off = side * rng.uniform(2.0, 2.6)
    y_edge = .52 * f / target_px
    yaw = -np.degrees(np.arctan(off / (y_edge * 1.9)))
    cam = Camera((off, 0, cam_h), yaw, pitch, f)
    frames = int(seconds * FPS)
    towards = bool(rng.random() < .75)
    speed = float(rng.uniform(3.6, 4.6))
    v = np.full(frames, speed)
    if stops:  # the whole queue brakes, waits, and goes on
        at = int(frames * rng.uniform(.25, .4))
        ramp = 16
        v[at:at + ramp] = np.linspace(speed, 0, ramp)
        v[at + ramp:at + ramp + 22] = 0
        v[at + ramp + 22:at + 2 * ramp + 30] = np.linspace(0, speed, ramp + 8)
    gone = np.concatenate([[0], np.cumsum(v) / FPS])
    path = Path([(0, y_edge + 70), (0, y_edge - 30)] if towards else [(0, y_edge - 30), (0, y_edge + 70)])
    edge = 70.0 if towards else 30.0
    passes, s = [], edge - (rng.uniform(2, 4) if towards else -1.0)
    while gone[-1] + s > edge + (.5 if towards else 4.0):
        veh = Vehicle(rng, str(rng.choice(["sedan", "hatch", "suv", "van"], p=[.35, .3, .25, .1])), Plate(rng, rows=rows, max_chars=max_chars), towards)
        passes.append(Pass(veh, path, s - veh.L / 2, speed, gone))
        s -= veh.L + rng.uniform(2.6, 4.2)
    island = 2.4 * (-side)
    things = [("kiosk", island + (0 if island > 0 else -2.0), y_edge + 9), ("barrier", island * .86, y_edge + 6.5), ("sign", island * 1.3, y_edge + 16, 2.1, 1.2, .4)]
    things += _street_things(rng, -5.0, 5.0, near=y_edge + 14, far=90)
    spec = _scenery("gate", condition, rng, edges=(-1.9, 1.9), things=things, stops=[y_edge + 5.0])
    return Clip(name, condition, cam, passes, spec, frames, crf, seed, **over)


def carpark(name, condition, seed, crf, seconds, target_px, rows=None, cars=4, max_chars=9, **over):
    """A car park seen from a lamp post: cars cross the picture on curves, one stands in a bay."""
    rng = np.random.default_rng(seed)
    f = float(rng.uniform(1500, 2000))
    cam_h = float(rng.uniform(3.2, 4.6))
    dist = .52 * f / target_px
    pitch = float(np.degrees(np.arctan(cam_h / (dist * 1.45))))
    cam = Camera((0, 0, cam_h), 0, pitch, f)
    frames = int(seconds * FPS)
    reach = dist / f * 960
    passes, t, first = [], 0.0, int(rng.integers(2))
    for k in range(cars):
        sgn = 1 if first else -1
        if k % 3 == 2:  # drives away in a curve: the rear plate is read
            pts = [(sgn * reach * .1, dist * .6), (sgn * reach * .12, dist * 2.0), (sgn * reach * 2.7, dist * 2.3)]
            towards = False
        else:  # comes in from the side, crosses the picture and turns towards the camera
            pts = [(-sgn * reach * 2.7, dist * 2.25), (sgn * reach * .35, dist * 2.15), (sgn * reach * .38, dist * .8)]
            towards = True
        path = Path([np.array(p) for p in pts])
        speed = float(rng.uniform(4.2, 5.6))
        veh = Vehicle(rng, str(rng.choice(["sedan", "hatch", "suv"])), Plate(rng, rows=rows, max_chars=max_chars), towards)
        t0 = -.40 * path.length / speed if k == 0 else t
        passes.append(Pass(veh, path, -speed * t0, speed))
        t = t0 + path.length / speed * (1.0 if k % 3 == 1 else .75 if towards else .5)
    parked = Vehicle(rng, "hatch", Plate(rng, rows=rows, max_chars=7, layout="long" if rows != 2 else "two"), True)
    px, py = (-1 if first else 1) * reach * float(rng.uniform(.70, .85)), dist * float(rng.uniform(1.18, 1.28))
    head = np.array([0.0 - px, -py])
    head = head / np.linalg.norm(head) * .4 + np.array([0, -1.0])
    stand = np.zeros(frames + 1)
    passes.append(Pass(parked, Path([(px - head[0], py - head[1]), (px + head[0], py + head[1])]), 1.0, 0.0, stand))
    spec = _scenery("carpark", condition, rng, edges=(-40, 40, -5, dist * 3.2), bays=[(dist * 1.1, 5.0), (dist * 2.5, 5.0)],
                    things=_street_things(rng, -reach * 2.2, reach * 2.2, near=dist * 3.3, far=dist * 5) + [("house", -14, dist * 3.5, 26, 9, 6.0), ("pole", reach * 1.2, dist * 2.2, 7),
                                                                                                    ("sign", -reach * .9, dist * 2.3, 2.2, 1.3, .45)])
    return Clip(name, condition, cam, passes, spec, frames, crf, seed, **over)


def shipped():
    return [
        gate("gate_day", "day", 8101, 25, 8, 190, rows=1, osd="CAM 1 NORTH GATE", preset="medium", sun_dir=(.5, -.5, .75)),
        road("road_day", "day", 8202, 26, 8, 112, lanes=3, f=2500, rows=1, preset="medium", sun_dir=(-.6, -.4, .7)),
        carpark("carpark_dusk", "dusk", 8303, 29, 9, 120, cars=4, osd="P2 LEVEL 0", preset="medium", shutter=.10),
        road("road_night", "night", 8404, 30, 5, 130, lanes=2, f=2300, preset="veryfast", backdrop_scale=1.0),
        road("two_row_day", "day", 8505, 26, 4, 190, lanes=2, f=2000, rows=2, preset="veryfast", backdrop_scale=1.0, sun_dir=(.6, -.3, .7)),
    ]


def accuracy(seed):
    """Bigger held-out set: twelve clips by day at CRF 18 to 28, three at dusk and three at night at CRF 30, mixed in order."""
    rng = np.random.default_rng(seed)
    out = []
    plan = [("day", road, 105, 23), ("day", road, 128, 20), ("night", road, 140, 30), ("day", gate, 200, 24), ("dusk", road, 130, 30), ("day", road, 150, 28), ("day", carpark, 125, 22),
            ("day", road, 180, 18), ("night", road, 170, 30), ("day", road, 80, 26), ("dusk", gate, 180, 30), ("day", road, 160, 24), ("day", gate, 290, 28), ("day", road, 120, 28),
            ("night", gate, 190, 30), ("day", road, 220, 22), ("dusk", carpark, 140, 30), ("day", carpark, 150, 26)]
    for i, (condition, maker, target, crf) in enumerate(plan):
        name = f"s{seed}_{i:02d}_{condition}_{maker.__name__}_crf{crf}"
        over = dict(preset="veryfast", backdrop_scale=1.0, bframes=int(rng.integers(0, 3)), max_chars=10 if target > 120 else 8 if target > 90 else 7)
        if condition == "day":
            over.update(sun_dir=(float(rng.uniform(-.8, .8)), float(rng.uniform(-.8, .2)), float(rng.uniform(.4, .9))), osd="CAM 7" if i % 3 == 0 else "")
        else:
            over.update(extra_noise=float(rng.uniform(.8, 1.4)))
        seconds = 8 if maker is carpark else 6 if maker is gate else 5
        out.append(maker(name, condition, seed * 1000 + 17 + zlib.crc32(name.encode()) % 900, crf, seconds, target, **over))
    return out
