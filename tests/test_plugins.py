"""What the detectors of detect-secrets find, compared with detect-secrets itself run plainly."""

from __future__ import annotations

import os
import random
import re
import string
import subprocess
import sys
import sysconfig
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hyperscan
import pytest
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.core.scan import scan_file
from detect_secrets.filters import heuristic
from detect_secrets.plugins import keyword as keyword_module
from detect_secrets.settings import default_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.detect.base import Detector
from scanner.detect.firstpass import compile_database, fired
from scanner.detect.plugins import detectors
from scanner.detect.plugins.alphabet import Projection
from scanner.detect.plugins.assigned import reads_as_assignments
from scanner.detect.plugins.catalogue import KINDS
from scanner.detect.plugins.entropy import EntropyDetector
from scanner.detect.plugins.keyword import KeywordDetector
from scanner.detect.plugins.lines import WHOLE, WINDOW
from scanner.detect.plugins.tally import Tally
from scanner.detect.plugins.tokens import Sighting, TokenDetector
from scanner.detect.plugins.translate import Untranslatable, translate
from scanner.evidence import Confidence, Match

CLASSES: dict[str, Any] = dict(get_mapping_from_secret_type_to_class())
PLAIN = {name: plugin() for name, plugin in CLASSES.items()}
#: plugins whose own value is a prefix of the token (a group that is only part of it), or lacks the signature
OTHER_VALUES = {"GitHub Token", "GitLab Token", "JSON Web Token"}
ENTROPY_TYPES = ("Base64 High Entropy String", "Hex High Entropy String")
FILTERS = (
    heuristic.is_sequential_string,
    heuristic.is_potential_uuid,
    heuristic.is_templated_secret,
    heuristic.is_prefixed_with_dollar_sign,
    heuristic.is_not_alphanumeric_string,
)
ALNUM = string.ascii_letters + string.digits
Found = set[tuple[str, int, str]]


class Behind:
    """All detectors behind one database, as the first pass runs them."""

    def __init__(self, every: bool = True) -> None:
        self.tally = Tally()
        self.detectors: list[Detector] = []
        for detector in detectors(self.tally):
            if isinstance(detector, KeywordDetector):
                detector = KeywordDetector(detector.library, detector.judge, detector.tally, every)
            self.detectors.append(detector)
        triggers = [(owner, trigger) for owner, one in enumerate(self.detectors) for trigger in one.triggers]
        self._owners = [owner for owner, _ in triggers]
        self._database: Any = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=[trigger.expression for _, trigger in triggers],
            ids=list(range(len(triggers))),
            elements=len(triggers),
            flags=[
                hyperscan.HS_FLAG_DOTALL | (hyperscan.HS_FLAG_CASELESS if trigger.caseless else 0)
                for _, trigger in triggers
            ],
        )

    def fired(self, data: bytes) -> Iterator[tuple[Detector, list[int]]]:
        """Each detector that woke, with where."""
        ends: dict[int, set[int]] = {}
        self._database.scan(
            data, match_event_handler=lambda number, _s, end, _f, _c: ends.setdefault(number, set()).add(end)
        )
        places: dict[int, set[int]] = {}
        for number, found in ends.items():
            places.setdefault(self._owners[number], set()).update(found)
        for owner, found in sorted(places.items()):
            yield self.detectors[owner], sorted(found)

    def matches(self, data: bytes, path: str = "file.txt") -> list[Match]:
        """What is reported."""
        return [match for one, ends in self.fired(data) for match in one.confirm(memoryview(data), ends, path)]

    def sightings(self, data: bytes, path: str) -> Iterator[tuple[str, Sighting]]:
        """What is seen before any judgement, with detect-secrets' name of it."""
        for one, ends in self.fired(data):
            assert isinstance(one, (TokenDetector, EntropyDetector, KeywordDetector))
            for sighting in one.sightings(memoryview(data), ends, path):
                yield _secret_type(one, sighting), sighting


def _secret_type(detector: TokenDetector | EntropyDetector | KeywordDetector, sighting: Sighting) -> str:
    if isinstance(detector, TokenDetector):
        return detector.kind.secret_type
    return ENTROPY_TYPES[sighting.expression] if isinstance(detector, EntropyDetector) else "Secret Keyword"


