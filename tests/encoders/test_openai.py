import base64
import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from email.utils import formatdate
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from equirouter.encoders import make_encoder
from equirouter.encoders.openai import PROBE, OpenAIEncoder
from equirouter.errors import (
    ConfigError,
    DataError,
    DownloadError,
    EquiRouterError,
    MissingExtraError,
    PipelineError,
)
from tests.encoders.endpoint import WIDTH, Endpoint, Reply, running_endpoint, vector

pytestmark = pytest.mark.skipif(
    find_spec("openai") is None, reason="the OpenAI client is not installed (extra openai)"
)

KEY = "sk-a-key-for-tests"
QUERY = "the text of a private query"
BUSY = Reply(429, headers={"Retry-After": "7"})
BROKEN = Reply(500)


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with running_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    yield server
    server.requests.clear()
    server.next_replies.clear()
    server.change = None
    server.salt = ""


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is waited between two attempts, without waiting."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


def encoder(endpoint: Endpoint, **options: Any) -> OpenAIEncoder:
    return OpenAIEncoder(model="a-model", base_url=endpoint.url, **options)


def unit(text: str, width: int = WIDTH) -> np.ndarray[Any, Any]:
    numbers = vector(text, width)
    return numbers / np.linalg.norm(numbers)


def test_vectors_are_those_of_the_endpoint_at_length_1(endpoint: Endpoint) -> None:
    embeddings = encoder(endpoint).encode(["a", "b"])
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, [unit("a"), unit("b")], atol=1e-7)


def test_the_request_is_what_the_protocol_asks_for(endpoint: Endpoint) -> None:
    encoder(endpoint, dimension=8).encode(["a", "b"])
    ((path, headers, body),) = endpoint.requests
    assert path == "/v1/embeddings"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body == {
        "model": "a-model",
        "input": ["a", "b"],
        "dimensions": 8,
        "encoding_format": "base64",
    }


def test_without_a_dimension_none_is_sent_and_the_first_answer_says_it(endpoint: Endpoint) -> None:
    model = encoder(endpoint)
    assert model.dimension == WIDTH
    assert model.dimension == WIDTH
    assert endpoint.inputs == [[PROBE]]
    assert "dimensions" not in endpoint.requests[0][2]


def test_requests_hold_no_more_than_the_two_limits(endpoint: Endpoint) -> None:
    texts = ["a", "b", "c", "dd", "eeeee", "f", "a"]
    model = encoder(endpoint, dimension=4, batch_size=3, batch_characters=4)
    calls: list[tuple[str, int, int]] = []
    embeddings = model.encode(texts, progress=lambda *call: calls.append(call))
    # three texts; then "dd" and "eeeee" would be 7 characters, and "eeeee" and "f" 6; "a" is known
    assert endpoint.inputs == [["a", "b", "c"], ["dd"], ["eeeee"], ["f"]]
    assert calls == [("encode", done, 6) for done in (3, 4, 5, 6)]
    np.testing.assert_allclose(embeddings, [unit(text, 4) for text in texts], atol=1e-7)


def test_vectors_are_matched_by_index(endpoint: Endpoint) -> None:
    endpoint.change = lambda answer: answer["data"].reverse()
    embeddings = encoder(endpoint, dimension=4).encode(["a", "b", "c"])
    np.testing.assert_allclose(embeddings, [unit(text, 4) for text in "abc"], atol=1e-7)


def test_plain_numbers_are_as_good_as_base64(endpoint: Endpoint) -> None:
    coded = encoder(endpoint, dimension=4).encode(["a", "b"])

    def plain(answer: dict[str, Any]) -> None:
        for row in answer["data"]:
            row["embedding"] = np.frombuffer(base64.b64decode(row["embedding"]), "<f4").tolist()

    endpoint.change = plain
    np.testing.assert_array_equal(encoder(endpoint, dimension=4).encode(["a", "b"]), coded)


def test_a_busy_endpoint_is_asked_again_when_it_says(
    endpoint: Endpoint, pauses: list[float]
) -> None:
    endpoint.next_replies.extend([BUSY, BUSY])
    np.testing.assert_allclose(encoder(endpoint, dimension=4).encode(["a"]), [unit("a", 4)], 1e-6)
    assert pauses == [7, 7]
    assert endpoint.inputs == [["a"]] * 3


