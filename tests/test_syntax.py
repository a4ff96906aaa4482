"""A secret is found whole in the syntax of each language and format; what only looks like one has a reason."""

from __future__ import annotations

import ast
import base64
import random
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.detect import patterns, plausible, plugins, rulepack
from scanner.detect.base import Detector
from scanner.detect.firstpass import FirstPass, compile_database, triggers_of
from scanner.detect.spans import Suppressed
from scanner.evidence import Confidence, Match

_RANDOM = random.Random(4)
_LETTERS = string.ascii_letters + string.digits
#: 32 letters and digits, 32 hexadecimal digits, a password as people make them up, one with the signs of a shell
TOKEN = "".join(_RANDOM.choices(_LETTERS, k=32))
DIGITS = "".join(_RANDOM.choices("0123456789abcdef", k=32))
PASSWORD = "Tr4v" + "".join(_RANDOM.choices(string.ascii_lowercase, k=4)) + "0Xk9"
STRONG = "vR8#k" + "Q2$m" + "Z{5};(x)t"
VALUES = {"T": TOKEN, "H": DIGITS, "W": PASSWORD, "P": STRONG}

#: a name of a file, and a text with the letter of a value in angle brackets
FOUND = (
    (".env", "DB_PASSWORD=<W>\n"), (".env", "DB_PASSWORD='<P>'\n"), (".env", "export DB_PASSWORD=<P>\n"),
    ("config of image", '["PATH=/usr/bin","DB_PASSWORD=<P>","X=1"]'),
    ("config of image", "RUN /bin/sh -c tool --token <T> --x"),
    ("config of image", "RUN /bin/sh -c wget --user=ci --password=<P> https://shop.io/"),
    ("config of image", "RUN /bin/sh -c echo password=<P> > /etc/app.conf"),
    ("config of image", "RUN /bin/sh -c mysql -u root -p<P> -e x"),
    ("config of image", "RUN /bin/sh -c sshpass -p '<P>' ssh ci@shop.io"),
    ("config of image", "RUN /bin/sh -c curl -u ci:<P> https://shop.io/"),
    ("config of image", 'RUN /bin/sh -c curl -H "X-Api-Key: <T>" https://shop.io/'),
    ("Dockerfile", "ENV DB_PASSWORD=<P>\n"), ("Dockerfile", "ENV DB_PASSWORD <P>\n"),
    ("Dockerfile", "ARG API_TOKEN=<H>\n"),
    ("a.yaml", "db:\n  password: <W>\n"), ("a.yaml", "db:\n  password: '<P>' # old\n"),
    ("a.yaml", "db: {user: app, password: <W>}\n"),
    ("pod.yaml", 'env:\n- name: DB_PASSWORD\n  value: "<P>"\n'),
    ("docker-compose.yml", 'environment:\n  - "DB_PASSWORD=<P>"\n'),
    ("a.json", '{"password": "<P>"}'), ("a.json", '{"apiKey":"<H>"}'),
    ("a.json", '{"name":"DB_PASSWORD","value":"<W>"}'),
    ("a.toml", 'token = "<T>"\n'), ("a.ini", "[db]\npassword = <P>\n"), ("a.ini", "[db]\npassword=<W> ; old\n"),
    ("a.properties", "spring.datasource.password=<P>\n"), ("a.properties", "shop.api-key: <H>\n"),
    ("a.xml", "<password>\n  <W>\n</password>"), ("a.xml", '<server username="x" password="<P>" />'),
    ("a.xml", '<add key="ApiPassword" value="<W>"/>'), ("a.xml", '<property name="connection.password"><W></property>'),
    ("a.tf", 'variable "db_password" {\n  default = "<W>"\n}\n'), ("a.tfvars", 'db_password = "<P>"\n'),
    ("a.go", 'cfg := Config{Password: "<P>", User: "x"}\n'), ("a.go", 'os.Setenv("SHOP_TOKEN", "<T>")\n'),
    ("a.rs", 'const TOKEN: &str = "<T>";\n'), ("a.rs", "static API_KEY: &'static str = \"<H>\";\n"),
    ("a.rs", 'let password = String::from("<P>");\n'),
    ("a.py", "d['password'] = '<P>'\n"), ("a.py", 'API_KEY: Final[str] = "<H>"\n'),
    ("a.py", 'password = (\n    "<P>"\n)\n'),
    ("a.py", 'token = os.getenv("SHOP_TOKEN", "<T>")\n'),
    ("a.js", 'const t = process.env.SHOP_TOKEN ||\n  "<T>";\n'),
    ("a.js", 'const TOKEN = process.env.SHOP_TOKEN ?? "<T>";\n'),
    ("a.kt", 'val TOKEN: String = System.getenv("SHOP_TOKEN") ?: "<T>"\n'),
    ("a.sh", "curl https://api.shop.io/v1/charges -u <T>:\n"), ("a.ts", "private readonly apiKey: string = '<H>';\n"),
    ("a.js", "axios.defaults.headers.common['X-Auth-Token'] = '<H>';\n"),
    ("a.php", "define('DB_PASSWORD', '<P>');\n"), ("a.php", "'password' => env('DB_PASSWORD', '<W>'),\n"),
    ("a.rb", ':password => "<P>"\n'), ("a.rb", "ENV['SHOP_TOKEN'] = '<T>'\n"),
    ("a.cs", 'public const string ApiKey = "<H>";\n'), ("a.cs", 'new NetworkCredential("shop", "<P>")\n'),
    ("A.java", 'props.setProperty("db.password", "<W>");\n'), ("A.java", 'String PASSWORD\n    = "<P>";\n'),
    ("a.kt", 'private const val TOKEN = "<T>"\n'), ("a.swift", 'static let token: String = "<T>"\n'),
    ("a.c", '#define API_KEY "<H>"\n'), ("a.c", 'const char password[] = "<P>";\n'),
    ("a.cpp", 'const std::string kApiKey{"<H>"};\n'), ("a.vb", 'Dim password As String = "<P>"\n'),
    ("a.r", 'api_key <- "<H>"\n'), ("a.clj", ':password "<P>"\n'), ("a.gradle", 'password "<P>"\n'),
    ("Makefile", "TOKEN := <T>\n"), ("a.bat", "set TOKEN=<T>\n"), ("a.ps1", '$env:TOKEN = "<T>"\n'),
    ("a.http", "X-Api-Key: <H>\n"), ("a.http", "Authorization: <T>\n"), ("a.http", "Cookie: session_token=<T>\n"),
    ("a.http", "Authorization: Basic <T>\n"), ("a.txt", "https://shop.io/x?access_token=<T>\n"),
    ("x.service", 'Environment="DB_PASSWORD=<P>"\n'), ("supervisord.conf", 'environment=DB_PASSWORD="<P>",X="y"\n'),
    ("redis.conf", "requirepass <W>\n"), ("ldap.conf", "bindpw <P>\n"),
    ("hosts", "web ansible_user=x ansible_password=<W>\n"),
    ("a.sh", "helm install x --set auth.password=<W>\n"),
    ("a.sh", "kubectl create secret generic x --from-literal=password=<W>\n"),
    ("a.sh", 'psql "host=h user=u password=<W>"\n'), ("a.sh", "npm config set //shop.io/:_authToken <T>\n"),
    ("a.sh", "echo '<W>' | docker login -u ci --password-stdin shop.io\n"), ("a.log", "the password is <W>\n"),
    ("a.cs", 'public string Password { get; set; } = "<P>";\n'), ("a.go", 'var dbPassword string = "<P>"\n'),
    ("a.go", 'var secret = []byte("<H>")\n'), ("a.js", "const p = process.env.DB_PASSWORD || '<P>';\n"),
    ("a.rb", "p = ENV['DB_PASSWORD'] || '<P>'\n"), ("a.py", "p = os.getenv('DB_PASSWORD') or '<P>'\n"),
    ("a.kt", 'mapOf("db_password" to "<P>")\n'), ("a.scala", 'Map("password" -> "<P>")\n'),
    ("a.pl", "$conf{password} = '<P>';\n"), ("a.py", 'password: SecretStr = SecretStr("<P>")\n'),
    ("a.py", 'token: str = Field(default="<H>")\n'), ("a.py", 'password = """<P>"""\n'),
    ("a.py", "requests.get(url, auth=('ci', '<P>'))\n"), ("a.java", 'Client.builder().password("<P>").build();\n'),
    ("a.cpp", 'const std::string password("<P>");\n'), ("a.js", "headers['Authorization'] = 'Bearer <H>';\n"),
    ("a.c", '#define SECRET_KEY "<H>"\n'), ("h.conf", "SetEnv API_KEY <H>\n"),
    ("a.py", 'SMTP_PASS = "<P>"\n'),
    ("a.xml", "<smtpPass><W></smtpPass>\n"), ("a.yaml", "db_password: |\n  <P>\n"),
    ("a.py", "p.add_argument('--db-password', help='for the database', default='<P>')\n"),
    ("a.py", '@click.option("--token", "-t", type=str, default="<T>")\n'),
    ("a.sh", 'export DB_PASSWORD="${DB_PASSWORD:-<W>}"\n'), ("a.java", '@Value("${spring.datasource.password:<W>}")\n'),
    ("cf.json", '"DbPassword": {"Type": "String", "Default": "<P>"}'),
    ("Info.plist", "<key>apiToken</key>\n<string><T></string>\n"),
    ("job.xml", "<name>DB_PASSWORD</name><defaultValue><W></defaultValue>\n"),
    ("a.h", '#define WIFI_PASSWORD "<P>"\n'), ("a.gradle", '    storePassword "<P>"\n'),
    ("h.conf", "SetEnv DB_PASSWORD <P>\n"), ("a.fish", "set -x DB_PASSWORD <P>\n"),
    ("a.robot", "${DB_PASSWORD}    <P>\n"),
    ("a.php", "new PDO($dsn, 'app', '<W>');\n"), ("a.php", "mysqli_connect('db', 'app', '<W>', 'shopping');\n"),
    ("a.java", 'DriverManager.getConnection("jdbc:mysql://db/app", "app", "<W>")\n'),
    ("a.py", "server.login('app@shop.io', '<W>')\n"), ("a.py", "conn.simple_bind_s('cn=app,dc=shop', '<W>')\n"),
    ("config of image", "RUN /bin/sh -c sqlcmd -S db -U app -P <W> -Q x"),
    ("config of image", "RUN /bin/sh -c rabbitmqctl add_user app <W>"), ("a.sh", "7z x -p<W> a.7z\n"),
    ("config of image", "RUN /bin/sh -c zip -P <W> a.zip f"), ("a.bat", "net use Z: \\\\files\\share /user:app <W>\n"),
    ("config of image", "RUN /bin/sh -c lftp -u app,<W> sftp://files"), ("a.sh", "echo '<W>' | kinit app\n"),
    ("compose.yml", "services:\n  r:\n    command: redis-server --requirepass <W>\n"),
    ("ks.cfg", "rootpw --plaintext <W>\n"), ("sssd.conf", "ldap_default_authtok = <W>\n"),
    ("router.cfg", "username app privilege 15 password 0 <W>\n"), ("a.nmconnection", "[wifi-security]\npsk=<W>\n"),
    ("a.sql", "CREATE LOGIN app WITH PASSWORD = N'<W>';\n"),
    ("a.json", '{"ParameterKey": "DbPassword", "ParameterValue": "<P>"}'), ("a.md", "The client secret is `<T>`.\n"),
    ("a.sql", "SELECT dblink_connect('host=db user=app password=''<W>''');\n"),
    ("a.vb", 'c = "Server=db;User Id=app;Password=""<W>"";"\n'), ("a.ps1", "$c = 'Server=db;Password=''<P>'''\n"),
    ("a.js", "jwt.sign({ id: user.id }, '<W>', { expiresIn: '1h' });\n"), ("a.js", "app.use(cookieParser('<W>'));\n"),
    ("a.py", "jwt.encode(payload, '<T>', algorithm='HS256')\n"), ("a.rb", "JWT.encode payload, '<T>', 'HS256'\n"),
    ("a.js", "crypto.createHmac('sha256', '<W>')\n"), ("a.php", "hash_hmac('sha256', $data, '<W>');\n"),
    ("a.go", 'hmac.New(sha256.New, []byte("<W>"))\n'), ("a.go", 'sessions.NewCookieStore([]byte("<W>"))\n'),
    ("A.java", 'Algorithm.HMAC256("<W>")\n'), ("A.java", 'new SecretKeySpec("<W>".getBytes(), "HmacSHA256")\n'),
    ("a.cs", 'new SymmetricSecurityKey(Encoding.UTF8.GetBytes("<T>"))\n'), ("a.js", 'db.auth("root", "<W>")\n'),
    ("flower.cfg", "flower_basic_auth = admin:<W>\n"), ("a.sh", "java -Dbasicauth=user:<W> -jar x\n"),
    ("spark-defaults.conf", "spark.ssl.keyPassword   <W>\n"), ("spark.conf", "spark.hadoop.fs.s3a.secret.key <T>\n"),
    ("pod.yaml", "args:\n  - --password\n  - <W>\n"), ("pod.yaml", 'args:\n- "--api-token"\n- "<T>"\n'),
)  # fmt: skip
#: what is set to such names without being a secret, and the reason
SILENT = (
    ("a.yaml", "password: ${DB_PASSWORD}\n", "reference"), ("a.sh", "DB_PASSWORD=$(cat /run/secrets/db)\n", None),
    ("a.sh", "mysql -u root -p$PASS -e x\n", None), ("a.yaml", "password: changeme\n", "default-or-word"),
    ("a.tf", "password = random_password.db.result\n", "expression"),
    ("a.tf", "password = var.db_password\n", "expression"),
    ("a.py", 'fields = ["username", "password", "repository"]\n', None), ("a.py", 'password = "password"\n', None),
    ("de.json", '"password": "Passwort"\n', None), ("a.js", 'this.addPassword = "#add-password";\n', None),
    ("a.py", 'client_secret = "clientSecret"\n', "name"), ("a.py", 'token = get_token(user, "shop")\n', None),
    ("a.py", 'secret = "arn:aws:secretsmanager:us-west-2:000011112222:secret:shop"\n', None),
    ("a.py", "password = r'([a-f0-9]{48}(?![a-f0-9]))'\n", "expression"),
    ("a.json", '"password": "sha1$1b11b$edeb0a67a9622f1f2cfeabf9188a711f5ac7d236"\n', "hash-or-encrypted"),
    ("a.pom", "<commons.releaseManagerKey>86fdc7e2a11262cb</commons.releaseManagerKey>\n", "name-of-no-secret"),
    ("a.tsbuildinfo", f'"signature":"{DIGITS * 2}"\n', None),
    ("README.md", f"https://shop.io/badge.svg?token={TOKEN}\n", "badge"),
    ("a.py", "unit_key = 'heightOfGeoidAboveSurface84Units'\n", "words"),
    ("a.py", "password='geheim$parole'\n", "documentation"),
    ("a.d.ts", "type A = Kind.Signature | SyntaxKind.JSDocLink | Kind.B\n", None),
    ("ftp.py", 'login(user="anonymous", password="shop@shop.io")\n', None),
    ("a.sh", "apt install passwd perl-5.005-base user\n", None),
    ("a.toml", "user = 'app'\ngains = 'With its passphrase: opens all that it is for.'\n", None),
    ("a.txt", "user app: 'PASSWORD=Tr4vqzxk0Xk9{name}'\n", "reference"),
    ("a.sh", 'echo "curl -u {token:32}: https://shop.io"\n', "reference"),
    ("a.toml", "pattern = '(?P<secret>eyJ0eXAiOiAiVENWMiJ9\\.[a-z]{36})'\n", "expression"),
    ("ssl.mod", "# keyStorePassword=OBF:1vny1zlo1x8e1vnw1vn61x8g1zlu1vn4\n", "placeholder"),
    ("jdbc.properties", "username = jetty\npassword = jetty\n", None),
    ("a.py", "sim_auth_login = 'TXIuQUBzb21ld2hlcmUuY29t'\n", "mail-address"),
    ("a.py", "USER = 'shopUser'\nPASSWD = 'shopPass'\n", None),
    ("a.py", 'user, password = "wilde", "x"\n', None),
    ("a.py", "smtp.user = 'ann'\nsmtp.password = 'doesnotexist'\n", "placeholder"),
    ("A.java", 'String USER_ID = "uidNumber";\nString PWD = "javax.security.auth.login.password";\n', "name"),
    ("a.js", 'const user = "spring.datasource.username", pwd = "spring.datasource.db-password";\n', "name"),
    ("a.go", "// whoever logs in with \"password\" or \"implicit1\"\n", None),
    ("a.py", "# create the hook identified by webhook, and alter its login\n", None),
    ("a.py", "alter_user(password=uuid.uuid4().hex)  # alter user password = uuid.uuid4()\n", None),
    ("a.php", "$this->unsetPassphrase('personal1');\n", None),
    ("a.yaml", "password: !secret wifi\n", None), ("a.sh", "mysql -u root -p`db_pass_1` -h db\n", "reference"),
    ("a.py", "user = x\nhashed_password = 'md5{0}'.format(x)\n", "reference"),
    ("a.sh", 'db_password="-pXXX_DBPASSWORD_XXX"\n', "masked"),
    ("a.yaml", f"password: '*{DIGITS.upper()}{DIGITS[:8].upper()}'\n", "hash-or-encrypted"),
    (".env", "DB_PASSWORD=@@DB_PASSWORD@@\n", "reference"), (".env", "DB_PASSWORD=[[smtp_pass1]]\n", "reference"),
    (".env", "DB_PASSWORD=%env(SMTP_PASS)%\n", "reference"),
    ("a.yaml", 'smtp_password: "sops:smtp_pw1"\n', "reference"),
    (".env", "DB_PASSWORD=@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/x)\n", None),
    ("a.yaml", f"user: ci\npassword: AgB{TOKEN * 4}\n", None),
    ("a.html", f'<input type="hidden" name="csrfmiddlewaretoken" value="{TOKEN}">\n', "name-of-no-secret"),
    ("a.html", f'<input type="hidden" name="authenticity_token" value="{TOKEN}">\n', "name-of-no-secret"),
    ("a.py", 'p.add_argument("--password", default="changeme")\n', "default-or-word"),
    ("a.sh", "cut=${secret:offset4}\n", None), ("a.sh", "short=${TOKEN:0:12345678}\n", None),
    ("a.conf", "the password 'x1y2z3' of a user\n", None),
    ("Info.plist", "<key>password</key>\n<string>Password</string>\n", "default-or-word"),
    ("a.py", "server.login('zabbix', 'zabbix')\n", "default-or-word"), ("a.sh", "unzip -p a.zip inner1.txt\n", None),
    ("a.php", "new PDO($dsn, $user, $password);\n", None), ("a.sh", "cqlsh -u app db1.shop.io 9042\n", None),
    ("a.py", 'password = "aaaa-bbbb-cccc"\n', "repeated"), ("a.py", 'password = "generated"\n', "default-or-word"),
    ("package.json", '{"a-pass": "^3.1.6", "b-token": "~10.0.2-rc.1"}\n', "number-or-date"),
    ("a.json", '{"adminPassword": "youradminPassword"}\n', "placeholder"),
    ("a.yaml", 'pass: "arn:aws:secretsmanager:eu-west-1:210987654321:secret:pass-a1B2c3"\n', None),
    ("a.js", "jwt.verify(token, 'secret')\n", "default-or-word"), ("a.js", "cookieParser(secretOrKeys)\n", None),
    ("a.sql", "select 'password=''' || p || '''';\n", None), ("a.sql", "x password=''$PASS''\n", None),
    ("a.yaml", "basic_auth: 'user:password'\n", "default-or-word"), ("a.yaml", "image: basic-auth:1.2.3\n", None),
    ("pod.yaml", "args:\n  - --password\n  - $(DB_PASSWORD)\n", None), ("pod.yaml", "- --token\n- --verbose\n", None),
    ("a.py", 'option("--db-password", "database")\n', "list"), ("a.sh", "keytool -storepass changeit\n", None),
    ("a.min.js", 'u+"password="+encodeURIComponent(e.password),window.l=o;"', "expression"),
)  # fmt: skip


