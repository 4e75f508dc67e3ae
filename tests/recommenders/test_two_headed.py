"""The two-headed recommender: no leak from the future, both heads learn, cold users and items work."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tests.estimator_checks import small_dataset

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.errors import BadInput
from whyrec.recommenders.two_headed import TwoHeadedRecommender
from whyrec.recommenders.two_headed_network import Network, Shape
from whyrec.recommenders.two_headed_rows import head_rows
from whyrec.recommenders.two_headed_training import Material, Settings, _losses, popularity_so_far

SMALL = {"width": 8, "length": 20, "epochs": 3, "negatives": 8, "batch_events": 100, "device": "cpu"}
START = datetime(2024, 1, 1)


@pytest.fixture(autouse=True, scope="module")
def text_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    """Kernels this small are faster on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def habits(n_users: int = 60, n_items: int = 20, seed: int = 0, **columns: np.ndarray) -> Dataset:
    """Each user has two favourites, bought four times out of five, every few days; the rest is chance."""
    generator = np.random.default_rng(seed)
    favourites = generator.integers(0, n_items, (n_users, 2))
    users = np.repeat(np.arange(n_users), 12)
    usual = favourites[users, generator.integers(0, 2, len(users))]
    items = np.where(generator.random(len(users)) < 0.8, usual, generator.integers(0, n_items, len(users)))
    times = [START + timedelta(days=float(d)) for d in generator.uniform(0, 200, len(users))]
    frame = pl.DataFrame({"user": users, "item": items, "time": times, **columns})
    return Dataset.build(frame, Schema(time="time"), items=pl.DataFrame({"item": np.arange(n_items)}), name="habits")


def test_habits_are_learnt() -> None:
    from whyrec.data.split import split_last
    from whyrec.recommenders.evaluation import evaluate
    from whyrec.recommenders.popularity import Popularity

    split = split_last(habits())
    methods = {
        "two-headed": TwoHeadedRecommender(**SMALL).fit(split.train),
        "popularity": Popularity().fit(split.train),
    }
    table = evaluate(methods, split.train, split.test, k=3, reference="two-headed")
    assert table["ndcg"][0] > table["ndcg"][1] + 0.3
    assert table["p_value"][1] < 0.01


def test_scores_are_log_chances_that_sum_to_one() -> None:
    data = habits()
    scores = TwoHeadedRecommender(**SMALL).fit(data).score_all(np.arange(data.n_users))
    np.testing.assert_allclose(np.exp(scores.astype(np.float64)).sum(axis=1), 1, rtol=1e-4)


def material(data: Dataset) -> tuple[Network, Material, Settings]:
    text = np.random.default_rng(1).normal(size=(data.n_items, 6)).astype(np.float32)
    rows = head_rows(data, np.random.default_rng(0))
    torch.manual_seed(0)
    network = Network(Shape(6, data.n_items, len(rows.arms), 8, 20, 1, 2, 0.0, False, (1.0, 10.0, float("inf")))).eval()
    settings = Settings(1, 0.01, 100, data.n_items * 3, 50, 1.0, 10_000, 0.0)
    return network, Material.gather(data, text, np.zeros(data.n_items, dtype=np.int64), rows), settings


