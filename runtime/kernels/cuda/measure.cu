// Numbers about crops: how readable one is, and how its lines slope. One block of 256 threads per crop.
#include "common.cuh"

#define THREADS 256

struct MeasureJob {
    // Grey, u8 [height, width] without padding.
    u64 from;
    u64 out;
    u32 width, height;
};

// f32 `legibility` of a crop that was brought to 64 px height, as runtime/images/src/legibility.rs computes it.
KERNEL legibilities(const Batch<MeasureJob, 128> batch)
{
    // Levels: sum, sum of squares. Laplacian: sum, sum of squares. Sums of integers, so the order of the threads does not matter.
    __shared__ u64 sums[4];
    const MeasureJob& job = batch.jobs[blockIdx.z];
    u32 w = job.width, h = job.height;
    if (threadIdx.x < 4) sums[threadIdx.x] = 0;
    __syncthreads();
    u64 sum = 0, squares = 0;
    i64 laplacian_sum = 0, laplacian_squares = 0;
    for (u32 i = threadIdx.x; i < w * h; i += THREADS) {
        const u8* p = pointer<const u8>(job.from) + i;
        u32 x = i % w, y = i / w;
        sum += p[0];
        squares += (u64)p[0] * p[0];
        if (x < 2 || y < 2 || x + 2 >= w || y + 2 >= h) continue;
        // 1 2 1 both ways, times 16, at the pixel and at its four neighbours.
        i32 around = 0;
        for (i32 n = 0; n < 5; n++) {
            i64 away = n == 0 ? 0 : n == 1 ? -1 : n == 2 ? 1 : n == 3 ? -(i64)w : (i64)w;
            i32 smooth = 0;
            for (i32 dy = -1; dy <= 1; dy++) {
                const u8* q = p + away + (i64)dy * w;
                smooth += (dy == 0 ? 2 : 1) * ((i32)q[-1] + 2 * (i32)q[0] + (i32)q[1]);
            }
            around += n == 0 ? -4 * smooth : smooth;
        }
        laplacian_sum += around;
        laplacian_squares += (i64)around * around;
    }
    atomicAdd(&sums[0], sum);
    atomicAdd(&sums[1], squares);
    atomicAdd(&sums[2], (u64)laplacian_sum);
    atomicAdd(&sums[3], (u64)laplacian_squares);
    __syncthreads();
    if (threadIdx.x != 0) return;
    f64 count = (f64)((u64)w * h), mean = (f64)sums[0] / count;
    f64 variance = (f64)sums[1] / count - mean * mean;
    if (variance < 1.0) {
        *pointer<f32>(job.out) = 0.0f;
        return;
    }
    f64 n = (f64)((u64)(w - 4) * (h - 4)), laplacian_mean = (f64)(i64)sums[2] / n;
    f64 sharp = (f64)(i64)sums[3] / n - laplacian_mean * laplacian_mean;
    sharp = (sharp < 0.0 ? 0.0 : sharp) / 256.0 / variance;
    f64 contrast = sqrt(variance);
    *pointer<f32>(job.out) = (f32)((sharp / (sharp + 0.12)) * (contrast / (contrast + 16.0)));
}

// What `estimate_slant` of runtime/images/src/slant.rs finds: f32 slope, f32 gain; a gain of 0 means nothing to trust.
#define MAX_SLOPE 0.25f
#define MAX_BINS 1024

// Energy of the vertical gradient along lines of a slope: the same number in every thread.
__device__ inline f64 energy_of(const MeasureJob& job, i32* bins, u64* energy, f32 slope)
{
    u32 w = job.width, rows = job.height - 2;
    i32 reach = (i32)ceil(MAX_SLOPE * (f32)w / 2.0f) + 2;
    u32 count = job.height + 2 * (u32)reach;
    for (u32 i = threadIdx.x; i < count; i += THREADS) bins[i] = 0;
    if (threadIdx.x == 0) *energy = 0;
    __syncthreads();
    for (u32 i = threadIdx.x; i < w * rows; i += THREADS) {
        u32 x = i % w, y = i / w;
        i32 shift = reach - (i32)round(slope * ((f32)x + 0.5f - (f32)w / 2.0f));
        const u8* above = pointer<const u8>(job.from) + (u64)y * w + x;
        atomicAdd(&bins[(u32)shift + y], (i32)above[2 * (u64)w] - (i32)above[0]);
    }
    __syncthreads();
    u64 sum = 0;
    for (u32 i = threadIdx.x; i < count; i += THREADS) sum += (u64)((i64)bins[i] * bins[i]);
    atomicAdd(energy, sum);
    __syncthreads();
    f64 found = (f64)*energy;
    __syncthreads();
    return found;
}

KERNEL slants(const Batch<MeasureJob, 128> batch)
{
    __shared__ i32 bins[MAX_BINS];
    __shared__ u64 energy;
    const MeasureJob& job = batch.jobs[blockIdx.z];
    f64 level = energy_of(job, bins, &energy, 0.0f);
    f32 best = 0.0f;
    f64 most = level;
    for (i32 step = -10; step <= 10; step++) {
        f32 slope = (f32)step * (MAX_SLOPE / 10.0f);
        f64 e = energy_of(job, bins, &energy, slope);
        if (e > most) {
            most = e;
            best = slope;
        }
    }
    f32 around = best;
    for (i32 step = -4; step <= 4; step++) {
        f32 slope = around + (f32)step * (MAX_SLOPE / 50.0f);
        if (fabs(slope) > MAX_SLOPE) continue;
        f64 e = energy_of(job, bins, &energy, slope);
        if (e > most) {
            most = e;
            best = slope;
        }
    }
    if (threadIdx.x != 0) return;
    bool is_clear = level > 0.0 && fabs(best) <= MAX_SLOPE * 0.95f;
    pointer<f32>(job.out)[0] = best;
    pointer<f32>(job.out)[1] = is_clear ? (f32)(most / level) : 0.0f;
}
