"""Whether what is assigned to a name such as DB_PASSWORD, or stands in a URL as one, is a secret.

There is no shape to go by, so the name, the value and the kind of content decide together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from scanner.detect import plausible
from scanner.detect.context import Context
from scanner.evidence import Confidence

_PASSWORD_NAME = re.compile(rb"pass|pwd|pwrd", re.IGNORECASE)
#: names that end so hold something about a secret, or a token that opens nothing
_NOT_A_SECRET_NAME = re.compile(
    rb"(?:(?:non[-_]?(?:matching|valid)|test|mock|fake|dummy|example|sample|expected|invalid|wrong|missing"
    rb"|without)[-_.]?(?:pass\w*|pwd|token|secret|key)"
    rb"|(?:public[-_.]?key|public|pub|next|prev|previous|continuation|page|csrf(?:[-_]?middleware)?|xsrf|authenticity|cancel(?:l?ation)?|unlock"
    rb"|lock|sync"
    rb"|resume|stop|start|end|close|open|syntax|lexer|parser|string|char|word|type|color|design|idempotency|upload"
    rb"|delimiter|separator|verification|challenge|device|partition|update|change|creation|request)[-_.]?(?:token"
    rb"|key))\Z",
    re.IGNORECASE,
)
_UUID = re.compile(rb"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
#: a UUID is a secret only where the name says more than `token`
_NAMES_A_SECRET = re.compile(rb"api|auth|access|secret|client|pass|pwd|bearer|refresh|key\Z", re.IGNORECASE)
#: an attribute of a directory, whose schema has a UUID for each: `User-Password`
_ATTRIBUTE = re.compile(rb"(?:[A-Z][a-z]+-){1,4}(?:Password|Pwd|Credentials)")
#: fewest bytes, and least `plausible.disorder`, by kind of content: the less it is a place for settings, the more
_LEAST = {Context.BUILD: 3, Context.SETTINGS: 6, Context.OTHER: 8, Context.SOURCE: 8, Context.PROSE: 10}
_TOKEN_LEAST = {Context.BUILD: 8, Context.SETTINGS: 8, Context.OTHER: 8, Context.SOURCE: 10, Context.PROSE: 12}
#: a token shorter than this has to look random beyond doubt
_SHORT_TOKEN, _SHORT_LIMIT = 16, 0.45
_LIMIT = {Context.BUILD: 0.18, Context.SETTINGS: 0.28, Context.OTHER: 0.3, Context.SOURCE: 0.34, Context.PROSE: 0.42}
_PROGRAM_BYTES = re.compile(rb"[()\[\]{};,<>|\\]|&&|::|->")


#: letters with digits are what people choose for passwords, and what words and names in programs seldom are
_LETTERS_AND_DIGITS = re.compile(rb"(?=.*[A-Za-z])(?=.*[0-9])[!-~]{6,}")
_LETTERS_AND_SIGNS = re.compile(rb"(?=.*[A-Za-z])(?=.*[!@$%^&*+~?])[!-~]{6,}")
#: where a value without quotes is one only if it is random beyond doubt, and how long it has to be for that
_QUOTING = {Context.SOURCE: 16, Context.PROSE: 12}
_SETTABLE = (Context.BUILD, Context.SETTINGS, Context.OTHER)
#: where such a value is meant, by whether it is quoted
_MEANT = {False: _SETTABLE, True: (*_SETTABLE, Context.SOURCE)}
_ENDS_AS_PASSWORD = re.compile(rb"(?:passw(?:or)?d|passwd|passphrase|pwd|pass)[0-9]{0,2}\Z", re.IGNORECASE)
#: base64 that ends amid a run, as strings of a program do that stand one behind the other
_PADDED = re.compile(rb"((?:[A-Za-z0-9+/]{4}){3,}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=))[A-Za-z]")


def _runs_on(value: bytes) -> str | None:
    """A reason if *value* begins with base64 that holds no secret, and goes on with what does not belong to it."""
    padded = _PADDED.match(value)
    return plausible.wrapped(padded.group(1)) if padded is not None else None


#: names of what only a secret is the value of, and a word that is chosen for one: no name of a program's
_NAMES_ONE = re.compile(rb"(?:passw(?:or)?d|passwd|passphrase|pwd|secret)[0-9]{0,2}\Z", re.IGNORECASE)
_CHOSEN_WORD = re.compile(rb"[a-z][a-z0-9!@#$%^&*+~?]{6,}")
_SET_WORD = re.compile(rb"(?![A-Z][a-z]+\Z)[A-Za-z][A-Za-z0-9!@#$%^&*+~?]{5,}")


def _ends_as_password(name: bytes) -> bool:
    return _ENDS_AS_PASSWORD.search(name) is not None and _NO_PASSWORD_NAME.search(name) is None


_NO_PASSWORD_NAME = re.compile(
    rb"(?:" + plausible.BESIDE_PASSWORD + rb")[-_.]?" + plausible.PASSWORD + rb"\Z", re.IGNORECASE
)


#: a member of an object: `var.db_password`
_DOTTED = re.compile(rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_ONE_WORD = re.compile(rb"[A-Za-z0-9_+/=-]+")


#: the name of a variable that says what the variable holds, however short and rare its other words are
_SAYS_WHAT = re.compile(
    rb"(?:[A-Za-z_]\w*[a-z0-9_])?(?:Key|Secret|Token|Passw(?:or)?d|Credentials?|Cert(?:ificate)?|Signature|Digest|Hash)s?"
    rb"(?:[A-Z0-9_]\w*)?"
)


def _surely_random(value: bytes, least: int = 16) -> bool:
    """Whether *value* of *least* bytes and more cannot be a piece of a program or of prose."""
    if len(value) < least or _ONE_WORD.fullmatch(value) is None or plausible.disorder(value) < _SHORT_LIMIT:
        return False
    return _SAYS_WHAT.fullmatch(value) is None


def _limit(value: bytes, is_password: bool, context: Context) -> float:
    """The disorder below which *value* is words, by what it is called and where it stands."""
    if is_password:
        return _LIMIT[context]
    return max(_LIMIT[context] + 0.05, _SHORT_LIMIT if len(value) < _SHORT_TOKEN else 0.0)


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
    if len(value) < (_LEAST if is_password else _TOKEN_LEAST)[context] and not _short_password(groups):
        return confidence, "short"
    if not quoted and context in _QUOTING and not _surely_random(value, _QUOTING[context]):
        return confidence, "unquoted"
    reason = plausible.password(value) or plausible.expression(value) or plausible.test_mode(value)
    reason = reason or plausible.broken(value)
    if reason is not None:
        return confidence, reason
    if _NOT_A_SECRET_NAME.search(name) is not None:
        return confidence, "name-of-no-secret"
    if _UUID.fullmatch(value.strip(b"{}")) is not None and (
        _NAMES_A_SECRET.search(name) is None or _ATTRIBUTE.fullmatch(name.strip(b"\"'")) is not None
    ):
        return confidence, "uuid"
    if not quoted and _PROGRAM_BYTES.search(value) is not None and not _strong(value):
        return confidence, "expression"
    if not quoted and _DOTTED.fullmatch(value) is not None and plausible.words(value, 0.3) is not None:
        return confidence, "expression"
    if _bare(name) == _bare(value) or plausible.name_of(name.strip(b"\"'"), value):
        return confidence, "name"
    if _neighbours(groups) and (plausible.name_like(value) or not (len(value) >= _SHORT_TOKEN or _mixed(value))):
        return confidence, "list"
    if plausible.long_number(value) or plausible.mostly_digits(value):
        return confidence, None
    reason = "words" if plausible.label(value) else plausible.words(value, _limit(value, is_password, context))
    if reason is None:
        return confidence, None
    if _neighbours(groups):
        return confidence, reason
    if is_password and _ends_as_password(name) and _LETTERS_AND_DIGITS.fullmatch(value) and context in _MEANT[quoted]:
        return confidence, None
    if _is_word_for_secret(value, name, quoted, context):
        return confidence, None
    if is_password and context in (Context.BUILD, Context.SETTINGS):
        return Confidence.LOW, None
    return confidence, reason


def _strong(value: bytes) -> bool:
    """Whether *value* holds small letters, capitals, digits and signs, as strong passwords do and expressions seldom.

    A program's bytes may be among them, but not as a call, and not as the end of an argument or a statement.
    """
    classes = all(re.search(kind, value) for kind in (rb"[a-z]", rb"[A-Z]", rb"[0-9]", rb"[^A-Za-z0-9._/-]"))
    if not (classes or plausible.disorder(value) >= _SHORT_LIMIT) or len(value) < 8:
        return False
    return plausible.disorder(value) >= 0.25 and _SHELL_OR_CALL.search(value) is None


#: the joints of commands, calls with arguments, subscripts and members, generic types
_SHELL_OR_CALL = re.compile(
    rb"&&|\|\||;;|->|::|\[['\"A-Za-z_]+\]|\([A-Za-z_][\w.]{2,}[,)]|[A-Za-z_]{3,}\((?:\)|[A-Za-z_'\"])|^[(\[{]|[({\[,;]\Z|\.[A-Za-z_]{3,}"
    rb"[(\[]"
)


def _bare(text: bytes) -> bytes:
    return re.sub(rb"[^a-z0-9]", b"", text.lower())


def _mixed(value: bytes) -> bool:
    """Whether *value* holds letters of both cases and digits, and is long enough for that to tell something."""
    return len(value) >= 8 and all(re.search(kind, value) for kind in (rb"[a-z]", rb"[A-Z]", rb"[0-9]"))


def _neighbours(groups: Mapping[str, bytes]) -> bool:
    """Whether name and value may only stand next to each other in a list; what a call sets has its name first, and
    what is given to an option of a command has letters and digits."""
    if not groups.get("sign", b"").strip().endswith(b",") or groups.get("setter"):
        return False
    is_option = groups.get("name", b"").startswith(b"-")
    return not is_option or _LETTERS_AND_DIGITS.fullmatch(groups["secret"]) is None


def _short_password(groups: Mapping[str, bytes]) -> bool:
    """Whether the value is one of the short passwords of letters and digits, in quotes and under a password's name."""
    if not groups.get("quote") or _neighbours(groups):
        return False
    chosen = any(kind.fullmatch(groups["secret"]) for kind in (_LETTERS_AND_DIGITS, _LETTERS_AND_SIGNS))
    return chosen and _ends_as_password(groups.get("name", b""))