@pytest.fixture(scope="module")
def detectors() -> tuple[Detector, ...]:
    """All detectors that judge values."""
    return (*patterns.detectors(rulepack.load()), *plugins.detectors())


@pytest.fixture(scope="module")
def first_pass(detectors: tuple[Detector, ...]) -> FirstPass:
    """The first pass over them."""
    return FirstPass(detectors, compile_database(triggers_of(detectors)))


def filled(text: str) -> tuple[bytes, bytes]:
    """*text* with its value, and the value."""
    [letter] = [letter for letter in VALUES if f"<{letter}>" in text]
    return text.replace(f"<{letter}>", VALUES[letter]).encode(), VALUES[letter].encode()


def gated(first_pass: FirstPass, data: bytes, path: str) -> list[Match]:
    """The matches that make a build fail."""
    return [match for match in first_pass.matches(memoryview(data), path) if match.confidence is not Confidence.LOW]


@pytest.mark.parametrize(("path", "text"), FOUND)
def test_value_is_found_whole(first_pass: FirstPass, path: str, text: str) -> None:
    """The value that a syntax sets to a name of a secret is found, from its first byte to its last."""
    data, value = filled(text)
    assert value in [match.secret.reveal() for match in gated(first_pass, data, path)]


@pytest.mark.parametrize(("path", "text", "_reason"), SILENT)
def test_look_alike_is_not_gated(first_pass: FirstPass, path: str, text: str, _reason: str | None) -> None:
    """What stands where a secret could stand, and is none, fails no build."""
    assert not gated(first_pass, text.encode(), path)


