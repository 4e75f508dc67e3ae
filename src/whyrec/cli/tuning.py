"""The command that searches the settings of a recommender."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from whyrec.cli.options import Json, Seed, answer, ranker_name
from whyrec.recommenders.catalogue import RANKERS

app = typer.Typer()


@app.command()
def tune(
    model: Annotated[
        str, typer.Argument(parser=ranker_name, help=f"The recommender: {', '.join(row.kind for row in RANKERS if row.space)}.")
    ],
    log: Annotated[
        Path, typer.Argument(help="The log, as for whyrec fit, or MovieLens' folder with ratings.csv and movies.csv.")
    ],
    schema: Annotated[Path | None, typer.Option(help="Schema file, as for whyrec fit.")] = None,
    trials: Annotated[
        int, typer.Option(min=1, help="Settings to try, those of an earlier search in --journal included.")
    ] = 30,
    metric: Annotated[
        Literal["ndcg", "recall", "hit_rate", "mrr", "map"], typer.Option(help="What is made best, at 10.")
    ] = "ndcg",
    jobs: Annotated[int, typer.Option(min=1, help="Trials at once.")] = 1,
    journal: Annotated[Path | None, typer.Option(help="File of the search; a stopped search goes on from it.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the answer to this JSON file.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """The best settings of a recommender on this log, judged on each user's last interaction, held out of training.

    Example: whyrec tune EASE clicks.csv --trials 20 --journal search.log
    """
    answer(
        lambda api: api.tune(
            model,
            log,
            schema=schema,
            trials=trials,
            metric=metric,
            jobs=jobs,
            journal=journal,
            out=out,
            random_state=seed,
        ),
        as_json,
    )
