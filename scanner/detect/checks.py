"""Offline checks by name: pure functions from the groups of a match to an outcome.

Checksums of issuers, structures that decode, keys that parse. Nothing in them reads a clock, a file or the network.
An outcome's *detail* never holds the secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from scanner.detect import armour, checksums, issued, plausible, structures
from scanner.detect.outcome import Check, Groups, Outcome, Verdict
from scanner.evidence import Severity


def base64_bytes(groups: Groups) -> Outcome:
    """The value is base64 of 32 or 64 bytes, as symmetric keys of Azure are."""
    raw = checksums.base64_decode(groups["secret"])
    if raw is None or len(raw) not in (32, 64):
        return Outcome(Verdict.DROP, "key-length", "wrong")
    return Outcome(Verdict.FITS, "key-length", "valid", f"{len(raw)} bytes")


_PUBLIC_NAME = re.compile(rb"site|public|client", re.IGNORECASE)


def not_public_name(groups: Groups) -> Outcome:
    """A key whose public and secret half look alike: the name it is set to tells which it is."""
    if _PUBLIC_NAME.search(groups.get("name", b"")):
        return Outcome(Verdict.PUBLIC, "name", "public", "named as the public half")
    return Outcome(Verdict.FITS, "name", "not public")


def test_mode(_groups: Groups) -> Outcome:  # noqa: PT019  (no test: a check named in rules)
    """The rule's shape is that of an issuer's sandbox: a secret, with little behind it."""
    return Outcome(Verdict.FITS, "mode", "test", "opens the issuer's sandbox only", Severity.LOW)


def mixed_classes(groups: Groups) -> Outcome:
    """A value of random characters has letters and digits, or both cases; a word in front tells nothing."""
    secret = re.sub(rb"^[A-Za-z]{2,12}[-_.:]", b"", groups["secret"])
    classes = sum(bool(re.search(kind, secret)) for kind in (rb"[a-z]", rb"[A-Z]", rb"[0-9]"))
    if classes < 2:
        return Outcome(Verdict.DROP, "classes", "one class")
    return Outcome(Verdict.FITS, "classes", "mixed")


def no_words(groups: Groups) -> Outcome:
    """A value of random characters does not read like a name."""
    if plausible.words(groups["secret"], 0.3) is not None:
        return Outcome(Verdict.DROP, "randomness", "words")
    return Outcome(Verdict.FITS, "randomness", "random")


CHECKS: Mapping[str, Check] = {
    "apify-crc32": issued.apify_crc32,
    "atlassian-crc32": issued.atlassian_crc32,
    "aws-account": issued.aws_account,
    "aws-secret": issued.aws_secret,
    "azure-marvin": issued.azure_marvin,
    "base58check": issued.base58check,
    "base64-bytes": base64_bytes,
    "basic-auth": structures.basic_auth,
    "bech32": issued.bech32,
    "body-crc32-hex": issued.body_crc32_hex,
    "cloudflare-tunnel": structures.fields("base64-json", ("a", "t", "s")),
    "confluent-crc32": issued.confluent_crc32,
    "crc16-base32": issued.crc16_base32,
    "deno-crc32": issued.deno_crc32,
    "devops-crc32": issued.devops_crc32,
    "discord-id": issued.discord_id,
    "entra-secret": issued.entra_secret,
    "github-crc32": issued.github_crc32,
    "gitlab-crc32": issued.gitlab_crc32,
    "grafana-cloud-json": structures.fields("base64-json", ("o", "n", "k"), b"glc_"),
    "grafana-crc32": issued.grafana_crc32,
    "grafana-json": structures.fields("base64-json", ("k", "n", "id")),
    "jwe": structures.jwe,
    "jwt": structures.jwt,
    "macaroon": structures.macaroon,
    "macaroon-parsed": structures.macaroon_parsed,
    "mixed-classes": mixed_classes,
    "ngc-parts": issued.ngc_parts,
    "no-words": no_words,
    "not-public-name": not_public_name,
    "onepassword-json": structures.fields("base64-json", ("email", "signInAddress"), b"ops_"),
    "openssh-body": armour.openssh_body,
    "pem": armour.pem,
    "sanctum-crc32": issued.sanctum_crc32,
    "sentry-json": structures.fields("base64-json", ("iat", "url"), b"sntrys_", b"_"),
    "service-account": armour.service_account,
    "ses-version": issued.ses_version,
    "solana-pair": issued.solana_pair,
    "test-mode": test_mode,
    "wireguard": issued.wireguard,
}
