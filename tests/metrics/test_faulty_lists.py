"""Lists that repeat an item or hold one outside the catalogue, and scores that are no numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from whyrec.errors import BadInput
from whyrec.metrics import ranking
from whyrec.recommenders.topk import Linear, top_k, top_k_linear

RELEVANT = sparse.csr_matrix(np.array([[1, 0, 0, 0, 0]], dtype=bool))


def test_a_repeated_item_counts_once() -> None:
    found = ranking.hits(np.array([[0, 0, 0]], dtype=np.int32), RELEVANT)
    assert found.tolist() == [[True, False, False]]
    one = np.array([1])
    assert ranking.ndcg(found, one)[0] == 1.0 and ranking.recall(found, one)[0] == 1.0 and ranking.average_precision(found, one)[0] == 1.0


@given(st.lists(st.lists(st.integers(-1, 4), min_size=3, max_size=3), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_no_metric_leaves_its_range(rows: list[list[int]]) -> None:
    lists = np.array(rows, dtype=np.int32)
    relevant = sparse.csr_matrix(np.tile([True, False, True, False, False], (len(rows), 1)))
    found, count = ranking.hits(lists, relevant), np.full(len(rows), 2)
    for value in (ranking.ndcg(found, count), ranking.recall(found, count), ranking.average_precision(found, count)):
        assert (value >= 0).all() and (value <= 1 + 1e-12).all()
    assert 0 <= ranking.coverage(lists, 5) <= 1


@pytest.mark.parametrize("item", [5, 99, -2])
def test_an_item_outside_the_catalogue_is_named(item: int) -> None:
    lists = np.array([[0, item]], dtype=np.int32)
    for ask in (
        lambda: ranking.hits(lists, RELEVANT), lambda: ranking.coverage(lists, 5), lambda: ranking.gini(lists, 5),
        lambda: ranking.popularity_bias(lists, RELEVANT, np.ones(5)), lambda: ranking.novelty(lists, np.ones(5), 3),
        lambda: ranking.intra_list_diversity(lists, np.ones((5, 2))), lambda: ranking.miscalibration(lists, np.ones((1, 1)), np.ones((5, 1))),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=f"list 0, place 2: item code {item} of a catalogue of 5"):
            ask()
    with pytest.raises(BadInput, match="pass item codes"):
        ranking.hits(np.array([[0.5]]), RELEVANT)  # type: ignore[arg-type]


@pytest.mark.parametrize("columns", [3, 5_000])
def test_a_score_that_is_no_number_is_an_error(columns: int) -> None:
    scores = np.random.default_rng(0).normal(size=(2, columns)).astype(np.float32)
    for place in (0, columns - 1):
        odd = scores.copy()
        odd[1, place] = np.nan
        with pytest.raises(BadInput, match=f"row 1, column {place} is not a number"):
            top_k(odd, 2)
    with pytest.raises(BadInput, match="not a number"):
        top_k_linear(Linear(np.full((1, 2), np.nan, dtype=np.float32), scores[:, :2]), 1)
