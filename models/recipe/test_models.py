"""Builds the small ONNX files of tests/models: every layout that the nodes load by path alone, and some that they must refuse.

    python models/recipe/test_models.py

Needs `onnx` and `numpy`. What the models put out depends on their input, in a way that a test can compute by hand:

- detectors: always the same boxes, their scores scaled by the mean level of the picture, so black finds nothing;
- readers: step `t` reads column block `t` of the picture: its mean level divided by 255 picks the class.
"""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

OUT = Path(__file__).resolve().parents[2] / "tests" / "models"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def const(name, value, dtype=np.float32):
    return nh.from_array(np.asarray(value, dtype), name)


def save(name, nodes, inputs, outputs, consts, metadata):
    graph = h.make_graph(nodes, name, inputs, outputs, consts)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8, producer_name="gantry test_models.py")
    h.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    (OUT / f"{name}.onnx").write_bytes(data)
    print(f"{name}.onnx {len(data)} bytes")


# What every anchor of the test detectors says: a vehicle, the same vehicle again a little off, two plates, and nothing.
BOXES = np.array(  # cx, cy, w, h in input pixels of 64 x 32
    [[20, 12, 20, 12], [21, 12, 20, 12], [20, 16, 8, 4], [50, 20, 8, 4], [10, 10, 4, 4], [30, 30, 4, 4], [40, 8, 6, 6], [1, 1, 2, 2]], np.float32
)
SCORES = np.array([[0.9, 0.05], [0.8, 0.05], [0.1, 0.85], [0.05, 0.6], [0.1, 0.1], [0.02, 0.01], [0.2, 0.15], [0, 0]], np.float32)


def scaled_scores(element, layout):
    """Nodes that scale the scores by the mean level of the picture: black finds nothing, white the full scores."""
    axes = [1, 2, 3]
    scale = 255.0 if element == T.UINT8 else 1.0
    return [
        h.make_node("Cast", ["images"], ["floats"], to=T.FLOAT),
        h.make_node("ReduceMean", ["floats"], ["mean"], axes=axes, keepdims=1),
        h.make_node("Div", ["mean", "full"], ["level4"]),
        h.make_node("Reshape", ["level4", "one_per_picture"], ["level"]),
    ], [const("full", scale), const("one_per_picture", [-1, 1, 1], np.int64)]


def yolo(name, element=T.UINT8, batch="batch", size=(32, 64), names=("vehicle", "plate"), layout="nchw", extra=None, classes=2, metadata=None):
    height, width = size
    nodes, consts = scaled_scores(element, layout)
    scores = np.zeros((1, classes, len(BOXES)), np.float32)
    scores[0, :2] = SCORES.T
    consts += [const("boxes_of_all", BOXES.T[None]), const("scores_of_white", scores), const("zero", 0.0)]
    nodes += [
        h.make_node("Mul", ["scores_of_white", "level"], ["scores"]),
        h.make_node("Mul", ["level", "zero"], ["nothing"]),
        h.make_node("Add", ["boxes_of_all", "nothing"], ["boxes"]),
        h.make_node("Concat", ["boxes", "scores"], ["output0"], axis=1),
    ]
    shape = [batch, 3, height, width] if layout == "nchw" else [batch, height, width, 3]
    props = {"names": str(dict(enumerate(names))), "imgsz": str([32, 64]), "stride": "32", "task": "detect"} if names else {}
    props.update(metadata or {})
    save(
        name,
        nodes,
        [h.make_tensor_value_info("images", element, shape)],
        [h.make_tensor_value_info("output0", T.FLOAT, [batch, 4 + classes, len(BOXES)])],
        consts,
        props,
    )


def end_to_end(name):
    rows = []
    for (cx, cy, w, hh), score in zip(BOXES, SCORES):
        c = int(score.argmax())
        rows.append([cx - w / 2, cy - hh / 2, cx + w / 2, cy + hh / 2, score[c], c])
    del rows[1]  # an end-to-end model has suppressed it
    rows += [[0.0] * 6] * 4
    gain = np.zeros((1, len(rows), 6), np.float32)
    gain[0, :, 4] = 1.0
    nodes, consts = scaled_scores(T.FLOAT, "nchw")
    consts += [const("rows", [rows]), const("is_score", gain), const("is_no_score", 1.0 - gain)]
    nodes += [
        h.make_node("Mul", ["is_score", "level"], ["scaled"]),
        h.make_node("Add", ["scaled", "is_no_score"], ["gain"]),
        h.make_node("Mul", ["rows", "gain"], ["output0"]),
    ]
    save(
        name,
        nodes,
        [h.make_tensor_value_info("images", T.FLOAT, [1, 3, 32, 64])],
        [h.make_tensor_value_info("output0", T.FLOAT, [1, len(rows), 6])],
        consts,
        {"names": "{0: 'vehicle', 1: 'plate'}", "imgsz": "[32, 64]", "stride": "32", "task": "detect"},
    )


