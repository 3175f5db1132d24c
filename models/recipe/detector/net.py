"""The detector: a plain convolution network shaped by what ONNX Runtime does fast on one AVX-512 core.

Channels come in blocks of 16 (the width of ONNX Runtime's NCHWc kernels); the stem takes 4x4 patches at stride 4; a stage of stride 64
gives the large vehicles their context; heads at strides 8, 16 and 32 share one output. 250 MMAC at 960x544."""
import torch
import torch.nn as nn
import torch.nn.functional as F

STRIDES = (8, 16, 32)
# Width and height in px that a head's zero output means.
BASE = ((24.0, 12.0), (72.0, 48.0), (200.0, 160.0))
CLASSES = ("vehicle", "plate")


class Conv(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, cin, cout, k=3, stride=1, pad=None):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, k, stride, k // 2 if pad is None else pad, bias=False)
        self.bn = nn.BatchNorm2d(cout, eps=1e-3, momentum=0.03)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))

    def fused(self):
        """The same function as one convolution with a bias."""
        scale = self.bn.weight / torch.sqrt(self.bn.running_var + self.bn.eps)
        c = self.conv
        out = nn.Conv2d(c.in_channels, c.out_channels, c.kernel_size, c.stride, c.padding)
        out.weight.data = c.weight.data * scale[:, None, None, None]
        out.bias.data = self.bn.bias.data - self.bn.running_mean * scale
        return nn.Sequential(out, nn.ReLU())


class Res(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.a, self.b = Conv(c, c // 2, 1), Conv(c // 2, c, 3)

    def forward(self, x):
        return x + self.b(self.a(x))


class Detector(nn.Module):
    """`x`: f32 [N, 3, H, W] RGB 0..255, H and W multiples of 32. Returns f32 [N, 6, h, w] of each stride: dx, dy, log w, log h, vehicle, plate."""

    def __init__(self):
        super().__init__()
        self.scale = 1 / 255
        self.stem = Conv(3, 16, 4, 4, 0)
        self.s8 = Conv(16, 32, 3, 2)
        self.s16 = nn.Sequential(Conv(32, 48, 3, 2), Res(48))
        self.s32 = nn.Sequential(Conv(48, 64, 3, 2), Res(64), Res(64))
        self.s64 = nn.Sequential(Conv(64, 64, 3, 2), Res(64), Res(64))
        self.l64, self.l32, self.l16 = nn.Conv2d(64, 64, 1), nn.Conv2d(48, 48, 1), nn.Conv2d(32, 32, 1)
        self.m32, self.m16 = Conv(64, 48), Conv(48, 32)
        self.m8 = nn.Sequential(Conv(32, 16, 1), Conv(16, 32))
        self.h8, self.h16, self.h32 = nn.Conv2d(32, 6, 1), nn.Conv2d(32, 6, 1), nn.Conv2d(48, 6, 1)
        for h in (self.h8, self.h16, self.h32):
            nn.init.normal_(h.weight, std=0.01)
            h.bias.data = torch.tensor([0, 0, 0, 0, -4.6, -4.6])

    def forward(self, x):
        a = self.s8(self.stem(x * self.scale if self.scale != 1.0 else x))
        b = self.s16(a)
        c = self.s32(b)
        d = self.s64(c)
        up = lambda t: F.interpolate(t, scale_factor=2.0, mode="nearest")
        u = up(self.l64(d))
        if u.shape[2:] != c.shape[2:]:
            u = u[:, :, : c.shape[2], : c.shape[3]]
        c = self.m32(c + u)
        b = self.m16(b + up(self.l32(c)))
        a = self.m8(a + up(self.l16(b)))
        return self.h8(a), self.h16(b), self.h32(c)


def grid(h, w):
    """Anchor centres, strides and base sizes for an input of h x w px: f32 [A, 2] px, [A] px, [A, 2] px."""
    centre, stride, base = [], [], []
    for s, b in zip(STRIDES, BASE):
        y, x = torch.meshgrid(torch.arange(h // s), torch.arange(w // s), indexing="ij")
        c = (torch.stack([x, y], -1).reshape(-1, 2).float() + 0.5) * s
        centre.append(c)
        stride.append(torch.full((len(c),), float(s)))
        base.append(torch.tensor(b).expand(len(c), 2))
    return torch.cat(centre), torch.cat(stride), torch.cat(base)


def flatten(heads):
    """[N, 6, A] of the three heads."""
    return torch.cat([h.flatten(2) for h in heads], 2)