@pytest.fixture(scope="module")
def first_only() -> Behind:
    """The detectors with one assigned value for each expression and line, as detect-secrets has it."""
    return Behind(every=False)


@pytest.fixture(scope="module")
def behind() -> Behind:
    """The detectors as they are used."""
    return Behind()


def lines_of(data: bytes) -> list[str]:
    """Lines as Python's text files give them, then stripped as detect-secrets does."""
    text = data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    return [line.rstrip() for line in text.split("\n")]


def plain(data: bytes, path: str) -> Found:
    """What detect-secrets' plugins find, line by line, without filters and without the network."""
    return {
        (name, number, str(secret.secret_value))
        # the one deliberate difference: tokens of Discord are ASCII
        for number, line in enumerate(lines_of(data), start=1)
        for name, plugin in PLAIN.items()
        for secret in plugin.analyze_line(filename=path, line=line, line_number=number)
        if name != "Discord Bot Token" or str(secret.secret_value).isascii()
    }


def ours(one: Behind, data: bytes, path: str, rewritten: bool = False) -> Found:
    """What the detectors see in the lines as they stand."""
    return {
        (name, line_number(data, sighting.start), sighting.value)
        for name, sighting in one.sightings(data, path)
        if rewritten or not sighting.rewritten
    }


def line_number(data: bytes, offset: int) -> int:
    """The 1-based number of the line at *offset*, counted as `lines_of` does."""
    before = data[:offset].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return before.count(b"\n") + 1


def pairs(found: Found) -> set[tuple[str, int]]:
    """Plugin and line."""
    return {(name, number) for name, number, _ in found}


def filtered(found: Found, data: bytes, path: str) -> Found:
    """*found* after the filters that detect-secrets applies by default to value, line and path."""
    lines = lines_of(data)
    if heuristic.is_lock_file(path) or heuristic.is_swagger_file(path):
        return set()
    return {
        (name, number, value)
        for name, number, value in found
        if not any(is_filtered(value) for is_filtered in FILTERS)
        and not heuristic.is_likely_id_string(value, lines[number - 1], PLAIN[name])
        and not heuristic.is_indirect_reference(lines[number - 1])
    }


def assert_same(one: Behind, data: bytes, path: str) -> None:
    """Both find the same, value by value where the plugin's value is the secret."""
    theirs, mine = plain(data, path), ours(one, data, path)
    assert pairs(mine) == pairs(theirs)
    usual = {found for found in theirs if found[0] not in OTHER_VALUES and found[2]}
    assert {found for found in mine if found[0] not in OTHER_VALUES} == usual
    assert pairs(filtered(mine, data, path)) >= pairs(filtered(theirs, data, path))
    assert {p for p in pairs(filtered(mine, data, path)) if p[0] not in OTHER_VALUES} == {
        p for p in pairs(filtered(theirs, data, path)) if p[0] not in OTHER_VALUES
    }


# lines near what each plugin looks for ----------------------------------------------------------------------------


def _some(rng: random.Random, alphabet: str, *sizes: int) -> str:
    return "".join(rng.choices(alphabet, k=rng.choice(sizes)))


HEX, LOWER, UPPER = "0123456789abcdef", string.ascii_lowercase, string.ascii_uppercase
URLSAFE = ALNUM + "-_"


