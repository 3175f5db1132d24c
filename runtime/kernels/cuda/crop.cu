// Plates made upright: columns moved along a slope, as `Cutter::rgb` does, and four corners to a rectangle, as `Cutter::quad` does.
#include "common.cuh"

// u8 [height, width, 3] out of a taller level cut whose rows lie 3 * width bytes apart.
struct ShearJob {
    u64 from, out;
    f64 rows_per_column;
    u32 out_stride, width, height;
    // Rows of `from` above the first row of `out`.
    u32 reach;
};

KERNEL shears(const Batch<ShearJob, 64> batch)
{
    const ShearJob& job = batch.jobs[blockIdx.z];
    u32 x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= job.width || y >= job.height) return;
    f64 from = (f64)job.reach + job.rows_per_column * ((f64)x + 0.5 - (f64)job.width / 2.0);
    i32 weights[4];
    cubic_q14(from - floor(from), weights);
    u32 stride = 3 * job.width;
    const u8* sample = row_of(job.from, stride, y + (u32)floor(from) - 1) + 3 * x;
    u8* pixel = row_to(job.out, job.out_stride, y) + 3 * x;
    for (u32 c = 0; c < 3; c++) {
        i32 sum = 0;
        for (u32 k = 0; k < 4; k++) sum += weights[k] * (i32)sample[(u64)k * stride + c];
        pixel[c] = (u8)clamp((sum + (1 << 13)) >> 14, 0, 255);
    }
}

// Corners of a frame to a rectangle. `matrix` takes places of the rectangle to the frame's luma samples: (x, y, 1) to (sx w, sy w, w).
struct QuadJob {
    u64 y, u, v;
    u32 y_stride, chroma_stride, chroma_bytes;
    u32 frame_width, frame_height;
    u32 width, height, out_stride;
    u64 out;
    f64 matrix[9];
    Colour colour;
    // Each pixel is the mean of samples x samples places, so that a large plate does not alias.
    u32 samples;
};

// Two or four weighted samples around a place, the border repeated.
__device__ inline i32 cubic_at(const QuadJob& job, f64 sx, f64 sy)
{
    i32 across[4], down[4];
    f64 x = floor(sx - 0.5), y = floor(sy - 0.5);
    cubic_q14(sx - 0.5 - x, across);
    cubic_q14(sy - 0.5 - y, down);
    i64 left = (i64)x - 1, top = (i64)y - 1;
    i32 sum = 0;
    for (i32 i = 0; i < 4; i++) {
        u32 column = (u32)clamp64(left + i, 0, (i64)job.frame_width - 1);
        i32 mid = 0;
        for (i32 k = 0; k < 4; k++) {
            u32 row = (u32)clamp64(top + k, 0, (i64)job.frame_height - 1);
            mid += down[k] * (i32)row_of(job.y, job.y_stride, row)[column];
        }
        sum += across[i] * (i32)mid_q6(mid);
    }
    return luma_q7(sum);
}

__device__ inline i32 linear_at(const QuadJob& job, u64 plane, f64 sx, f64 sy)
{
    u32 w = (job.frame_width + 1) / 2, h = (job.frame_height + 1) / 2;
    f64 cx = sx / 2.0 - 0.5, cy = sy / 2.0 - 0.5;
    f64 x = floor(cx), y = floor(cy);
    i32 right = (i32)round((cx - x) * 16384.0), below = (i32)round((cy - y) * 16384.0);
    i32 across[2] = {16384 - right, right}, down[2] = {16384 - below, below};
    i32 sum = 0;
    for (i32 i = 0; i < 2; i++) {
        u32 column = (u32)clamp64((i64)x + i, 0, (i64)w - 1);
        i32 mid = 0;
        for (i32 k = 0; k < 2; k++) {
            u32 row = (u32)clamp64((i64)y + k, 0, (i64)h - 1);
            mid += down[k] * (i32)row_of(plane, job.chroma_stride, row)[(u64)column * job.chroma_bytes];
        }
        sum += across[i] * (i32)mid_q6(mid);
    }
    return chroma_q8(sum);
}

__device__ inline i32 mean_of(i32 sum, i32 count) { return (sum + (sum < 0 ? -count / 2 : count / 2)) / count; }

KERNEL quads(const Batch<QuadJob, 20> batch)
{
    const QuadJob& job = batch.jobs[blockIdx.z];
    u32 x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= job.width || y >= job.height) return;
    i32 luma = 0, blue = 0, red = 0;
    for (u32 j = 0; j < job.samples; j++) {
        for (u32 i = 0; i < job.samples; i++) {
            f64 px = (f64)x + ((f64)i + 0.5) / (f64)job.samples, py = (f64)y + ((f64)j + 0.5) / (f64)job.samples;
            const f64* m = job.matrix;
            f64 w = m[6] * px + m[7] * py + m[8];
            f64 sx = (m[0] * px + m[1] * py + m[2]) / w, sy = (m[3] * px + m[4] * py + m[5]) / w;
            luma += cubic_at(job, sx, sy);
            blue += linear_at(job, job.u, sx, sy);
            red += linear_at(job, job.v, sx, sy);
        }
    }
    i32 count = (i32)(job.samples * job.samples);
    Pixel p = rgb_of(job.colour, (i16)mean_of(luma, count), (i16)mean_of(blue, count), (i16)mean_of(red, count));
    u8* pixel = row_to(job.out, job.out_stride, y) + 3 * x;
    pixel[0] = p.r;
    pixel[1] = p.g;
    pixel[2] = p.b;
}
