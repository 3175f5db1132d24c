"""A checkpoint from a shipped ONNX file, to go on training without the run that made it.

    python warm.py reader ../reader.onnx SHARDS reader.pt       # then: python -m reader.train ... --resume reader.pt
    python warm.py detector ../detector.onnx POOL detector.pt   # then: python -m detector.train ... --init detector.pt

Export folds each batch norm into its convolution. Here the norms come back with the mean and variance that a batch of training pictures
shows, and with the scale and bias that undo them, so that the network gives what the file gives, and trains on as one with norms."""
import argparse
import pathlib

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn


def unfold(model: nn.Module, path: pathlib.Path, batch: torch.Tensor, stem_gain: float = 1.0) -> nn.Module:
    """Fills `model` from the file; `batch` is what the norms see, `stem_gain` what export has multiplied into the first convolution."""
    held = {t.name.removeprefix("net."): torch.from_numpy(numpy_helper.to_array(t).copy()) for t in onnx.load(path).graph.initializer}
    leaves = [(n, m) for n, m in model.named_modules() if not list(m.children())]
    first, hooks = True, []
    for (name, module), (_, following) in zip(leaves, [*leaves[1:], ("", None)]):
        if not isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            continue
        key = name.removesuffix(".conv") + ".0" if name.endswith(".conv") else name
        module.weight.data.copy_(held[f"{key}.weight"] / (stem_gain if first else 1.0))
        first = False
        if isinstance(following, nn.BatchNorm2d):
            hooks.append(following.register_forward_pre_hook(_calibrate(held[f"{key}.bias"])))
        else:
            module.bias.data.copy_(held[f"{key}.bias"])
    model.eval()
    with torch.no_grad():
        model(batch)
    for hook in hooks:
        hook.remove()
    return model


def _calibrate(bias: torch.Tensor):
    def hook(norm: nn.BatchNorm2d, inputs: tuple[torch.Tensor]) -> None:
        var, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), unbiased=False)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var)
        norm.weight.copy_((var + norm.eps).sqrt())
        norm.bias.copy_(bias + mean)

    return hook


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["reader", "detector"])
    parser.add_argument("onnx", type=pathlib.Path)
    parser.add_argument("data", type=pathlib.Path, help="folder with shards, or the pool")
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    if args.kind == "reader":
        from reader.model import Reader
        images = np.load(sorted(args.data.glob("*.images.npy"))[0], mmap_mode="r")[:512]
        state = unfold(Reader(), args.onnx, torch.from_numpy(np.array(images))).state_dict()
        torch.save({"model": state, "ema": state, "step": 0}, args.out)
    else:
        from detector.net import Detector
        from detector.pool import filled
        from scenes.scene import H, W
        slots = np.memmap(args.data / "images.u8", np.uint8, "r").reshape(-1, H, W, 3)
        some = filled(args.data, len(slots))[:12]
        net = Detector()
        batch = torch.from_numpy(np.ascontiguousarray(slots[some].transpose(0, 3, 1, 2))).float()
        torch.save({"ema": unfold(net, args.onnx, batch, net.scale).state_dict(), "seen": 0}, args.out)


if __name__ == "__main__":
    main()
