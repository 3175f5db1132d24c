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
    """One picture: boxes [A, 4], scores [A, 2], labels [G, 5] -> (box target [A, 4], score target [A, 2], weight of each class [A, 2])."""
    A = len(centre)
    target, score = torch.zeros(A, 4), torch.zeros(A, 2)
    weight = torch.ones(A, 2)
    for cls, x0, y0, x1, y1 in labels[labels[:, 0] >= 2].tolist():
        inside = (centre[:, 0] > x0 - 2) & (centre[:, 0] < x1 + 2) & (centre[:, 1] > y0 - 2) & (centre[:, 1] < y1 + 2)
        weight[inside, 1 if cls == 2 else 0] = 0
    gt = labels[(labels[:, 0] == 0) | (labels[:, 0] == 1)]
    if not len(gt):
        return target, score, weight
    cls, gb = gt[:, 0].long(), gt[:, 1:]
    wh = gb[:, 2:] - gb[:, :2]
    mid = (gb[:, :2] + gb[:, 2:]) / 2
    size = wh.prod(-1).sqrt()
    off = (centre[None] - mid[:, None]).abs()  # [G, A, 2]
    reach = torch.maximum(0.3 * wh[:, None], 0.8 * stride[None, :, None])
    ok = (off < reach).all(-1)
    lo, hi = torch.zeros(A), torch.zeros(A)
    for s, (a, b) in zip((8, 16, 32), LEVELS):
        lo[stride == s], hi[stride == s] = a, b
    ok &= (size[:, None] >= lo) & (size[:, None] < hi)
    overlap = iou(gb[:, None], boxes[None]).clamp(0)
    near = 1 / (1 + (off / stride[None, :, None]).norm(dim=-1))
    metric = scores[:, cls].t().clamp(1e-4).sqrt() * overlap**3 + 1e-5 * near
    metric = torch.where(ok, metric, torch.zeros(()))
    k = min(TOPK, A)
    top, idx = metric.topk(k, 1)
    chosen = torch.zeros_like(metric).scatter_(1, idx, top)
    best, owner = chosen.max(0)
    pos = best > 0
    own = owner[pos]
    m, o = best[pos], overlap[own, pos.nonzero()[:, 0]]
    peak_m = torch.zeros(len(gt)).scatter_reduce(0, own, m, "amax")
    peak_o = torch.zeros(len(gt)).scatter_reduce(0, own, o, "amax")
    # The best anchor of a box learns its IoU, at least 0.3 so that boxes not yet found are learnt at all.
    t = m / peak_m[own] * peak_o[own].clamp(min=0.3)
    target[pos] = gb[own]
    score[pos, cls[own]] = t
    return target, score, weight


def detection_loss(raw, labels, centre, stride, base):
    """raw f32 [N, 6, A], labels f32 [N, G, 5] (class -1: unused). Returns (loss, parts)."""
    raw = raw.transpose(1, 2).float()
    boxes = decode(raw[..., :4], centre, stride, base)
    logits = raw[..., 4:]
    got = [assign(b, s.sigmoid(), l, centre, stride) for b, s, l in zip(boxes.detach(), logits.detach(), labels)]
    target, score, weight = (torch.stack(v) for v in zip(*got))
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
