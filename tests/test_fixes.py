"""What leakscan says to write instead is built by real engines, and the image of it scans clean."""

from __future__ import annotations

import base64
import contextlib
import json
import mmap
import os
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from testimages.bases import ensure_base
from testimages.values import value_of
from tests.builders import write
from tests.engine import Docker, needed
from tests.modern import own_modern_engine
from tests.package_index import own_package_index
from tests.starting import or_skip

Leakscan = Callable[..., "subprocess.CompletedProcess[str]"]
SECRET = value_of("fixes", "secret", "password")
TOKEN = value_of("fixes", "token", "github-token")
MOST_FIXES = 4


@dataclass(frozen=True, slots=True)
class Case:
    """A build that leaks.

    Attributes:
        recipe: the Dockerfile after FROM; {S} is the secret, {T} a token, {R} the token's line in another alphabet, {H}
            the host of a server that asks for either.
        files: of the build context, the same placeholders in them.
        arguments: of the build that leaks.
        fixed: what the Dockerfile holds after the fix.
        base: what it builds on; *leaked* is what the image must not hold after the fix, of {S} and {T} both.
    """

    recipe: str
    fixed: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    base: str = "busybox"
    leaked: tuple[str, ...] = (SECRET, TOKEN)


NETRC = "machine reg.internal.example login ci password {S}\n"

