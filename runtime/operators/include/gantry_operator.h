/* The operator ABI, version 1. An operator turns one grey picture into another of the same size.
 *
 * A library exports one function, `gantry_operator_v1`, which returns a pointer to constant data that begins with
 * `gantry_header`. The host reads the header first and calls nothing unless magic, version and all sizes agree.
 * Every function returns a `gantry_code` and may leave a message (UTF-8, no zero at the end) in the buffer it is given:
 * it writes at most `capacity` bytes and sets `len` to the length of the whole message.
 * Nothing may be thrown across these functions. An instance is used by one thread at a time, not always the same one. */
#ifndef GANTRY_OPERATOR_H
#define GANTRY_OPERATOR_H
#include <stddef.h>
#include <stdint.h>

#define GANTRY_OPERATOR_MAGIC 0x31504f5952544e47ull /* "GNTRYOP1" */
#define GANTRY_OPERATOR_ABI 1u

typedef struct { const uint8_t *bytes; size_t len; } gantry_text;
typedef struct { uint8_t *bytes; size_t capacity; size_t len; } gantry_buffer;
typedef struct { const uint8_t *data; size_t stride; uint32_t width; uint32_t height; } gantry_picture;
typedef struct { uint8_t *data; size_t stride; uint32_t width; uint32_t height; } gantry_picture_mut;

typedef enum { GANTRY_OK = 0, GANTRY_REFUSED = 1, GANTRY_FAILED = 2, GANTRY_PANICKED = 3, GANTRY_BAD_CALL = 4 } gantry_code;

/* The layout of this struct never changes. */
typedef struct {
    uint64_t magic;
    uint32_t abi;
    uint32_t plugin_bytes;  /* sizeof(gantry_plugin) */
    uint32_t picture_bytes; /* sizeof(gantry_picture) */
    uint32_t buffer_bytes;  /* sizeof(gantry_buffer) */
    gantry_text name;
    gantry_text version;
    gantry_text built_with;
} gantry_header;

typedef struct {
    gantry_header header;
    /* The options that `create` takes, as the JSON list of parameters that gantry-contract writes; `[]` for none. */
    int32_t (*describe)(gantry_buffer *json);
    /* `options` is `key=value;key=value` or empty. */
    int32_t (*create)(gantry_text options, void **instance, gantry_buffer *message);
    /* Both pictures have the same size and do not overlap; every pixel of `output` is to be written. */
    int32_t (*run)(void *instance, const gantry_picture *input, const gantry_picture_mut *output, gantry_buffer *message);
    void (*destroy)(void *instance);
} gantry_plugin;

const gantry_header *gantry_operator_v1(void);
#endif
