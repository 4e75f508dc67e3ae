"""Public data sets by name: what their files are called, how they are written, and which column plays which role. One table.

A layout is taken by its name (`--layout movielens-100k`), or where the name of the file, or its header, is that of one layout alone (told).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import polars as pl

from whyrec.data.schema import Schema
from whyrec.data.separated import Shape, numbered
from whyrec.errors import BadInput


@dataclass(frozen=True)
class File:
    """A file of a layout. names: patterns of its name. shape: of a text file that names no columns (else its own is guessed).

    columns: of the header, by which it is known. rename: columns, old to new. unfold: makes a row of each event where the file has not.
    """

    names: tuple[str, ...]
    shape: Shape | None = None
    columns: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict, hash=False)
    unfold: Callable[[pl.DataFrame], pl.DataFrame] | None = None

    def is_named(self, path: Path) -> bool:
        """Whether the file's name is one of this file's."""
        return any(fnmatch(path.name.lower(), name.lower()) for name in (*self.names, *(f"{name}.gz" for name in self.names)))


@dataclass(frozen=True)
class Layout:
    """A data set. ask: for a table that is no log of users and items, which command answers about it. said: what is left aside."""

    name: str
    title: str
    log: File
    schema: Schema | None = None
    items: File | None = None
    users: File | None = None
    ask: str = ""
    said: str = ""


def _plain(separator: str, *columns: str, encoding: str = "utf-8") -> Shape:
    return Shape(separator, False, columns, None, encoding)


def _impressions(frame: pl.DataFrame) -> pl.DataFrame:
    """A row an item shown, of MIND's "N1-0 N2-1"."""
    shown = frame.with_columns(pl.col("impressions").str.split(" ")).explode("impressions")
    parts = pl.col("impressions").str.splitn("-", 2)
    return shown.with_columns(item=parts.struct.field("field_0"), click=parts.struct.field("field_1")).drop("impressions")


def _ratings_matrix(frame: pl.DataFrame) -> pl.DataFrame:
    """A row a rating, of a matrix of users by items in which 0 is none; both count from 0."""
    long = frame.with_row_index("user").unpivot(index="user", variable_name="item", value_name="rating")
    place = pl.col("item").str.strip_prefix("column_").cast(pl.Int64) - 1
    rated = long.filter(~pl.col("rating").str.strip_chars().is_in(["0", "0.0"])).with_columns(item=place)
    return rated.sort("user", "item").select(pl.all().cast(pl.String))


