"""Descriptions of models, for routers that read them.

Each text says who made the model, its size where that is published, its kind, when it was released
and how long its context is, and nothing about how good it is. Facts as their makers published them.
"""

from collections.abc import Mapping
from types import MappingProxyType

from equirouter.data.outcomes import Outcomes
from equirouter.words import first_of

_MIXTRAL = (
    "Mixtral 8x7B Instruct is a chat model of Mistral AI, released in December 2023 with open "
    "weights under the Apache 2.0 licence. It is a sparse mixture of experts: each layer has eight "
    "groups of feed-forward weights, of which two work on a token. It has 46.7 billion parameters "
    "in all, and 12.9 billion are used per token. It was trained on English, French, Italian, "
    "German and Spanish text and fine-tuned to follow instructions. Its context is 32,768 tokens."
)

DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "WizardLM/WizardLM-13B-V1.2": (
            "WizardLM 13B V1.2 is a chat model of the WizardLM team, released in July 2023 with "
            "open weights. It has 13 billion parameters and is a fine-tuned version of Llama 2 "
            "13B. It was trained on instructions that a language model had rewritten step by step "
            "into more complex ones, the method called Evol-Instruct. It works mainly in English. "
            "Its context is 4,096 tokens."
        ),
        "claude-instant-v1": (
            "Claude Instant 1 is a chat model of Anthropic, released in March 2023 and offered "
            "over an API. Its size is not published. It is the lighter and faster model that "
            "Anthropic offered beside Claude 1, for dialogue, summaries, text analysis and "
            "questions about documents. It was trained with human feedback and the method called "
            "Constitutional AI. Its context is 9,000 tokens in the first versions and 100,000 in "
            "later ones."
        ),
        "claude-v1": (
            "Claude 1 is a chat model of Anthropic, released in March 2023 and offered over an "
            "API. Its size is not published. It is a general assistant for dialogue, writing, "
            "summaries, questions and code, and was trained with human feedback and the method "
            "called Constitutional AI. Its context is 9,000 tokens in the first versions and "
            "100,000 in later ones."
        ),
        "claude-v2": (
            "Claude 2 is a chat model of Anthropic, released in July 2023 and offered over an API. "
            "Its size is not published. It is the successor of Claude 1 as a general assistant for "
            "dialogue, writing, long documents, reasoning and code, and was trained with human "
            "feedback and the method called Constitutional AI. Its context is 100,000 tokens."
        ),
        "gpt-3.5-turbo-1106": (
            "GPT-3.5 Turbo 1106 is a chat model of OpenAI, released in November 2023 and offered "
            "over an API. Its size is not published. It is a general assistant for dialogue, text "
            "and code, can call functions and can be asked to answer in JSON. Its training data "
            "ends in September 2021. Its context is 16,385 tokens, of which an answer takes at "
            "most 4,096."
        ),
        "gpt-4-1106-preview": (
            "GPT-4 1106 Preview is the first version of GPT-4 Turbo, a chat model of OpenAI, "
            "released in November 2023 and offered over an API. Its size is not published. It is a "
            "general assistant for dialogue, text, reasoning and code, can call functions and can "
            "be asked to answer in JSON. Its training data ends in April 2023. Its context is "
            "128,000 tokens, of which an answer takes at most 4,096."
        ),
        "meta/code-llama-instruct-34b-chat": (
            "Code Llama 34B Instruct is a code model of Meta, released in August 2023 with open "
            "weights. It has 34 billion parameters. It is Llama 2, trained further on source code "
            "in Python, C++, Java, PHP, TypeScript, C#, Bash and other languages, and then "
            "fine-tuned to follow instructions. It is meant for writing and explaining programs. "
            "It was trained on sequences of 16,384 tokens and accepts up to 100,000."
        ),
        "meta/llama-2-70b-chat": (
            "Llama 2 70B Chat is a chat model of Meta, released in July 2023 with open weights. It "
            "has 70 billion parameters and is the largest of the Llama 2 models. It was trained on "
            "2 trillion tokens, mainly of English text, and fine-tuned for dialogue with human "
            "feedback for helpfulness and safety. Its context is 4,096 tokens."
        ),
        "mistralai/mistral-7b-chat": (
            "Mistral 7B Instruct is a chat model of Mistral AI, released in September 2023 with "
            "open weights under the Apache 2.0 licence. It has 7.3 billion parameters and uses "
            "grouped-query attention and an attention window that slides over the text. It works "
            "mainly in English and was fine-tuned on public instruction data. Its context is 8,192 "
            "tokens."
        ),
        "mistralai/mixtral-8x7b-chat": _MIXTRAL,
        "mistralai/Mixtral-8x7B-Instruct-v0.1": _MIXTRAL,
        "zero-one-ai/Yi-34B-Chat": (
            "Yi 34B Chat is a chat model of 01.AI, released in November 2023 with open weights. It "
            "has 34 billion parameters. It was trained on about 3 trillion tokens of English and "
            "Chinese text, works in both languages, and was fine-tuned for dialogue and "
            "instructions. Its context is 4,096 tokens."
        ),
    }
)
"""By the names that RouterBench and RouteLLM give the models."""


def model_texts(outcomes: Outcomes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The text (K,) that stands for each model, and notes for the user on what is missing.

    What the table says of a model comes first, then DESCRIPTIONS; of a model that neither describes
    the name is read, and a note says so.
    """
    given = outcomes.model_descriptions or (None,) * outcomes.n_models
    known = [
        text or DESCRIPTIONS.get(model) for model, text in zip(outcomes.models, given, strict=True)
    ]
    unknown = [model for model, text in zip(outcomes.models, known, strict=True) if text is None]
    texts = tuple(text or model for model, text in zip(outcomes.models, known, strict=True))
    if not unknown:
        return texts, ()
    note = (
        f"no description of {first_of([*map(repr, unknown)])}: routers that read descriptions read "
        "the name instead; give one in a column model_description"
    )
    return texts, (note,)
