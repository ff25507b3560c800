"""`equirouter review`: a page on which people score answers."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equirouter.cli.common import JsonOption, QuietOption, print_json, say
from equirouter.cli.labels.score import CollectionArgument
from equirouter.words import number_of

if TYPE_CHECKING:
    from equirouter.labelling.collection_store import Collection


def review(
    folder: CollectionArgument,
    person: Annotated[
        str, typer.Option("--as", metavar="NAME", help="The name under which labels are kept.")
    ] = "me",
    take: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="First take over the labels of another copy of the folder."
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    count: Annotated[bool, typer.Option("--count", help="Only say who labelled what.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score answers in a browser: blind, by keyboard or on a phone's screen, until Ctrl-C.

    Queries on which graders or answers differ come first. `equirouter score --labels` uses the
    labels. The page is for this machine only, at the address that is printed.
    """
    from equirouter.labelling.collection_store import Collection

    with Collection.open(folder, writes=True) as collection:
        if take is not None:
            from equirouter.labelling.review.correcting import take_labels

            taken = take_labels(collection, take)
            if not quiet:
                say(f"{number_of(taken, 'label')} taken from {take}")
        try:
            if not count:
                _serve(collection, person, port, as_json=as_json)
        finally:
            _tell(collection, as_json=as_json)


def _serve(collection: "Collection", person: str, port: int, *, as_json: bool) -> None:
    import asyncio

    from equirouter.labelling.review.page import Page, serve_page

    def told(address: str) -> None:
        (say if as_json else typer.echo)(f"open {address}   (Ctrl-C ends it)")

    try:
        asyncio.run(serve_page(Page(collection, person), port=port, told=told))
    except KeyboardInterrupt:
        return
    except OSError as error:
        from equirouter.errors import ConfigError

        raise ConfigError(f"port {port}: {error.strerror or error}; choose another") from error


def _tell(collection: "Collection", *, as_json: bool) -> None:
    from equirouter.labelling.review.correcting import agreements

    labels = collection.labels()
    people: dict[str, int] = {}
    for person, *_ in labels:
        people[person] = people.get(person, 0) + 1
    pairs = agreements(labels)
    if as_json:
        print_json({"labels": people, "agreement": [asdict(pair) for pair in pairs]})
        return
    if not people:
        typer.echo("nobody has scored an answer yet")
    for person, number in people.items():
        typer.echo(f"{person}: {number_of(number, 'label')}")
    for pair in pairs:
        kappa = "" if pair.kappa is None else f", kappa {pair.kappa:.2f}"
        typer.echo(
            f"{pair.one} and {pair.other} both scored {number_of(pair.n, 'answer')}: equal on "
            f"{pair.equal:.0%}, {pair.difference:.2f} apart in the mean{kappa}"
        )
