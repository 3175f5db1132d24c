"""The exported detector for pictures of any size: its tables of anchors are computed from the size of the feature maps.

    python -m detector.opened ../detector.onnx ../detector.onnx

The network is made of convolutions and takes any multiple of 32; torch writes the tables for one size. In the result height and width are open and
`imgsz` says which size it was trained for. Where a program fixes them, ONNX Runtime folds the tables into constants when it loads the model, so that
a picture of that size costs what it did, bit for bit."""
import argparse
import os

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

# As in net.py, which needs torch.
STRIDES = (8, 16, 32)
BASE = ((24.0, 12.0), (72.0, 48.0), (200.0, 160.0))
TABLES = ("centre", "stride", "base")


class _Nodes:
    """Nodes and constants that are added, by names that the export does not have."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name: str, value) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, kind: str, inputs: list[str], name: str, **attributes) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name


def _of_stride(graph: _Nodes, stride: int, base: tuple[float, float]) -> dict[str, str]:
    """Centres f32 [1, 2, h * w] in px of the input, strides f32 [1, 1, h * w] and base sizes f32 [1, 2, h * w] of one feature map."""
    at = f"anchors{stride}."
    shape = graph.add("Shape", [f"/net/h{stride}/Conv_output_0"], at + "shape")
    size = {
        "y": graph.add("Slice", [shape, "anchors.2", "anchors.3"], at + "height"),
        "x": graph.add("Slice", [shape, "anchors.3", "anchors.4"], at + "width"),
    }
    ones = graph.constant(at + "ones", np.array([1, 1], np.int64))
    whole = graph.add("Concat", [ones, size["y"], size["x"]], at + "whole", axis=0)
    step = graph.constant(at + "step", np.array(stride, np.float32))
    for axis, shaped in (("x", "anchors.row"), ("y", "anchors.column")):
        count = graph.add("Squeeze", [size[axis], "anchors.axis"], f"{at}{axis}.count")
        index = graph.add("Range", ["anchors.first", count, "anchors.one"], f"{at}{axis}.index")
        middle = graph.add("Add", [graph.add("Cast", [index], f"{at}{axis}.cast", to=TensorProto.FLOAT), "anchors.half"], f"{at}{axis}.middle")
        pixels = graph.add("Reshape", [graph.add("Mul", [middle, step], f"{at}{axis}.pixels"), shaped], f"{at}{axis}.shaped")
        graph.add("Reshape", [graph.add("Expand", [pixels, whole], f"{at}{axis}.expanded"), "anchors.flat"], at + axis)
    centre = graph.add("Concat", [at + "x", at + "y"], at + "centre", axis=1)
    row = graph.add("Shape", [at + "x"], at + "row")
    strides = graph.constant(at + "stride.one", np.full((1, 1, 1), stride, np.float32))
    bases = graph.constant(at + "base.one", np.array(base, np.float32).reshape(1, 2, 1))
    return {
        "centre": centre,
        "stride": graph.add("Expand", [strides, row], at + "stride"),
        "base": graph.add("Expand", [bases, row], at + "base"),
    }


def opened(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model`, an export of this recipe, with open height and width."""
    graph = model.graph
    kept = [tensor for tensor in graph.initializer if tensor.name not in TABLES]
    if len(kept) + len(TABLES) != len(graph.initializer):
        raise SystemExit("no tables of anchors in it; is it an export of this recipe, and not opened yet?")
    added = _Nodes()
    for name, value in (("2", 2), ("3", 3), ("4", 4), ("axis", 0)):
        added.constant(f"anchors.{name}", np.array([value], np.int64))
    added.constant("anchors.first", np.array(0, np.int64))
    added.constant("anchors.one", np.array(1, np.int64))
    added.constant("anchors.half", np.array(0.5, np.float32))
    added.constant("anchors.row", np.array([1, 1, 1, -1], np.int64))
    added.constant("anchors.column", np.array([1, 1, -1, 1], np.int64))
    added.constant("anchors.flat", np.array([1, 1, -1], np.int64))
    parts = [_of_stride(added, stride, base) for stride, base in zip(STRIDES, BASE)]
    for table in TABLES:
        added.add("Concat", [part[table] for part in parts], table, axis=2)
    nodes = list(graph.node)
    first = next(i for i, node in enumerate(nodes) if set(node.input) & set(TABLES))
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes[:first] + added.nodes + nodes[first:])
    graph.initializer.extend(kept + added.constants)
    dims = graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_param, dims[3].dim_param = "height", "width"
    graph.output[0].type.tensor_type.shape.dim[2].dim_param = "anchors"
    onnx.checker.check_model(model)
    return model


def check(before: str, after: str, height: int, width: int) -> None:
    """Both files must give the same bits for a picture of the size of the first, and `after` as many anchors as another size has."""
    def run(path, picture):
        return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"images": picture})[0]

    picture = np.random.default_rng(1).integers(0, 256, (1, 3, height, width), np.uint8)
    if not np.array_equal(run(before, picture), run(after, picture)):
        raise SystemExit(f"{after}: differs from {before}")
    small = run(after, np.ascontiguousarray(picture[:, :, :96, :160]))
    anchors = sum((96 // s) * (160 // s) for s in STRIDES)
    if small.shape != (1, 6, anchors):
        raise SystemExit(f"{after}: gives {small.shape} for 160x96, wanted {(1, 6, anchors)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("out")
    args = parser.parse_args()
    source = onnx.load(args.source)
    fixed = source.graph.input[0].type.tensor_type.shape.dim
    size = fixed[2].dim_value, fixed[3].dim_value
    new = args.out + ".new"
    onnx.save(opened(source), new)
    check(args.source, new, *size)
    os.replace(new, args.out)