OLD_AND_NEW = {
    "a value before the command": Case(
        "RUN PIP_INDEX_URL=https://ci:{S}@pypi.internal.example/simple \\\n"
        "    sh -c 'test -n \"$PIP_INDEX_URL\" && mkdir -p /opt/app && echo done > /opt/app/state'\n",
        ("--mount=type=secret,id=pip_index_url",),
    ),
    "a value after an option": Case(
        "RUN cd /tmp && echo --token {T} | wc -c > /size\n", ("--mount=type=secret,id=token", '"$TOKEN"')
    ),
    "a value in single quotes": Case(
        "RUN echo 'Authorization: Bearer {T}' | wc -c > /size\n", ("--mount=type=secret,id=auth_token",)
    ),
    "two values in one step": Case(
        "RUN A_TOKEN={T} B_URL=https://u:{S}@db.internal.example/x sh -c 'test -n \"$A_TOKEN$B_URL\"'\n",
        ("id=a_token", "id=b_url"),
    ),
    "a build argument": Case(
        "ARG GITHUB_TOKEN\nRUN test -n \"$GITHUB_TOKEN\" && echo built > /state\n",
        ("id=github_token",),
        arguments={"GITHUB_TOKEN": "{T}"},
    ),
    "a build argument of two steps": Case(
        "ARG GITHUB_TOKEN\nRUN test -n \"$GITHUB_TOKEN\" && echo built > /state\n"
        "RUN test -n \"${GITHUB_TOKEN}\" && echo again >> /state\n",
        ("id=github_token", "${GITHUB_TOKEN}"),
        arguments={"GITHUB_TOKEN": "{T}"},
    ),
    "a value within a substitution": Case(
        "RUN size=\"$(echo 'Authorization: Bearer {T}' | wc -c)\" && test $size = 63 && echo $size > /size\n",
        ("--mount=type=secret,id=auth_token",),
    ),
    "a copied file that a later step removes": Case(
        "COPY netrc /root/.netrc\nRUN wc -c < /root/.netrc > /size\nRUN rm /root/.netrc\n",
        ("--mount=type=secret,id=netrc,target=/root/.netrc",),
        {"netrc": NETRC},
    ),
    "a copied file that its step removes": Case(
        "COPY netrc /root/.netrc\nRUN chmod 600 /root/.netrc && wc -c < /root/.netrc > /size && rm /root/.netrc\n",
        ("--mount=type=secret,id=netrc,target=/root/.netrc",),
        {"netrc": NETRC},
    ),
    "a copied file that two steps need": Case(
        "COPY netrc /root/.netrc\nRUN wc -c < /root/.netrc > /size\n"
        "RUN wc -c < /root/.netrc > /more\nRUN rm /root/.netrc\n",
        ("--mount=type=secret,id=netrc,target=/root/.netrc",),
        {"netrc": NETRC},
    ),
    "a file that is copied with another": Case(
        "COPY .netrc other /root/\nRUN wc -c < /root/.netrc > /size && rm /root/.netrc\nRUN cat /root/other > /state\n",
        ("COPY other /root/", "--mount=type=secret,id=netrc,target=/root/.netrc"),
        {".netrc": NETRC, "other": "x\n"},
    ),
    "a file in a copied folder": Case(
        "COPY app /app\nRUN sh /app/start.sh /app/.env > /size\nRUN rm /app/.env\n",
        ("--mount=type=secret,id=env,target=/app/.env",),
        {"app/.env": "GITHUB_TOKEN={T}\n", "app/start.sh": "wc -c < $1\n"},
    ),
    "a tool's cache": Case(
        "COPY tool /bin/tool\nRUN tool\n",
        ("--mount=type=cache,target=/root/.cache/pip",),
        {"tool": "d=/root/.cache/pip; mkdir -p $d; tr a-zA-Z n-za-mN-ZA-M < /bin/tool | tail -n 1 > $d/log.txt\n"
                 "exit\n{R}\n"},
    ),
    "a tool's log": Case(
        "COPY tool /bin/tool\nRUN tool\n",
        ("rm -f /srv/make.log",),
        {"tool": "mkdir -p /srv; tr a-zA-Z n-za-mN-ZA-M < /bin/tool | tail -n 1 > /srv/make.log\nexit\n{R}\n"},
    ),
    "a log in a scratch folder": Case(
        "COPY tool /bin/tool\nRUN mkdir -p /var/log\nRUN tool\n",
        ("--mount=type=tmpfs,target=/var/log",),
        {"tool": "tr a-zA-Z n-za-mN-ZA-M < /bin/tool | tail -n 1 > /var/log/tool.log\nexit\n{R}\n"},
    ),
    "a file in a copied folder that no step needs": Case(
        "COPY app /app\nRUN sh /app/start.sh > /state\n",
        ("COPY app /app\n",),
        {"app/.env": "GITHUB_TOKEN={T}\n", "app/start.sh": "echo done\n"},
    ),
    "a variable that two steps use": Case(
        "ENV GITHUB_TOKEN={T}\nRUN test -n \"$GITHUB_TOKEN\" && echo one > /one\n"
        "RUN test -n \"${GITHUB_TOKEN}\" && echo built > /state\n",
        ("id=github_token",),
    ),
    "a build argument that two steps use": Case(
        "ARG GITHUB_TOKEN\nRUN test -n \"$GITHUB_TOKEN\" && echo one > /one\n"
        "RUN test -n \"${GITHUB_TOKEN}\" && echo built > /state\n",
        ("id=github_token",),
        arguments={"GITHUB_TOKEN": "{T}"},
    ),
    "a variable that a step uses": Case(
        "ENV GITHUB_TOKEN={T}\nRUN test -n \"$GITHUB_TOKEN\" && echo built > /state\n", ("id=github_token",)
    ),
}  # fmt: skip
NEW_ONLY = {
    "a value in a heredoc": Case(
        "RUN <<EOT\nset -e\nexport TOKEN={T}\ntest -n \"$TOKEN\"\necho done > /state\nEOT\n",
        ("--mount=type=secret,id=token,env=TOKEN,required=true <<EOT",),
    ),
    "an ARG with a default": Case(
        "ARG GITHUB_TOKEN={T}\nRUN test -n \"$GITHUB_TOKEN\" && echo built > /state\n", ("env=GITHUB_TOKEN",)
    ),
    "a download": Case("ADD http://ci:{S}@{H}/file.txt /srv/file.txt\n", ("ADD http://{H}/file.txt /srv/file.txt",)),
    "a repository by ADD": Case(
        "ADD http://x-access-token:{T}@{H}/o/r.git /src\n", ("ADD http://{H}/o/r.git /src",)
    ),
    "a repository": Case(
        "COPY git /bin/git\nRUN git clone http://x-access-token:{T}@{H}/o/r.git /src\n",
        ("ADD http://{H}/o/r.git /src",),
        {"git": "mkdir -p $3/.git && printf '[remote \"origin\"]\\n\\turl = %s\\n' $2 > $3/.git/config\n"},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def modern() -> Iterator[Docker]:
    """A newer engine. Skips with the reason where none can be started."""
    with or_skip(own_modern_engine()) as started:
        yield started.docker


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on loopback with a file and a repository, for whoever has the password or the token."""
    home = tmp_path_factory.mktemp("server")
    (home / "file.txt").write_text("a file\n")
    source, bare = home / "source", home / "o" / "r.git"
    source.mkdir()
    (source / "code").write_text("code\n")
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.com")
    for command in (
        ("init", "-q", "-b", "main", source),
        ("-C", source, "add", "code"),
        ("-C", source, *identity, "commit", "-q", "-m", "one"),
        ("clone", "-q", "--bare", source, bare),
        ("-C", bare, "update-server-info"),
    ):
        subprocess.run(["git", *command], check=True)
    with serving(home) as address:
        yield address


@contextlib.contextmanager
def serving(home: Path) -> Iterator[str]:
    """Serve the files below *home*; host:port."""
    allowed = {
        f"Basic {base64.b64encode(pair.encode()).decode()}".lower()
        for pair in (f"ci:{SECRET}", f"x-access-token:{TOKEN}")
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = home / self.path.partition("?")[0].lstrip("/")
            if self.headers.get("Authorization", "").lower() not in allowed:
                self.reply(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
            elif path.is_file():
                self.reply(200, path.read_bytes(), {})
            else:
                self.reply(404, b"", {})

        do_HEAD = do_GET  # noqa: N815  (the name is http.server's)

        def reply(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep stderr quiet."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{running.server_address[1]}"
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


def rot13(text: str) -> str:
    """A text whose letters stand 13 places on: no scanner reads that, a test's tool does."""
    lower, upper = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return text.translate(str.maketrans(lower + upper, lower[13:] + lower[:13] + upper[13:] + upper[:13]))


class Workshop:
    """A build context on disk, the engine that builds it and the program that scans what comes out."""

    def __init__(self, folder: Path, docker: Docker, leakscan: Leakscan, host: str) -> None:
        self.context = folder / "context"
        self.folder, self.docker, self.leakscan, self.host = folder, docker, leakscan, host
        self.count = 0

    def fill(self, text: str) -> str:
        """*text* with its placeholders replaced."""
        values = {"S": SECRET, "T": TOKEN, "H": self.host, "R": rot13(f"TOKEN={TOKEN}")}
        return re.sub(r"\{([STHR])\}", lambda found: values[found[1]], text)

    def write(self, case: Case) -> None:
        """The context of a case."""
        for name, text in {"Dockerfile": f"FROM leakscan-base:{case.base}\n{case.recipe}", **case.files}.items():
            path = self.context / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.fill(text))
            path.chmod(0o755)

    def build(self, options: list[str], environment: Mapping[str, str], buildkit: bool = True) -> Path:
        """Build and save; the archive."""
        self.count += 1
        tag, archive = f"leakscan-fixes:{self.folder.name.lower()}-{self.count}", self.folder / f"{self.count}.tar"
        env = {"DOCKER_BUILDKIT": "1" if buildkit else "0", **environment}
        plain = ("--progress", "plain") if buildkit else ()
        where = os.getcwd()
        os.chdir(self.context)
        try:
            self.docker.run("build", "--network", "host", "--no-cache", *plain, *options, "--tag", tag, ".", env=env)
            self.docker.run("save", "--output", str(archive), tag)
        finally:
            os.chdir(where)
        return archive

    def report(self, archive: Path) -> dict[str, list[dict[str, dict[str, str]]]]:
        """The JSON report of an archive, as everybody gets it."""
        dockerfile = self.context / "Dockerfile"
        done = self.leakscan("--format", "json", "--dockerfile", dockerfile, archive)
        assert not any(value in done.stdout for value in (SECRET, TOKEN))
        report: dict[str, list[dict[str, dict[str, str]]]] = json.loads(done.stdout)
        return report

    def apply(self, advice: Mapping[str, str]) -> None:
        """Change the Dockerfile as a user does: by the command where the diff's values are masked, else by the diff."""
        diff, script = advice["diff"], advice["script"]
        assert not script or "***" in diff
        command = ["sh", "-ec", script] if script else ["patch", "-p1", "--fuzz=0"]
        done = subprocess.run(command, cwd=self.context, input=diff.encode(), capture_output=True)
        assert done.returncode == 0, done.stdout.decode() + diff + str(script)


def options_of(steps: list[str]) -> list[str]:
    """The options of the build command among the steps."""
    [found] = [step for step in steps if re.match(r"(?:Rebuild|Take it out)\b.*build .*\.$", step)]
    return [os.path.expandvars(option) for option in shlex.split(found.partition(" build ")[2])[:-1]]


def environment_of(options: list[str], values: Mapping[str, str]) -> dict[str, str]:
    """The variables that the options of a build name, set to what the user would set them to."""
    names = re.findall(r"env=([\w]+)", " ".join(options))
    return {name: values.get(name, TOKEN) for name in names}


def holds(archive: Path, *values: str) -> bool:
    """Whether the bytes of an uncompressed image hold one of the values."""
    with archive.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(value.encode()) >= 0 for value in values)


