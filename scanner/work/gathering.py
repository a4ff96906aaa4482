"""Puts what matchers saw into outcomes."""

from __future__ import annotations

from dataclasses import replace

from scanner.content.repositories import LooseObject
from scanner.limits import MIB
from scanner.packages.model import Record, weight
from scanner.work.jobs import BlobOutcome, Job
from scanner.work.messages import Form, unpack

_RECORD_BYTES = 256 * MIB  # of package managers' records of one image; large images have 10 MiB
_OBJECT_BYTES = 64 * MIB  # of git's commits and trees


class Gathering:
    """What was packed of the blobs of one image, unpacked; some of it up to a limit for all of them together."""

    def __init__(self) -> None:
        self._objects = 0  # bytes of git's commits and trees so far
        self._records = 0  # bytes of the package managers' records so far

    def add(self, job: Job) -> None:
        """Add to a job's outcome what matchers saw of it."""
        outcome = job.outcome
        for stored, body in job.packed:
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
            else:
                outcome.sightings += message.sightings
                outcome.digests += message.digests
                self._keep(outcome, message.records)
                self._keep_objects(outcome, message.objects)
        job.packed.clear()

    def _keep(self, outcome: BlobOutcome, records: list[Record]) -> None:
        """Keep what package managers say, up to a limit: what is not kept lowers nothing."""
        for record in records:
            self._records += weight(record)
            if self._records <= _RECORD_BYTES:
                outcome.records.append(record)
            else:
                outcome.partial = True

    def _keep_objects(self, outcome: BlobOutcome, objects: list[LooseObject]) -> None:
        """Keep what names git's blobs, up to a limit: a blob without a name has its id."""
        for item in objects:
            self._objects += 200 + len(item.data)
            if self._objects <= _OBJECT_BYTES:
                outcome.objects.append(item)
            else:
                outcome.partial = True
