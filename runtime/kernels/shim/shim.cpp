// Runs kernels on the host: blocks one after the other. The threads of a block run to their end where the kernel has no barrier; else they are fibers,
// so that __syncthreads means what it means on a GPU. A fiber is entered with setcontext once and then with longjmp, which makes no system call.
#include "shim.h"

#include "axes.cu"
#include "crop.cu"
#include "detect.cu"
#include "input.cu"
#include "measure.cu"
#include "operators.cu"
#include "resample.cu"

#include <csetjmp>
#include <cstdlib>
#include <ucontext.h>

thread_local Three threadIdx, blockIdx, blockDim, gridDim;

namespace shim {
thread_local unsigned char* shared;

namespace {
const unsigned STACK_BYTES = 64 * 1024;
const unsigned MOST_THREADS = 1024;

typedef void (*Call)(const void* arguments);

struct Fiber {
    ucontext_t context;
    jmp_buf place;
    char* stack;
    bool has_started;
};

thread_local Fiber* fibers[MOST_THREADS];
thread_local jmp_buf scheduler;
thread_local Fiber* running;
thread_local bool has_ended;
thread_local Call call;
thread_local const void* arguments;

void body()
{
    for (;;) {
        call(arguments);
        has_ended = true;
        barrier();
    }
}

Fiber* new_fiber()
{
    Fiber* fiber = (Fiber*)std::calloc(1, sizeof(Fiber));
    if (!fiber) std::abort();
    fiber->stack = (char*)std::malloc(STACK_BYTES);
    if (!fiber->stack) std::abort();
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = STACK_BYTES;
    fiber->context.uc_link = nullptr;
    makecontext(&fiber->context, body, 0);
    return fiber;
}

void become(unsigned thread)
{
    threadIdx.x = thread % blockDim.x;
    threadIdx.y = thread / blockDim.x % blockDim.y;
    threadIdx.z = thread / blockDim.x / blockDim.y;
}

void enter()
{
    if (running->has_started) _longjmp(running->place, 1);
    running->has_started = true;
    setcontext(&running->context);
}

// Runs `fiber` until its thread ends or waits; whether it ended.
bool resume(Fiber* fiber, unsigned thread)
{
    become(thread);
    has_ended = false;
    running = fiber;
    if (_setjmp(scheduler) == 0) enter();
    return has_ended;
}

void run_straight(unsigned threads, bool is_reverse)
{
    for (unsigned i = 0; i < threads; i++) {
        become(is_reverse ? threads - 1 - i : i);
        call(arguments);
    }
}

void run_fibers(unsigned threads, bool is_reverse)
{
    static thread_local Fiber* spare[MOST_THREADS];
    static thread_local unsigned spares;
    unsigned waiting = 0;
    for (unsigned i = 0; i < threads; i++) {
        unsigned t = is_reverse ? threads - 1 - i : i;
        Fiber* fiber = spares ? spare[--spares] : new_fiber();
        fibers[t] = fiber;
        if (resume(fiber, t)) {
            fibers[t] = nullptr;
            spare[spares++] = fiber;
        } else {
            waiting++;
        }
    }
    while (waiting) {
        for (unsigned i = 0; i < threads; i++) {
            unsigned t = is_reverse ? threads - 1 - i : i;
            if (fibers[t] && resume(fibers[t], t)) {
                spare[spares++] = fibers[t];
                fibers[t] = nullptr;
                waiting--;
            }
        }
    }
}

template <class Argument, void (*kernel)(const Argument)>
void call_with(const void* arguments)
{
    kernel(*(const Argument*)arguments);
}

struct Known {
    const char* name;
    Call call;
    unsigned bytes;
    bool has_barrier;
};

template <class Argument, void (*kernel)(const Argument)>
constexpr Known known(const char* name, bool has_barrier)
{
    return Known{name, call_with<Argument, kernel>, sizeof(Argument), has_barrier};
}

#define STRAIGHT(argument, kernel) known<argument, kernel>(#kernel, false)
#define WITH_BARRIER(argument, kernel) known<argument, kernel>(#kernel, true)
typedef Batch<AxisJob, 48> AxisBatch;
typedef Batch<HalfJob, 16> HalfBatch;
typedef Batch<ShearJob, 64> ShearBatch;
typedef Batch<QuadJob, 20> QuadBatch;
typedef Batch<GreyJob, 64> GreyBatch;
typedef Batch<ClaheJob, 48> ClaheBatch;
typedef Batch<MeasureJob, 128> MeasureBatch;

const Known KERNELS[] = {
    STRAIGHT(AxisBatch, axes),
    WITH_BARRIER(FrameBatch, frames),
    WITH_BARRIER(PlaneBatch, planes),
    STRAIGHT(HalfBatch, halves),
    STRAIGHT(ShearBatch, shears),
    STRAIGHT(QuadBatch, quads),
    STRAIGHT(GreyBatch, greys),
    WITH_BARRIER(GreyBatch, equalize),
    WITH_BARRIER(ClaheBatch, clahe_tables),
    STRAIGHT(ClaheBatch, clahe_mix),
    STRAIGHT(BlurBatch, blur_rows),
    STRAIGHT(BlurBatch, blur_columns),
    STRAIGHT(ExtremeBatch, extremes),
    WITH_BARRIER(MeasureBatch, legibilities),
    WITH_BARRIER(MeasureBatch, slants),
    STRAIGHT(CandidateBatch, candidates),
    STRAIGHT(LevelBatch, levels),
};
}

// A barrier in a kernel that is not listed with one finds no fiber.
void barrier()
{
    if (!running) std::abort();
    if (_setjmp(running->place) == 0) _longjmp(scheduler, 1);
}
}

