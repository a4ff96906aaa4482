"""What is proposed in place of instructions that brought in files and URLs with credentials."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scanner.advice.case import Leak
from scanner.advice.chain import arranges, keeps, without_care
from scanner.advice.instead import user_of
from scanner.advice.remediation import KANIKO, WINDOWS, advise
from scanner.evidence import Remediation, Secret, State, Surface
from scanner.image.instruction import Step, parse_created_by
from scanner.image.maker import Builder, builder_of
from scanner.oci import HistoryEntry
from scanner.secrecy.redact import Redactor

FAKE = "not-a-real-one"


def advice(
    created_by: str,
    *,
    surface: Surface = Surface.HISTORY,
    path: str | None = None,
    following: tuple[str, ...] = (),
    builder: Builder = Builder.BUILDKIT,
    state: State = State.LIVE,
    secret: str = FAKE,
    files: tuple[str, ...] = (),
) -> Remediation:
    """The advice for a leak of a fake credential."""
    steps = tuple(map(parse_created_by, following))
    leak = Leak(surface, state, path, created_by, Secret(secret.encode()), (), builder, steps, files)
    return advise(leak, Redactor([secret.encode()]))


def in_layer(created_by: str, path: str, *following: str, **more: object) -> Remediation:
    """The advice for a fake credential in a file."""
    return advice(created_by, surface=Surface.LAYER, path=path, following=following, **more)  # type: ignore[arg-type]


NETRC = "RUN --mount=type=secret,id=netrc,target=/root/.netrc,required=true \\\n    "


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        ("git clone https://u:{}@git.example/o/r /src", "ADD https://git.example/o/r.git /src"),
        ("git clone --depth 1 -b v1.2 https://{}@git.example/o/r.git", "ADD https://git.example/o/r.git#v1.2 r"),
        ("git clone 'https://u:{}@git.example/o/r.git/' src", "ADD https://git.example/o/r.git src"),
        (
            "git clone https://u:{}@git.example/o/r /src && make -C /src",
            NETRC + "git clone https://git.example/o/r /src && make -C /src",
        ),
        ("cd /src; git pull https://u:{}@git.example/o/r", NETRC + "cd /src; git pull https://git.example/o/r"),
    ],
)
def test_repositories_are_fetched_by_the_builder_or_with_a_netrc(command: str, instead: str) -> None:
    """A lone clone becomes an ADD; other commands of git read a mounted .netrc. Neither keeps a credential."""
    found = advice(f"RUN /bin/sh -c {command.format(FAKE)} # buildkit")

    assert found.dockerfile == instead
    option = "id=GIT_AUTH_TOKEN,env=GIT_AUTH_TOKEN" if instead.startswith("ADD") else "id=netrc,src=$HOME/.netrc"
    assert any(f"docker build --secret {option} ." in step for step in found.steps)


def test_a_clone_whose_url_holds_a_variable() -> None:
    """A token that reaches git by a build argument would be stored in .git/config just the same."""
    step = f"RUN |1 TOKEN={FAKE} /bin/sh -c git clone https://u:${{TOKEN}}@git.example/o/r /src # buildkit"

    for found in (advice(step), in_layer(step, "src/.git/config")):
        assert found.dockerfile == "ADD https://git.example/o/r.git /src"


def test_a_clone_by_a_builder_that_cannot_add_repositories() -> None:
    """buildah and the classic builder get the mounted .netrc."""
    step = f"/bin/sh -c git clone https://u:{FAKE}@git.example/o/r /src"

    for builder in (Builder.BUILDAH, Builder.CLASSIC, Builder.KANIKO):
        assert advice(step, builder=builder).dockerfile == NETRC + "git clone https://git.example/o/r /src"


def test_other_secrets_of_a_step_that_clones_move_into_mounts() -> None:
    """Where the same value stands beside the URL too, a variable takes its place there."""
    found = advice(f"RUN /bin/sh -c git clone https://u:{FAKE}@git.example/o/r && login {FAKE} # buildkit")

    assert found.dockerfile is not None and FAKE not in found.dockerfile
    assert "id=netrc" in found.dockerfile and 'login "$BUILD_SECRET"' in found.dockerfile


@pytest.mark.parametrize(
    ("words", "instead", "option"),
    [
        ("https://u:{}@h.example/f.tar /f", "ADD https://h.example/f.tar /f", "id=HTTP_AUTH_HEADER_h.example,"),
        ("https://{}@h.example:8080/o/r.git#v1 /s", "ADD https://h.example:8080/o/r.git#v1 /s", "id=GIT_AUTH_TOKEN,"),
    ],
)
def test_downloads_are_given_their_credentials_by_the_builder(words: str, instead: str, option: str) -> None:
    """The URL of an ADD loses its user; the builder is given what it needs by a secret."""
    found = advice(f"ADD {words.format(FAKE)} # buildkit")

    assert found.dockerfile == instead
    assert any(option in step for step in found.steps)


@pytest.mark.parametrize(
    ("path", "command", "instead"),
    [
        ("root/.cache/pip/http/a/b", "pip install x", "--mount=type=cache,target=/root/.cache/pip"),
        ("root/.npm/_logs/x.log", "npm ci", "--mount=type=cache,target=/root/.npm"),
        ("var/cache/apt/x", "apt-get update", "--mount=type=cache,target=/var/cache/apt,sharing=locked"),
        ("var/log/apt/term.log", "apt-get update", "--mount=type=tmpfs,target=/var/log"),
        ("tmp/build-env.log", "env > /tmp/build-env.log", "--mount=type=tmpfs,target=/tmp"),
    ],
)
def test_what_tools_keep_goes_into_a_mount(path: str, command: str, instead: str) -> None:
    """Caches and logs of a RUN are kept out of its layer."""
    found = in_layer(f"RUN /bin/sh -c {command} # buildkit", path)

    assert found.dockerfile == f"RUN {instead} \\\n    {command}"


def test_what_tools_keep_elsewhere_is_removed_by_the_step_that_made_it() -> None:
    """There is no mount for a log among other files, and none over what the command removes itself."""
    log = in_layer("RUN /bin/sh -c make # buildkit", "srv/app/make.log")
    removed = in_layer("RUN /bin/sh -c pip install x && rm -r /root/.cache/pip # buildkit", "root/.cache/pip/x")

    assert log.dockerfile == "RUN make && rm -f /srv/app/make.log"
    assert removed.dockerfile is None


@pytest.mark.parametrize(("command", "before"), [("make; ", "make"), ("make &", ""), ("make # all", ""), ("a\nb", "")])
def test_what_is_removed_by_its_step_is_removed_by_a_command_that_runs(command: str, before: str) -> None:
    """Behind a semicolon that ends it none is needed; in a comment or behind a job nothing would be removed."""
    found = in_layer(f"RUN /bin/sh -c {command} # buildkit", "srv/app/make.log")

    assert found.dockerfile == (f"RUN {before} && rm -f /srv/app/make.log" if before else None)


@pytest.mark.parametrize(
    ("following", "rest"),
    [
        (["RUN /bin/sh -c npm ci && rm /root/.npmrc # buildkit"], "npm ci"),
        (["RUN /bin/sh -c npm ci # buildkit", "RUN /bin/sh -c rm -f /root/.npmrc # buildkit"], "npm ci"),
        (["RUN /bin/sh -c apk add x # buildkit", "RUN /bin/sh -c cat /root/.npmrc # buildkit"], "cat /root/.npmrc"),
        (["RUN /bin/sh -c chmod 600 /root/.npmrc && npm ci; rm -rf /root/.npmrc /tmp/x # buildkit"],
         "npm ci; rm -rf /tmp/x"),
        (["COPY a b # buildkit", "RUN /bin/sh -c cd /root && npm ci && rm .npmrc # buildkit"], "cd /root && npm ci"),
    ],
)  # fmt: skip
def test_the_step_that_needs_a_copied_file_gets_it_mounted(following: list[str], rest: str) -> None:
    """The RUN that names the file, or else the first one, gets the mount; removing the file there would fail."""
    found = in_layer("COPY .npmrc /root/ # buildkit", "root/.npmrc", *following, state=State.DELETED)

    assert found.dockerfile == f"RUN --mount=type=secret,id=npmrc,target=/root/.npmrc,required=true \\\n    {rest}"
    assert any("docker build --secret id=npmrc,src=.npmrc ." in step for step in found.steps)


def test_lines_are_broken_where_the_author_broke_them() -> None:
    """History keeps the blanks of continued lines; outside quotes they become lines again."""
    found = advice(f"RUN /bin/sh -c T={FAKE} a     && b 'x    y' \t  c # buildkit")

    mount = "RUN --mount=type=secret,id=t,env=T,required=true"
    assert found.dockerfile == f"{mount} \\\n    a \\\n    && b 'x    y' \\\n    c"


def test_what_stands_in_quotes_stays() -> None:
    """Separators inside quotes are no separators, and blanks stay as they are."""
    kept = without_care("echo 'a;b && rm /root/.npmrc'  x && npm ci ; rm /root/.npmrc", "/root/.npmrc")

    assert kept == "echo 'a;b && rm /root/.npmrc'  x && npm ci"


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ('npm ci && rm -f "$HOME/.npmrc"', "npm ci"),
        ("chmod 600 ${HOME}/.npmrc && npm ci", "npm ci"),
        ("npm ci; rm '/root/.npmrc' \"/tmp/x y\"", "npm ci; rm '/root/.npmrc' \"/tmp/x y\""),
        ("npm ci; rm '/root/.npmrc' /tmp/x", "npm ci; rm /tmp/x"),
        ("npm ci; rm /root/.npmrc # of the registry", "npm ci"),
        ("npm ci && rm $(find / -name .npmrc)", "npm ci && rm $(find / -name .npmrc)"),
    ],
)
def test_operands_are_what_the_shell_takes_for_them(command: str, kept: str) -> None:
    """Quotes around the file's name, a variable in front of it and a comment behind it change nothing."""
    assert without_care(command, "/root/.npmrc") == kept


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("sh -c 'cp /root/.npmrc /x'", True),
        ("bash -ec \"cat /root/.npmrc\" | tee /x", True),
        ("cat /root/.npmrc > /x", True),
        ("echo 'now > /root/.npmrc'", False),
        ("grep 'x > y' /root/.npmrc", False),
    ],
)
def test_what_keeps_a_file_is_a_command(command: str, kept: bool) -> None:
    """A shell's own operand is one; what stands in quotes is none, and no redirection."""
    assert keeps(command, "/root/.npmrc") is kept