def _tokens(rng: random.Random) -> list[str]:
    """One value near each token's shape: lengths just short, right and too long."""
    s = _some
    claims = urlsafe_b64encode(rng.choice((b'{"a":1}', b'{"a":"b"}', b"{"))).decode().rstrip("=")
    header = rng.choice(("eyJ" + s(rng, ALNUM, 8, 12), "eyJhbGciOiJub25lIn0")) + "." + claims
    octets = ".".join(str(rng.choice((0, 8, 10, 172, 16, 192, 168, 255, 256, 127))) for _ in range(rng.choice((3, 4))))
    return [
        rng.choice(("AKC", "AP")) + rng.choice("5AFZ") + s(rng, ALNUM, 7, 8, 9, 10, 40),
        rng.choice(("AKIA", "ASIA", "A3TX", "akia")) + s(rng, UPPER + string.digits, 15, 16, 17, 40),
        f"aws_{rng.choice(('secret_key', 'TOKEN', 'pw', 'x'))} = '{s(rng, ALNUM + '/+', 39, 40, 41)}'",
        f"AccountKey={s(rng, ALNUM + '+/=', 87, 88, 90)}",
        f"https://{s(rng, LOWER, 1, 5)}:{s(rng, ALNUM + '%', 0, 1, 9)}@host",
        f"cl{rng.choice(('', 'ou', 'oudant'))}_{rng.choice(('api', ''))}key: {s(rng, HEX, 63, 64, 65)}",
        f"cl-pwd  =  '{s(rng, LOWER, 23, 24, 25)}'",
        f"http://a-b:{s(rng, HEX, 64)}@c.cloudant.com",
        s(rng, "MNO", 1) + s(rng, URLSAFE, 22, 23, 25, 26) + "." + s(rng, URLSAFE, 6) + "." + s(rng, URLSAFE, 26, 27),
        rng.choice(("ghp", "gho", "ghs", "ghx")) + "_" + s(rng, ALNUM, 35, 36, 37),
        rng.choice(("glpat-", "glrt-", "glcbt-", "glcbt-0f_", "GR1348941")) + s(rng, URLSAFE, 19, 20, 50, 51),
        rng.choice(("glimt-", "glptt-", "glagent-", "gloas-")) + s(rng, URLSAFE, 24, 25, 40, 50, 64, 1024, 1030),
        f"{rng.choice(('ibm_cloud_iam_key', 'key', 'iam-api-token'))}{rng.choice((':=', '=>', '  ', '::'))}"
        f"{s(rng, URLSAFE, 43, 44, 45)}",
        f"cos_hmac_secret_access_key: \"{s(rng, HEX, 47, 48, 49)}\"",
        octets + rng.choice(("", ":80", ":123456", ".1", "a")),
        header + rng.choice(("", "." + s(rng, URLSAFE, 5, 20))),
        s(rng, LOWER + string.digits, 31, 32, 33) + "-us" + s(rng, string.digits, 1, 2),
        f"//registry/:_authToken={rng.choice(('npm_', '', ' '))}{s(rng, HEX + '-', 35, 36)}",
        "sk-" + s(rng, URLSAFE, 0, 5) + s(rng, ALNUM, 19, 20) + "T3BlbkFJ" + s(rng, ALNUM, 19, 20),
        f"BEGIN {rng.choice(('RSA ', 'EC ', '', 'ENCRYPTED ', 'PGP '))}PRIVATE KEY{rng.choice(('', ' BLOCK'))}",
        "pypi-AgE" + rng.choice(("IcHlwaS5vcmc", "NdGVzdC5weXBpLm9yZw")) + s(rng, URLSAFE, 69, 70, 80),
        "SG." + s(rng, URLSAFE, 22) + "." + s(rng, URLSAFE, 42, 43, 44),
        rng.choice(("xoxb", "XOXP", "xox\u017f")) + "-" + s(rng, string.digits, 1, 5) + "-" + s(rng, ALNUM, 1, 9),
        f"https://hoo\u212as.slack.com/services/T{s(rng, ALNUM, 1, 8)}/B{s(rng, ALNUM, 1)}/{s(rng, ALNUM, 3)}",
        f"softlayer_api_key = {s(rng, LOWER + string.digits, 63, 64)}",
        "http://api.softlayer.com/soap/v3" + rng.choice(("", ".1", "\u20ac1")) + "/" + s(rng, LOWER, 64),
        "sq0csp-" + s(rng, URLSAFE + "\\", 42, 43),
        rng.choice("rsx") + "k_live_" + s(rng, ALNUM, 23, 24),
        s(rng, string.digits, 7, 8, 10, 11) + ":" + s(rng, URLSAFE, 34, 35, 36),
        rng.choice(("AC", "SK")) + s(rng, LOWER + string.digits, 31, 32),
    ]


NAMES = (
    "password", "PassWord", "pa\u017fsword", "db_pass", "api_key", "ap\u0131_\u212aey", "client_key_2", "secret",
    "secretsecret", "contrase\u00f1a", "CONTRASE\u00d1A", "contrasena", "pwd", "my_passwd", "keypass", "pass",
)
SIGNS = (
    "=", " = ", "==", " === ", "!=", "!==", ":", ": ", ":=", " := ", "=>", " => ", "(", ".assign(", "[] = ",
    "[25] = @", " ", "x y",
)
QUOTES = ("'", '"', "`", "")
VALUES = (
    "hunter2", "a", "", "x,", "caf\u00e9 au lait", "\u00e9t\u00e9", "a`b", "$x", "{a}", "9 lives;", "a.b(c)", "\x0b",
    "\u00a0z",
)