_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children", "Comedy", "Crime", "Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical",
    "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_RATINGS = "every rating counts as a choice; a schema with [choice] above = 3 takes those that were liked"

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "movielens-100k", "MovieLens 100K",
        File(("u.data", "u[1-5].base", "u[1-5].test", "ua.base", "ua.test", "ub.base", "ub.test"), _plain("\t", "user_id", "item_id", "rating", "timestamp")),
        Schema("user_id", "item_id", "timestamp", outcome="rating", item_text=("title",)),
        File(("u.item",), _plain("|", "item_id", "title", "release_date", "video_release_date", "imdb_url", *_GENRES, encoding="latin-1")),
        File(("u.user",), _plain("|", "user_id", "age", "gender", "occupation", "zip_code")), said=_RATINGS,
    ),
    Layout(
        "movielens-1m", "MovieLens 1M and 10M", File(("ratings.dat",), _plain("::", "user_id", "item_id", "rating", "timestamp")),
        Schema("user_id", "item_id", "timestamp", outcome="rating", item_text=("title", "genres")),
        File(("movies.dat",), _plain("::", "item_id", "title", "genres", encoding="latin-1")),
        File(("users.dat",), _plain("::", "user_id", "gender", "age", "occupation", "zip_code")), said=_RATINGS,
    ),
    Layout(
        "movielens-latest", "MovieLens latest, 20M, 25M, 32M", File(("ratings.csv",), columns=("userId", "movieId", "rating", "timestamp")),
        Schema("userId", "movieId", "timestamp", outcome="rating", item_text=("title", "genres")), File(("movies.csv",)), said=f"{_RATINGS}; tags and links are not used",
    ),
    Layout(
        "amazon-reviews-2018", "Amazon reviews, 5-core JSON lines of 2014 and 2018",
        File(("*_5.json", "reviews_*.json"), columns=("reviewerID", "asin", "overall", "unixReviewTime")),
        Schema("reviewerID", "asin", "unixReviewTime", outcome="overall"), said=_RATINGS,
    ),
    Layout(
        "amazon-reviews-2023", "Amazon reviews of 2023, JSON lines and CSV", File(("*.jsonl",), columns=("user_id", "parent_asin", "rating", "timestamp")),
        Schema("user_id", "parent_asin", "timestamp", outcome="rating", item_text=("title",)), File(("meta_*.jsonl",)), said=_RATINGS,
    ),
    Layout(
        "amazon-ratings-2014", "Amazon ratings only, CSV of 2014 (user first)", File(("ratings_*.csv",), _plain(",", "user", "item", "rating", "timestamp")),
        Schema(time="timestamp", outcome="rating"), said=_RATINGS,
    ),
    Layout(
        "amazon-ratings-2018", "Amazon ratings only, CSV of 2018 (item first)", File(("*.csv",), _plain(",", "item", "user", "rating", "timestamp")),
        Schema(time="timestamp", outcome="rating"), said=_RATINGS,
    ),
    Layout(
        "online-retail", "Online Retail (UCI), saved as CSV",
        File(("*.csv",), columns=("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")),
        Schema("CustomerID", "StockCode", "InvoiceDate", outcome="Quantity", session="InvoiceNo", context=("UnitPrice", "Country")),
        said="a quantity above 0 is a choice, a return is none; the description of the rows is not used",
    ),
    Layout(
        "online-retail-ii", "Online Retail II (UCI), saved as CSV",
        File(("*.csv",), columns=("Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country")),
        Schema("Customer ID", "StockCode", "InvoiceDate", outcome="Quantity", session="Invoice", context=("Price", "Country")),
        said="a quantity above 0 is a choice, a return is none; the description of the rows is not used",
    ),
    Layout(
        "hm", "H&M personalized fashion", File(("transactions_train.csv",), columns=("t_dat", "customer_id", "article_id", "price", "sales_channel_id")),
        Schema(
            "customer_id", "article_id", "t_dat", context=("price", "sales_channel_id"), item_text=("prod_name", "product_type_name"),
            item_category="product_group_name",
        ),
        File(("articles.csv",)), File(("customers.csv",)),
    ),
    Layout(
        "retailrocket", "RetailRocket", File(("events.csv",), columns=("timestamp", "visitorid", "event", "itemid", "transactionid")),
        Schema("visitorid", "itemid", "timestamp", event="event", events={"view": 0, "addtocart": 1, "transaction": 1}),
        said="a cart or a transaction is a choice, a view is none; item properties and the category tree are not used",
    ),
    Layout(
        "rees46", "REES46 (a shop of many categories, cosmetics)",
        File(("*.csv",), columns=("event_time", "event_type", "product_id", "category_id", "category_code", "brand", "price", "user_id", "user_session")),
        Schema(
            "user_id", "product_id", "event_time", event="event_type", session="user_session", context=("price",),
            events={"view": 0, "cart": 1, "remove_from_cart": 0, "purchase": 1},
        ),
        said="a cart or a purchase is a choice, a view or a removal is none",
    ),
    Layout(
        "criteo-uplift", "Criteo uplift", File(("criteo-uplift*.csv",), columns=(*(f"f{k}" for k in range(12)), "treatment", "conversion", "visit")),
        ask=f"whyrec uplift FILE --treatment treatment --outcome visit --adjust {','.join(f'f{k}' for k in range(12))}",
    ),
    Layout(
        "criteo-attribution", "Criteo attribution", File(("criteo_attribution*.tsv",), columns=("timestamp", "uid", "campaign", "conversion", "click", "cost", "cpo")),
        Schema("uid", "campaign", "timestamp", outcome="click", context=("cost",)), said="times count seconds from 0, not from 1970; a click is a choice",
    ),
    Layout(
        "kuairec", "KuaiRec", File(("big_matrix.csv", "small_matrix.csv"), columns=("user_id", "video_id", "play_duration", "video_duration", "timestamp", "watch_ratio")),
        Schema("user_id", "video_id", "timestamp", outcome="watch_ratio", choice_above=1.0), users=File(("user_features.csv",)),
        said="watched longer than the video is a choice",
    ),
    Layout(
        "mind", "MIND news",
        File(("behaviors.tsv",), _plain("\t", "impression_id", "user_id", "time", "history", "impressions"), unfold=_impressions),
        Schema("user_id", "item", "time", outcome="click", session="impression_id", item_text=("title", "abstract"), item_category="category"),
        File(("news.tsv",), _plain("\t", "item", "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities")),
        said="a row an item shown; what users had read before (history) is not used",
    ),
    Layout(
        "open-bandit", "Open Bandit", File(("all.csv", "men.csv", "women.csv"), columns=("timestamp", "item_id", "position", "click", "propensity_score")),
        ask="whyrec policy evaluate FILE --reward click --propensity propensity_score (rounds have no users)",
    ),
    Layout(
        "yahoo-r3", "Yahoo! R3 (music)", File(("ydata-ymusic-rating-study-v1_0-*.txt",), _plain("\t", "user", "item", "rating")), Schema(outcome="rating"), said=_RATINGS,
    ),
    Layout(
        "coat", "Coat shopping", File(("train.ascii", "test.ascii"), Shape(" ", False, numbered(300), None), unfold=_ratings_matrix), Schema(outcome="rating"),
        said=f"users and items count from 0; {_RATINGS}",
    ),
    Layout(
        "hillstrom", "Hillstrom e-mail",
        File(("*.csv",), columns=("recency", "history_segment", "history", "mens", "womens", "zip_code", "newbie", "channel", "visit", "conversion", "spend")),
        ask="whyrec effect FILE --treatment segment --outcome visit --adjust recency,history,mens,womens,zip_code,newbie,channel",
    ),
    Layout(
        "yelp", "Yelp", File(("yelp_academic_dataset_review.json",), columns=("user_id", "business_id", "stars", "date")),
        Schema("user_id", "business_id", "date", outcome="stars", item_text=("name", "categories")), File(("yelp_academic_dataset_business.json",)),
        File(("yelp_academic_dataset_user.json",)), said=_RATINGS,
    ),
    Layout(
        "lastfm", "Last.fm (HetRec 2011)", File(("user_artists.dat",), columns=("userID", "artistID", "weight")),
        Schema("userID", "artistID", outcome="weight", item_text=("name",)), File(("artists.dat",), rename={"id": "artistID"}),
        said="weight is how often an artist was played, and more than 0 is a choice; tags and friends are not used",
    ),
    Layout(
        "lastfm-1k", "Last.fm 1K users",
        File(("userid-timestamp-artid-artname-traid-traname.tsv",), _plain("\t", "user", "time", "artist_id", "artist", "track_id", "track")),
        Schema(item="artist", time="time"), said="artists are the items, by their names; tracks are not used",
    ),
)  # fmt: skip


