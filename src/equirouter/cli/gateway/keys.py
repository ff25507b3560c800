"""`equirouter keys`: who may use the gateway, and for how much."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from equirouter.cli.common import JsonOption, QuietOption, names_in, print_json, say

if TYPE_CHECKING:
    import sqlalchemy as sa

    from equirouter.serve.money.api_keys import Spend, StoredKey
    from equirouter.serve.records import Key
    from equirouter.serve.settings import GatewaySettings

T = TypeVar("T")

app = typer.Typer(
    help="Make, list and revoke the gateway's API keys, and see what each spent.",
    rich_markup_mode=None,
)

ConfigArgument = Annotated[
    Path, typer.Argument(metavar="gateway.toml", help="The gateway's settings.")
]
PeriodOption = Annotated[
    Literal["day", "month"],
    typer.Option(help="The budget's period, in UTC; the budget starts afresh with each."),
]


@app.command()
def create(
    config: ConfigArgument,
    name: Annotated[str, typer.Option(help="Whose key it is, for lists and reports.")],
    models: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Models of the pool that it may use; default: all."),
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option(metavar="USD", help="The most that it may spend in a period.")
    ] = None,
    period: PeriodOption = "month",
    requests_per_minute: Annotated[
        int | None, typer.Option(metavar="N", help="The most requests in any minute.")
    ] = None,
    tokens_per_minute: Annotated[
        int | None, typer.Option(metavar="N", help="The most tokens in any minute.")
    ] = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="It may also use the admin endpoints and the dashboard.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make a key and print it: the only time that it is shown."""
    from equirouter.serve.money.api_keys import FIRST_KEY, any_keys, create_key
    from equirouter.serve.records import nusd

    if budget_usd is not None and not 0 < budget_usd < 1e9:
        raise typer.BadParameter(
            f"{budget_usd:g}: expected an amount above 0", param_hint="--budget-usd"
        )
    allowed = None if models is None else names_in(models)

    def work(connection: "sa.Connection", settings: "GatewaySettings") -> tuple[bool, str, "Key"]:
        unknown = sorted(set(allowed or ()) - set(settings.models))
        if unknown:
            raise typer.BadParameter(
                f"{', '.join(unknown)}: not in the pool, which is {', '.join(settings.models)}",
                param_hint="--models",
            )
        closes = settings.keys.required is None and not any_keys(connection)
        secret, key = create_key(
            connection,
            name,
            is_admin=admin,
            models=allowed,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            budget_nusd=None if budget_usd is None else nusd(budget_usd),
            period=period,
        )
        return closes, secret, key

    closes, secret, key = with_store(config, work, writes=True)
    if closes and not quiet:
        say(FIRST_KEY)
    _show_new(secret, key, as_json=as_json, quiet=quiet)


def _show_new(secret: str, key: "Key", *, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_json({"key": secret, **key.described()})
        return
    if not quiet:
        say(f"{key.id}: keep this key, it is not stored and cannot be shown again")
    typer.echo(secret)


@app.command("list")
def list_(config: ConfigArgument, as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """List the keys with their limits and what each spent in the running period."""
    from equirouter.serve.money.api_keys import any_keys, list_keys

    stored, is_closed = with_store(
        config,
        lambda connection, settings: (
            list_keys(connection),
            any_keys(connection) if settings.keys.required is None else settings.keys.required,
        ),
        writes=False,
    )
    if as_json:
        print_json([_stored(key) for key in stored])
        return
    if not stored and not quiet:
        say(
            "no keys: every request is refused"
            if is_closed
            else "no keys: the gateway answers programs of its own machine only"
        )
    for key in stored:
        typer.echo(_line(key))


@app.command()
def revoke(
    config: ConfigArgument,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id or its name.")],
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Revoke a key: calls with it are refused at once, by every worker."""
    from equirouter.serve.money.api_keys import list_keys, revoke_key

    def work(connection: "sa.Connection", settings: "GatewaySettings") -> tuple[Any, bool]:
        revoked = revoke_key(connection, key)
        is_left = any(stored.revoked_at is None for stored in list_keys(connection))
        return revoked, is_left or settings.keys.required is False

    stored, is_open = with_store(config, work, writes=True)
    if not is_open and not quiet:
        say("no key is left: every request is refused until there is another")
    if as_json:
        print_json(_stored(stored))
    elif not quiet:
        typer.echo(f"{stored.key.id} ({stored.key.name}) is revoked")


@app.command("show-spend")
def show_spend(
    config: ConfigArgument,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id or its name.")],
    as_json: JsonOption = False,
    quiet: QuietOption = False,  # noqa: ARG001
) -> None:
    """Show what a key spent in each of its periods, the latest first."""
    from equirouter.serve.money.api_keys import find_named, spend_of

    spends = with_store(
        config,
        lambda connection, _: spend_of(connection, find_named(connection, key).key.id),
        writes=False,
    )
    if as_json:
        print_json([_spend(spend) for spend in spends])
        return
    for spend in spends:
        shown = _spend(spend)
        typer.echo(
            f"{shown['period']:5} {shown['since']}  {shown['spent_usd']:14.6f} USD spent  "
            f"{shown['reserved_usd']:14.6f} reserved"
        )


def with_store(
    config: Path, work: "Callable[[sa.Connection, GatewaySettings], T]", *, writes: bool
) -> T:
    """Run work in a transaction of the store that the settings name.

    writes: whether it changes anything. On SQLite nobody else can write meanwhile, and a gateway
    that serves would have to refuse its requests; what only reads is in nobody's way.
    """
    import asyncio

    from equirouter.serve.money.store.migrate import migrate
    from equirouter.serve.money.store.store import connected
    from equirouter.serve.settings_file import read_settings

    settings = read_settings(config)

    async def run() -> T:
        async with connected(settings.store) as database:
            await migrate(database)
            return await (database.write if writes else database.read)(work, settings)

    return asyncio.run(run())


def _stored(stored: "StoredKey") -> dict[str, Any]:
    return {
        **stored.key.described(),
        "begins_with": stored.shown,
        "created": _time(stored.created_at),
        "revoked": None if stored.revoked_at is None else _time(stored.revoked_at),
        "spend": None if stored.spend is None else _spend(stored.spend),
    }


def _spend(spend: "Spend") -> dict[str, Any]:
    from equirouter.serve.records import usd

    return {
        "period": spend.period,
        "since": datetime.fromtimestamp(spend.day * 86_400, UTC).date().isoformat(),
        "spent_usd": usd(spend.spent_nusd),
        "reserved_usd": usd(spend.reserved_nusd),
    }


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _line(stored: "StoredKey") -> str:
    """A key on one line: id, first characters, name, limits, spend."""
    shown, key = _stored(stored), stored.key
    spent = 0.0 if shown["spend"] is None else shown["spend"]["spent_usd"]
    of = "" if shown["budget_usd"] is None else f" of {shown['budget_usd']:g}"
    parts = [f"{key.id}  {stored.shown}...  {key.name}  {spent:.6f}{of} USD this {key.period}"]
    if key.requests_per_minute is not None:
        parts.append(f"{key.requests_per_minute} requests/min")
    if key.tokens_per_minute is not None:
        parts.append(f"{key.tokens_per_minute} tokens/min")
    if shown["models"] is not None:
        parts.append("models: " + ", ".join(shown["models"]))
    if key.is_admin:
        parts.append("admin")
    if stored.revoked_at is not None:
        parts.append(f"revoked {shown['revoked']}")
    return "  ".join(parts)
