"""Network namespaces of this machine in place of several machines. Needs root."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

BRIDGE, NET = "eqbench0", "10.213.0"


def run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@contextmanager
def namespaces(n: int) -> Iterator[dict[str, str]]:
    """Network namespaces on one bridge: name -> address."""
    names = {f"eqbench{i}": f"{NET}.{i + 1}" for i in range(1, n + 1)}
    try:
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "address", "add", f"{NET}.1/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
        for name, address in names.items():
            run("ip", "netns", "add", name)
            link = ["ip", "link", "add", f"v{name}", "type", "veth", "peer", "eth0"]
            run(*link, "netns", name)
            run("ip", "link", "set", f"v{name}", "master", BRIDGE, "up")
            run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            run("ip", "netns", "delete", name)
        run("ip", "link", "delete", BRIDGE)


def processes_of(name: str) -> list[int]:
    """The processes in a namespace."""
    return [*map(int, run("ip", "netns", "pids", name).split())]
