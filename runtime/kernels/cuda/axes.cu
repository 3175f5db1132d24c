// Weights of resampling filters: the same numbers as `Taps::set` in runtime/images/src/taps.rs.
#include "common.cuh"

#define TRIANGLE 0
#define CATMULL_ROM 1

// `start..start + length` of an axis with `source` samples becomes `out` samples.
struct AxisJob {
    f64 start;
    f64 length;
    Axis to;
    u32 source;
    u32 out;
    u32 filter;
    u32 reserved;
};

__device__ inline f64 weight_at(u32 filter, f64 x)
{
    if (filter == CATMULL_ROM) return catmull_rom(x);
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

// The taps of one output sample, in order. Samples beyond the ends count for the last one there is.
struct Walk {
    const AxisJob* job;
    f64 centre, widen;
    i64 low, high, first, s;
};

// The next tap `k` and its weight; false at the end.
__device__ inline bool step(Walk& walk, i64& k, f64& weight)
{
    if (walk.s > walk.high) return false;
    weight = 0.0;
    k = -1;
    for (; walk.s <= walk.high; walk.s++) {
        i64 inside = clamp64(walk.s, 0, (i64)walk.job->source - 1);
        i64 at = clamp64(inside, walk.first, walk.first + walk.job->to.count - 1) - walk.first;
        if (k >= 0 && at != k) break;
        k = at;
        weight += weight_at(walk.job->filter, ((f64)walk.s + 0.5 - walk.centre) / walk.widen);
    }
    return true;
}

// One thread per output sample (x) of a job (y).
KERNEL axes(const Batch<AxisJob, 48> batch)
{
    const AxisJob& job = batch.jobs[blockIdx.y];
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= job.out) return;
    f64 scale = job.length / (f64)job.out;
    f64 radius = job.filter == CATMULL_ROM ? 2.0 : 1.0;
    Walk walk;
    walk.job = &job;
    walk.widen = scale > 1.0 ? scale : 1.0;
    f64 reach = radius * walk.widen;
    walk.centre = job.start + ((f64)i + 0.5) * scale;
    walk.low = (i64)ceil(walk.centre - reach - 0.5);
    walk.high = (i64)floor(walk.centre + reach - 0.5);
    walk.first = clamp64(walk.low, 0, (i64)job.source - job.to.count);

    // What the weights sum to, before they are rounded.
    i64 k, largest = 0;
    f64 weight, sum = 0.0, most = -1.0;
    for (walk.s = walk.low; step(walk, k, weight);) {
        sum += weight;
        if (fabs(weight) > most) {
            most = fabs(weight);
            largest = k;
        }
    }
    i16* weights = pointer<i16>(job.to.weights) + (u64)job.to.count * i;
    for (u32 n = 0; n < job.to.count; n++) weights[n] = 0;
    i32 rest = 16384;
    for (walk.s = walk.low; step(walk, k, weight);) {
        i32 q14 = (i32)round(weight / sum * 16384.0);
        rest -= q14;
        weights[k] = (i16)q14;
    }
    // The largest takes what rounding left.
    weights[largest] = (i16)(weights[largest] + rest);
    pointer<u32>(job.to.first)[i] = (u32)walk.first;
}
