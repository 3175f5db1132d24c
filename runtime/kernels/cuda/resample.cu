// Frames and planes at another size: vertical pass into shared memory, then along the row, as `Resampler` in runtime/images/src/resample.rs does.
#include "common.cuh"

// A block makes a tile of 32 pixels by as many rows as its shared memory holds.
#define TILE 32

// Bytes between the weights' samples: 1, or 2 for one channel of interleaved chroma.
__device__ inline i16 vertical(u64 plane, u32 stride, u32 pixel_bytes, const Axis& axis, u32 row, u32 column)
{
    const i16* weights = weights_of(axis, row);
    const u8* sample = row_of(plane, stride, first_of(axis, row)) + (u64)column * pixel_bytes;
    i32 sum = 0;
    for (u32 k = 0; k < axis.count; k++, sample += stride) sum += (i32)weights[k] * (i32)*sample;
    return mid_q6(sum);
}

__device__ inline i32 horizontal(const i16* mid, u32 mid_first, const Axis& axis, u32 column)
{
    const i16* weights = weights_of(axis, column);
    const i16* samples = mid + (first_of(axis, column) - mid_first);
    i32 sum = 0;
    for (u32 k = 0; k < axis.count; k++) sum += (i32)weights[k] * (i32)samples[k];
    return sum;
}

// What a model takes: element strides say planar or interleaved.
struct Target {
    u64 out;
    u64 pixel_step, row_step, channel_step;
    f32 scale[3];
    f32 offset[3];
    u32 dtype;
    u32 pad_level;
};

#define U8 0
#define F16 1
#define F32 2

// IEEE half, rounded to the nearest even, of a finite number.
__device__ inline u16 half_of(f32 v)
{
    u32 bits = __float_as_uint(v);
    u32 sign = (bits >> 16) & 0x8000u;
    i32 exponent = (i32)((bits >> 23) & 255) - 127;
    u32 fraction = (bits & 0x7fffffu) | 0x800000u;
    if (exponent > 15) return (u16)(sign | 0x7c00u);
    if (exponent < -25) return (u16)sign;
    // Bits that a half does not have: 13, more for the numbers below 2^-14.
    u32 lost = exponent < -14 ? (u32)(13 - 14 - exponent) : 13u;
    u32 kept = fraction >> lost, rest = fraction & ((1u << lost) - 1), middle = 1u << (lost - 1);
    if (rest > middle || (rest == middle && (kept & 1))) kept++;
    // The leading one of `kept` adds 1 to the exponent field of a normal number; a carry does the rest.
    u32 field = exponent < -14 ? 0u : (u32)(exponent + 14) << 10;
    return (u16)(sign | (field + kept));
}

__device__ inline f32 number_of(const Target& to, u32 channel, u8 level) { return (f32)level * to.scale[channel] + to.offset[channel]; }

__device__ inline void put(const Target& to, u64 at, u32 channel, u8 level)
{
    if (to.dtype == U8) pointer<u8>(to.out)[at] = level;
    else if (to.dtype == F16) pointer<u16>(to.out)[at] = half_of(number_of(to, channel, level));
    else pointer<f32>(to.out)[at] = number_of(to, channel, level);
}

__device__ inline void put_pixel(const Target& to, u32 x, u32 y, Pixel p)
{
    u64 at = to.row_step * y + to.pixel_step * x;
    put(to, at, 0, p.r);
    put(to, at + to.channel_step, 1, p.g);
    put(to, at + 2 * to.channel_step, 2, p.b);
}

__device__ inline Pixel grey(u32 level)
{
    Pixel p = {(u8)level, (u8)level, (u8)level};
    return p;
}

// The planes of a 4:2:0 frame; of NV12 `u` is the plane and `v` one byte behind it, `chroma_bytes` 2.
struct Frame {
    u64 y, u, v;
    u32 y_stride, chroma_stride, chroma_bytes;
    u32 reserved;
    Colour colour;
    u32 reserved_too;
};

// The picture lies at (left, top) with inner_width x inner_height; the rest of width x height is `pad_level`.
struct Place {
    u32 width, height, left, top, inner_width, inner_height;
};

struct FrameJob {
    Frame frame;
    Axis luma_x, luma_y, chroma_x, chroma_y;
    Target to;
    Place place;
};

struct FrameBatch {
    u32 count;
    // Samples of a tile's row between the passes, the most of all jobs.
    u32 luma_columns;
    u32 chroma_columns;
    u32 reserved;
    FrameJob jobs[16];
};

// Samples that the tile's pixels x0..x1 need of a row.
struct Span {
    u32 first, count;
};

__device__ inline Span span_of(const Axis& axis, u32 x0, u32 x1)
{
    Span span;
    span.first = first_of(axis, x0);
    span.count = first_of(axis, x1 - 1) + axis.count - span.first;
    return span;
}

