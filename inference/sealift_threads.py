"""The threads that llama.cpp computes with: made once for a context, and kept from one evaluation to the next.

Owns a thread pool of llama.cpp's own, as llama-server attaches one (common/common.cpp). Without it llama.cpp makes and
ends its threads for every evaluation, so for every token; where the CPUs have other work as well, each new thread
waits for its turn while the others wait for it in loops. Refuses to fail: a library that has no pools computes
without one.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_CPU = 0
"""GGML_BACKEND_DEVICE_TYPE_CPU."""
_PARAMS = 4096
"""Bytes for a ggml_threadpool_params, which llama.cpp fills itself; it has some 530."""


def attach(library: Any, context: Any, pool: int) -> None:
    """Let a context compute with a pool's threads, prompts and answers alike."""
    function = library.llama_attach_threadpool
    function.argtypes, function.restype = [ctypes.c_void_p] * 3, None
    function(context, pool, None)


def pool(library: Any, threads: int) -> tuple[int, Callable[[], None]] | None:
    """Return a new pool, and what ends it once no context computes with it; None where there is none to be had.

    Args:
        library: llama.cpp's library, as ctypes has loaded it; it finds ggml's functions as well.
        threads: how many; one needs no pool.
    """
    if threads < 2:
        return None
    try:
        make, end = (_of_the_cpu(library, name) for name in (b"ggml_threadpool_new", b"ggml_threadpool_free"))
        defaults, _ = library.ggml_threadpool_params_init, library.llama_attach_threadpool
    except AttributeError:
        return None
    if not (make and end):
        return None
    params = ctypes.create_string_buffer(_PARAMS)
    defaults.argtypes, defaults.restype = [ctypes.c_void_p, ctypes.c_int], None
    defaults(params, threads)
    made = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(make)(ctypes.addressof(params))
    if not made:
        return None
    ended = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(end)
    return made, lambda: ended(made)


def _of_the_cpu(library: Any, name: bytes) -> int | None:
    """Return the address of a function of the CPU's backend, which is a library of its own and loaded by its variant.

    Raises:
        AttributeError: when the library has no backends to ask.
    """
    pointer = ctypes.c_void_p
    by_type, registry, address = (
        library.ggml_backend_dev_by_type,
        library.ggml_backend_dev_backend_reg,
        library.ggml_backend_reg_get_proc_address,
    )
    by_type.argtypes, by_type.restype = [ctypes.c_int], pointer
    registry.argtypes, registry.restype = [pointer], pointer
    address.argtypes, address.restype = [pointer, ctypes.c_char_p], pointer
    device = by_type(_CPU)
    found: int | None = address(registry(device), name) if device else None
    return found
