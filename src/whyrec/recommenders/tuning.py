"""Settings found by search on a validation part cut from training, so that no test item has a say."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from whyrec.data.dataset import Dataset
from whyrec.data.split import Split, split_last, split_random
from whyrec.errors import BadInput
from whyrec.progress import say
from whyrec.recommenders.base import Recommender
from whyrec.recommenders.catalogue import RANKERS, ranker
from whyrec.recommenders.evaluation import PER_USER, measure
from whyrec.recommenders.space import Choice as Choice
from whyrec.recommenders.space import Real as Real
from whyrec.recommenders.space import Space, Whole

Metric = Literal["ndcg", "recall", "hit_rate", "mrr", "map"]


@dataclass(frozen=True)
class Tuned:
    """What a search found. parameters: the best, for the model's constructor. value: its metric on the validation part.

    trials: number, value, parameters and CPU seconds of every finished trial. how: what was held out. failed: trials refused.
    """

    model: str
    metric: str
    k: int
    parameters: dict[str, Any]
    value: float
    trials: tuple[dict[str, Any], ...]
    how: str
    failed: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "model": self.model,
            "metric": f"{self.metric}@{self.k}",
            "parameters": self.parameters,
            "value": self.value,
            "trials": list(self.trials),
            "validation": self.how,
            "failed": self.failed,
        }

    def to_text(self) -> str:
        """The best settings and how they were found."""
        given = ", ".join(f"{name}={_short(value)}" for name, value in self.parameters.items())
        values = sorted((trial["value"] for trial in self.trials), reverse=True)
        refused = f"; {self.failed} trials were refused by the model" if self.failed else ""
        return (
            f"{self.model}({given})\n{self.metric}@{self.k} {self.value:.4f} on the validation part ({self.how}), the best of "
            f"{len(values)} trials (median {values[len(values) // 2]:.4f}){refused}"
        )

    def __repr__(self) -> str:
        return f"Tuned: {self.model}, {self.metric}@{self.k} {self.value:.4f} of {len(self.trials)} trials"


def tune(
    model: str | Callable[..., Recommender],
    dataset: Dataset,
    space: Space | None = None,
    *,
    trials: int = 30,
    metric: Metric = "ndcg",
    k: int = 10,
    jobs: int = 1,
    storage: Path | None = None,
    exclude_seen: bool = True,
    random_state: int = 0,
) -> Tuned:
    """Search settings with Optuna's tree-structured Parzen estimator (Bergstra et al., 2011).

    model: a name of the catalogue, or a constructor, with its `space`. dataset: the training part alone. Each user's last interaction
    (a random tenth where the log has no times) is held out of it, and the metric at k on that is what counts, over the whole catalogue.
    storage: a journal file; a search that was stopped goes on from it, and `trials` counts what it holds already. jobs: trials
    at once, as threads; with more than one the order of trials, and so the search, may differ from run to run. Settings that
    the model refuses (it diverged) count as failed and end nothing.
    """
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise BadInput("tuning needs optuna; pip install 'whyrec[tune]'") from error
    make, space, name = _asked(model, space)
    if trials < 1 or jobs < 1 or metric not in PER_USER:
        raise BadInput(f"tune: trials and jobs must be 1 or more, and metric one of {', '.join(PER_USER)}")
    split = _validation(dataset, random_state)
    column = PER_USER.index(metric)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kept = None
    if storage is not None:
        storage.parent.mkdir(parents=True, exist_ok=True)
        kept = JournalStorage(JournalFileBackend(str(storage)))
    study = optuna.create_study(
        study_name=f"{name}, {metric}@{k}, {dataset.name}, {dataset.log.height} rows",
        storage=kept,
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=random_state, n_startup_trials=min(10, max(3, trials // 3))),
    )

    def once(trial: Any) -> float:
        start = time.process_time()
        given = {parameter: _drawn(trial, parameter, span) for parameter, span in space.items()}
        fitted = make(**given).fit(split.train)
        found = measure({name: fitted}, split.train, split.test, k, exclude_seen)
        value = float(found.accuracy[name][:, column].mean())
        trial.set_user_attr("seconds", time.process_time() - start)
        say(f"trial {trial.number + 1}: {metric}@{k} {value:.4f}")
        return value

    left = trials - sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
    if left > 0:
        _run(study, once, left, jobs)
    done = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    if not done:
        raise BadInput(f"tune: {name} refused all {trials} settings that were tried; give another space")
    told = tuple(
        {
            "trial": trial.number,
            "value": trial.value,
            "parameters": trial.params,
            "seconds": trial.user_attrs.get("seconds"),
        }
        for trial in done
    )
    return Tuned(
        name,
        metric,
        k,
        dict(study.best_params),
        float(study.best_value),
        told,
        split.how,
        len(study.trials) - len(done),
    )


def _run(study: Any, once: Callable[[Any], float], left: int, jobs: int) -> None:
    if jobs == 1:
        study.optimize(once, n_trials=left, catch=(BadInput,))
        return
    shares = [left // jobs + (worker < left % jobs) for worker in range(jobs)]
    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(study.optimize, once, n_trials=share, catch=(BadInput,)) for share in shares if share]
        for worker in running:
            worker.result()


def _asked(
    model: str | Callable[..., Recommender], space: Space | None
) -> tuple[Callable[..., Recommender], Space, str]:
    if isinstance(model, str):
        row = ranker(model)
        if not (space or row.space):
            able = ", ".join(row.kind for row in RANKERS if row.space)
            raise BadInput(f"tune: {row.name} has no space of settings; there are spaces for {able}, or give one")
        return row.recommender, space or row.space, row.kind
    if not space:
        raise BadInput("tune: a constructor needs a space, such as {'regularisation': Real(1, 1000, log=True)}")
    return model, space, getattr(model, "__name__", "model")


def _validation(dataset: Dataset, random_state: int) -> Split:
    return split_last(dataset, 1) if dataset.has("time") else split_random(dataset, 0.1, random_state)


def _drawn(trial: Any, name: str, span: Real | Whole | Choice) -> Any:
    if isinstance(span, Choice):
        return trial.suggest_categorical(name, list(span.values))
    if isinstance(span, Whole):
        return trial.suggest_int(name, span.low, span.high, log=span.log)
    return trial.suggest_float(name, span.low, span.high, log=span.log)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else repr(value)