#: letters that equal ASCII ones when case is ignored
FOLDED = str.maketrans("iksK", "\u0131\u212a\u017f\u212a")


def _keyword(rng: random.Random) -> str:
    name, sign, quote = rng.choice(NAMES), rng.choice(SIGNS), rng.choice(QUOTES)
    value = rng.choice((*VALUES, _some(rng, ALNUM, 8, 20)))
    closing = rng.choice(("", "", "']", '"', ")", "x" * 55))
    if rng.random() < 0.2:
        return f"if {quote}{value}{quote}{rng.choice(SIGNS)}my_{name}:"
    other = quote if rng.random() < 0.8 else rng.choice(QUOTES)
    return f"{name}{closing}{sign}{quote}{value}{other}{rng.choice((';', '', ',', ');'))}"


def _entropy(rng: random.Random) -> str:
    pieces = []
    for _ in range(rng.randint(1, 5)):
        alphabet = rng.choice((HEX, HEX[:9], string.digits, ALNUM + "+/=", URLSAFE + "\\", HEX.upper(), "ab c"))
        pieces.append(_some(rng, alphabet, 0, 7, 9, 16, 23, 32, 64, 200))
        pieces.append(rng.choice(("'", '"', "''", '" "', "', '")))
    return rng.choice(("", "'", '"', "x=")) + "".join(pieces)


def generated(seed: int, count: int) -> bytes:
    """Lines near the grammar of every plugin, with line ends of all three kinds."""
    rng = random.Random(seed)
    text = []
    for _ in range(count):
        token = rng.choice(_tokens(rng))
        if rng.random() < 0.3:
            token = rng.choice((token.upper(), token.swapcase(), token.translate(FOLDED)))
        parts = [token, _keyword(rng), _entropy(rng)]
        rng.shuffle(parts)
        kept = parts[: rng.choice((1, 1, 2, 3))]
        glue = rng.choice((" ", "", "; ", "\u00e9", "\u00a0", "=", '"', "_", "\u0663"))
        text.append(rng.choice(("", " ", "\t", "x", '"')) + glue.join(kept) + rng.choice(("", " ", "\x1c", "\u2003")))
        text.append(rng.choice(("\n", "\n", "\r\n", "\r")))
    return "".join(text).encode()


PATHS = ("a.py", "a.txt", "a.yaml", "a.go", "a.c", "a.cpp", "a.ini", "a.m", "a.conf", "package-lock.json")


@pytest.mark.parametrize("seed", range(40))
def test_generated_lines(first_only: Behind, seed: int) -> None:
    """On lines made to be near each plugin's grammar both find the same, for every kind of file."""
    assert_same(first_only, generated(seed, 120), PATHS[seed % len(PATHS)])


def test_every_plugin_is_here() -> None:
    """Each detector that detect-secrets brings has one of ours."""
    mine = {kind.secret_type for kind in KINDS} | {*ENTROPY_TYPES, "Secret Keyword"}
    assert mine == set(PLAIN)


def test_generated_lines_reach_every_plugin() -> None:
    """The generated lines make every plugin find something, so that comparing them proves something."""
    seen = {name for seed in range(12) for name, *_ in plain(generated(seed, 120), PATHS[seed % len(PATHS)])}
    assert seen == set(PLAIN)


def _site_files(count: int, most: int) -> list[Path]:
    """Text files of the running interpreter's installed packages, always the same for the same installation."""
    root = Path(sysconfig.get_paths()["purelib"])
    files = sorted(path for path in root.rglob("*") if path.is_file() and 0 < path.stat().st_size <= most)
    random.Random(2).shuffle(files)
    chosen = []
    for path in files:
        try:
            path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue
        chosen.append(path)
        if len(chosen) == count:
            break
    return chosen


def test_installed_packages(first_only: Behind) -> None:
    """On files of an installed site-packages both find the same; the bench runs all of them."""
    for path in _site_files(600, 32_000):
        assert_same(first_only, path.read_bytes(), str(path))