KERNEL frames(const FrameBatch batch)
{
    DYNAMIC_SHARED(i16, frame_rows);
    const FrameJob& job = batch.jobs[blockIdx.z];
    const Place& place = job.place;
    u32 tile_x = blockIdx.x * TILE, tile_y = blockIdx.y * blockDim.y;
    if (tile_x >= place.width || tile_y >= place.height) return;
    u32 x = tile_x + threadIdx.x, y = tile_y + threadIdx.y;

    // The part of the tile that is picture, in the picture's pixels.
    u32 x0 = tile_x > place.left ? tile_x - place.left : 0;
    u32 x1 = tile_x + TILE > place.left ? (u32)smaller((i32)(tile_x + TILE - place.left), (i32)place.inner_width) : 0;
    bool row_is_picture = y >= place.top && y - place.top < place.inner_height;
    u32 row_samples = batch.luma_columns + 2 * batch.chroma_columns;
    i16* luma = frame_rows + (u64)threadIdx.y * row_samples;
    i16* blue = luma + batch.luma_columns;
    i16* red = blue + batch.chroma_columns;
    Span luma_span = {0, 0}, chroma_span = {0, 0};
    if (x0 < x1) {
        luma_span = span_of(job.luma_x, x0, x1);
        chroma_span = span_of(job.chroma_x, x0, x1);
        if (row_is_picture) {
            const Frame& f = job.frame;
            u32 row = y - place.top;
            for (u32 c = threadIdx.x; c < luma_span.count; c += TILE) luma[c] = vertical(f.y, f.y_stride, 1, job.luma_y, row, luma_span.first + c);
            for (u32 c = threadIdx.x; c < chroma_span.count; c += TILE) {
                blue[c] = vertical(f.u, f.chroma_stride, f.chroma_bytes, job.chroma_y, row, chroma_span.first + c);
                red[c] = vertical(f.v, f.chroma_stride, f.chroma_bytes, job.chroma_y, row, chroma_span.first + c);
            }
        }
    }
    __syncthreads();
    if (x >= place.width || y >= place.height) return;
    bool is_picture = row_is_picture && x >= place.left && x - place.left < place.inner_width;
    Pixel pixel = grey(job.to.pad_level);
    if (is_picture) {
        u32 column = x - place.left;
        i16 y_q7 = luma_q7(horizontal(luma, luma_span.first, job.luma_x, column));
        i16 u_q8 = chroma_q8(horizontal(blue, chroma_span.first, job.chroma_x, column));
        i16 v_q8 = chroma_q8(horizontal(red, chroma_span.first, job.chroma_x, column));
        pixel = rgb_of(job.frame.colour, y_q7, u_q8, v_q8);
    }
    put_pixel(job.to, x, y, pixel);
}

// One 8-bit plane at another size.
struct PlaneJob {
    u64 from;
    Axis across, down;
    u64 out;
    u32 from_stride, out_stride, width, height;
};

struct PlaneBatch {
    u32 count;
    u32 columns;
    u32 reserved[2];
    PlaneJob jobs[32];
};

KERNEL planes(const PlaneBatch batch)
{
    DYNAMIC_SHARED(i16, plane_rows);
    const PlaneJob& job = batch.jobs[blockIdx.z];
    u32 x0 = blockIdx.x * TILE, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x0 >= job.width || blockIdx.y * blockDim.y >= job.height) return;
    u32 x1 = (u32)smaller((i32)(x0 + TILE), (i32)job.width);
    i16* mid = plane_rows + (u64)threadIdx.y * batch.columns;
    Span span = span_of(job.across, x0, x1);
    if (y < job.height) {
        for (u32 c = threadIdx.x; c < span.count; c += TILE) mid[c] = vertical(job.from, job.from_stride, 1, job.down, y, span.first + c);
    }
    __syncthreads();
    u32 x = x0 + threadIdx.x;
    if (x < x1 && y < job.height) row_to(job.out, job.out_stride, y)[x] = level_u8(horizontal(mid, span.first, job.across, x));
}

// Exactly half size, the common case (1080p into 960x544): the mean of 2x2 luma samples, chroma as it is. Nothing is kept between pixels, so the
// kernel is as fast as memory when four pixels are read and written at once.
struct HalfJob {
    Frame frame;
    Target to;
    Place place;
};

__device__ inline i16 mean_q7(const u8* upper, const u8* lower) { return (i16)(((i32)upper[0] + upper[1] + lower[0] + lower[1]) << 5); }
__device__ inline i16 centred_q8(u8 sample) { return (i16)(((i32)sample - 128) * 256); }

