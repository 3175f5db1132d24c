// The preprocessing operators on batches of grey crops, byte for byte as operators/* makes them. The job's z is the crop.
#include "common.cuh"

#define LEVELS 256

// u8 [height, width, 3] to grey: BT.601 luma, as `gray_from_rgb`.
struct GreyJob {
    u64 from, out;
    u32 from_stride, out_stride, width, height;
};

KERNEL greys(const Batch<GreyJob, 64> batch)
{
    const GreyJob& job = batch.jobs[blockIdx.z];
    u32 x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= job.width || y >= job.height) return;
    const u8* p = row_of(job.from, job.from_stride, y) + 3 * x;
    row_to(job.out, job.out_stride, y)[x] = (u8)((77u * p[0] + 150u * p[1] + 29u * p[2] + 128u) >> 8);
}

// Counts the levels of x0..x1, y0..y1; all threads of the block, one per level.
__device__ inline void count_levels(u32* counts, u64 from, u32 stride, u32 x0, u32 x1, u32 y0, u32 y1)
{
    counts[threadIdx.x] = 0;
    __syncthreads();
    u32 width = x1 - x0, pixels = width * (y1 - y0);
    for (u32 i = threadIdx.x; i < pixels; i += LEVELS) atomicAdd(&counts[row_of(from, stride, y0 + i / width)[x0 + i % width]], 1u);
    __syncthreads();
}

// Histogram equalisation of the whole crop by one block of 256 threads.
KERNEL equalize(const Batch<GreyJob, 64> batch)
{
    __shared__ u32 counts[LEVELS];
    __shared__ u8 table[LEVELS];
    const GreyJob& job = batch.jobs[blockIdx.z];
    count_levels(counts, job.from, job.from_stride, 0, job.width, 0, job.height);
    u32 level = threadIdx.x;
    u64 sum = 0, darkest = 0;
    for (u32 l = 0; l < LEVELS; l++) {
        if (l <= level) sum += counts[l];
        if (darkest == 0) darkest = counts[l];
    }
    u64 spread = (u64)job.width * job.height - darkest;
    u64 above = sum > darkest ? sum - darkest : 0;
    table[level] = spread == 0 ? (u8)level : (u8)((above * 255 + spread / 2) / spread);
    __syncthreads();
    u32 pixels = job.width * job.height;
    for (u32 i = threadIdx.x; i < pixels; i += LEVELS) {
        u32 x = i % job.width, y = i / job.width;
        row_to(job.out, job.out_stride, y)[x] = table[row_of(job.from, job.from_stride, y)[x]];
    }
}

// CLAHE: a table per tile, then a mix of the four around each pixel.
struct ClaheJob {
    u64 from, out;
    // u8 [down, across, 256].
    u64 tables;
    f64 clip_limit;
    u32 from_stride, out_stride, width, height, across, down;
};

// A block of 256 threads per tile (x) of a crop (z).
KERNEL clahe_tables(const Batch<ClaheJob, 48> batch)
{
    __shared__ u32 counts[LEVELS];
    const ClaheJob& job = batch.jobs[blockIdx.z];
    if (blockIdx.x >= job.across * job.down) return;
    u32 tx = blockIdx.x % job.across, ty = blockIdx.x / job.across;
    u32 x0 = tx * job.width / job.across, x1 = (tx + 1) * job.width / job.across;
    u32 y0 = ty * job.height / job.down, y1 = (ty + 1) * job.height / job.down;
    count_levels(counts, job.from, job.from_stride, x0, x1, y0, y1);
    u64 pixels = (u64)(x1 - x0) * (y1 - y0);
    u32 limit = (u32)round(job.clip_limit * (f64)pixels / 256.0);
    if (limit < 1) limit = 1;
    u32 excess = 0;
    for (u32 l = 0; l < LEVELS; l++) excess += counts[l] > limit ? counts[l] - limit : 0;
    u32 share = excess / LEVELS, rest = excess % LEVELS, level = threadIdx.x;
    u64 sum = 0;
    for (u32 l = 0; l <= level; l++) {
        // The remainder goes to evenly spaced levels.
        u32 extra = (l + 1) * rest / LEVELS > l * rest / LEVELS ? 1 : 0;
        sum += (counts[l] < limit ? counts[l] : limit) + share + extra;
    }
    pointer<u8>(job.tables)[(u64)blockIdx.x * LEVELS + level] = (u8)((sum * 255 + pixels / 2) / pixels);
}

// The two tiles whose centres lie around position i of n, and the weight of the second in Q8.
__device__ inline void between(u32 i, u32 n, u32 tiles, u32& first, u32& second, i32& weight)
{
    f64 at = ((f64)i + 0.5) * (f64)tiles / (f64)n - 0.5;
    f64 last = (f64)(tiles - 1);
    at = at < 0.0 ? 0.0 : at > last ? last : at;
    first = (u32)floor(at);
    second = first + 1 < tiles ? first + 1 : tiles - 1;
    weight = (i32)round((at - (f64)first) * 256.0);
}