def reader(name, head, steps, classes, element=T.UINT8, channels=1, layout="nhwc", batch="batch", out="nsc", logits=False, metadata=None, size=(8, 64)):
    """Splits the picture in `steps` column blocks; class = round(mean level / 255 * (classes - 1)), by a triangle around every class."""
    height, width = size
    block = width // steps
    pool_in = "floats"
    nodes = [h.make_node("Cast", ["image"], ["floats0"], to=T.FLOAT)]
    if layout == "nhwc":
        nodes.append(h.make_node("Transpose", ["floats0"], ["floats"], perm=[0, 3, 1, 2]))
    else:
        pool_in = "floats0"
    scale = 255.0 if element == T.UINT8 else 1.0
    nodes += [
        h.make_node("ReduceMean", [pool_in], ["gray"], axes=[1], keepdims=1),
        h.make_node("AveragePool", ["gray"], ["blocks"], kernel_shape=[height, block], strides=[height, block]),
        h.make_node("Reshape", ["blocks", "to_steps"], ["levels"]),  # [N, S, 1]
        h.make_node("Mul", ["levels", "to_class"], ["position"]),
        h.make_node("Sub", ["position", "class_index"], ["distance"]),  # [N, S, C]
        h.make_node("Abs", ["distance"], ["off"]),
        h.make_node("Mul", ["off", "minus_two"], ["logits"]),
        h.make_node("Identity" if logits else "Softmax", ["logits"], ["nsc"], **({} if logits else {"axis": 2})),
    ]
    consts = [
        const("to_steps", [-1, steps, 1], np.int64),
        const("to_class", (classes - 1) / scale),
        const("class_index", np.arange(classes)[None, None]),
        const("minus_two", -2.0),
    ]
    shapes = {"nsc": [batch, steps, classes], "snc": [steps, batch, classes], "ncs": [batch, classes, steps], "flat": [batch, steps * classes]}
    if out == "flat":
        consts.append(const("to_flat", [-1, steps * classes], np.int64))
        nodes.append(h.make_node("Reshape", ["nsc", "to_flat"], ["text"]))
    elif out == "nsc":
        nodes.append(h.make_node("Identity", ["nsc"], ["text"]))
    else:
        nodes.append(h.make_node("Transpose", ["nsc"], ["text"], perm=[1, 0, 2] if out == "snc" else [0, 2, 1]))
    shape = [batch, height, width, channels] if layout == "nhwc" else [batch, channels, height, width]
    props = {"head": head, "alphabet": ALPHABET, "blank": "0"} if metadata is None else metadata
    save(
        name,
        nodes,
        [h.make_tensor_value_info("image", element, shape)],
        [h.make_tensor_value_info("text", T.FLOAT, shapes[out])],
        consts,
        props,
    )


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    yolo("yolo")
    yolo("yolo_f32_fixed_batch", element=T.FLOAT, batch=1)
    yolo("yolo_batch4", batch=4)
    yolo("yolo_open_size", element=T.FLOAT, size=("height", "width"))
    yolo("yolo_any_size", size=("height", "width"), metadata={"imgsz": str([128, 256])})
    yolo("yolo_coco", element=T.FLOAT, names=("car", "number_plate", "person"), classes=3)
    yolo("yolo_nhwc", layout="nhwc")
    end_to_end("end_to_end")
    reader("ctc", "ctc", 16, 37)
    reader("ctc_steps_first_f32", "ctc", 16, 37, element=T.FLOAT, layout="nchw", out="snc", logits=True)
    reader("ctc_rgb_classes_first", "ctc", 16, 37, channels=3, layout="nchw", batch=1, out="ncs", metadata={"alphabet": ALPHABET})
    reader("slots", "slots", 8, 37, metadata={"head": "slots", "alphabet": ALPHABET + "_", "pad": "_"})
    reader("slots_flat_rgb", "slots", 8, 37, channels=3, out="flat", metadata={})
    (OUT / "slots_flat_rgb_plate_config.yaml").write_text(
        "# As fast-plate-ocr ships it beside a model.\n"
        f"max_plate_slots: 8\nalphabet: '{ALPHABET}_'\npad_char: '_'\nimg_height: 8\nimg_width: 64\n"
        "keep_aspect_ratio: false\ninterpolation: linear\nimage_color_mode: rgb\n"
    )
    # What must be refused, with a message that says what was found and what was wanted.
    yolo("wrong_classes", names=("vehicle", "plate", "face"))
    yolo("wrong_names", names=None, metadata={"names": "vehicle, plate"})
    reader("wrong_alphabet", "ctc", 16, 20)
    reader("no_alphabet", "ctc", 16, 37, metadata={})
    save(
        "wrong_rank",
        [h.make_node("Identity", ["features"], ["same"])],
        [h.make_tensor_value_info("features", T.FLOAT, [1, 10])],
        [h.make_tensor_value_info("same", T.FLOAT, [1, 10])],
        [],
        {},
    )
    (OUT / "corrupt.onnx").write_bytes((OUT / "yolo.onnx").read_bytes()[:300])
    (OUT / "empty.onnx").write_bytes(b"")
    (OUT / "bad_sidecar.onnx").write_bytes((OUT / "ctc.onnx").read_bytes())
    (OUT / "bad_sidecar.json").write_text('{"alphabet": ')
    (OUT / "README.md").write_text(
        "Small ONNX files of all layouts that Gantry loads, and some that it refuses. Made by `models/recipe/test_models.py`, "
        "which says what they compute. No training data is in them.\n"
    )


if __name__ == "__main__":
    main()