def fixed(workshop: Workshop, case: Case, buildkit: bool) -> None:
    """Build what leaks, do what leakscan says until nothing leaks, and see that the fix is what it should be."""
    ensure_base(workshop.docker, case.base)
    workshop.write(case)
    arguments = [f"--build-arg={name}={workshop.fill(text)}" for name, text in case.arguments.items()]
    archive = workshop.build(arguments, {}, buildkit)
    assert holds(archive, *case.leaked)
    values = {
        "PIP_INDEX_URL": f"https://ci:{SECRET}@pypi.internal.example/simple",
        "B_URL": f"https://u:{SECRET}@db.internal.example/x",
        "PIPENV_PYPI_MIRROR": f"http://ci:{SECRET}@{workshop.host}/simple",
        "HTTP_AUTH_HEADER": f"Basic {base64.b64encode(f'ci:{SECRET}'.encode()).decode()}",
    }
    options: list[str] = []
    for _ in range(MOST_FIXES):
        report = workshop.report(archive)
        leaks = [finding for finding in report["findings"] if finding["gated"]]
        if not leaks:
            break
        advice = next(f["remediation"] for f in leaks if f["remediation"]["diff"])
        workshop.apply(advice)
        with contextlib.suppress(ValueError):
            options += options_of(advice["steps"])  # type: ignore[arg-type]
        archive = workshop.build(options, environment_of(options, values))
    assert report["verdict"] == "clean", [(f["rule_id"], f["path"]) for f in report["findings"]]
    assert not holds(archive, *case.leaked)
    text = (workshop.context / "Dockerfile").read_text()
    assert [words for words in case.fixed if workshop.fill(words) not in text] == [], text