def test_files_as_detect_secrets_reads_them(behind: Behind, tmp_path: Path) -> None:
    """In configuration files, which detect-secrets rewrites before it looks, nothing that it finds is missing."""
    rng = random.Random(5)
    strong = "".join(rng.sample(ALNUM, 40))
    mixed = "".join(rng.sample(HEX, 16)) * 2
    files = {
        "credentials": f"[default]\naws_access_key_id = AKIA{'Q' * 16}\naws_secret_access_key = {strong}\n",
        "prod.env": f"# settings\nDB_PASSWORD=tr0ub4dor\nTOKEN={mixed}\nOTHER={strong}\nNAME='quoted {mixed}'\n",
        "app.ini": f"[main]\npassword =\n    first-line\n    {mixed}\nurl = x\n\ttoken\n",
        "app.cfg": f"[a]\nsecret: one\n[b]\nkey = {strong}\n",
        "values.yaml": f"a:\n  token: {mixed}\n  other: {strong} # why\n  password: s3cr3tive\n- x\n",
        "good.yml": f"a:\n  - token: {mixed}\n    secret: \"{strong}\"\n  - password: plain words\nb: {strong}\n",
    }
    missing = []
    for name, text in files.items():
        path = tmp_path / name
        path.write_text(text)
        with default_settings():
            theirs = {(secret.type, secret.line_number) for secret in scan_file(str(path))}
        assert theirs, name
        mine = pairs(ours(behind, text.encode(), str(path), rewritten=True))
        missing += [(name, pair) for pair in theirs - mine]
    assert not missing


def _expressions() -> Iterator[tuple[re.Pattern[str], int]]:
    for kind in KINDS:
        for pattern in getattr(PLAIN[kind.secret_type], "denylist", ()):
            yield pattern, 0 if kind.whole or not pattern.groups else 1
    groups: Sequence[dict[re.Pattern[str], int]] = list(keyword_module.REGEX_BY_FILETYPE.values())
    for one in groups:
        yield from one.items()
    yield heuristic._get_indirect_reference_regex(), 0
    yield heuristic._get_id_detector_regex(), 0


SCRIPTS = "\u0130\u0131\u017f\u212a\u00f1\u00d1\u00e0\u0660\u00a0\u2022"
ALPHABET = st.sampled_from([*"aAkKsSiI_-09 \t=:!>'\"`,;.()[]{}/@#\\\x0b\x1c", *SCRIPTS])
WORDS = st.sampled_from([*NAMES, *SIGNS, *QUOTES, *VALUES, "AKC", "AP5",
 "://", "a:b@", "eyJ.", "token", "ibm", " id=", "x(y)"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(WORDS, ALPHABET), max_size=14))
def test_translated_expressions(pieces: list[str]) -> None:
    """A translated expression finds the spans that the original finds, on any mixture of scripts and quotes."""
    text = "".join(pieces)
    projected = Projection()(text)
    for linear, original, group in TRANSLATED:
        mine = [(span.start, span.end) for span in linear.spans(projected, text)]
        assert mine == [match.span(group) if match.group(group) is not None else (match.start(), match.start())
                        for match in original.finditer(text)], original.pattern


TRANSLATED = [(translate(pattern, group), pattern, group) for pattern, group in _expressions()]


@pytest.mark.parametrize("pattern", [r"(a+)x\1", r"(?=ab)a", r"(?<=ab)c", r"[\u0400-\u04ff]", r"(?>a)b", r"a\u0416"])
def test_what_cannot_be_translated_is_refused(pattern: str) -> None:
    """An expression that the linear engine cannot stand for is an error, never a near miss."""
    if pattern.startswith("(?<=ab)"):
        with pytest.raises(Untranslatable):
            translate(re.compile(pattern), 0)
        return
    with pytest.raises(Untranslatable):
        translate(re.compile(pattern), 0)


def test_value_is_the_token(behind: Behind) -> None:
    """Two tokens of one file are two findings with their own spans; detect-secrets gives one, of value `ghp`."""
    rng = random.Random(7)
    tokens = ["ghp_" + _some(rng, ALNUM, 36) for _ in range(2)]
    data = f"a = {tokens[0]}\nb = {tokens[1]}\n".encode()
    found = [match for match in behind.matches(data) if match.rule_id == "detect-secrets.github-token"]
    assert [match.secret.reveal().decode() for match in found] == tokens
    assert [data[match.start : match.end].decode() for match in found] == tokens


