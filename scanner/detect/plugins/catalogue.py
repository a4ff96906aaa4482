"""The token-shaped detectors of detect-secrets: what wakes each, what its findings are called and mean.

A trigger is wider than the expressions that it stands for, in these ways: bytes from 0x80 on stand for any character
that Python's `re` counts as a digit, a letter or a space, or that equals an ASCII letter when case is ignored. One
is narrower: Discord's tokens with digits of other scripts, which its `\\d` would match and no server ever gave out,
do not wake it; asking for them costs as much as five other detectors together.
"""

from __future__ import annotations

from dataclasses import dataclass

from scanner.detect.base import Trigger
from scanner.evidence import Confidence, Severity

#: what equals the letter when case is ignored, as UTF-8
_I, _K, _S = rb"(?:i|\xc4[\xb0\xb1])", rb"(?:k|\xe2\x84\xaa)", rb"(?:s|\xc5\xbf)"
#: how detect-secrets' assignments go on after a name
_ASSIGNED = rb"""["']?\]? *(?:[=:]{1,2}>?| ) *["']?"""
_KEY = b"(?:" + _K + b"ey|pwd|pw|pa" + _S + b"{2}(?:word)?|to" + _K + b"en)"
#: a character that can stand in a URL's user or password
_URL_PART = rb"[^:/?#\[\]@!$&'()*+,;=\s]"
#: what can stand before an Artifactory token: white space of any script, `=`, `:`, `"`
_APART = (
    rb"(?:[\s=:\"\x1c-\x1f]|\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]"
    rb"|\xe2\x81\x9f|\xe3\x80\x80)"
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A token-shaped detector.

    Attributes:
        module, name: the plugin's class.
        secret_type: what detect-secrets calls its findings; names the rule.
        whole: the value is all of the match, although the expression has a group (which is only a prefix).
        assigned: an unquoted value of a configuration file counts as quoted, as detect-secrets rewrites such files.
    """

    module: str
    name: str
    secret_type: str
    title: str
    severity: Severity
    confidence: Confidence
    triggers: tuple[Trigger, ...]
    whole: bool = False
    assigned: bool = False


def _on(*expressions: bytes, caseless: bool = False) -> tuple[Trigger, ...]:
    return tuple(Trigger(expression, caseless) for expression in expressions)


#: the zeros of the decimal digits beyond ASCII, which `\d` matches in a text (Unicode 16, category Nd)
_ZEROS = (
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20,
    0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0,
    0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x10D40, 0x11066, 0x110F0, 0x11136, 0x111D0,
    0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x116D0, 0x116DA, 0x11730, 0x118E0, 0x11950, 0x11BF0, 0x11C50,
    0x11D50, 0x11DA0, 0x11F50, 0x16A60, 0x16AC0, 0x16B50, 0x16D70, 0x1CCF0, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC,
    0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0, 0x1E5F1, 0x1E950, 0x1FBF0,
)  # fmt: skip


def _ten_digits(zero: int) -> bytes:
    """An expression for the UTF-8 of *zero* and the nine digits behind it."""
    digits = [chr(zero + value).encode() for value in range(10)]
    if digits[0][:-1] == digits[9][:-1]:
        head = b"".join(b"\\x%02x" % byte for byte in digits[0][:-1])
        return head + b"[\\x%02x-\\x%02x]" % (digits[0][-1], digits[9][-1])
    return b"(?:%s)" % b"|".join(b"".join(b"\\x%02x" % byte for byte in digit) for digit in digits)


_CRITICAL, _HIGH, _MEDIUM, _LOW = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW
_SURE, _UNSURE = Confidence.MEDIUM, Confidence.LOW

KINDS: tuple[Kind, ...] = (
    Kind(
        "artifactory", "ArtifactoryDetector", "Artifactory Credentials", "Artifactory token or encrypted password",
        _HIGH, _UNSURE,
        _on(
            _APART + rb"AKC[a-zA-Z0-9]{10}",
            _APART + rb"AP[0-9A-F][a-zA-Z0-9]{8}",
            _APART + rb"AP[\xc2-\xf4][\x80-\xbf]{1,3}[a-zA-Z0-9]{8}",
            rb"^A(?:KC|P[0-9A-F\xc2-\xf4])[a-zA-Z0-9\x80-\xbf]{8}",
        ),
        assigned=True,
    ),
    Kind(
        "aws", "AWSKeyDetector", "AWS Access Key", "AWS access key id or secret access key",
        _CRITICAL, _SURE,
        (
            Trigger(rb"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}"),
            Trigger(
                rb"aw" + _S + rb"[^\r\n]{0,80}(?:" + _K + rb"ey|pwd|pw|pa" + _S + rb"{2}|to" + _K + rb"en)"
                rb"[^\r\n]{0,80}['\"=: \t][0-9a-z/+\x80-\xff]{40}",
                caseless=True,
            ),
        ),
        assigned=True,
    ),
    Kind(
        "azure_storage_key", "AzureStorageKeyDetector", "Azure Storage Account access key",
        "Azure storage account key", _CRITICAL, _SURE, _on(rb"AccountKey=[a-zA-Z0-9+/=]{88}"),
    ),
    Kind(
        "basic_auth", "BasicAuthDetector", "Basic Auth Credentials", "Password in a URL", _HIGH, _SURE,
        _on(b"://" + _URL_PART + b"+:" + _URL_PART + b"+@"),
    ),
    Kind(
        "cloudant", "CloudantDetector", "Cloudant Credentials", "IBM Cloudant password or API key", _HIGH, _SURE,
        (
            Trigger(
                rb"cl(?:ou(?:dant)?)?[_-]?(?:ap" + _I + b")?" + _KEY + _ASSIGNED
                + rb"(?:[0-9a-f]{64}|[a-z\x80-\xff]{24})",
                caseless=True,
            ),
            Trigger(rb"@[\w\x80-\xff-]+\.cloudant\.com", caseless=True),
        ),
    ),
    Kind(
        "discord", "DiscordBotTokenDetector", "Discord Bot Token", "Discord bot token", _HIGH, _SURE,
        _on(rb"[MNO][a-zA-Z0-9_-]{23,25}\.[a-zA-Z0-9_-]{6}\.[a-zA-Z0-9_-]{27}"),
    ),
    Kind(
        "github_token", "GitHubTokenDetector", "GitHub Token", "GitHub token", _CRITICAL, _SURE,
        _on(rb"gh[pousr]_[A-Za-z0-9_]{36}"), whole=True,
    ),
    Kind(
        "gitlab_token", "GitLabTokenDetector", "GitLab Token", "GitLab token", _HIGH, _SURE,
        _on(rb"(?:gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-|GR1348941)[A-Za-z0-9_-]{20}"), whole=True,
    ),
    Kind(
        "ibm_cloud_iam", "IbmCloudIamDetector", "IBM Cloud IAM Key", "IBM Cloud IAM API key", _HIGH, _UNSURE,
        _on(_KEY + _ASSIGNED + rb"[A-Za-z0-9_\x80-\xff-]{44}", caseless=True),
    ),
    Kind(
        "ibm_cos_hmac", "IbmCosHmacDetector", "IBM COS HMAC Credentials", "IBM object storage secret key",
        _HIGH, _SURE,
        _on(
            _S + rb"ecret[-_]?(?:acce" + _S + b"{2})?[-_]?" + _K + b"ey" + _ASSIGNED + rb"[a-f0-9]{48}",
            caseless=True,
        ),
    ),
    Kind(
        "ip_public", "IPPublicDetector", "Public IP (ipv4)", "Public IPv4 address", _LOW, _UNSURE,
        _on(rb"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"),
    ),
    Kind(
        "jwt", "JwtTokenDetector", "JSON Web Token", "JSON Web Token", _MEDIUM, _SURE,
        _on(rb"eyJ[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]"),
    ),
    Kind(
        "mailchimp", "MailchimpDetector", "Mailchimp Access Key", "Mailchimp API key", _HIGH, _SURE,
        _on(rb"[0-9a-z]{32}-us[0-9]"),
    ),
    Kind(
        "npm", "NpmDetector", "NPM tokens", "npm registry token", _CRITICAL, _SURE, _on(rb"/:_authToken="),
    ),
    Kind(
        "openai", "OpenAIDetector", "OpenAI Token", "OpenAI API key", _HIGH, _SURE,
        _on(rb"[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}"),
    ),
    Kind(
        # the header alone proves nothing: documentation and libraries name it, and the key may be cut
        "private_key", "PrivateKeyDetector", "Private Key", "Header of a private key", _CRITICAL, _UNSURE,
        _on(
            rb"BEGIN (?:DSA |EC |OPENSSH |PGP |RSA |SSH2 ENCRYPTED )?PRIVATE KEY",
            rb"PuTTY-User-Key-File-2",
        ),
    ),
    Kind(
        "pypi_token", "PypiTokenDetector", "PyPI Token", "PyPI upload token", _CRITICAL, _SURE,
        _on(rb"pypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZw)[A-Za-z0-9_-]{70}"),
    ),
    Kind(
        "sendgrid", "SendGridDetector", "SendGrid API Key", "SendGrid API key", _HIGH, _SURE,
        _on(rb"SG\.[a-zA-Z0-9_-]{22}\.[a-zA-Z0-9_-]{43}"),
    ),
    Kind(
        "slack", "SlackDetector", "Slack Token", "Slack token or webhook", _HIGH, _SURE,
        _on(
            rb"xox(?:[abpor]|" + _S + rb")-[0-9\x80-\xff]",
            b"hoo" + _K + _S + rb"\." + _S + b"lac" + _K + rb"\.com/" + _S + b"erv" + _I + b"ce" + _S + b"/t",
            caseless=True,
        ),
    ),
    Kind(
        "softlayer", "SoftlayerDetector", "SoftLayer Credentials", "SoftLayer API key", _HIGH, _SURE,
        (
            Trigger(
                _S + b"(?:oftlayer|l)[_-]?(?:ap" + _I + b")?[_-]?" + _KEY + _ASSIGNED + rb"[a-z0-9\x80-\xff]{64}",
                caseless=True,
            ),
            Trigger(rb"/" + _S + rb"oap/v3(?:.{1,4}1)?/[a-z0-9\x80-\xff]{64}", caseless=True),
        ),
    ),
    Kind(
        "square_oauth", "SquareOAuthDetector", "Square OAuth Secret", "Square OAuth secret", _HIGH, _SURE,
        _on(rb"sq0csp-[0-9A-Za-z\\_-]{43}"),
    ),
    Kind(
        "stripe", "StripeDetector", "Stripe Access Key", "Stripe live key", _CRITICAL, _SURE,
        _on(rb"[rs]k_live_[0-9a-zA-Z]{24}"),
    ),
    Kind(
        "telegram_token", "TelegramBotTokenDetector", "Telegram Bot Token", "Telegram bot token", _HIGH, _SURE,
        # the last of its digits that is beyond ASCII, if one is, tells it: rare, and so needs no run behind it
        _on(rb"[0-9]{8}:[0-9A-Za-z_-]{35}", *(_ten_digits(zero) + rb"[0-9]{0,7}:" for zero in _ZEROS)),
    ),
    Kind(
        "twilio", "TwilioKeyDetector", "Twilio API Key", "Twilio account or key id", _MEDIUM, _UNSURE,
        _on(rb"(?:AC|SK)[a-z0-9]{32}"),
    ),
)


def slug(secret_type: str) -> str:
    """The end of a rule id: lower case, words joined by `-`."""
    words = "".join(character if character.isalnum() else " " for character in secret_type.lower())
    return "-".join(words.split())


def rule_id(secret_type: str) -> str:
    """The rule id of what detect-secrets calls *secret_type*."""
    return f"detect-secrets.{slug(secret_type)}"
