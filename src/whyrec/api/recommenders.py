"""Questions about recommenders as such."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from whyrec.api.options import as_path


def recommenders_benchmark(
    data: str | Path,
    *,
    quick: bool = False,
    only: Sequence[str] | None = None,
    budget: float | None = None,
    keep: str | Path | None = None,
    out: str | Path | None = None,
    random_state: int = 0,
) -> Any:
    """Recommenders on reference data; see `whyrec.studies.recommender_benchmark`. budget: CPU seconds a
    transformer. keep: a folder from which a run that was broken off goes on. out: a file for the tables, Markdown where its
    name ends in .md and JSON elsewhere."""
    from whyrec.files import write_json, write_text
    from whyrec.studies.recommender_benchmark import recommender_benchmark as run

    result = run(Path(data), quick=quick, only=only, budget=budget, keep=as_path(keep), random_state=random_state)
    if out is not None and Path(out).suffix == ".md":
        write_text(Path(out), result.to_markdown())
    elif out is not None:
        write_json(Path(out), result.to_dict())
    return result


def tune(
    model: Any,
    log: Any,
    *,
    schema: Any = None,
    space: Any = None,
    trials: int = 30,
    metric: Any = "ndcg",
    k: int = 10,
    jobs: int = 1,
    journal: str | Path | None = None,
    out: str | Path | None = None,
    random_state: int = 0,
) -> Any:
    """The best settings of a recommender on a log; see `whyrec.recommenders.tuning.tune`.

    log: a `Dataset`, what `fit` takes, or a folder with MovieLens' ratings.csv and movies.csv. journal: file of the search, which goes
    on from it. out: a JSON file.
    """
    from whyrec.data.dataset import Dataset
    from whyrec.data.read import read_dataset
    from whyrec.data.samples import movielens
    from whyrec.data.schema import Schema
    from whyrec.files import write_json
    from whyrec.recommenders.tuning import tune as search

    if isinstance(log, Dataset):
        dataset = log
    elif isinstance(log, str | Path) and (Path(log) / "ratings.csv").is_file():
        dataset = movielens(Path(log))
    else:
        roles = Schema.read(Path(schema)) if isinstance(schema, str | Path) else schema
        dataset, _ = read_dataset(log, schema=roles)
    result = search(
        model, dataset, space, trials=trials, metric=metric, k=k, jobs=jobs, storage=as_path(journal), random_state=random_state
    )
    if out is not None:
        write_json(Path(out), result.to_dict())
    return result
