"""Continuations and pronouns of the simulated data set: short scenes of daily and rare work."""

from functools import cache

from equirouter.data.simulated_draft import NAMES, Draft, Pick, lettered, phrases

__all__ = ["continuation", "pronouns"]

# Lines that start with two spaces go on with the line above.
# tier | title | four steps, in order | what comes last
_SCENES = """
0 | Washing a car | fills a bucket with warm water | sprays the dust off the roof | rubs the doors
  with a sponge | rinses the soap away | dries the car with a soft cloth
0 | Making tea | fills the kettle at the tap | waits for the water to boil | puts a tea bag into a
  cup | pours the hot water | takes the bag out and adds some milk
0 | Cleaning a window | sprays the glass | wipes it from the top down | turns the cloth over |
  rubs a stubborn spot | steps back to look for streaks
0 | Baking bread | mixes flour and water | kneads the dough on the table | lets it rise under a
  towel | puts the loaf into the oven | takes the brown loaf out to cool
0 | Cutting the lawn | checks the fuel of the mower | pulls the starter cord | walks along the
  fence | turns at the corner | empties the bag of cut grass
0 | Wrapping a present | cuts a sheet of paper | sets the box in the middle | folds both sides up
  | tapes the edges | ties a ribbon around the box
0 | Brushing a dog | calls the dog to the porch | holds it by the collar | pulls the brush along
  its back | picks out a burr | gives the dog a treat
0 | Painting a fence | stirs the paint with a stick | sands the rough boards | dips the brush |
  paints the boards one by one | leaves the fence to dry in the sun
0 | Planting a tree | digs a deep hole | loosens the roots | sets the young tree upright | fills
  the hole with earth | waters the ground around the trunk
0 | Washing dishes | scrapes the plates | runs hot water into the sink | scrubs the pan | rinses
  the glasses | stacks the plates on the rack
1 | Waxing a snowboard | scrapes the old wax off | warms the iron | drips wax along the base |
  spreads it evenly | polishes the base with a nylon brush
1 | Changing a bicycle tube | releases the brake | levers the tyre off the rim | pulls the flat
  tube out | checks the tyre for thorns | pumps up the new tube and spins the wheel
1 | Throwing a clay bowl | wedges a lump of clay | centres it on the wheel | opens it with both
  thumbs | raises the wall | cuts the bowl off with a wire
1 | Climbing an indoor wall | ties in with a figure eight | chalks both hands | shifts weight to
  the left foot | reaches for a sloping hold | clips the top anchor and is lowered
1 | Grooming a horse | loosens the mud with a curry comb | flicks the dust off | lifts each hoof |
  picks out the stones | leads the horse back to its stall
1 | Tuning a guitar | plucks the lowest string | compares it with a fork | turns the peg slowly |
  checks the octave | plays a chord and nods
1 | Fencing practice | salutes the opponent | takes the guard position | feints to the shoulder |
  parries a low thrust | scores with a quick lunge
1 | Making candles | melts wax over hot water | fixes the wick in a jar | stirs in the scent |
  pours the wax | trims the wick when all is firm
1 | Laying tiles | spreads the mortar | combs it with a notched trowel | presses each tile | sets
  spacers at the corners | fills the joints with grout
1 | Folding a paper crane | creases the diagonals | collapses the square base | folds the kite
  shape | pulls the neck up | spreads the wings
2 | Gilding a frame | brushes bole over the gesso | breathes on the clay to moisten it | lifts the
  leaf with a tip | tamps the leaf with cotton | burnishes the gold with an agate
2 | Scything a meadow | peens the blade on a small anvil | hones the edge with a wetted whetstone
  | sets the snath | swings in a shallow arc | rakes the windrows for drying
2 | Binding a quarto | folds the gatherings | saws the kerfs | sews the signatures onto cords |
  rounds the spine | pares the leather and casts the boards in
2 | Rigging a gaff cutter | bends the mainsail to the spar | reeves the throat halyard | tensions
  the bobstay | belays the topping lift | sweats the peak up until the leech is taut
2 | Falconry at dusk | feeds the jesses through the glove | unhoods the goshawk | checks its keel
  for weight | casts it off downwind | swings the lure to call it back
2 | Preparing a thin section | impregnates the specimen with resin | laps it on carborundum |
  cements it to a slide | grinds it to thirty microns | reads the birefringence under crossed
  polars
2 | Bobbin lace | pricks the parchment | winds the bobbins in pairs | hangs them at the picot edge
  | works a cloth stitch | ties off the plaits and lifts the pins
2 | Forging a billhook | draws out the tang | scarfs the steel | brings the weld to a lemon heat |
  upsets the beak | quenches it in oil and tempers it to straw
2 | Luthiery | graduates the spruce plate | inlays the purfling | carves the scroll | fits the
  bass bar | strings the viola and sets the sound post
2 | Assaying ore | quarters the crushed sample | fluxes it with litharge | fires the crucible |
  cupels the lead button | parts the bead in nitric acid and weighs the gold
"""
_PEOPLE = phrases(
    "A woman, A man, A boy, A girl, An old man, A young woman, A teenager, A grandmother, "
    "A worker in an apron, A student, A tall man, A person in gloves"
)
_WHERE = phrases(
    "in a garage, in the yard, at home, behind a shop, in a bright room, at a workshop, "
    "near a lake, on a terrace, in front of a camera, during a course, on a rainy day, "
    "early in the morning"
)
_ASIDES = (
    "a friend talks to the camera",
    "somebody laughs in the background",
    "the picture cuts to a title",
    "a child comes to watch",
    "music starts to play",
    "the light changes",
)