def _is_word_for_secret(value: bytes, name: bytes, quoted: bool, context: Context) -> bool:
    """Whether *value*, a word, is a bad password rather than the name of one.

    Programs hold names of fields and classes where a password could stand, but these have capitals, dots or
    underscores, or they are the words that `plausible.password` knows. Settings hold labels too, which begin with
    a capital.
    """
    if _NAMES_ONE.search(name.strip(b"\"'")) is None or _NO_PASSWORD_NAME.search(name) is not None:
        return False
    if context in (Context.BUILD, Context.SETTINGS):
        return _SET_WORD.fullmatch(value) is not None
    return quoted and context in _MEANT[True] and _CHOSEN_WORD.fullmatch(value) is not None


#: keys that are public, or that name no secret but a place in a table
_NO_KEY_NAME = re.compile(
    rb"(?:public|pub|encrypted|wrapped|release[-_]?manager|primary|foreign|sort|cache|partition|range|hash|object|group|i18n|lang|host|finger|ssh|gpg"
    rb"|pgp|map|dict|lookup"
    rb"|unique|index|site|anon|publishable|registry|row|column|field|property|meta|data|sub|parent|node|item|list"
    rb"|tab|menu|hot|short"
    rb"|arrow|modifier|translation|locale|label|message|error|event|storage|redux|react|query|header|param|arg"
    rb"|config|setting|feature"
    rb"|flag|test|route|topic|bucket|s3|file|dir|path|image|asset|chunk|module|webpack|license|patent|commit|tree"
    rb"|blob|artifact"
    rb"|revision|version|checksum|digest|etag|integrity|nonce|trust|trusted|signing|apt|yum|rpm|deb|keyring|recv"
    rb"|known)[-_. ]?keys?[0-9]{0,3}\Z"
    rb"|(?:key|token|secret|auth)[-_. ]?(?:id|name|type|url|uri|path|file|ref|length|size|hash|fingerprint|version"
    rb"|alias|arn|usage)\Z",
    re.IGNORECASE,
)
_SIGNATURE_NAME = re.compile(rb"signature(?:[-_.]?value)?\Z", re.IGNORECASE)
#: what OpenPGP calls the id of a key
_KEY_ID = re.compile(rb"(?:0x)?[0-9A-F]{16}")
#: an assignment within a value, as in cookies
_NESTED = re.compile(rb"[A-Za-z][A-Za-z_-]{2,30}=[^=]")
#: a name as environments have them
_CONSTANT = re.compile(rb"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_HEX_DIGEST = re.compile(rb"(?:0x)?[0-9a-fA-F]{32,128}")
#: the key of a cache or a graph: what was computed, and the digest of what it was computed from
_NAMED_DIGEST = re.compile(rb"[a-z][a-z_]{0,30}-(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})")
#: words that stand before a blank and anything in sentences and tables
_ORDINARY_NAME = re.compile(rb"(?:^|[-. ])(?:salt|cookie|signature)\Z", re.IGNORECASE)
#: a program's names with a word before `_key` say as much as those that write it `aesKey`
_WEAK_NAME = re.compile(
    rb"(?:^|[-. ])keys?\Z|(?:^|[-_. ])(?:auth|login|salt|cookie|signature|session|license)\Z", re.IGNORECASE
)


def _is_setting(groups: Mapping[str, bytes], context: Context) -> bool:
    return context is Context.SETTINGS or (context is Context.OTHER and groups.get("sign") == b"=")


def judge_random(
    groups: Mapping[str, bytes], context: Context, confidence: Confidence
) -> tuple[Confidence, str | None]:
    """For a value set to any name with key, auth, login and the like: only what could not be anything but random.

    A digest under a name that says little is more often the key of a cache than of a door.
    """
    value, name = groups["secret"], groups.get("name", b"")
    if groups.get("quote", b"").endswith(b"{"):
        return confidence, "hash-or-encrypted"  # as Maven and Jenkins write what they encrypted
    if "after" in groups:
        return confidence, "name"
    if groups.get("group"):
        return confidence, "expression"  # the name of a group in a regular expression
    if groups.get("badge"):
        return confidence, "badge"  # the address of a picture that everybody may see
    if _NESTED.match(value) is not None:
        return confidence, "assignment"  # the name in it has its own value
    quoted, sign = bool(groups.get("quote", b"").strip(b"([{")), groups.get("sign", b":").strip()
    if not quoted and (sign == b"," or ("sign" in groups and context is Context.SOURCE and not _surely_random(value))):
        return confidence, "unquoted"
    reason = (
        plausible.token(value) or plausible.test_mode(value) or plausible.broken(value) or plausible.expression(value)
        or plausible.public_key(value) or plausible.wrapped(value) or _runs_on(value)
    )  # fmt: skip
    if reason is not None:
        return confidence, reason
    if _NO_KEY_NAME.search(name) is not None or _NOT_A_SECRET_NAME.search(name) is not None:
        return confidence, "name-of-no-secret"
    says_little = _WEAK_NAME.search(name) is not None
    # as in lists of files and their digests
    listed = not sign and not quoted and _CONSTANT.fullmatch(name) is None
    if _SIGNATURE_NAME.search(name) is not None and (context is not Context.SETTINGS or _HEX_DIGEST.fullmatch(value)):
        return confidence, "digest"
    if listed and _KEY_ID.fullmatch(value) is not None:
        return confidence, "digest"
    if says_little and _NAMED_DIGEST.fullmatch(value) is not None:
        return confidence, "digest"
    if not sign and _ORDINARY_NAME.search(name) is not None:
        return confidence, "list"
    if _HEX_DIGEST.fullmatch(value) is not None and (listed or (says_little and not _is_setting(groups, context))):
        return confidence, "digest"
    if _UUID.fullmatch(value) is not None and (
        says_little or context is Context.PROSE or _ATTRIBUTE.fullmatch(name) is not None
    ):
        return confidence, "uuid"
    return confidence, plausible.orderly(value)


_EXAMPLE_HOST = re.compile(
    rb"(?:[\w-]+\.)*(?:example|invalid|test|localhost)(?:\.(?:com|org|net|edu|io))?"
    rb"|(?:[\w-]+\.)*(?:\w*[-_.])?(?:host(?:name)?|server|proxy|domain|my(?:host|proxy|server|domain|site|app)"
    rb"|yourhost|your-?\w+"
    rb"|some-?\w+|site|foo|bar|127\.0\.0\.1|0\.0\.0\.0|ip|addr|address|netloc|machine|endpoint|url|corp|acme|company)"
    rb"(?:\.(?:com|org|net|local|tld|de|name))?",
    re.IGNORECASE,
)
#: the domains that are set aside for documentation
_EXAMPLE_DOMAIN = re.compile(rb"(?:^|\.)example(?:\.(?:com|org|net))?\Z|\.(?:test|invalid)\Z", re.IGNORECASE)
#: letters of both cases and digits: what people choose who were told to choose well
_CHOSEN = re.compile(rb"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])[!-~]{8,}")
#: a host that somebody runs: in a domain, or an address
_REAL_HOST = re.compile(
    rb"(?:[A-Za-z0-9_-]+\.)+(?:com|net|org|io|dev|app|cloud|ai|co|eu|de|fr|uk|nl|pl|ru|cn|jp|kr|in|br|us|ch|it|es"
    rb"|se|info|biz|internal)"
)
#: what stands for a password rather than being one, wherever it stands
_EMPTY_PASSWORDS = frozenset(
    b"pass passwd password pwd secret user username pw passphrase token key apikey api_key auth credentials "
    b"x-oauth-basic your_password yourpassword somepassword some_password mypassword userpass anonymous anoncvs "
    b"tiger".split()
)
_WEAK_URL_PASSWORDS = frozenset(
    b"pass passwd password pwd secret user username pw p pass1 pass2 passphrase token key apikey api_key x y "
    b"test 1234 12345 foo bar baz abc auth credentials x-oauth-basic foobar passw0rd mypass mypassword userpass "
    b"pas s3cr3t s3cret hunter2 somepassword some_password your_password yourpassword db_password dbpass "
    b"dbpassword database_password port changeme postgres mysql root admin guest redis mongo rabbitmq sa tiger".split()
)


def judge_url_password(groups: Mapping[str, bytes], context: Context, value_kind: str) -> tuple[Confidence, str | None]:
    """For `user:SECRET@host`; *value_kind* `env-url-password` where a build variable assigns it.

    Somebody who writes a password into a build variable means it, however weak; in other texts common words and
    example hosts are what documentation is full of.
    """
    value, user, host = groups["secret"], groups.get("user", b""), groups.get("host", b"")
    typed = unquote_to_bytes(value)
    if (reason := plausible.no_text(typed) or plausible.reference(value) or plausible.reference(user)) is not None:
        return Confidence.MEDIUM, reason
    if user.startswith(b"{") and b"}" in value:
        return Confidence.MEDIUM, "reference"  # a hole of a template, in which a colon stands: `{user:>8}`
    if not user and value_kind == "env-url-password" and plausible.words(value, 0.3) is not None:
        return Confidence.MEDIUM, "user-name"
    lower = value.lower()
    known_example = lower in _EMPTY_PASSWORDS and _EXAMPLE_DOMAIN.search(host) is not None
    if value_kind == "env-url-password" and context not in (Context.SOURCE, Context.PROSE) and not known_example:
        return Confidence.MEDIUM, None
    if value.startswith(b"pserver:"):
        return Confidence.MEDIUM, "default-or-word"
    service = groups.get("scheme", b"http").lower() not in (b"http", b"https", b"ftp", b"cvs", b"svn")
    equal = lower == user.lower()
    if equal and service and context is Context.SETTINGS and lower not in _EMPTY_PASSWORDS and len(value) > 3:
        return Confidence.MEDIUM, None  # the account that a service is set up with, left as it was
    chosen = lower not in _EMPTY_PASSWORDS and not equal and len(value) > 3
    real_host = _REAL_HOST.fullmatch(host) is not None and b"example" not in host.lower()
    meant = context is Context.SETTINGS or (real_host and context is not Context.PROSE)
    if chosen and meant and not plausible.stands_in(value):
        return Confidence.MEDIUM, None  # settings hold what is used, and so do addresses in a domain, however weak
    if lower in _WEAK_URL_PASSWORDS or equal or len(value) < 3:
        return Confidence.MEDIUM, "default-or-word"
    if plausible.password(value) is not None and not (service and plausible.named_after(value)):
        return Confidence.MEDIUM, "placeholder"
    words = plausible.words(value, 0.3) is not None and _CHOSEN.fullmatch(value) is None
    if service and plausible.named_after(value):
        return Confidence.MEDIUM, None
    if _EXAMPLE_HOST.fullmatch(host) is not None and (words or len(value) < 6):
        return Confidence.MEDIUM, "example-host"
    return _by_place(value, context, Confidence.MEDIUM), None


def judge_login_line(groups: Mapping[str, bytes], context: Context) -> tuple[Confidence, str | None]:
    """For the line of a .netrc: a program holds such lines to test what reads them, so that there only a password
    that nobody takes for a word is one."""
    value = groups["secret"]
    if context is Context.SOURCE and (_CHOSEN.fullmatch(value) is None or plausible.words(value, 0.34) is not None):
        return Confidence.MEDIUM, "words"
    return judge_url_password(groups, context, "url-password")


def judge_command_password(value: bytes, context: Context, confidence: Confidence) -> tuple[Confidence, str | None]:
    """For a password on a command line: words are meant in a build step, elsewhere they are mostly documentation."""
    if (reason := plausible.password(value)) is not None:
        return confidence, reason
    chosen = context in _SETTABLE and _LETTERS_AND_DIGITS.fullmatch(value) is not None
    return (confidence if chosen or context is Context.OTHER else _by_place(value, context, confidence)), None


def _by_place(value: bytes, context: Context, confidence: Confidence) -> Confidence:
    """Words are a bad password where builds and settings are; in programs and prose they prove nothing."""
    if context is Context.BUILD or plausible.words(value, 0.15 if context is Context.SETTINGS else 0.25) is None:
        return confidence
    if _CHOSEN.fullmatch(value) is not None and context is not Context.PROSE:
        return confidence
    return Confidence.LOW
