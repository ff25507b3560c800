"""The files in deploy/: they name metrics and settings that exist, and linters find nothing."""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.metrics import MetricWrapperBase

from equirouter import __version__
from equirouter.serve.settings import GatewaySettings, ServerSettings
from equirouter.serve.settings_file import read_settings
from equirouter.serve.stopping import grace_seconds
from equirouter.serve.watch.prometheus import Metrics

DEPLOY = Path(__file__).parents[3] / "deploy"
CHART = DEPLOY / "helm" / "equirouter"
RULES = DEPLOY / "prometheus" / "rules.yaml"
GRAFANA = DEPLOY / "grafana" / "equirouter.json"
WRITTEN = sorted(
    path.relative_to(DEPLOY).as_posix()
    for path in DEPLOY.rglob("*")
    if path.suffix in (".yaml", ".json") and "templates" not in path.parts
)


def expressions() -> Iterator[str]:
    """Every PromQL expression of the alert rules and of the Grafana dashboard."""
    for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    for panel in json.loads(GRAFANA.read_text("utf-8"))["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def test_alarms_and_charts_are_of_metrics_that_exist() -> None:
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
    known = {
        metric.name + ending
        for metric in Metrics(models=("m",), upstreams=("u",)).registry.collect()
        for ending in endings.get(metric.type, ("",))
    }
    used = {name for one in expressions() for name in re.findall(r"\bequirouter_\w+", one)}
    assert len(used) > 15
    assert used <= known


def labels_of(metrics: Metrics) -> dict[str, set[str]]:
    return {
        name: set(collector._labelnames)
        for collector, names in metrics.registry._collector_to_names.items()
        if isinstance(collector, MetricWrapperBase)
        for name in names
    }


def test_labels_are_those_of_the_metrics() -> None:
    labels = labels_of(Metrics(models=("m",), upstreams=("u",)))
    for one in expressions():
        for name, inside in re.findall(r"\b(equirouter_\w+)\{([^}]*)\}", one):
            asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside))
            base = re.sub(r"_(bucket|count|sum)$", "", name)
            assert asked <= labels[base] | {"job"}, one


DOCS = Path(__file__).parents[3] / "docs"
OPERATIONS = DOCS / "gateway-operations.md"
MULTI = re.MULTILINE | re.DOTALL


def test_the_page_on_watching_has_every_metric_and_alarm() -> None:
    page = (DOCS / "gateway-watching.md").read_text("utf-8")
    rows = [
        (name, kind.lower(), said)
        for kind, part in re.findall(r"^(Counter|Histogram|Gauge)s\b(.*?)(?=^\w)", page, MULTI)
        for name, said in re.findall(r"^- `(equirouter_\w+)`(?:: )?(.*)$", part, re.MULTILINE)
    ]
    metrics = Metrics(models=("m",), upstreams=("u",))
    expected = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name: metric.type
        for metric in metrics.registry.collect()
    }
    assert {name: kind for name, kind, _ in rows} == expected
    labels = labels_of(metrics)
    for name, _, said in rows:
        shown = set(re.findall(r"`(\w+)`", said.partition(":")[0]))
        assert shown - {"kind", "result"} == labels[name] - {"kind", "result"}, name
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    alarms = [rule["alert"] for group in groups for rule in group["rules"]]
    assert re.findall(r"^\| `(EquiRouter\w+)` \|", page, flags=re.MULTILINE) == alarms


def promtool(*arguments: str, cwd: Path) -> None:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    done = subprocess.run([found, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alarms_go_off_when_they_should() -> None:
    promtool("test", "rules", "rules_test.yaml", cwd=RULES.parent)


def test_every_expression_is_promql(tmp_path: Path) -> None:
    rules = [
        {
            "record": f"checked:{number}",
            "expr": one.replace("$__rate_interval", "1m").replace("$__range", "1h"),
        }
        for number, one in enumerate(expressions())
    ]
    (tmp_path / "all.yaml").write_text(
        yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}), "utf-8"
    )
    promtool("check", "rules", "all.yaml", cwd=tmp_path)


