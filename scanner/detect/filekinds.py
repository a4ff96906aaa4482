"""Which files hold credentials: by the end of their path, how they are read and which of their fields are secret.

To teach leakscan a new kind of file, add a row here and a case to tests/credential_files.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from scanner.detect.dialect import compile_set
from scanner.detect.formats import Reader, read_ini, read_json, read_xml, read_yaml, rows
from scanner.evidence import Severity


class Holds(Enum):
    """What stands in a secret field.

    Attributes:
        PASSWORD: a password; it may be weak, it is meant.
        TOKEN: a key or token that somebody issued.
        SETTING: whatever a program is configured with; words may be anything.
        BASIC: base64 of `user:password`.
        PAIR: `user:password`.
        BASE64: base64 of a secret.
        MAYBE_BASE64: a password as it is, or its base64.
        HASH: a password hash: tells nothing until it is guessed.
        ENCRYPTED: what only a key elsewhere opens.
    """

    PASSWORD = auto()
    TOKEN = auto()
    SETTING = auto()
    BASIC = auto()
    PAIR = auto()
    BASE64 = auto()
    MAYBE_BASE64 = auto()
    HASH = auto()
    ENCRYPTED = auto()


@dataclass(frozen=True, slots=True)
class FileKind:
    """One kind of file.

    Attributes:
        rule: its id.
        paths: expressions for the end of the path, which begins a name; case does not matter.
        reader: of its format.
        keys: what the names that lead to a secret are, joined by `/`; searched, case does not matter.
        holds: what those fields hold.
        least: secrets are no shorter.
    """

    rule: str
    title: str
    gains: str
    severity: Severity
    paths: tuple[str, ...]
    reader: Reader
    keys: re.Pattern[bytes]
    holds: Holds
    least: int = 3


def _keys(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.IGNORECASE)


_PASSWORDS = _keys(
    rb"(?:passw(?:or)?d|passwd|passphrase|(?:^|[/_.-])(?:pass|pwd|psk)|(?<=[a-z])(?-i:Pass|Pwd))[0-9]?\Z"
)
#: names of secret settings: what ends like this is secret unless the value says otherwise
_SETTINGS = _keys(
    rb"(?:passw(?:or)?d|passwd|passphrase|(?:^|[/_.-])(?:pass|pwd)|(?<=[a-z])(?-i:Pass|Pwd)"
    rb"|(?<![a-z])secret(?:[-_.]?key(?:[-_]base)?)?|(?<=[a-z])(?-i:Secret(?:Key)?)"
    rb"|(?:access|auth|refresh|api|bearer|deploy|bot|private|personal|oauth|session)[-_.]?token"
    rb"|(?:api|access|secret|private|auth|signing|encryption|master|account)[-_.]?key)[0-9]?\Z"
)
_ALL = _keys(rb"")
_SECRET = _keys(rb"\Asecret\Z")
_CRITICAL, _HIGH, _MEDIUM, _LOW = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW
_LOGIN = "Logs in at the server that the file names."
_SERVICE = "Whatever the service is that the settings are for."
_REGISTRY = "Pulls (perhaps pushes) images at the registry."
_INDEX = "Installs (perhaps publishes) packages at the registry."
_CLOUD = "Acts in the cloud account that it belongs to."
_GUESS = "Tells a password to whoever can guess it."

_NETRC = (
    rb"^[ \t]*(?:machine\s{1,8}(?P<host>[!-~]{1,200})|default)\s{1,8}"
    rb"(?:(?:login\s{1,8}(?P<user>\"[^\"\n]*\"|[!-~]{1,200})|account\s{1,8}[!-~]{1,200})\s{1,8}){0,2}"
    rb"password\s{1,8}\"?(?P<secret>(?<=\")[^\"\n]+|[^\s\"]{1,400})"
)
#: a token may stand in the user's place, with nothing or a fixed word for the password
_URL = rows(
    rb"[A-Za-z][A-Za-z0-9+.-]{1,24}://(?:(?P<secret2>[^\s/:@\"'<>`\\#?]{16,400}):(?:x-oauth-basic|x)?(?=@)"
    rb"|(?:(?P<user>[^\s/:@\"'<>`\\#?]{0,200}):)?(?P<secret>[^\s/@\"'<>`\\#?]{3,400}))"
    rb"@(?P<host>[^\s/@\"'<>`\\,;?#]{1,200})"
)

#: how curl's settings separate an option from its value
_CURL_SIGN = rb"(?:[ \t]*[=:][ \t]*|[ \t]+)"
_CURL_VALUE = rb"(?:\"(?P<secret>(?:[^\"\\\n]|\\.){1,400})\"|(?P<secret2>[^\s\"#]\S{0,400}))"
#: a secret of ipsec.secrets: a text in quotes, hexadecimal digits or base64
_IPSEC_VALUE = rb"(?:\"(?P<secret>[^\"\n]{1,400})\"|(?P<secret2>0[sx][\w+/=]{2,400}))"

_OTHER_LINES = rb"(?:^[ \t]*(?!user|password|account\b|host)[^\n]{0,200}\n){0,8}"
_INDEX_LOGIN = "Password of a package registry"
TABLE = (
    # --- logins of people and tools
    FileKind(
        "file.netrc",
        "Password in a .netrc",
        "Logs in at the machine that the line names.",
        _HIGH,
        (r"[._]?netrc(?:\.(?:bak|old|orig|save))?", r"etc/apt/auth\.conf", r"auth\.conf\.d/[^/]+", r"\.authinfo"),
        rows(_NETRC),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.pgpass",
        "Password in a .pgpass",
        "Logs in to the database that the line names.",
        _HIGH,
        (r"\.?pgpass(?:\.conf)?",),
        rows(
            rb"^(?!#)(?P<host>(?:[^:\\\n]|\\.){1,200}):[^:\n]{1,10}:(?:[^:\\\n]|\\.){1,100}"
            rb":(?P<user>(?:[^:\\\n]|\\.){1,100}):(?P<secret>(?:[^:\\\r\n]|\\.){1,400})"
        ),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.mysql",
        "Password in a MySQL client's settings",
        "Logs in to the database.",
        _HIGH,
        (r"\.?my\.cnf", r"\.mylogin\.cnf", r"mysql/[^/]+\.cnf", r"mysql/[^/]+/[^/]+\.cnf"),
        read_ini,
        _PASSWORDS,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.pgbouncer",
        "Password in PgBouncer's list of users",
        "Logs in to the databases behind the pool.",
        _HIGH,
        (r"userlist\.txt", r"pgbouncer/[\w.-]*users?[\w.-]*\.txt"),
        rows(
            rb"^[ \t]*\"(?P<user>[^\"\n]{1,200})\"[ \t]+"
            rb"\"(?!md5[0-9a-f]{32}\"|SCRAM-SHA-256\$)(?P<secret>[^\"\n]{1,400})\""
        ),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.curlrc",
        "Password in curl's settings",
        "Logs in at the server, or at the proxy, that curl is called for.",
        _HIGH,
        (r"[._]curlrc", r"\.config/curlrc"),
        rows(rb"^[ \t]*(?:(?:--)?(?:proxy-)?user" + _CURL_SIGN + rb"|-[uU][ \t]*)" + _CURL_VALUE),
        _SECRET,
        Holds.PAIR,
    ),
    FileKind(
        "file.curlrc",
        "Password in curl's settings",
        "Logs in at the server, or at the proxy, that curl is called for.",
        _HIGH,
        (r"[._]curlrc", r"\.config/curlrc"),
        rows(rb"^[ \t]*(?:--)?(?:(?:proxy-)?(?:pass|tlspassword)|oauth2-bearer)" + _CURL_SIGN + _CURL_VALUE),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.git-url",
        "Credential in an address of git",
        "Reads (perhaps writes) the repositories it may.",
        _HIGH,
        (r"\.?git-?credentials", r"git/credentials", r"\.git/config", r"\.?gitconfig", r"git/config", r"\.gitmodules"),
        _URL,
        _SECRET,
        Holds.TOKEN,
    ),
    FileKind(
        "file.git-header",
        "Credential in a header that git sends",
        "Reads (perhaps writes) the repositories it may.",
        _HIGH,
        (r"\.git/config", r"\.?gitconfig", r"git/config"),
        rows(rb"(?i)extraheader[ \t]*=[ \t]*\"?authorization:[ \t]*basic[ \t]+(?P<secret>[A-Za-z0-9+/]{6,400}={0,2})"),
        _SECRET,
        Holds.BASIC,
    ),
    FileKind(
        "file.forge-token",
        "Token of a forge's command line",
        "Acts as its user at the forge.",
        _HIGH,
        (r"gh/hosts\.yml", r"glab-cli/config\.yml", r"\.config/hub", r"tea/config\.yml"),
        read_yaml,
        _keys(rb"token\Z"),
        Holds.TOKEN,
    ),
    FileKind(
        "file.ftp-login",
        "Password in a file-transfer program's settings",
        _LOGIN,
        _HIGH,
        (r"filezilla3?/[^/]+\.xml", r"\.filezilla/[^/]+\.xml", r"sitemanager\.xml", r"recentservers\.xml"),
        read_xml,
        _keys(rb"/pass\Z"),
        Holds.MAYBE_BASE64,
    ),
    FileKind(
        "file.rclone",
        "Password or token of a remote in rclone's settings",
        "Reads (perhaps writes) the remote storage; rclone's obscured passwords are no encryption.",
        _HIGH,
        (r"\.?rclone\.conf",),
        read_ini,
        _keys(
            rb"/(?:pass|password|password2|token|secret_access_key|client_secret|key|bearer_token|sas_url"
            rb"|api_key|access_token|app_key)\Z"
        ),
        Holds.TOKEN,
    ),
    FileKind(
        "file.object-storage",
        "Secret key of an object storage",
        "Reads (perhaps writes) the buckets it may.",
        _HIGH,
        (r"\.s3cfg", r"\.s3ql/authinfo2", r"\.boto", r"boto\.cfg", r"\.mc/config\.json"),
        read_ini,
        _keys(
            rb"(?:secret_key|secret_access_key|refresh_token|access_token|gpg_passphrase|backend-password"
            rb"|fs-passphrase)\Z"
        ),
        Holds.TOKEN,
    ),
    FileKind(
        "file.object-storage",
        "Secret key of an object storage",
        "Reads (perhaps writes) the buckets it may.",
        _HIGH,
        (r"\.?passwd-s3fs",),
        rows(rb"^(?:[^\s:#]{1,100}:)?(?P<user>[^\s:#]{2,128}):(?P<secret>[^\s:]{8,200})[ \t]*\r?$"),
        _SECRET,
        Holds.TOKEN,
    ),
    FileKind(
        "file.mail-login",
        "Password of a mail account",
        "Sends mail as the account.",
        _HIGH,
        (r"\.?msmtprc", r"\.fetchmailrc", r"\.getmail/[^/]+", r"\.?mbsyncrc", r"\.offlineimaprc"),
        rows(
            rb"^[ \t]*host(?:name)?[ \t=]+(?P<host>\S{1,200})\s{1,9}"
            + _OTHER_LINES
            + rb"[ \t]*user(?:name)?[ \t=]+\"?(?P<user>[^\s\"]{1,200})\"?\s{1,9}"
            + _OTHER_LINES
            + rb"[ \t]*pass(?:word)?[ \t=]+\"?(?P<secret>[^\s\"]{1,200})"
        ),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.mail-login",
        "Password of a mail account",
        "Sends mail as the account.",
        _HIGH,
        (
            r"\.?(?:neo)?muttrc(?:\.local)?",
            r"\.?(?:neo)?mutt/(?:[\w.-]+/)*[\w@.-]+",
            r"\.offlineimaprc",
            r"offlineimap/config",
        ),
        read_ini,
        _keys(rb"(?:\A|/)(?:(?:imap|smtp|pop|nntp)_pass|(?:remote|local)pass)\Z"),
        Holds.PASSWORD,
    ),
    FileKind(
        "file.mail-relay",
        "Password for a mail relay",
        "Sends mail through the relay.",
        _HIGH,
        (r"sasl[_-]?passwd", r"passwd\.client", r"sasl/[\w-]*passwd"),
        rows(rb"^(?!#)(?P<host>\S{1,200})[ \t]+(?P<user>[^\s:]{1,200}):(?P<secret>\S{1,200})[ \t]*\r?$"),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.mail-relay",
        "Password for a mail relay",
        "Sends mail through the relay.",
        _HIGH,
        (r"exim4?/passwd\.client",),
        rows(rb"^(?!#)(?P<host>[^\s:]{1,200}):(?P<user>[^\s:]{1,200}):(?P<secret>\S{1,200})[ \t]*\r?$"),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.mail-relay",
        "Password for a mail relay",
        "Sends mail through the relay.",
        _HIGH,
        (r"dma/auth\.conf",),
        rows(rb"^(?!#)(?P<user>[^\s|]{1,200})\|(?P<host>[^\s:]{1,200}):(?P<secret>\S{1,200})[ \t]*\r?$"),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.ppp-secret",
        "Secret of a dial-up or VPN account",
        "Logs in as the account.",
        _HIGH,
        (r"(?:chap|pap|l2tp)-secrets",),
        rows(
            rb"^[ \t]*(?!#)\"?(?P<user>[^\s\"]{1,200})\"?[ \t]+\"?(?P<host>[^\s\"]{1,200})\"?"
            rb"[ \t]+\"?(?P<secret>[^\s\"]{1,200})"
        ),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.ipsec",
        "Secret of IPsec",
        "Joins the network behind the VPN, or stands for the gateway.",
        _HIGH,
        (r"ipsec\.secrets", r"ipsec[\w.]*/(?:[\w.-]+/)*[\w.-]+\.secrets"),
        rows(
            rb"^[ \t]*(?:(?:\"(?P<id>[^\"\n]{1,200})\"|(?P<id2>[^\s\"#:][^\s\"]{0,199}))[ \t]+"
            rb"(?:[^\s\"]{1,200}[ \t]+){0,8}?)?:[ \t]*"
            rb"(?:(?:PSK|EAP|XAUTH|NTLM)|(?:RSA|ECDSA|BLISS|PKCS8|P12|PIN)[ \t]+[^\s\"]{1,300})[ \t]+" + _IPSEC_VALUE
        ),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.ipsec",
        "Secret of IPsec",
        "Joins the network behind the VPN, or stands for the gateway.",
        _HIGH,
        (r"racoon/psk\.txt",),
        rows(rb"^(?!#)(?P<host>\S{1,200})[ \t]+(?P<secret>\S[^\r\n]{0,400})"),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.wifi",
        "Key of a wireless network",
        "Joins the network.",
        _MEDIUM,
        (r"wpa_supplicant[\w.-]*\.conf", r"wpa_supplicant/[^/]+\.conf", r"system-connections/[^/]+", r"iwd/[^/]+\.psk"),
        read_ini,
        _keys(rb"(?:psk|passphrase|password|wep[-_]key[0-9]|sae_password)\Z"),
        Holds.PASSWORD,
        5,
    ),
    FileKind(
        "file.vpn-login",
        "Password of a VPN account",
        "Joins the network behind the VPN.",
        _HIGH,
        (r"openvpn/(?:[^/]+/)?[\w.-]*(?:login|auth|pass|cred)[\w.-]*", r"auth-user-pass(?:\.txt)?"),
        rows(rb"\A(?P<user>[^\s<#=]{1,100})\r?\n(?P<secret>\S{3,200})\s*\Z"),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.vpn-login",
        "Password of a VPN account",
        "Joins the network behind the VPN.",
        _HIGH,
        (r"vpnc/[\w.-]+\.conf",),
        rows(rb"^[ \t]*(?i:IPSec secret|Xauth password)[ \t]+(?P<secret>\S[^\r\n]{0,200})"),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.vpn-inline-login",
        "Password of a VPN account",
        "Joins the network behind the VPN.",
        _HIGH,
        (r"[^/]+\.ovpn", r"openvpn/[^/]+\.conf"),
        rows(rb"<auth-user-pass>\s*(?P<user>\S{1,100})\s*\n\s*(?P<secret>\S{1,200})\s*</auth-user-pass>"),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.smb-login",
        "Password of a file share",
        "Mounts the share.",
        _HIGH,
        (r"\.?smb-?credentials?", r"\.cifs-?credentials?", r"[\w.-]*\.smbcredentials"),
        read_ini,
        _PASSWORDS,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.smb-login",
        "Password of a file share",
        "Mounts the share.",
        _HIGH,
        (r"\.?davfs2/secrets",),
        rows(
            rb"^[ \t]*(?!#)\"?(?P<host>[^\s\"]{1,300})\"?[ \t]+\"?(?P<user>[^\s\"]{1,200})\"?[ \t]+"
            rb"(?:\"(?P<secret>[^\"\n]{1,200})\"|(?P<secret2>[^\s\"]{1,200}))"
        ),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.rsync",
        "Password of an rsync server's user",
        "Reads (perhaps writes) the modules that the user may.",
        _HIGH,
        (r"rsyncd?\.secrets", r"rsyncd?/[\w.-]*secrets"),
        rows(rb"^(?!#)(?P<user>@?[^\s:]{1,200}):(?P<secret>\S{1,200})[ \t]*\r?$"),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.subversion",
        "Password that Subversion keeps",
        "Logs in at the repository.",
        _HIGH,
        (r"svn\.simple/[0-9a-f]+",),
        rows(
            rb"^password\r?\nV [0-9]+\r?\n(?P<secret>[^\r\n]+)(?:\r?\n[^\n]*){1,20}?"
            rb"\r?\nusername\r?\nV [0-9]+\r?\n(?P<user>[^\r\n]+)"
        ),
        _SECRET,
        Holds.PASSWORD,
    ),
    # --- package managers
    FileKind(
        "file.npmrc-token",
        "npm registry token",
        _INDEX,
        _CRITICAL,
        (r"\.?npmrc", r"\.yarnrc", r"etc/npmrc"),
        read_ini,
        _keys(rb"_authToken\Z"),
        Holds.TOKEN,
    ),
    FileKind(
        "file.npmrc-password",
        "npm registry password in base64",
        _INDEX,
        _CRITICAL,
        (r"\.?npmrc", r"\.yarnrc"),
        read_ini,
        _keys(rb"(?:^|[/:])_auth\Z"),
        Holds.BASIC,
    ),
    FileKind(
        "file.npmrc-password",
        "npm registry password in base64",
        _INDEX,
        _CRITICAL,
        (r"\.?npmrc", r"\.yarnrc"),
        read_ini,
        _keys(rb":_password\Z"),
        Holds.BASE64,
    ),
    FileKind(
        "file.yarnrc",
        "npm registry token",
        _INDEX,
        _CRITICAL,
        (r"\.yarnrc\.ya?ml",),
        read_yaml,
        _keys(rb"npmAuthToken\Z"),
        Holds.TOKEN,
    ),
    FileKind(
        "file.yarnrc",
        "npm registry password",
        _INDEX,
        _CRITICAL,
        (r"\.yarnrc\.ya?ml",),
        read_yaml,
        _keys(rb"npmAuthIdent\Z"),
        Holds.PAIR,
    ),
    FileKind("file.pypirc", _INDEX_LOGIN, _INDEX, _CRITICAL, (r"\.pypirc",), read_ini, _PASSWORDS, Holds.PASSWORD),
    FileKind(
        "file.python-index",
        _INDEX_LOGIN,
        _INDEX,
        _HIGH,
        (r"uv/credentials/[\w.-]+\.toml", r"pypoetry/(?:auth|config)\.toml", r"\.config/hatch/config\.toml"),
        read_ini,
        _keys(rb"(?:\Apypi-token/.*|password|token)\Z"),
        Holds.PASSWORD,
    ),
    FileKind(
        "file.index-url",
        "Credential in the address of a package index",
        _INDEX,
        _HIGH,
        (
            r"\.?pip\.(?:conf|ini)",
            r"uv\.toml",
            r"\.pydistutils\.cfg",
            r"\.?condarc",
            r"requirements[\w.-]*\.(?:txt|in)",
            r"constraints[\w.-]*\.txt",
            r"pyproject\.toml",
            r"pipfile(?:\.lock)?",
            r"(?:poetry|uv|pdm|cargo)\.lock",
            r"direct_url\.json",
            r"(?:package-lock|npm-shrinkwrap)\.json",
            r"\.package-lock\.json",
            r"yarn\.lock",
            r"pnpm-lock\.yaml",
            r"bun\.lock",
            r"gemfile(?:\.lock)?",
            r"composer\.(?:lock|json)",
            r"package\.json",
            r"go\.(?:mod|env)",
            r"\.?npmrc",
            r"\.yarnrc(?:\.yml)?",
            r"\.?bundle/config",
            r"\.cargo/config(?:\.toml)?",
            r"environment\.ya?ml",
            r"\.gemrc",
            r"bunfig\.toml",
            r"build\.gradle(?:\.kts)?",
            r"init\.gradle",
        ),
        _URL,
        _SECRET,
        Holds.TOKEN,
    ),
    FileKind(
        "file.system-index-url",
        "Credential in the address of a package source",
        "Fetches packages from the source.",
        _HIGH,
        (
            r"sources\.list",
            r"sources\.list\.d/[^/]+",
            r"apt\.conf(?:\.d/[^/]+)?",
            r"etc/apk/repositories",
            r"yum\.repos\.d/[^/]+",
            r"(?:yum|dnf)\.conf",
            r"zypp/[\w.]+/[^/]+",
        ),
        _URL,
        _SECRET,
        Holds.TOKEN,
    ),
    FileKind(
        "file.yum",
        "Password of a package source",
        "Fetches packages from the source.",
        _HIGH,
        (r"yum\.repos\.d/[^/]+", r"(?:yum|dnf)\.conf", r"zypp/credentials\.d/[^/]+", r"zypp/credentials\.cat"),
        read_ini,
        _PASSWORDS,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.maven",
        "Password of a repository in Maven's settings",
        "Fetches (perhaps publishes) artifacts.",
        _HIGH,
        (
            r"\.m2/[\w.-]*settings[\w.-]*\.xml",
            r"maven[\w.-]*/conf/settings\.xml",
            r"conf/settings\.xml",
            r"[\w.-]*settings\.xml",
        ),
        read_xml,
        _keys(rb"/(?:password|passphrase)\Z"),
        Holds.PASSWORD,
    ),
    FileKind(
        "file.maven-master",
        "Master password of Maven's settings",
        "Decrypts the passwords in settings.xml: the key of the master password is public.",
        _HIGH,
        (r"settings-security[\w.-]*\.xml",),
        read_xml,
        _keys(rb"/master\Z"),
        Holds.TOKEN,
    ),
    FileKind(
        "file.gradle",
        "Password in Gradle's properties",
        "Fetches (perhaps publishes) artifacts.",
        _HIGH,
        (r"gradle\.properties", r"local\.properties", r"keystore\.properties", r"key\.properties"),
        read_ini,
        _keys(rb"(?:password|passwd|pass|token|secret|api_?key|secretkey)\Z"),
        Holds.SETTING,
        4,
    ),
    FileKind(
        "file.nuget",
        "Password of a NuGet source",
        _INDEX,
        _HIGH,
        (r"nuget[\w.]*\.config",),
        read_xml,
        _keys(rb"/(?:ClearTextPassword|apikeys/add/https?:.*)\Z"),
        Holds.PASSWORD,
    ),
    FileKind(
        "file.composer",
        "Password or token of Composer",
        _INDEX,
        _HIGH,
        (r"auth\.json", r"composer/config\.json"),
        read_json,
        _keys(
            rb"(?:http-basic/[^/]*/password|(?:bearer|github-oauth|gitlab-token|gitlab-oauth)/[^/]+"
            rb"(?:/token)?|consumer-secret|access-token-secret)\Z"
        ),
        Holds.TOKEN,
    ),
    FileKind(
        "file.bundler",
        "Password of a gem source",
        _INDEX,
        _HIGH,
        (r"\.?bundle/config",),
        read_yaml,
        _keys(rb"BUNDLE_[A-Z0-9_]+__[A-Z0-9_]+\Z"),
        Holds.PAIR,
    ),
    FileKind(
        "file.gem",
        "Key of a gem host",
        "Publishes gems.",
        _CRITICAL,
        (r"\.gem/credentials",),
        read_yaml,
        _keys(rb"(?:api_key|:[\w.-]+)\Z"),
        Holds.TOKEN,
    ),
    FileKind(
        "file.cargo",
        "Token of a crate registry",
        "Publishes crates.",
        _CRITICAL,
        (r"\.?cargo/credentials(?:\.toml)?", r"cargo/config\.toml"),
        read_ini,
        _keys(rb"token\Z"),
        Holds.TOKEN,
    ),
    # --- containers and clusters
    FileKind(
        "file.docker-auth",
        "Registry password in a Docker configuration",
        _REGISTRY,
        _CRITICAL,
        (
            r"\.docker/config\.json",
            r"containers/(?:[\w.-]+/)*auth\.json",
            r"\.?dockercfg",
            r"\.dockerconfigjson",
            r"kaniko/\.docker/config\.json",
            r"kubelet/config\.json",
        ),
        read_json,
        _keys(rb"/auth\Z"),
        Holds.BASIC,
    ),
    FileKind(
        "file.docker-auth",
        "Registry password in a Docker configuration",
        _REGISTRY,
        _CRITICAL,
        (r"\.docker/config\.json", r"containers/(?:[\w.-]+/)*auth\.json", r"\.?dockercfg", r"\.dockerconfigjson"),
        read_json,
        _keys(rb"/(?:identitytoken|registrytoken|password)\Z"),
        Holds.TOKEN,
    ),
    FileKind(
        "file.container-runtime",
        "Registry password in a container runtime's settings",
        _REGISTRY,
        _HIGH,
        (r"containerd/[\w.-]+\.toml", r"certs\.d/[^/]+/hosts\.toml"),
        read_ini,
        _keys(rb"(?:password|identitytoken|/auth)\Z"),
        Holds.PASSWORD,
    ),
    FileKind(
        "file.container-runtime",
        "Registry password in a container runtime's settings",
        _REGISTRY,
        _HIGH,
        (r"(?:k3s|rke2)/registries\.ya?ml",),
        read_yaml,
        _keys(rb"/(?:password|identity_token|auth)\Z"),
        Holds.PASSWORD,
    ),
    FileKind(
        "file.kubeconfig",
        "Credential in a kubeconfig",
        "Acts as its user in the cluster.",
        _CRITICAL,
        (
            r"\.kube/[\w.-]+",
            r"kubeconfig(?:[\w.-]*)",
            r"[\w.-]*\.kubeconfig",
            r"kubernetes/[\w.-]+\.conf",
            r"k3s\.ya?ml",
        ),
        read_yaml,
        _keys(rb"/user/(?:.*/)?(?:token|password|id-token|access-token|refresh-token|client-secret)\Z"),
        Holds.TOKEN,
    ),
    FileKind(
        "file.kubeconfig",
        "Private key in a kubeconfig",
        "Acts as its user in the cluster.",
        _CRITICAL,
        (
            r"\.kube/[\w.-]+",
            r"kubeconfig(?:[\w.-]*)",
            r"[\w.-]*\.kubeconfig",
            r"kubernetes/[\w.-]+\.conf",
            r"k3s\.ya?ml",
        ),
        read_yaml,
        _keys(rb"/user/client-key-data\Z"),
        Holds.BASE64,
    ),
    FileKind(
        "file.settings",
        "Secret in a deployment's settings",
        _SERVICE,
        _HIGH,
        (
            r"(?:docker-)?compose[\w.-]*\.ya?ml",
            r"values[\w.-]*\.ya?ml",
            r"(?:deployment|statefulset|daemonset|cronjob"
            r"|pod|configmap|stack)[\w.-]*\.ya?ml",
            r"(?:k8s|kubernetes|manifests|helm|charts?)/(?:[\w.-]+/)*[\w.-]+\.ya?ml",
            r"\.gitlab-ci[\w.-]*\.ya?ml",
            r"\.github/workflows/[^/]+\.ya?ml",
            r"\.circleci/config\.ya?ml",
            r"bitbucket-pipelines\.ya?ml",
            r"azure-pipelines[\w.-]*\.ya?ml",
            r"\.drone\.ya?ml",
            r"\.travis\.ya?ml",
            r"appveyor\.ya?ml",
            r"serverless\.ya?ml",
            r"cloudbuild\.ya?ml",
            r"(?:group|host)_vars/(?:[\w.-]+/)*[\w.-]+",
            r"(?:vars|secrets)/[\w.-]+\.ya?ml",
        ),
        read_yaml,
        _SETTINGS,
        Holds.SETTING,
        4,
    ),
    # --- clouds
    FileKind(
        "file.aws",
        "AWS secret in a profile",
        _CLOUD,
        _CRITICAL,
        (r"\.aws/(?:credentials|config)", r"\.aws/[\w.-]+"),
        read_ini,
        _keys(rb"(?:aws_)?(?:secret_access_key|session_token|security_token)\Z"),
        Holds.TOKEN,
        16,
    ),
    FileKind(
        "file.aws-login",
        "Token of a signed-in AWS user",
        _CLOUD,
        _HIGH,
        (r"\.aws/(?:sso|cli|login)/cache/[^/]+\.json",),
        read_json,
        _keys(rb"(?:accessToken|refreshToken|clientSecret|SecretAccessKey|SessionToken)\Z"),
        Holds.TOKEN,
        16,
    ),
    FileKind(
        "file.gcloud",
        "Credential of Google Cloud",
        _CLOUD,
        _CRITICAL,
        (
            r"application_default_credentials\.json",
            r"gcloud/(?:[\w.@-]+/)*[\w.@-]+\.json",
            r"client_secrets?[\w.-]*\.json",
            r"adc\.json",
        ),
        read_json,
        _keys(rb"(?:refresh_token|client_secret|access_token|id_token)\Z"),
        Holds.TOKEN,
    ),
    FileKind(
        "file.gcloud-settings",
        "Password in gcloud's settings",
        _CLOUD,
        _HIGH,
        (r"gcloud/(?:configurations/[^/]+|properties)",),
        read_ini,
        _keys(rb"(?:password|token|secret|access_token_file)\Z"),
        Holds.PASSWORD,
    ),
    FileKind(
        "file.azure",
        "Credential of Azure's command line",
        _CLOUD,
        _CRITICAL,
        (r"\.azure/[\w.-]+\.json", r"azureauth\.json", r"service_principal[\w.-]*\.json"),
        read_json,
        _keys(rb"(?:accessToken|refreshToken|_accessToken|client_secret|clientSecret|/secret|servicePrincipalKey)\Z"),
        Holds.TOKEN,
        8,
    ),
    FileKind(
        "file.terraform-token",
        "Token of a Terraform host",
        "Reads and writes state and runs plans.",
        _CRITICAL,
        (r"credentials\.tfrc\.json",),
        read_json,
        _keys(rb"/token\Z"),
        Holds.TOKEN,
    ),
    FileKind(
        "file.terraform-token",
        "Token of a Terraform host",
        "Reads and writes state and runs plans.",
        _CRITICAL,
        (r"\.?terraform(?:rc|\.rc)", r"[\w.-]+\.tfrc"),
        read_ini,
        _keys(rb"token\Z"),
        Holds.TOKEN,
    ),
    FileKind(
        "file.terraform",
        "Secret in Terraform's state or variables",
        "Whatever the resource is.",
        _HIGH,
        (r"[\w.-]+\.tfstate(?:\.backup)?", r"[\w.-]+\.tfvars\.json"),
        read_json,
        _keys(
            rb"(?:passw(?:or)?d|passphrase|secret|token|private_key(?:_pem)?|access_key|connection_string"
            rb"|(?:api|shared|primary|secondary|account|storage|auth)_key|(?:password|secret|token)/value)\Z"
        ),
        Holds.SETTING,
        4,
    ),
    FileKind(
        "file.terraform",
        "Secret in Terraform's state or variables",
        "Whatever the resource is.",
        _HIGH,
        (r"[\w.-]+\.tfvars",),
        read_ini,
        _SETTINGS,
        Holds.SETTING,
        4,
    ),
    FileKind(
        "file.cloud-settings",
        "Token in a command line's settings",
        _CLOUD,
        _HIGH,
        (
            r"\.databrickscfg",
            r"\.snowflake/[\w.-]+\.toml",
            r"\.snowsql/config",
            r"\.oci/config",
            r"\.config/linode-cli",
            r"hcloud/cli\.toml",
        ),
        read_ini,
        _keys(rb"(?:password|token|secret(?:[_-]key)?|pass_phrase|private_key_passphrase|pwd)\Z"),
        Holds.TOKEN,
    ),
    FileKind(
        "file.cloud-settings",
        "Token in a command line's settings",
        _CLOUD,
        _HIGH,
        (
            r"doctl/config\.yaml",
            r"scw/config\.yaml",
            r"flyctl/config\.yml",
            r"ngrok2?/ngrok\.yml",
            r"\.fly/config\.yml",
            r"heroku/[\w.]+\.ya?ml",
            r"\.circleci/cli\.yml",
        ),
        read_yaml,
        _keys(rb"(?:access[-_]?token|authtoken|secret[-_]key|token|api[-_]key)\Z"),
        Holds.TOKEN,
    ),
    FileKind(
        "file.cloud-settings",
        "Token in a command line's settings",
        _CLOUD,
        _HIGH,
        (r"\.?cloudflared/[0-9a-f-]{36}\.json", r"\.pulumi/credentials\.json", r"tailscale/tailscaled\.state"),
        read_json,
        _keys(rb"\A(?:TunnelSecret|accessTokens/.+|_machinekey|profile-[0-9a-f]{4})\Z"),
        Holds.TOKEN,
        16,
    ),
    FileKind(
        "file.kaggle",
        "Kaggle API key",
        "Acts as the user at Kaggle.",
        _HIGH,
        (r"kaggle\.json",),
        read_json,
        _keys(rb"\Akey\Z"),
        Holds.TOKEN,
    ),
    FileKind(
        "file.vault-keys",
        "Unseal key or root token of Vault",
        "Opens the vault and all that it holds.",
        _CRITICAL,
        (r"[\w.-]*vault[\w.-]*\.json", r"(?:cluster|init|unseal)[\w.-]*keys?[\w.-]*\.json"),
        read_json,
        _keys(rb"(?:root_token|unseal_keys_(?:b64|hex)|keys_base64|keys)\Z"),
        Holds.TOKEN,
        16,
    ),
    # --- programs and servers
    FileKind(
        "file.settings",
        "Secret in a program's settings",
        _SERVICE,
        _HIGH,
        (
            r"application[\w.-]*\.ya?ml",
            r"bootstrap[\w.-]*\.ya?ml",
            r"config/[\w.-]+\.ya?ml",
            r"conf/[\w.-]+\.ya?ml",
            r"(?:database|secrets|credentials|settings|config|parameters|storage|cable|mongoid|redis)[\w.-]*\.ya?ml",
            r"profiles\.ya?ml",
        ),
        read_yaml,
        _SETTINGS,
        Holds.SETTING,
        4,
    ),
    FileKind(
        "file.settings",
        "Secret in a program's settings",
        _SERVICE,
        _HIGH,
        (
            r"application[\w.-]*\.properties",
            r"bootstrap[\w.-]*\.properties",
            r"(?:[\w-]*config|conf|database|db|jdbc"
            r"|hibernate|mail|secrets?|credentials?)[\w.-]*\.(?:properties|ini|cfg|toml|conf)",
            r"\.env(?:\.[\w.-]+)?",
            r"[\w.-]+\.env",
            r"etc/(?:default|sysconfig|conf\.d)/[\w.-]+",
            r"etc/environment",
            r"supervisord?\.conf",
            r"supervisord?/(?:[\w.-]+/)*[\w.-]+\.conf",
            r"supervisor\.d/[\w.-]+",
            r"[\w.-]+\.(?:service|container|network|pod)",
            r"service\.d/[\w.-]+\.conf",
            r"odoo[\w.-]*\.conf",
            r"grafana[\w.-]*\.ini",
            r"rabbitmq[\w.-]*\.conf",
            r"airflow\.cfg",
            r"alembic\.ini",
            r"config/[\w.-]+\.(?:ini|cfg|toml|conf|properties)",
            r"php\.ini",
            r"freetds\.conf",
            r"odbc\.ini",
        ),
        read_ini,
        _SETTINGS,
        Holds.SETTING,
        4,
    ),
    FileKind(
        "file.settings",
        "Secret in a program's settings",
        _SERVICE,
        _HIGH,
        (
            r"appsettings[\w.-]*\.json",
            r"config/[\w.-]+\.json5?",
            r"(?:config|settings|secrets?|credentials?|database"
            r"|keys?|local|production|development|staging|launch|launchsettings|ormconfig|env)[\w.-]*\.json5?",
            r"\.vscode/[\w.-]+\.json",
            r"task-definition[\w.-]*\.json",
            r"\.env\.json",
        ),
        read_json,
        _SETTINGS,
        Holds.SETTING,
        4,
    ),
    FileKind(
        "file.settings",
        "Secret in a program's settings",
        _SERVICE,
        _HIGH,
        (
            r"(?:web|app|machine)(?:\.[\w-]+)?\.config",
            r"\.idea/(?:[\w.-]+/)*[\w.-]+\.xml",
            r"\.run/[\w.-]+\.xml",
            r"[\w.-]+\.run\.xml",
            r"tomcat-users\.xml",
            r"(?:server|context|hibernate[\w.]*|persistence|standalone[\w-]*"
            r"|[\w-]+-ds|beans|applicationcontext[\w-]*|jetty[\w-]*|[\w-]*site|config)\.xml",
            r"[\w.-]+\.pubxml",
            r"(?:auto)?unattend(?:ed)?\.xml",
            r"sysprep\.xml",
            r"webservers\.xml",
            r"[\w.-]+\.publishsettings",
        ),
        read_xml,
        _keys(
            _SETTINGS.pattern + rb"|(?:password/value|keystorePass|truststorePass|connectionPassword"
            rb"|validationKey|decryptionKey|userPWD)\Z"
        ),
        Holds.SETTING,
        4,
    ),
    FileKind(
        "file.settings",
        "Secret in a program's settings",
        _SERVICE,
        _HIGH,
        (
            r"wp-config[\w.-]*\.php",
            r"configuration\.php",
            r"config[\w.-]*\.php",
            r"config/[\w.-]+\.php",
            r"settings[\w.-]*\.php",
            r"local\.xml\.php",
            r"env\.php",
            r"parameters\.php",
            r"database\.php",
        ),
        rows(
            rb"(?i)(?:define\(\s{0,4})?[$\"'](?:\w{1,40}_)?(?:user(?:name)?|login)[\"']?\s{0,4}(?:,|=>|=)\s{0,4}"
            rb"[\"'](?P<user>[^\"'\n]{1,80})[\"']\s{0,4}\)?[;,]?\s{1,20}"
            rb"(?:define\(\s{0,4}|(?:public|var|private)\s+)?[$\"'](?:\w{1,40}_)?(?:passw(?:or)?d|pass|pwd)[\"']?"
            rb"\s{0,4}(?:,|=>|=)\s{0,4}[\"'](?P<secret>[^\"'\n]{1,200})[\"']"
        ),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.settings",
        "Secret in a program's settings",
        _SERVICE,
        _HIGH,
        (r"settings/[\w.-]+\.py", r"settings[\w.-]*\.py", r"local_settings\.py", r"config[\w.-]*\.py"),
        rows(
            rb"[\"']USER[\"']\s{0,4}:\s{0,4}[\"'](?P<user>[^\"'\n]{1,80})[\"']\s{0,4},\s{1,40}(?:[\"']HOST[\"']\s{0,4}:"
            rb"\s{0,4}[\"'](?P<host>[^\"'\n]{0,120})[\"']\s{0,4},\s{1,40})?[\"']PASSWORD[\"']\s{0,4}:\s{0,4}"
            rb"[\"'](?P<secret>[^\"'\n]{1,200})[\"']"
        ),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.redis",
        "Password of a Redis server",
        "Reads and writes all that the server keeps.",
        _HIGH,
        (r"(?:redis|sentinel|valkey|keydb)[\w.-]*\.conf",),
        rows(rb"^[ \t]*(?:requirepass|masterauth|sentinel auth-pass[ \t]+\S+)[ \t]+\"?(?P<secret>[^\s\"]{1,400})"),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.redis",
        "Password of a Redis server",
        "Reads and writes all that the server keeps.",
        _HIGH,
        (r"(?:redis|sentinel|valkey|keydb)[\w.-]*\.(?:conf|acl)", r"users\.acl"),
        rows(
            rb"^[ \t]*user[ \t]+(?P<user>\S{1,200})[ \t]+(?:[^\s>][^\s]{0,200}[ \t]+){0,60}>(?P<secret>\S{1,400})"
        ),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.directory",
        "Password of a directory server",
        "Reads (perhaps writes) the accounts of the directory.",
        _HIGH,
        (
            r"slapd[\w.-]*\.conf",
            r"(?:pam[-_]|nss[-_]|libnss[-_])?ldap\.conf",
            r"nslcd\.conf",
            r"sssd/(?:[\w.-]+/)*[\w.-]+\.conf",
        ),
        rows(
            rb"^[ \t]*(?i:rootpw|(?:root)?bindpw|ldap_default_authtok)(?:[ \t]*=[ \t]*|[ \t]+)"
            rb"\"?(?!\{)(?P<secret>[^\s\"]{1,200})"
        ),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.jaas",
        "Password in a JAAS login",
        "Logs in at the broker.",
        _HIGH,
        (r"[\w.-]*jaas[\w.-]*\.(?:conf|config)", r"[\w.-]+\.jaas"),
        rows(
            rb"(?<![\w.])(?:password|user_(?P<user>[\w.-]{1,100}))[ \t]{0,8}=[ \t]{0,8}"
            rb"\"(?P<secret>[^\"\n]{1,200})\""
        ),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.jmx",
        "Password of Java's remote management",
        "Manages the Java program: loads classes into it.",
        _HIGH,
        (r"jmxremote\.password",),
        rows(rb"^[ \t]*(?!#)(?P<user>[^\s:=]{1,100})[ \t:=]+(?P<secret>\S{1,200})[ \t]*\r?$"),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.squid",
        "Password of a proxy's cache manager",
        "Manages the proxy.",
        _MEDIUM,
        (r"squid[\w.-]*\.conf",),
        rows(rb"^[ \t]*cachemgr_passwd[ \t]+(?!(?:none|disable)\b)(?P<secret>\S{1,200})"),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.snmp",
        "Password or community of an SNMP agent",
        "Reads (perhaps sets) what the agent manages.",
        _MEDIUM,
        (r"snmpd?[\w.-]*\.conf",),
        rows(
            rb"^[ \t]*(?:r[ow]community6?[ \t]+(?!(?:public|private)\b)(?P<secret>[^\s\"#]{1,200})"
            rb"|createUser[ \t]+(?P<user>\S{1,100})[ \t]+(?:MD5|SHA[-0-9]{0,4})[ \t]+\"?(?P<secret2>[^\s\"]{1,200}))"
        ),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.consul",
        "Token or gossip key of Consul or Nomad",
        "Acts in the cluster.",
        _HIGH,
        (r"(?:consul|nomad)(?:\.d)?/(?:[\w.-]+/)*[\w.-]+\.hcl", r"(?:consul|nomad)[\w.-]*\.hcl"),
        read_ini,
        _keys(rb"(?:(?:\A|/)encrypt|tokens/\w+|consul/token|vault/token)\Z"),
        Holds.TOKEN,
        16,
    ),
    FileKind(
        "file.chef",
        "Password in the settings of knife",
        _LOGIN,
        _HIGH,
        (r"\.?chef/(?:knife|config)\.rb", r"knife\.rb"),
        rows(
            rb"^[ \t]*knife\[:\w{0,60}(?:pass(?:word)?|secret(?:_access_key)?|token|api_key)\][ \t]*=[ \t]*"
            rb"[\"'](?P<secret>[^\"'\n]{1,400})[\"']"
        ),
        _SECRET,
        Holds.PASSWORD,
    ),
    FileKind(
        "file.jenkins",
        "Password in Jenkins' credentials",
        "Whatever the credentials are for.",
        _HIGH,
        (r"jenkins[\w.-]*/(?:[\w.-]+/)*(?:credentials|config)\.xml", r"credentials\.xml"),
        read_xml,
        _keys(rb"/(?:password|secret|passphrase|apiToken|privateKey|secretKey)\Z"),
        Holds.ENCRYPTED,
    ),
    # --- hashes
    FileKind(
        "file.password-hash",
        "Password hash of a web user",
        _GUESS,
        _LOW,
        (r"[\w.-]*htpasswd[\w.-]*", r"\.htdigest", r"mosquitto/(?:[\w.-]+/)*[\w.-]*passw(?:or)?ds?(?:\.txt)?"),
        rows(rb"^(?P<user>[^\s:#]{1,200}):(?P<secret>(?:\$|\{)[^\s:]{8,300}|[A-Za-z0-9./]{13})[ \t]*\r?$"),
        _SECRET,
        Holds.HASH,
    ),
    FileKind(
        "file.password-hash",
        "Password hash of a database user",
        _GUESS,
        _LOW,
        (r"userlist\.txt", r"pgbouncer/[\w.-]*users?[\w.-]*\.txt"),
        rows(
            rb"^[ \t]*\"(?P<user>[^\"\n]{1,200})\"[ \t]+\"(?P<secret>md5[0-9a-f]{32}|SCRAM-SHA-256\$[^\"\n]{20,300})\""
        ),
        _SECRET,
        Holds.HASH,
    ),
    FileKind(
        "file.shell-password-hash",
        "Password hash of a system user",
        _GUESS,
        _LOW,
        (r"etc/g?shadow-?", r"shadow(?:\.bak|-)?", r"etc/(?:master\.)?passwd-?"),
        rows(rb"^(?P<user>[^\s:#]{1,64}):(?P<secret>[$_][^\s:]{12,300}|[A-Za-z0-9./]{13}):"),
        _SECRET,
        Holds.HASH,
    ),
)


class FileKinds:
    """The table, looked up by path. Compiled at first use."""

    def __init__(self, table: tuple[FileKind, ...] = TABLE) -> None:
        self._table = table
        self._numbers: Callable[[bytes], list[int]] | None = None

    def claims(self, path: str) -> bool:
        """Whether any row is about *path*: one search in linear time, as it is asked for every file of an image."""
        return bool(self.of(path))

    def of(self, path: str) -> list[FileKind]:
        """The rows about *path*, in order."""
        if self._numbers is None:
            self._numbers = compile_set(f"(?i)(?:^|/)(?:{'|'.join(kind.paths)})$" for kind in self._table)
        return [self._table[number] for number in self._numbers(path.encode("utf-8", "surrogateescape"))]