def test_a_redirection_is_no_command() -> None:
    """The ampersand of 2>&1 ends nothing, or its number would be a program that may need any file."""
    assert arranges("cp a b 2>&1 && ln -s b c >/dev/null")


@pytest.mark.parametrize("following", [(), ("RUN /bin/sh -c rm /root/.npmrc",), ("RUN /bin/sh -c echo hush && make",)])
def test_no_step_is_made_up(following: tuple[str, ...]) -> None:
    """Where no later RUN needs the file, or its text holds the secret, none is proposed."""
    assert in_layer("COPY .npmrc /root/ # buildkit", "root/.npmrc", *following, secret="hush").dockerfile is None


def test_the_source_of_a_copied_folder() -> None:
    """The file to give to the build, and to leave out of its context, is the one in the folder that was copied."""
    use = "RUN /bin/sh -c make FILE=/srv/conf/db/password.txt # buildkit"
    for copy in ("COPY conf /srv/conf", "COPY conf/ srv/conf/", "COPY ./conf/ ./srv/conf"):
        found = in_layer(f"{copy} # buildkit", "srv/conf/db/password.txt", use)

        source = f"{copy.split()[1].rstrip('/')}/db/password.txt"
        assert any(f"src={source} ." in step for step in found.steps)
        assert any(f"List {source} in .dockerignore" in step for step in found.steps)
    assert any("List a/b in" in step for step in in_layer("COPY . /srv # buildkit", "srv/a/b").steps)


