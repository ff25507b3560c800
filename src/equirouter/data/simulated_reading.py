"""Questions on a short passage of the simulated data set: more facts and more hops are harder."""

from equirouter.data.simulated_draft import NAMES, Draft, Pick, words

__all__ = ["reading"]

_TOWNS = words(
    "Alderby Brinmoor Caldwick Dunholm Esterlea Farrow Glenmere Hartsend Ivybridge Jorvale Kelling "
    "Lowmarsh Marden Northam Oakhurst Pellside Quarley Redwater Stanhope Thornby Underhill Wexcombe"
)
# by tier: the title of the passage, what people do there, and what is counted
_WORLDS = (
    (
        ("The village club", "The school fair", "The choir trip", "The garden contest"),
        words("baker teacher driver painter gardener nurse cook farmer"),
        words("cakes songs tickets flowers photos cups"),
    ),
    (
        ("The quarterly report", "The insurance claims", "The tender", "The staff survey"),
        words("auditor broker consultant surveyor paralegal controller underwriter buyer"),
        words("invoices contracts complaints audits licences proposals"),
    ),
    (
        ("The assay protocol", "The palynology core", "The cryostat log", "The codicology notes"),
        words(
            "mycologist spectroscopist stratigrapher palaeographer crystallographer limnologist "
            "cytogeneticist epigrapher"
        ),
        words("aliquots isotherms colophons thin-sections chromatograms ostracods"),
    ),
)
_FACTS = (
    "{name}, {job} in {town}, handed in {n} {thing} in {year}.",
    "In {year} the {job} {name} of {town} had {n} {thing}.",
    "{n} {thing} were noted in {year} for the {job} {name} of {town}.",
    "From {town} came {name}, the {job}, with {n} {thing} ({year}).",
)
_ONE_HOP = (
    "From which town does {name} come?",
    "What is the work of {name}?",
    "How many {thing} does the text give for {name}?",
    "Which year is named together with {name}?",
)
_TWO_HOPS = (
    "How many {thing} did the person from {town} have?",
    "In which town does the {job} with the largest number of {thing} live?",
    "Who had more {thing}, {name} or the person from {town}?",
)
_THREE_HOPS = (
    "Of those named after {year}, who had the fewest {thing}, and what is the work of that person?",
    "By how much do the {thing} of {name} differ from the mean of all the others?",
    "Order all persons by year and say how many {thing} the second and the last have together.",
)
_NOISE = (
    "The weather was mild.",
    "The hall had been painted the year before.",
    "A list was pinned to the door.",
    "No figures are known for the guests.",
)


def reading(pick: Pick) -> Draft:
    """A passage and a question; harder with more facts, more hops and rarer words."""
    tier = pick.number(0, 2)
    titles, jobs, things = _WORLDS[tier]
    n_facts = pick.number(1, 4)
    hops = pick.number(1, min(n_facts, 3))
    thing = pick.one(things)
    people = [
        {"name": name, "town": town, "job": pick.one(jobs), "year": pick.number(1950, 2020)}
        for name, town in zip(pick.some(NAMES, n_facts), pick.some(_TOWNS, n_facts), strict=True)
    ]
    facts = [
        pick.one(_FACTS).format(n=pick.number(3, 900), thing=thing, **person) for person in people
    ]
    n_noise = pick.one((0, 0, 1))
    for sentence in pick.some(_NOISE, n_noise):
        facts.insert(pick.number(0, len(facts)), sentence)
    bank = (_ONE_HOP, _TWO_HOPS, _THREE_HOPS)[hops - 1]
    asked = dict(pick.one(people))
    if hops == 2:  # two persons: the one asked for and the one found by the town
        asked["town"] = people[0]["town"]
        asked["name"] = people[-1]["name"]
    question = pick.one(bank).format(thing=thing, **asked)
    text = f"{pick.one(titles)}. {' '.join(facts)} {question}"
    return Draft(text, 0.5 * tier + 0.35 * n_facts + 0.8 * (hops - 1) + 0.2 * n_noise)