@pytest.mark.parametrize("name", {**OLD_AND_NEW, **NEW_ONLY})
def test_a_fix_is_built_by_a_newer_engine(
    name: str, modern: Docker, server: str, leakscan: Leakscan, tmp_path: Path
) -> None:
    """With secrets that set variables, heredocs and ADD of repositories: built as advised, the image is clean."""
    fixed(Workshop(tmp_path, modern, leakscan, server), {**OLD_AND_NEW, **NEW_ONLY}[name], buildkit=True)


@pytest.mark.parametrize("name", OLD_AND_NEW)
def test_a_fix_of_a_classic_build_is_built_by_an_old_engine(
    name: str, engine: Docker, server: str, leakscan: Leakscan, tmp_path: Path
) -> None:
    """An image of the classic builder gets the form that the BuildKit of its old engine understands."""
    fixed(Workshop(tmp_path, engine, leakscan, server), OLD_AND_NEW[name], buildkit=False)


@pytest.mark.parametrize(
    ("recipe", "buildkit"),
    [
        ("RUN {clone}\n", False),  # of BuildKit's builds ADD fetches it: `a repository`
        ("RUN {clone} && test -d /src && echo cloned > /state\n", False),
        ("RUN {clone} && test -d /src && echo cloned > /state\n", True),
    ],
)
def test_git_reads_a_mounted_netrc(
    recipe: str, buildkit: bool, engine: Docker, modern: Docker, leakscan: Leakscan, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Where the builder cannot fetch a repository by itself, git takes the password from a file, not the URL."""
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / ".netrc", f"machine git.internal.example login x-access-token password {TOKEN}\n".encode())
    tool = (
        "mkdir -p $3/.git && printf '[remote \"origin\"]\\n\\turl = %s\\n' $2 > $3/.git/config\n"
        "case $2 in *@*) ;; *) test -s /root/.netrc;; esac\n"
    )
    clone = "git clone http://x-access-token:{T}@git.internal.example/o/r.git /src"
    case = Case(
        f"COPY git /bin/git\n{recipe.replace('{clone}', clone)}",
        ("--mount=type=secret,id=netrc,target=/root/.netrc", "http://git.internal.example/o/r.git"),
        {"git": tool},
    )
    fixed(Workshop(tmp_path, modern if buildkit else engine, leakscan, ""), case, buildkit)


def test_the_first_story_ends_well(engine: Docker, modern: Docker, leakscan: Leakscan, tmp_path: Path) -> None:
    """pipenv with the mirror's password before the command: rebuilt as advised by either engine, it still installs
    from the private index, and the image is clean."""
    folder = Path(__file__).parent.parent / "testimages" / "pipenv-inline"
    recipe = (folder / "Dockerfile").read_text().partition("\n")[2]
    recipe = recipe.replace("{{password}}", "{S}").replace("{{index}}", "{H}")
    files = {"Pipfile": (folder / "context" / "Pipfile").read_text()}
    case = Case(recipe, ("--mount=type=secret,id=pipenv_pypi_mirror",), files, base="pipenv")
    for docker, buildkit in ((engine, False), (modern, True)):
        with own_package_index("ci", SECRET) as index:
            home = tmp_path / f"story-{buildkit}".lower()
            home.mkdir()
            workshop = Workshop(home, docker, leakscan, index.address)
            fixed(workshop, case, buildkit)

        assert workshop.count == 2 and holds(home / "2.tar", "leakdemo-1.0.dist-info")


def test_a_key_is_replaced_by_an_agent(
    modern: Docker, leakscan: Leakscan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step that used a copied private key finds an agent instead, and the image is clean."""
    for program in ("ssh-keygen", "ssh-agent", "ssh-add"):
        needed(program, "openssh-client")
    key, socket_path = tmp_path / "key", tmp_path / "agent"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    lines = key.read_text()
    tool = 'if [ -S "$SSH_AUTH_SOCK" ]; then echo agent; else test -s /root/.ssh/id_ed25519 && echo key; fi > /state\n'
    case = Case(
        "COPY fetch /bin/fetch\nCOPY id_ed25519 /root/.ssh/id_ed25519\n"
        "RUN chmod 600 /root/.ssh/id_ed25519 && fetch && rm /root/.ssh/id_ed25519\n",
        ("RUN --mount=type=ssh \\\n    fetch\n",),
        {"fetch": tool, "id_ed25519": lines},
        leaked=(lines.splitlines()[1],),
    )
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket_path))
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket_path], stdout=subprocess.DEVNULL) as agent:
        try:
            while not socket_path.exists():
                assert agent.poll() is None
                time.sleep(0.05)
            subprocess.run(["ssh-add", "-q", key], check=True, stderr=subprocess.DEVNULL)
            fixed(Workshop(tmp_path, modern, leakscan, ""), case, buildkit=True)
        finally:
            agent.terminate()
