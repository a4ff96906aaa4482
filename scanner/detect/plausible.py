"""Why a value that has the shape of a secret is none: placeholders, references, words, sequences.

Every judgement is a reason, a short code with dashes, so that what is left out can be listed. None means that the
value may well be a secret.
"""

from __future__ import annotations

import binascii
import math
import re
from collections import Counter

from scanner.image.documents import decode_string

#: an expression for what names of passwords end in, and for what makes them names of what is done with a password, or
#: said about it
PASSWORD = rb"(?:passw(?:or)?d|passwd|pass|pwd)"
BESIDE_PASSWORD = (
    rb"update|reset|forgot(?:ten)?|edit|change|show|hide|require[sd]?|no|has|ask|send|save|confirm|check|verify"
    rb"|valid(?:ate)?|invalid|wrong|incorrect|bad|missing|empty|get|is|use|without|new_?line|tres|sur|over|under|low"
    rb"|high|band|all"
)
#: letter pairs that make up 93 % of those in English words and names of programs, by first letter
_COMMON_PAIRS = frozenset(
    group[0] + second
    for group in (
        "abcdgiklmnprstuvy baeilou cacehiklortu dadeiosu eacdefglmnpqrstvxy faefioru gehinsu haeio iabcdefglmnoprstvz "
        "ke ladeilostuy mabeiopsu nacdeginostuv obcdilmnoprstuvw paeiloprtu qu racdegimnorstuy sacehiopstuy "
        "tacehilorstuy uabceilmnprst vaei waehior xct ypst ze"
    ).split()
    for second in group[1:]
)

