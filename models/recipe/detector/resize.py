"""The shipped detector for pictures of another size: the same weights, with that size as the one its pictures have.

    python -m detector.resize ../detector.onnx 640 384 ../detector_640.onnx

The shipped file takes any multiple of 32 (opened.py); here its height and width are fixed. Boxes of plates that are too small at 960x544 may be found at a
larger size, and a smaller one is faster."""
import argparse

import numpy as np
import onnx
import onnxruntime as ort

from .opened import STRIDES


def resize(source: str, width: int, height: int, path: str) -> None:
    if width % 32 or height % 32:
        raise SystemExit(f"{width}x{height}: both must be multiples of 32")
    model = onnx.load(source)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    if dims[2].dim_value or dims[3].dim_value:
        raise SystemExit(f"{source}: takes {dims[3].dim_value}x{dims[2].dim_value} only; `python -m detector.opened` opens it")
    dims[2].dim_value, dims[3].dim_value = height, width
    anchors = sum((height // s) * (width // s) for s in STRIDES)
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = anchors
    for entry in model.metadata_props:
        if entry.key == "imgsz":
            entry.value = str([height, width])
    onnx.checker.check_model(model)
    onnx.save(model, path)
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
