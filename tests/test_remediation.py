"""What the advice says for each way a credential gets into an image."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.advice.case import Leak
from scanner.advice.remediation import BURIED, DELETE, KANIKO, PURGE, ROTATE, advise
from scanner.advice.rewrite import rewrite
from scanner.evidence import Secret, State, Surface
from scanner.image.instruction import Step, parse_created_by
from scanner.image.maker import Builder
from scanner.secrecy.redact import Redactor

FAKE = "not-a-real-one"


def remediation(created_by, surface=Surface.HISTORY, path=None, state=State.LIVE, secret=FAKE, others=()):
    """The advice for a leak of a fake credential."""
    values = [secret, *others]
    leak = Leak(surface, state, path, created_by, Secret(secret.encode()), tuple(Secret(o.encode()) for o in others))
    return advise(leak, Redactor(value.encode() for value in values))


def rewritten(created_by, *secrets):
    """The rewritten instruction, or None."""
    found = rewrite(parse_created_by(created_by), [Secret(s.encode()) for s in secrets or (FAKE,)], str)
    return found and found.dockerfile


def mounts(*names):
    """The head of a rewritten RUN that mounts *names*."""
    return "RUN " + " \\\n    ".join(f"--mount=type=secret,id={n.lower()},env={n},required=true" for n in names)


@pytest.mark.parametrize(
    "created_by",
    [
        f"RUN /bin/sh -c PIPENV_PYPI_MIRROR=user:{FAKE}@server pipenv install # buildkit",
        f"/bin/sh -c PIPENV_PYPI_MIRROR=user:{FAKE}@server pipenv install",
        f"RUN PIPENV_PYPI_MIRROR=user:{FAKE}@server pipenv install",
        f"RUN |1 PIPENV_PYPI_MIRROR=user:{FAKE}@server /bin/sh -c pipenv install # buildkit",
        f"|1 PIPENV_PYPI_MIRROR=user:{FAKE}@server /bin/sh -c pipenv install",
    ],
)
def test_assigned_in_run_in_every_builders_words(created_by):
    """A credential assigned in front of a command, or given as a build argument, moves into a mount of its name."""
    advice = remediation(created_by)

    assert advice.dockerfile == mounts("PIPENV_PYPI_MIRROR") + " \\\n    pipenv install"
    assert any("--secret id=pipenv_pypi_mirror,env=PIPENV_PYPI_MIRROR ." in step for step in advice.steps)


@pytest.mark.parametrize(
    ("command", "names", "rest"),
    [
        (f"export T='{FAKE}' && A=1 make", "T", "A=1 make"),
        (f"export T={FAKE} U=2 && make", "T", "export U=2 && make"),
        (f"cd /x && T={FAKE}; make $T", "T", "cd /x; make $T"),
        (f"export T={FAKE} U=u:{FAKE} && make", "T U", "make"),
        (f"sudo TOKEN={FAKE} make", "TOKEN", 'sudo TOKEN="$TOKEN" make'),
        (f"(T={FAKE} make) && if true; then U=u:{FAKE} make; fi", "T U", "(make) && if true; then make; fi"),
        (f"T={FAKE} curl -u me:{FAKE} h", "T", 'curl -u me:"$T" h'),
        (
            f"curl -H 'Authorization: Bearer {FAKE}' h",
            "AUTH_TOKEN",
            "curl -H 'Authorization: Bearer '\"$AUTH_TOKEN\" h",
        ),
        (f"curl -H 'X-Key: {FAKE}; v=1' h", "X_KEY", "curl -H 'X-Key: '\"$X_KEY\"'; v=1' h"),
        (f"login --password={FAKE}", "PASSWORD", 'login --password="$PASSWORD"'),
        (f"login --token '{FAKE}' now", "TOKEN", 'login --token "$TOKEN" now'),
        (f'get "https://u:{FAKE}@h/r"', "URL_PASSWORD", 'get "https://u:${URL_PASSWORD}@h/r"'),
        (f"mysql -p{FAKE}", "BUILD_SECRET", 'mysql -p"$BUILD_SECRET"'),
        (f"T=$(echo {FAKE}) make", "BUILD_SECRET", 'T=$(echo "$BUILD_SECRET") make'),
        (f"U=http://u:{FAKE}@h?a&b make", "URL_PASSWORD", 'U=http://u:"$URL_PASSWORD"@h?a&b make'),
        (
            f"X=\"$(curl -H 'Authorization: Bearer {FAKE}' h)\" make",
            "AUTH_TOKEN",
            "X=\"$(curl -H 'Authorization: Bearer '\"$AUTH_TOKEN\" h)\" make",
        ),
        (f"export T={FAKE} U={FAKE}; make", "T U", "make"),
        (f"if a; then export T={FAKE} && make; fi", "T", "if a; then make; fi"),
        (f"if a; then T={FAKE}; fi; make $T", "BUILD_SECRET", 'if a; then T="$BUILD_SECRET"; fi; make $T'),
        (f"a || T={FAKE} && make $T", "BUILD_SECRET", 'a || T="$BUILD_SECRET" && make $T'),
        (f"(export T={FAKE}) | make", "BUILD_SECRET", '(export T="$BUILD_SECRET") | make'),
        (f"make && export T={FAKE}", "T", "make"),
        (f"T=a make && T={FAKE} make", "BUILD_SECRET", 'T=a make && T="$BUILD_SECRET" make'),
        (f"make '$(a)' \"b $(c \"d-{FAKE}\")\"", "BUILD_SECRET", "make '$(a)' \"b $(c \"d-${BUILD_SECRET}\")\""),
        (f"make --key={FAKE} # two    blanks", "KEY", 'make --key="$KEY" # two    blanks'),
    ],
)
def test_rewritten_commands(command, names, rest):
    """A command is rewritten in the author's own terms, with the quotes that make the shell expand the variable."""
    assert rewritten(f"RUN /bin/sh -c {command} # buildkit") == f"{mounts(*names.split())} \\\n    {rest}"


