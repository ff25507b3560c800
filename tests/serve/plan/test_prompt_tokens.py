"""Counted prompt tokens against real tokenizers, and what of a request is counted."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.errors import EquiRouterError
from equirouter.serve.chat import chat_request
from equirouter.serve.plan.prompt_tokens import (
    PER_MESSAGE,
    PER_REQUEST,
    message_tokens,
    prompt_tokens,
    text_tokens,
)
from equirouter.serve.settings import LimitSettings

# The first article of the Universal Declaration of Human Rights, and other kinds of text.
SCRIPTS = {
    "English": "All human beings are born free and equal in dignity and rights. They are endowed "
    "with reason and conscience and should act towards one another in a spirit of brotherhood.",
    "German": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit "
    "Vernunft und Gewissen begabt und sollen einander im Geist der Brüderlichkeit begegnen.",
    "French": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont "
    "doués de raison et de conscience et doivent agir les uns envers les autres dans un esprit de "
    "fraternité.",
    "Russian": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены "
    "разумом и совестью и должны поступать в отношении друг друга в духе братства.",
    "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "Arabic": "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. وقد وهبوا عقلا وضميرا وعليهم أن "
    "يعامل بعضهم بعضا بروح الإخاء.",
    "Hebrew": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון.",
    "Hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "Chinese": "人人生而自由,在尊严和权利上一律平等。"
    "他们赋有理性和良心,并应以兄弟关系的精神相对待。",
    "Japanese": "すべての人間は、生まれながらにして自由であり、"
    "かつ、尊厳と権利とについて平等である。",
    "Korean": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "code": "def mean(values: list[float]) -> float:\n    if not values:\n"
    "        raise ValueError('x')\n    return sum(values) / len(values)\n",
    "JSON": '{"id": 4711, "price": 19.99, "tags": ["new", "sale"], "when": "2025-11-03T07:15:00Z"}',
    "base64": "R0lGODlhPQBEAPeoAJosM//AwO/AwHVYZ/z595kzAP/s7P+g"
    "oOXMv8+fhw/v739/f+8PD98fH/8mJl+fn/9Z",
    "numbers": "3.14159 2.71828 1.41421 1.73205 0.57721 1.61803 299792458 6.62607015 1.380649",
    "emoji": "😀🚀🔥💡🤖✨👍🎉",
}


# What five tokenizers make of them: cl100k and o200k of OpenAI, Claude's published one, DeepSeek's,
# and the first of Mistral, which takes every digit for itself.
COUNTED = {
    "English": (33, 33, 33, 33, 34),
    "German": (44, 38, 50, 43, 49),
    "French": (50, 41, 54, 50, 54),
    "Russian": (74, 41, 89, 46, 61),
    "Greek": (76, 31, 85, 41, 84),
    "Arabic": (80, 42, 101, 44, 105),
    "Hebrew": (85, 31, 75, 35, 81),
    "Hindi": (84, 25, 93, 43, 94),
    "Thai": (65, 32, 117, 26, 64),
    "Chinese": (52, 37, 49, 27, 44),
    "Japanese": (45, 35, 43, 25, 47),
    "Korean": (41, 24, 44, 26, 42),
    "code": (30, 32, 35, 31, 38),
    "JSON": (42, 42, 40, 43, 54),
    "base64": (56, 54, 59, 54, 74),
    "numbers": (44, 44, 37, 44, 78),
    "emoji": (21, 12, 18, 13, 15),
}


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_the_estimate_is_hardly_ever_below_what_tokenizers_count(script: str) -> None:
    found, counted = text_tokens(SCRIPTS[script]), COUNTED[script]
    assert found >= 0.9 * max(counted[:4])
    assert found >= 0.75 * max(counted)


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_the_estimate_is_not_far_above_the_most_expensive_tokenizer(script: str) -> None:
    assert text_tokens(SCRIPTS[script]) <= 1.8 * max(COUNTED[script])


@pytest.fixture(scope="module")
def wordpieces() -> Callable[[str], int]:
    """The tokenizer of all-MiniLM-L6-v2, where its weights are installed."""
    from tokenizers import Tokenizer

    from equirouter.encoders.minilm.weights import find_weights

    try:
        weights = find_weights(None)
    except EquiRouterError as error:
        pytest.skip(f"no real tokenizer here: {error}")
    tokenizer = Tokenizer.from_file(str(weights.tokenizer))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize("script", ["English", "German", "French", "code", "JSON"])
def test_a_tokenizer_that_is_installed_counts_no_more(
    script: str, wordpieces: Callable[[str], int]
) -> None:
    assert text_tokens(SCRIPTS[script]) >= wordpieces(SCRIPTS[script])


@given(st.text(), st.text())
def test_more_text_has_no_fewer_tokens_and_parts_no_fewer_than_the_whole(a: str, b: str) -> None:
    whole = text_tokens(a + b)
    assert max(text_tokens(a), text_tokens(b)) <= whole <= text_tokens(a) + text_tokens(b) + 1


@given(st.text(st.characters(max_codepoint=127), min_size=1, max_size=380))
def test_a_long_text_is_counted_as_a_short_one(text: str) -> None:
    hundredths = text_tokens(text * 100) - 1  # weights are hundredths of a token
    assert text_tokens(text) == hundredths // 100 + 1


def test_an_empty_text_has_none() -> None:
    assert text_tokens("") == 0


def counted(**body: Any) -> int:
    return prompt_tokens(request(**body)).text


def request(**body: Any) -> Any:
    document = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **body}
    return chat_request(document, LimitSettings())


TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Look up the weather of a place",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
    },
}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}


def test_every_part_of_a_request_counts() -> None:
    bare = counted()
    assert bare == text_tokens("Hi") + PER_MESSAGE + PER_REQUEST
    assert counted(tools=[TOOL]) >= bare + 40
    assert counted(tools=[TOOL, TOOL]) > counted(tools=[TOOL])
    assert counted(response_format=SCHEMA) >= bare + 15
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    sizes = [message_tokens(messages[:n]).text for n in range(5)]
    assert all(after >= before + PER_MESSAGE for before, after in pairwise(sizes))
    assert counted(messages=messages) == sizes[-1] + PER_REQUEST


def test_images_are_counted_and_sound_and_documents_by_their_length() -> None:
    def of(*parts: dict[str, Any]) -> Any:
        return prompt_tokens(request(messages=[{"role": "user", "content": list(parts)}]))

    url = "data:image/png;base64," + "A" * 100_000
    image = {"type": "image_url", "image_url": {"url": url}}
    found = of(image, image, {"type": "text", "text": "Which is larger?"})
    assert found.images == 2
    assert found.text < 40  # the base64 of an image is no text
    assert found.total(1000) == found.text + 2000
    bare = of({"type": "text", "text": ""}).text
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 12_800, "format": "mp3"}}
    assert of(sound).text == bare + 100
    document = {"type": "file", "file": {"file_data": "A" * 1_600, "filename": "a.pdf"}}
    assert of(document).text == bare + 100


def test_real_prompts_have_no_more_than_estimated(
    shared_data: Path, wordpieces: Callable[[str], int]
) -> None:
    import csv

    with (shared_data / "routerbench_rows.csv").open(encoding="utf-8", newline="") as file:
        prompts = [row["prompt"] for row in csv.DictReader(file)]
    ratios = [text_tokens(prompt) / wordpieces(prompt) for prompt in prompts]
    assert min(ratios) >= 1.0
    assert 1.1 <= sum(ratios) / len(ratios) <= 1.6
