"""Send queries of the data set `simulated` to a gateway: `python send_traffic.py --n 200`.

A third asks for `equirouter/auto`, a third for a budget, a third for a quality; some stream. Every
fifth answer is rated, with a score that is made up as the answers are.
"""

import argparse
import json
import os
import random
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from equirouter import load_dataset

VIRTUAL = ("equirouter/auto", "equirouter/budget-0.002", "equirouter/quality-0.9")


def post(url: str, document: dict[str, object]) -> dict[str, str]:
    """Send a JSON document with the key of EQUIROUTER_KEY, if there is one; returns the headers."""
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("EQUIROUTER_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, json.dumps(document).encode(), headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        answer.read()
        return dict(answer.headers)


def main() -> None:
    """Send them, a few at once, and print which models answered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", default="http://127.0.0.1:8080")
    parser.add_argument("--n", type=int, default=200)
    options = parser.parse_args()
    rng = random.Random(1)  # noqa: S311
    queries = rng.sample(load_dataset("simulated").texts, options.n)

    def ask(number: int) -> str:
        document = {
            "model": VIRTUAL[number % len(VIRTUAL)],
            "messages": [{"role": "user", "content": queries[number]}],
            "stream": number % 4 == 0,
            "max_tokens": 100,
        }
        headers = post(f"{options.gateway}/v1/chat/completions", document)
        if number % 5 == 0:
            rating = {"request_id": headers["x-equirouter-request-id"], "score": rng.random()}
            post(f"{options.gateway}/v1/feedback", rating)
        return headers["x-equirouter-model"]

    with ThreadPoolExecutor(8) as threads:
        for model, count in Counter(threads.map(ask, range(options.n))).most_common():
            print(f"{count:5} {model}")


if __name__ == "__main__":
    main()