def test_keys_come_from_an_agent() -> None:
    """The RUN that used a private key uses the agent, without the lines that looked after the key."""
    steps = "RUN /bin/sh -c chmod 600 /root/.ssh/id_rsa && git clone git@h:o/r && rm /root/.ssh/id_rsa # buildkit"
    found = in_layer("COPY id_rsa /root/.ssh/ # buildkit", "root/.ssh/id_rsa", steps)

    assert found.dockerfile == "RUN --mount=type=ssh \\\n    git clone git@h:o/r"
    assert any("docker build --ssh default=$SSH_AUTH_SOCK ." in step for step in found.steps)


@pytest.mark.parametrize(
    "kept",
    [
        "cp /tmp/.npmrc /root/.npmrc",
        "mkdir -p /root && mv /tmp/.npmrc /root/",
        "install -m 600 /tmp/.npmrc /root/.npmrc && npm ci",
        "ln /tmp/.npmrc /root/.npmrc",
        "cat /tmp/.npmrc > /root/.npmrc && npm ci",
        "cp -r /tmp/. /root/",
        "cd /tmp && sudo cp .npmrc /root/.npmrc",
        "cp /tmp/* /root && npm ci",
        "tar czf /srv/tmp.tgz /tmp",
        "sed s/a/b/ /tmp/.npmrc > /root/.npmrc",
        "sed -i s/a/b/ /tmp/.npmrc && npm ci",
        "echo registry=x >> /tmp/.npmrc && npm ci",
        "cat /tmp/.npmrc | tr -d x | tee /root/.npmrc",
        "sh -c 'mv /tmp/.npmrc /root/.npmrc'",
    ],
)
def test_a_step_that_copies_or_moves_the_file_is_not_rewritten(kept: str) -> None:
    """What is copied from a mount is in the layer again, and a mount cannot be moved: the advice says so in words."""
    later = (f"RUN /bin/sh -c {kept} # buildkit", "RUN /bin/sh -c npm ci # buildkit")

    found = in_layer("COPY .npmrc /tmp/.npmrc # buildkit", "tmp/.npmrc", *later)

    assert found.dockerfile is None
    assert any("puts it into a layer once more" in step and kept in step for step in found.steps)
    assert any("RUN --mount=type=secret,id=npmrc,target=/tmp/.npmrc" in step for step in found.steps)


