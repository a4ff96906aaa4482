"""Results of layers in the user's cache directory: a layer that an earlier scan read is not matched again.

Digests in documents are claims. An entry is used only for bytes whose digest is known: those of a file that has not
changed since they were read and hashed (`image.identity`), those that are hashed here and now, and those that a
registry is yet to send, which are held to their digest when they come.
"""

from __future__ import annotations

import contextlib
import hashlib
from concurrent.futures import ThreadPoolExecutor

from scanner.cache.entries import Entries
from scanner.image import identity
from scanner.image.blob import Blob, BlobFile
from scanner.image.model import OpenedImage
from scanner.limits import Limits
from scanner.oci import is_digest
from scanner.secrecy.seal import Seal
from scanner.work.jobs import BlobJob, BlobOutcome
from scanner.work.kept import keepable, packed, unpacked
from scanner.work.messages import Form

_LAYER, _FILE = "layer", "file"


class CachedLayers:
    """What `scan.Kept` asks for, in entries.

    Attributes:
        believed: an entry is there for bytes that somebody else has, by what they say of them.

    Args:
        rules: names the rule set and the program (`program.digest`).
    """

    def __init__(self, entries: Entries, rules: str, limits: Limits, seal: Seal) -> None:
        self._entries, self._seal, self._most = entries, seal, limits.image_bytes
        self._about = (rules, repr(limits), seal.identity)
        self._identities: dict[int, str | None] = {}
        self._digests: dict[tuple[int, int, int], str] = {}
        self.believed = False

    def look(self, opened: OpenedImage, jobs: list[BlobJob], threads: int) -> None:
        """Find out the digests of the blobs of *jobs*, by hashing only where an entry may then be used."""
        claimed = {layer.blob.place: layer.diff_id
                   for image in opened.images for layer in image.layers if layer.blob and layer.diff_id}  # fmt: skip
        unknown = []
        for job in jobs:
            blob = job.blob
            if blob.file.awaited:
                self._digests[blob.place] = blob.file.promised
                self.believed = self.believed or self._has(blob.file.promised, job.form)
            elif (digest := self._unchanged(blob)) is not None:
                self._digests[blob.place] = digest
            elif any(self._has(claim, job.form) for claim in (blob.name, claimed.get(blob.place, ""))):
                unknown.append(blob)
            blob.file.release()
        if unknown:
            with ThreadPoolExecutor(threads) as pool:
                for blob, digest in zip(unknown, pool.map(_hashed, unknown), strict=True):
                    if digest:
                        self._digests[blob.place] = digest
                        self._remember(blob, digest)

    def may_have(self, name: str) -> bool:
        """Whether an entry may be there for a layer, by what its blob is called: a digest, one with a suffix, or what
        tells nothing (docker-archives of Docker before 25)."""
        digest = f"sha256:{name.partition('.')[0]}" if ":" not in name else name
        return self._has(digest, Form.LAYER) if is_digest(digest) else self._entries.any()

    def get(self, blob: Blob, form: Form) -> BlobOutcome | None:
        """What an earlier scan by the same rules gave for the very bytes of *blob*, None if that is not known."""
        digest = self._digests.get(blob.place, "")
        raw = self._entries.get(_LAYER, self._key(digest, form)) if is_digest(digest) else None
        return None if raw is None else unpacked(raw, blob, self._seal, digest)

    def put(self, outcome: BlobOutcome, form: Form) -> BlobOutcome:
        """Keep an outcome if it can be kept; it comes back as it is, with its values."""
        if not keepable(outcome, named=False):
            return outcome
        assert outcome.read is not None
        self._entries.put(_LAYER, self._key(outcome.read.digest, form), packed(outcome, self._seal))
        self._remember(outcome.blob, outcome.read.digest)
        return outcome

    def _has(self, digest: str, form: Form) -> bool:
        return is_digest(digest) and self._entries.has(_LAYER, self._key(digest, form))

    def _key(self, digest: str, form: Form) -> tuple[str, ...]:
        return (*self._about, form.value, digest)

    # -- files that have not changed -------------------------------------------------------------------------------

    def _unchanged(self, blob: Blob) -> str | None:
        """The digest of a range of a file that is as it was when that range was hashed."""
        number = id(blob.file)
        if number not in self._identities:
            self._identities[number] = _identity(blob.file)
        known = self._identities[number]
        raw = self._entries.get(_FILE, (known, str(blob.offset), str(blob.size))) if known else None
        return None if raw is None else raw.decode("ascii", "replace")

    def _remember(self, blob: Blob, digest: str) -> None:
        """Keep the digest of a range, if its file is as it was before that was read."""
        known = self._identities.get(id(blob.file))
        if known and known == _identity(blob.file):
            self._entries.put(_FILE, (known, str(blob.offset), str(blob.size)), digest.encode())
        blob.file.release()


def _identity(file: BlobFile) -> str | None:
    if file.awaited:
        return None
    with contextlib.suppress(OSError):
        return identity.of_file(file)
    return None


def _hashed(blob: Blob) -> str:
    """The digest of stored bytes; empty if they cannot be read. Raises nothing."""
    digest = hashlib.sha256()
    with contextlib.suppress(OSError):
        for part in blob.parts():
            if not part:
                return ""
            digest.update(part)
        return f"sha256:{digest.hexdigest()}"
    return ""
