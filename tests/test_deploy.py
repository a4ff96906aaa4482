"""The chart and the manifests made from it: rendered by helm, held to the schemas of Kubernetes, and run.

There is no cluster here. What is shown: every object is one that the API of several versions takes; the defaults are
the safe ones; the arguments, the certificate, the token and the path that the chart gives to each side fit together, as
a review sent as the API server would send it is answered by the program. Objects of cert-manager and of policy engines
have no schema here: of these only that they are YAML, and that names fit.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from scanner import __version__
from tests.engine import free_port
from tests.serving import awaited

DEPLOY = Path(__file__).parent.parent / "deploy"
CHART = DEPLOY / "helm" / "leakscan"
VERSIONS = ("1.30", "1.37")
BASE = ("registries={registry.example}",)
GENERATED = (*BASE, "tls.certManager.enabled=false", "tls.generate=true")
VARIANTS = {
    "defaults": BASE,
    "generated": GENERATED,
    "audit": (*BASE, "policy.audit=true", "webhook.exemptNamespaces={cert-manager,cilium}"),
    "own certificate": (*BASE, "tls.certManager.enabled=false", "tls.existingSecret=cert", "tls.caBundle=PEM"),
    "postgresql": (*BASE, "store.existingSecret=db", "replicas=3", "networkPolicy.egressPorts={443,5432}"),
    "own secrets": (*BASE, "tokens.existingSecret=t", "webhook.token=abc", "key.existingSecret=k",
                    "registryCredentials.existingSecret=r", "image.pullSecrets[0].name=p"),
    "everything else": (
        "anyRegistry=true", "image.digest=sha256:1", "webhook.pin=false", "webhook.templates=false",
        "webhook.failurePolicy=Ignore", "publicUrl=https://leaks.example", "priorityClassName=high",
        "nodeSelector.disk=ssd", "tolerations[0].operator=Exists", "extraEnv[0].name=A", "extraEnv[0].value=b",
        "networkPolicy.ingressFrom[0].ipBlock.cidr=10.0.0.0/8", "podAnnotations.a=b", "plain=true",
        "tls.certManager.issuerRef.kind=ClusterIssuer", "tls.certManager.issuerRef.name=corporate",
        "tls.extraNames={leaks.example}", "store.volume.storageClassName=fast",
        "webhook.namespaceExpressions[0].key=team", "webhook.namespaceExpressions[0].operator=Exists",
    ),
    "no webhook": (*BASE, "webhook.enabled=false", "podDisruptionBudget.enabled=false", "networkPolicy.enabled=false"),
}  # fmt: skip


@pytest.fixture(scope="module")
def helm() -> str:
    """The program helm."""
    found = shutil.which("helm")
    if found is None:
        pytest.skip("there is no helm; .ci/helm installs it")
    return found


def rendered(helm: str, *settings: str, arguments: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The objects of a release named leakscan in a namespace of that name."""
    flags = [word for setting in settings for word in ("--set", setting)]
    done = subprocess.run(
        [helm, "template", "leakscan", CHART, "--namespace", "leakscan", *flags, *arguments],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise ValueError(done.stderr)
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def of_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The one object of a kind."""
    [found] = [each for each in objects if each["kind"] == kind]
    return found


def webhooks(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Webhooks by the first part of their names."""
    found = [hook for each in objects if each["kind"].endswith("WebhookConfiguration") for hook in each["webhooks"]]
    return {hook["name"].partition(".")[0]: hook for hook in found}


# --- schemas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_object_is_one_that_kubernetes_takes(helm: str, variant: str) -> None:
    """Strictly: a field that the API does not know fails."""
    checked = 0
    for each in rendered(helm, *VARIANTS[variant]):
        if not each["apiVersion"].startswith("cert-manager.io/"):
            for version in VERSIONS:
                kubernetes_validate.validate(each, version, strict=True)
            checked += 1

    assert checked >= 5


@pytest.mark.parametrize("name", ["leakscan.yaml", "webhook.yaml", "namespace.yaml"])
def test_the_manifests_are_what_kubernetes_takes(name: str) -> None:
    """Without helm as well."""
    for each in yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text()):
        if not each["apiVersion"].startswith("cert-manager.io/"):
            kubernetes_validate.validate(each, VERSIONS[-1], strict=True)


@pytest.mark.parametrize(
    ("name", "more"),
    [("leakscan.yaml", ("--set", "webhook.enabled=false")),
     ("webhook.yaml", ("--show-only", "templates/webhook.yaml"))],
)  # fmt: skip
def test_the_manifests_are_made_from_the_chart(helm: str, name: str, more: tuple[str, ...]) -> None:
    """`make manifests` was run after the last change."""
    values = ("--values", str(DEPLOY / "kubernetes" / "values.yaml"))

    found = rendered(helm, arguments=(*values, *more))

    assert found == list(yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text()))