@pytest.mark.parametrize(
    "used",
    [
        "(npm ci && rm /root/.npmrc)",
        "( npm ci && rm /root/.npmrc )",
        "npm ci && rm /root/.npmrc || true",
        "npm ci && rm /root/.npmrc 2>/dev/null",
        "if npm ci; then rm .npmrc; fi",
        "npm ci && chown -R node /root",
    ],
)
def test_a_step_that_would_still_look_after_the_file_is_not_rewritten(used: str) -> None:
    """A mount is neither removed nor changed: a proposal that tries would fail."""
    for copy, path in (("COPY .npmrc /root/", "root/.npmrc"), ("COPY id_rsa /root/.ssh/", "root/.ssh/id_rsa")):
        name = path.removeprefix("root/")
        command = used.replace(".npmrc", name).replace("npm ci", "git clone git@h:o/r" if "ssh" in path else "npm ci")

        assert in_layer(f"{copy} # buildkit", path, f"RUN /bin/sh -c {command} # buildkit").dockerfile is None


def test_a_tool_finds_its_file_by_its_name() -> None:
    """Of the steps that do not name the file, the one that runs its tool gets it, and none if none does."""
    later = ("RUN /bin/sh -c apk add nodejs # buildkit", "RUN /bin/sh -c cd /app && npm ci # buildkit")

    found = in_layer("COPY .npmrc /root/ # buildkit", "root/.npmrc", *later)

    assert found.dockerfile is not None and found.dockerfile.endswith("    cd /app && npm ci")
    assert in_layer("COPY .npmrc /root/ # buildkit", "root/.npmrc", later[0]).dockerfile is None
    assert in_layer("COPY secrets.ini /root/ # buildkit", "root/secrets.ini", later[0]).dockerfile is not None


@pytest.mark.parametrize(
    "used", ["cat /root/.npmrc | wc -c > /n", "cp /srv/a /root/ && npm ci", "npm ci > /log", "wc -c < /root/.npmrc"]
)
def test_a_step_that_reads_the_file_is_rewritten(used: str) -> None:
    """Other copies, and what a tool writes elsewhere, are no reason to leave a step as it is."""
    found = in_layer("COPY .npmrc /root/ # buildkit", "root/.npmrc", f"RUN /bin/sh -c {used} # buildkit")

    assert found.dockerfile is not None and found.dockerfile.endswith(used)


@pytest.mark.parametrize(
    "care", ["chown 1000:1000 /root/.npmrc", "chmod go-rwx,u+r /root/.npmrc", "chgrp -R node /root/.npmrc"]
)
def test_a_change_of_mode_or_owner_goes_whole(care: str) -> None:
    """A mount refuses it, whatever words it is in."""
    found = in_layer("COPY .npmrc /root/ # buildkit", "root/.npmrc", f"RUN /bin/sh -c {care} && npm ci # buildkit")

    assert found.dockerfile is not None and found.dockerfile.endswith("    npm ci")


