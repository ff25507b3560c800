"""Whether the Hugging Face hub answers, found out in seconds and not after many retries."""

import os
import threading

SECONDS = 2.0
"""Looking up a name has no time limit of its own, so all of it has this one."""

_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def hub_address() -> str:
    """Where the hub is: HF_ENDPOINT, or the hub's own address."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def why_unreachable(address: str | None = None) -> str | None:
    """The reason why nothing can be fetched from the hub, in a few words; None if it answers.

    address: of another server than hub_address(). Takes SECONDS at most. Whatever answers counts,
    with any status and any certificate: what is wrong with these its client says better.
    """
    for name in _OFFLINE:
        if os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"}:
            return f"{name} is set"
    reasons: list[str | None] = []
    asking = threading.Thread(
        target=lambda: reasons.append(_ask(address or hub_address())), daemon=True
    )
    asking.start()
    asking.join(SECONDS)
    return reasons[0] if reasons else f"no answer within {SECONDS:g} s"


def _ask(address: str) -> str | None:
    import ssl  # 15 ms, which a start with the weights in place does not take
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    if not address.startswith(("http://", "https://")):
        return f"{address!r} is not a web address"
    try:
        with urlopen(Request(address, method="HEAD"), timeout=SECONDS):  # noqa: S310  # checked
            return None
    except HTTPError as answer:
        answer.close()
        return None
    except URLError as error:
        return None if isinstance(error.reason, ssl.SSLError) else str(error.reason)
    except (OSError, ValueError) as error:  # an answer cut off, an address without a host
        return str(error) or type(error).__name__