KERNEL clahe_mix(const Batch<ClaheJob, 48> batch)
{
    const ClaheJob& job = batch.jobs[blockIdx.z];
    u32 x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= job.width || y >= job.height) return;
    u32 left, right, above, below;
    i32 side, down;
    between(x, job.width, job.across, left, right, side);
    between(y, job.height, job.down, above, below, down);
    u32 level = row_of(job.from, job.from_stride, y)[x];
    const u8* upper = pointer<const u8>(job.tables) + (u64)above * job.across * LEVELS + level;
    const u8* lower = pointer<const u8>(job.tables) + (u64)below * job.across * LEVELS + level;
    i32 mix_upper = (i32)upper[left * LEVELS] * (256 - side) + (i32)upper[right * LEVELS] * side;
    i32 mix_lower = (i32)lower[left * LEVELS] * (256 - side) + (i32)lower[right * LEVELS] * side;
    row_to(job.out, job.out_stride, y)[x] = (u8)((mix_upper * (256 - down) + mix_lower * down + (1 << 15)) >> 16);
}

// A mean of the surroundings, along rows and then along columns, with what is made of it.
struct BlurJob {
    u64 from, out;
    // u16 [height, width] between the passes.
    u64 middle;
    u32 from_stride, out_stride, width, height;
};

#define THRESHOLD 0
#define SHARPEN 1

struct BlurBatch {
    u32 count;
    u32 radius;
    // A Gaussian in Q14: the middle, then outwards. Without one each sample of the square counts the same.
    u32 is_gaussian;
    u32 finish;
    // THRESHOLD: levels below the mean. SHARPEN: amount in Q8, and the smallest difference.
    i32 amount;
    i32 threshold;
    i32 weights_q14[128];
    BlurJob jobs[64];
};

KERNEL blur_rows(const BlurBatch batch)
{
    const BlurJob& job = batch.jobs[blockIdx.z];
    u32 x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= job.width || y >= job.height) return;
    const u8* row = row_of(job.from, job.from_stride, y);
    i32 last = (i32)job.width - 1, at = (i32)x;
    i32 sum = batch.is_gaussian ? (1 << 7) + batch.weights_q14[0] * (i32)row[x] : (i32)row[x];
    for (i32 k = 1; k <= (i32)batch.radius; k++) {
        i32 pair = (i32)row[larger(at - k, 0)] + (i32)row[smaller(at + k, last)];
        sum += batch.is_gaussian ? batch.weights_q14[k] * pair : pair;
    }
    pointer<u16>(job.middle)[(u64)y * job.width + x] = (u16)(batch.is_gaussian ? sum >> 8 : sum);
}

KERNEL blur_columns(const BlurBatch batch)
{
    const BlurJob& job = batch.jobs[blockIdx.z];
    u32 x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= job.width || y >= job.height) return;
    const u16* middle = pointer<const u16>(job.middle) + x;
    i32 last = (i32)job.height - 1, at = (i32)y;
    i32 own = (i32)middle[(u64)at * job.width];
    i32 sum = batch.is_gaussian ? (1 << 19) + batch.weights_q14[0] * own : own;
    for (i32 k = 1; k <= (i32)batch.radius; k++) {
        i32 pair = (i32)middle[(u64)larger(at - k, 0) * job.width] + (i32)middle[(u64)smaller(at + k, last) * job.width];
        sum += batch.is_gaussian ? batch.weights_q14[k] * pair : pair;
    }
    i32 side = 2 * (i32)batch.radius + 1, area = side * side;
    i32 soft = batch.is_gaussian ? clamp(sum >> 20, 0, 255) : (sum + area / 2) / area;
    i32 level = (i32)row_of(job.from, job.from_stride, y)[x];
    i32 made;
    if (batch.finish == THRESHOLD) {
        made = level > soft - batch.amount ? 255 : 0;
    } else {
        i32 difference = level - soft;
        bool counts = (difference < 0 ? -difference : difference) > batch.threshold;
        made = clamp(level + (counts ? (difference * batch.amount + 128) >> 8 : 0), 0, 255);
    }
    row_to(job.out, job.out_stride, y)[x] = (u8)made;
}

// Minimum or maximum over `before` samples to the left (above) and `after` to the right (below); the border cuts the reach off.
struct ExtremeJob {
    u64 from, out;
    // What the result is combined with; 0 for nothing.
    u64 other;
    u32 from_stride, out_stride, other_stride, width, height;
    u32 reserved;
};

#define PLAIN 0
#define OTHER_LESS_RESULT 1
#define RESULT_LESS_OTHER 2

struct ExtremeBatch {
    u32 count;
    u32 is_maximum;
    u32 is_column;
    u32 before, after;
    u32 combine;
    u32 reserved[2];
    ExtremeJob jobs[64];
};

KERNEL extremes(const ExtremeBatch batch)
{
    const ExtremeJob& job = batch.jobs[blockIdx.z];
    u32 x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= job.width || y >= job.height) return;
    i32 at = (i32)(batch.is_column ? y : x), last = (i32)(batch.is_column ? job.height : job.width) - 1;
    i32 from = larger(at - (i32)batch.before, 0), to = smaller(at + (i32)batch.after, last);
    u64 step = batch.is_column ? job.from_stride : 1;
    const u8* line = batch.is_column ? pointer<const u8>(job.from) + x : row_of(job.from, job.from_stride, y);
    i32 found = line[step * (u64)from];
    for (i32 i = from + 1; i <= to; i++) {
        i32 v = line[step * (u64)i];
        found = batch.is_maximum ? larger(found, v) : smaller(found, v);
    }
    if (batch.combine != PLAIN) {
        i32 other = row_of(job.other, job.other_stride, y)[x];
        found = batch.combine == OTHER_LESS_RESULT ? other - found : found - other;
    }
    row_to(job.out, job.out_stride, y)[x] = (u8)found;
}
