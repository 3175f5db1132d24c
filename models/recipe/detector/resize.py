"""The shipped detector for pictures of another size: the same weights, other anchors.

    python -m detector.resize ../detector.onnx 640 384 ../detector_640.onnx

The network is made of convolutions and takes any multiple of 32; only the size of the input and the tables of anchors are written
for one size. Boxes of plates that are too small at 960x544 may be found at a larger size, and a smaller one is faster."""
import argparse

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

# As in net.py, which needs torch.
STRIDES = (8, 16, 32)
BASE = ((24.0, 12.0), (72.0, 48.0), (200.0, 160.0))


def tables(height: int, width: int) -> dict[str, np.ndarray]:
    """Anchor centres and base sizes f32 [1, 2, A] and strides f32 [1, 1, A], in px of the input."""
    centre, stride, base = [], [], []
    for s, b in zip(STRIDES, BASE):
        y, x = np.mgrid[0 : height // s, 0 : width // s]
        centre.append((np.stack([x, y], -1).reshape(-1, 2) + 0.5) * s)
        stride.append(np.full((len(centre[-1]), 1), s))
        base.append(np.tile(b, (len(centre[-1]), 1)))
    whole = {"centre": centre, "stride": stride, "base": base}
    return {name: np.ascontiguousarray(np.concatenate(parts).T[None].astype(np.float32)) for name, parts in whole.items()}


def resize(source: str, width: int, height: int, path: str) -> None:
    if width % 32 or height % 32:
        raise SystemExit(f"{width}x{height}: both must be multiples of 32")
    model = onnx.load(source)
    new = tables(height, width)
    for tensor in model.graph.initializer:
        if tensor.name in new:
            tensor.CopyFrom(numpy_helper.from_array(new.pop(tensor.name), tensor.name))
    if new:
        raise SystemExit(f"{source}: no table {', '.join(new)}; is it an export of this recipe?")
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_value, dims[3].dim_value = height, width
    del model.graph.value_info[:]
    for entry in model.metadata_props:
        if entry.key == "imgsz":
            entry.value = str([height, width])
    onnx.checker.check_model(model)
    onnx.save(model, path)
    anchors = sum((height // s) * (width // s) for s in STRIDES)
    found = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"images": np.zeros((1, 3, height, width), np.uint8)})
    if found[0].shape != (1, 6, anchors):
        raise SystemExit(f"{path}: gives {found[0].shape}, wanted {(1, 6, anchors)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("width", type=int)
    parser.add_argument("height", type=int)
    parser.add_argument("out")
    args = parser.parse_args()
    resize(args.source, args.width, args.height, args.out)
