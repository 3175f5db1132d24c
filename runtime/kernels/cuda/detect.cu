// Candidates of detectors: the anchors whose best class is wanted and scores enough, so that only those leave the card.
#include "common.cuh"

#define MOST_CLASSES 256

// One picture's output `[4 + classes, anchors]`: centre x, centre y, width, height, then a score per class.
struct CandidateJob {
    u64 output;
    // u32, set to 0 before: how many candidates there are.
    u64 count;
    // Room for a candidate per anchor.
    u64 found;
};

// As `decode_yolo` of runtime/inference puts it out; threads add theirs in any order, `anchor` tells the order.
struct Candidate {
    f32 confidence;
    f32 x0, y0, x1, y1;
    u32 class_index;
    u32 anchor;
};

struct CandidateBatch {
    u32 count;
    u32 anchors;
    u32 classes;
    u32 is_half;
    // Least score of any class that is wanted, then per class: NaN, which no score reaches, where it is not wanted.
    f32 least_of_all;
    f32 reserved;
    f32 least[MOST_CLASSES];
    CandidateJob jobs[64];
};

__device__ inline f32 number_at(const CandidateBatch& batch, u64 output, u64 at)
{
    if (!batch.is_half) return pointer<const f32>(output)[at];
    u32 half = pointer<const u16>(output)[at];
    u32 sign = (half & 0x8000u) << 16, exponent = (half >> 10) & 31, fraction = half & 0x3ffu;
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | fraction << 13);
    if (exponent != 0) return __uint_as_float(sign | (exponent + 112) << 23 | fraction << 13);
    // Subnormal halves are normal here: fraction times 2^-24.
    f32 small = (f32)fraction * 5.9604644775390625e-8f;
    return sign ? -small : small;
}

// One thread per anchor (x) of a picture (y).
KERNEL candidates(const CandidateBatch batch)
{
    const CandidateJob& job = batch.jobs[blockIdx.y];
    u32 anchor = blockIdx.x * blockDim.x + threadIdx.x;
    if (anchor >= batch.anchors) return;
    u64 anchors = batch.anchors;
    f32 best = number_at(batch, job.output, 4 * anchors + anchor);
    u32 best_class = 0;
    for (u32 c = 1; c < batch.classes; c++) {
        f32 score = number_at(batch, job.output, (4 + c) * anchors + anchor);
        if (score > best) {
            best = score;
            best_class = c;
        }
    }
    // A score that is no number reaches nothing.
    if (!(best >= batch.least_of_all) || !(best >= batch.least[best_class])) return;
    f32 cx = number_at(batch, job.output, anchor), cy = number_at(batch, job.output, anchors + anchor);
    f32 w = number_at(batch, job.output, 2 * anchors + anchor) * 0.5f, h = number_at(batch, job.output, 3 * anchors + anchor) * 0.5f;
    Candidate found;
    found.confidence = best;
    found.x0 = cx - w;
    found.y0 = cy - h;
    found.x1 = cx + w;
    found.y1 = cy + h;
    found.class_index = best_class;
    found.anchor = anchor;
    pointer<Candidate>(job.found)[atomicAdd(pointer<u32>(job.count), 1u)] = found;
}
