"""Numbers that take as many bytes as they need, seven bits in each, the lowest first, as Snappy, LevelDB, Avro,
Thrift and Protocol Buffers write them.

Source: the Protocol Buffers documentation, "Encoding", of varints and of zigzag.
"""

from __future__ import annotations

LONGEST = 10  # bytes of 64 bits


def unsigned(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """A number of up to 64 bits and where it ends. Raises IndexError if it does not in LONGEST bytes."""
    value = 0
    for place in range(LONGEST):
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise IndexError


def signed(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """The same for one that may be negative, whose sign is its lowest bit."""
    value, at = unsigned(data, at)
    return value >> 1 ^ -(value & 1), at