def test_helm_finds_nothing_to_complain_of(helm: str) -> None:
    """helm lint."""
    done = subprocess.run([helm, "lint", "--strict", CHART, "--set", BASE[0]], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


def test_every_value_is_used_and_every_use_has_a_value() -> None:
    """A misspelt value would be ignored without a word."""
    def leaves(value: Any, path: str) -> Iterator[str]:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                yield from leaves(inner, f"{path}.{key}")
        else:
            yield path

    values = set(leaves(yaml.safe_load((CHART / "values.yaml").read_text()), ""))
    text = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    used = {match.removesuffix(".") for match in re.findall(r"\.Values((?:\.\w+)+)", text)}
    image = {f".image{match}" for match in re.findall(r"\$image((?:\.\w+)+)", text)}

    def within(path: str, others: set[str]) -> bool:
        return any(path == other or path.startswith(f"{other}.") or other.startswith(f"{path}.") for other in others)

    assert [path for path in values if not within(path, used | image)] == []
    assert [path for path in used if not within(path, values)] == []


def test_the_chart_is_of_this_version() -> None:
    """Its default tag is the image of the program beside it."""
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__


# --- what is safe ----------------------------------------------------------------------------------------------------


def test_a_cluster_can_always_start_the_judge(helm: str) -> None:
    """Neither kube-system nor the namespace of the release is judged, whatever else is exempt."""
    for settings in (BASE, VARIANTS["audit"], VARIANTS["everything else"]):
        for hook in webhooks(rendered(helm, *settings)).values():
            [first, *_] = hook["namespaceSelector"]["matchExpressions"]
            assert (first["key"], first["operator"]) == ("kubernetes.io/metadata.name", "NotIn")
            assert {"leakscan", "kube-system", "kube-node-lease"} <= set(first["values"])


def test_what_is_not_answered_is_refused(helm: str) -> None:
    """failurePolicy Fail for pods; templates and pins decide nothing, so they stop nothing."""
    found = webhooks(rendered(helm, *BASE))

    assert {name: hook["failurePolicy"] for name, hook in found.items()} == {
        "pods": "Fail", "templates": "Ignore", "pin": "Ignore",
    }  # fmt: skip
    assert all(hook["sideEffects"] in ("None", "NoneOnDryRun") for hook in found.values())
    assert all(hook["admissionReviewVersions"] == ["v1"] and hook["timeoutSeconds"] <= 10 for hook in found.values())


def test_audit_mode_stops_nothing(helm: str) -> None:
    """Not even when nobody answers."""
    objects = rendered(helm, *VARIANTS["audit"])

    assert {hook["failurePolicy"] for hook in webhooks(objects).values()} == {"Ignore"}
    assert "--audit-mode" in arguments_of(objects)


def test_pods_and_what_is_added_to_them_is_judged(helm: str) -> None:
    """Creation, change, and ephemeral containers, in the only version that there is."""
    rules = webhooks(rendered(helm, *BASE))["pods"]["rules"]

    found = {(what, operation) for rule in rules for what in rule["resources"] for operation in rule["operations"]}
    assert found == {("pods", "CREATE"), ("pods", "UPDATE"), ("pods/ephemeralcontainers", "UPDATE")}


def test_the_pod_can_do_nothing_that_it_need_not(helm: str) -> None:
    """The restricted profile of Pod Security, a read-only root, and no way to the API server."""
    objects = rendered(helm, *BASE)
    spec = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
    [container] = spec["containers"]

    assert spec["automountServiceAccountToken"] is False
    assert of_kind(objects, "ServiceAccount")["automountServiceAccountToken"] is False
    assert not [each for each in objects if "Role" in each["kind"]]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "privileged": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert container["resources"]["limits"]["memory"]
    mounted = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert mounted == {"/tmp", "/opt/cache", "/opt/state"}


def test_the_network_is_open_for_what_is_needed(helm: str) -> None:
    """One port in; names and registries out."""
    policy = of_kind(rendered(helm, *BASE), "NetworkPolicy")["spec"]

    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [port["port"] for rule in policy["ingress"] for port in rule["ports"]] == ["https"]
    assert sorted(port["port"] for rule in policy["egress"] for port in rule["ports"]) == [53, 53, 443]


def test_a_volume_has_one_writer(helm: str) -> None:
    """Two processes on one SQLite file would be one too many, also for the moment of an update."""
    assert of_kind(rendered(helm, *BASE), "Deployment")["spec"]["strategy"]["type"] == "Recreate"
    assert of_kind(rendered(helm, *VARIANTS["postgresql"]), "Deployment")["spec"]["strategy"]["type"] == "RollingUpdate"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((), "registries: name at least one"),
        ((*BASE, "replicas=2"), "replicas: one process has a SQLite store for itself"),
        ((*BASE, "tls.generate=true"), "tls: choose one of"),
        ((*BASE, "tls.certManager.enabled=false"), "tls: choose one of"),
        ((*BASE, "tls.certManager.enabled=false", "tls.existingSecret=x"), "tls.existingSecret needs tls.caBundle"),
        ((*BASE, "tokens.existingSecret=x"), "tokens.existingSecret: give webhook.token too"),
    ],
)
def test_values_that_cannot_work_are_refused(helm: str, settings: tuple[str, ...], message: str) -> None:
    """With a word that says what to do, and before anything is in the cluster."""
    with pytest.raises(ValueError, match=message):
        rendered(helm, *settings)