@pytest.mark.parametrize(
    "following",
    [
        ("mkdir -p /root/.ssh && mv /tmp/id_rsa /root/.ssh/id_rsa", "cp /tmp/.npmrc /root/.npmrc", "npm ci"),
        ("npm ci",),
        ("openssl rsa -in /tmp/id_rsa -check",),
        ("eval $(ssh-agent) && ssh-add /tmp/id_rsa && git clone git@h:o/r",),
    ],
)
def test_an_agent_is_given_only_to_steps_that_log_in(following: tuple[str, ...]) -> None:
    """An agent provides no file: a step that moves or reads the key, or has nothing to do with it, stays as it is."""
    later = [f"RUN /bin/sh -c {command} # buildkit" for command in following]

    for step in ("COPY id_rsa /tmp/id_rsa # buildkit", "RUN /bin/sh -c make # buildkit"):
        found = in_layer(step, "tmp/id_rsa", *later)

        assert found.dockerfile is None
        assert any("--mount=type=ssh" in words for words in found.steps)


def test_a_step_that_talks_ssh_without_naming_the_key_gets_an_agent() -> None:
    """Keys are mostly found by their usual place."""
    later = ("RUN /bin/sh -c apk add git # buildkit", "RUN /bin/sh -c git clone git@h.example:o/r # buildkit")

    found = in_layer("COPY id_rsa /root/.ssh/ # buildkit", "root/.ssh/id_rsa", *later)

    assert found.dockerfile == "RUN --mount=type=ssh \\\n    git clone git@h.example:o/r"


@pytest.mark.parametrize("kind", ["ARG", "ENV"])
def test_the_step_that_uses_a_variable_takes_it_from_a_mount(kind: str) -> None:
    """ARG and ENV are replaced where they are used."""
    following = ("RUN /bin/sh -c apk add make # buildkit", "RUN /bin/sh -c login --token ${TOKEN} # buildkit")

    found = advice(f"{kind} A=1 TOKEN={FAKE}", following=following)

    mount = "RUN --mount=type=secret,id=token,env=TOKEN,required=true"
    assert found.dockerfile == f"{mount} \\\n    login --token ${{TOKEN}}"


def test_builders_without_variables_read_files() -> None:
    """The classic builder's engine is too old for env=, and buildah is not known to have it: the command reads."""
    for builder, build in ((Builder.CLASSIC, "DOCKER_BUILDKIT=1 docker build"), (Builder.BUILDAH, "buildah build")):
        found = advice(f"/bin/sh -c TOKEN={FAKE} make", builder=builder)

        assert found.dockerfile == (
            'RUN --mount=type=secret,id=token,required=true \\\n'
            '    export TOKEN="$(cat /run/secrets/token)" && \\\n    make'
        )  # fmt: skip
        assert any(f"{build} --secret id=token,env=TOKEN ." in step for step in found.steps)


def test_older_frontends_are_given_the_whole_instruction() -> None:
    """Beside the form with env= stands the one for frontends that have none."""
    found = advice(f"RUN /bin/sh -c TOKEN={FAKE} make # buildkit")

    older = 'RUN --mount=type=secret,id=token,required=true export TOKEN="$(cat /run/secrets/token)" && make'
    assert any(older in step for step in found.steps)


def test_kaniko_is_said_to_have_no_mounts() -> None:
    """Whoever builds with kaniko is told before all else that it cannot do this."""
    assert KANIKO in advice(f"RUN TOKEN={FAKE} make", builder=Builder.KANIKO).steps
    assert KANIKO not in advice(f"RUN TOKEN={FAKE} make").steps


@pytest.mark.parametrize(
    ("created_by", "surface", "path", "kept"),
    [
        (f"RUN |1 TOKEN={FAKE} cmd /S /C nuget restore # buildkit", Surface.HISTORY, None, "Remove the ARG"),
        (f"cmd /S /C set TOKEN={FAKE}&& nuget restore", Surface.HISTORY, None, ""),
        (f"ENV TOKEN={FAKE}", Surface.HISTORY, None, "docker run --env-file"),
        ("COPY . /app # buildkit", Surface.LAYER, "Files/app/.env", "in .dockerignore"),
        ("COPY id_rsa /app # buildkit", Surface.LAYER, "Files/app/id_rsa", ""),
        ("cmd /S /C npm ci", Surface.LAYER, "Files/app/.npmrc", "Do not run config set"),
    ],
)
def test_containers_of_windows_have_no_mounts(created_by: str, surface: Surface, path: str | None, kept: str) -> None:
    """What is proposed there does without, and the rest of the advice stays."""
    leak = Leak(surface, State.LIVE, path, created_by, Secret(FAKE.encode()), mounts=False)

    found = advise(leak, Redactor([FAKE.encode()]))

    text = "\n".join(found.steps)
    assert WINDOWS in found.steps and kept in text and found.dockerfile is None
    assert "--mount" not in text and "--secret" not in text and "--ssh" not in text