def test_a_command_that_goes_in_front_of_a_here_document():
    """The end of its line stays: the document begins there."""
    found = rewritten(f"/bin/sh -c cat <<A > /x; export T={FAKE}\nb\nA\nmake\n")

    assert found == f"{mounts('T')} <<EOT\ncat <<A > /x\nb\nA\nmake\nEOT"


@pytest.mark.parametrize("before", ["# don't", "cat > /x <<A\nit's\nA", "cat > /x <<- 'A'\n\tit's\n\tA"])
def test_apostrophes_that_are_no_quotes(before):
    """Those of comments and of here-documents neither begin nor end what stands in quotes."""
    found = rewritten(f"/bin/sh -c {before}\nlogin --key 'k: {FAKE}'\n")

    assert found == f"{mounts('BUILD_SECRET')} <<EOT\n{before}\nlogin --key 'k: '\"$BUILD_SECRET\"\nEOT"


def test_all_secrets_of_a_step_move():
    """Where a step holds several credentials, the rewritten step holds none of them."""
    step = "/bin/sh -c A=first-fake-value B=second-fake-value make"

    assert rewritten(step, "first-fake-value", "second-fake-value") == mounts("A", "B") + " \\\n    make"


@pytest.mark.parametrize(
    "command",
    [
        "true || export T={}; echo done $T",
        "false && T={}; echo done",
        "false &&\nT={}\necho done",
        "false || T={} && echo $T",
        "true | T={}; echo done",
        "if true; then T={}; fi; echo $T",
        "if false; then T={}; echo no; else echo done; fi",
        "if true\nthen\n  T={}\nfi\necho $T",
        "{{ T={}; echo $T; }}",
        "for i in 1 2; do export T={}; echo $i $T; done",
        "case x in x) T={};; esac; echo $T",
        "f() {{ T={}; echo $T; }}; f",
        "(T={}; echo $T)",
        "export T={} U={}; echo $T $U",
        "export T={} && echo $T; export U={}",
        "T={} sh -c 'echo $T' && T={} sh -c 'echo $T'",
        "H=host; U=https://u:{}@$H/x; echo $U",
        "echo 2>&1; T={}; echo $T",
    ],
)
def test_a_rewritten_command_does_the_same(command):
    """A shell runs the rewritten command, with the variables of its mounts, as it ran the one with the values."""
    values = [f"fake-value-{number}" for number in range(command.count("{}"))]
    original = command.format(*values)

    found = rewrite(Step("RUN", original, shell=True), [Secret(value.encode()) for value in values], str)

    text = found.dockerfile.rpartition("required=true")[2]
    body = text.partition("\n")[2].rpartition("\n")[0] if "<<EOT" in text else text.replace(" \\\n", "")
    given = {name: secret.reveal().decode() for name, secret in zip(found.names, found.secrets, strict=True)}
    before, after = (
        subprocess.run(["sh", "-c", shell], env=env, capture_output=True, text=True)
        for shell, env in ((original, {}), (body, given))
    )
    assert (after.stdout, after.stderr, after.returncode) == (before.stdout, before.stderr, before.returncode), body


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("notify one-fake-value > /dev/null; echo two-fake-value", "BUILD_SECRET BUILD_SECRET_2"),
        ("login --token two-fake-value && notify one-fake-value", "TOKEN BUILD_SECRET"),
        ("A=one-fake-value B=two-fake-value make", "A B"),
    ],
)
def test_all_findings_of_a_step_have_one_instruction(command, names):
    """Names are given in the order of the text: two findings of a step do not contradict each other, and the build
    command that fits says what each name is for."""
    values = ["one-fake-value", "two-fake-value"]
    titles = {Secret(value.encode()): f"the {value[:3]}" for value in values}

    advices = []
    for at in (0, 1):
        secret, other = (Secret(value.encode()) for value in (values[at], values[1 - at]))
        leak = Leak(Surface.HISTORY, State.LIVE, None, f"/bin/sh -c {command}", secret, (other,), titles=titles)
        advices.append(advise(leak, Redactor(map(str.encode, values))))

    assert advices[0] == advices[1] and advices[0].dockerfile.startswith(mounts(*names.split()))
    first, second = names.split()
    order = ("two", "one") if first == "TOKEN" else ("one", "two")
    assert f"{first} stands for: the {order[0]}; {second} stands for: the {order[1]}." in advices[0].steps