# Python's re is linear here: no nested or overlapping repeats.
# A dollar within a word is a reference only if what follows it is the name of a variable as people write them:
# strong passwords hold dollars, too.
_REFERENCE = re.compile(
    rb"\$\{|\$\([^()]*\)|^\$\(|\{\{|\}\}|<[A-Za-z][^<>]{0,60}>|%\([A-Za-z_]|%[sdr](?![A-Za-z0-9])"
    rb"|(?!^\{noop\}.)\{[A-Za-z_][\w.:,-]{0,60}\}"  # Spring's mark of a password that is not hashed
    rb"|^\$[A-Za-z_][A-Za-z0-9_]*(?:\Z|[-.\[/:>@&?,;%})\s])"
    rb"|[^A-Za-z0-9]\$(?:[A-Z][A-Z0-9_]{2,}|[a-z]{3,}(?:_[a-z]+)*[0-9]?|[a-z]+(?:[A-Z][a-z]+)+)(?![A-Za-z0-9])"
    rb"|[A-Za-z0-9]\$(?:[A-Z]{4,}|[A-Z]+_[A-Z_]+|[a-z]+_[a-z_]+)(?![A-Za-z0-9])"
    rb"|%[A-Z_]{3,40}%|^@{1,2}[A-Za-z_]{3,40}@{1,2}$|^\{[0-9]?\}$|^__[A-Za-z_]+__$|^#\{|\[[A-Z_ -]{4,40}\]"
    rb"|^@Microsoft\.KeyVault\(|^%env\(|^\[\[[\w. -]+\]\]$|^env[.:(]"
    rb"|^!(?:Ref|Sub|GetAtt)|^[!*][A-Za-z_]+\Z|^`|^[\w.-]*\{[0-9]{0,2}\}[\w.-]*\Z"
    rb"|^(?:vault|ssm|secretsmanager|op|azkv|gcpsm|keyring|awss?sm|awssecret|sops)[:+]|^\[%[^\s%]{1,200}%\]\Z"
)
#: the file that holds the secret: a path from the root, below a directory that systems and containers have there
_SECRET_FILE = re.compile(
    rb"/(?:run|var|etc|opt|srv|home|root|usr|mnt|tmp|secrets?|vault|app|data|Users)(?:/[\w.@+-]{1,100}){1,12}"
)
#: the whole of a hash, as crypt(3) and directory servers write it: nobody logs in with it
_WHOLE_HASH = re.compile(
    rb"\$(?:1|2[abxy]?|5|6|7|y|gy|apr1|P|H|argon2(?:id?|d)|scrypt|pbkdf2[\w-]{0,12})\$[./A-Za-z0-9$=,+-]{20,}"
    rb"|\{(?:S?SHA|S?MD5|CRYPT|PBKDF2|BCRYPT|BLF|ARGON2)[A-Za-z0-9-]{0,12}\}[./A-Za-z0-9$=,+-]{16,}"
)
_MASKED = re.compile(rb"\*{3}|XXX_|\.\.\.|\xe2\x80\xa6|xxxx|XXXX|\xe2\x80\xa2{2}|#{4}|_{4}|-{6}(?!BEGIN|END)")
_PLACEHOLDER_WORDS = re.compile(
    rb"example|redacted|placeholder|change[-_ ]?(?:me|it|this)|your[-_]|your[a-z]{0,12}(?:pass|key|secret|token)"
    rb"|replace[-_ ]?(?:me|this|with)"
    rb"|insert[-_]"
    rb"|dummy|not[-_]?a[-_]?real|notreal|foobar|deadbeef|cafebabe|lorem|todo[-_:]|[-_]here$|fake|sample|mytoken"
    rb"|mysecret|^(?:proxy|some|bad|wrong)_?pass(?:word|wd|phrase)?$"
    rb"|my[-_](?:secret|token|password|pass|key|api)|my(?:password|apikey)|some[-_](?:secret|token|password|key)"
    rb"|^[a-z]+[-_](?:pwd|pass|passwd|password|secret|token)$|^[a-z]{2,12}pwd$|<your|abc123|secret[-_]?(?:key"
    rb"|token|value)$|test[-_](?:secret|token|password|key)|does[-_]?not[-_]?exist",
    re.IGNORECASE,
)
#: whose password goes here, or that one is to be put here, in the languages that settings are written in most
_WHOSE = (
    rb"your|yours|the|ihr|dein|mein|euer|unser|tu|su|votre|ton|mon|notre|sua|seu|tua|teu|minha|tuo|suo|mio|jouw|uw|mijn"
    rb"|twoje|vase|tvoje"
)
_PUT = (
    rb"please|enter|put|type|insert|provide|choose|set|give|fill|add|write|pon|ponga|inserir|digite|entrez|saisir"
)
_ANY_PASSWORD = (
    rb"passwords?|passwd|passphrase|pass|pwd|passwort|kennwort|contrasen[ay]a?|clave|motdepasse|senha|parola"
    rb"|wachtwoord|haslo|heslo|geslo|lozinka|parool|salasana|losenord|adgangskode|passord|sifre"
)
_SAYS_WHOSE = re.compile(
    rb"(?:" + _PUT + rb"){0,3}(?:(?:a|an|new|nova|neues)?(?:" + _WHOSE + rb"){1,2}|(?:" + _PUT + rb"))"
    rb"(?:own|new|strong|secure|secret|real|actual|long|random|secreta|sicheres)*(?:" + _ANY_PASSWORD + rb")"
    rb"(?:here|hier|aqui|ici|qui|goes|value|in|now)*[0-9]{0,3}"
    rb"|(?:some|any|new|own|strong|secure|secret|db|database|user|root|admin)*(?:" + _ANY_PASSWORD + rb")(?:goes)?"
    rb"(?:here|hier|aqui|ici)"
)
#: how long a password has to be, where that stands for one: `mustbeeightchars`
_SAYS_HOW_LONG = re.compile(
    rb"(?:must|should|needsto|hasto)be|at_?least_?[0-9a-z]|(?:[0-9]{1,3}|four|six|eight|ten|twelve|sixteen|two)(?:ormore)?"
    rb"(?:char(?:acter)?|byte|bit)s?(?:or(?:more|longer)|(?:long|min(?:imum)?|secret|key|password|passphrase))*\Z"
)
#: words before the name of what they are, which people take for passwords of local services
_NAMED_AFTER = re.compile(rb"(?!my|some|your|test|the|a[-_])[a-z]{2,12}[-_](?:pwd|pass|passwd|secret)", re.IGNORECASE)
_TOKEN_PLACEHOLDERS = re.compile(
    rb"example|invalid|redacted|placeholder|change[-_]?me|your[-_]|replace[-_]?me|insert[-_]|dummy[-_]"
    rb"|not[-_]a[-_]real"
    rb"|deadbeefdeadbeef|foobarfoobar|fakefake|^my_?token",
    re.IGNORECASE,
)
#: of a thousand random strings of 16 characters or more one has less `disorder`
_LEAST_RANDOM, _LEAST_HEX = 0.31, 0.16
#: names of programs may have abbreviations; a value above this is none, whatever it is made of
_LEAST_NAME = 0.42
#: a date and a time, or a version, in a name
_STAMP = re.compile(rb"(?:19|20)[0-9]{2}-?[01][0-9]-?[0-3][0-9]|[0-9]+\.[0-9]+\.[0-9]+")
_NAME_WORDS = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_HEX_ONLY = re.compile(rb"[0-9a-fA-F-]+")
_EQUAL_RUN = re.compile(rb"(.)\1{4}", re.DOTALL)
#: two to four characters over and over
_EQUAL_PARTS = re.compile(rb"(.{2,4}?)\1{4}", re.DOTALL)
_JOINTS = re.compile(rb"[-_. !]")
#: one letter after the other
_LETTERS_IN_RUNS = re.compile(rb"(?:([A-Za-z0-9])\1{2,}[-_.]?)+", re.IGNORECASE)
_LONG_EQUAL_RUN = re.compile(rb"(.)\1{9}", re.DOTALL)
_PIECES = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_NOT_VALUES = frozenset(
    b"true false null none nil undefined yes no on off auto default required optional disabled enabled empty "
    b"string str int integer bool boolean number object array any text password passwd pass pwd secret token "
    b"key bearer basic user username login admin root guest test testing test123 hello changeme change_me foo "
    b"bar baz foobar value name unknown hidden masked env file prompt ask stdin keyring inherit plain md5 sha1 "
    b"sha256 bcrypt scram-sha-256 xxx xxxx postgres mysql redis mongo rabbitmq elastic minio minioadmin jetty "
    b"administrator letmein qwerty welcome sa toor vagrant example sample dummy fake mock secret123 password1 "
    b"password123 passw0rd p@ssw0rd admin123 12345 123456 1234567 12345678 123456789 1234567890 s3cr3t s3cret "
    b"hunter2 abc123 mysecretpassword my-secret-pw your-secret-key keyboard some_password somepassword "
    b"your_password yourpassword my_password mypassword userpass user_pass pass123 pass1234 secretkey "
    b"generated autogenerated auto-generated unused ignored insecure fixture "
    b"public private secret_key secret-key notasecret notasecure notapassword nopassword nosecret "
    b"passwort kennwort wachtwoord motdepasse mot_de_passe lozinka passord losenord "
    b"senha parola salasana geslo heslo haslo contrasena contrasenya adgangskode "
    b"sifre jelszo slaptazodis parool".split()
)
#: from which on the letters of a path or a label look drawn
_DISORDER = 0.3
_LABEL = re.compile(rb"[A-Z][a-z]*(?:-[A-Z]?[a-z]+){1,2}|[A-Z][a-z]+[:.*]?|[A-Za-z][A-Za-z'-]*:")
_SPELLED_WORDS = re.compile(r"(?:[^\W\d_]|[ '.:-])+")
_ESCAPED_LINE = re.compile(rb"[A-Za-z.,:]%0[aAdD][A-Za-z]")
_FOREIGN_WORDS = re.compile(r"[^\W\d_][^\d_]*")
#: words joined as names of programs are
_JOINED = re.compile(rb"[A-Za-z0-9][_.-][A-Za-z]|[a-z][A-Z]")
_SNAKE = re.compile(rb"[a-z]+(?:[_-][a-z]+)+")
#: passwords of examples in documentation that is installed with much software
_DOCUMENTED = frozenset(
    b"geheim$parole tiger tiger^5hhh swordfish s00pers3cret rapunz3l my-top-secret pass/word secret! "
    b"4x5istwelve".split()
)
_SEQUENCES = (
    b"0123456789abcdefghijklmnopqrstuvwxyz",
    b"abcdefghijklmnopqrstuvwxyz0123456789",
    b"12345678901234567890",
    b"qwertyuiopasdfghjklzxcvbnm",
    b"98765432109876543210",
)
_SEQUENCE_LENGTH = 8
#: a token that is made up to more than this part of its length is an example
_MOST_SEQUENCE = 2 / 3
_SEQUENCE_PARTS = frozenset(
    sequence[at : at + _SEQUENCE_LENGTH]
    for sequence in _SEQUENCES
    for at in range(len(sequence) - _SEQUENCE_LENGTH + 1)
)
_OBFUSCATED = re.compile(rb"OBF:(?:[0-9a-z]{4})+")
_MAIL = re.compile(rb"[A-Za-z0-9._+-]{1,40}@[A-Za-z0-9-]{2,40}(?:\.[A-Za-z0-9-]{2,40})*\.[a-z]{2,6}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_PATH = re.compile(rb"(?:[A-Za-z]:)?[./~\\]{1,3}[\w.@+-]+(?:[/\\][\w.@+-]*)*|[\w.-]+(?:/[\w.-]+){2,}")
#: what is of an account of AWS, by the account's number and its own name
_OF_ACCOUNT = re.compile(rb"[0-9]{12}(?:/[a-z]{4,})+")
_FILE_NAME = re.compile(
    rb"(?:~/)?[\w/.-]{1,60}\.(?:sh|bat|cmd|ps1|key|pem|crt|cer|p12|pfx|jks|enc|py|rb|js|ts|php|pl|go|java|txt|md|rst|json"
    rb"|ya?ml|toml|html?|css|xml|cfg"
    rb"|conf|ini|properties|sql|env|log|tar|gz|zip)"
)
_URL = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{1,20}:(?://|\\/\\/)|(?:arn|urn|magnet|mailto|data):|[a-z]{2}(?:-[a-z]+)+-[0-9]:[0-9]{12}:")
#: a regular expression: groups without capture, classes, counts
_PATTERN = re.compile(rb"\(\?[:!=<iP]|\[\^?[A-Za-z0-9]-[A-Za-z0-9]|\]\{[0-9]+(?:,[0-9]*)?\}")
#: a text that goes on behind a quote, letters that a file of properties spells out, fonts of a manual page
_SPELLED = re.compile(rb"^\+[ ]?[A-Za-z_$][\w$.]*[(+]|\\u[0-9a-f]{4}.*\\u[0-9a-f]{4}|\\f[BIRP]")
_HOST_AND_PORT = re.compile(rb"[A-Za-z][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)*:[0-9]{2,5}")
_CALL = re.compile(rb"[A-Za-z_$][\w$.]*(?:\(|\[|->|::|\?[.\[]|\s*\?.*:|=>)")
_ATTRIBUTE = re.compile(
    rb"(?:self|this|cls|args|opts|options|config|conf|settings|process\.env|os|req|request|ctx|data)[.\[]"
)
#: the name of a property: words with dots between them, the last of which says what the value is
_PROPERTY = re.compile(
    rb"(?:[a-z][A-Za-z0-9]*\.){2,}(?:[a-z]+[-_]?)?"
    rb"(?:[Pp]ass(?:w(?:or)?d|wd|phrase)?|[Pp]wd|[Ss]ecret|[Tt]oken|[Kk]ey|[Cc]redentials?)"
)
_ENCODED_HASH = re.compile(
    rb"\$(?:1|2[abxy]?|5|6|7|y|gy|argon2(?:id?|d)|apr1|P|H|S|scrypt|pbkdf2)[$.]|\{(?:SSHA|SHA|PBKDF2|CRYPT"
    rb"|MD5)[0-9]*\}"
    rb"|pbkdf2[_:]|scrypt:|sha(?:1|256|384|512)[:$-]|bcrypt|\*[0-9A-F]{40}\Z|ENC\[|ENC\(|^Ag[A-D][A-Za-z0-9+/]{60}|SCRAM-SHA|U2FsdGVkX1"
    rb"|md5[0-9a-f]{32}$"
    # as some tools keep them: without the first dollar, or with the name of the scheme
    rb"|\A(?:1|2[abxy]|5|6|7|y|gy|apr1)\$[./A-Za-z0-9=,+-]{1,40}\$[./A-Za-z0-9$=,+-]{20,}"
    rb"|\A(?:argon2(?:id?|d)|pbkdf2[\w-]{0,20}|(?:sha|md)[0-9]{1,3}[_-]?crypt|scrypt|phpass|ldap_[a-z0-9_]{3,20})\$"
    rb"[./A-Za-z0-9$=,+-]{8,}"
)
_DATE_OR_NUMBER = re.compile(rb"(?![0-9]{24})[0-9.,:/_ TZ+-]*|0x[0-9a-fA-F]{1,16}|[v^~]?[0-9]+(?:\.[0-9a-z-]+)+")


def entropy(value: bytes) -> float:
    """Shannon's entropy in bits for each byte."""
    size = len(value)
    return -sum(count / size * math.log2(count / size) for count in Counter(value).values()) if size else 0.0


def disorder(value: bytes) -> float:
    """How little *value* looks like words, from 0.

    Counted for each byte: letter pairs rare in words, and the borders where letters and digits meet or the case
    changes other than to begin a word. Names and prose stay below 0.25, random text lies above 0.35.
    """
    pieces = list(_PIECES.finditer(value))
    signs = 0
    for piece, following in zip(pieces, [*pieces[1:], None], strict=False):
        text = piece.group().lower().decode("ascii")
        if text.isalpha():
            signs += sum(text[at : at + 2] not in _COMMON_PAIRS for at in range(len(text) - 1))
        if following is not None and following.start() == piece.end():
            digits = piece.group().isdigit() or following.group().isdigit()
            signs += digits or len(piece.group()) < 3 or len(following.group()) < 3
    return signs / len(value) if value else 0.0


def has_sequence(value: bytes) -> bool:
    """Whether eight neighbours of a keyboard row, the alphabet or the digits stand in a row."""
    return sequence_bytes(value) > 0


def sequence_bytes(value: bytes) -> int:
    """How many bytes of *value* belong to runs of eight neighbours or more."""
    lower, covered, end = value.lower(), 0, 0
    for at in range(len(lower) - _SEQUENCE_LENGTH + 1):
        if lower[at : at + _SEQUENCE_LENGTH] in _SEQUENCE_PARTS:
            covered += at + _SEQUENCE_LENGTH - max(at, end)
            end = at + _SEQUENCE_LENGTH
    return covered


def reference(value: bytes) -> str | None:
    """A reason if *value* only points at a secret, masks it or is its hash."""
    if _REFERENCE.search(value) or (_SECRET_FILE.fullmatch(value) and disorder(value) < _DISORDER):
        return "reference"
    if _WHOLE_HASH.fullmatch(value):
        return "hash-or-encrypted"
    return "masked" if _MASKED.search(value) else None


def token(value: bytes) -> str | None:
    """A reason if *value*, which has the shape of a random token, is made up."""
    if _REFERENCE.search(value):
        return "reference"
    if b"****" in value or b"..." in value or b"xxxxx" in value.lower():
        return "masked"
    if _TOKEN_PLACEHOLDERS.search(value):
        return "placeholder"
    if (_EQUAL_RUN if len(value) < 80 else _LONG_EQUAL_RUN).search(value):
        return "repeated"
    if _EQUAL_PARTS.search(value):
        return "repeated"
    if sequence_bytes(value) > len(value) * _MOST_SEQUENCE:
        return "sequence"
    if len(set(value)) < min(8, len(value) / 4):
        return "few-different-bytes"
    return None


#: what issuers put in front of keys to their sandboxes, and of identifiers that are meant for everybody
_TEST_MODE = re.compile(
    rb"(?:sk|rk|pk)_test_|EZTK|access-sandbox-|sandbox-sq0|shippo_test_|duffel_test_|FLWSECK_TEST|rzp_test_"
    rb"|SB-Mid-|sbx_|test_(?:pub_)?[0-9a-f]{30}"
    rb"|pk_live_|pk\.eyJ1|phc_|pub-c-|sub-c-|NRJS-|pub[0-9a-f]{32}\Z"
)


#: the claims that a JSON web token has in documentation: sub 1234567890, iss joe, iss supabase-demo
_SHOWN_JWT = re.compile(rb"eyJ[\w-]+\.eyJ(?:zdWIiOiIxMjM0NTY3ODkwI|pc3MiOiJqb2Ui|pc3MiOiJzdXBhYmFzZS1kZW1v)")


def test_mode(value: bytes) -> str | None:
    """A reason if *value* only opens an issuer's sandbox, is for everybody, or is what documentation shows."""
    return "test-or-public" if _TEST_MODE.match(value) or _SHOWN_JWT.match(value) else None


#: what begins and is divided like a token that everybody knows, and the token: one without the other was made up
_STRUCTURED = (
    (re.compile(rb"[0-9]{4,20}:A[\w-]{20,60}"), re.compile(rb"[0-9]{8,10}:A[\w-]{34}")),
    (re.compile(rb"ey[JA-Za-z0-9][\w-]+\.ey[\w-]+\.[\w-]*"), re.compile(rb"[\w-]+\.[\w-]+\.[\w-]{20,}")),
)


def broken(value: bytes) -> str | None:
    """A reason if *value* has the structure of a well-known token, but parts of lengths that it never has."""
    for like, exact in _STRUCTURED:
        if like.fullmatch(value) and not exact.fullmatch(value):
            return "malformed"
    return None


#: base64 of what public keys and certificates begin with: SubjectPublicKeyInfo of the usual kinds, OpenSSH's lines
_PUBLIC_KEY = re.compile(
    rb"MFkwEwYHKoZIzj0CAQ|MHYwEAYHKoZIzj0CAQ|MFYwEAYHKoZIzj0CAQ|MIIBIjANBgkqhkiG9w0BAQEFAAOC"
    rb"|MIICIjANBgkqhkiG9w0BAQEFAAOC"
    rb"|MIGfMA0GCSqGSIb3DQEBAQUAA4GN|MFwwDQYJKoZIhvcNAQEBBQAD|MCowBQYDK2V|AAAA[BCE]3NzaC1|AAAAC3Nza|AAAAE2VjZHNh"
)


def public_key(value: bytes) -> str | None:
    """A reason if *value* is the base64 of a public key."""
    return "public" if _PUBLIC_KEY.match(value) else None


def wrapped(value: bytes) -> str | None:
    """A reason if *value* is base64 of a text that is no secret: words, a placeholder, a user with such a password."""
    if len(value) < 8 or len(value) % 4 or not _BASE64.fullmatch(value):
        return None
    plain = binascii.a2b_base64(value)
    if no_text(plain) is not None or len(plain) < 6:
        return None
    if _MAIL.fullmatch(plain):
        return "mail-address"  # what a mail server is told first
    inner = plain.rpartition(b":")[2]
    return password(inner) or (words(plain, 0.2) if re.search(rb"[ :]", plain) else None)


def deobfuscated(value: bytes) -> bytes | None:
    """What Jetty's obfuscation hides, which has no key: pairs of bytes as four digits of base 36, from both ends."""
    if not _OBFUSCATED.fullmatch(value):
        return None
    plain = bytearray()
    for at in range(4, len(value), 4):
        number = int(value[at : at + 4], 36)
        plain.append(((number >> 8) + (number & 255) - 254) // 2 & 255)
    return bytes(plain)


def long_number(value: bytes) -> bool:
    """Whether *value* is a number with more digits than anything that is counted or measured."""
    return len(value) >= 24 and value.isdigit()


def mostly_digits(value: bytes) -> bool:
    """Whether *value* has letters, but more digits, and is too long for the name of a version or a date."""
    digits = sum(0x30 <= byte <= 0x39 for byte in value)
    return len(value) >= 24 and len(value) > digits >= len(value) / 2 and not _STAMP.search(value)


def name_like(value: bytes) -> bool:
    """Whether *value* is made of words of three letters and more, as names of classes, fields and options are."""
    found = _NAME_WORDS.findall(value)
    letters = sum(map(len, found))
    digits = sum(0x30 <= byte <= 0x39 for byte in value)
    return bool(found) and letters >= 3.2 * len(found) and digits * 8 <= letters and disorder(value) < _LEAST_NAME


def orderly(value: bytes) -> str | None:
    """A reason if *value*, whose alphabet and length are all that is known of it, is not random enough to be issued."""
    if not re.search(rb"[A-Za-z]", value):
        return None if long_number(value) else "number-or-date"
    if len(value) < 20 and not re.search(rb"[0-9]", value):
        return "words"
    if mostly_digits(value):
        return None
    if name_like(value):
        return "words"
    return "words" if disorder(value) < (_LEAST_HEX if _HEX_ONLY.fullmatch(value) else _LEAST_RANDOM) else None


def long_text(value: bytes) -> str | None:
    """A reason if *value*, a long encoded text where runs are natural, is made up."""
    if b"****" in value or b"..." in value or b"xxxxxxxx" in value.lower():
        return "masked"
    if b"EXAMPLE" in value:
        return "placeholder"
    return "few-different-bytes" if len(set(value)) < min(12, len(value) / 4) else None


def no_text(value: bytes) -> str | None:
    """A reason if *value* holds bytes that nobody types: controls, or what is no UTF-8."""
    if value.isascii():
        return None if value.decode("ascii").isprintable() else "no-text"
    try:
        return None if value.decode("utf-8").isprintable() else "no-text"
    except UnicodeDecodeError:
        return "no-text"


def stands_in(value: bytes) -> bool:
    """Whether *value* says itself that it stands for another: whose it is to be, or how long."""
    if _PLACEHOLDER_WORDS.search(value) is not None:
        return True
    bare = _JOINTS.sub(b"", value.lower())
    return _SAYS_WHOSE.fullmatch(bare) is not None or _SAYS_HOW_LONG.search(bare) is not None


def label(value: bytes) -> bool:
    """Whether *value* is what a form shows beside a field: one word with a capital or a colon, or words in other than
    English letters. People who put such letters into a password put digits there, too."""
    if _LABEL.fullmatch(value) is not None:
        return b"-" not in value or disorder(value) < _DISORDER  # a phrase of drawn letters is no label
    return not value.isascii() and _FOREIGN_WORDS.fullmatch(value.decode("utf-8", "replace")) is not None


def name_of(name: bytes, value: bytes) -> bool:
    """Whether *value* is *name* as another language writes it, its last words, or those and some before them:
    `bindPassword`, `bind_password` and `ldap_bind_password`."""
    if _JOINED.search(value) is None:
        return False
    bare_name, bare_value = (re.sub(rb"[^a-z0-9]", b"", text.lower()) for text in (name, value))
    return bare_name.endswith(bare_value) or (_SNAKE.fullmatch(value) is not None and bare_value.endswith(bare_name))


def named_after(value: bytes) -> bool:
    """Whether *value* is a word and a word for password: `top_secret`."""
    return _NAMED_AFTER.fullmatch(value) is not None


def password(value: bytes) -> str | None:
    """A reason if *value*, which stands where a password belongs, is certainly none."""
    if (reason := no_text(value) or reference(value)) is not None:
        return reason
    if _ESCAPED_LINE.search(value):
        return "words"  # a text of several lines, as a program passes it on
    if b"\\u" in value and _SPELLED_WORDS.fullmatch(decode_string(value)):
        return "words"  # letters of a translation that the file spells out
    lower = value.lower().strip()
    if lower in _NOT_VALUES:
        return "default-or-word"
    if lower in _DOCUMENTED:
        return "documentation"
    if stands_in(value):
        return "placeholder"
    if len(set(value)) <= max(2, min(len(value) // 8, 12)):
        return "few-different-bytes"
    if (reason := public_key(value) or wrapped(value)) is not None:
        return reason
    if (plain := deobfuscated(value)) is not None:
        return password(plain)
    if _EQUAL_RUN.search(value) or _EQUAL_PARTS.search(value) or _LETTERS_IN_RUNS.fullmatch(value):
        return "repeated"
    made_up = has_sequence(value) if len(value) < 24 else sequence_bytes(value) > len(value) * _MOST_SEQUENCE
    return "sequence" if made_up else None


def expression(value: bytes) -> str | None:
    """A reason if *value* is a piece of a program, a path, an address or a hash."""
    if _ENCODED_HASH.search(value):
        return "hash-or-encrypted"
    if _URL.match(value) or _HOST_AND_PORT.fullmatch(value):
        return "url"
    if _FILE_NAME.fullmatch(value):
        return "path"
    if (_PATH.fullmatch(value) or _OF_ACCOUNT.fullmatch(value)) and disorder(value) < _DISORDER:
        return "path"
    if _CALL.match(value) or _ATTRIBUTE.match(value) or _PATTERN.search(value) or _SPELLED.search(value):
        return "expression"
    if _PROPERTY.fullmatch(value) and words(value, 0.3) is not None:
        return "name"
    return "number-or-date" if _DATE_OR_NUMBER.fullmatch(value) else None


def words(value: bytes, limit: float) -> str | None:
    """A reason if *value* reads like words or a name rather than something random: `disorder` below *limit*."""
    special = sum(not (byte < 0x80 and chr(byte).isalnum()) and byte not in b" _-.:/" for byte in value)
    bonus = 0.08 * min(special, 3) if re.search(rb"[0-9]", value) and re.search(rb"[A-Za-z]", value) else 0.0
    return "words" if disorder(value) + bonus < limit else None