def test_no_gradient_flows_from_an_event_to_what_comes_later() -> None:
    """The ranking loss of one user's first three events is the same whatever that user does afterwards."""
    data = habits(n_users=8)
    log = data.log.sort("user_code", "time")
    mine = log.filter(pl.col("user_code") == 3)
    swapped = mine.with_columns(
        item_code=pl.when(pl.int_range(pl.len()) < 3)
        .then("item_code")
        .otherwise((pl.col("item_code") + 7) % data.n_items)
    )
    losses = []
    for variant in (mine, swapped):
        whole = Dataset(
            data.schema,
            pl.concat([log.filter(pl.col("user_code") != 3), variant.select(log.columns)]),
            data.users,
            data.items,
        )
        network, gathered, settings = material(whole)
        # The user's events after the third are cut from the view, not from the graph, popularity or memory of the rest.
        cut = Dataset(data.schema, whole.log.filter(pl.col("user_code") == 3).head(3), data.users, data.items)
        _, first, _ = material(cut)
        view = Material(
            cut,
            gathered.text,
            gathered.categories,
            first.popularity,
            gathered.graph,
            first.rows,
            first.moments,
            first.values,
        )
        losses.append(
            _losses(network, view, settings, np.array([3], dtype=np.int32), np.random.default_rng(0))[0].item()
        )
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_popularity_knows_only_the_past() -> None:
    data = habits(n_users=30)
    whole, _ = popularity_so_far(data)
    half = data.where(pl.col("time") < START + timedelta(days=100))
    days = data.histories.days.max()
    places = whole.bin(np.array([0.0, 40.0, 90.0], dtype=np.float32))
    for place in places:
        until = place * whole.span
        counted = np.bincount(data.histories.items[data.histories.days < until], minlength=data.n_items)
        np.testing.assert_allclose(whole.table[place][:, -1], np.log1p(counted), rtol=1e-5)
    assert half.log.height < data.log.height
    assert whole.span == pytest.approx(days / len(whole.table), rel=1e-3)


def test_heads_learn_exposure_and_arms() -> None:
    """Items 0 to 4 are mostly treated; treatment lifts the outcome of even items from 0.2 to 0.8 and of no odd one."""
    generator = np.random.default_rng(0)
    n = 4000
    users, items = generator.integers(0, 40, n), generator.integers(0, 10, n)
    treated = generator.random(n) < np.where(items < 5, 0.8, 0.2)
    chance = np.where((items % 2 == 0) & treated, 0.8, 0.2)
    frame = pl.DataFrame(
        {
            "user": users, "item": items, "time": [START + timedelta(hours=int(h)) for h in range(n)],
            "outcome": (generator.random(n) < chance).astype(float), "treatment": treated.astype(float),
        }
    )  # fmt: skip
    data = Dataset.build(
        frame, Schema(time="time", outcome="outcome", treatment="treatment"), items=pl.DataFrame({"item": range(10)})
    )
    model = TwoHeadedRecommender(
        **SMALL
        | {"epochs": 20, "head_weight": 1.0, "learning_rate": 0.01, "batch_events": 80, "length": 100, "dropout": 0.0}
    ).fit(data)
    grid_users, grid_items = np.repeat(np.arange(40), 10), np.tile(np.arange(10), 40)
    heads = model.heads(grid_users, grid_items)
    assert heads.arms == (0.0, 1.0)
    assert heads.outcome_logit.shape == (400, 2)
    exposure = (1 / (1 + np.exp(-heads.exposure_logit))).reshape(40, 10).mean(axis=0)
    assert exposure == pytest.approx(np.where(np.arange(10) < 5, 0.8, 0.2), abs=0.12)
    outcome = (1 / (1 + np.exp(-heads.outcome_logit))).reshape(40, 10, 2).mean(axis=0)
    effect = outcome[:, 1] - outcome[:, 0]
    assert effect == pytest.approx(np.where(np.arange(10) % 2 == 0, 0.6, 0.0), abs=0.2)


def test_sampled_negatives_are_corrected_for() -> None:
    """Purchases only: the exposure head's mean chance is the share of pairs that are in the log, not that of the sample."""
    data = habits(n_users=50, n_items=40)
    model = TwoHeadedRecommender(**SMALL | {"epochs": 20, "head_weight": 1.0, "dropout": 0.0}).fit(data)
    users, items = np.repeat(np.arange(50), 40), np.tile(np.arange(40), 50)
    heads = model.heads(users, items)
    share = data.matrix.nnz / (50 * 40)
    assert (1 / (1 + np.exp(-heads.exposure_logit))).mean() == pytest.approx(share, rel=0.6)
    assert heads.arms == (0.0,)