@pytest.mark.parametrize("status", [408, 409, 500, 503])
def test_a_broken_endpoint_is_asked_again_after_growing_pauses(
    endpoint: Endpoint, pauses: list[float], status: int
) -> None:
    endpoint.next_replies.extend([Reply(status)] * 3)
    encoder(endpoint, dimension=4).encode(["a"])
    assert len(pauses) == 3
    # each pause doubles, less a random part of at most a quarter
    for pause, whole in zip(pauses, (0.5, 1.0, 2.0), strict=True):
        assert 0.75 * whole <= pause <= whole


def test_a_cut_connection_is_made_again(endpoint: Endpoint, pauses: list[float]) -> None:
    endpoint.next_replies.append(Reply(body=b'{"data": [0, 1, 2]}', cut=True))
    encoder(endpoint, dimension=4).encode(["a"])
    assert len(pauses) == 1
    assert endpoint.inputs == [["a"]] * 2


def test_retries_end(endpoint: Endpoint, pauses: list[float]) -> None:
    endpoint.next_replies.extend([BROKEN] * 3)
    with pytest.raises(DownloadError, match=r"answered 500, also after 2 retries: try again later"):
        encoder(endpoint, dimension=4, max_retries=2).encode(["a"])
    assert len(endpoint.requests) == 3
    assert len(pauses) == 2


def test_an_endpoint_that_is_not_there_is_named(
    endpoint: Endpoint, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    with pytest.raises(DownloadError, match=r"no answer from 127\.0\.0\.1:1 after 1 retries"):
        OpenAIEncoder(model="a", dimension=4, max_retries=1).encode(["a"])
    assert len(pauses) == 1
    assert endpoint.requests == []


@pytest.mark.parametrize(
    ("status", "code", "kind", "message"),
    [
        (401, "invalid_api_key", ConfigError, r"401 \(invalid_api_key\).*variable OPENAI_API_KEY"),
        (403, None, ConfigError, "403: it refuses the key in the environment variable OPENAI"),
        (404, "model_not_found", ConfigError, r"404 .*no embeddings of model 'a-model' at http"),
        (400, "too_long", DataError, r"400 \(too_long\) to 2 texts, the longest of 27 characters"),
        (422, "Words, not a code", DataError, "answered 422 to 2 texts"),
    ],
)
def test_what_the_caller_must_fix_is_not_tried_again(
    endpoint: Endpoint,
    pauses: list[float],
    status: int,
    code: str | None,
    kind: type[EquiRouterError],
    message: str,
) -> None:
    body = {"error": {"message": f"{QUERY} {KEY}", "code": code, "type": QUERY}}
    endpoint.next_replies.append(Reply(status, json.dumps(body).encode()))
    with pytest.raises(kind, match=message):
        encoder(endpoint, dimension=4).encode([QUERY, "b"])
    assert len(endpoint.requests) == 1
    assert pauses == []


def _drop(answer: dict[str, Any]) -> None:
    del answer["data"][0]


def _same_index(answer: dict[str, Any]) -> None:
    answer["data"][1]["index"] = 0


def _all_wider(answer: dict[str, Any]) -> None:
    for row in answer["data"]:
        row["embedding"] = [1.0] * 5


def _one_wider(answer: dict[str, Any]) -> None:
    answer["data"][1]["embedding"] = [1.0] * 5


def _no_numbers(answer: dict[str, Any]) -> None:
    for row in answer["data"]:
        row["embedding"] = []


def _not_finite(answer: dict[str, Any]) -> None:
    answer["data"][1]["embedding"] = [1.0, float("nan"), 0.0, 0.0]


def _not_base64(answer: dict[str, Any]) -> None:
    answer["data"][1]["embedding"] = "?" * 16


def _half_a_number(answer: dict[str, Any]) -> None:
    answer["data"][1]["embedding"] = base64.b64encode(b"12345").decode()


def _other_schema(answer: dict[str, Any]) -> None:
    answer["data"] = {"text": QUERY}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop, "1 vectors, not one of each index, for 2 texts"),
        (_same_index, "2 vectors, not one of each index, for 2 texts"),
        (_all_wider, r"vectors of \[5\] numbers where 4 is expected; .* leave dimension out"),
        (_one_wider, r"vectors of \[4, 5\] numbers where 4 is expected"),
        (_no_numbers, r"vectors of \[0\] numbers where 4"),
        (_not_finite, "numbers that are not finite"),
        (_not_base64, "vector 1 is not base64 of float32"),
        (_half_a_number, "vector 1 is not base64 of float32"),
        (_other_schema, "data: list_type; check base_url"),
    ],
)
def test_an_answer_that_is_not_what_was_asked_for_is_refused(
    endpoint: Endpoint, change: Any, message: str
) -> None:
    endpoint.change = change
    with pytest.raises(DownloadError, match=message) as caught:
        encoder(endpoint, dimension=4).encode([QUERY, "b"])
    assert QUERY not in "".join(traceback.format_exception(caught.value))
    assert len(endpoint.requests) == 1


