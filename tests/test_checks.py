"""Offline checks and judgements: checksums of issuers, structures, placeholders."""

from __future__ import annotations

import base64
import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from scanner.detect import checksums, plausible, templates
from scanner.detect.assigned import judge_assigned, judge_url_password
from scanner.detect.checks import CHECKS
from scanner.detect.context import Context, context_of
from scanner.detect.outcome import Outcome, Verdict
from scanner.evidence import Confidence, Severity


def made(template: str, seed: int = 1) -> bytes:
    return templates.render(template, random.Random(seed), lambda: "").encode()


def checked(name: str, secret: bytes, **groups: bytes) -> Outcome:
    return CHECKS[name]({"secret": secret, **groups})


@pytest.mark.parametrize(
    ("check", "template"),
    [
        ("github-crc32", "{github:ghp_,30}"),
        ("github-crc32", "{github:ghr_,70}"),
        ("github-crc32", "{github:salad_cloud_user_,40}"),
        ("deno-crc32", "{deno:ddp_}"),
        ("apify-crc32", "{apify:apify_api_}"),
        ("body-crc32-hex", "{crchex:cfut_,alnum,40,}"),
        ("body-crc32-hex", "{crchex:zpka_,loweralnum,32,_}"),
        ("grafana-crc32", "{grafana}"),
        ("confluent-crc32", "{confluent}"),
        ("atlassian-crc32", "{atlassian:ATATT3xFfGF0}"),
        ("gitlab-crc32", "{gitlab:glpat-}"),
        ("gitlab-crc32", "{gitlab:glrt-t1_}"),
        ("azure-marvin", "{azure:+ASt,64,Default0}"),
        ("devops-crc32", "{devops}"),
        ("sanctum-crc32", "{crchex:12|,alnum,40,}"),
        ("base58check", "{bip38}"),
        ("solana-pair", "{solana}"),
        ("bech32", "{age}"),
        ("base58check", "{wif}"),
        ("base58check", "{xprv}"),
    ],
)
def test_right_checksum_makes_sure_and_wrong_one_does_not(check: str, template: str) -> None:
    """A token with its checksum is certain; one changed character takes that away."""
    token = made(template)
    assert checked(check, token).verdict is Verdict.SURE
    place = len(token) // 2
    other = b"b" if token[place : place + 1] != b"b" else b"c"
    changed = token[:place] + other + token[place + 1 :]
    assert checked(check, changed).verdict in (Verdict.DOUBT, Verdict.DROP)


@pytest.mark.parametrize("template", ["{macaroon}", "{macaroonv1}"])
def test_macaroon_is_walked_to_its_signature(template: str) -> None:
    """A macaroon counts only if its fields lead to a signature at its very end."""
    whole = made(template)
    assert checked("macaroon-parsed", whole).verdict is Verdict.SURE
    assert checked("macaroon-parsed", whole[:-8]).verdict is Verdict.DROP
    assert checked("macaroon-parsed", made("AgE{b64url:120}")).verdict is Verdict.DROP


def filler(length: int) -> str:
    return ("Example0" * 12)[:length]


@pytest.mark.parametrize(
    ("check", "token"),
    [
        ("github-crc32", "ghp_" + filler(24) + "Exampl" + "3Digvh"),
        ("body-crc32-hex", "cfut_" + filler(40) + "f11ed742"),
        ("grafana-crc32", "glsa_" + filler(32) + "_3435eecd"),
        ("body-crc32-hex", "zpka_" + filler(32).lower() + "_b978bc71"),
        ("confluent-crc32", "cflt" + filler(54) + "IkUuRw"),
        ("azure-marvin", filler(76) + "+AStUwNlfA=="),
        ("azure-marvin", filler(42) + "+ACRC6ZaJ0"),
        ("entra-secret", "Exa8Q~" + filler(31) + "boC"),
        ("gitlab-crc32", "glpat-" + "RVhBTVBMRS1FWEFNUExFIW86MQp1OjEQ." + "01.0w1l3og0x"),
        ("gitlab-crc32", "glpat-" + "RVhBTVBMRS1FWEFNUExFIW86MQp1OjEQ." + "0w1o4qkjq"),
    ],
)
def test_checksums_agree_with_worked_examples(check: str, token: str) -> None:
    """Filler text with the checksum that an independent calculation gave for it."""
    assert checked(check, token.encode()).verdict is Verdict.SURE


