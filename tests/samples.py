"""What the images that real tools made hold, by the Dockerfile they were built from.

The images are not part of the project; LEAKSCAN_SHARED names the folder that has them. Their marks are words, not
token-shaped: they tell whether every surface reaches the detectors, and no rule knows them.
"""

from __future__ import annotations

#: mark, surface, the path holds, state
Mark = tuple[str, str, str, str]

INLINE, ARGUMENT, FILE = "s3cr3t-inline@server", "BARGSECRET@server", "s3cr3t-FILE-c"
MARKS = (
    INLINE, ARGUMENT, FILE, "cliargsecretEEE", "envsecret-EEE", "labelsecret-EEE", "cmdsecretEEE", "entrysecretEEE",
    "hcsecretEEE", "onbuildsecretEEE", "SECRETEXEC-EEE", "defaulttok-EEE", "heredocsecretGGG", "copyheredocGGG",
    "heredocA-III", "heredocB-III", "shebangheredocIII", "jargsecretJJJ", "nsecretNNN", "proxysecretNNN",
    "annotsecretLLL", "annotmdLLL", "data-secretEEE",
)  # fmt: skip

_SETTINGS: tuple[Mark, ...] = (
    ("cmdsecretEEE", "config", "config.Cmd[1]", "live"),
    ("entrysecretEEE", "config", "config.Entrypoint[1]", "live"),
    ("envsecret-EEE", "config", "config.Env[1]", "live"),
    ("labelsecret-EEE", "config", "config.Labels.tok", "live"),
    ("cmdsecretEEE", "history", "history[", "live"),
    ("entrysecretEEE", "history", "history[", "live"),
    ("envsecret-EEE", "history", "history[", "live"),
    ("labelsecret-EEE", "history", "history[", "live"),
    ("hcsecretEEE", "history", "history[", "live"),
    ("cliargsecretEEE", "history", "history[", "live"),
    ("SECRETEXEC-EEE", "history", "history[", "live"),
    ("data-secretEEE", "history", "history[", "live"),
    ("data-secretEEE", "config", "config.Volumes[", "live"),
)
_HARD_LINK: tuple[Mark, ...] = (
    (FILE, "layer", "x", "overwritten"),
    (FILE, "layer", "hard", "overwritten"),
    (FILE, "layer", "hard", "live"),
)
_COPIED: tuple[Mark, ...] = (
    (ARGUMENT, "layer", "fromb/left.txt", "live"),
    (ARGUMENT, "layer", "fromb/root/.cache/pip/log.txt", "live"),
)
_HEREDOCS: tuple[Mark, ...] = (
    ("heredocA-III", "history", "history[3]", "live"),
    ("heredocB-III", "history", "history[3]", "live"),
    ("heredocA-III", "layer", "f1", "live"),
    ("heredocB-III", "layer", "f2", "live"),
)

#: by the letter of the Dockerfile; builders that leave something out are told apart in EXCEPT
CASES: dict[str, tuple[Mark, ...]] = {
    "a": ((INLINE, "history", "history[2]", "live"), (INLINE, "layer", "root/.cache/pip/log.txt", "live")),
    "b": (),
    "c": (),
    "c2": (),
    "d": ((FILE, "layer", "root/.netrc", "deleted"), (FILE, "layer", "d/x", "hidden")),
    "e": (
        *_SETTINGS,
        ("hcsecretEEE", "config", "config.Healthcheck", "live"),
        ("onbuildsecretEEE", "config", "config.OnBuild[0]", "live"),
    ),
    "e by buildah": (*_SETTINGS, ("onbuildsecretEEE", "history", "history[", "live")),
    "f": ((FILE, "layer", "root/.config/pip/pip.conf", "live"),),
    "g": (("heredocsecretGGG", "history", "history[2]", "live"), ("copyheredocGGG", "layer", "etc/conf.ini", "live")),
    "h": (
        (FILE, "layer", "root/.cache/pip/log.txt", "live"),
        (FILE, "layer", "tmp/build-env.log", "live"),
    ),
    "i": _HEREDOCS,
    "j": (
        ("jargsecretJJJ", "config", "config.Env[1]", "live"),
        ("jargsecretJJJ", "config", "config.Labels.t", "live"),
        ("jargsecretJJJ", "config", "config.User", "live"),
        ("jargsecretJJJ", "config", "config.WorkingDir", "live"),
        ("jargsecretJJJ", "history", "history[2]", "live"),
        ("jargsecretJJJ", "history", "history[8]", "live"),
        ("jargsecretJJJ", "layer", "data/*************", "live"),
        ("jargsecretJJJ", "layer", "w/*************", "live"),
    ),
    "k": (
        (FILE, "layer", "root/netrc.bak", "live"),
        (FILE, "layer", "tmp/fname-*************", "live"),
        (FILE, "layer", "tmp/symlink", "live"),
    ),
    "l": _COPIED,
    "m": _HARD_LINK,
    "m by containerd": ((FILE, "layer", "x", "deleted"), *_HARD_LINK[1:]),
    "n": (
        ("nsecretNNN", "config", "config.Env[1]", "live"),
        ("nsecretNNN", "history", "history[2]", "live"),
        ("nsecretNNN", "history", "history[4]", "live"),
    ),
}

