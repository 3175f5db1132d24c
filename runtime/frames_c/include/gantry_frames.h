/* Reading Gantry's frames from another language: version 1.
 *
 * A message `frames/v1` or `crops/v1` carries a handle of 192 bytes per frame. gantry_frame_acquire takes the frame that it names, in the
 * memory that the producer wrote it to: nothing is copied. The library holds the lease, so that the frame is not overwritten until
 * gantry_frame_release; a process that dies gives its leases back.
 *
 * Lossless runs: every frame must be acknowledged with gantry_frame_done, taken or not, after your own output for it is out; until then its
 * buffer is not used again, and the run waits.
 *
 * Each function may be called from any thread. Errors: the text is written to `error` (cut at `error_bytes`, always ended by 0).
 */
#ifndef GANTRY_FRAMES_H
#define GANTRY_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GANTRY_FRAMES_VERSION 1

typedef struct gantry_reader gantry_reader;
typedef struct gantry_frame gantry_frame;

enum gantry_result {
  GANTRY_OK = 0,
  GANTRY_STALE = 1,  /* live mode: overwritten before it was read; leave it out */
  GANTRY_CLOSED = 2, /* the producer has ended */
  GANTRY_ERROR = 3   /* see `error` */
};

enum gantry_kind { GANTRY_PICTURE = 0, GANTRY_TENSOR = 1 };

typedef struct {
  uint64_t offset;    /* of the first row, from `data` */
  uint32_t stride;    /* bytes from one row to the next */
  uint32_t rows;      /* visible rows */
  uint64_t row_bytes; /* visible bytes of a row */
} gantry_plane;

typedef struct {
  const uint8_t *data; /* read-only; valid until gantry_frame_release */
  uint64_t bytes;
  uint32_t kind;
  uint32_t format; /* picture: I420, NV12, RGB3, BGR3, GREY as four characters, first in the lowest byte; tensor: 1 u8, 2 f16, 3 f32 */
  uint32_t width, height; /* picture: px */
  uint32_t planes;        /* picture */
  gantry_plane plane[4];
  uint32_t rank;          /* tensor */
  uint32_t shape[6];      /* length of each axis, outermost first */
  uint64_t strides[6];    /* bytes from element to element along each axis */
} gantry_view;

/* GANTRY_FRAMES_VERSION of the library: compare before anything else. */
uint32_t gantry_frames_version(void);

/* A reader for one node of one run. `folder`: sockets of all runs, or NULL for GANTRY_RUNTIME_DIR or its default. `run`: dora's id of the
 * dataflow. `node`: this node's id in the graph. `max_held`: frames held at once, at most 8. `lossless`: 1 unless GANTRY_MODE is `live`.
 * NULL on error. */
gantry_reader *gantry_reader_open(const char *folder, const char *run, const char *node, uint32_t max_held, uint32_t lossless, char *error,
                                  size_t error_bytes);

/* Frames that are still held stay valid. */
void gantry_reader_close(gantry_reader *reader);

/* Takes the frame of a handle of 192 bytes. */
int32_t gantry_frame_acquire(gantry_reader *reader, const uint8_t *handle, gantry_frame **frame, gantry_view *view, char *error,
                             size_t error_bytes);

/* Gives the frame back: its bytes must not be read any more. */
void gantry_frame_release(gantry_frame *frame);

/* Lossless: this node is done with the frame, taken or not. Live: does nothing. */
int32_t gantry_frame_done(gantry_reader *reader, const uint8_t *handle, char *error, size_t error_bytes);

#ifdef __cplusplus
}
#endif

#endif