def test_token_includes_its_signature(behind: Behind) -> None:
    """The span of a JSON Web Token covers the signature, which the plugin's expression leaves out."""
    part = [urlsafe_b64encode(text).rstrip(b"=").decode() for text in (b'{"alg":"HS256"}', b'{"sub":"x9"}')]
    token = ".".join([*part, _some(random.Random(3), ALNUM, 43)])
    [found] = [m for m in behind.matches(f"x {token} y".encode()) if m.rule_id == "detect-secrets.json-web-token"]
    assert found.secret.reveal().decode() == token


def test_a_token_of_documentation_is_a_guess(behind: Behind) -> None:
    """Everybody shows the token whose subject is 1234567890."""
    part = [urlsafe_b64encode(text).rstrip(b"=").decode() for text in (b'{"alg":"HS256"}', b'{"sub":"1234567890"}')]
    token = ".".join([*part, _some(random.Random(3), ALNUM, 43)])
    [found] = [m for m in behind.matches(f"x {token} y".encode()) if m.rule_id == "detect-secrets.json-web-token"]
    assert found.confidence is Confidence.LOW


def test_bytes_that_are_no_text(behind: Behind) -> None:
    """A token between bytes that are not UTF-8 is found; detect-secrets skips such files."""
    token = b"AKIA" + b"Q7X2" * 4
    data = b"\xff\xfe\x00" + token + b"\x80\x00"
    [found] = [match for match in behind.matches(data, "a.bin") if match.rule_id == "detect-secrets.aws-access-key"]
    assert (found.start, found.end) == (3, 23)


def test_offsets_behind_other_scripts(behind: Behind) -> None:
    """Spans count bytes, not characters."""
    data = 'pre \u00e9\u20ac password = "Zk93-Lm2q-Pw81"\n'.encode()
    [found] = [match for match in behind.matches(data, "a.py") if match.rule_id == "detect-secrets.secret-keyword"]
    assert data[found.start : found.end] == b"Zk93-Lm2q-Pw81" == found.secret.reveal()


def test_every_value_of_a_line(behind: Behind) -> None:
    """A line of JSON gives all its assigned values, where detect-secrets stops at the first."""
    data = b'{"password": "Qm4-first-81xz", "db_password": "Wp7-other-92kd"}\n'
    found = [match for match in behind.matches(data, "a.json") if match.rule_id == "detect-secrets.secret-keyword"]
    assert [match.secret.reveal() for match in found] == [b"Qm4-first-81xz", b"Wp7-other-92kd"]