@cache
def _scenes() -> list[list[list[str]]]:
    """Tier -> [title, four steps, last step]."""
    tiers: list[list[list[str]]] = [[], [], []]
    for line in _SCENES.strip().replace("\n  ", " ").splitlines():
        tier, *parts = line.split(" | ")
        tiers[int(tier)].append(parts)
    return tiers


def continuation(pick: Pick) -> Draft:
    """What comes next; harder for rare crafts, long scenes and endings out of the same scene."""
    tier = pick.number(0, 2)
    title, *steps, last = pick.one(_scenes()[tier])
    shown = pick.number(1, 4)
    near = shown >= 3 and pick.chance(0.6)
    if near:  # the wrong endings have all happened already
        wrong = pick.some(steps[:shown], 3)
    else:
        others = [scene for scene in _scenes()[pick.number(0, 2)] if scene[0] != title]
        wrong = [pick.one(scene[1:]) for scene in pick.some(others, 3)]
    n_asides = pick.one((0, 0, 1, 2))
    told = [f"{pick.one(_PEOPLE)} {pick.one(_WHERE)} {steps[0]}", *steps[1:shown]]
    for aside in pick.some(_ASIDES, n_asides):
        told.insert(pick.number(1, len(told)), aside)
    scene = f"{title}: {told[0]}" + "".join(f", then {step}" for step in told[1:])
    right = last if shown == 4 else steps[shown]
    answers = lettered(pick.some([right, *wrong], 4))
    asked = pick.one(("What comes next?", "How does it go on?", "Choose the next step.", "Next,"))
    return Draft(f"{scene}. {asked}\n{answers}", tier + 0.9 * near + 0.25 * (shown + n_asides))


