"""Finds passwords that stand beside the user or the server they are for: `user: app, password: …`.

A name such as password proves little: forms, translations and programs are full of it. With a user name, a host or a
database set next to it, it is a login, and then even a common word is a bad password rather than no password.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from scanner.detect import plausible
from scanner.detect.base import Explaining, Trigger
from scanner.detect.context import Context, context_of
from scanner.detect.spans import Suppressed, amid_zeros, in_table, ranges
from scanner.evidence import Confidence, Evidence, Match, Secret, Severity

RULE = "login.password"
_PORTION = 1 << 16
#: the name of a password and what may follow until its value begins
_REACH = 72
#: bytes around a password in which its user or server is looked for, and lines
_AROUND, _LINES = 240, 5
_LONGEST = 120
#: a word for password, a sign with blanks around it, and a value of the greatest length
_LONGEST_ASSIGNED = _REACH + _LONGEST
#: the words for password and for user, in the languages that settings and notes are written in most
_FOREIGN_WORDS = (
    "비밀번호|패스워드|암호|비번|密码|密碼|口令|パスワード|暗証番号|пароль|passwort|kennwort|contraseña|senha|hasło".encode()
)
_FOREIGN_USERS = "아이디|계정|用户名|账号|ユーザー名|логин|benutzer(?:name)?|usuario|utilisateur".encode()
_WORDS = rb"passw(?:or)?d|passwd|passphrase|passcode|pass|pwd|pswd|psw|pw"
_SIGN = rb"(?:[ \t]{0,12}(?:=>|:=|==?|:)[ \t]{0,12}|[ \t]is:?[ \t]|[ \t]{1,3}|-)"
_QUOTE = rb"(?:(?:[bru]{1,2}|@)(?=[\"']))?\\?"
_VALUE = (
    rb"[0-9]{0,2}(?P<end>)[\"'\])]{0,2}(?P<sign>" + _SIGN + rb")" + _QUOTE
    + rb"(?P<quote>[\"'`]?)(?P<secret>[^\s\"'`<>\\,;:()][^\s\"'`<>\\]{3,120})(?P<close>\\?[\"'`]?)"
)  # fmt: skip
_ASSIGNED = re.compile(rb"(?:" + _WORDS + rb"|" + _FOREIGN_WORDS + rb")" + _VALUE, re.IGNORECASE)
_ASCII_WORDS = [word for word in (_WORDS + b"|" + _FOREIGN_WORDS).split(b"|") if word.isascii()]
#: the same for ASCII, with its first letters in both cases: `re` skips to one of these, which doubles its speed
_ASSIGNED_ASCII = re.compile(
    rb"(?-i:[" + b"".join(sorted({word[:1] + word[:1].upper() for word in _ASCII_WORDS})) + rb"])(?:"
    + b"|".join(rb"(?<=" + word[:1] + rb")" + word[1:] for word in _ASCII_WORDS) + rb")" + _VALUE,
    re.IGNORECASE,
)  # fmt: skip
_NAME_SIGNS, _LONGEST_NAME = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.$-", 48
_USER = re.compile(
    rb"(?:(?<![A-Za-z0-9])(?:user(?:[-_ ]?(?:name|id))?|login(?:[ _-]?(?:as|name|id))?|e-?mail|uid|usr"
    rb"|account(?:[-_ ]?name)?|id|role"
    rb"|host(?:[-_ ]?name)?|server|database|db[-_]?name|dbname|schema|bind_?dn|wifi name|" + _FOREIGN_USERS + rb")"
    rb"|(?<=[a-z0-9])(?-i:User(?:[Nn]ame|Id)?|Login|Email|Host(?:[Nn]ame)?|Server|Account|Id|ID)"
    rb")[\"'\])]{0,2}" + _SIGN + _QUOTE + rb"(?P<quote>[\"'`]?)(?P<value>[^\s\"'`<>\\,;]{2,80})",
    re.IGNORECASE,
)
_NO_PASSWORD_NAME = re.compile(
    rb"(?:" + plausible.BESIDE_PASSWORD + rb"|set|with|by)[-_.]?" + plausible.PASSWORD + rb"\Z"
    rb"|(?:type|field|label|file|path|hint|hash|policy|name|id|length)\Z",
    re.IGNORECASE,
)
_DOTTED = re.compile(rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_ADDRESS = re.compile(rb"[a-z0-9._+-]{1,40}@[a-z0-9-]{2,40}(?:\.[a-z0-9-]{2,40})*\.[a-z]{2,6}")
#: names of a program's for what holds a password
_IDENTIFIER = re.compile(rb"(?i)[a-z_$]*[0-9]?[a-z_$]*(?:pass|pwd|secret|token|key)[a-z_$]*")
#: a name of a package or an option: words and versions with dashes between them
_DASHED = re.compile(rb"[A-Za-z]+[0-9]?(?:[-_][A-Za-z0-9.]+)+|[A-Z0-9_]+")
#: an option's own name, and its value behind it
_OPTION = re.compile(rb"[a-z]+(?:-[a-z]+)+=|--?[a-z]+(?:-[a-z]+)*\Z")
_CONSTANT = re.compile(rb"[A-Z0-9]*(?:_[A-Z0-9]+)*_?(?:PASS|PWD|SECRET)[A-Z0-9_]*|[A-Z]+(?:_[A-Z]+){2,}")
#: a variable and what it is set to
_SET = re.compile(rb"[A-Za-z_]+=")
#: a command of PowerShell's
_CMDLET = re.compile(rb"[A-Z][a-z]+-[A-Z][A-Za-z]+")
_TRIGGER_SIGN = rb"(?:[ \t]{0,12}[=:][=>]?[ \t]{0,12}|[ \t]is:?[ \t]|[ \t]{1,3}|-)"
_MIXED = re.compile(rb"(?=[^\s]*[0-9])(?=[^\s]*[A-Za-z])")
_SPECIAL_SIGN = re.compile(rb"[!@#$%^&*=?]")
_SPECIAL = re.compile(rb"[!@#$%^&*+=?~-]")


class _Login(NamedTuple):
    """A password and where it, its name and its word stand in a window."""

    name: bytes
    sign: bytes
    quote: bytes
    value: bytes
    start: int
    end: int
    begin: int
    word: int


class LoginDetector(Explaining):
    """Passwords beside their users (`base.Detector`)."""

    @property
    def triggers(self) -> Sequence[Trigger]:
        """Words for password, each followed by a value."""
        value = _TRIGGER_SIGN + rb"[bru@]{0,2}\\?[\"'`]?[^\s\"'`<>\\(){}$,;:][^\s\"'`<>\\]{3}"
        foreign = b"|".join(b"".join(b"\\x%02x" % byte for byte in word) for word in _FOREIGN_WORDS.split(b"|"))
        return (
            Trigger(b"(?:" + _WORDS + rb")[0-9]{0,2}[\"'\])]{0,2}" + value, caseless=True),
            Trigger(b"(?:" + foreign + b")" + value),
        )

    def explain(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match | Suppressed]:
        """As `confirm`, with what was judged to be no secret, and why."""
        context = context_of(path)
        seen = 0
        for low, high in ranges(ends, _REACH):
            for start in range(low, high, _PORTION):
                stop = min(high, start + _PORTION)
                base = max(0, start - _AROUND)
                window = bytes(data[base : stop + _LONGEST + _AROUND])
                for login in _logins(window, start - base, stop - base):
                    if base + login.start < seen:
                        continue
                    seen = base + login.end
                    reason, user = _no_password(login.name, login.sign, login.quote, login.value, context), None
                    if reason is None and (_in_sentence(window, login) or _of_test(window, login, context)):
                        reason = "words"
                    if reason is None and not login.quote and _HOLE.match(window, login.end):
                        reason = "reference"
                    if reason is None and login.value.isalpha() and _SPELLED_LETTER.match(window, login.end):
                        reason = "words"
                    if reason is None:  # looking for the user costs most, so it comes last
                        user, assigned = _user_of(window, login)
                        reason = _no_user(login, user, context)
                        labels = not assigned or user is None or plausible.label(user)
                        if reason is None and labels and plausible.label(login.value):
                            reason = "words"
                    if reason is None and user is None and _amid_bytes(window, login, data, base):
                        reason = "no-user"
                    if reason is None and _next_string(login, data, base):
                        reason = "list"
                    if reason is not None:
                        yield Suppressed(RULE, base + login.start, base + login.end, reason)
                    else:
                        yield _match(login, base, user or b"")


def _logins(window: bytes, begin: int, stop: int) -> Iterator[_Login]:
    at = max(begin, 0)
    assigned = _ASSIGNED_ASCII if window.isascii() else _ASSIGNED
    end = stop + _LONGEST_ASSIGNED  # what begins before *stop* ends before that
    while (match := assigned.search(window, at, end)) is not None and match.start() < stop:
        at = match.start("secret")
        quote, value = match.group("quote"), match.group("secret")
        if quote and not match.group("close"):
            continue
        if quote and b"=" in match.group("sign") and _of_another(window, match):
            continue
        if not quote:
            whole, value = value, _CUTS.split(value, maxsplit=1)[0].rstrip(b".")
            if _SUBSCRIBED.match(whole, len(value)) is not None and _IS_NAME.fullmatch(value) is not None:
                continue
        if len(value) >= _LEAST:
            before = max(0, match.start() - _LONGEST_NAME)
            before += len(window[before : match.start()].rstrip(_NAME_SIGNS))
            name = window[before : match.start("end")]
            if not quote and match.group("sign") == b":" and window[before - 1 : before] == b":":
                continue  # one of many words with colons between them, as commands are named
            if name == b"pass" and match.group("sign") == b":" and _MIXED.match(value) is None:
                continue  # where OpenSSL takes a pass phrase from, as in `-passin pass:…`
            yield _Login(name, match.group("sign").strip(), quote, value, at, at + len(value), before, match.start())


_LEAST = 4
#: signs that a value without quotes ends before
_CUTS = re.compile(rb"[,;(){}\[\]|&]")
#: what follows the name of a function or a table
_SUBSCRIBED = re.compile(rb"[(\[]")
_IS_NAME = re.compile(rb"[A-Za-z_][\w.]*")
#: names before the last of those that are set at once, and what stands between values
_TARGETS = re.compile(rb"(?:^|[\n;({])[ \t]*(?:[A-Za-z_$][\w$.]*[ \t]*,[ \t]*){1,6}[\w$.]*\Z")
_NEXT_VALUE = re.compile(rb"[ \t]*,[ \t]*[\"'`\w]")
#: a name that ends in two letters only: among enough bytes of a program they stand before every sign somewhere
_TWO_LETTERS = re.compile(rb"pw[0-9]{0,2}\Z", re.IGNORECASE)
#: a quote that is open, and two words more that no sign makes the name of something
_OPENED = re.compile(rb"[\"'`][^\"'`]*\Z")
_GOES_ON = re.compile(rb"(?:[ ,]{1,2}[A-Za-z'-]{1,20}(?![\w'-]|[ ]?[:=])){2}")
_GOES_ON_LABEL = re.compile(rb"[ ](?:[A-Za-z'-]|[\x80-\xff]){2,40}(?![\w'-]|[ ]?[:=])")
#: a letter beyond ASCII that JSON spells out: a password's word goes on with it in translations
_SPELLED_LETTER = re.compile(rb"\\u0(?:0[c-fC-F]|1[0-9a-fA-F])[0-9a-fA-F]")
#: what a template puts something into
_HOLE = re.compile(rb"\{[A-Za-z_][\w.:,-]{0,60}\}")
#: a small letter before a capital: the end of one word and the start of another
_NO_WORD = re.compile(rb"pW[0-9]{0,2}\Z")


def _of_another(window: bytes, match: re.Match[bytes]) -> bool:
    """Whether the value belongs to the first of several names that are set at once, and *match* to the last:
    `user, password = "app", "…"`."""
    if _NEXT_VALUE.match(window, match.end()) is None:
        return False
    return _TARGETS.search(window[max(0, match.start() - _AROUND) : match.start()]) is not None


def _in_sentence(window: bytes, login: _Login) -> bool:
    """Whether *login* is a word of a sentence in quotes: `'Its passphrase: opens the key.'`."""
    if login.quote or login.sign != b":" or not login.value.isalpha():
        return False
    if login.value.istitle():
        return _GOES_ON_LABEL.match(window, login.end) is not None
    line = window[max(0, login.begin - _AROUND) : login.begin].rpartition(b"\n")[2]
    return login.value.islower() and _OPENED.search(line) is not None and _GOES_ON.match(window, login.end) is not None


def _amid_bytes(window: bytes, login: _Login, data: memoryview, base: int) -> bool:
    """Whether *login* has a name of two letters that begins no string, in a content that is no text."""
    if _TWO_LETTERS.search(login.name) is None or window[max(0, login.begin - 1) : login.begin] in (b"", b"\0", b"\n"):
        return False
    return amid_zeros(data, base + login.begin, base + login.end)


def _of_test(window: bytes, login: _Login, context: Context) -> bool:
    """Whether *login* is a line that tells what became of a test: `PASS: its name`."""
    if context not in (Context.OTHER, Context.PROSE) or login.quote or (login.name, login.sign) != (b"PASS", b":"):
        return False
    if _tells_itself(login):
        return False
    return not login.begin or window[login.begin - 1] == 0x0A


def _next_string(login: _Login, data: memoryview, base: int) -> bool:
    """Whether what follows the word for password is the next one of a program's strings; only what forms no words is
    believed to be a password there."""
    words = not login.quote and plausible.words(login.value, 0.38) is not None
    return words and in_table(data, base + login.begin, base + login.end)


def _user_of(window: bytes, login: _Login) -> tuple[bytes | None, bool]:
    """The user or server near *login*, None if there is none, and whether a sign sets it: that says more than a blank
    or a dash between them, with which words stand in sentences and in names."""
    beside = None
    before = window[max(0, login.word - _AROUND) : login.word]
    behind = window[login.end : login.end + _AROUND]
    before = b"\n".join(before.split(b"\n")[-_LINES:])
    behind = b"\n".join(behind.split(b"\n")[:_LINES])
    for text in (before, behind):
        if (shorthand := _SHORTHAND.search(text)) is not None:
            return shorthand.group("value"), True
        for match in _USER.finditer(text):
            value = match.group("value")
            if plausible.reference(value) is None and not _PROGRAM.match(value):
                if re.search(rb"[=:]", text[match.start() : match.start("value")]) is not None:
                    return value, True
                beside = beside or value
    return beside, False


#: a variable that a program names like the field it sets: `email,` on a line of its own
_SHORTHAND = re.compile(rb"^[ \t]*(?P<value>user(?:name)?|email|login)[ \t]*,?[ \t]*$", re.MULTILINE)
_PROGRAM = re.compile(
    rb"[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)+|[A-Za-z_$][\w$.]*\(|True|False|None|null|true|false|string|str"
)


def _tells_itself(login: _Login) -> bool:
    """Whether a password needs no user beside it: letters of both cases and digits that form no words."""
    value = login.value
    classes = all(re.search(kind, value) for kind in (rb"[a-z]", rb"[A-Z]", rb"[0-9]"))
    return classes and len(value) >= 10 and login.sign != b"-" and plausible.words(value, 0.38) is None


def _no_user(login: _Login, user: bytes | None, context: Context) -> str | None:
    if user is None:
        return None if _tells_itself(login) else "no-user"
    same = login.value.lower() == user.lower() and context not in (Context.BUILD, Context.SETTINGS)
    if context is Context.SOURCE and login.value != (bare := _WORD_BEHIND.sub(b"", login.value)):
        same = same or bare.lower() == _USER_BEHIND.sub(b"", user).lower()
    return "default-or-word" if same else None


#: `testUser` and `testPass`: values that are named as what they are for
_WORD_BEHIND = re.compile(rb"(?<=[A-Za-z])[-_]?(?:password|passwd|pass|pwd|pw)[0-9]?\Z", re.IGNORECASE)
_USER_BEHIND = re.compile(rb"(?<=[A-Za-z])[-_]?(?:username|user|login|name)[0-9]?\Z", re.IGNORECASE)


@functools.lru_cache(maxsize=8192)  # most are as one before, in every file of a library
def _no_password(name: bytes, sign: bytes, quote: bytes, value: bytes, context: Context) -> str | None:
    if _NO_PASSWORD_NAME.search(name) or _NO_WORD.search(name):
        return "name-of-no-secret"
    if (reason := plausible.password(value) or plausible.expression(value)) is not None:
        return reason
    if (not quote and _DOTTED.fullmatch(value) is not None) or _OPTION.match(value) is not None:
        return "expression"
    if not quote and _CMDLET.fullmatch(value) is not None:
        return "expression"
    if plausible.name_of(name, value) or (not quote and value.endswith(b":")):
        return "name"  # the one that the name has already, or one of what follows
    if not sign and _SET.match(value) is not None:
        return "assignment"
    if not value.isascii() and plausible.label(value):
        return "words"
    if _ADDRESS.fullmatch(value) is not None:
        return "mail-address"  # what anonymous logins ask for
    if _CONSTANT.fullmatch(value) is not None:
        return "name"
    if not quote and context is Context.SOURCE and _IDENTIFIER.fullmatch(value) is not None:
        return "name"
    if context is Context.SOURCE and value.isalpha() and b"password" in value.lower():
        return "name"
    mixed = _MIXED.match(value) is not None and (len(value) >= 8 or _SPECIAL.search(value) is not None)
    if sign == b"-":
        return None if mixed and _SPECIAL_SIGN.search(value) is not None else "words"
    if not sign and (_DASHED.fullmatch(value) is not None or (not quote and context is Context.SOURCE)):
        return "words"
    if not sign or sign[:2].lower() == b"is":
        return None if mixed else "words"
    if not quote and context in (Context.SOURCE, Context.PROSE):
        return None if mixed and plausible.words(value, 0.2) is None else "unquoted"
    return None if mixed or quote or context is not Context.OTHER else "words"


def _match(login: _Login, base: int, user: bytes) -> Match:
    shown = "".join(char if char.isprintable() else "?" for char in user[:80].decode("ascii", "backslashreplace"))
    return Match(
        RULE,
        "pattern",
        "Password beside a user name",
        Severity.HIGH,
        Confidence.MEDIUM,
        base + login.start,
        base + login.end,
        Secret(login.value),
        (Evidence("companion", "user", shown),) if user else (),
        gains="Logs in as the user that stands beside it.",
    )