#: sample → the case it was built from; attestations come on top where they say so
SAMPLES: dict[str, tuple[str, tuple[Mark, ...]]] = {
    **{f"engine20/save20-{letter}-{builder}.tar": (letter, ())
       for letter, builders in {"a": "bk cl", "b": "bk cl", "c": "bk", "c2": "bk", "d": "bk cl", "e": "bk cl",
                                "f": "bk", "m": "bk cl"}.items()
       for builder in builders.split()},
    **{f"engine28-graph/{letter}.tar": (letter, ()) for letter in "a b c c2 d e f g h i j k l m".split()},
    "engine28-containerd/save28ctd-a.tar": ("a", ()),
    "engine28-containerd/save28ctd-c.tar": ("c", ()),
    "engine28-containerd/save28ctd-i-max.tar": ("i", ()),
    "engine28-containerd/save28ctd-ip-max.tar": (
        "i", (("heredocA-III", "attestation", "predicate.buildConfig.llbDefinition[", "live"),)),
    "engine28-containerd/save28ctd-l-inline.tar": ("l", ()),
    "engine28-containerd/save28ctd-l-max.tar": (
        "l", ((ARGUMENT, "attestation", 'predicate.invocation.parameters.args["build-arg:TOOL_URL"]', "live"),)),
    "engine28-containerd/save28ctd-m.tar": ("m by containerd", ()),
    "engine28-containerd/save28ctd-n.tar": (
        "n", (("proxysecretNNN", "attestation", "predicate.invocation.parameters.args[", "live"),)),
    "oci/docker-exporter.tar": ("l", ()),
    "oci/oci-attest.tar": ("l", ((ARGUMENT, "attestation", "predicate.invocation.parameters.args[", "live"),)),
    "oci/oci-encrypted.tar": ("a without layers", ((INLINE, "history", "history[2]", "live"),)),
    "oci/oci-max.tar": ("l", ()),
    "oci/oci-prov-max-v1.tar": (
        "l", ((ARGUMENT, "attestation", "predicate.buildDefinition.externalParameters", "live"),)),
    "oci/oci-prov-min-v1.tar": ("l", ()),
    "oci/oci-uncomp.tar": ("l", ((ARGUMENT, "attestation", "predicate.invocation.parameters.args[", "live"),)),
    "oci/oci-v1prov": ("l", (
        (ARGUMENT, "attestation", "predicate.buildDefinition.externalParameters", "live"),
        ("annotmdLLL", "annotation", 'manifests[0].annotations["com.ex.md"]', "live"),
        ("annotsecretLLL", "annotation", 'annotations["com.ex.tok"]', "live"),
    )),
    "oci/oci-zstd.tar": ("l", ()),
    "buildah/buildah-c.tar": ("a", ()),
    "buildah/buildah-dir": ("a", ()),
    "buildah/buildah-zstdchunked.tar": ("a", ()),
    "buildah/buildah-e.tar": ("e by buildah", ()),
    "buildah/buildah-e--layers.tar": ("e by buildah", ()),
    "buildah/buildah-e--squash.tar": ("e by buildah", ()),
    "buildah/buildah-e-dockerarchive.tar": ("e by buildah", ()),
    "schema1-dir": ("e in schema 1", (
        ("envsecret-EEE", "history", "v1Compatibility", "live"),
        ("onbuildsecretEEE", "history", "v1Compatibility", "live"),
        ("cliargsecretEEE", "history", "v1Compatibility", "live"),
    )),
}  # fmt: skip