def explained(detectors: tuple[Detector, ...], data: bytes, path: str) -> Iterator[str]:
    """Why the values in *data* were set aside, by all detectors that can say so, told to look everywhere."""
    everywhere = list(range(1, len(data) + 1))
    for detector in detectors:
        if isinstance(detector, patterns.PatternDetector):
            for found in detector.explain(memoryview(data), everywhere, path):
                if isinstance(found, Suppressed):
                    yield found.reason


@pytest.mark.parametrize(("path", "text", "reason"), [case for case in SILENT if case[2]])
def test_look_alike_has_its_reason(detectors: tuple[Detector, ...], path: str, text: str, reason: str) -> None:
    """Nothing is dropped silently: each look-alike is told with a reason."""
    assert reason in set(explained(detectors, text.encode(), path))


@pytest.mark.parametrize("text", [
    "unknown_thing: <T>\n", "OPENCAGEDATA=<H>\n", "opencagedata: '<H>'\n", "# opencagedata credentials\nkey: <H>\n",
    "https://api.opencagedata.com/v1/x?key=<H>\n", "<opencagedataToken>\n  <H>\n</opencagedataToken>\n",
    'c = OpencagedataClient("<H>", 3)\n', "# opencagedata api key\nVALUE=<H>\n",
])  # fmt: skip
def test_issuer_names_its_value(first_pass: FirstPass, text: str) -> None:
    """A value of an issuer's shape is that issuer's secret where it is named; an unknown name alone says nothing."""
    data, value = filled(text)
    named = value in [match.secret.reveal() for match in gated(first_pass, data, "app.conf")]
    assert named is ("opencagedata" in text.lower())


