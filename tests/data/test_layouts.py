"""Public data sets by name: small files in their shape, and the real ones where they lie in $WHYREC_DATA."""

import json
import os
from datetime import datetime
from pathlib import Path

import pytest

import whyrec
from whyrec.data.layouts import LAYOUTS, layout_named, recognised
from whyrec.data.read import read_dataset
from whyrec.errors import BadInput

NOW = datetime(2026, 1, 1)
ZEROS = "|".join(["0"] * 19)
REVIEWS_2018 = [{"reviewerID": f"A{k}", "asin": f"B{k % 2}", "overall": 5.0, "unixReviewTime": 1_400_000_000 + k, "reviewText": "fine"} for k in range(3)]
REVIEWS_2023 = [{"user_id": f"A{k}", "asin": "B", "parent_asin": f"B{k % 2}", "rating": 4.0, "timestamp": 1_600_000_000_000 + k} for k in range(3)]
YELP = [{"review_id": f"r{k}", "user_id": f"u{k}", "business_id": f"b{k % 2}", "stars": 4.0, "date": f"2018-07-0{k + 1} 22:09:11", "text": "good"} for k in range(3)]
BUSINESS = [{"business_id": f"b{k}", "name": f"Place {k}", "categories": "Food, Bars", "stars": 4.5} for k in range(2)]