@pytest.mark.parametrize(
    ("command", "rest"),
    [
        (f"make   # token {FAKE}", "make"),
        (f"make; # {FAKE}\ntest 'a # b' # kept\n", "make;\ntest 'a # b' # kept\n"),
        (f"echo 'it''s' # {FAKE} 'open\nmake", "echo 'it''s'\nmake"),
    ],
)
def test_a_comment_is_deleted(command, rest):
    """No mount is needed for what a shell skips."""
    advice = remediation(f"/bin/sh -c {command}")

    end = f"<<EOT\n{rest.rstrip()}\nEOT" if "\n" in rest else rest
    assert advice.dockerfile == f"RUN {end}"
    assert any(step.startswith("Delete the comment") for step in advice.steps)
    assert not any("secret mount" in step for step in advice.steps)


@pytest.mark.parametrize("command", [f"echo a#{FAKE}", f"echo '# {FAKE}'", f"echo \"a # {FAKE}\"", f"echo \\# {FAKE}"])
def test_what_is_no_comment_stays(command):
    """A number sign within a word or in quotes begins none."""
    assert "$BUILD_SECRET" in rewritten(f"/bin/sh -c {command}").replace("{", "").replace("}", "")


def test_a_comment_and_a_value_in_one_step():
    """The value moves into a mount, the comment goes."""
    step = "/bin/sh -c T=one-fake-value make # two-fake-value"

    assert rewritten(step, "two-fake-value", "one-fake-value") == mounts("T") + " \\\n    make"


@pytest.mark.parametrize("command", ["rm /etc/pip.conf", "mkdir -p /a && chmod 700 /a"])
def test_a_run_that_has_no_use_for_a_build_argument(command):
    """It was recorded with the argument all the same; a mount there would be for nothing."""
    advice = remediation(f"|1 TOKEN={FAKE} /bin/sh -c {command}")

    assert advice.dockerfile is None
    assert any("Remove the ARG" in step for step in advice.steps)
    assert any("does not use it" in step for step in advice.steps)
    assert remediation(f"|1 TOKEN={FAKE} /bin/sh -c rm /x && echo $TOKEN").dockerfile is not None


def test_mounts_that_were_there_stay():
    """buildah records the mounts of a RUN; the rewritten one keeps them."""
    dockerfile = rewritten(f"/bin/sh -c --mount=type=cache,target=/c T={FAKE} make")

    assert dockerfile == mounts("T") + " \\\n    --mount=type=cache,target=/c \\\n    make"


def test_heredoc_stays_a_heredoc():
    """A RUN of several lines is written as a heredoc, whose end stands in none of the lines."""
    assert rewritten(f"RUN /bin/sh -c T={FAKE} make\nEOT\n # buildkit") == f"{mounts('T')} <<EOTT\nmake\nEOT\nEOTT"


