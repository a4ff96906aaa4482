"""Files whose whole content is one secret: keys of Rails, password files of Ansible, cookies of Erlang and their like.

Only the path tells what they are, so the path decides and the content has to be a single plausible word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scanner.detect import plausible
from scanner.detect.base import Explaining, Trigger
from scanner.detect.spans import Suppressed
from scanner.evidence import Confidence, Match, Secret, Severity


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of file: its rule, the end of its path, the shape of its one word."""

    rule: str
    title: str
    gains: str
    severity: Severity
    path: re.Pattern[str]
    word: re.Pattern[bytes]


def _kind(rule: str, title: str, gains: str, severity: Severity, path: str, word: bytes) -> _Kind:
    return _Kind(rule, title, gains, severity, re.compile(rf"(?:^|/){path}\Z", re.IGNORECASE), re.compile(word))


_PASSWORD = rb"[!-~]{6,200}"
#: a line of passwd(5), which has the name but not the content of a password file
_ACCOUNT = re.compile(rb"[^:]*:[^:]*:[0-9]+:[0-9]+:[^:]*:[^:]*:[^:]*")
KINDS = (
    _kind("file.rails-master-key", "Rails master key", "Decrypts the credentials of the application.",
          Severity.CRITICAL, r"config/(?:master|credentials/[\w-]+)\.key", rb"[0-9a-f]{32,64}"),
    _kind("file.ansible-vault-password", "Ansible vault password", "Decrypts what the vault protects.",
          Severity.CRITICAL, r"[\w.-]*vault[-_.]?pass(?:word)?(?:[-_.]?file)?(?:\.txt)?", _PASSWORD),
    _kind("file.erlang-cookie", "Erlang cookie", "Runs code on every node that shares it.",
          Severity.HIGH, r"\.erlang\.cookie", rb"[!-~]{8,255}"),
    _kind("file.jenkins-first-password", "First password of Jenkins", "Administers Jenkins until it is changed.",
          Severity.HIGH, r"secrets/initialAdminPassword", rb"[0-9a-f]{32}"),
    _kind("file.jenkins-master-key", "Master key of Jenkins", "Decrypts the credentials of Jenkins.",
          Severity.HIGH, r"secrets/master\.key", rb"[0-9a-f]{256}"),
    _kind("file.token", "Token in a file of its own", "Acts as the user of the tool that keeps it there.",
          Severity.HIGH,
          r"(?:\.?huggingface/token|\.(?:vault|consul|nomad)-token|\.netlify/token|\.fly/token|serviceaccount/token)",
          rb"[!-~]{16,4096}"),
    _kind("file.password", "Password in a file of its own", "Whatever the file is named after.", Severity.HIGH,
          r"(?:\.?(?:[\w-]+[-_.])?(?:passw(?:or)?ds?|passphrase|secret)(?:\.txt)?|[\w-]+[-_.]pass(?:\.txt)?"
          r"|run/secrets/[\w.-]+)", _PASSWORD),
    _kind("file.shared-key", "Key that both ends of a connection share", "Connects as the other end.",
          Severity.HIGH, r"[\w.-]+\.psk", rb"(?:[0-9A-Fa-f]{2}){16,256}"),
    _kind("file.mongodb-keyfile", "Key file of a MongoDB cluster",
          "Joins the cluster as a member, which may do anything.", Severity.HIGH,
          r"(?:[\w.-]*mongo[\w.-]*key[\w.-]*|mongo(?:db|d)?/(?:[\w.-]+/)*[\w.-]*key[\w.-]*|key-?file)",
          rb"[A-Za-z0-9+/=]{6,1024}(?:\s{1,2}[A-Za-z0-9+/=]{1,76}){0,20}"),
)  # fmt: skip


class FileDetector(Explaining):
    """Contents that are one word (`base.Detector`)."""

    @property
    def triggers(self) -> Sequence[Trigger]:
        """A content that is one word, or a few lines of base64, and nothing else."""
        return (
            Trigger(rb"^[!-~]{6,4096}[ \t\r]{0,2}\n?$"),
            Trigger(rb"^(?:[A-Za-z0-9+/]{64}\r?\n){1,20}[A-Za-z0-9+/=]{0,64}\r?\n?$"),
        )

    def explain(self, data: memoryview, _ends: Sequence[int], path: str) -> Iterator[Match | Suppressed]:
        """As `confirm`, with what was judged to be no secret, and why."""
        kind = next((kind for kind in KINDS if kind.path.search(path)), None)
        if kind is None or len(data) > 8192:
            return
        word = bytes(data).strip()
        reason = None if kind.word.fullmatch(word) and not _ACCOUNT.fullmatch(word) else "form"
        text = b"".join(word.split())
        reason = reason or plausible.password(text) or plausible.expression(text)
        if reason is not None:
            yield Suppressed(kind.rule, 0, len(word), reason)
            return
        yield Match(kind.rule, "file", kind.title, kind.severity, Confidence.MEDIUM, 0, len(word), Secret(word),
                    gains=kind.gains)  # fmt: skip