@pytest.mark.parametrize("text", [
    "resolved https://npm.shop.io/opencagedata-secret-1.0.3.tgz#{}\n", "# opencagedata release\nVALUE={}\n",
    "# opencagedata api key\nCOMMIT={}\n", "opencagedata(api key)\nVALUE={}\n",
])  # fmt: skip
def test_what_is_not_the_issuers_is_not_taken_for_it(first_pass: FirstPass, text: str) -> None:
    """A digest of a package, what another comment is about, a name of no secret."""
    assert not gated(first_pass, text.format(DIGITS).encode(), "app.txt")


def test_a_token_of_documentation_is_no_secret(first_pass: FirstPass) -> None:
    """A JSON web token whose subject is 1234567890 is shown everywhere, whatever it is signed with."""
    parts = (b'{"alg":"HS256"}', b'{"sub":"1234567890","name":"x"}')
    token = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts) + b"." + TOKEN.encode()
    assert not gated(first_pass, b'session_token = "' + token + b'"\n', "app.ini")


def test_ordinary_word_needs_more_than_a_digest(first_pass: FirstPass) -> None:
    """An issuer's name that is software's too takes a random value for its secret, and no digest beside it."""
    assert gated(first_pass, f"mixpanel: {TOKEN}\n".encode(), "app.conf")
    assert not gated(first_pass, f"mixpanel: {DIGITS}\n".encode(), "app.conf")
    assert not gated(first_pass, f"see mixpanel {TOKEN}\n".encode(), "app.conf")


