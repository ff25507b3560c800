"""Names that a user types, and the classes or functions behind them.

Built-in entries are import paths, so that listing the names imports nothing. Another package joins
by an entry point in the group named here, for example in its pyproject.toml:

    [project.entry-points."equirouter.routers"]
    my-router = "my_package:MyRouter"
"""

import json
import logging
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from equirouter.errors import ConfigError, UnknownNameError
from equirouter.words import did_you_mean


def setting_value(text: str) -> Any:  # noqa: ANN401  # whatever JSON can hold
    """The value of a setting that a user types: JSON, or a bare word as it stands, loss=mse."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


class Registry:
    """A name -> object table whose objects are imported when they are asked for."""

    def __init__(self, kind: str, group: str, builtin: Mapping[str, str]) -> None:
        self.kind = kind
        self.group = group
        self.builtin = dict(builtin)

    @cached_property
    def _paths(self) -> dict[str, str]:
        joined = {point.name: point.value for point in entry_points(group=self.group)}
        return joined | self.builtin  # a third party cannot take over a built-in name

    def names(self) -> list[str]:
        """All names, built-in ones in their order, then those of other packages."""
        return [*self.builtin, *sorted(set(self._paths) - set(self.builtin))]

    def load(self, name: str) -> Any:  # noqa: ANN401  # routers, encoders, ...: the caller knows
        """The object behind a name.

        Raises UnknownNameError, with the nearest names, if there is none, and ConfigError where
        the package that joined by that name is broken.
        """
        # what other packages registered is in a file of each that is installed: 25 ms to read
        path = self.builtin.get(name) or self._paths.get(name)
        if path is None:
            hint = did_you_mean(name, self._paths)
            raise UnknownNameError(
                f"no {self.kind} named {name!r}: {hint}known: {', '.join(self.names())}"
            )
        try:
            return EntryPoint(name, path, self.group).load()
        except Exception as error:
            if name in self.builtin:
                raise
            raise ConfigError(
                f"the {self.kind} {name!r} of another package cannot be loaded: {path}: "
                f"{type(error).__name__}: {error}; repair that package, or uninstall it"
            ) from error

    def name_of(self, kind: type) -> str:
        """The name that a class is registered under, or its own name where there is none."""
        path = f"{kind.__module__}:{kind.__qualname__}"

        def named(paths: Mapping[str, str]) -> str | None:
            return next((name for name, known in paths.items() if known == path), None)

        return named(self.builtin) or named(self._paths) or kind.__name__

    def load_all(self) -> dict[str, Any]:
        """Name -> object, as in names(), without those of other packages that cannot be loaded.

        Each of these is a warning in the log: a broken package takes nothing from the others.
        """
        loaded = {}
        for name in self.names():
            try:
                loaded[name] = self.load(name)
            except ConfigError as error:
                logging.getLogger(__name__).warning("left out: %s", error)
        return loaded


ROUTERS = Registry(
    "router",
    "equirouter.routers",
    {
        "equirouter": "equirouter.routers.networks.equirouter:EquiRouter",
        "mlp": "equirouter.routers.networks.mlp:MLPRouter",
        "knn": "equirouter.routers.knn:KNNRouter",
        "factors": "equirouter.routers.factors:FactorRouter",
        "linear": "equirouter.routers.linear:LinearRouter",
        "svm": "equirouter.routers.linear:SVMRouter",
        "avengerspro": "equirouter.routers.avengerspro:AvengersProRouter",
        "embedllm": "equirouter.routers.networks.embedllm:EmbedLLMRouter",
        "routerdc": "equirouter.routers.networks.routerdc:RouterDCRouter",
        "graphrouter": "equirouter.routers.networks.graphrouter:GraphRouter",
        "mirt": "equirouter.routers.networks.irt:MIRTRouter",
        "causal": "equirouter.routers.networks.causal:CausalRouter",
        "nirt": "equirouter.routers.networks.irt:NIRTRouter",
        "oracle": "equirouter.routers.anchors:OracleRouter",
        "random": "equirouter.routers.anchors:RandomRouter",
        "strongest": "equirouter.routers.anchors:StrongestRouter",
        "cheapest": "equirouter.routers.anchors:CheapestRouter",
        "task": "equirouter.routers.anchors:TaskRouter",
        "mixture": "equirouter.routers.anchors:MixtureRouter",
    },
)

ENCODERS = Registry(
    "encoder",
    "equirouter.encoders",
    {
        "lexical": "equirouter.encoders.lexical:LexicalEncoder",
        "minilm": "equirouter.encoders.minilm:MiniLMEncoder",
        "lexical+minilm": "equirouter.encoders.joined:LexicalMiniLMEncoder",
        "static": "equirouter.encoders.static:StaticEncoder",
        "vision": "equirouter.encoders.vision:VisionEncoder",
        "sentence-transformers": (
            "equirouter.encoders.sentence_transformer:SentenceTransformerEncoder"
        ),
        "openai": "equirouter.encoders.openai:OpenAIEncoder",
    },
)

DATASETS = Registry(
    "data set",
    "equirouter.datasets",
    {
        "real": "equirouter.data.sources.real:Real",
        "simulated": "equirouter.data.sources.simulated:Simulated",
        "simulated-routerbench": "equirouter.data.sources.simulated:SimulatedRouterBench",
        "simulated-multimodal": "equirouter.data.sources.simulated_multimodal:SimulatedMultimodal",
        "routerbench-5shot": "equirouter.data.sources.routerbench:RouterBench5Shot",
        "routerbench-0shot": "equirouter.data.sources.routerbench:RouterBench0Shot",
        "routerbench-raw": "equirouter.data.sources.routerbench:RouterBenchRaw",
        "mmr-bench": "equirouter.data.sources.mmrbench:MMRBench",
        "mixinstruct": "equirouter.data.sources.mixinstruct:MixInstruct",
        "llmrouterbench": "equirouter.data.sources.llmrouterbench:LLMRouterBench",
        "routereval": "equirouter.data.sources.routereval:RouterEval",
        "zeroeval": "equirouter.data.sources.zeroeval:ZeroEval",
        "alpacaeval": "equirouter.data.sources.alpacaeval:AlpacaEval",
        "mathv": "equirouter.data.sources.mathv:MathVision",
    },
)

LOG_FORMATS = Registry(
    "log format",
    "equirouter.log_formats",
    {
        "openai-batch": "equirouter.data.logs.batch:OpenAIBatch",
        "stored-completions": "equirouter.data.logs.batch:StoredCompletions",
        "litellm": "equirouter.data.logs.litellm:LiteLLM",
        "langfuse": "equirouter.data.logs.langfuse:Langfuse",
        "helicone": "equirouter.data.logs.helicone:Helicone",
        "otel": "equirouter.data.logs.otel:GenAISpans",
        "gateway": "equirouter.data.logs.gateway:GatewayLog",
        "sharegpt": "equirouter.data.logs.chat:ShareGPT",
        "chat": "equirouter.data.logs.chat:Chat",
        "prompts": "equirouter.data.logs.prompts:PromptColumn",
        "text-files": "equirouter.data.logs.prompts:TextFiles",
    },
)

CHECKS = Registry(
    "check",
    "equirouter.checks",
    {
        "json": "equirouter.checks.json_form:JsonCheck",
        "sql": "equirouter.checks.sql:SqlCheck",
        "command": "equirouter.checks.command:CommandCheck",
        "log-probability": "equirouter.checks.log_odds:LogProbabilityCheck",
        "judge": "equirouter.checks.model_calls:JudgeCheck",
    },
)

POLICIES = Registry(
    "policy",
    "equirouter.policies",
    {
        "budget": "equirouter.policy.budget:BudgetPolicy",
        "utility": "equirouter.policy.utility:UtilityPolicy",
        "budget-grid": "equirouter.policy.budget:EvenBudgetPolicy",
        "pacing": "equirouter.policy.pacer:PacingPolicy",
        "less-collapse": "equirouter.policy.utility:LessCollapsePolicy",
    },
)

PLAN = "plan"
"""What `bench` calls plans (policy/plan.py). They are no entry of POLICIES: a plan asks several
models, and is fitted for each router."""

GRADERS = Registry(
    "grader",
    "equirouter.graders",
    {
        "exact": "equirouter.labelling.graders.exact:ExactGrader",
        "choice": "equirouter.labelling.graders.choice:ChoiceGrader",
        "number": "equirouter.labelling.graders.number:NumberGrader",
        "math": "equirouter.labelling.graders.mathematics:MathGrader",
        "regex": "equirouter.labelling.graders.pattern:RegexGrader",
        "json": "equirouter.labelling.graders.json_form:JsonGrader",
        "contains": "equirouter.labelling.graders.contains:ContainsGrader",
        "command": "equirouter.labelling.graders.command:CommandGrader",
        "reference": "equirouter.labelling.graders.reference:ReferenceGrader",
        "judge": "equirouter.labelling.graders.judge:JudgeGrader",
        "compare": "equirouter.labelling.graders.compare:CompareGrader",
        "feedback": "equirouter.labelling.graders.feedback:FeedbackGrader",
        "agreement": "equirouter.labelling.graders.agreement:AgreementGrader",
    },
)

EXPERIMENTS = Registry(
    "experiment",
    "equirouter.experiments",
    {
        "table1": "equirouter.paper.main_table:in_domain",
        "tableA1": "equirouter.paper.main_table:out_of_domain",
        "fig1": "equirouter.paper.strongest_calls:strongest_share",
        "fig2": "equirouter.paper.call_frequency:at_the_largest_budget",
        "fig3-margin": "equirouter.paper.margins:on_routerbench",
        "fig3-noise": "equirouter.paper.oracle_noise:noisy_oracle",
        "fig5": "equirouter.paper.cost_needed:cost_for_targets",
        "figA1": "equirouter.paper.strongest_calls:training_set_evaluation",
        "figA2": "equirouter.paper.margins:on_mmr_bench",
        "figA3": "equirouter.paper.margins:on_mixinstruct",
        "figA4": "equirouter.paper.cost_model:cost_model_errors",
        "figA5": "equirouter.paper.cost_model:routing_with_true_costs",
        "figA6": "equirouter.paper.call_frequency:over_the_sweep",
        "less-collapse": "equirouter.paper.less_collapse:collapse_as_an_aim",
        "complexity": "equirouter.paper.complexity:size_and_speed",
        "b4": "equirouter.paper.oracle_noise:maximum_mean_winner",
    },
)