def test_ratings_are_predicted_in_their_unit() -> None:
    generator = np.random.default_rng(0)
    users, items = np.divmod(generator.permutation(60 * 30)[:1200], 30)
    taste = generator.normal(size=60)[users] + generator.normal(size=30)[items]
    frame = pl.DataFrame(
        {
            "user": users,
            "item": items,
            "rating": 50 + 10 * taste,
            "time": [START + timedelta(hours=int(h)) for h in range(1200)],
        }
    )
    data = Dataset.build(frame, Schema(time="time", outcome="rating"))
    model = TwoHeadedRecommender(
        **SMALL | {"epochs": 12, "head_weight": 2.0, "learning_rate": 0.02, "dropout": 0.0}
    ).fit(data)
    predicted = model.predict(users, items)
    observed = frame["rating"].to_numpy()
    assert np.sqrt(np.mean((predicted - observed) ** 2)) < 0.8 * observed.std()


def test_a_live_history_is_the_user_it_copies() -> None:
    data = habits()
    model = TwoHeadedRecommender(**SMALL).fit(data)
    for user in (0, 17):
        part = slice(data.histories.offsets[user], data.histories.offsets[user + 1])
        items, days = data.histories.items[part], data.histories.days[part]
        np.testing.assert_allclose(model.encode_history(items, days), model.user_states()[user], atol=1e-5)


def test_an_item_nobody_had_is_placed_by_its_text() -> None:
    data = small_dataset()
    model = TwoHeadedRecommender(**SMALL).fit(data)
    cold = data.n_items - 1
    assert data.matrix[:, cold].nnz == 0
    text_only = model.network_.text.weight.detach().numpy()
    assert np.abs(model.item_states()[cold]).max() > 0
    assert np.linalg.norm(text_only) > 0


@pytest.mark.parametrize("threads", [1, 2])
def test_digits_do_not_depend_on_the_run(threads: int, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    state = torch.random.get_rng_state()
    torch.set_num_threads(threads)
    try:
        data = small_dataset()
        first, second = (TwoHeadedRecommender(**SMALL, random_state=3).fit(data) for _ in range(2))
        first.save(tmp_path / "model")
        loaded = TwoHeadedRecommender.load(tmp_path / "model")
        users, items = np.repeat(np.arange(12), 8), np.tile(np.arange(8), 12)
        for other in (second, loaded):
            np.testing.assert_array_equal(first.score_all(np.arange(12)), other.score_all(np.arange(12)))
            np.testing.assert_array_equal(
                first.heads(users, items).outcome_logit, other.heads(users, items).outcome_logit
            )
            np.testing.assert_array_equal(
                first.encode_history(np.array([1, 2])), other.encode_history(np.array([1, 2]))
            )
        assert torch.equal(torch.random.get_rng_state(), state)
        other_seed = TwoHeadedRecommender(**SMALL, random_state=4).fit(data)
        assert np.abs(other_seed.score_all(np.arange(12)) - first.score_all(np.arange(12))).max() > 1e-6
    finally:
        torch.set_num_threads(before)


def test_too_many_arms_are_refused() -> None:
    data = small_dataset()
    log = data.log.with_columns(treatment=pl.int_range(pl.len()).cast(pl.Float64))
    with pytest.raises(BadInput, match="bin it"):
        TwoHeadedRecommender(**SMALL).fit(Dataset(data.schema, log, data.users, data.items))


def test_an_interrupted_training_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from whyrec.recommenders import two_headed

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(two_headed, "train", interrupted)
    model = TwoHeadedRecommender(**SMALL)
    with pytest.raises(KeyboardInterrupt):
        model.fit(small_dataset()).save(tmp_path / "model")
    assert not list(tmp_path.iterdir())
    assert not hasattr(model, "network_")
