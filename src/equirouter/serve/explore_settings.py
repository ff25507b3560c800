"""[explore] and [shadow] of gateway.toml: what other models answer, so that the log can teach."""

from typing import Annotated

from pydantic import BaseModel, Field

from equirouter.serve.setting_types import SECTION, Positive


class ExploreSettings(BaseModel):
    """Which routed requests may go to another model that may answer them."""

    model_config = SECTION

    share: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Share of the requests that the router decides which go to another model; 0: none."""
    limit_usd_per_day: Positive | None = None
    """Most that explored requests cost in a day (UTC), over all workers and restarts; no call is
    made whose highest cost has no room; none: no limit."""
    except_models: frozenset[str] = frozenset()
    """Models that exploration never chooses."""
    except_keys: frozenset[str] = frozenset()
    """Names of keys whose requests are never explored."""


class ShadowSettings(BaseModel):
    """Which answered requests other models answer once more, for the log alone."""

    model_config = SECTION

    share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the routed requests that other models answer too, once the client has its answer;
    0: none."""
    models: frozenset[str] = frozenset()
    """Models that answer; none: all that might have answered."""
    limit_usd_per_day: Positive | None = None
    """Most that their answers and the scores cost in a day (UTC), over all workers and restarts;
    none: no limit. No key is charged."""
    score: tuple[str, ...] = ()
    """Graders of `equirouter score`, such as "judge:model=large", that score the answers, the
    client's too, in a process of its own; needs log.log_texts. Empty: nobody scores them."""
    except_keys: frozenset[str] = frozenset()
    """Names of keys whose requests no shadow answers."""