def layout_named(name: str) -> Layout:
    """The layout of a name; BadInput with all of them for another."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    found = next((one for one in LAYOUTS if one.name == plain), None)
    if found is None:
        raise BadInput(f"layout={name!r}: no such layout; they are {', '.join(one.name for one in LAYOUTS)}")
    return found


def recognised(path: Path) -> Layout | None:
    """The one layout whose log this is, by the name of the file (or of one in the folder) and what can be seen of it; None where there is none, or several."""
    path = Path(path)
    found = [one for one in LAYOUTS if one.name not in ("amazon-ratings-2014", "amazon-ratings-2018") and log_of(one, path, looked=True) is not None]
    return found[0] if len(found) == 1 else None


def log_of(layout: Layout, path: Path, *, looked: bool = False) -> Path | None:
    """The log of a layout: the file itself, or the one in a folder; None where there is none.

    looked: also look into a file that was named: its header has the layout's columns, or its first line as many values. Of a log that may have any name
    BadInput where several files of a folder may be it.
    """
    if path.is_dir():
        inside = sorted(file for file in path.iterdir() if file.is_file() and layout.log.is_named(file) and _is_log(layout.log, file))
        named = list(dict.fromkeys(file for name in layout.log.names for file in inside if fnmatch(file.name.lower(), f"{name.lower()}*")))
        if len(named) > 1 and "*" in layout.log.names[0] and not looked:
            raise BadInput(f"{path}: several files may be the log ({', '.join(file.name for file in named[:5])}); name one, or all by a pattern ({path / '*'})")
        return named[0] if named else None
    if not looked:
        return path
    by_name = layout.log.shape is None or layout.log.is_named(path)
    return path if by_name and path.is_file() and _is_log(layout.log, path) else None


def beside(file: File | None, log: Path) -> Path | None:
    """A table of the layout in the log's folder, where there is one."""
    if file is None:
        return None
    return next((other for other in sorted(log.parent.iterdir()) if other.is_file() and file.is_named(other)), None)


def _is_log(file: File, path: Path) -> bool:
    from whyrec.data.formats import columns_of, first_fields

    try:
        if file.shape is not None:
            return len(first_fields(path, file.shape.separator)) == len(file.shape.columns)
        return set(file.columns) <= set(columns_of(path))
    except (BadInput, OSError):
        return False
