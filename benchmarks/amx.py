"""A process without AMX: what is deployed runs without it, because llama.cpp's AMX kernels crash on many CPUs."""

from __future__ import annotations

import ctypes
import struct


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def renounce_amx() -> None:
    """Make the kernel refuse this process the use of AMX (arch_prctl ARCH_REQ_XCOMP_PERM), as a host without it does.

    ggml asks for it once, when it first looks for buffer types, and does without when it is refused.
    """
    load, equal, answer = 0x20, 0x15, 0x06
    arch_prctl, request_permission, refuse, allow = 158, 0x1023, 0x00050001, 0x7FFF0000
    instructions = struct.pack("<HBBI", load, 0, 0, 0)  # the call's number
    instructions += struct.pack("<HBBI", equal, 0, 3, arch_prctl)
    instructions += struct.pack("<HBBI", load, 0, 0, 16)  # its first argument
    instructions += struct.pack("<HBBI", equal, 0, 1, request_permission)
    instructions += struct.pack("<HBBI", answer, 0, 0, refuse)
    instructions += struct.pack("<HBBI", answer, 0, 0, allow)
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    program = _Program(len(instructions) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, seccomp, filtered = 38, 22, 2
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) or libc.prctl(seccomp, filtered, ctypes.byref(program)):
        raise OSError(ctypes.get_errno(), "seccomp is not available, so AMX cannot be refused")
