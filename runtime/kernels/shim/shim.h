// What CUDA gives a kernel, for a C++ compiler: each thread of a block is a fiber, a barrier lets the others run up to it.
#pragma once

#include <cmath>
#include <cstring>

#define GANTRY_SHIM 1
#define __global__
#define __device__
#define __shared__ static thread_local
#define __align__(bytes) alignas(bytes)

using std::ceil;
using std::fabs;
using std::floor;
using std::round;
using std::sqrt;

struct Three {
    unsigned x, y, z;
};
extern thread_local Three threadIdx, blockIdx, blockDim, gridDim;

namespace shim {
// The block's shared memory of launch-time size.
extern thread_local unsigned char* shared;
void barrier();
}

// The driver shim (tests/gpu/shim) maps device memory at host addresses and adds 2^52 to them, which no pointer of the host has.
template <class T>
inline T* pointer(unsigned long long address)
{
    return (T*)(address & ((1ull << 52) - 1));
}

#define DYNAMIC_SHARED(type, name) type* name = (type*)shim::shared
#define __syncthreads() shim::barrier()

// One thread of the host runs all threads of a block, so nothing comes between.
template <class T>
inline T atomicAdd(T* to, T value)
{
    T before = *to;
    *to = before + value;
    return before;
}

inline unsigned __float_as_uint(float v)
{
    unsigned bits;
    std::memcpy(&bits, &v, sizeof bits);
    return bits;
}

inline float __uint_as_float(unsigned bits)
{
    float v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
}
