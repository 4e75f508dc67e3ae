"""The main job: real logs become recommendations with effects, intervals, reasons and pictures, then the proof."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import polars as pl

from whyrec.cause.scm.own_cases import keep_own_cases
from whyrec.data.dataset import Dataset
from whyrec.data.read import read_dataset
from whyrec.data.report import ValidationReport, without_people
from whyrec.data.samples import shop, shop_tables
from whyrec.data.schema import Schema
from whyrec.data.split import Split, split_last_session, split_time
from whyrec.decide.causal_recommender import CausalRecommender
from whyrec.estimate import jsonable
from whyrec.explain.reasons import short_reasons
from whyrec.files import atomic_file, write_json, write_text
from whyrec.parallel import together
from whyrec.progress import say
from whyrec.recommenders.base import Recommender
from whyrec.recommenders.catalogue import ranker
from whyrec.recommenders.evaluation import evaluate
from whyrec.studies.proof import Proof, proof
from whyrec.studies.randomised import Randomised, randomised
from whyrec.studies.shop import EffectStudy, campaign_effect, discount_effect
from whyrec.studies.why_not_shop import USER, Example, shop_example

RAW = Schema(
    user="household_id", item="product_id", time="transaction_timestamp", session="basket_id", context=("sales_value",)
)


@dataclass(frozen=True)
class Demo:
    """What the demo found, and where it left it."""

    folder: Path
    validation: ValidationReport
    model: CausalRecommender
    baselines: Mapping[str, tuple[str, pl.DataFrame]]
    studies: Mapping[str, EffectStudy]
    randomised: Randomised
    proof: Proof
    why_not: Example
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """folder, files, seconds, baselines (rows by split), effects (the content of effects.json)."""
        return {
            "folder": str(self.folder),
            "files": ["report.html", "recommendations.parquet", "effects.json", "model", "cases"],
            "seconds": self.seconds,
            "baselines": {
                name: {"how": how, "methods": frame.to_dicts()} for name, (how, frame) in self.baselines.items()
            },
            "effects": effects_content(self),
        }

    def to_text(self) -> str:
        """A short summary."""
        lines = ["", "The shop: which method finds the next purchases (NDCG@10, 95% interval)"]
        for how, frame in self.baselines.values():
            best = frame.sort("ndcg", descending=True).to_dicts()
            lines.append(f"  {how}: " + "; ".join(f"{r['method']} {r['ndcg']:.4f}" for r in best))
        for study in self.studies.values():
            lines += ["", repr(study)]
        lines += [
            "",
            f"Why did household {self.why_not.household} not buy {self.why_not.text} in week {self.why_not.week}?",
        ]
        lines += [f"  {line}" for line in self.why_not.found.sentences()]
        lines += ["", "The proof, randomised: values from the other policy's log (clicks per impression)"]
        lines.append(self.randomised.to_text())
        lines += ["", "The proof, known truth"]
        lines.append(self.proof.to_text())
        lines += [
            "",
            f"Done in {self.seconds:.0f} s. Open {self.folder / 'report.html'} in a browser.",
            f"Next: whyrec why {self.folder / 'model'} --user ID --item ID, or your own log: whyrec fit LOGS --out MODEL",
            f"Dashboard: whyrec serve {self.folder / 'model'} --cases {self.folder / 'cases'}, then open http://127.0.0.1:8000; "
            "the same over HTTP: docs/serve.md",
        ]
        return "\n".join(lines)


def demo(
    out: Path,
    *,
    draws: int = 20,
    lang: Literal["en", "zh"] = "en",
    epochs: int = 6,
    processes: int | None = None,
    random_state: int = 0,
) -> Demo:
    """Run both chapters and write report.html, recommendations.parquet, effects.json, model/ and cases/shop/ into `out`.

    epochs: of the causal recommender; fewer are quicker and worse. processes: how many parts run at once, None for one a core and four at most; the figures do not depend on it.
    """
    from whyrec.explain.demo_report import demo_report

    start = time.monotonic()
    say("[1/3] Reading the shop's log")
    _, validation = read_dataset(shop_tables().transactions, schema=RAW)
    say("[2/3] Recommenders, effects and proof, side by side")
    done = together(_parts(draws, random_state, lang, epochs), "Recommenders, effects, proof", processes)
    model: CausalRecommender = done["the causal recommender on the whole log"]
    baselines = done["recommenders on the last baskets"] | done["recommenders on the last fifth of the time"]
    studies = {"discount": done["the effect of discounts"], "campaign": done["the effect of campaigns"]}
    truth, known = done["a randomised log"], done["known truth"]
    example: Example = done["why it was not bought"]
    say("[3/3] Writing recommendations, effects, model and report")
    found = Demo(out, validation, model, baselines, studies, truth, known, example, 0.0)
    out.mkdir(parents=True, exist_ok=True)
    frame = pl.concat([model.recommend(k=10, by=by) for by in ("preference", "effect")])
    frame = frame.with_columns(reason=short_reasons(model, frame, lang))
    with atomic_file(out / "recommendations.parquet") as temporary:
        frame.write_parquet(temporary)
    write_json(out / "effects.json", effects_content(found))
    model.notes_ = {"validation": without_people(validation.to_dict()), "baselines": found.to_dict()["baselines"]}
    model.save(out / "model")
    example.model.save(out / "cases" / "shop")
    keep_own_cases(out / "cases" / "shop", example.left, USER, list(example.model.columns_))
    write_text(out / "report.html", demo_report(found, lang))
    return Demo(out, validation, model, baselines, studies, truth, known, example, time.monotonic() - start)


def _parts(draws: int, random_state: int, lang: Literal["en", "zh"], epochs: int) -> dict[str, Callable[[], Any]]:
    """The demo's independent parts, the longest first."""
    return {
        "the causal recommender on the whole log": partial(_whole_log, random_state, epochs),
        "recommenders on the last baskets": partial(_compared, "last basket", random_state, epochs),
        "recommenders on the last fifth of the time": partial(_compared, "temporal", random_state, epochs),
        "the effect of campaigns": partial(campaign_effect, random_state=random_state),
        "the effect of discounts": partial(discount_effect, random_state=random_state),
        "why it was not bought": partial(shop_example, random_state, lang),
        "known truth": partial(proof, draws=draws, random_state=random_state),
        "a randomised log": randomised,
    }


