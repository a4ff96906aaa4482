"""Streams that two libraries of Java write, and so Kafka, Spark and Flink: blocks of Snappy or LZ4 behind lengths.

Sources: SnappyOutputStream of xerial/snappy-java; LZ4BlockOutputStream of lz4/lz4-java.
"""

from __future__ import annotations

from scanner.content.lz4frames import unlz4_block
from scanner.content.snappyfiles import unsnappy
from scanner.layer.compression import PlainSink
from scanner.limits import MIB

SNAPPY, LZ4 = b"\x82SNAPPY\0", b"LZ4Block"
_SNAPPY_HEAD, _LZ4_HEAD = 16, 21  # bytes of a stream's head, of a block's
_PLAIN, _PACKED = 1, 2  # upper half of the byte behind the magic of a block
_LARGEST = 32 * MIB  # plain bytes of a block, of either


def java_kind(head: bytes) -> str:
    """Which of both the first bytes are the start of, '' for none."""
    if head.startswith(SNAPPY):
        return "snappy-java"
    if not head.startswith(LZ4) or len(head) < _LZ4_HEAD or head[8] >> 4 not in (_PLAIN, _PACKED):
        return ""
    return "lz4-java" if int.from_bytes(head[13:17], "little") <= _LARGEST else ""  # else it is a text


def unsnappy_java(sink: PlainSink, data: memoryview) -> tuple[bool, int]:
    """Decode a stream at the start of *data*: whether it is sound, and where it ends. It has no end of its own: a
    length of 0 is none. Whatever *sink* raises passes through."""
    at = 0
    while at + 4 <= len(data):
        if bytes(data[at : at + len(SNAPPY)]) == SNAPPY:
            at += _SNAPPY_HEAD
            continue
        size = int.from_bytes(data[at : at + 4], "big")
        if not size:
            break
        plain, whole = unsnappy(bytes(data[at + 4 : at + 4 + size]), _LARGEST)
        sink.write(plain, at)
        if not whole:
            return False, at
        at += 4 + size
    return at <= len(data), min(at, len(data))


def unlz4_java(sink: PlainSink, data: memoryview) -> tuple[bool, int]:
    """The same for one of LZ4, which ends with an empty block."""
    at, ended = 0, False
    while bytes(data[at : at + len(LZ4)]) == LZ4 and at + _LZ4_HEAD <= len(data):
        start = at + _LZ4_HEAD
        stored, size = (int.from_bytes(data[at + lead : at + lead + 4], "little") for lead in (9, 13))
        body, ended = bytes(data[start : start + stored]), not size
        if size > _LARGEST:
            return False, at
        plain = body if data[at + 8] >> 4 == _PLAIN else unlz4_block(body, size) if size else b""
        sink.write(plain, at)
        if len(plain) != size or bool(stored) != bool(size) or start + stored > len(data):
            return False, at
        at = start + stored
    return ended, at
