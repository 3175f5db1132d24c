"""Weights to ONNX in the layout of a YOLO11 export: images u8 [N, 3, H, W] -> output0 f32 [N, 6, anchors], 10710 of them for the 960x544 it is trained for."""
import argparse
import copy

import numpy as np
import onnx
import onnxruntime as ort
import torch
import torch.nn as nn

from .net import CLASSES, Conv, Detector, flatten, grid
from .opened import opened

H, W = 544, 960


class Exported(nn.Module):
    """Boxes as cx, cy, w, h in input px, scores after the sigmoid."""

    def __init__(self, net, h=H, w=W, shift=(0.0, 0.0)):
        super().__init__()
        self.net = net
        self.register_buffer("shift", torch.tensor(shift).reshape(1, 2, 1))
        centre, stride, base = grid(h, w)
        self.register_buffer("centre", centre.t()[None].contiguous())
        self.register_buffer("stride", stride[None, None].contiguous())
        self.register_buffer("base", base.t()[None].contiguous())

    def forward(self, images):
        raw = flatten(self.net(images.float()))
        xy = raw[:, :2] * self.stride + self.centre
        wh = torch.exp(raw[:, 2:4].clamp(-4, 3.5)) * self.base
        return torch.cat([xy, wh, torch.sigmoid(raw[:, 4:] + self.shift)], 1)


def _fuse(module):
    for name, child in module.named_children():
        if isinstance(child, Conv):
            setattr(module, name, child.fused())
        else:
            _fuse(child)


def logit_shift(score, wanted):
    """What to add to a logit so that `score` becomes `wanted`: the gate of `crop` (0.75) then stands where the held-out
    scenes show the best balance of plates found and false ones."""
    return float(np.log(wanted / (1 - wanted)) - np.log(score / (1 - score)))


def export(weights, path, trained_on, opset=17, plate_at=0.75):
    """Writes `path`; checks it against the network it came from. `plate_at`: raw plate score that is given out as 0.75."""
    shift = (0.0, logit_shift(plate_at, 0.75))
    net = Detector()
    net.load_state_dict(weights)
    net.eval()
    reference = Exported(copy.deepcopy(net), shift=shift).eval()
    _fuse(net)
    net.stem[0].weight.data *= net.scale  # no pass over the picture but the cast
    net.scale = 1.0
    model = Exported(net, shift=shift).eval()
    x = torch.randint(0, 255, (2, 3, H, W), dtype=torch.uint8)
    with torch.no_grad():
        torch.onnx.export(model, x[:1], path, opset_version=opset, input_names=["images"], output_names=["output0"], dynamic_axes={"images": {0: "batch"}, "output0": {0: "batch"}}, dynamo=False)
        want = reference(x).numpy()
    m = onnx.load(path)
    meta = {
        "names": str(dict(enumerate(CLASSES))),
        "imgsz": str([H, W]),
        "stride": "32",
        "task": "detect",
        "batch": "1",
        "description": "Gantry detector of vehicles and licence plates",
        "trained_on": trained_on,
        "license": "MIT OR Apache-2.0",
    }
    for k, v in meta.items():
        e = m.metadata_props.add()
        e.key, e.value = k, v
    onnx.save(opened(m), path)
    got = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"images": x.numpy()})[0]
    err = float(np.abs(got - want).max())
    if got.shape != want.shape or err > 0.05:
        raise RuntimeError(f"`{path}` differs from the network by {err}")
    return err


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("checkpoint")
    ap.add_argument("out")
    ap.add_argument("--plate-at", type=float, default=0.42, help="raw plate score that is given out as 0.75")
    a = ap.parse_args()
    ck = torch.load(a.checkpoint, map_location="cpu", weights_only=True)
    print("largest difference", export(ck["ema"], a.out, f"{ck['seen']} pictures drawn by models/recipe/scenes; no photographs", plate_at=a.plate_at))
