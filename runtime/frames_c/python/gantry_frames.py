"""Gantry's frames in Python, without a copy.

    frames = Reader(node)                               # once; `node` is dora's Node
    frame = frames.take(row["handle"])                  # None: overwritten before it was read (live mode)
    with frame:
        luma = frame.plane(0)                           # numpy, read-only, in the memory that the decoder wrote
    node.send_output(...)
    frames.done(row["handle"])                          # lossless runs: when your own output is out

Leases are kept by libgantry_frames_c.so, which lies beside the node programs. A frame's memory stays as it is until the `with` block
has ended and no array made from it is alive; copy what you want to keep, or the producer will run out of buffers.

Needs Python 3.11 and numpy, which come with the `dora-rs` wheel.
"""

import ctypes
import os
import re
import weakref
from pathlib import Path

import numpy as np

HANDLE_BYTES = 192
VERSION = 1

_OK, _STALE, _CLOSED, _ERROR = range(4)
_DTYPES = {1: np.uint8, 2: np.float16, 3: np.float32}


class FramesError(Exception):
    """What the reader said."""


class Closed(FramesError):
    """The producer of the frame has ended."""


class _Plane(ctypes.Structure):
    _fields_ = [("offset", ctypes.c_uint64), ("stride", ctypes.c_uint32), ("rows", ctypes.c_uint32), ("row_bytes", ctypes.c_uint64)]


class _View(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_uint64),
        ("kind", ctypes.c_uint32),
        ("format", ctypes.c_uint32),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("planes", ctypes.c_uint32),
        ("plane", _Plane * 4),
        ("rank", ctypes.c_uint32),
        ("shape", ctypes.c_uint32 * 6),
        ("strides", ctypes.c_uint64 * 6),
    ]


def _load(path):
    candidates = [path, os.environ.get("GANTRY_FRAMES_LIBRARY")]
    # In a checkout: runtime/frames_c/python/gantry_frames.py.
    candidates += [Path(__file__).resolve().parents[3] / "target/release/libgantry_frames_c.so"]
    found = next((c for c in candidates if c and Path(c).is_file()), None)
    if found is None:
        raise FramesError("libgantry_frames_c.so was not found: `cargo build --release -p gantry-frames-c` makes it, GANTRY_FRAMES_LIBRARY names it")
    library = ctypes.CDLL(str(found))
    version = library.gantry_frames_version()
    if version != VERSION:
        raise FramesError(f"{found} has version {version} of its functions, this file {VERSION}: take both from one checkout")
    text, size, pointer = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p
    library.gantry_reader_open.argtypes = [text, text, text, ctypes.c_uint32, ctypes.c_uint32, text, size]
    library.gantry_reader_open.restype = pointer
    library.gantry_reader_close.argtypes = [pointer]
    library.gantry_frame_acquire.argtypes = [pointer, text, ctypes.POINTER(pointer), ctypes.POINTER(_View), text, size]
    library.gantry_frame_release.argtypes = [pointer]
    library.gantry_frame_done.argtypes = [pointer, text, text, size]
    return library


class _Lease:
    """The frame in the library's hands; given back when nothing refers to it any more."""

    def __init__(self, library, frame):
        self._finalizer = weakref.finalize(self, library.gantry_frame_release, frame)