def test_panels_do_not_overlap_and_have_numbers_of_their_own() -> None:
    panels = json.loads(GRAFANA.read_text("utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("file", WRITTEN)
def test_files_can_be_read(file: str) -> None:
    text = (DEPLOY / file).read_text("utf-8")
    assert json.loads(text) if file.endswith(".json") else list(yaml.safe_load_all(text))


def test_settings_of_the_containers_are_settings_of_the_gateway() -> None:
    assert not read_settings(DEPLOY / "gateway.toml").is_local
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    settings = GatewaySettings.model_validate(tomllib.loads(values["config"]))
    assert settings.store.url_env == "EQUIROUTER_STORE_URL"


def test_whoever_stops_the_gateway_waits_until_it_has_ended() -> None:
    server = read_settings(DEPLOY / "gateway.toml").server
    period = compose()["services"]["gateway"]["stop_grace_period"]
    assert period == f"{grace_seconds(server):g}s"
    unit = re.search(r"^TimeoutStopSec=(\d+)$", OPERATIONS.read_text("utf-8"), flags=re.MULTILINE)
    assert unit is not None
    assert int(unit[1]) == grace_seconds(ServerSettings())
    beyond = grace_seconds(ServerSettings()) - ServerSettings().shutdown_seconds
    assert f"`shutdown_seconds` and {beyond:g} s more" in OPERATIONS.read_text("utf-8")
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    server = GatewaySettings.model_validate(tomllib.loads(values["config"])).server
    template = (CHART / "templates" / "deployment.yaml").read_text("utf-8")
    before = re.search(r"preStop:.*?time\.sleep\((\d+)\)", template, flags=re.DOTALL)
    assert before is not None
    assert values["terminationGracePeriodSeconds"] == int(before[1]) + grace_seconds(server)


def test_ports_are_published_on_this_machine_only() -> None:
    services = compose()["services"]
    ports = [port for one in services.values() for port in one.get("ports", ())]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)
    gateway = services["gateway"]
    assert gateway["image"].endswith(f":{__version__}")


def test_what_compose_mounts_is_there() -> None:
    for service in compose()["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), volume


def test_a_read_only_service_has_no_secret_that_compose_would_have_to_copy_into_it() -> None:
    """Compose refuses such a file: "non-file secret" in a read-only service."""
    document = compose()
    assert document["services"]["gateway"]["read_only"]
    for service in document["services"].values():
        for name in service.get("secrets", ()) if service.get("read_only") else ():
            assert "file" in document["secrets"][name]


def test_the_gateway_of_compose_has_the_variables_that_its_settings_name() -> None:
    given = compose()["services"]["gateway"]["environment"]
    settings = read_settings(DEPLOY / "gateway.toml")
    named = {one.api_key_env for one in settings.upstreams.values()} | {settings.store.url_env}
    assert named <= given.keys()


def compose() -> dict[str, Any]:
    document = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    assert isinstance(document, dict)
    return document


OURS = re.compile(r"(registry\.example/)?equirouter-\w+:")
"""Images that are built from this repository have no digest before they are built."""
GITHUB = DEPLOY.parent / ".github"


def images_of_others() -> Iterator[str]:
    """Every image that the Dockerfile, the manifests and the workflows name, but ours."""
    dockerfile = (DEPLOY / "Dockerfile").read_text("utf-8")
    sources = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", dockerfile, re.MULTILINE)
    stages = {stage for _, stage in sources}
    yield from (image for image, _ in sources if image not in stages)
    for file in (*DEPLOY.rglob("*.yaml"), *(GITHUB / "workflows").glob("*.yml")):
        named = re.findall(r"^\s*(?:- )?image: (\S+)", file.read_text("utf-8"), re.MULTILINE)
        yield from (image for image in named if "{{" not in image and not OURS.match(image))


def test_images_of_others_are_pinned_by_version_and_digest() -> None:
    images = list(images_of_others())
    assert len(images) >= 4
    for image in images:
        assert re.fullmatch(r"[\w./-]+:[\w.-]*\d\.\d[\w.-]*@sha256:[0-9a-f]{64}", image), image


def test_actions_are_pinned_by_commit_and_say_their_version() -> None:
    text = "".join(file.read_text("utf-8") for file in (GITHUB / "workflows").glob("*.yml"))
    used = re.findall(r"^\s*(?:- )?uses: (.+)$", text, re.MULTILINE)
    assert len(used) >= 8
    for action in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", action), action


def test_newer_images_and_actions_are_proposed() -> None:
    """Every pinned kind has an entry that names its folder, so that pins do not go stale."""
    entries = yaml.safe_load((GITHUB / "dependabot.yml").read_text("utf-8"))["updates"]
    kept = {(entry["package-ecosystem"], entry["directory"]) for entry in entries}
    assert kept == {("github-actions", "/"), ("docker", "/deploy"), ("docker-compose", "/deploy")}


def test_the_image_has_no_root_and_no_torch() -> None:
    lines = (DEPLOY / "Dockerfile").read_text("utf-8").splitlines()
    assert [line for line in lines if line.startswith("USER ")][-1] == "USER 10001:10001"
    commands = [line for line in lines if not line.startswith("#")]
    assert not any(re.search(r"\btorch\b|\[[^]]*\btrain\b", line) for line in commands)


def test_the_gateway_has_no_privilege_and_writes_three_folders() -> None:
    gateway = compose()["services"]["gateway"]
    assert (gateway["cap_drop"], gateway["read_only"]) == (["ALL"], True)
    template = (CHART / "templates" / "deployment.yaml").read_text("utf-8")
    # what the page on security says of the chart, without the placeholders of Helm
    plain = "\n".join(line for line in template.splitlines() if "{{" not in line)
    pod = yaml.safe_load(plain)["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounts = container["volumeMounts"]
    written = {mount["mountPath"] for mount in mounts if not mount.get("readOnly")}
    assert written == {"/var/lib/equirouter", "/var/cache/equirouter", "/tmp"}  # noqa: S108


def test_the_chart_has_the_alarms_and_the_version() -> None:
    assert (CHART / "rules.yaml").read_text("utf-8") == RULES.read_text("utf-8")
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert chart["version"] == chart["appVersion"] == __version__


def test_values_are_those_that_the_schema_and_the_templates_know() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    jsonschema_rs.validator_for(schema).validate(values)
    used = set()
    for template in (CHART / "templates").iterdir():
        used |= set(re.findall(r"\.Values\.([\w.]+)", template.read_text("utf-8")))
    for name in used:
        found: Any = values
        for step in name.split("."):
            assert isinstance(found, dict), name
            assert step in found, name
            found = found[step]
    assert {name.partition(".")[0] for name in used} == set(values)
