"""Exports a checkpoint as the ONNX reader: `python -m reader.export RUN/last.pt reader.onnx`.

Batch norm is folded into the convolutions, normalisation and softmax stand in the graph, and the metadata says how to
read the output. The export is compared with the torch model before it is kept.
"""
from __future__ import annotations

import argparse
import pathlib
import time

import numpy as np
import onnx
import onnxruntime
import torch
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .model import ALPHABET, HEIGHT, WIDTH, Reader

METADATA = {
    "gantry.kind": "reader", "head": "ctc", "alphabet": ALPHABET, "blank": "0", "color": "gray",
    "description": "licence plate reader: A-Z 0-9, 4 to 10 characters, one and two rows (top row first), CTC over two strips",
    "trained_on": "plates rendered by models/recipe (Debian fonts of fonts.txt, synthetic degradations); no real pictures",
    "licence": "MIT OR Apache-2.0",
}


def folded(model: torch.nn.Module) -> torch.nn.Module:
    """Replaces each convolution followed by batch norm by one convolution."""
    for child in model.children():
        folded(child)
    if isinstance(model, torch.nn.Sequential):
        for at in range(len(model) - 1):
            if isinstance(model[at], torch.nn.Conv2d) and isinstance(model[at + 1], torch.nn.BatchNorm2d):
                model[at] = fuse_conv_bn_eval(model[at], model[at + 1])
                model[at + 1] = torch.nn.Identity()
    return model


def session(path: pathlib.Path) -> onnxruntime.InferenceSession:
    """A session of one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def export(checkpoint: pathlib.Path, out: pathlib.Path) -> dict[str, float]:
    """Writes the ONNX file; returns its largest difference from torch, its size in MB and ms per crop."""
    model = Reader()
    state = torch.load(checkpoint)
    model.load_state_dict(state["ema"])
    model.eval()
    sample = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, HEIGHT, WIDTH, 1), dtype=np.uint8))
    with torch.no_grad():
        expected = model(sample).numpy()
        torch.onnx.export(folded(model), (sample,), str(out), opset_version=17, input_names=["image"], output_names=["probs"],
                          dynamic_axes={"image": {0: "batch"}, "probs": {0: "batch"}}, dynamo=False)
    graph = onnx.load(out)
    for key, value in METADATA.items():
        graph.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(graph)
    onnx.save(graph, out)
    run = session(out)
    difference = float(np.abs(run.run(None, {"image": sample.numpy()})[0] - expected).max())
    if difference > 1e-3:
        raise SystemExit(f"export: the ONNX output differs from torch by {difference:.2e}, more than 1e-3")
    result = {"steps": state["step"], "difference": difference, "megabytes": out.stat().st_size / 1e6}
    for batch in (1, 6):
        image, times = np.zeros((batch, HEIGHT, WIDTH, 1), np.uint8), []
        for _ in range(200):
            start = time.perf_counter()
            run.run(None, {"image": image})
            times.append(time.perf_counter() - start)
        result[f"ms_per_crop_batch_{batch}"] = float(np.min(times)) * 1e3 / batch
        result[f"ms_per_crop_batch_{batch}_median"] = float(np.median(times)) * 1e3 / batch
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    for key, value in export(args.checkpoint, args.out).items():
        print(f"{key}: {value:.4g}")


if __name__ == "__main__":
    main()