class Frame:
    """A frame that is not overwritten while this, or an array made from it, is alive."""

    def __init__(self, lease, view):
        self._view = view
        memory = (ctypes.c_uint8 * view.bytes).from_address(view.data)
        # Arrays keep `memory` alive, and `memory` the lease.
        memory.lease = lease
        self._memory = memory
        self.is_tensor = view.kind == 1
        self.width, self.height = view.width, view.height
        self.format = "" if self.is_tensor else view.format.to_bytes(4, "little").decode("ascii")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._memory = None

    def _bytes(self):
        if self._memory is None:
            raise FramesError("the frame was given back: its `with` block has ended")
        array = np.frombuffer(self._memory, np.uint8)
        array.flags.writeable = False
        return array

    def plane(self, index):
        """Plane of a picture, `[rows, visible bytes of a row]`, u8. I420: Y, U, V; NV12: Y, UV; others one plane."""
        if not 0 <= index < self._view.planes:
            raise IndexError(f"plane {index} of {self._view.planes}")
        plane = self._view.plane[index]
        return np.lib.stride_tricks.as_strided(
            self._bytes()[plane.offset :], (plane.rows, plane.row_bytes), (plane.stride, 1), writeable=False
        )

    def tensor(self):
        """A tensor in its shape."""
        if not self.is_tensor:
            raise FramesError(f"this is a picture ({self.format}), not a tensor")
        dtype, rank = np.dtype(_DTYPES[self._view.format]), self._view.rank
        shape, strides = tuple(self._view.shape[:rank]), tuple(self._view.strides[:rank])
        return np.lib.stride_tricks.as_strided(self._bytes().view(dtype), shape, strides, writeable=False)

    def rgb(self):
        """The picture as `[H, W, 3]` u8 RGB: a copy. I420 and NV12 by BT.601, limited range."""
        if self.format in ("RGB3", "BGR3"):
            rgb = self.plane(0).reshape(self.height, self.width, 3)
            return (rgb if self.format == "RGB3" else rgb[:, :, ::-1]).copy()
        luma = self.plane(0).astype(np.float32)
        if self.format == "GREY":
            return np.repeat(self.plane(0)[:, :, None], 3, axis=2)
        if self.format == "NV12":
            chroma = self.plane(1).reshape(self._view.plane[1].rows, -1, 2)
            u, v = chroma[:, :, 0], chroma[:, :, 1]
        else:
            u, v = self.plane(1), self.plane(2)
        wide = lambda p: np.repeat(np.repeat(p, 2, axis=0), 2, axis=1)[: self.height, : self.width].astype(np.float32) - 128.0
        y, u, v = (luma - 16.0) * 1.164, wide(u), wide(v)
        rgb = np.stack([y + 1.596 * v, y - 0.392 * u - 0.813 * v, y + 2.017 * u], axis=2)
        return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


class Reader:
    """The frames that the graph connects to this node."""

    def __init__(self, node=None, *, run=None, name=None, lossless=None, max_held=4, library=None):
        self._library = _load(library)
        run = run or str(node.dataflow_id())
        name = name or _node_id()
        if lossless is None:
            lossless = os.environ.get("GANTRY_MODE", "lossless") != "live"
        self._error = ctypes.create_string_buffer(1024)
        self._reader = self._library.gantry_reader_open(
            None, run.encode(), name.encode(), max_held, int(lossless), self._error, len(self._error)
        )
        if not self._reader:
            raise FramesError(self._error.value.decode())
        self._finalizer = weakref.finalize(self, self._library.gantry_reader_close, self._reader)

    def take(self, handle):
        """The frame of a handle (192 bytes, the column `handle`); None if it was overwritten before it was read (live mode)."""
        frame, view = ctypes.c_void_p(), _View()
        code = self._library.gantry_frame_acquire(
            self._reader, _checked(handle), ctypes.byref(frame), ctypes.byref(view), self._error, len(self._error)
        )
        if code == _STALE:
            return None
        self._raise(code)
        return Frame(_Lease(self._library, frame.value), view)

    def done(self, handle):
        """Lossless: this node is done with the frame, taken or not. Live: nothing."""
        self._raise(self._library.gantry_frame_done(self._reader, _checked(handle), self._error, len(self._error)))

    def _raise(self, code):
        if code == _CLOSED:
            raise Closed("the producer of the frame has ended")
        if code != _OK:
            raise FramesError(self._error.value.decode())


def _node_id():
    """dora's Python API does not tell a node its id; the configuration that dora starts it with does."""
    found = re.search(r"^node_id: *(.+)$", os.environ.get("DORA_NODE_CONFIG", ""), re.MULTILINE)
    if found is None:
        raise FramesError("this process was not started by dora; give the node's id as `name`")
    return found.group(1).strip().strip("'\"")


def _checked(handle):
    handle = bytes(handle)
    if len(handle) != HANDLE_BYTES:
        raise FramesError(f"a handle has {HANDLE_BYTES} bytes, this has {len(handle)}")
    return handle
