"""The limits that hostile input runs into. Every hit is a named gap in the report, never silence."""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read of one image. Bytes unless the name says otherwise."""

    #: expanded bytes of one layer
    layer_bytes: int = 32 * GIB
    #: expanded bytes of all layers of one scan
    image_bytes: int = 64 * GIB
    #: members of one layer
    members: int = 5_000_000
    #: one extended tar header (PAX or GNU long name), as Go's archive/tar bounds it
    extended_header_bytes: int = MIB
    #: extended headers in front of one member
    extended_header_chain: int = 20
    #: one JSON document: manifest, index or config
    document_bytes: int = 4 * MIB
    #: nesting of one JSON document
    document_depth: int = 200
    #: indexes inside indexes
    index_depth: int = 4
    #: descriptors of one index
    index_manifests: int = 500
    #: seconds of work on one layer
    layer_seconds: float = 600.0
    #: seconds of work on one image
    image_seconds: float = 3600.0
    #: data segment (heap) of one worker process; its maps of layers do not count
    worker_bytes: int = 1 * GIB
