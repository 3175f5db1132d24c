"""Which anchors learn which box (task-aligned), and what they learn: BCE on a score that is the IoU, and CIoU."""
import math

import torch
import torch.nn.functional as F

# Sizes (sqrt of area, px) that each stride may hold; they overlap so that an object at a border is learnt by both.
LEVELS = ((0, 52), (34, 150), (100, 1e9))
TOPK = 9


def decode(raw, centre, stride, base):
    """raw f32 [N, A, 4] to xyxy px [N, A, 4]."""
    xy = centre + raw[..., :2] * stride[:, None]
    wh = torch.exp(raw[..., 2:4].clamp(-4, 3.5)) * base
    return torch.cat([xy - wh / 2, xy + wh / 2], -1)


def iou(a, b, complete=False):
    """IoU (or CIoU) of xyxy boxes, broadcast."""
    lt, rb = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    inter = (rb - lt).clamp(0).prod(-1)
    wa, ha = (a[..., 2:] - a[..., :2]).clamp(1e-3).unbind(-1)
    wb, hb = (b[..., 2:] - b[..., :2]).clamp(1e-3).unbind(-1)
    out = inter / (wa * ha + wb * hb - inter + 1e-6)
    if not complete:
        return out
    span = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    dist = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) ** 2).sum(-1) / 4
    v = (4 / math.pi**2) * (torch.atan(wb / hb) - torch.atan(wa / ha)) ** 2
    with torch.no_grad():
        alpha = v / (1 - out + v + 1e-6)
    return out - dist / ((span**2).sum(-1) + 1e-6) - alpha * v


@torch.no_grad()
def assign(boxes, scores, labels, centre, stride):
    """boxes [N, A, 4], scores [N, A, 2], labels [N, G, 5] -> box target [N, A, 4], score target [N, A, 2], class weight [N, A, 2]."""
    n, anchors = boxes.shape[:2]
    groups = labels.shape[1]
    cls, gb = labels[..., 0], labels[..., 1:]
    # What is to be ignored takes its class out of the loss inside its box.
    c = centre[None, None]
    within = (c > gb[:, :, None, :2] - 2).all(-1) & (c < gb[:, :, None, 2:] + 2).all(-1)
    weight = torch.stack([~(within & (cls == k)[..., None]).any(1) for k in (3, 2)], -1).float()
    valid = (cls == 0) | (cls == 1)
    kind = cls.clamp(0, 1).long()
    wh = (gb[..., 2:] - gb[..., :2]).clamp(min=1e-3)
    mid = (gb[..., :2] + gb[..., 2:]) / 2
    size = wh.prod(-1).sqrt()
    off = (c - mid[:, :, None]).abs()  # [N, G, A, 2]
    ok = (off < torch.maximum(0.3 * wh[:, :, None], 0.8 * stride[:, None])).all(-1) & valid[..., None]
    lo, hi = torch.zeros(anchors), torch.zeros(anchors)
    for s, (x, y) in zip((8, 16, 32), LEVELS):
        lo[stride == s], hi[stride == s] = x, y
    ok &= (size[..., None] >= lo) & (size[..., None] < hi)
    overlap = iou(gb[:, :, None], boxes[:, None]).clamp(0)
    near = 1 / (1 + off.sum(-1) / stride)
    of_class = scores.transpose(1, 2).gather(1, kind[..., None].expand(-1, -1, anchors))
    metric = torch.where(ok, of_class.clamp(1e-4).sqrt() * overlap**3 + 1e-5 * near, torch.zeros(()))
    top, idx = metric.topk(min(TOPK, anchors), 2)
    chosen = torch.zeros_like(metric).scatter_(2, idx, top)
    best, owner = chosen.max(1)  # [N, A]
    pos = best > 0
    at = pos.nonzero(as_tuple=True)
    own = owner[at]
    flat = at[0] * groups + own
    m, o = best[at], overlap[at[0], own, at[1]]
    peak_m = torch.zeros(n * groups).scatter_reduce(0, flat, m, "amax")
    peak_o = torch.zeros(n * groups).scatter_reduce(0, flat, o, "amax")
    target, score = torch.zeros(n, anchors, 4), torch.zeros(n, anchors, 2)
    target[at] = gb[at[0], own]
    # The best anchor of a box learns its IoU, at least 0.3 so that boxes not yet found are learnt at all.
    score[at[0], at[1], kind[at[0], own]] = m / peak_m[flat] * peak_o[flat].clamp(min=0.3)
    return target, score, weight


def detection_loss(raw, labels, centre, stride, base):
    """raw f32 [N, 6, A], labels f32 [N, G, 5] (class -1: unused). Returns (loss, parts)."""
    raw = raw.transpose(1, 2).float()
    boxes = decode(raw[..., :4], centre, stride, base)
    logits = raw[..., 4:]
    target, score, weight = assign(boxes.detach(), logits.detach().sigmoid(), labels, centre, stride)
    norm = score.sum((0, 1)).clamp(min=4.0)  # per class
    p = logits.sigmoid()
    # Varifocal: negatives count by how wrong they are.
    w = torch.where(score > 0, score.sqrt(), 0.75 * p.detach() ** 1.5) * weight
    cls = (F.binary_cross_entropy_with_logits(logits, score, reduction="none") * w).sum((0, 1)) / norm
    pos = score.sum(-1) > 0
    c = iou(boxes[pos], target[pos], complete=True)
    which = (score[pos][:, 1] > 0).long()
    box = ((1 - c) * score[pos].sum(-1) / norm[which]).sum()
    # CIoU says little about a box that does not overlap: the raw values are taught as well, which starts the training.
    goal, at = target[pos], pos.nonzero()[:, 1]
    mid = ((goal[:, :2] + goal[:, 2:]) / 2 - centre[at]) / stride[at, None]
    size = torch.log((goal[:, 2:] - goal[:, :2]).clamp(min=1.0) / base[at])
    raw_loss = F.smooth_l1_loss(raw[pos][:, :4], torch.cat([mid, size], 1), reduction="none", beta=0.2).sum(-1)
    raw_loss = (raw_loss * score[pos].sum(-1) / norm[which]).sum()
    return cls[0] + 1.5 * cls[1] + 2.5 * box + 0.5 * raw_loss, (cls[0].item(), cls[1].item(), box.item())