def test_account_of_an_aws_key_id() -> None:
    """A key id tells its account; an id from before that was so tells nothing."""
    assert checked("aws-account", b"AKIA" + b"RZPUZDIKABCVQQKN").detail == "account 123456789012"
    assert checked("aws-account", b"AKIAI" + b"A" * 15).result == "unknown"


def test_aws_secret_is_no_hash() -> None:
    """40 hexadecimal digits are a commit, not a secret key."""
    assert checked("aws-secret", made("{hex:40}")).verdict is Verdict.DROP
    assert checked("aws-secret", made("{b64:40}")).verdict is Verdict.FITS


@pytest.mark.parametrize(
    ("claims", "verdict"),
    [
        ("iss=shop,exp=1900000000", Verdict.FITS),
        ("iss=joe,exp=1300819380", Verdict.DROP),
        ("iss=supabase,role=anon", Verdict.PUBLIC),
        ("some=payload", Verdict.DOUBT),
    ],
)
def test_jwt_is_read(claims: str, verdict: Verdict) -> None:
    """What a token claims decides whether it is worth anything."""
    assert checked("jwt", made(f"{{jwt:{claims}}}")).verdict is verdict


def test_jwt_tells_issuer_and_expiry_but_not_itself() -> None:
    """Evidence names issuer and expiry and never holds the token."""
    token = made("{jwt:iss=shop,exp=1900000000}")
    outcome = checked("jwt", token)
    assert "issuer shop" in outcome.detail
    assert "expires 2030-03-17" in outcome.detail
    assert token.decode() not in outcome.detail


@given(st.binary(max_size=200))
def test_checks_never_raise(value: bytes) -> None:
    """Whatever the bytes, a check gives an outcome."""
    for name, check in CHECKS.items():
        groups = {"secret": value, "label": b"PRIVATE KEY"}
        if name == "jwt":
            groups["secret"] = value.replace(b".", b"") + b"." + value.replace(b".", b"") + b".x"
        assert isinstance(check(groups), Outcome)


def pem_block(body: str, label: str = "PRIVATE KEY", headers: str = "") -> bytes:
    return f"-----BEGIN {label}-----\n{headers}{body}\n-----END {label}-----".encode()


def test_private_key_is_parsed() -> None:
    """A key that parses is sure, one that is encrypted is less severe, a line without body is nothing."""
    der = Ed25519PrivateKey.generate().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    body = base64.encodebytes(der).decode().strip()
    assert checked("pem", pem_block(body), label=b"PRIVATE KEY").verdict is Verdict.SURE
    escaped = pem_block(body).replace(b"\n", b"\\n")
    assert checked("pem", escaped, label=b"PRIVATE KEY").verdict is Verdict.SURE
    indented = pem_block(body).replace(b"\n", b"\n    ")
    assert checked("pem", indented, label=b"PRIVATE KEY").verdict is Verdict.SURE
    encrypted = pem_block(body, "RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n")
    assert checked("pem", encrypted, label=b"RSA PRIVATE KEY").severity is Severity.MEDIUM
    for nothing in ("...", "REDACTED", "A" * 200, "x" * 100):
        assert checked("pem", pem_block(nothing), label=b"PRIVATE KEY").verdict is Verdict.DROP


def test_key_that_a_build_step_printed_is_parsed() -> None:
    """BuildKit writes the step and the time in front of each line of its log."""
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    log = b"\n".join(b"#12 0.345 " + line for line in key.splitlines()).removeprefix(b"#12 0.345 ")
    outcome = checked("pem", log, label=b"PRIVATE KEY")
    assert outcome.verdict is Verdict.SURE
    assert outcome.detail.startswith("Ed25519 256 bits")