@pytest.mark.parametrize(
    "created_by",
    [
        f"RUN /bin/sh -c cat <<A > /f\n{FAKE}\nA # buildkit",
        f"RUN /bin/sh -c make\ncat <<'A' > /f\nit is {FAKE}\nA\n # buildkit",
        f"/bin/sh -c X=\"`login '{FAKE}'`\" make",
        f"RUN /bin/echo {FAKE} # buildkit",
        f"RUN cmd /S /C login {FAKE} # buildkit",
        f"ENV T={FAKE}",
        f"/bin/sh -c {'x' * 20000} {FAKE}",
        f"/bin/sh -c {FAKE} {FAKE * 300}",
        "/bin/sh -c make",
    ],
)
def test_not_rewritten(created_by):
    """Nothing is rewritten that is no RUN, has no quotes of its own, is too long, or does not hold the secret."""
    assert rewritten(created_by) is None


@pytest.mark.parametrize(
    ("created_by", "surface", "path", "words"),
    [
        (f"ARG TOKEN={FAKE}", Surface.HISTORY, None, "Delete ARG TOKEN"),
        (f"ENV TOKEN={FAKE}", Surface.CONFIG, None, "docker run --env-file"),
        (f"LABEL t={FAKE}", Surface.CONFIG, None, "Delete the label"),
        (f'HEALTHCHECK &{{["CMD-SHELL" "wget http://u:{FAKE}@h/"]}}', Surface.HISTORY, None, "--env-file"),
        (f"ADD https://u:{FAKE}@example.com/f /f # buildkit", Surface.HISTORY, None, "id=HTTP_AUTH_HEADER_example.com"),
        (f"RUN /bin/sh -c git clone https://u:{FAKE}@h/r # buildkit", Surface.HISTORY, None, "id=GIT_AUTH_TOKEN"),
        ("RUN /bin/sh -c make # buildkit", Surface.LAYER, "src/.git/config", "id=GIT_AUTH_TOKEN"),
        ("COPY id_rsa /root/.ssh/ # buildkit", Surface.LAYER, "root/.ssh/id_rsa", "--mount=type=ssh"),
        ("COPY .npmrc /root/ # buildkit", Surface.LAYER, "root/.npmrc", "id=npmrc,target=/root/.npmrc"),
        ("COPY .npmrc /root/ # buildkit", Surface.LAYER, "root/.npmrc", "--secret id=npmrc,src=.npmrc"),
        ("/bin/sh -c #(nop) COPY file:00ff in /r/.netrc ", Surface.LAYER, "r/.netrc", "--secret id=netrc,src=FILE"),
        ("COPY . . # buildkit", Surface.LAYER, "app/.env", "List **/.env in .dockerignore"),
        ("/bin/sh -c #(nop) COPY dir:00ff in /app ", Surface.LAYER, "app/.git/config", "List **/.git in .dockerignore"),
        (
            "RUN /bin/sh -c pip install x",
            Surface.LAYER,
            "root/.cache/pip/log.txt",
            "type=cache,target=/root/.cache/pip",
        ),
        ("RUN /bin/sh -c pip install x", Surface.LAYER, "root/.config/pip/pip.conf", "config set"),
        ("RUN /bin/sh -c ln -s $X /l", Surface.METADATA, "l", "file names and link targets"),
        (None, Surface.LAYER, "etc/app.conf", "Find the image this layer comes from"),
        (None, Surface.CONFIG, "config.Env[0]", "docker run --env-file"),
        ("bazel build //x", Surface.LAYER, "etc/app.conf", "Find the image this layer comes from"),
        (None, Surface.ATTESTATION, "predicate", "--provenance=mode=min"),
        (None, Surface.ANNOTATION, "x", "Build without that annotation"),
        (None, Surface.CACHE, "x", "Delete the cache tag"),
        (None, Surface.BUILDER, "x", "values of mounts are in no cache"),
    ],
)
def test_each_kind_of_leak_has_its_cure(created_by, surface, path, words):
    """The advice fits how the credential came in, and starts with rotating it and ends with deleting what leaked."""
    advice = remediation(created_by, surface, path)

    assert advice.steps[0] == ROTATE and advice.steps[-2:] == (DELETE, PURGE)
    assert any(words in step for step in advice.steps), advice.steps
    assert FAKE not in repr(advice)


@pytest.mark.parametrize(
    "created_by",
    ["COPY <<EOF /etc/a.yml", "ADD <<EOF /etc/a.yml", "COPY <<-'EOF' <<X /etc/", "COPY readme <<a.yml /etc/"],
)
def test_a_here_document_is_no_file(created_by):
    """The value stands in the Dockerfile: it is taken out of there, and no mount has `<<EOF` for a source."""
    advice = remediation(f"{created_by} # buildkit", Surface.LAYER, "etc/a.yml")

    assert any("Take the value out of the here-document" in step for step in advice.steps)
    assert not any("src=<<" in step or ".dockerignore" in step for step in advice.steps)