def test_without_a_dimension_a_later_change_of_width_is_refused(endpoint: Endpoint) -> None:
    model = encoder(endpoint)
    model.encode(["a"])
    endpoint.change = _all_wider
    with pytest.raises(DownloadError, match=rf"vectors of \[5\] numbers where {WIDTH}"):
        model.encode(["b"])


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b'{"data": '])
def test_an_answer_that_is_no_json_is_refused(endpoint: Endpoint, body: bytes) -> None:
    endpoint.next_replies.append(Reply(body=body))
    with pytest.raises(DownloadError, match="body: json_invalid; check base_url"):
        encoder(endpoint, dimension=4).encode(["a"])


def test_neither_query_nor_key_is_in_an_error_or_a_log(
    endpoint: Endpoint, pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = json.dumps({"error": {"message": f"{QUERY} {KEY}", "code": KEY}}).encode()
    for status in (400, 401, 404, 500):
        endpoint.next_replies.append(Reply(status, body))
        with pytest.raises(EquiRouterError) as caught:
            encoder(endpoint, dimension=4, max_retries=0).encode([QUERY])
        shown = "".join(traceback.format_exception(caught.value))
        assert QUERY not in shown
        assert KEY not in shown
    assert pauses == []
    assert QUERY not in caplog.text
    assert KEY not in caplog.text


def test_the_key_is_kept_nowhere(endpoint: Endpoint) -> None:
    model = encoder(endpoint)
    model.encode(["a"])
    kept = f"{vars(model)} {model.settings} {model.fingerprint} {model.state()}"
    assert KEY not in kept
    assert model.settings == {"model": "a-model", "dimension": None}


def test_the_variable_of_the_key_is_named_and_can_be_another(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "another-key")
    encoder(endpoint, dimension=4, api_key_env="MY_KEY").encode(["a"])
    assert endpoint.requests[-1][1]["Authorization"] == "Bearer another-key"
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(ConfigError, match="environment variable MY_KEY is not set"):
        encoder(endpoint, dimension=4, api_key_env="MY_KEY").encode(["a"])
    monkeypatch.setenv("MY_KEY", "two\nlines")
    with pytest.raises(ConfigError, match="variable MY_KEY holds no key") as caught:
        encoder(endpoint, dimension=4, api_key_env="MY_KEY").encode(["a"])
    assert "lines" not in str(caught.value)


def test_an_endpoint_without_keys_is_sent_none(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    encoder(endpoint, dimension=4, api_key_env=None).encode(["a"])
    assert "Authorization" not in endpoint.requests[0][1]


def test_the_fingerprint_names_the_endpoint_and_asks_nothing(endpoint: Endpoint) -> None:
    url = "https://Host:8000/v1"
    plain = OpenAIEncoder(model="m", base_url=url).fingerprint
    same = OpenAIEncoder(model="m", base_url=f"{url.lower()}/", batch_size=7, max_retries=0)
    others = [
        OpenAIEncoder(model="m", base_url="https://Host:8000/v2"),
        OpenAIEncoder(model="m", base_url="https://Host:8001/v1"),
        OpenAIEncoder(model="n", base_url=url),
        OpenAIEncoder(model="m", base_url=url, dimension=8),
    ]
    assert plain.startswith("openai-host:8000-")
    assert same.fingerprint == plain
    assert len({plain, *(other.fingerprint for other in others)}) == 5
    assert endpoint.requests == []


def test_the_address_is_an_option_or_in_the_environment(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert OpenAIEncoder(model="m").base_url == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    assert OpenAIEncoder(model="m").dimension == WIDTH
    assert OpenAIEncoder(model="m", base_url="http://host/v1").base_url == "http://host/v1"


def test_the_same_model_is_known_again(endpoint: Endpoint) -> None:
    saved = encoder(endpoint).state()
    endpoint.requests.clear()
    model = encoder(endpoint).restore(saved)
    assert model.dimension == WIDTH
    np.testing.assert_array_equal(model.state()["probe"], saved["probe"])
    assert endpoint.requests == []  # nothing is asked before there is something to encode

    def rounded(answer: dict[str, Any]) -> None:  # to 1 % of the largest number
        for row in answer["data"]:
            values = np.frombuffer(base64.b64decode(row["embedding"]), "<f4").astype(float)
            step = np.abs(values).max() / 100
            row["embedding"] = (np.round(values / step) * step).tolist()

    endpoint.change = rounded
    model.encode(["a"])
    model.encode(["b"])
    assert endpoint.inputs == [[PROBE], ["a"], ["b"]]  # compared once


@pytest.mark.parametrize("dimension", [None, 8])
def test_another_model_behind_the_name_is_refused(
    endpoint: Endpoint, dimension: int | None
) -> None:
    saved = encoder(endpoint, dimension=dimension).state()
    endpoint.salt = "a new version"
    model = encoder(endpoint, dimension=dimension).restore(saved)
    for _ in range(2):  # not only the first time
        with pytest.raises(PipelineError, match=r"a-model at 127\.0\.0\.1.*is not the one"):
            model.encode(["a"])


def test_another_width_behind_the_name_is_refused(endpoint: Endpoint) -> None:
    saved = encoder(endpoint, dimension=8).state()
    model = encoder(endpoint).restore(saved)
    with pytest.raises(PipelineError, match=rf"8 numbers then, {WIDTH} now"):
        model.encode(["a"])


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"other": np.ones(4, np.float32)},
        {"probe": np.ones(4, np.float32), "other": np.ones(1, np.float32)},
        {"probe": np.ones((1, 4), np.float32)},
        {"probe": np.ones(5, np.float32)},
        {"probe": np.full(4, np.nan, np.float32)},
    ],
)
def test_a_state_that_is_not_its_own_is_refused(endpoint: Endpoint, state: Any) -> None:
    with pytest.raises(PipelineError, match=r"keeps one array, probe, of its dimension \(4\)"):
        encoder(endpoint, dimension=4).restore(state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": None}, "needs a model: model='text-embedding-3-small'"),
        ({"dimension": 0}, "dimension=0: a whole number of 1 or more"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_characters": "many"}, "batch_characters='many'"),
        ({"max_retries": -1}, "max_retries=-1: a whole number of 0 or more"),
        ({"timeout": 0}, "timeout=0: seconds above 0"),
        ({"timeout": "long"}, "timeout='long': seconds above 0"),
        ({"base_url": "api.openai.com/v1"}, "base_url='api.openai.com/v1': an address like https"),
        ({"base_url": "https://host/v1?a=b"}, "an address like"),
        ({"base_url": "https://host:port/v1"}, "base_url is not an address"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        make_encoder("openai", **{"model": "m"} | options)


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="base_url holds a name or a password") as caught:
        OpenAIEncoder(model="m", base_url=f"https://me:{KEY}@host/v1")
    assert KEY not in str(caught.value)


def test_without_the_client_the_command_is_named(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'equirouter\[encoders\]'"):
        encoder(endpoint).encode(["a"])


def test_a_date_to_come_back_at_is_kept(endpoint: Endpoint, pauses: list[float]) -> None:
    endpoint.next_replies.append(Reply(503, headers={"Retry-After": formatdate(4102444800)}))
    with pytest.raises(DownloadError, match="answered 503"):  # the year 2100: nobody waits for it
        encoder(endpoint, dimension=4).encode(["a"])
    assert pauses == []