def test_armour_around_anything_else_is_information() -> None:
    """What is neither DER nor OpenSSH's format is no key; DER of which the end is missing may have been one."""
    text = made("Zm9v{b64:300}").decode()
    assert checked("pem", pem_block(text), label=b"PRIVATE KEY").verdict is Verdict.PUBLIC
    cut = made("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC{b64:200}").decode()
    assert checked("pem", pem_block(cut), label=b"PRIVATE KEY").result == "cut"


def test_token_with_an_id_of_its_own_kind_is_sure_and_one_without_is_doubted() -> None:
    """Discord's tokens begin with a number in base64; text of that shape without one was altered."""
    number = base64.urlsafe_b64encode(b"412345678901234567").rstrip(b"=")
    rest = made(".Gx7k2Q.aB3{b64url:35}")
    assert checked("discord-id", number + rest).verdict is Verdict.SURE
    assert checked("discord-id", b"MTk4Zg7QhX2pL0vB9sDq4tRn" + rest).verdict is Verdict.DOUBT
    assert checked("discord-id", b"NotImplementedExceptions.Format.InvalidOperationOfSomething").verdict is Verdict.DROP


def test_openssh_key_tells_whether_it_is_encrypted() -> None:
    """The cipher's name stands in the clear part of the format."""
    block = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    clear = base64.b64decode(b"".join(block.splitlines()[1:-1]))
    outcome = checked("pem", block, label=b"OPENSSH PRIVATE KEY")
    assert outcome.verdict is Verdict.SURE
    assert outcome.detail.startswith("Ed25519 256 bits, public key SHA256:")
    locked = clear.replace(b"\0\0\0\4none", b"\0\0\0\x0aaes256-ctr", 1)
    block = pem_block(base64.b64encode(locked + bytes(-len(locked) % 3)).decode(), "OPENSSH PRIVATE KEY")
    assert checked("pem", block, label=b"OPENSSH PRIVATE KEY").result == "encrypted"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [(b"ci:Xk29dkQm1z", Verdict.SURE), (b"user:password", Verdict.DROP), (b"nocolon", Verdict.DROP)],
)
def test_basic_auth_is_decoded(text: bytes, verdict: Verdict) -> None:
    """Only base64 of a user and a password that is none of documentation counts."""
    assert checked("basic-auth", base64.b64encode(text)).verdict is verdict


def test_bech32_and_base58_are_their_own_inverse() -> None:
    """What is encoded here is valid here, and not after a change of case or a character."""
    text = checksums.bech32_encode("age-secret-key-", bytes(range(32)))
    assert checksums.bech32_valid(text)
    assert checksums.bech32_valid(text.upper())
    assert not checksums.bech32_valid(text[:-1] + text[-1].upper())
    payload = b"\0\0" + bytes(range(20))
    assert checksums.base58check_decode(checksums.base58check_encode(payload)) == payload
    assert checksums.base58check_decode("0OIl") is None


@pytest.mark.parametrize(
    "value",
    ["$DB_PASSWORD", "${DB_PASSWORD}", "{{ password }}", "<password>", "%(password)s", "%s", "********", "xxxxxxxx",
     "changeme", "your-password", "password", "EXAMPLEKEY", "aaaaaaaaaa", "12345678", "$(cat /run/secrets/db)"],
)  # fmt: skip
def test_placeholders_are_no_passwords(value: str) -> None:
    """What stands for a secret is none, and the judgement has a reason."""
    assert plausible.password(value.encode())


def test_random_values_are_plausible() -> None:
    """Random tokens and passwords pass all judgements."""
    for seed in range(200):
        value = made("{alnum:24}", seed)
        assert plausible.token(value) is None
        assert plausible.password(value) is None
        assert plausible.expression(value) is None
        assert plausible.words(value, 0.3) is None


@pytest.mark.parametrize(
    "value", ["getPasswordFromUser", "current_user_password", "kubernetes.io/service-account", "ThisIsNotSecret", "id"]
)
def test_names_are_words(value: str) -> None:
    """Identifiers and prose read as words."""
    assert plausible.words(value.encode(), 0.3) == "words"


