"""Two towers: items nobody touched, users with attributes or three clicks, items added later."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.data.split import split_cold_items
from whyrec.errors import BadInput
from whyrec.recommenders.two_tower import TwoTowerRecommender
from whyrec.recommenders.two_tower_network import TowerShape, TwoTower, _part_of_history
from whyrec.represent.attributes import AttributeCode
from whyrec.represent.fusion import GatedFusion

KINDS = ("tea", "bread", "motor oil")


@pytest.fixture(scope="module", autouse=True)
def text_cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def shop() -> Dataset:
    """Sixty items of three kinds, told by their text alone; a user's town tells which kind it buys."""
    generator = np.random.default_rng(0)
    adjectives = ["green", "dark", "cheap", "fine", "old", "fresh", "large", "small", "plain", "best"]
    texts = [f"{adjectives[n % 10]} {KINDS[n % 3]} number {n}" for n in range(60)]
    items = pl.DataFrame({"item": range(60), "text": texts})
    towns = ["north", "east", "south"]
    users = pl.DataFrame(
        {"user": range(150), "town": [towns[u % 3] for u in range(150)], "age": [20.0 + u % 50 for u in range(150)]}
    )
    own = np.equal.outer(np.arange(150) % 3, np.arange(60) % 3)
    who, what = np.nonzero(generator.random(own.shape) < np.where(own, 0.5, 0.02))
    log = pl.DataFrame({"user": who, "item": what})
    return Dataset.build(log, Schema(item_text=("text",)), items=items, users=users, name="shop")


@pytest.fixture(scope="module")
def cold(shop: Dataset):
    return split_cold_items(shop, 0.15, 0)


@pytest.fixture(scope="module")
def model(cold) -> TwoTowerRecommender:
    return TwoTowerRecommender(width=16, epochs=12, batch_size=128, negatives=32, learning_rate=0.01).fit(cold.train)


def test_items_that_nobody_touched_go_to_those_who_like_their_kind(cold, model: TwoTowerRecommender) -> None:
    untouched = np.unique(cold.test.log["item_code"].to_numpy())
    assert not np.isin(untouched, cold.train.histories.items).any()
    lists, _ = model.recommend(np.arange(150), 1, candidates=untouched)
    assert np.mean(lists[:, 0] % 3 == np.arange(150) % 3) > 0.9


def test_three_clicks_or_attributes_are_enough(model: TwoTowerRecommender) -> None:
    for kind, town in enumerate(["north", "east", "south"]):
        for given in ({"history": np.array([kind, kind + 30, kind + 3])}, {"attributes": {"town": town}}):
            items, scores = model.recommend_for(k=5, **given)
            assert (items % 3 == kind).all(), given
            assert (np.diff(scores) <= 0).all()
    clicked, _ = model.recommend_for(np.array([0, 30, 3]), k=60)
    assert not {0, 30, 3} & set(clicked[:57].tolist())
    assert (clicked[57:] == -1).all()
    nobody, _ = model.recommend_for(k=3)
    assert (nobody >= 0).all()
    few, scores = model.recommend_for(k=4, candidates=np.array([7, 9]))
    assert set(few[:2].tolist()) == {7, 9}
    assert np.isnan(scores[2:]).all()


def test_a_known_user_is_scored_as_its_history_and_attributes_say(
    shop: Dataset, cold, model: TwoTowerRecommender
) -> None:
    history = cold.train.histories.of(4)
    row = model.score_for(history, {"town": "east", "age": 24})
    np.testing.assert_allclose(row, model.score_all(np.array([4]))[0], rtol=1e-4, atol=1e-4)


def test_new_items_without_training(model: TwoTowerRecommender, tmp_path: Path) -> None:
    more = model.with_items(pl.DataFrame({"text": ["strong motor oil number 99", "rye bread", None]}))
    assert (more.n_items_, model.n_items_) == (63, 60)
    drivers, _ = more.recommend(np.arange(2, 150, 3), 1, candidates=np.array([60, 61]))
    bakers, _ = more.recommend(np.arange(1, 150, 3), 1, candidates=np.array([60, 61]))
    assert (drivers == 60).mean() > 0.9
    assert (bakers == 61).mean() > 0.9
    np.testing.assert_array_equal(more.score_all(np.array([0]))[:, :60], model.score_all(np.array([0])))
    assert np.isfinite(more.score_all(np.array([0]))).all()
    more.save(tmp_path / "model")
    again = TwoTowerRecommender.load(tmp_path / "model")
    np.testing.assert_array_equal(again.score_all(np.arange(5)), more.score_all(np.arange(5)))
    np.testing.assert_array_equal(again.recommend_for([1, 60])[0], more.recommend_for([1, 60])[0])
    with pytest.raises(BadInput, match="table is empty"):
        model.with_items(pl.DataFrame({"text": pl.Series([], dtype=pl.String)}))