@pytest.mark.parametrize(
    ("created_by", "fix"),
    [
        ("COPY .npmrc package.json ./ # buildkit", "Leave .npmrc out: COPY package.json ./"),
        ("COPY a/.npmrc b c /app/ # buildkit", "Leave a/.npmrc out: COPY b c /app/"),
        ("COPY .n* package.json ./ # buildkit", "List **/.npmrc in .dockerignore"),
        ("COPY . /app/ # buildkit", "List .npmrc in .dockerignore"),
    ],
)
def test_a_file_that_is_named_beside_others(created_by, fix):
    """With .dockerignore the COPY would name a file that is not there: it leaves the file out instead."""
    advice = remediation(created_by, Surface.LAYER, "app/.npmrc")

    assert any(step.startswith(fix) for step in advice.steps), advice.steps


def test_a_file_beside_a_here_document():
    """Of several sources the one with the file's name counts."""
    advice = remediation("COPY a.yml <<X /etc/ # buildkit", Surface.LAYER, "etc/a.yml")

    assert any("List a.yml in .dockerignore" in step for step in advice.steps)


@pytest.mark.parametrize(
    ("flags", "context", "stage"),
    [(None, True, True), ((), True, False), (("--chown=1", "--from=build"), False, True)],
)
def test_files_of_another_stage(flags, context, stage):
    """History does not keep --from: both cases are named, unless the user's Dockerfile tells. .dockerignore does
    nothing for another stage."""
    leak = Leak(
        Surface.LAYER, State.LIVE, "root/.npmrc", "COPY /root /root # buildkit", Secret(FAKE.encode()),
        written="" if flags is None else "/root /root", flags=flags,
    )  # fmt: skip

    steps = advise(leak, Redactor([FAKE.encode()])).steps

    assert any("List root/.npmrc in .dockerignore" in step for step in steps) is context
    assert any(".dockerignore does not reach" in step for step in steps) is stage
    assert any("COPY --from=build" in step for step in steps) is (not context)


def test_a_lone_file_of_another_stage():
    """What lies in another stage is no file of the build context."""
    advice = remediation("COPY /root/.npmrc /root/.npmrc # buildkit", Surface.LAYER, "root/.npmrc")

    assert any("src=FILE" in step for step in advice.steps)
    assert any(step.startswith("If it came from another stage") for step in advice.steps)


@pytest.mark.parametrize("created_by", ["COPY . . # buildkit", "COPY app.jar /opt/ # buildkit", "RUN /bin/sh -c mvn"])
@pytest.mark.parametrize(
    "name", ["app.jar", "shop-1.0.whl", "App.class", "settings.py", "main.min.js", "libx.so.1.2", "bin/tool", "a.pyc"]
)
def test_a_value_in_a_program(created_by, name):
    """It belongs out of the source; to mount the program, or to leave it out of the context, helps nobody."""
    advice = remediation(created_by, Surface.LAYER, f"opt/{name}")

    assert any("out of the program's source" in step for step in advice.steps)
    assert not any("--mount=" in step or "List " in step for step in advice.steps)
    assert advice.dockerfile is None
    assert any("browsers" in step for step in advice.steps) is (name == "main.min.js")


def test_objects_of_git_are_mounted_nowhere():
    """The repository stays out of the context; no step needs an object of it."""
    advice = remediation("COPY src /src # buildkit", Surface.LAYER, "src/.git/objects/6d/5aab4746a3")

    assert any("List src/.git in .dockerignore" in step for step in advice.steps)
    assert not any("--mount=" in step for step in advice.steps)


