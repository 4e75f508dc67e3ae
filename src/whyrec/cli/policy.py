"""`whyrec policy`: what a policy would have earned, which is better, learning one, and whether it may go live."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from whyrec.cli.options import Json, Seed, answer, names

app = typer.Typer(
    help="Policies from a log of decisions: evaluate, compare, learn, and check before they go live.\n\n"
    "The log needs the reward of every decision and the chance (propensity) that the serving policy gave to what it did.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Log = Annotated[Path, typer.Argument(help="Log of decisions, a row each: CSV, Parquet, JSON lines or Arrow.")]
Reward = Annotated[str, typer.Option(help="Column of the reward (click, spend ...), 0 where nothing happened.")]
Propensity = Annotated[str, typer.Option(help="Column of the logged chance of the action that was taken, above 0.")]
Target = Annotated[str | None, typer.Option(help="Column of the new policy's chance of the logged action.")]
Policy = Annotated[
    str | None, typer.Option(help="In place of --target: a file of whyrec policy learn, or 'uniform'. Needs --action.")
]
Action = Annotated[str | None, typer.Option(help="Column of the action that was taken.")]
Cluster = Annotated[str | None, typer.Option(help="Column whose rows belong together (user); intervals allow for it.")]
Picture = Annotated[Path | None, typer.Option(help="Also draw it: a .svg or .html file.")]
Interval = Literal["auto", "normal", "bootstrap", "studentised", "bernstein", "events"]



@app.command()
def evaluate(
    log: Log,
    reward: Reward,
    propensity: Propensity,
    target: Target = None,
    policy: Policy = None,
    action: Action = None,
    cluster: Cluster = None,
    predicted_logged: Annotated[
        str | None, typer.Option(help="Column of a reward model at the logged action (for DM, DR ...).")
    ] = None,
    predicted_target: Annotated[
        str | None, typer.Option(help="Column of the same model's mean over the new policy's actions.")
    ] = None,
    methods: Annotated[str | None, typer.Option(help="Estimators, separated by commas. Default: all.")] = None,
    interval: Annotated[Interval, typer.Option(help="How intervals are made.")] = "auto",
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Level of the intervals.")] = 0.95,
    picture: Picture = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """What would this policy have earned? Every estimator with its interval, and what the log cannot bear.

    whyrec policy evaluate log.csv --reward click --propensity chance --target new_chance
    """
    answer(
        lambda api: api.policy_evaluate(
            log,
            reward=reward,
            propensity=propensity,
            target=target,
            policy=policy,
            action=action,
            cluster=cluster,
            predicted_logged=predicted_logged,
            predicted_target=predicted_target,
            methods=names(methods),
            interval=None if interval == "auto" else interval,
            level=level,
            picture=picture,
            random_state=seed,
        ),
        as_json,
    )


@app.command()
def compare(
    log: Log,
    reward: Reward,
    propensity: Propensity,
    targets: Annotated[
        str, typer.Option(help="Columns of each policy's chance of the logged action, separated by commas.")
    ],
    cluster: Cluster = None,
    method: Annotated[Literal["IPS", "SNIPS"], typer.Option(help="Estimator.")] = "SNIPS",
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Level of the intervals.")] = 0.95,
    picture: Picture = None,
    as_json: Json = False,
) -> None:
    """Which policy is better? Paired differences from the logging policy and from each other, corrected for their number."""
    answer(
        lambda api: api.policy_compare(
            log,
            reward=reward,
            propensity=propensity,
            targets=names(targets),
            cluster=cluster,
            method=method,
            level=level,
            picture=picture,
        ),
        as_json,
    )


@app.command()
def learn(
    log: Log,
    reward: Reward,
    action: Annotated[str, typer.Option(help="Column of the action that was taken.")],
    features: Annotated[str, typer.Option(help="Columns known before the decision, separated by commas.")],
    propensity: Annotated[
        str | None,
        typer.Option(help="Column of logged chances; leave out only where actions were randomised alike for all."),
    ] = None,
    cluster: Cluster = None,
    learner: Annotated[
        Literal["tree", "greedy", "softmax"],
        typer.Option(help="A tree to read, the largest expected gain, or a softmax by doubly robust gradient."),
    ] = "tree",
    depth: Annotated[int, typer.Option(min=0, max=2, help="Questions of the tree on the way to an action.")] = 2,
    penalty: Annotated[
        float, typer.Option(min=0, help="Softmax: standard errors of its value that it must be worth.")
    ] = 1.0,
    cost: Annotated[float, typer.Option(help="What every action but --free costs, in the reward's unit.")] = 0.0,
    free: Annotated[str | None, typer.Option(help="The action that costs nothing.")] = None,
    held_out: Annotated[float, typer.Option(min=0.1, max=0.9, help="Share of the rows to judge it on.")] = 0.5,
    model: Annotated[Literal["linear", "boosting"], typer.Option(help="Reward model of the scores.")] = "linear",
    out: Annotated[Path | None, typer.Option(help="Write the policy to this .json file.")] = None,
    picture: Picture = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Learn a policy on one part of the log, judge it on the other.

    whyrec policy learn log.csv --reward visit --action email --features recency,history --out policy.json
    """
    answer(
        lambda api: api.policy_learn(
            log,
            reward=reward,
            action=action,
            features=names(features),
            propensity=propensity,
            cluster=cluster,
            learner=learner,
            depth=depth,
            penalty=penalty,
            cost=cost,
            free=free,
            held_out=held_out,
            model=model,
            out=out,
            picture=picture,
            random_state=seed,
        ),
        as_json,
    )


@app.command("deploy-check")
def deploy_check(
    log: Log,
    reward: Reward,
    propensity: Propensity,
    target: Target = None,
    policy: Policy = None,
    action: Action = None,
    cluster: Cluster = None,
    margin: Annotated[float, typer.Option(help="What the gain over the logging policy must exceed.")] = 0.0,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the one-sided lower bound.")] = 0.95,
    least_effective: Annotated[
        float, typer.Option(min=2, help="Rounds that the log must be worth for the policy.")
    ] = 100.0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """May it go live? Exit 0 where the gain is sure, 1 with the reasons where it is not."""
    found: list[Any] = []

    def ask(api: Any) -> Any:
        found.append(
            api.deploy_check(
                log,
                reward=reward,
                propensity=propensity,
                target=target,
                policy=policy,
                action=action,
                cluster=cluster,
                margin=margin,
                confidence=confidence,
                least_effective=least_effective,
                random_state=seed,
            )
        )
        return found[0]

    answer(ask, as_json)
    if not found[0].deploy:
        raise typer.Exit(1)
