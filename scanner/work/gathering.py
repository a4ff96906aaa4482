"""Puts what matchers saw into outcomes."""

from __future__ import annotations

from dataclasses import replace

from scanner.limits import MIB
from scanner.packages.model import Record, weight
from scanner.work.jobs import BlobOutcome, Job
from scanner.work.messages import Form, unpack, unpack_records
from scanner.work.shelf import Held, Shelf

_RECORD_BYTES = 256 * MIB  # of package managers' records of one image; large images have 10 MiB
_OBJECT_BYTES = 64 * MIB  # of git's commits and trees
_OBJECT = 200  # of each besides its content


class _Room:
    """What is kept of one kind, up to *most* bytes."""

    def __init__(self, most: int) -> None:
        self._left = most

    def takes(self, size: int) -> bool:
        """Whether *size* bytes more are kept."""
        self._left -= size
        return self._left >= 0


class Gathering:
    """What was packed of the blobs of one image, unpacked; some of it up to a limit for all of them together."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._records, self._objects = _Room(_RECORD_BYTES), _Room(_OBJECT_BYTES)

    def add(self, job: Job) -> None:
        """Add to a job's outcome what matchers saw of it.

        What package managers say and is not kept lowers nothing; a blob of git that nothing kept names has its id.
        """
        outcome = job.outcome
        for stored, body, held in job.packed:
            message = unpack(body)
            outcome.ignored += message.ignored
            outcome.nested += [
                replace(found, gap=replace(found.gap, blob=outcome.blob.name))
                for found in message.gaps
                # a layer's bytes without a member are a gap themselves
                if found.member is not None or job.spec.form is not Form.LAYER
            ]
            if stored:
                outcome.stored_sightings += message.sightings
                continue
            said = self._said(held, outcome)
            records = [record for record in said if self._records.takes(weight(record))]
            objects = [item for item in message.objects if self._objects.takes(_OBJECT + len(item.data))]
            outcome.sightings += message.sightings
            outcome.digests += message.digests
            outcome.records += records
            outcome.objects += objects
            outcome.partial |= len(records) < len(said) or len(objects) < len(message.objects)
        job.packed.clear()

    def _said(self, held: Held, outcome: BlobOutcome) -> list[Record]:
        try:
            return unpack_records(self._shelf.take(held))
        except OSError:  # the disk failed: as records that found no room
            outcome.partial = True
            return []
