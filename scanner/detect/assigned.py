"""Whether what is assigned to a name such as DB_PASSWORD, or stands in a URL as one, is a secret.

There is no shape to go by, so the name, the value and the kind of content decide together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from scanner.detect import plausible
from scanner.detect.context import Context
from scanner.evidence import Confidence

_PASSWORD_NAME = re.compile(rb"pass|pwd|pwrd", re.IGNORECASE)
#: names that end so hold something about a secret, or a token that opens nothing
_NOT_A_SECRET_NAME = re.compile(
    rb"(?:(?:test|mock|fake|dummy|example|sample|expected|invalid|wrong|missing|without)[-_.]?(?:pass\w*|pwd|token|secret|key)"
    rb"|(?:public[-_.]?key|public|pub|next|prev|previous|continuation|page|csrf|xsrf|cancel(?:l?ation)?|unlock|lock|sync"
    rb"|resume|stop|start|end|close|open|syntax|lexer|parser|string|char|word|type|color|design|idempotency|upload"
    rb"|delimiter|separator|verification|challenge|device|partition|update|change|creation|request)[-_.]?(?:token|key))\Z",
    re.IGNORECASE,
)
_UUID = re.compile(rb"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
#: a UUID is a secret only where the name says more than `token`
_NAMES_A_SECRET = re.compile(rb"api|auth|access|secret|client|pass|pwd|bearer|refresh|key\Z", re.IGNORECASE)
#: fewest bytes, and least `plausible.disorder`, by kind of content: the less it is a place for settings, the more
_LEAST = {Context.BUILD: 3, Context.SETTINGS: 6, Context.OTHER: 8, Context.SOURCE: 8, Context.PROSE: 10}
_TOKEN_LEAST = {Context.BUILD: 8, Context.SETTINGS: 10, Context.OTHER: 14, Context.SOURCE: 16, Context.PROSE: 20}
_LIMIT = {Context.BUILD: 0.18, Context.SETTINGS: 0.28, Context.OTHER: 0.3, Context.SOURCE: 0.34, Context.PROSE: 0.42}
_PROGRAM_BYTES = re.compile(rb"[()\[\]{};,<>|\\]|&&|::|->")


def judge_assigned(
    groups: Mapping[str, bytes], context: Context, confidence: Confidence
) -> tuple[Confidence, str | None]:
    """The confidence and None, or anything and the reason why the value is no secret.

    Words are no proof of a secret; where values need no quotes they may be a bad password, so there they stay as
    information, elsewhere they go.
    """
    value, name = groups["secret"], groups.get("name", b"")
    quoted = bool(groups.get("quote"))
    is_password = _PASSWORD_NAME.search(name) is not None
    if len(value) < (_LEAST if is_password else _TOKEN_LEAST)[context]:
        return confidence, "short"
    if not quoted and context in (Context.SOURCE, Context.PROSE):
        return confidence, "unquoted"
    if (reason := plausible.password(value) or plausible.expression(value)) is not None:
        return confidence, reason
    if _NOT_A_SECRET_NAME.search(name) is not None:
        return confidence, "name-of-no-secret"
    if _UUID.fullmatch(value) is not None and _NAMES_A_SECRET.search(name) is None:
        return confidence, "uuid"
    if not quoted and _PROGRAM_BYTES.search(value) is not None:
        return confidence, "expression"
    if (reason := plausible.words(value, _LIMIT[context] + (0.0 if is_password else 0.05))) is None:
        return confidence, None
    if is_password and context in (Context.BUILD, Context.SETTINGS):
        return Confidence.LOW, None
    return confidence, reason


_EXAMPLE_HOST = re.compile(
    rb"(?:[\w-]+\.)*(?:example|invalid|test|localhost)(?:\.(?:com|org|net|edu|io))?"
    rb"|(?:\w*[-_.])?(?:host(?:name)?|server|proxy|domain|my(?:host|proxy|server|domain|site|app)|yourhost|your-?\w+"
    rb"|some-?\w+|site|foo|bar|127\.0\.0\.1|0\.0\.0\.0|ip|addr|address|netloc|machine|endpoint|url|corp|acme|company)"
    rb"(?:\.(?:com|org|net|local|tld|de|name))?",
    re.IGNORECASE,
)
_WEAK_URL_PASSWORDS = frozenset(
    b"pass passwd password pwd secret user username pw p pass1 pass2 passphrase token key apikey api_key x y "
    b"test 1234 12345 foo bar baz abc auth credentials x-oauth-basic foobar passw0rd mypass mypassword userpass "
    b"pas s3cr3t s3cret hunter2 somepassword some_password your_password yourpassword db_password dbpass "
    b"dbpassword database_password port changeme postgres mysql root admin guest redis mongo rabbitmq sa".split()
)


def judge_url_password(groups: Mapping[str, bytes], context: Context, value_kind: str) -> tuple[Confidence, str | None]:
    """For `user:SECRET@host`; *value_kind* `env-url-password` where a build variable assigns it.

    Somebody who writes a password into a build variable means it, however weak; in other texts common words and
    example hosts are what documentation is full of.
    """
    value, user, host = groups["secret"], groups.get("user", b""), groups.get("host", b"")
    if (reason := plausible.no_text(value) or plausible.reference(value) or plausible.reference(user)) is not None:
        return Confidence.MEDIUM, reason
    if not user and value_kind == "env-url-password" and plausible.words(value, 0.3) is not None:
        return Confidence.MEDIUM, "user-name"
    if value_kind == "env-url-password" and context not in (Context.SOURCE, Context.PROSE):
        return Confidence.MEDIUM, None
    lower = value.lower()
    if lower in _WEAK_URL_PASSWORDS or lower == user.lower() or len(value) < 3:
        return Confidence.MEDIUM, "default-or-word"
    if plausible.password(value) is not None:
        return Confidence.MEDIUM, "placeholder"
    if _EXAMPLE_HOST.fullmatch(host) is not None and plausible.words(value, 0.3) is not None:
        return Confidence.MEDIUM, "example-host"
    if _EXAMPLE_HOST.fullmatch(host) is not None and len(value) < 6:
        return Confidence.MEDIUM, "example-host"
    return _by_place(value, context, Confidence.MEDIUM), None


def judge_command_password(value: bytes, context: Context, confidence: Confidence) -> tuple[Confidence, str | None]:
    """For a password on a command line: words are meant in a build step, elsewhere they are mostly documentation."""
    if (reason := plausible.password(value)) is not None:
        return confidence, reason
    return _by_place(value, context, confidence), None


def _by_place(value: bytes, context: Context, confidence: Confidence) -> Confidence:
    """Words are a bad password where builds and settings are; in programs and prose they prove nothing."""
    if context is Context.BUILD or plausible.words(value, 0.15 if context is Context.SETTINGS else 0.25) is None:
        return confidence
    return Confidence.LOW