def lines(rows: list[dict[str, object]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


# By layout: the files as they are published, shortened; then rows, users, items, choices, the time of the first row, and an item's text.
SMALL: dict[str, tuple[dict[str, str], tuple[int, int, int, int], datetime | None, str]] = {
    "movielens-100k": (
        {"u.data": "196\t242\t3\t881250949\n186\t302\t3\t891717742\n196\t302\t1\t878887116\n", "u.user": "196|24|M|technician|85711\n186|53|F|other|94043\n",
         "u.item": f"242|Kolya (1996)|24-Jan-1997||http://x|{ZEROS}\n302|Misérables, Les (1995)|01-Jan-1995||http://y|{ZEROS}\n"},
        (3, 2, 2, 3), datetime(1997, 12, 4, 15, 55, 49), "Misérables, Les (1995)",
    ),
    "movielens-1m": (
        {"ratings.dat": "1::1193::5::978300760\n2::661::3::978302109\n", "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
         "movies.dat": "1193::Cuckoo's Nest (1975)::Drama\n661::Amélie: a film::Comedy\n"},
        (2, 2, 2, 2), datetime(2000, 12, 31, 22, 12, 40), "Amélie: a film. Comedy",
    ),
    "movielens-latest": (
        {"ratings.csv": "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n2,10,4.0,835355493\n", "movies.csv": "movieId,title,genres\n31,Dangerous Minds (1995),Drama\n10,GoldenEye (1995),Action\n",
         "tags.csv": "userId,movieId,tag,timestamp\n1,31,x,1\n"},
        (2, 2, 2, 2), datetime(2009, 12, 14, 2, 52, 24), "Dangerous Minds (1995). Drama",
    ),
    "amazon-reviews-2018": ({"All_Beauty_5.json": lines(REVIEWS_2018)}, (3, 3, 2, 3), datetime(2014, 5, 13, 16, 53, 20), ""),
    "amazon-reviews-2023": (
        {"All_Beauty.jsonl": lines(REVIEWS_2023), "meta_All_Beauty.jsonl": lines([{"parent_asin": "B0", "title": "Soap"}, {"parent_asin": "B1", "title": "Brush"}])},
        (3, 3, 2, 3), datetime(2020, 9, 13, 12, 26, 40), "Soap",
    ),
    "amazon-ratings-2014": ({"ratings_Beauty.csv": "A39HT,0205616461,5.0,1369699200\nA3JM6,0558925278,3.0,1355443200\n"}, (2, 2, 2, 2), datetime(2013, 5, 28), ""),
    "amazon-ratings-2018": ({"All_Beauty.csv": "0205616461,A39HT,5.0,1369699200\n0558925278,A3JM6,3.0,1355443200\n"}, (2, 2, 2, 2), datetime(2013, 5, 28), ""),
    "online-retail": (
        {"data.csv": "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n536365,85123A,WHITE T-LIGHT,6,12/1/2010 8:26,2.55,17850,United Kingdom\n"
         "C536366,71053,LANTERN,-1,12/13/2010 8:28,3.39,17851,France\n"},
        (2, 2, 2, 1), datetime(2010, 12, 1, 8, 26), "",
    ),
    "online-retail-ii": (
        {"online_retail_II.csv": "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n489434,85048,GLASS BALL,12,2009-12-01 07:45:00,6.95,13085,United Kingdom\n"
         "489435,22350,CAT BOWL,12,2009-12-01 07:46:00,2.55,13086,France\n"},
        (2, 2, 2, 2), datetime(2009, 12, 1, 7, 45), "",
    ),
    "hm": (
        {"transactions_train.csv": "t_dat,customer_id,article_id,price,sales_channel_id\n2018-09-20,000058a1,0663713001,0.0508,2\n2018-09-20,00007d2d,0541518023,0.0305,2\n",
         "articles.csv": "article_id,prod_name,product_type_name,product_group_name\n0663713001,Atlanta Push Body,Bra,Underwear\n0541518023,Rae Push,Bra,Underwear\n",
         "customers.csv": "customer_id,age\n000058a1,49\n00007d2d,25\n"},
        (2, 2, 2, 2), datetime(2018, 9, 20), "Rae Push. Bra",
    ),
    "retailrocket": (
        {"events.csv": "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n1433224214164,992329,transaction,248676,4000\n"},
        (2, 2, 2, 1), datetime(2015, 6, 2, 5, 2, 12, 117000), "",
    ),
    "rees46": (
        {"2019-Oct.csv": "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
         "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,541312140,72d76fde\n2019-10-01 00:00:01 UTC,purchase,3900821,2053013552326770905,appliances,aqua,33.20,554748717,9333dfbd\n"},
        (2, 2, 2, 1), datetime(2019, 10, 1), "",
    ),
    "criteo-attribution": (
        {"criteo_attribution_dataset.tsv": "timestamp\tuid\tcampaign\tconversion\tconversion_timestamp\tclick\tcost\tcpo\tcat1\n0\t20073966\t22589171\t0\t-1\t0\t1e-05\t0.39\t5824233\n2\t28607048\t884761\t0\t-1\t1\t1e-05\t0.29\t30763035\n"},
        (2, 2, 2, 1), datetime(1970, 1, 1), "",
    ),
    "kuairec": (
        {"big_matrix.csv": "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n0,3649,13838,10867,2020-07-05 00:08:23.438,20200705,1593878903.438,1.27\n1,9598,13665,10984,2020-07-05 00:13:41.297,20200705,1593879221.297,0.24\n",
         "user_features.csv": "user_id,user_active_degree,follow_user_num\n0,high_active,5\n1,full_active,386\n"},
        (2, 2, 2, 1), datetime(2020, 7, 4, 16, 8, 23, 438000), "",
    ),
    "mind": (
        {"behaviors.tsv": "1\tU13740\t11/11/2019 9:05:58 AM\tN55189 N42782\tN55689-1 N35729-0\n2\tU91836\t11/15/2019 6:11:30 PM\t\tN35729-0\n",
         "news.tsv": "N55689\tsports\tfootball\tCharles \"Rogers\" died\tAn abstract\thttp://x\t[]\t[]\nN35729\tnews\tworld\tPorsche\tAnother\thttp://y\t[]\t[]\n"},
        (3, 2, 2, 1), datetime(2019, 11, 11, 9, 5, 58), 'Charles "Rogers" died. An abstract',
    ),
    "yahoo-r3": ({"ydata-ymusic-rating-study-v1_0-train.txt": "1\t14\t5\n1\t35\t1\n2\t46\t1\n"}, (3, 2, 3, 3), None, ""),
    "coat": ({"train.ascii": " ".join(["0", "0", "4", *["0"] * 297]) + "\n" + " ".join(["2", *["0"] * 299]) + "\n"}, (2, 2, 2, 2), None, ""),
    "yelp": (
        {"yelp_academic_dataset_review.json": lines(YELP), "yelp_academic_dataset_business.json": lines(BUSINESS)},
        (3, 3, 2, 3), datetime(2018, 7, 1, 22, 9, 11), "Place 1. Food, Bars",
    ),
    "lastfm": (
        {"user_artists.dat": "userID\tartistID\tweight\n2\t51\t13883\n3\t52\t11690\n", "artists.dat": "id\tname\turl\tpictureURL\n51\tDuran Duran\thttp://x\thttp://y\n52\tMorcheeba\thttp://z\thttp://w\n"},
        (2, 2, 2, 2), None, "Morcheeba",
    ),
    "lastfm-1k": (
        {"userid-timestamp-artid-artname-traid-traname.tsv": "user_000001\t2009-05-04T23:08:57Z\tf1b1\tDeep Dish\t\tFuck Me\nuser_000002\t2009-05-04T13:54:10Z\ta7f7\t坂本龍一\t\tComposition\n"},
        (2, 2, 2, 2), datetime(2009, 5, 4, 23, 8, 57), "",
    ),
}  # fmt: skip
UNITS = {
    "criteo-uplift": ("criteo-uplift-v2.1.csv", ",".join(f"f{k}" for k in range(12)) + ",treatment,conversion,visit,exposure\n" + "1.5," * 12 + "1,0,0,0\n", "whyrec uplift FILE"),
    "open-bandit": ("all.csv", ",timestamp,item_id,position,click,propensity_score,user_feature_0\n0,2019-11-24 00:00:00+00:00,14,1,0,0.05,a\n", "whyrec policy evaluate"),
    "hillstrom": (
        "hillstrom.csv", "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,conversion,spend\n10,2) $100,142.44,1,0,Rural,0,Phone,Womens E-Mail,0,0,0\n", "whyrec effect FILE",
    ),
}  # fmt: skip
NAMED_ALONE = ("amazon-ratings-2014", "amazon-ratings-2018")  # user first or item first: nothing in the file says which


def written(folder: Path, name: str) -> Path:
    for file, content in SMALL[name][0].items():
        encoding = "latin-1" if file in ("u.item", "movies.dat") else "utf-8"
        (folder / file).write_text(content, encoding=encoding)
    return folder / next(iter(SMALL[name][0]))


def test_every_layout_has_a_small_file() -> None:
    assert {one.name for one in LAYOUTS} == {*SMALL, *UNITS}


@pytest.mark.parametrize("name", SMALL)
def test_a_layout_is_read_by_name_from_its_folder(name: str, tmp_path: Path) -> None:
    _, (rows, users, items, choices), first, text = SMALL[name]
    log = written(tmp_path, name)
    for source in (tmp_path, log):
        dataset, report = read_dataset(source, layout=name, now=NOW)
        assert (dataset.log.height, dataset.n_users, dataset.n_items, dataset.interactions.height) == (rows, users, items, choices)
        assert report.notes[0].startswith(f"read as {layout_named(name).title} (layout {name})")
        assert first is None or dataset.log["time"][0] == first
        assert not text or text in dataset.items["text"].to_list()


@pytest.mark.parametrize("name", [name for name in SMALL if name not in NAMED_ALONE])
def test_a_layout_is_recognised_and_told(name: str, tmp_path: Path) -> None:
    log = written(tmp_path, name)
    for source in (tmp_path, log):
        found = recognised(source)
        assert found is not None and found.name == name
        _, report = read_dataset(source, now=NOW)
        assert f"layout {name}" in report.notes[0]


@pytest.mark.parametrize("name", UNITS)
def test_a_table_of_units_names_the_command_that_answers(name: str, tmp_path: Path) -> None:
    file, content, command = UNITS[name]
    (tmp_path / file).write_text(content)
    with pytest.raises(BadInput, match=f"is no log of users and items; ask: {command}"):
        read_dataset(tmp_path / file)


def test_what_is_no_layout_is_refused_or_left_alone(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such layout; they are movielens-100k"):
        read_dataset(tmp_path, layout="movielens-5k")
    with pytest.raises(BadInput, match=r"no file of the layout mind in it: behaviors\.tsv"):
        read_dataset(tmp_path, layout="mind")
    (tmp_path / "u.data").write_text("1;2;3\n2;3;4\n")  # the name alone is not enough
    assert recognised(tmp_path / "u.data") is None
    own = tmp_path / "events.csv"
    own.write_text("user,item,time\nu1,a,2024-01-01\nu2,b,2024-01-02\n")
    assert recognised(own) is None


def test_months_of_a_log_are_not_lost(tmp_path: Path) -> None:
    """One of several files was the log, and nobody was told of the others."""
    log = written(tmp_path, "rees46")
    (tmp_path / "2019-Nov.csv").write_text(log.read_text().replace("2019-10", "2019-11"))
    with pytest.raises(BadInput, match=r"several files may be the log \(2019-Nov\.csv, 2019-Oct\.csv\)"):
        read_dataset(tmp_path, now=NOW)
    dataset, _ = read_dataset(f"{tmp_path}/2019-*.csv", layout="rees46", now=NOW)
    assert dataset.log.height == 4


def test_a_schema_goes_before_a_layout(tmp_path: Path) -> None:
    log = written(tmp_path, "movielens-100k")
    liked = whyrec.Schema("user_id", "item_id", "timestamp", outcome="rating", choice_above=2)
    dataset, _ = read_dataset(log, layout="movielens-100k", schema=liked, now=NOW)
    assert dataset.interactions.height == 2
    own, report = read_dataset(log, schema=whyrec.Schema("column_1", "column_2"), now=NOW)
    assert own.schema.user == "column_1" and "layout" not in " ".join(report.notes)


def test_the_real_files(tmp_path: Path) -> None:
    data = os.environ.get("WHYREC_DATA")
    if not data:
        pytest.skip("WHYREC_DATA names no folder of reference data")
    for folder, name, rows in (("ml-100k", "movielens-100k", 100_000), ("ml-latest-small", "movielens-latest", 100_004), ("coat", "coat", 6_960)):
        if not (Path(data) / folder).is_dir():
            continue
        dataset, report = read_dataset(Path(data) / folder, now=NOW)
        assert dataset.log.height == rows and f"layout {name}" in report.notes[0]
