"""A till that is no store, and limits that have taken all their money from one."""

import asyncio

from equirouter.serve.money.day_limit import DayLimit, Till


class MemoryTill(Till):
    """What was spent of each day."""

    def __init__(self) -> None:
        self.spent: dict[int, int] = {}

    async def take(self, day: int, limit_nusd: int, wanted_nusd: int) -> int:
        spent = self.spent.setdefault(day, 0)
        taken = min(wanted_nusd, limit_nusd - spent)
        self.spent[day] += taken
        return taken

    async def give_back(self, day: int, amount_nusd: int) -> None:
        self.spent[day] -= amount_nusd


def filled_limit(limit_usd: float | None) -> DayLimit:
    """A limit that has asked for all that there is."""
    made = DayLimit(limit_usd, MemoryTill(), clock=lambda: 0.0)
    if limit_usd is not None:
        made.has_room(round(limit_usd * 1e9) + 1)  # which asks for more
        asyncio.run(made.refill())
    return made