def _whole_log(random_state: int, epochs: int) -> CausalRecommender:
    return CausalRecommender(epochs=epochs, random_state=random_state).fit(shop())


def _compared(name: str, random_state: int, epochs: int) -> dict[str, tuple[str, pl.DataFrame]]:
    return compare(shop(), random_state, only=name, epochs=epochs)


def compare(
    dataset: Dataset, random_state: int = 0, only: str | None = None, epochs: int = 6
) -> dict[str, tuple[str, pl.DataFrame]]:
    """Every recommender on two held-out parts: each household's `last basket`, and the last fifth of the time (`temporal`).

    Each part twice: with repeat purchases, and with products that are new to the household only.
    only: one of the two parts. epochs: of the causal recommender.
    """
    splits: dict[str, Callable[[Dataset], Split]] = {
        "last basket": split_last_session,
        "temporal": partial(split_time, share=0.2),
    }
    found = {}
    for name, cut in splits.items():
        if only not in (None, name):
            continue
        split = cut(dataset)
        methods = _fitted(split, random_state, epochs)
        for words, new in (("", False), (", new products only", True)):
            table = evaluate(methods, split.train, split.test, exclude_seen=new, random_state=random_state)
            found[name + words] = (split.how + words, table)
    return found


def effects_content(found: Demo) -> dict[str, Any]:
    """effects.json: `discount`, `campaign`, `recommendation` (the log's own), `why_not`, `randomised`, `proof`."""
    content: dict[str, Any] = jsonable(
        {
            **{name: study.to_dict() for name, study in found.studies.items()},
            "recommendation": found.model.effects_content(),
            "why_not": found.why_not.to_dict(),
            "randomised": found.randomised.to_dict(),
            "proof": found.proof.to_dict(),
        }
    )
    return content


def _fitted(split: Split, random_state: int, epochs: int) -> dict[str, Recommender]:
    names = {"matrix factorisation": "ALS", "causal recommender": "two-headed"}
    settings: dict[str, dict[str, Any]] = {
        "popularity": {}, "content-based": {}, "user-kNN": {}, "item-kNN": {}, "matrix factorisation": {},
        "SASRec": {"loss": "sampled_softmax", "length": 100, "epochs": 6, "validation_users": 0, "random_state": random_state},
        "causal recommender": {"epochs": epochs, "random_state": random_state},
    }  # fmt: skip
    methods = {name: ranker(names.get(name, name)).recommender(**given) for name, given in settings.items()}
    for method in methods.values():
        method.fit(split.train)
    return methods