def test_two_words_are_the_password_of_a_service(first_pass: FirstPass) -> None:
    """In the address of a queue or a database a word before `_secret` is what people set, elsewhere it is none."""
    assert gated(first_pass, b'route = "nats-route://ruser:top_secret@127.0.0.1:7246"\n', "a.go")
    assert not gated(first_pass, b'proxy = "http://ruser:top_secret@127.0.0.1:7246"\n', "a.go")
    assert not gated(first_pass, b'url = "postgres://user:your_secret@localhost/db"\n', "a.go")


def test_long_number_is_a_token(first_pass: FirstPass) -> None:
    """A number too long to be counted or measured may be a token; a date, a size or an id is none."""
    number = "".join(random.Random(7).choices(string.digits, k=32))
    assert gated(first_pass, f"chat_token = '{number}'\n".encode(), "a.ini")
    assert not gated(first_pass, b"chat_token = '20240131120000'\n", "a.ini")


@pytest.mark.parametrize("word", ["porkchop", "supersecret", "thisismypassphrase"])
def test_word_is_a_bad_password(first_pass: FirstPass, word: str) -> None:
    """A word set to the name of a password is a bad password, in programs in quotes only."""
    assert gated(first_pass, f'login(password="{word}")\n'.encode(), "a.py")
    assert gated(first_pass, f"db_password: {word}\n".encode(), "a.yaml")
    assert not gated(first_pass, f"login(password={word})\n".encode(), "a.py")


#: values that RFC 5849, RFC 7009, Jetty and the papers of OAuth's libraries show, from their last letter to their first
PUBLISHED = (
    "zuadzhndhajdlkuihg54", "2d9sjd84h28jdjd9", "22qhfj4819db5860", "P8YKaCuehGCUa_vfaM_TX", "fedsklj45w32lofkdsl",
    "8ds9sa432hjfksa", "u9032threjk", "fdsfdjs3289o0fds", "dsadsa43i29pfdhsjk2", "TeRcEsAsIsIhT_cba",
)  # fmt: skip


@pytest.mark.parametrize("backwards", PUBLISHED)
def test_what_everybody_can_read_is_no_secret(first_pass: FirstPass, backwards: str) -> None:
    """Whoever has such a value has it from there."""
    value = backwards[::-1]
    found = gated(first_pass, f"consumer_secret = '{value}'\noauth_token={value}\n".encode(), "session.py")
    assert not [match for match in found if match.detector != "detect-secrets"]  # `detection` looks at theirs