def test_refusals(shop: Dataset, model: TwoTowerRecommender) -> None:
    with pytest.raises(BadInput, match="no user attribute 'city'; the model knows town, age"):
        model.recommend_for(attributes={"city": "north"})
    with pytest.raises(BadInput, match="'age' must be a number, got 'old'"):
        model.recommend_for(attributes={"age": "old"})
    with pytest.raises(BadInput, match="k must be 1 or more"):
        model.recommend_for(k=0)
    with pytest.raises(BadInput, match="no column 'colour'"):
        TwoTowerRecommender(item_attributes=["colour"]).fit(shop)
    with pytest.raises(BadInput, match="width, epochs"):
        TwoTowerRecommender(epochs=0).fit(shop)
    with pytest.raises(BadInput, match="debias is none or ips"):
        TwoTowerRecommender(debias="macr").fit(shop)
    with pytest.raises(BadInput, match="no interaction"):
        TwoTowerRecommender().fit(shop.where(pl.lit(False)))


def test_scores_by_hand() -> None:
    """Means of values, a count, and inner products, on a network whose layers are opened up."""
    network = TwoTower(TowerShape((3,), 1, 2, 0.0)).eval()
    parts, present = [torch.randn(4, 3)], torch.ones(4, 1, dtype=torch.bool)
    keys, values, levels = network.items(parts, present)
    z = torch.tanh(network.fusion.maps[0](parts[0]))
    torch.testing.assert_close(levels, network.level(z)[:, 0])
    torch.testing.assert_close(keys, network.key(z))
    items, clicks = torch.tensor([[0, 2, 1], [3, 3, 3]]), torch.tensor([[True, True, False], [False] * 3])
    attributes = torch.tensor([[0.5], [1.0]])
    queries = network.users(values, items, clicks, attributes)
    first = torch.cat([(values[0] + values[2]) / 2, torch.log(torch.tensor([3.0])), attributes[0]])
    second = torch.cat([network.nobody, torch.zeros(1), attributes[1]])
    torch.testing.assert_close(queries, network.query(torch.stack([first, second])))


def test_the_target_is_never_heard(shop: Dataset) -> None:
    histories = shop.histories
    users = np.repeat(np.arange(150), np.diff(histories.offsets))
    heard, clicked = _part_of_history(histories, users, histories.items.astype(np.int64), 10, np.random.default_rng(0))
    assert not (clicked & (heard == histories.items[:, None])).any()
    assert 0.05 < (clicked.sum(axis=1) == 0).mean() < 0.25
    own = shop.matrix[np.repeat(users, 10), heard.ravel()]
    assert (np.asarray(own) > 0).all()


def test_fusion_copes_with_what_is_missing() -> None:
    torch.manual_seed(0)
    fusion = GatedFusion([2, 3], 4)
    parts = [torch.randn(3, 2), torch.randn(3, 3)]
    present = torch.tensor([[True, True], [True, False], [False, False]])
    weights = fusion.weights(parts, present)
    assert weights.sum(dim=1).tolist() == pytest.approx([1, 1, 0])
    assert weights[1].tolist() == [1, 0]
    first, second = (torch.tanh(layer(part)) for layer, part in zip(fusion.maps, parts, strict=True))
    fused = fusion(parts, present)
    torch.testing.assert_close(fused[0], weights[0, 0] * first[0] + weights[0, 1] * second[0])
    torch.testing.assert_close(fused[1], first[1])
    torch.testing.assert_close(fused[2], fusion.nothing.detach())
    fused.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in fusion.parameters())


def test_the_gate_learns_which_modality_tells() -> None:
    """One modality is the target, the other noise: where both are there the gate opens to the first."""
    torch.manual_seed(0)
    fusion, head = GatedFusion([4, 4], 8, drop=0.2), torch.nn.Linear(8, 1)
    optimiser = torch.optim.Adam([*fusion.parameters(), *head.parameters()], lr=0.02)
    signal, noise = torch.randn(400, 4), torch.randn(400, 4)
    target, present = signal.sum(dim=1, keepdim=True), torch.ones(400, 2, dtype=torch.bool)
    for _ in range(150):
        loss = ((head(fusion([signal, noise], present)) - target) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert fusion.weights([signal, noise], present)[:, 0].mean() > 0.75


def test_attributes_by_hand() -> None:
    table = pl.DataFrame(
        {
            "genre": [["a", "b"], ["b"], [], None, ["a", "c"]],
            "colour": ["red", "red", None, "blue", "blue"],
            "year": [1.0, 3.0, None, float("nan"), 5.0],
        }
    )
    code = AttributeCode.learn(table, ["genre", "colour", "year"], "item")
    # c stands once only: too rare to tell.
    assert code.values == {"genre": ["a", "b"], "colour": ["blue", "red"]}
    scale = np.std([1, 3, 5])
    expected = [
        [1, 1, 0, 1, -2 / scale, 0],
        [0, 1, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 1],
        [0, 0, 1, 0, 0, 1],
        [1, 0, 1, 0, 2 / scale, 0],
    ]
    assert code.encode(table) == pytest.approx(np.array(expected))
    assert code.width == 6
    one = code.encode_one({"genre": ["b", "z"], "colour": "green", "year": 3}, "item")
    assert one.tolist() == pytest.approx([0, 1, 0, 0, 0, 0])
    assert AttributeCode.from_dict(code.to_dict()) == code
    assert code.encode(pl.DataFrame({"other": [1]})).tolist() == [[0, 0, 0, 0, 0, 1]]
    with pytest.raises(BadInput, match="column 'when' is Date"):
        AttributeCode.learn(pl.DataFrame({"when": pl.Series([None], dtype=pl.Date)}), ["when"], "item")
