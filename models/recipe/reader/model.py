"""The reader network: a plain convolutional CTC reader whose two strips are the plate's two rows.

Input uint8 `[N, 64, 160, 1]` gray (a plate crop stretched to it); output float32 `[N, 80, 37]`: 40 steps of the top row,
then 40 of the bottom row, probabilities of blank and 0-9 A-Z. A one-row plate is read in the top strip.
"""
from __future__ import annotations

import torch
from torch import nn

HEIGHT, WIDTH = 64, 160
STEPS = WIDTH // 4
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CLASSES = 1 + len(ALPHABET)  # blank is class 0


def conv(cin: int, cout: int, kernel=3, stride=1) -> nn.Sequential:
    """Convolution, batch norm, ReLU; same padding."""
    k = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    return nn.Sequential(nn.Conv2d(cin, cout, k, stride, (k[0] // 2, k[1] // 2), bias=False), nn.BatchNorm2d(cout),
                         nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two 3x3 convolutions and the identity."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = conv(channels, channels)
        self.second = conv(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(self.first(x))


class Reader(nn.Module):
    """Stem of stride 4, three stages that halve the height only, two strips, a row-wise mixer, a linear head."""

    def __init__(self, c=(16, 24, 40, 64, 112)):
        super().__init__()
        self.stem = nn.Sequential(conv(1, c[0], 5, 2), conv(c[0], c[1], 3, 2))
        self.body = nn.Sequential(Residual(c[1]), conv(c[1], c[2], 3, (2, 1)), Residual(c[2]),
                                  conv(c[2], c[3], 3, (2, 1)), Residual(c[3]))
        # Height 4 -> 2: one strip per row of text.
        self.strips = nn.Sequential(nn.Conv2d(c[3], c[4], (2, 3), (2, 1), (0, 1), bias=False), nn.BatchNorm2d(c[4]),
                                    nn.ReLU(inplace=True))
        # What the whole plate looks like (one row or two, dark on light): a bias per channel.
        self.context = nn.Sequential(nn.Linear(2 * c[4], 48), nn.ReLU(inplace=True), nn.Linear(48, c[4]))
        self.mixer = conv(c[4], c[4], (1, 5))
        # The strips have their own heads: the bottom one stays silent on a one-row plate.
        self.heads = nn.ModuleList([nn.Conv1d(c[4], CLASSES, 1), nn.Conv1d(c[4], CLASSES, 1)])
        for head in self.heads:
            nn.init.constant_(head.bias, 0.0)
            with torch.no_grad():
                head.bias[0] = 1.5

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        """uint8 `[N, 64, 160, 1]` to logits float32 `[N, 80, 37]`."""
        x = image.reshape(-1, 1, HEIGHT, WIDTH).to(torch.float32) * (1.0 / 255.0)
        # Dark and flat crops are brought to one mean and contrast; 0.03 keeps noise on an empty crop small.
        x = x - x.mean(dim=(2, 3), keepdim=True)
        x = x / ((x * x).mean(dim=(2, 3), keepdim=True).sqrt() + 0.03)
        x = self.strips(self.body(self.stem(x)))
        mean = x.mean(dim=3).flatten(1)
        x = x + self.context(mean)[:, :, None, None]
        x = x + self.mixer(x)
        both = torch.cat([self.heads[0](x[:, :, 0]), self.heads[1](x[:, :, 1])], dim=2)
        return both.transpose(1, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """uint8 `[N, 64, 160, 1]` to probabilities float32 `[N, 80, 37]`."""
        return torch.softmax(self.logits(image), dim=2)


def greedy(best: torch.Tensor) -> list[str]:
    """Class indices `[N, T]` to texts: plain CTC greedy decoding (repeats merged, blanks dropped)."""
    texts = []
    for row in best.tolist():
        text, last = "", 0
        for index in row:
            if index and index != last:
                text += ALPHABET[index - 1]
            last = index
        texts.append(text)
    return texts