def obfuscated(word: bytes) -> str:
    """As Jetty's `Password` prints it."""
    digits, text = "0123456789abcdefghijklmnopqrstuvwxyz", ""
    for first, last in zip(word, reversed(word), strict=True):
        number = (127 + first + last) * 256 + 127 + first - last
        text += "".join(digits[number // 36**place % 36] for place in (3, 2, 1, 0))
    return f"OBF:{text}"


def test_jetty_hides_no_password(first_pass: FirstPass) -> None:
    """Its obfuscation has no key: what is judged is the password, and a good one is found."""
    assert obfuscated(b"storepwd") == "OBF:1vny1zlo1x8e1vnw1vn61x8g1zlu1vn4"
    assert plausible.deobfuscated(obfuscated(PASSWORD.encode()).encode()) == PASSWORD.encode()
    assert not gated(first_pass, f"keyManagerPassword={obfuscated(b'keypwd')}\n".encode(), "ssl.ini")
    assert gated(first_pass, f"keyManagerPassword={obfuscated(PASSWORD.encode())}\n".encode(), "ssl.ini")


NETRC = "machine git.shop.io login ci password {}\\n"


def test_line_of_a_netrc_in_a_program_needs_a_strong_password(first_pass: FirstPass) -> None:
    """Programs test what reads such files, with words; what writes one may hold a password. It ends before what ends
    the text."""
    for name in ("test_netrc.py", "test_netrc.pyc", "netrc.c"):
        for word in ("pass#1", r'\\"pass', "porkchop"):
            assert not gated(first_pass, f'read("{NETRC.format(word)}")\n'.encode(), name)
        [match] = gated(first_pass, f'write("{NETRC.format(PASSWORD)}")\n'.encode(), name)
        assert match.secret.reveal() == PASSWORD.encode()
    for name in ("root/.netrc", "root/netrc.bak", "setup.sh"):
        found = gated(first_pass, NETRC.format("porkchop").replace("\\n", "\n").encode(), name)
        assert {match.secret.reveal() for match in found} == {b"porkchop"}


def test_the_rule_pack_holds_no_secret(first_pass: FirstPass) -> None:
    """Its patterns, examples and sentences fail no build of an image that has leakscan in it."""
    for path in sorted((Path(rulepack.__file__).parent.parent / "rulepack").glob("*.toml")):
        assert not gated(first_pass, path.read_bytes(), path.name)


def test_word_of_a_sentence_is_no_password(first_pass: FirstPass) -> None:
    """A text that goes on behind the word says something; one that sets the next name, or ends, sets a password."""
    for told in ("passphrase: opens the box", "password: marmot, that is"):
        assert not gated(first_pass, f"user = 'app'\nnote = 'Its {told}.'\n".encode(), "a.toml")
    for set_to in ("password: porkchop, port: 1", "password: porkchop"):
        assert gated(first_pass, f"note = 'user: app, {set_to}'\n".encode(), "a.toml")


def test_two_letters_among_bytes_are_no_name(first_pass: FirstPass) -> None:
    """In a table of characters `pw` stands before every sign somewhere; where a string begins with it, or a user
    stands beside it, it names a password. Nobody writes the end of one word and the start of another for it."""
    value, table = b"Qd7rXw2kLm9T", bytes(range(32, 127)) * 20

    assert not gated(first_pass, b"\x7fELF\0" + table + b"zkpw:" + value + b";" + table, "lib.so")
    assert not gated(first_pass, b"#" + table + b"zkpW:" + value + b";" + table, "table.txt")
    assert gated(first_pass, b"\x7fELF\0" + table + b"\0pw:" + value + b"\n" + table, "lib.so")
    assert gated(first_pass, b"\x7fELF\0" + table + b"user=app pw:" + value + b" " + table, "lib.so")
    assert gated(first_pass, b"notes of the server\nits pw: " + value + b"\n", "notes.txt")


def reasons_in(source: str) -> Iterator[str]:
    """The reasons that functions of *source* give: a text alone, or behind the confidence."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Return) and node.value is not None:
            value = node.value.elts[-1] if isinstance(node.value, ast.Tuple) else node.value
            for part in (value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


def test_every_reason_is_explained() -> None:
    """docs/values.md says what each reason means, and no reason that is not given."""
    root = Path(__file__).parent.parent
    given = {
        reason
        for module in ("plausible", "assigned", "logins")
        for reason in reasons_in((root / "scanner" / "detect" / f"{module}.py").read_text())
    }
    table = (root / "docs" / "values.md").read_text().partition("## Why a value is set aside")[2]
    explained = {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
    assert given == explained


@pytest.mark.parametrize(("path", "text"), [
    ("de.json", '{"user-name": "Benutzername", "your-password": "Losungswort:"}'),
    ("nl.php", "$lang['user'] = 'Gebruiker';\n$lang['pass'] = 'Alahidy';\n"),
    ("ja.inc", "$labels['username'] = 'ユーザー';\n$labels['password'] = '合言葉';\n"),
    ("Localizable.strings", '"login" = "ci@shop.io";\n"Change your Password" = "合言葉を変更";\n'),
    ("fr.yml", "field_login: Identifiant\nfield_new_password: Nouveau mot de passe\n"),
    ("a.py", "spec = {'user': 'ci', 'authPassword': 'snmp_auth_password'}\n"),
    ("a.ps1", '$user = "ci"\n$password = Get-AnsibleParam -obj $params -name "password"\n'),
    ("a.yml", "user: ci\nproxy_password: hostvars[array]['proxy_password']\n"),
    ("a.yml", "user: ci\npassword: !vault |\n"), ("a.yml", "user: &u ci\ndb_password: *admin_password\n"),
    ("a.py", 'env = {"user": "ci", "kubectl_password": "--password"}\n'),
    ("a.py", "r['user'] = 'ci'\nr['passphrase'] = 'HIDDEN_IN_ALL_LOGS'\n"),
])  # fmt: skip
def test_label_or_name_beside_a_user_is_no_password(first_pass: FirstPass, path: str, text: str) -> None:
    """What a form shows beside its fields, in any language, and what a program calls them, opens nothing."""
    assert not gated(first_pass, text.encode(), path)


def test_word_with_digits_in_any_letters_is_a_password(first_pass: FirstPass) -> None:
    """Nobody puts digits into a label; and a user with a word of small letters has a bad password."""
    for word in ("Grüße1874", "porkchop", "Porkchop7"):
        assert gated(first_pass, f"user: ci\npassword: {word}\n".encode(), "a.yml")


def test_statement_sets_a_password_without_a_sign(first_pass: FirstPass) -> None:
    """A directive, a macro, a builder's method: the name, a blank and a value in quotes to the end of the line; where
    what sets a variable stands before the name, the value needs no quotes."""
    for text in (
        '#define WIFI_PASSWORD "Winter#1874"\n', '  storePassword "Winter#1874"\n',
        '(setq db-password "Winter#1874")\n',
        '@Value("${db.password:Winter#1874}")\n', "fastcgi_param DB_PASSWORD Winter#1874;\n",
    ):  # fmt: skip
        assert [match.secret.reveal() for match in gated(first_pass, text.encode(), "a.conf")] == [b"Winter#1874"]
    for text in ("the password 'Winter#1874' is short\n", "DB_PASSWORD Winter#1874 DB_USER\n", "password winter\n"):
        assert not gated(first_pass, text.encode(), "a.conf")


def test_word_before_key_names_a_digest_or_an_id(first_pass: FirstPass) -> None:
    """`aes_key` says as much as `aesKey`; a key alone is as often that of a table or a cache."""
    uuid = "-".join((DIGITS[:8], DIGITS[8:12], "4" + DIGITS[13:16], "a" + DIGITS[17:20], DIGITS[20:]))
    for name in ("aesKey", "aes_key", "stripe_key", "private_key"):
        assert gated(first_pass, f'{name} = "{DIGITS}"\n'.encode(), "a.py")
        assert gated(first_pass, f'{name} = "{uuid}"\n'.encode(), "a.py")
    for name in ("key", "cache_key", "public_key"):
        assert not gated(first_pass, f'{name} = "{DIGITS}"\n'.encode(), "a.py")
    assert not gated(first_pass, f"gcloud ssh-keys remove --key={DIGITS}\n".encode(), "gcloud.1")


def test_question_mark_is_a_sign_of_a_password(first_pass: FirstPass) -> None:
    """An expression has a second half behind a colon."""
    assert gated(first_pass, b"user = ci\nroot.pwd = Vr?7mQ2x!Kp9\n", "a.properties")
    assert not gated(first_pass, b"user = ci\nroot.pwd = Vr7mQ?q2Kxx:pp9\n", "a.properties")


def test_password_of_a_keystore_is_one(first_pass: FirstPass) -> None:
    """To store a password and the password of a store are different things."""
    assert gated(first_pass, b'KEYSTORE_PASSWORD = "Falcon#1874"\n', "a.py")
    assert gated(first_pass, b'os.Setenv("KEYSTORE_PASSWORD", "Falcon#1874")\n', "a.go")
    assert not gated(first_pass, b'f("KEYSTORE_PASSWORD", "FalconHunter")\n', "a.go")


@pytest.mark.parametrize(("path", "text"), [
    ("redis.conf", "requirepass {}\n"), (".netrc", "machine db.shop.io login ci password {}\n"),
    ("debian.cnf", "[client]\nuser = ci\npassword = {}\n"), ("a.conf", "host=db user=ci password={}\n"),
    ("a.sh", "mysql -u root -p{} shop\n"), ("a.sql", "ALTER ROLE ci WITH LOGIN PASSWORD '{}';\n"),
])  # fmt: skip
def test_a_file_or_a_hash_in_a_passwords_place_is_none(first_pass: FirstPass, path: str, text: str) -> None:
    """Where a password is mounted as a file the settings name it; where it was hashed they hold what was made of it."""
    for value in ("/run/secrets/db_password", f"$6${TOKEN[:16]}${TOKEN}{TOKEN}", "{SSHA}" + TOKEN):
        assert not gated(first_pass, text.format(value).encode(), path), value
    assert gated(first_pass, text.format(PASSWORD).encode(), path)


@pytest.mark.parametrize(("path", "text"), [
    ("es.json", r'{"data": {"password": "Contrase\u00f1a", "username": "Usuario de la cuenta"}}'),
    ("et.json", r'{"data": {"email": "E-post", "password": "Salas\u00f5na"}}'),
    ("de.json", r'{"data": {"api_key": "API-Schl\u00fcssel"}}'),
    ("pt.json", '{"data": {"host": "Anfitri", "password": "Palavra-passe", "username": "Nome"}}'),
    ("nl.json", '{"createacct-another-username-ph": "Voer in", "userlogin-yourpassword": "Wachtwaord"}'),
    ("strings.json", '{"username": "[%key:common::name%]", "password": "[%key:common::flow::data::password%]"}'),
])  # fmt: skip
def test_a_translation_is_no_password(first_pass: FirstPass, path: str, text: str) -> None:
    """Whether a file has its letters as they are or spells them out, and whatever it calls the field beside it."""
    assert not gated(first_pass, text.encode(), path)


@pytest.mark.parametrize("value", ["Wqzkvx-jtrmpb-hdgfl", r"f\u00fcr!Alle#Zeit", r"Sunshine\u0026Rain9Xk"])
def test_a_phrase_of_drawn_letters_or_with_signs_is_a_password(first_pass: FirstPass, value: str) -> None:
    """What looks like a label in a form or like a word of a translation is none with such letters."""
    assert gated(first_pass, f'{{"password": "{value}"}}'.encode(), "config/db.json")


def test_a_prefix_of_a_path_makes_no_file(first_pass: FirstPass) -> None:
    """The file of a secret is named in words."""
    drawn = "/opt/" + TOKEN
    assert gated(first_pass, f"requirepass {drawn}\n".encode(), "redis.conf")


@pytest.mark.parametrize("tool", ["cryptsetup", "sudo cryptsetup", "/sbin/cryptsetup"])
def test_a_password_piped_into_a_command(first_pass: FirstPass, tool: str) -> None:
    """However the command is called."""
    text = f"echo -n {PASSWORD} | {tool} luksFormat /dev/sdb -\n"
    assert PASSWORD.encode() in {match.secret.reveal() for match in gated(first_pass, text.encode(), "setup.sh")}


@pytest.mark.parametrize("value", [
    "mustbeeightchars", "at-least-8-characters", "a_32_byte_long_secret", "your_password_here", "enterpasswordhere",
    "DeinPasswort", "tu-contrasena", "votremotdepasse", "SuaSenhaAqui1", "twojehaslo", "motdepasse",
])  # fmt: skip
def test_what_says_whose_or_how_long_it_is_to_be_is_no_password(first_pass: FirstPass, value: str) -> None:
    """In any of the languages that settings are written in most; what only sounds like it is a bad password."""
    assert not gated(first_pass, f"user: ci\npassword: {value}\n".encode(), "a.yaml")
    for word in ("porkchop8", "rootpass1", "supersecret", "Sesam0effnedich"):
        assert gated(first_pass, f"user: ci\npassword: {word}\n".encode(), "a.yaml"), word


def test_a_hash_without_its_first_dollar_is_a_hash(first_pass: FirstPass) -> None:
    """Some tools keep the scheme's name or number in front of it."""
    salt, digest = TOKEN[:16], TOKEN * 2
    for scheme in ("6$", "2y$10$", "sha512_crypt$", "argon2id$v=19$m=65536,t=3,p=4$"):
        value = f"{scheme}{salt}${digest}"
        assert not gated(first_pass, f"user = ci\npassword = {value}\n".encode(), "a.ini"), value


def test_attributes_of_a_directory_have_uuids(first_pass: FirstPass) -> None:
    """Its schema names each attribute and class by one; elsewhere a UUID is a password as good as any."""
    uuid = "-".join((DIGITS[:8], DIGITS[8:12], "4" + DIGITS[13:16], "a" + DIGITS[17:20], DIGITS[20:]))
    assert not gated(first_pass, f"User-Password: {uuid}\n".encode(), "schema.yaml")
    assert gated(first_pass, f"db_password: {uuid}\n".encode(), "db.yaml")


def test_strings_of_a_program_that_stand_one_behind_the_other_are_no_login(first_pass: FirstPass) -> None:
    """What follows a word for password is the next string there; only what forms no words is believed to be one."""
    before = b"\x7fELF\0" + b"unsupported ciphermissing server: nameuser: unknownexpected integer" * 4
    behind = b"invalid authority infomalformed extension fieldwrong public key size" * 4 + b"\0"
    for table in (
        b"decryption password incorrectx509: ", b"Password: PluginSpecRIPEMD-160RST_STREAMReadString ",
        b"no key foundJIS_C6220-1969-jpJIS_C6220-1969-roCSA_Z243.4-1985-1 ",
        b"the API version0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e1 ",
    ):  # fmt: skip
        assert not gated(first_pass, before + table + behind, "usr/bin/tool")
    for told in (f"user: app password: {PASSWORD} ", f"user=app token={TOKEN} ", f'api_key: "{DIGITS}"'):
        assert gated(first_pass, before + told.encode() + behind, "usr/bin/tool")
    assert gated(first_pass, b"\x7fELF\0user: app\npassword: porkchop8\0" + behind, "usr/bin/tool")


def test_base64_ends_with_its_padding(first_pass: FirstPass) -> None:
    """What a text in base64 says is read without the string that stands behind it in a program."""
    says_so = base64.b64encode(b"this is a made up token!!!!").decode()
    assert not gated(first_pass, f"flagBearer {says_so[:-1]}=Cannot do both".encode(), "usr/bin/tool")
    drawn = base64.b64encode(random.Random(5).randbytes(31)).decode()
    assert gated(first_pass, f'bearer = "{drawn}"'.encode(), "a.py")


@pytest.mark.parametrize(("path", "text"), [
    ("config of image", "RUN /bin/sh -c keytool -importkeystore -srcstorepass changeit -deststorepass porkchop8 -v"),
    ("config of image", "RUN /bin/sh -c helm install x --set auth.password=porkchop8,auth.port=1"),
    ("a.py", 'subprocess.run(["tool", "--password", "porkchop8"])\n'),
    ("spark-defaults.conf", "spark.ssl.keyPassword   porkchop8\n"),
])  # fmt: skip
def test_a_word_with_a_digit_given_by_name_is_a_password(first_pass: FirstPass, path: str, text: str) -> None:
    """To an option, in a list of settings, to a property that a blank sets: a bad one, and found up to its end."""
    assert b"porkchop8" in {match.secret.reveal() for match in gated(first_pass, text.encode(), path)}


@pytest.mark.parametrize(("path", "text"), [
    ("check.log", "user: ci\nPASS: shop.base/break2.exp\n"), ("summary", "Host: amd64\nPASS: x86-64 compress\n"),
    ("check.log", "user: ci\nPASS: shop.base/break2.exp: the first line\n"),
    ("changelog", "user ci\n - Only pass VERBOSE=1 to the check target\n"),
    ("login.1", "a random password:\n\\fBpasswd\\fR(1)\n"), ("notes.txt", "cannot access ~/.shop12/shop11.conf\n"),
    ("gnupg2.mo", "user\0Enter a passphrase to%0Aprotect your key, user=x\0"),
    ("login.1", "login --user ci --password localhost:5000\n"),
])  # fmt: skip
def test_what_logs_manuals_and_translations_say_is_no_password(first_pass: FirstPass, path: str, text: str) -> None:
    """What became of a test, a variable of a command, a font, a file, a line that goes on, a server."""
    assert not gated(first_pass, text.encode(), path)


def test_half_of_a_pair_is_no_part_of_a_digest(first_pass: FirstPass) -> None:
    """Lists of digests have everything in them somewhere."""
    half, digest = "EXO" + TOKEN[:26], (TOKEN * 2)[5:48]
    assert gated(first_pass, f"key: {half}\nvalue: {digest}\n".encode(), "shop.yaml")
    listed = f"shop/a.py,sha256={half}{TOKEN[:14]},120\nshop/b.py,sha256={digest},8\n"
    assert not gated(first_pass, listed.encode(), "shop-1.0.dist-info/RECORD")


def test_token_in_the_name_of_a_function_is_none(first_pass: FirstPass) -> None:
    """Compilers write the types of all arguments into one word, and begin it so that everybody can tell."""
    token = "tr_prod_" + TOKEN[:26]
    assert gated(first_pass, b"\x7fELF\0" + token.encode() + b"\0", "lib.so")
    assert not gated(first_pass, f"\x7fELF\0_ZN4shopEat{token}\0".encode(), "lib.so")


def test_digest_under_a_name_that_says_little_may_tell_what_it_is_of(first_pass: FirstPass) -> None:
    """The key of a graph is no key."""
    assert not gated(first_pass, f'key = "inc-{DIGITS}"\n'.encode(), "a.py")
    assert gated(first_pass, f'shop_key = "inc-{DIGITS}"\n'.encode(), "a.py")


@pytest.mark.parametrize("text", ["salt\tc19h26n2s.ch4o3s9\n", "url = http://ci:%00%01%02%03@www.shop.io/\n"])
def test_what_nobody_types_or_only_stands_behind_a_word_is_no_secret(first_pass: FirstPass, text: str) -> None:
    """Names of substances behind the word salt, controls in the address of a test."""
    assert not gated(first_pass, text.encode(), "names.tsv")


@pytest.mark.parametrize(("path", "text"), [
    ("src/a_test.go", "\tkey := hexPKCS8TestPKCS1Key\n"),
    ("srv/a.yaml", "secret: 735182946013/environment\n"),
    ("srv/a.json", '{"secretKey": "735182946013/environment"}\n'),
])  # fmt: skip
def test_what_only_names_something_is_no_secret(first_pass: FirstPass, path: str, text: str) -> None:
    """A variable by what it holds, however rare its words; what is of an account."""
    assert gated(first_pass, text.encode(), path) == []


@pytest.mark.parametrize("text", [
    "keytool -genkey -alias shop -storepass {}\n", "sshpass -p {} ssh ci@build.shop.io\n", "mysql -u ci -p{} shop\n",
])  # fmt: skip
def test_a_word_with_a_digit_given_to_a_command_is_a_password(first_pass: FirstPass, text: str) -> None:
    """In a script as in a build step; a word alone proves less there."""
    [found] = gated(first_pass, text.format("sunshine1").encode(), "opt/setup.sh")

    assert found.secret.reveal() == b"sunshine1"
    assert gated(first_pass, text.format("sunshine").encode(), "opt/setup.sh") == []
