"""The chart as Helm renders it."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

CHART = Path(__file__).parents[3] / "deploy" / "helm" / "equirouter"
REPLICAS = """
replicaCount: 3
store: {existingSecret: postgres}
secretEnv: [upstreams]
pipeline: {existingClaim: trained}
ingress: {enabled: true, host: gateway.example.com, tlsSecret: certificate}
autoscaling: {enabled: true, targetInFlight: 50}
serviceMonitor: {enabled: true}
prometheusRule: {enabled: true}
"""


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = shutil.which("helm")
    if command is None:
        pytest.skip("helm is not installed (.ci/run gets it)")
    return subprocess.run([command, *arguments], capture_output=True, text=True, check=False)


def rendered(*arguments: str) -> dict[str, Any]:
    """Kind -> manifest."""
    result = helm("template", "demo", str(CHART), *arguments)
    assert result.returncode == 0, result.stderr
    documents = list(yaml.safe_load_all(result.stdout))
    kinds = {document["kind"]: document for document in documents}
    assert len(kinds) == len(documents)
    return kinds


def container(kinds: dict[str, Any]) -> dict[str, Any]:
    (only,) = kinds["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


@pytest.fixture
def replicas(tmp_path: Path) -> dict[str, Any]:
    values = tmp_path / "values.yaml"
    values.write_text(REPLICAS, "utf-8")
    return rendered("--values", str(values))


def test_helm_finds_nothing_wrong_with_the_chart() -> None:
    result = helm("lint", "--strict", str(CHART))
    assert result.returncode == 0, result.stdout


def test_one_replica_has_a_volume_for_its_database() -> None:
    kinds = rendered()
    assert kinds.keys() == {
        "ServiceAccount",
        "ConfigMap",
        "PersistentVolumeClaim",
        "Service",
        "Deployment",
    }
    assert container(kinds)["env"] == [
        {"name": "EQUIROUTER_STORE_URL", "value": "sqlite:////var/lib/equirouter/gateway.db"}
    ]
    # two pods must never have the file of one SQLite database
    assert kinds["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}


def test_a_change_of_the_settings_rolls_the_pods() -> None:
    def checksum(*arguments: str) -> str:
        pod = rendered(*arguments)["Deployment"]["spec"]["template"]
        return str(pod["metadata"]["annotations"]["checksum/config"])

    assert checksum() == checksum()
    assert checksum() != checksum("--set", "config=[server]")


def test_replicas_share_a_database_and_are_scaled_and_watched(replicas: dict[str, Any]) -> None:
    gateway = container(replicas)
    assert "PersistentVolumeClaim" not in replicas
    assert gateway["env"] == [
        {
            "name": "EQUIROUTER_STORE_URL",
            "valueFrom": {"secretKeyRef": {"name": "postgres", "key": "url"}},
        }
    ]
    assert gateway["envFrom"] == [{"secretRef": {"name": "upstreams"}}]
    mounts = {mount["name"]: mount for mount in gateway["volumeMounts"]}
    assert mounts["pipeline"] == {
        "name": "pipeline",
        "mountPath": "/var/lib/pipeline",
        "readOnly": True,
    }
    # the autoscaler alone sets the number of pods
    assert "replicas" not in replicas["Deployment"]["spec"]
    metrics = replicas["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert [metric["type"] for metric in metrics] == ["Resource", "Pods"]
    assert replicas["PodDisruptionBudget"]["spec"]["minAvailable"] == 1
    (rule,) = replicas["Ingress"]["spec"]["rules"]
    assert [path["path"] for path in rule["http"]["paths"]] == ["/v1"]


def test_every_object_is_found_by_the_labels_that_others_look_for(
    replicas: dict[str, Any],
) -> None:
    labels = replicas["Deployment"]["spec"]["template"]["metadata"]["labels"]
    service = replicas["Service"]
    selectors = [
        service["spec"]["selector"],
        replicas["Deployment"]["spec"]["selector"]["matchLabels"],
        replicas["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
    monitored = replicas["ServiceMonitor"]["spec"]["selector"]["matchLabels"]
    assert monitored.items() <= service["metadata"]["labels"].items()


def test_alarms_keep_the_placeholders_of_prometheus(replicas: dict[str, Any]) -> None:
    spec = replicas["PrometheusRule"]["spec"]
    assert spec == yaml.safe_load((CHART / "rules.yaml").read_text("utf-8"))
    assert "{{ $labels." in str(spec)


def test_an_image_can_be_pinned_by_its_digest() -> None:
    image = container(rendered("--set", "image.tag=0.2.0@sha256:abc"))["image"]
    assert image == "equirouter-gateway:0.2.0@sha256:abc"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "replicaCount=2"], "more than one replica needs store.existingSecret"),
        (["--set", "autoscaling.enabled=true"], "more than one replica needs store.existingSecret"),
        (["--set", "replicas=2"], "additional properties 'replicas' not allowed"),
        (["--set", "service.port=http"], "at '/service/port': got string, want integer"),
    ],
)
def test_values_that_cannot_work_are_refused(arguments: Sequence[str], message: str) -> None:
    result = helm("template", "demo", str(CHART), *arguments)
    assert result.returncode != 0
    assert message in result.stderr