// Bytes of a kernel's argument; 0 for no such kernel.
extern "C" unsigned gantry_shim_argument_bytes(const char* name)
{
    for (const shim::Known& known : shim::KERNELS) {
        if (std::strcmp(known.name, name) == 0) return known.bytes;
    }
    return 0;
}

// 0: done. 1: no such kernel. 2: its argument has another size. 3: more threads or shared memory than a GPU has.
extern "C" int gantry_shim_launch(const char* name, const unsigned grid[3], const unsigned block[3], unsigned shared_bytes, const void* arguments,
                                  unsigned argument_bytes, int is_reverse)
{
    const shim::Known* found = nullptr;
    for (const shim::Known& known : shim::KERNELS) {
        if (std::strcmp(known.name, name) == 0) found = &known;
    }
    if (!found) return 1;
    if (found->bytes != argument_bytes) return 2;
    unsigned threads = block[0] * block[1] * block[2];
    if (threads == 0 || threads > shim::MOST_THREADS || shared_bytes > 48 * 1024) return 3;
    if (grid[0] == 0 || grid[1] == 0 || grid[1] > 65535 || grid[2] == 0 || grid[2] > 65535) return 3;
    shim::call = found->call;
    shim::arguments = arguments;
    gridDim = Three{grid[0], grid[1], grid[2]};
    blockDim = Three{block[0], block[1], block[2]};
    for (unsigned z = 0; z < grid[2]; z++) {
        for (unsigned y = 0; y < grid[1]; y++) {
            for (unsigned x = 0; x < grid[0]; x++) {
                blockIdx = Three{x, y, z};
                // Exactly as long as asked for, so that a tool that watches the heap sees an access beyond it; no byte is known.
                shim::shared = (unsigned char*)std::malloc(shared_bytes ? shared_bytes : 1);
                if (!shim::shared) std::abort();
                std::memset(shim::shared, 0xa5, shared_bytes);
                if (found->has_barrier) shim::run_fibers(threads, is_reverse != 0);
                else shim::run_straight(threads, is_reverse != 0);
                shim::running = nullptr;
                std::free(shim::shared);
            }
        }
    }
    return 0;
}
