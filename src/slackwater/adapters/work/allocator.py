"""How the C library deals with large pieces of memory, where it can be told.

By itself, glibc learns from the first large piece that is freed to keep such pieces in its heap. There they are copied when they
grow, which holds the interpreter for as much as 50 ms, and they leave gaps, which nobody else gets back.
"""

import ctypes

# From malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
# From here on a piece has pages of its own: growing moves no bytes, and the end of it is the end of the pages.
OWN_PAGES_BYTES = 1 << 20
# What may stay free at the end of the heap, so that pieces from the network do not move it up and down.
HEAP_SPARE_BYTES = 8 << 20


def give_large_pieces_pages_of_their_own() -> bool:
    """For this process, from now on. False where there is no such setting; then large answers only cost more."""
    setting = getattr(ctypes.CDLL(None), "mallopt", None)
    if setting is None:
        return False
    return bool(setting(M_MMAP_THRESHOLD, OWN_PAGES_BYTES) and setting(M_TRIM_THRESHOLD, HEAP_SPARE_BYTES))
