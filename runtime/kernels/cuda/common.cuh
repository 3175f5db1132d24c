// What all kernels share: short names for numbers, rows of a plane, weights of an axis, colour.
//
// One text for two compilers: NVRTC at run time, and the host's C++ compiler through shim/shim.h in the tests. So no CUDA header is included,
// no warp intrinsic and no inline assembly is used, and all arithmetic is integers or IEEE operations in a fixed order without contraction
// (--fmad=false, -ffp-contract=off): a kernel gives the bytes that the Rust implementation in runtime/images gives, on every card.
#pragma once

typedef unsigned char u8;
typedef signed short i16;
typedef unsigned short u16;
typedef signed int i32;
typedef unsigned int u32;
typedef signed long long i64;
typedef unsigned long long u64;
typedef float f32;
typedef double f64;

#define KERNEL extern "C" __global__ void

#ifndef GANTRY_SHIM
// What lies at an address of the device.
template <class T>
__device__ inline T* pointer(u64 address)
{
    return (T*)address;
}

// Shared memory whose size the launch decides.
#define DYNAMIC_SHARED(type, name) extern __shared__ __align__(16) type name[]
#endif

// Jobs travel as the kernel's one argument: no table to upload, and the values are read as constants.
template <class Job, u32 N>
struct Batch {
    u32 count;
    u32 reserved;
    Job jobs[N];
};

__device__ inline i32 smaller(i32 a, i32 b) { return a < b ? a : b; }
__device__ inline i32 larger(i32 a, i32 b) { return a < b ? b : a; }
__device__ inline i32 clamp(i32 v, i32 low, i32 high) { return smaller(larger(v, low), high); }
__device__ inline i64 clamp64(i64 v, i64 low, i64 high) { return v < low ? low : v > high ? high : v; }

// Row `y` of rows of bytes that lie `stride` apart.
__device__ inline const u8* row_of(u64 plane, u32 stride, u32 y) { return pointer<const u8>(plane + (u64)stride * y); }
__device__ inline u8* row_to(u64 plane, u32 stride, u32 y) { return pointer<u8>(plane + (u64)stride * y); }

// Weights of a resampling filter along one axis, made by `axes` (axes.cu): for output sample i the source samples from first[i] on,
// times `count` weights in Q14.
struct Axis {
    u64 first;
    u64 weights;
    u32 count;
    u32 reserved;
};

__device__ inline u32 first_of(const Axis& axis, u32 i) { return pointer<const u32>(axis.first)[i]; }
__device__ inline const i16* weights_of(const Axis& axis, u32 i) { return pointer<const i16>(axis.weights) + (u64)axis.count * i; }

// Catmull-Rom cubic, a = -0.5.
__device__ inline f64 catmull_rom(f64 x)
{
    x = fabs(x);
    if (x < 1.0) return (1.5 * x - 2.5) * x * x + 1.0;
    if (x < 2.0) return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0;
    return 0.0;
}

// Four Catmull-Rom weights in Q14 for a place `fraction` behind the second sample; they sum to exactly 1.
__device__ inline void cubic_q14(f64 fraction, i32 weights[4])
{
    i32 sum = 0;
    for (i32 k = 0; k < 4; k++) {
        weights[k] = (i32)round(catmull_rom((f64)(k - 1) - fraction) * 16384.0);
        sum += weights[k];
    }
    weights[1] += 16384 - sum;
}

// The sum of weighted samples of the vertical pass (Q14), as Q6 between the passes.
__device__ inline i16 mid_q6(i32 sum_q14) { return (i16)((sum_q14 + (1 << 7)) >> 8); }
// After the horizontal pass: luma times 128, centred chroma times 256, a level.
__device__ inline i16 luma_q7(i32 sum) { return (i16)clamp((sum + (1 << 12)) >> 13, 0, 255 * 128); }
__device__ inline i16 chroma_q8(i32 sum) { return (i16)clamp(((sum + (1 << 11)) >> 12) - 128 * 256, -32768, 32767); }
__device__ inline u8 level_u8(i32 sum) { return (u8)clamp((sum + (1 << 19)) >> 20, 0, 255); }

// Y, U, V to R, G, B: the constants of `Coefficients` in runtime/images/src/colour.rs.
struct Colour {
    i16 y_offset_q7, y_q14, r_v_q13, g_u_q13, g_v_q13, b_u_q13;
};

struct Pixel {
    u8 r, g, b;
};

__device__ inline i16 mul_high(i16 a, i16 b) { return (i16)(((i32)a * (i32)b) >> 16); }
__device__ inline u8 level_of(i16 q5) { return (u8)clamp((i32)(i16)(q5 + 17) >> 5, 0, 255); }

__device__ inline Pixel rgb_of(const Colour& c, i16 y_q7, i16 u_q8, i16 v_q8)
{
    i16 luma = mul_high((i16)(y_q7 - c.y_offset_q7), c.y_q14);
    Pixel p;
    p.r = level_of((i16)(luma + mul_high(v_q8, c.r_v_q13)));
    p.g = level_of((i16)(luma - mul_high(u_q8, c.g_u_q13) - mul_high(v_q8, c.g_v_q13)));
    p.b = level_of((i16)(luma + mul_high(u_q8, c.b_u_q13)));
    return p;
}
