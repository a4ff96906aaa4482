"""What scans of whole images advise: the step that must change is named, whatever later steps did to its files."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scanner.advice.remediation import DELETE, unnamed
from testimages.values import github_token
from tests.builders import (
    OCI_INDEX,
    BuiltLayer,
    descriptor_of,
    dumps,
    image_index,
    image_of,
    layer,
    layout_members,
    private_key,
    sha256,
    tar_of,
    write,
)
from tests.conftest import Leakscan

TOKEN = github_token(random.Random("advised"))
TEXT = f"GITHUB_TOKEN={TOKEN}\n"
Advised = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def advised(tmp_path: Path, leakscan: Leakscan) -> Advised:
    """Scans an image of layers: what the report says to do, by the path of the finding."""

    def run(*layers: BuiltLayer, **more: Any) -> dict[str, dict[str, Any]]:
        path = write(tmp_path / "image.tar", image_of(*layers, **more).docker_archive())
        found = json.loads(leakscan("--format", "json", path).stdout)["findings"]
        return {finding["path"]: finding["remediation"] for finding in found if finding["gated"]}

    return run


@pytest.mark.parametrize(
    ("command", "path", "words"),
    [
        ("chmod -R go-rwx /app", "app/.env", "COPY --chmod=... --chown=..."),
        ("chown -R 1000 /app", "app/.env", "COPY --chmod=... --chown=..."),
        ("mv /app/.env /srv/.env", "srv/.env", "better copied to their place by the COPY"),
        ("cp -r /app/. /srv", "srv/.env", "better copied to their place by the COPY"),
    ],
)
def test_a_file_that_a_run_stored_once_more(command: str, path: str, words: str, advised: Advised) -> None:
    """The step that brought the file in is to mend, not the tool that changed or moved it."""
    found = advised(
        layer({"app/.env": TEXT}, created_by="COPY app /app # buildkit"),
        layer({path: TEXT}, created_by=f"RUN /bin/sh -c {command} # buildkit"),
    )[path]

    assert "a tool of this RUN" not in found["summary"]
    what = "it" if path == "app/.env" else "app/.env"
    assert any(f"Keep {what} out at step 0, `COPY app /app`" in step for step in found["steps"])
    assert any(words in step for step in found["steps"])
    assert not any("mounted whole" in step for step in found["steps"])


def test_a_key_that_a_run_moved(advised: Advised) -> None:
    """No step is given an agent because an earlier one brought a key in and this one moved it."""
    key = private_key("moved")
    found = advised(
        layer({"tmp/id_rsa": key}, created_by="COPY id_rsa /tmp/id_rsa # buildkit"),
        layer({"root/.ssh/id_rsa": key}, created_by="RUN /bin/sh -c mv /tmp/id_rsa /root/.ssh/id_rsa # buildkit"),
        layer({"x": "y"}, created_by="RUN /bin/sh -c cp /tmp/.npmrc /root/.npmrc # buildkit"),
    )["root/.ssh/id_rsa"]

    assert found["dockerfile"] is None
    assert any("Keep tmp/id_rsa out at step 0" in step for step in found["steps"])


def test_a_value_that_a_tool_took_from_an_earlier_file(advised: Advised) -> None:
    """Where the command may have read the value in another file, that is said beside what to do about the command."""
    found = advised(
        layer({"app/.env": TEXT}, created_by="COPY app /app # buildkit"),
        layer({"srv/settings": TEXT}, created_by="RUN /bin/sh -c make # buildkit"),
    )["srv/settings"]

    assert any("Keep app/.env out at step 0" in step and "may have found it" in step for step in found["steps"])
    assert any("id=settings,target=/srv/settings,required=true" in step for step in found["steps"])


def test_a_mount_of_a_whole_file_is_built_as_the_builder_builds(advised: Advised) -> None:
    """The classic builder's images are built with BuildKit switched on."""
    found = advised(layer({"etc/pip.conf": TEXT}, created_by="/bin/sh -c pip config set x y"))["etc/pip.conf"]

    assert any("DOCKER_BUILDKIT=1 docker build --secret id=pipconf,src=FILE ." in step for step in found["steps"])


