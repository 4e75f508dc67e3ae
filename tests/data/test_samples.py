import hashlib
import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from whyrec.data import samples
from whyrec.errors import BadInput

CHECKOUT = Path(__file__).parents[2] / "sample-data"
FOLDERS = [
    samples.SAMPLES / "complete-journey",
    samples.SAMPLES / "open-bandit",
    CHECKOUT / "ml-latest-small",
]


def test_all_samples_together_stay_within_five_megabytes() -> None:
    files = [file for root in (samples.SAMPLES, CHECKOUT) for file in root.rglob("*") if file.is_file()]
    assert 1_000_000 < sum(file.stat().st_size for file in files) < 5_000_000


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_manifest_tells_the_bytes_rows_and_columns_of_every_file(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest) == {file.name for file in folder.glob("*.parquet")}
    for name, entry in manifest.items():
        content = (folder / name).read_bytes()
        frame = pl.read_parquet(content)
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert (frame.height, len(content)) == (entry["rows"], entry["bytes"])
        assert {column: str(kind) for column, kind in frame.schema.items()} == entry["columns"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_licence_lies_beside_the_data(folder: Path) -> None:
    text = (folder / ("README.txt" if folder.name == "ml-latest-small" else "LICENSE.txt")).read_text(encoding="utf-8")
    expected = {
        "complete-journey": "CC0 1.0",
        "open-bandit": "CC BY 4.0",
        "ml-latest-small": "may redistribute the data set",
    }
    assert expected[folder.name] in text


def test_shop_tables_are_whole() -> None:
    tables = samples.shop_tables()
    assert tables.transactions.height == 75_000
    assert tables.transactions["household_id"].n_unique() == 2_377
    assert tables.campaigns.height == 6_589
    assert tables.coupons["product_id"].is_in(tables.transactions["product_id"].unique().implode()).all()
    assert tables.transactions.schema["transaction_timestamp"] == pl.Datetime("us")
    assert tables.campaign_descriptions.schema["start_date"] == pl.Date


@pytest.mark.parametrize(("policy", "clicks"), [("bts", 69), ("random", 46)])
def test_open_bandit_logs(policy: str, clicks: int) -> None:
    log = samples.open_bandit(policy)  # type: ignore[arg-type]
    assert log.height == 10_000
    assert log["click"].sum() == clicks
    assert log["propensity_score"].is_between(0, 1).all()
    assert samples.open_bandit_items(policy)["item_id"].to_list() == list(range(34))  # type: ignore[arg-type]


def test_the_random_policy_shows_each_item_with_probability_one_in_34() -> None:
    assert (samples.open_bandit("random")["propensity_score"] - 1 / 34).abs().max() < 1e-6  # type: ignore[operator]


def test_a_policy_that_is_not_there_is_named() -> None:
    with pytest.raises(BadInput, match="greedy"):
        samples.open_bandit("greedy")  # type: ignore[arg-type]


def test_a_flipped_byte_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(samples.SAMPLES, tmp_path / "samples")
    monkeypatch.setattr(samples, "SAMPLES", tmp_path / "samples")
    assert samples.open_bandit("bts").height == 10_000
    victim = tmp_path / "samples" / "open-bandit" / "bts.parquet"
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    with pytest.raises(BadInput, match=r"bts\.parquet.*altered.*install"):
        samples.open_bandit("bts")


def test_a_sample_file_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(samples.SAMPLES, tmp_path / "samples")
    monkeypatch.setattr(samples, "SAMPLES", tmp_path / "samples")
    (tmp_path / "samples" / "complete-journey" / "coupons.parquet").unlink()
    with pytest.raises(BadInput, match=r"coupons\.parquet.*cannot be read"):
        samples.shop_tables()


def test_movielens_is_found_in_the_checkout() -> None:
    ratings = samples.movielens()
    assert (ratings.log.height, ratings.n_users, ratings.n_items) == (100_004, 671, 9_125)
    assert (
        ratings.items.filter(item=1)["text"].item()
        == "Toy Story (1995). Adventure, Animation, Children, Comedy, Fantasy"
    )
    assert ratings.log["outcome"].min() == 0.5


def test_movielens_reads_the_published_folder(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n2,10,4,835355493\n")
    (tmp_path / "movies.csv").write_text(
        "movieId,title,genres\n10,GoldenEye (1995),Action|Thriller\n31,Dangerous Minds (1995),(no genres listed)\n"
    )
    ratings = samples.movielens(tmp_path)
    assert ratings.log["outcome"].to_list() == [2.5, 4.0]
    assert str(ratings.log["time"][0]) == "2009-12-14 02:52:24"
    assert ratings.items["text"].to_list() == ["GoldenEye (1995). Action, Thriller", "Dangerous Minds (1995)"]


def test_movielens_elsewhere_says_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="grouplens"):
        samples.movielens(tmp_path)
    monkeypatch.setattr(samples, "__file__", str(tmp_path / "site-packages" / "whyrec" / "data" / "samples.py"))
    with pytest.raises(BadInput, match=r"grouplens.*--data"):
        samples.movielens_folder()
