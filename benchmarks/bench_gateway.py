"""Cost of the gateway and of other proxies: latency, requests per second, memory, start.

    python benchmarks/bench_gateway.py [--rounds 5] [--seconds 3] [--litellm PYTHON]
                                       [--portkey FOLDER]
    python benchmarks/bench_gateway.py --soak 60          memory over an hour of load
    python benchmarks/bench_gateway.py --messages         what /v1/messages adds, as AIGatewayBench
    python benchmarks/bench_gateway.py --starts           from the start of the process to ready

A fake provider (gateway_upstream.py) answers at once; the load (gateway_load.py) comes from a
process of its own. Every system is asked in turn, round after round, and the table has medians over
rounds. The gateway runs with a key, its budget, the decision log and the metrics on. `passthrough`
is a bare proxy (gateway_passthrough.py, needs starlette and uvicorn[standard]); `litellm` is
LiteLLM's proxy with one model, run by --litellm, the Python of an environment with litellm[proxy].
--portkey is a folder in which `npm install @portkey-ai/gateway` ran.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from pages import read_csv, record

from equirouter.pipeline.versions import current_folder

HERE = Path(__file__).parent
UPSTREAM, PASSTHROUGH, LITELLM, PORTKEY = 19000, 19001, 19002, 19003
GATEWAYS = {"static": 19010, "int8": 19011, "lexical": 19012}
WORDS = ("river", "stone", "garden", "winter", "letter", "music", "bridge", "market")
TRAIN = {
    "static": ["--encoder", "static"],
    "lexical": ["--encoder", "lexical"],
    "int8": ["--encoder", "minilm", "--window", "head", "--precision", "int8"],
}
NAMED = "mistralai/mixtral-8x7b-chat"


def texts_of(tokens: int, n: int = 512) -> list[str]:
    """Different texts of so many tokens: every word is one, and two more mark the ends."""
    words = (WORDS[(i // 8**place + place) % 8] for i in range(n) for place in range(tokens - 2))
    return [" ".join(islice(words, tokens - 2)) for _ in range(n)]


@dataclass(frozen=True)
class Case:
    """One row of the table: which server is asked, and for what."""

    name: str
    port: int
    model: str
    tokens: int = 20
    keyed: bool = False
    headers: tuple[str, ...] = ()
    streams: bool = True

    def bodies(self, folder: Path, stream: bool) -> Path:
        """A file of requests, each with another text."""
        lines = []
        for text in texts_of(self.tokens):
            document: dict[str, Any] = {
                "model": self.model,
                "messages": [{"role": "user", "content": text}],
                "max_tokens": 64,
            }
            lines.append(json.dumps(document | ({"stream": True} if stream else {})))
        path = folder / f"{self.name.replace(' ', '-')}{'-stream' if stream else ''}.jsonl"
        path.write_text("\n".join(lines))
        return path


CASES = (
    Case("the provider itself", UPSTREAM, "fake"),
    Case("pass-through", PASSTHROUGH, "fake"),
    Case("pass-through, 256 tokens", PASSTHROUGH, "fake", 256),
    Case("LiteLLM's proxy", LITELLM, "fake"),
    Case(
        "Portkey's gateway",
        PORTKEY,
        "fake",
        headers=(
            "x-portkey-provider: openai",
            f"x-portkey-custom-host: http://127.0.0.1:{UPSTREAM}/v1",
            "authorization: Bearer none",
        ),
        streams=False,  # 1.15.2 answers them with a 500
    ),
    Case("named model", GATEWAYS["static"], NAMED, keyed=True),
    Case("`static`, 20 tokens", GATEWAYS["static"], "equirouter/auto", keyed=True),
    Case("`static`, 256 tokens", GATEWAYS["static"], "equirouter/auto", 256, keyed=True),
    Case("`lexical`, 20 tokens", GATEWAYS["lexical"], "equirouter/auto", keyed=True),
    Case("`lexical`, 256 tokens", GATEWAYS["lexical"], "equirouter/auto", 256, keyed=True),
    Case("int8, 20 tokens", GATEWAYS["int8"], "equirouter/auto", keyed=True),
    Case("int8, 256 tokens", GATEWAYS["int8"], "equirouter/auto", 256, keyed=True),
)


def train(folder: Path) -> None:
    for name, options in TRAIN.items():
        if not (folder / name / "current.json").exists():
            command = ["train", "simulated", *options, "--quality", "0.9", "--quiet"]
            run_equirouter([*command, "--out", str(folder / name)])


def run_equirouter(arguments: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "equirouter", *arguments], check=True, stdout=subprocess.PIPE
    )
    return done.stdout.decode()


def configuration(folder: Path, name: str, workers: int = 1, batch: int | None = None) -> Path:
    """gateway.toml of one gateway, all models served by the fake provider."""
    pipeline = json.loads((current_folder(folder / name) / "pipeline.json").read_text())
    store = folder / f"{name}-{workers}.db"
    lines = [
        f"[server]\nport = {GATEWAYS[name]}\nworkers = {workers}",
        f'[pipeline]\npath = "{folder / name}"',
        *([] if batch is None else [f"batch_size = {batch}"]),
        f'[store]\nurl = "sqlite:///{store}"',
        f'[upstreams.fake]\nbase_url = "http://127.0.0.1:{UPSTREAM}/v1"\nauth = "none"',
    ]
    lines += [f'[models."{model["name"]}"]\nupstream = "fake"' for model in pipeline["models"]]
    path = folder / f"{name}-{workers}.toml"
    path.write_text("\n\n".join(lines) + "\n")
    return path


def make_key(config: Path) -> str:
    output = run_equirouter(
        ["keys", "create", str(config), "--name", "bench", "--budget-usd", "1000000", "--json"]
    )
    return str(json.loads(output)["key"])


@contextmanager
def process(command: list[str], log: Path, env: dict[str, str] | None = None) -> Iterator[int]:
    """A server that is ended with what it started, whatever happens."""
    with log.open("ab") as out:
        started = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    try:
        yield started.pid
    finally:
        os.killpg(started.pid, signal.SIGTERM)
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def wait_for(port: int, log: Path, path: str | None = None, seconds: float = 60) -> float:
    """Seconds until the port answers; path: until GET of it answers 200."""
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        try:
            if path is None:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                return time.perf_counter() - start
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=1) as answer:
                if answer.status == 200:
                    return time.perf_counter() - start
        except OSError:
            time.sleep(0.005)
    raise SystemExit(f"port {port} does not answer; see {log}:\n{log.read_text()[-2000:]}")


def gateway_command(config: Path) -> list[str]:
    return [sys.executable, "-m", "equirouter", "serve", str(config)]


def load(
    case: Case,
    bodies: Path,
    key: str,
    options: argparse.Namespace,
    c: int,
    pid: int | None = None,
    path: str = "/v1/chat/completions",
) -> dict[str, Any]:
    """What gateway_load.py measures; pid: of the server, whose time per request is added."""
    command = [sys.executable, str(HERE / "gateway_load.py"), "--port", str(case.port)]
    command += ["--concurrency", str(c), "--seconds", str(options.seconds), "--bodies", str(bodies)]
    command += ["--path", path]
    if case.keyed:
        command += ["--header", f"authorization: Bearer {key}"]
    for header in case.headers:
        command += ["--header", header]
    before = 0.0 if pid is None else processor_us(pid)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    measured: dict[str, Any] = json.loads(done.stdout)
    if pid is not None:
        measured["processor_us"] = (processor_us(pid) - before) / measured["answered"]
    if set(measured["statuses"]) != {"200"} or measured["broken"]:
        raise SystemExit(f"{case.name}, c={c}: {measured}")
    return measured


def processor_us(pid: int) -> float:
    """Processor time of a process, with its threads that have ended, and of its live children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") * 1e6
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(processor_us(int(child)) for child in children)


