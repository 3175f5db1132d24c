// Grey pictures as the numbers that a model takes.
#include "common.cuh"

// u8 [count, pixels] to [count, channels, pixels], or [count, pixels, channels]; the grid's z is the picture. What number a level is stands in a table
// that the host made: the same one on every card.
struct LevelBatch {
    u64 from;
    u64 out;
    u32 pixels;
    u32 channels;
    u32 is_planar;
    // Bytes of a number: 1, 2 or 4.
    u32 bytes;
    u32 table[256];
};

KERNEL levels(const LevelBatch batch)
{
    u32 pixel = blockIdx.x * blockDim.x + threadIdx.x;
    if (pixel >= batch.pixels) return;
    u64 pixels = batch.pixels, channels = batch.channels, picture = blockIdx.z;
    u32 number = batch.table[pointer<const u8>(batch.from)[picture * pixels + pixel]];
    for (u64 c = 0; c < channels; c++) {
        u64 at = batch.is_planar ? (picture * channels + c) * pixels + pixel : (picture * pixels + pixel) * channels + c;
        if (batch.bytes == 1) {
            pointer<u8>(batch.out)[at] = (u8)number;
        } else if (batch.bytes == 2) {
            pointer<u16>(batch.out)[at] = (u16)number;
        } else {
            pointer<u32>(batch.out)[at] = number;
        }
    }
}
