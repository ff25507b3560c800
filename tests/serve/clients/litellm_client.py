"""What LiteLLM's client sends and gets, against a running gateway. Prints one JSON document.

python litellm_client.py BASE_URL KEY MODEL
"""

import json
import sys
from typing import Any

import litellm


def main() -> None:
    base_url, key, model = sys.argv[1:]
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    request: dict[str, Any] = {
        "model": f"openai/{model}",
        "api_base": base_url,
        "api_key": key,
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [tool],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "seed": 7,
        "max_tokens": 50,
        "max_retries": 0,
    }
    whole = litellm.completion(**request)
    found: dict[str, Any] = {
        "whole": whole.choices[0].message.content,
        "usage": whole.usage.total_tokens,
        "streamed": "",
    }
    stream = litellm.completion(**request, stream=True, stream_options={"include_usage": True})
    for chunk in stream:
        if chunk.choices:
            found["streamed"] += chunk.choices[0].delta.content or ""
        if getattr(chunk, "usage", None):
            found["streamUsage"] = chunk.usage.total_tokens
    print(json.dumps(found))


if __name__ == "__main__":
    main()