@contextmanager
def servers(
    folder: Path, options: argparse.Namespace
) -> Iterator[tuple[dict[str, str], dict[int, int]]]:
    """All systems, started; gives the key of each gateway by its name, and processes by port."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(
            name: str, port: int, command: list[str], env: dict[str, str] | None = None
        ) -> Path:
            log = folder / f"{name}.log"
            pids[port] = stack.enter_context(process(command, log, env))
            return log

        pids: dict[int, int] = {}

        script = [sys.executable, str(HERE / "gateway_upstream.py"), "--port", str(UPSTREAM)]
        wait_for(UPSTREAM, start("upstream", UPSTREAM, script))
        url = f"http://127.0.0.1:{UPSTREAM}"
        script = [sys.executable, str(HERE / "gateway_passthrough.py"), "--upstream", url]
        script += ["--port", str(PASSTHROUGH)]
        wait_for(PASSTHROUGH, start("passthrough", PASSTHROUGH, script))
        if options.litellm:
            log = start("litellm", LITELLM, *litellm(folder, options.litellm))
            wait_for(LITELLM, log, "/health/liveliness")
        if options.portkey:
            wait_for(PORTKEY, start("portkey", PORTKEY, *portkey(options.portkey)))
        keys = {}
        for name, port in GATEWAYS.items():
            config = configuration(folder, name)
            keys[name] = make_key(config)
            wait_for(port, start(name, port, gateway_command(config)), "/readyz")
        yield keys, pids


def litellm(folder: Path, python: str) -> tuple[list[str], dict[str, str]]:
    """LiteLLM's proxy with one model, no database, no key."""
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n  - model_name: fake\n    litellm_params:\n      model: openai/fake\n"
        f"      api_base: http://127.0.0.1:{UPSTREAM}/v1\n      api_key: none\n"
    )
    binary = Path(python).parent / "litellm"
    command = [str(binary), "--config", str(config), "--port", str(LITELLM), "--host", "127.0.0.1"]
    environment = {
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    return command, environment


def portkey(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Portkey's gateway, told that it may call the fake provider."""
    script = folder / "node_modules/@portkey-ai/gateway/build/start-server.js"
    environment = {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1"}
    return ["node", str(script), "--headless", f"--port={PORTKEY}"], environment


def measured(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Medians over rounds: {case: {"c=1": {...}, "c=1, stream": {...}}}."""
    left_out = {LITELLM: not options.litellm, PORTKEY: not options.portkey}
    cases = [case for case in CASES if not left_out.get(case.port, False)]
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {case.name: {} for case in cases}
    with servers(folder, options) as (keys, pids):
        for number in range(options.rounds):
            for stream in (False, True):
                for c in options.concurrency:
                    what = f"c={c}{', stream' if stream else ''}"
                    for case in (one for one in cases if one.streams or not stream):
                        name = next((n for n, p in GATEWAYS.items() if p == case.port), "")
                        bodies = case.bodies(folder, stream)
                        key = keys.get(name, "")
                        measured = load(case, bodies, key, options, c, pids[case.port])
                        runs[case.name].setdefault(what, []).append(measured)
            print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)
    return {name: {w: summary(f) for w, f in whats.items()} for name, whats in runs.items()}


def summary(runs: list[dict[str, Any]]) -> dict[str, float]:
    def middle(read: Callable[[dict[str, Any]], float]) -> float:
        return median(read(one) for one in runs)

    return {
        "rps": middle(lambda one: one["requests_per_second"]),
        "p50": middle(lambda one: one["latency_ms"]["p50"]),
        "p99": middle(lambda one: one["latency_ms"]["p99"]),
        "first": middle(lambda one: one["first_byte_ms"]["p50"]),
        "us": middle(lambda one: one["processor_us"]),
    }


def in_digits(number: float) -> str:
    """Three digits, or all before the point."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def recorded(results: dict[str, Any]) -> None:
    """Into the table: requests/s, latency p50 and p99, for streams the first byte; CPU."""
    rows = []
    for name, cases in results.items():
        row = [name]
        for what in read_csv("gateway-proxies")[0][1:]:
            if (one := cases.get(what)) is None:
                row.append("none")
                continue
            cell = f"{one['rps']:,.0f}/s, {in_digits(one['p50'])}, {in_digits(one['p99'])}"
            cell += f", {in_digits(one['first'])} ms" if "stream" in what else " ms"
            row.append(f"{cell}, {one['us']:,.0f} us")
        rows.append(row)
    record("gateway-proxies", rows)


def starts(folder: Path, options: argparse.Namespace) -> None:
    """Seconds from the start of the process to the first 200 of /readyz, and its memory then."""
    for name, port in GATEWAYS.items():
        config = configuration(folder, name)
        ready, memory = [], []
        for _ in range(options.rounds):
            log = folder / f"start-{name}.log"
            with process(gateway_command(config), log) as pid:
                ready.append(wait_for(port, log, "/readyz"))
                memory.append(resident(pid))
        print(f"{name}: ready after {median(ready):.2f} s, {median(memory):.0f} MB")


def resident(pid: int) -> float:
    """MB of a process and its children."""
    return sum(map(resident_alone, family(pid)))


def family(pid: int) -> list[int]:
    """A process, its children and theirs."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def resident_alone(pid: int, kind: str = "VmRSS") -> float:
    """MB of a process. kind: a line of /proc/PID/status, such as RssAnon: what no file backs."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024


EVERYTHING = """
[log]
log_texts = true

[sessions]
max_sessions = 2000

[explore]
share = 0.05
limit_usd_per_day = 1000.0

[shadow]
share = 0.05
limit_usd_per_day = 1000.0
score = ["regex:pattern=[a-z]"]

[canary]
version = "0002"
share = 0.1

[drift]
enabled = true

[collapse]
window = 500
"""


def soak(folder: Path, options: argparse.Namespace) -> None:
    """Memory of two workers with every feature on, after each ten seconds of load.

    Processes that come and go, as those that score answers of shadows do, are not counted.
    """
    base = configuration(folder, "static", workers=2)
    if not (folder / "static" / "versions" / "0002").exists():
        command = ["train", "simulated", *TRAIN["static"], "--quality", "0.95", "--quiet"]
        # no query is new to the first version, so the second is saved and not made current
        subprocess.run(
            [sys.executable, "-m", "equirouter", *command, "--out", str(folder / "static")],
            check=False,
        )
    config = folder / "soak.toml"
    config.write_text(base.read_text() + EVERYTHING)
    key, case = make_key(config), Case("soak", GATEWAYS["static"], "equirouter/auto", keyed=True)
    bodies = [case.bodies(folder, stream=stream) for stream in (False, True)]
    script = [sys.executable, str(HERE / "gateway_upstream.py"), "--port", str(UPSTREAM)]
    with (
        process([*script, "--delay-ms", "5"], folder / "upstream.log"),
        process(gateway_command(config), folder / "soak.log") as pid,
    ):
        wait_for(UPSTREAM, folder / "upstream.log")
        wait_for(case.port, folder / "soak.log", "/readyz")
        begin, pids = time.monotonic(), family(pid)
        seen: list[tuple[float, float]] = []
        while (passed := time.monotonic() - begin) < options.soak * 60:
            options.seconds = 9.5
            measured = load(case, bodies[len(seen) % 2], key, options, 4)
            seen.append((passed, sum(map(resident_alone, pids))))
            rate = measured["requests_per_second"]
            own = sum(resident_alone(pid, "RssAnon") for pid in pids)
            line = f"{passed:6.0f} s  {seen[-1][1]:6.1f} MB, {own:6.1f} without files"
            print(f"{line}  {rate:6.0f} requests/s", flush=True)
        later = [memory for passed, memory in seen if passed >= 300]
        if len(later) > 12:
            first, last = median(later[:6]), median(later[-6:])
            print(
                f"after five minutes {first:.1f} MB, at the end {last:.1f}: {last / first - 1:+.1%}"
            )


def messages(folder: Path, options: argparse.Namespace) -> None:
    """Added latency of `/v1/messages` by the method of AIGatewayBench, two rounds.

    One client, 5,000 requests for a named model to a provider that answers after 20 ms, straight
    and through the gateway; of streams, the time to the first byte for 16 clients, whose requests
    come all at once, and for one, which waits for nobody. Source:
    https://github.com/GetBusbar/ai-gateway-bench, bench/run-all.sh.
    """
    config = configuration(folder, "static")
    config.write_text(config.read_text().replace('auth = "none"', 'auth = "none"\nmessages = true'))
    key = make_key(config)
    delay_ms, requests = 20.0, 5000
    script = [sys.executable, str(HERE / "gateway_upstream.py"), "--port", str(UPSTREAM)]
    script += ["--messages", "--delay-ms", str(delay_ms)]
    cases = {
        "straight": Case("straight", UPSTREAM, NAMED),
        "gateway": Case("gateway", GATEWAYS["static"], NAMED, keyed=True),
    }
    latencies: dict[str, list[float]] = defaultdict(list)
    with (
        process(script, folder / "upstream.log"),
        process(gateway_command(config), folder / "messages.log"),
    ):
        wait_for(UPSTREAM, folder / "upstream.log")
        wait_for(GATEWAYS["static"], folder / "messages.log", "/readyz")
        for _ in range(2):
            for name, case in cases.items():
                options.seconds = requests * delay_ms / 1e3 / 2
                whole = load(case, case.bodies(folder, False), key, options, 1, path="/v1/messages")
                options.seconds = 5.0
                bodies = case.bodies(folder, True)
                for percentile in ("p50", "p99"):
                    latencies[f"{name} {percentile}"].append(whole["latency_ms"][percentile])
                for c in (1, 16):
                    streams = load(case, bodies, key, options, c, path="/v1/messages")
                    for percentile in ("p50", "p99"):
                        first = streams["first_byte_ms"][percentile]
                        latencies[f"{name} first byte, c={c}, {percentile}"].append(first)
    firsts = [f"first byte, c={c}, {percentile}" for c in (1, 16) for percentile in ("p50", "p99")]
    for what in ("p50", "p99", *firsts):
        through, straight = (
            median(latencies[f"{name} {what}"]) for name in ("gateway", "straight")
        )
        print(f"{what}: {through:.2f} ms, straight {straight:.2f}: {through - straight:+.2f}")


def scaling(folder: Path, options: argparse.Namespace) -> None:
    """Two workers beside one, and micro-batches beside one query at a time, alternating."""
    variants = {
        "static, 1 worker": ("static", 1, None),
        "static, 2 workers": ("static", 2, None),
        "int8, batches": ("int8", 1, None),
        "int8, one at a time": ("int8", 1, 1),
    }
    by_variant: dict[str, list[float]] = {name: [] for name in variants}
    script = [sys.executable, str(HERE / "gateway_upstream.py"), "--port", str(UPSTREAM)]
    with process(script, folder / "upstream.log"):
        wait_for(UPSTREAM, folder / "upstream.log")
        for _ in range(options.rounds):
            for name, (pipeline, workers, batch) in variants.items():
                config = configuration(folder, pipeline, workers, batch)
                key = make_key(config)
                case = Case(name, GATEWAYS[pipeline], "equirouter/auto", keyed=True)
                with process(gateway_command(config), folder / "scaling.log"):
                    wait_for(case.port, folder / "scaling.log", "/readyz")
                    one = load(case, case.bodies(folder, stream=False), key, options, 64)
                by_variant[name].append(one["requests_per_second"])
    for name, rates in by_variant.items():
        print(f"{name}: {median(rates):,.0f} requests/s at c=64")


def main() -> None:
    parser = argparse.ArgumentParser(description="What the gateway costs.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--litellm", help="Python of an environment with litellm[proxy]")
    parser.add_argument("--portkey", type=Path, help="Folder with @portkey-ai/gateway")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-gateway"))
    parser.add_argument("--starts", action="store_true")
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    parser.add_argument("--messages", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    options.folder = options.folder.resolve()
    train(options.folder)
    if options.starts:
        starts(options.folder, options)
    elif options.scaling:
        scaling(options.folder, options)
    elif options.messages:
        messages(options.folder, options)
    elif options.soak:
        soak(options.folder, options)
    else:
        results = measured(options.folder, options)
        (options.folder / "results.json").write_text(json.dumps(results, indent=1))
        recorded(results)


if __name__ == "__main__":
    main()