@pytest.mark.parametrize(
    ("entries", "builder"),
    [
        ([HistoryEntry("RUN /bin/sh -c x # buildkit", "buildkit.dockerfile.v0")], Builder.BUILDKIT),
        ([HistoryEntry("/bin/sh -c #(nop) ADD file:00 in / "), HistoryEntry("ENV A=1", "buildkit.dockerfile.v0")],
         Builder.BUILDKIT),
        ([HistoryEntry("/bin/sh -c x")], Builder.CLASSIC),
        ([HistoryEntry("/bin/sh -c x", "FROM base:1")], Builder.BUILDAH),
        ([HistoryEntry("RUN x", "", "kaniko")], Builder.KANIKO),
        ([HistoryEntry("", "Imported from -")], Builder.UNKNOWN),
        ([], Builder.UNKNOWN),
    ],
)  # fmt: skip
def test_builders_are_told_by_their_marks(entries: list[HistoryEntry], builder: Builder) -> None:
    """The last step's builder counts, whoever made the base."""
    assert builder_of(entries) is builder


SHELL = st.text(alphabet="rm -f/ac.&;|'\"$\\\n", max_size=40)


@given(SHELL, SHELL)
@example(";", " \\")
@example("\\", "   ;")
@example(";", " .")
def test_quotes_and_chains_are_not_cut(before: str, after: str) -> None:
    """Whatever the command, what is proposed has the words of the command in their order, and no others."""
    command = f"{before}rm /a/c{after}"

    found = user_of([Step("RUN", command, shell=True)], "/a/c", "--mount=type=ssh{}".format, "", str)

    if found is not None:
        left = iter(words(command))
        assert all(word in left for word in words(found.rewritten.dockerfile.removeprefix("RUN --mount=type=ssh")))


@pytest.mark.parametrize("part", ["--a ", "-a-a ", "> ", ">", "* ", "a*", "cp ", "a=b ", "a,", "| cat /a/c ", "#", "'"])
@pytest.mark.parametrize("head", ["", "rm ", "chmod ", "chown ", "cp ", "tar c "])
def test_hostile_commands_take_no_time(head: str, part: str) -> None:
    """A command may be as long as a hostile author likes; it is looked at in time that grows with its length."""
    started = time.process_time()

    for length in (1_900, 16_000):  # of one command of a chain, of all
        command = f"{head}{part * (length // len(part))}$ /a/c"
        user_of([Step("RUN", command, shell=True)], "/a/c", "--mount=type=ssh{}".format, "", str)

    assert time.process_time() - started < 2


def words(command: str) -> list[str]:
    """Words and separators; where a line goes on is a blank."""
    return re.findall(r"&&|;|(?:(?!&&)[^\s;])+", command.replace(" \\\n    ", " "))


@given(st.sampled_from(["RUN", "ADD", "COPY", "ARG", "ENV"]), SHELL, SHELL, st.text(max_size=20))
def test_no_proposal_shows_the_secret(kind: str, before: str, after: str, path: str) -> None:
    """Whatever the step and those after it, no advice holds the value."""
    step = f"{kind} {before}https://u:{FAKE}@h/r.git{after}"

    found = advice(step, surface=Surface.LAYER, path=path, following=(f"RUN {before}{FAKE}{after}",))

    assert FAKE not in repr(found)


def test_a_secret_in_the_text_and_in_a_cache_gets_both_mounts() -> None:
    """The value moves into a mount, and the tool's own cache under another one; other files are named."""
    step, files = f"RUN /bin/sh -c T={FAKE} pip install x # buildkit", ("root/.cache/pip/log.txt", "etc/pip.conf")

    for found in (advice(step, files=files), in_layer(step, files[0], files=files)):
        mounts = "--mount=type=secret,id=t,env=T,required=true \\\n    --mount=type=cache,target=/root/.cache/pip"
        assert found.dockerfile == f"RUN {mounts} \\\n    pip install x"
        assert any("wrote it to etc/pip.conf" in step for step in found.steps)


def test_what_to_delete_is_named() -> None:
    """The names and the digest of the image stand in the step that says to delete it, redacted like all else."""
    leak = Leak(Surface.CONFIG, State.LIVE, None, None, Secret(FAKE.encode()), image=f"shop:{FAKE} at sha256:00")

    steps = advise(leak, Redactor([FAKE.encode()])).steps

    assert any("with all its tags, here shop:************** at sha256:00, attestations" in step for step in steps)