@given(st.binary(max_size=300))
def test_judgements_never_raise(value: bytes) -> None:
    """Whatever the bytes, each judgement gives a reason or none."""
    for judge in (plausible.token, plausible.password, plausible.expression, plausible.long_text, plausible.reference):
        assert judge(value) is None or isinstance(judge(value), str)
    assert plausible.disorder(value) >= 0.0
    assert plausible.entropy(value) >= 0.0


@pytest.mark.parametrize(
    ("path", "context"),
    [
        ("app/Dockerfile", Context.BUILD),
        ("sha256:" + "ab" * 32, Context.BUILD),
        ("blobs/sha256/" + "ab" * 32, Context.BUILD),
        ("app/.env", Context.SETTINGS),
        ("app/.env.production", Context.SETTINGS),
        ("root/.netrc", Context.SETTINGS),
        ("srv/app/config.yaml", Context.SETTINGS),
        ("usr/lib/python3/x.py", Context.SOURCE),
        ("usr/share/doc/x/README.md", Context.PROSE),
        ("usr/lib/python3/x.dist-info/METADATA", Context.PROSE),
        ("etc/something", Context.OTHER),
        ("", Context.OTHER),
    ],
)
def test_names_tell_the_kind_of_content(path: str, context: Context) -> None:
    """The member path decides how an assignment looks like."""
    assert context_of(path) is context


def assigned(value: str, name: str = "DB_PASSWORD", quote: str = "", context: Context = Context.SETTINGS) -> object:
    groups = {"secret": value.encode(), "name": name.encode(), "quote": quote.encode()}
    confidence, reason = judge_assigned(groups, context, Confidence.MEDIUM)
    return reason or confidence


def test_assigned_value_needs_quotes_in_programs() -> None:
    """The same text is a secret in a settings file and an expression in a program."""
    assert assigned("kJ8mPq2vLx9") is Confidence.MEDIUM
    assert assigned("kJ8mPq2vLx9", context=Context.SOURCE) == "unquoted"
    assert assigned("kJ8mPq2vLx9", quote='"', context=Context.SOURCE) is Confidence.MEDIUM


def test_assigned_words_are_bad_passwords() -> None:
    """A word is reported under a name that only a password has: not as a token, not as a default, not as prose."""
    assert assigned("sunshine") is Confidence.MEDIUM
    assert assigned("sunshine", quote='"', context=Context.SOURCE) is Confidence.MEDIUM
    assert assigned("sunshine", context=Context.SOURCE) == "unquoted"
    assert assigned("sunshine", name="API_TOKEN") == "words"
    assert assigned("changeme") == "default-or-word"


def test_assigned_uuid_needs_a_name_that_says_more() -> None:
    """A UUID called token is an id; one called api_key is a secret."""
    value = made("{uuid}").decode()
    assert assigned(value, name="change_token", quote='"') == "name-of-no-secret"
    assert assigned(value, name="my_token", quote='"') == "uuid"
    assert assigned(value, name="api_key", quote='"') is Confidence.MEDIUM


@pytest.mark.parametrize(
    ("value", "host", "kind", "context", "expected"),
    [
        ("password", "server", "env-url-password", Context.BUILD, None),
        ("password", "server", "env-url-password", Context.OTHER, None),
        ("password", "server", "url-password", Context.OTHER, "default-or-word"),
        ("$PASS", "server", "env-url-password", Context.BUILD, "reference"),
        ("kJ8mPq2vLx9", "db.shop.io", "url-password", Context.SOURCE, None),
        ("something", "example.com", "url-password", Context.OTHER, "example-host"),
    ],
)
def test_url_password_depends_on_where_it_stands(
    value: str, host: str, kind: str, context: Context, expected: str | None
) -> None:
    """In a build variable even a weak password is meant; elsewhere documentation is full of them."""
    groups = {"secret": value.encode(), "user": b"user", "host": host.encode()}
    assert judge_url_password(groups, context, kind)[1] == expected