// Four pixels of one row; `count` of them are inside.
__device__ inline void halve(const HalfJob& job, u32 column, u32 row, u32 count, Pixel pixels[4])
{
    const Frame& f = job.frame;
    u8 upper[8], lower[8], blue[4], red[4];
    const u8* a = row_of(f.y, f.y_stride, 2 * row) + 2 * column;
    const u8* b = a + f.y_stride;
    const u8* u = row_of(f.u, f.chroma_stride, row) + (u64)column * f.chroma_bytes;
    const u8* v = row_of(f.v, f.chroma_stride, row) + (u64)column * f.chroma_bytes;
    bool is_whole = count == 4 && (((u64)a | (u64)b) & 7) == 0;
    if (is_whole) {
        u64 wide_a = *(const u64*)a, wide_b = *(const u64*)b;
        for (u32 i = 0; i < 8; i++) {
            upper[i] = (u8)(wide_a >> (8 * i));
            lower[i] = (u8)(wide_b >> (8 * i));
        }
    } else {
        for (u32 i = 0; i < 2 * count; i++) {
            upper[i] = a[i];
            lower[i] = b[i];
        }
    }
    if (count == 4 && f.chroma_bytes == 2 && ((u64)u & 7) == 0) {
        u64 pairs = *(const u64*)u;
        for (u32 i = 0; i < 4; i++) {
            blue[i] = (u8)(pairs >> (16 * i));
            red[i] = (u8)(pairs >> (16 * i + 8));
        }
    } else if (count == 4 && f.chroma_bytes == 1 && (((u64)u | (u64)v) & 3) == 0) {
        u32 four_u = *(const u32*)u, four_v = *(const u32*)v;
        for (u32 i = 0; i < 4; i++) {
            blue[i] = (u8)(four_u >> (8 * i));
            red[i] = (u8)(four_v >> (8 * i));
        }
    } else {
        for (u32 i = 0; i < count; i++) {
            blue[i] = u[i * f.chroma_bytes];
            red[i] = v[i * f.chroma_bytes];
        }
    }
    for (u32 i = 0; i < count; i++) pixels[i] = rgb_of(f.colour, mean_q7(upper + 2 * i, lower + 2 * i), centred_q8(blue[i]), centred_q8(red[i]));
}

__device__ inline u8 channel_of(const Pixel& p, u32 channel) { return channel == 0 ? p.r : channel == 1 ? p.g : p.b; }

// Four pixels into the rows of a planar tensor at once; false where an address is not aligned for it.
__device__ inline bool put_four(const Target& to, u32 x, u32 y, const Pixel pixels[4])
{
    u32 bytes = to.dtype == U8 ? 1 : to.dtype == F16 ? 2 : 4;
    u64 first = to.out + (to.row_step * y + x) * bytes, apart = to.channel_step * bytes;
    u64 unit = to.dtype == U8 ? 4 : 8;
    if (to.pixel_step != 1 || ((first | apart) & (unit - 1)) != 0) return false;
    for (u32 c = 0; c < 3; c++) {
        u64 at = first + apart * c;
        if (to.dtype == U8) {
            u32 four = 0;
            for (u32 i = 0; i < 4; i++) four |= (u32)channel_of(pixels[i], c) << (8 * i);
            *pointer<u32>(at) = four;
        } else if (to.dtype == F16) {
            u64 four = 0;
            for (u32 i = 0; i < 4; i++) four |= (u64)half_of(number_of(to, c, channel_of(pixels[i], c))) << (16 * i);
            *pointer<u64>(at) = four;
        } else {
            for (u32 i = 0; i < 4; i += 2) {
                u64 low = __float_as_uint(number_of(to, c, channel_of(pixels[i], c)));
                u64 high = __float_as_uint(number_of(to, c, channel_of(pixels[i + 1], c)));
                pointer<u64>(at)[i / 2] = low | high << 32;
            }
        }
    }
    return true;
}

// One thread per four pixels of a row.
KERNEL halves(const Batch<HalfJob, 16> batch)
{
    const HalfJob& job = batch.jobs[blockIdx.z];
    const Place& place = job.place;
    u32 x = (blockIdx.x * blockDim.x + threadIdx.x) * 4, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= place.width || y >= place.height) return;
    bool row_is_picture = y >= place.top && y - place.top < place.inner_height;
    bool is_inside = row_is_picture && x >= place.left && x + 4 <= place.left + place.inner_width;
    bool is_border = !row_is_picture || x + 4 <= place.left || x >= place.left + place.inner_width;
    Pixel pixels[4];
    for (u32 i = 0; i < 4; i++) pixels[i] = grey(job.to.pad_level);
    if (is_inside) halve(job, x - place.left, y - place.top, 4, pixels);
    else if (!is_border) {
        for (u32 i = 0; i < 4; i++) {
            if (x + i >= place.left && x + i - place.left < place.inner_width) halve(job, x + i - place.left, y - place.top, 1, pixels + i);
        }
    }
    if (x + 4 <= place.width && put_four(job.to, x, y, pixels)) return;
    for (u32 i = 0; i < 4 && x + i < place.width; i++) put_pixel(job.to, x + i, y, pixels[i]);
}