@pytest.mark.parametrize(
    ("user", "flag"),
    [("USER 1000:1000", ",uid=1000"), ("USER node", ",mode=0444"), ("USER root", ""), ("USER 0:0", ""), ("", "")],
)
@pytest.mark.parametrize("words", ["RUN /bin/sh -c {} # buildkit", "/bin/sh -c {}"])
def test_a_mounted_file_can_be_read_by_the_user_of_its_step(
    user: str, flag: str, words: str, advised: Advised
) -> None:
    """A mounted file is root's own: a step that is run as another user would not get it, or go on without."""
    buildkit = words.startswith("RUN")
    copied, run, read = "COPY .npmrc /app/", words.format("npm ci"), words.format(f"T={TOKEN} sh -c make")
    keyword = user if buildkit else f"/bin/sh -c #(nop)  {user}"
    texts = [copied if buildkit else f"/bin/sh -c #(nop) {copied}", *([keyword] if user else []), run, read]
    history = [{"created_by": text, "empty_layer": text == keyword} for text in texts]
    npmrc = f"//npm.internal.example/:_authToken={TOKEN}\n"
    found = advised(layer({"app/.npmrc": npmrc}), layer({"x": "1"}), layer({"y": "2"}), history=history)

    mount = f"--mount=type=secret,id=npmrc,target=/app/.npmrc{flag},required=true"
    assert mount in found["app/.npmrc"]["dockerfile"]
    inline = found[f"history[{len(texts) - 1}].created_by"]
    reading = inline["dockerfile"] if not buildkit else " ".join(inline["steps"])
    assert f"--mount=type=secret,id=t{flag},required=true" in reading
    assert not buildkit or "--mount=type=secret,id=t,env=T,required=true" in inline["dockerfile"]


def test_the_digest_that_a_tag_points_to(tmp_path: Path, leakscan: Leakscan) -> None:
    """Where a tag points to an index, deleting the image's own manifest leaves the tag; and the tag by itself is no
    second name."""
    image = image_of(layer({"app/.env": TEXT}, created_by="COPY app /app # buildkit"))
    index = image_index(image)
    names = {"io.containerd.image.name": "docker.io/library/shop:1", "org.opencontainers.image.ref.name": "1"}
    top = dumps({"schemaVersion": 2, "manifests": [descriptor_of(index, OCI_INDEX, annotations=names)]})
    path = write(tmp_path / "image.tar", tar_of(*layout_members(image, index=top, blobs=[index])))

    [found] = [each for each in json.loads(leakscan("--format", "json", path).stdout)["findings"] if each["gated"]]

    [delete] = [step for step in found["remediation"]["steps"] if step.startswith("Delete the leaked image")]
    at = f"docker.io/library/shop:1 at {sha256(index)} (the index of {sha256(image.manifest())}), attestations"
    assert f"by digest, with all its tags, here {at}" in delete
    assert unnamed(delete) == DELETE


def test_a_value_of_several_lines_is_masked_in_a_step_that_is_told(advised: Advised) -> None:
    """Where a sentence names an earlier step, the lines of a key in its text are not joined before it is redacted."""
    key = private_key("told").decode()
    found = advised(
        layer({"tmp/id_rsa": key}, created_by=f"RUN /bin/sh -c cat > /tmp/id_rsa <<EOT\n{key}EOT\n # buildkit"),
        layer({"root/id_rsa": key}, created_by="RUN /bin/sh -c mv /tmp/id_rsa /root/id_rsa # buildkit"),
    )["root/id_rsa"]

    assert any("Keep tmp/id_rsa out at step 0, `RUN cat > /tmp/id_rsa" in step for step in found["steps"])
    assert not any(line in json.dumps(found) for line in key.splitlines()[1:-1])


def test_an_image_for_windows(advised: Advised) -> None:
    """Its builds have no secret mounts, so none is proposed."""
    step = f"RUN |1 TOKEN={TOKEN} cmd /S /C nuget restore # buildkit"

    for platform, mounts in (("windows/amd64", False), ("linux/amd64", True)):
        [remedy] = advised(layer({"a": ""}, created_by=step), platform=platform).values()

        assert any("--mount=" in text for text in (*remedy["steps"], remedy["dockerfile"] or "")) is mounts