@pytest.mark.parametrize("filler", [WHOLE - 100, WHOLE + 5000, WINDOW + 77, 3 * WINDOW])
def test_long_lines(behind: Behind, filler: int) -> None:
    """What stands far into a line of megabytes is found at its place."""
    token = b"ghp_" + b"Ab3d" * 9
    value = b'"Xk2-9fQz-77aB"'
    data = b"x " * (filler // 2) + b" " + token + b" password = " + value + b" " + b"y " * filler
    found = {match.rule_id: match for match in behind.matches(data, "a.js")}
    assert data[found["detect-secrets.github-token"].start :].startswith(token)
    assert found["detect-secrets.secret-keyword"].secret.reveal() == value[1:-1]


def test_long_strings_are_counted(behind: Behind) -> None:
    """A quoted string too long to be measured is not passed over in silence."""
    behind.tally.take()
    behind.matches(b'"' + (ALNUM.encode() * 40_000) + b'"')
    assert any(reason in ("longer-than-measured", "bulk") for (_, reason), _ in behind.tally.take())


HOSTILE = (
    b"secret" * 40_000,
    b"secret`a" * 30_000,
    b"secret=" + b" " * 200_000 + b"x" * 10,
    b"cl_key" + b" " * 200_000 + b"z",
    b"key" + b" " * 100_000 + b"A" * 45 + b" ",
    b"eyJ" * 60_000 + b".a",
    b'"0123456789abcdef"' * 15_000,
    b"'\"" * 100_000,
    b"eyJ" + b"a" * 100_000 + b".b" * 50_000,
    b"password = (" * 20_000 + b'"a"',
    "\u0131".encode() * 100_000 + b" password = 'x'",
    b"AKC" * 80_000,
    b"1.2.3.4." * 30_000,
    b"a:\n" + b"  secret: b\n" * 20_000,
    b"k = secret\n" + b"  secret\n" * 20_000,
)


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("path", ["x.txt", "x.yaml"])
def test_hostile_lines_end(behind: Behind, data: bytes, path: str) -> None:
    """Lines made to send a backtracking engine astray are done with in their turn."""
    for match in behind.matches(data, path):
        assert 0 <= match.start < match.end <= len(data)


def test_guesses_stay_guesses(behind: Behind) -> None:
    """Entropy alone is never surer than low, and a key's header proves nothing."""
    rng = random.Random(11)
    data = "\n".join(
        [f'x = "{"".join(rng.sample(ALNUM, 40))}"' for _ in range(20)] + ["-----BEGIN RSA PRIVATE KEY-----"]
    ).encode()
    found = behind.matches(data, "a.py")
    assert found
    assert {match.confidence for match in found} == {Confidence.LOW}


def test_assigned_literal_that_looks_made(behind: Behind) -> None:
    """A quoted, mixed value assigned to a secret's name is medium; a word, a call or a placeholder is not."""
    value = "".join(random.Random(13).sample(ALNUM, 24)) + "7a"
    [found] = [m for m in behind.matches(f'password = "{value}"'.encode(), "a.py") if "keyword" in m.rule_id]
    assert found.confidence is Confidence.MEDIUM
    for weak in ('"changeme12345X"', '"hello"', '"%s"', "get_password(1)"):
        weaker = [m for m in behind.matches(f"password = {weak}".encode(), "a.py") if "keyword" in m.rule_id]
        assert all(match.confidence is Confidence.LOW for match in weaker)


def test_set_aside_is_counted(behind: Behind) -> None:
    """A digest in quotes is no finding, and the count says so."""
    behind.tally.take()
    digest = "".join(random.Random(17).choices(HEX, k=64))
    assert behind.matches(f'hash = "{digest}"'.encode(), "a.py") == []
    assert ("detect-secrets.hex-high-entropy-string", "digest") in dict(behind.tally.take())


def test_token_inside_a_word_is_unsure(behind: Behind) -> None:
    """A token's shape in the middle of an identifier is a chance meeting."""
    inside = "Hi" + "ghs_" + _some(random.Random(19), ALNUM, 36) + "More"
    [found] = [m for m in behind.matches(inside.encode()) if m.rule_id == "detect-secrets.github-token"]
    assert found.confidence is Confidence.LOW


def test_import_is_late() -> None:
    """Asking for the detectors and their triggers loads neither detect-secrets nor its HTTP client."""
    code = (
        "import sys; from scanner.detect.plugins import detectors; [d.triggers for d in detectors()]; "
        "print([m for m in ('detect_secrets', 'requests', 'yaml') if m in sys.modules])"
    )
    root = Path(__file__).parent.parent
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("byte", [b"\n", b"\r", b" ", b"\t", b"#", b";", b" \n", b"="])
def test_telling_settings_takes_linear_time(byte: bytes) -> None:
    """A file of nothing but line ends, blanks or comments is no settings file, and no reason to think for ever."""
    content = byte * (1 << 16)

    assert not reads_as_assignments(memoryview(content), "OTHER")


def test_a_bot_token_in_digits_of_any_script_is_seen() -> None:
    """The plugin's `\\d` matches them all, and Python learns of more with every version of Unicode."""
    [kind] = [kind for kind in KINDS if kind.module == "telegram_token"]
    compiled = compile_database(kind.triggers)
    digits = [digit for digit in map(chr, range(sys.maxunicode)) if digit.isdecimal()]
    rng = random.Random(8)
    ids = [rng.choices(["1", digit, rng.choice(digits)], [6, 1, 1], k=rng.randint(8, 10)) for digit in digits]
    ids += [[*"1" * place, digit, *"1" * (7 - place)] for place, digit in enumerate(digits[:80:10])]

    assert len(digits) > 600
    assert [each for each in ids if not fired(compiled, [f"{''.join(each)}:{'a' * 35}".encode()])] == []