@pytest.mark.parametrize(
    ("created_by", "words"),
    [
        ("ENV STRIPE_KEY={}", "id=stripe_key,env=STRIPE_KEY,required=true"),
        ("ARG GH_PAT={}", "RUN that uses $GH_PAT: RUN --mount=type=secret,id=gh_pat,env=GH_PAT"),
        ("ONBUILD ENV K={}", "ONBUILD RUN --mount=type=secret,id=k,env=K,required=true"),
        ('CMD ["a" "{}"]', "Have the program read a variable or a file instead"),
        ('ENTRYPOINT ["a" "{}"]', "Have the program read a variable or a file instead"),
        ('HEALTHCHECK &{{{{["CMD-SHELL" "get {}"]}}}}', "Have the check read a variable"),
        ("WORKDIR /srv/{}", "Give WORKDIR a name"),
        ("MAINTAINER {}", "Delete it."),
    ],
)
def test_each_declaration_has_its_own_cure(created_by, words):
    """Variables keep their own names in mounts; what no build carries out is not mounted in one."""
    advice = remediation(created_by.format(FAKE))

    assert any(words in step for step in advice.steps), advice.steps
    mounted = created_by.startswith(("ENV", "ARG", "ONBUILD"))
    assert any("--mount=" in step for step in advice.steps) is mounted


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("config.Cmd[1]", "Have the program read"),
        ("config.Healthcheck.Test[1]", "Have the check read"),
        ("config.OnBuild[0]", "ONBUILD RUN --mount="),
        ('config.Labels["a"]', "Delete the label"),
        ("config.Env[3]", "docker run --env-file"),
    ],
)
@pytest.mark.parametrize("surface", [Surface.CONFIG, Surface.METADATA])
def test_a_setting_whose_step_is_unknown(path, words, surface):
    """The setting itself tells what it is for; no layer is blamed for it."""
    advice = remediation(None, surface, path if surface is Surface.CONFIG else f"{'0' * 64}/json: {path}")

    assert any(words in step for step in advice.steps), advice.steps
    assert path.split(".")[1].partition("[")[0] in advice.summary and "layer" not in advice.summary


def test_every_mount_is_as_the_builder_can():
    """No env= and no plain docker build for whoever uses the classic builder; kaniko has none at all."""
    secret = Secret(FAKE.encode())
    places = (f"ENV STRIPE_KEY={FAKE}", Surface.CONFIG), (None, Surface.LAYER), (None, Surface.CONFIG)
    for created_by, surface in places:
        leaks = [Leak(surface, State.LIVE, "a", created_by, secret, (), builder) for builder in Builder]
        for leak in leaks:
            text = " ".join(advise(leak, Redactor([FAKE.encode()])).steps)

            assert (",env=" in text.partition("--mount=")[2].partition("required")[0]) is leak.sets_variables
            assert leak.builder.build("--secret").removesuffix(" .") in text
            assert (KANIKO in text) is (leak.builder is Builder.KANIKO)


def test_provenance_names_the_build_argument():
    """The mount takes the argument's own name."""
    advice = remediation(None, Surface.ATTESTATION, 'sha256:00: predicate.args["build-arg:GHT"]')

    assert any("id=ght,env=GHT" in step for step in advice.steps)


def test_buried_file():
    """For a deleted file the advice says that a later step cannot take bytes out of an earlier layer."""
    assert BURIED in remediation("COPY a /a # buildkit", Surface.LAYER, "a", State.DELETED).steps
    assert BURIED not in remediation("COPY a /a # buildkit", Surface.LAYER, "a").steps


def test_a_common_word_is_not_masked_in_our_own_words():
    """A secret that is a word of the advice is not masked there, for the mask would tell what the secret is."""
    advice = remediation("RUN /bin/sh -c P=secret make # buildkit", secret="secret")

    assert advice.dockerfile == mounts("P") + " \\\n    make"
    assert "*" not in " ".join(advice.steps)


def test_other_secrets_of_the_step_are_masked():
    """A rewritten step of which a part cannot be moved shows no other value either."""
    advice = remediation("/bin/sh -c A=first-fake-value make abc1", secret="first-fake-value", others=["abc"])

    assert advice.dockerfile == mounts("A") + " \\\n    make abc1"


@given(st.text(alphabet="T=' \"$;&|()\\\n<x-:/@", max_size=40), st.text(alphabet="T=' \"$;&|()\\\n<x-:/@", max_size=40))
def test_rewriting_never_shows_the_secret(before, after):
    """Whatever the quoting around it, the rewritten instruction does not hold the secret."""
    step = Step("RUN", before + FAKE + after, shell=True)

    found = rewrite(step, [Secret(FAKE.encode())], str)

    assert found is None or FAKE not in found.dockerfile


@given(st.sampled_from(list(Surface)), st.sampled_from(list(State)), st.text(max_size=40), st.text(max_size=20))
def test_advice_for_anything(surface, state, created_by, path):
    """There is advice for every finding, whatever its step and path, and it does not hold the secret."""
    advice = remediation(created_by + FAKE, surface, path + FAKE, state)

    assert advice.summary and FAKE not in repr(advice)
