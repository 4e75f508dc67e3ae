import numpy as np
import pytest
from sklearn.metrics import log_loss as reference_log_loss
from sklearn.metrics import ndcg_score, roc_auc_score

from whyrec.metrics.calibration import expected_calibration_error
from whyrec.metrics.ratings import calibration_error, log_loss, pooled_auc, user_auc, user_top


def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    user = np.repeat(np.arange(20), 12)
    predicted = generator.random(240)
    return (generator.random(240) < 0.7 * predicted).astype(float), predicted, user


def test_agrees_with_scikit_learn() -> None:
    label, predicted, user = rows()
    label[user == 3] = 0
    assert pooled_auc(label, predicted) == pytest.approx(roc_auc_score(label, predicted))
    weight = np.random.default_rng(1).integers(1, 4, 240).astype(float)
    assert pooled_auc(label, predicted, weight) == pytest.approx(roc_auc_score(label, predicted, sample_weight=weight))
    assert log_loss(label, predicted).mean() == pytest.approx(reference_log_loss(label, predicted))
    of_user = user_auc(label, predicted, user)
    ndcg, recall = user_top(label, predicted, user, 5)
    assert np.isnan([of_user[3], ndcg[3], recall[3]]).all()
    for u in (0, 7, 19):
        mine = user == u
        assert of_user[u] == pytest.approx(roc_auc_score(label[mine], predicted[mine]))
        assert ndcg[u] == pytest.approx(ndcg_score([label[mine]], [predicted[mine]], k=5))
        top = np.argsort(-predicted[mine])[:5]
        assert recall[u] == pytest.approx(label[mine][top].sum() / label[mine].sum())


def test_calibration_error_agrees_with_the_other_and_with_repeated_rows() -> None:
    label, predicted, _ = rows()
    assert calibration_error(label, predicted) == pytest.approx(expected_calibration_error(predicted, label), abs=1e-9)
    weight = np.full(240, 2.0)
    assert calibration_error(label, predicted, weight) == pytest.approx(calibration_error(label, predicted))