# --- both sides together ---------------------------------------------------------------------------------------------


def arguments_of(objects: list[dict[str, Any]]) -> list[str]:
    """What the container is started with."""
    [container] = of_kind(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    found: list[str] = container["args"]
    return found


def secrets_of(objects: list[dict[str, Any]]) -> dict[str, dict[str, bytes]]:
    """The contents of Secrets by name."""
    found = {}
    for each in objects:
        if each["kind"] == "Secret":
            data = {key: base64.b64decode(value) for key, value in each.get("data", {}).items()}
            found[each["metadata"]["name"]] = data | {k: v.encode() for k, v in each.get("stringData", {}).items()}
    return found


def mounted(objects: list[dict[str, Any]], root: Path) -> dict[str, str]:
    """Lay out what the pod mounts below *root*; mount paths → directories."""
    spec = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    places = {}
    for mount in spec["containers"][0]["volumeMounts"]:
        folder = root / mount["name"]
        folder.mkdir()
        places[mount["mountPath"]] = str(folder)
        if secret := volumes[mount["name"]].get("secret"):
            content = secrets_of(objects)[secret["secretName"]]
            items = secret.get("items") or [{"key": key, "path": key} for key in content]
            for item in items:
                (folder / item["path"]).write_bytes(content[item["key"]])
    return places


def sent(hook: dict[str, Any], port: int, body: dict[str, Any]) -> tuple[int, Any]:
    """POST a review to a webhook as the API server does: by the service's name, trusting the bundle alone."""
    service = hook["clientConfig"]["service"]
    name = f"{service['name']}.{service['namespace']}.svc"
    context = ssl.create_default_context(cadata=base64.b64decode(hook["clientConfig"]["caBundle"]).decode())
    connection = http.client.HTTPSConnection(name, port, context=context, timeout=30)
    raw = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sock = context.wrap_socket(raw, server_hostname=name)
    try:
        connection.request("POST", service["path"], json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_the_api_server_and_the_pod_of_the_chart_understand_each_other(helm: str, tmp_path: Path) -> None:
    """The program runs with the pod's arguments, files and variables; reviews go to the webhooks' paths with their
    bundle: certificate, names, token, port and doors all come from the chart."""
    objects = rendered(helm, *GENERATED, "jobs=1")
    places = mounted(objects, tmp_path)
    port = free_port()
    file = re.compile(r"^(--[\w-]+=)(/\w+)(?=/)")
    arguments = [file.sub(lambda found: found[1] + places[found[2]], each) for each in arguments_of(objects)]
    assert arguments[:2] == ["serve", "--listen=:8443"]
    [container] = of_kind(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["ports"][0]["containerPort"] == 8443
    arguments[1] = f"--listen=127.0.0.1:{port}"
    [variable] = container["env"]
    secret = variable["valueFrom"]["secretKeyRef"]
    key = secrets_of(objects)[secret["name"]][secret["key"]]
    environment = {
        "PATH": os.environ["PATH"], "HOME": places["/tmp"], "TMPDIR": places["/tmp"], variable["name"]: key.decode(),
        "XDG_STATE_HOME": places["/opt/state"], "XDG_CACHE_HOME": places["/opt/cache"],
    }  # fmt: skip
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen([sys.executable, "-m", "scanner", *arguments], env=environment, stderr=log)
    try:
        awaited(lambda: "serving on https" in (tmp_path / "log").read_text() or process.poll() is not None)
        hooks = webhooks(objects)
        pod = {"spec": {"containers": [{"name": "c", "image": f"registry.example/a@sha256:{'1' * 64}"}]}}
        kind = {"group": "", "version": "v1", "kind": "Pod"}
        request = {"uid": "u1", "kind": kind, "operation": "CREATE", "object": pod}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}

        for name, allowed in (("pods", False), ("templates", False), ("pin", True)):
            status, answer = sent(hooks[name], port, review)
            assert (status, answer["response"]["uid"], answer["response"]["allowed"]) == (200, "u1", allowed)
        _, denied = sent(hooks["pods"], port, review)
        assert "was not scanned yet; its scan is on its way" in denied["response"]["status"]["message"]
        wrong = json.loads(json.dumps(hooks["pods"]))
        wrong["clientConfig"]["service"]["path"] = "/kubernetes/validate/another"
        assert sent(wrong, port, review)[0] == 401
    finally:
        process.terminate()
        process.wait()


def test_names_in_the_gatekeeper_example_fit_the_chart(helm: str) -> None:
    """Its provider leads to the service that the chart makes, by a door that there is."""
    from scanner.serve.gatekeeper import DOORS

    service = of_kind(rendered(helm, *BASE), "Service")
    provider = next(yaml.safe_load_all((DEPLOY / "policies" / "gatekeeper.yaml").read_text()))
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]

    prefix = f"https://{name}.{namespace}.svc:{service['spec']['ports'][0]['port']}"
    assert provider["spec"]["url"].startswith(prefix)
    assert provider["spec"]["url"].removeprefix(prefix).replace("TOKEN", "{token}") in {door.path for door in DOORS}