# tier | the sentence, with {a}, {b} and the gap _ | a word that points to a | one for b | pairs
_THINGS = """
0 | The {a} does not fit into the {b} because the _ is too {w}. | big | small | trophy suitcase,
  sofa lift, cake tin, book drawer, guitar locker, tent bag, pumpkin basket, chair van
0 | {name} took the {a} and left the {b} behind because the _ was {w}. | useful | broken | map
  lamp, rope ladder, knife spoon, coat hat, torch radio, drum flute, kite ball
0 | The {a} fell on the {b}, but the _ was {w} enough not to break. | light | strong | cup table,
  box shelf, pear glass, branch roof, phone tile, plate stove
0 | {name} moved the {a} away from the {b} because the _ was too {w}. | dry | hot | paper stove,
  flower heater, blanket fire, basket lamp, butter oven
1 | {name} replaced the {a} with the {b}, since the _ had turned out to be {w}. | unreliable |
  superior | antenna receiver, gasket washer, trellis pergola, almanac atlas, bellows pump
1 | The {a} drained faster than the {b}, so {name} found the _ {w}. | empty | full | cistern
  reservoir, decanter carafe, trough barrel, funnel flask, canteen thermos
1 | The {a} was louder than the {b}, and so {name} found the _ {w}. | obtrusive | inaudible |
  foghorn harmonica, turbine metronome, cicada cricket, trombone viola
2 | The {a} supplanted the {b}, for the _ had proved {w}. | serviceable | defective |
  pinion rack, escapement arbor, trunnion yoke, worm sector, spline collet
2 | {name} preferred the {a} to the {b}, the _ having {w} provenance. | impeccable | dubious |
  triptych diptych, incunabulum codex, samovar salver, astrolabe sextant, escritoire armoire
2 | The {a} obscured the {b} in the thin section, as the _ was {w}. | opaque | translucent |
  magnetite plagioclase, hornblende apatite, ilmenite zircon, chromite olivine
"""
_PERSONS = """
0 | {a} asked {b} for help because _ {w}. | was lost | knew the way
0 | {a} lent {b} an umbrella, as _ {w}. | had two of them | had none
0 | {a} waited for {b} at the station, but _ {w}. | gave up at noon | missed the train
0 | {a} thanked {b} because _ {w}. | had been helped | had helped
0 | {a} ran faster than {b}, so _ {w}. | won the race | lost the race
0 | {a} could not lift {b}, because _ {w}. | was too weak | was too heavy
1 | {a} consulted {b} about the inheritance because _ {w}. | needed advice | was a notary
1 | {a} outbid {b} at the auction, although _ {w}. | had come late | had come prepared
1 | {a} apologised to {b}, for _ {w}. | had overreacted | had been offended
1 | {a} refused to vouch for {b}, since _ {w}. | was cautious | was untrustworthy
1 | {a} succeeded {b} as chair once _ {w}. | was elected | had resigned
2 | {a} exculpated {b} before the tribunal, inasmuch as _ {w}. | was conscience-stricken | was
  blameless
2 | {a} remonstrated with {b}, whereupon _ {w}. | was told to desist | forswore the scheme
2 | {a} was loath to gainsay {b}, seeing that _ {w}. | was a mere novice | was a doyen of the guild
2 | {a} cozened {b} out of the bequest because _ {w}. | was avaricious | was credulous
2 | {a} importuned {b} for an audience, albeit _ {w}. | lacked standing | was indisposed
"""
_CLAUSES = (
    "on the second day of the fair",
    "although nobody had expected it",
    "despite what the neighbours said",
    "after a long talk with {other}",
    "in spite of the rain",
    "as {other} later told the others",
    "which {other} did not know",
    "while {other} was still away",
    "not for the first time",
)


def pronouns(pick: Pick) -> Draft:
    """Who or what is meant by the gap; harder with rare words, added clauses and negation."""
    tier = pick.number(0, 2)
    persons = pick.chance(0.5)
    sentence, to_a, to_b, *nouns = pick.one(_schemata(_PERSONS if persons else _THINGS)[tier])
    a, b, name, other = pick.some(NAMES, 4)
    if not persons:
        a, b = pick.one(nouns[0].split(", ")).split(" ")
    n_clauses = pick.one((0, 0, 1, 1, 2))
    clauses = [clause.format(other=other) for clause in pick.some(_CLAUSES, n_clauses)]
    denied = pick.chance(0.3)
    text = sentence.format(a=a, b=b, name=name, w=pick.one((to_a, to_b)))
    if clauses:
        text = f"It happened {', '.join(clauses)}: {text}"
    article = "" if persons else "the "
    asked = pick.one(("What does _ stand for?", "Fill the gap.", "Which fits?"))
    if denied:
        asked = pick.one(("What does _ NOT stand for?", "Which can the gap NOT mean?"))
    options = pick.some([article + a, article + b], 2)
    return Draft(f"{text} {asked}\n{lettered(options)}", tier + 0.5 * n_clauses + 0.6 * denied)


@cache
def _schemata(table: str) -> list[list[list[str]]]:
    """Tier -> [sentence, word for a, word for b, and for things the pairs of nouns]."""
    tiers: list[list[list[str]]] = [[], [], []]
    for line in table.strip().replace("\n  ", " ").splitlines():
        tier, *parts = line.split(" | ")
        tiers[int(tier)].append(parts)
    return tiers
