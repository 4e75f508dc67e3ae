"""Make the sample files that the package and the source checkout carry, from the public originals.

    python benchmarks/make_samples.py FOLDER [--only nhefs]

FOLDER holds `complete-journey`, `open-bandit`, `ml-latest-small` and `health-nhefs` as they are published (the first
converted from R to Parquet). Writes Parquet files and a `manifest.json` (SHA-256, rows, columns) beside each
licence file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl

from whyrec.files import atomic_file, checksum, write_json

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "src" / "whyrec" / "data" / "sample_files"
CHECKOUT = REPOSITORY / "sample-data"


def complete_journey(folder: Path) -> dict[str, pl.DataFrame]:
    """All transactions; products and coupons of products that were bought; real dates and times (UTC)."""
    lines = pl.read_parquet(folder / "transactions_sample.parquet")
    lines = lines.with_columns(
        pl.from_epoch(pl.col("transaction_timestamp").cast(pl.Int64), "s").dt.cast_time_unit("us"),
        pl.col("quantity").cast(pl.Int32),
        pl.col("week").cast(pl.Int16),
    ).sort("transaction_timestamp", "basket_id", "product_id")
    bought = lines.select(pl.col("product_id").unique())
    days = pl.read_parquet(folder / "campaign_descriptions.parquet")
    redemptions = pl.read_parquet(folder / "coupon_redemptions.parquet")
    return {
        "transactions": lines,
        "products": pl.read_parquet(folder / "products.parquet")
        .join(bought, on="product_id", how="semi")
        .sort("product_id"),
        "demographics": pl.read_parquet(folder / "demographics.parquet").sort("household_id"),
        "campaigns": pl.read_parquet(folder / "campaigns.parquet").sort("campaign_id", "household_id"),
        "campaign_descriptions": days.with_columns(_days("start_date"), _days("end_date")).sort("campaign_id"),
        "coupons": pl.read_parquet(folder / "coupons.parquet")
        .join(bought, on="product_id", how="semi")
        .unique()
        .sort("campaign_id", "coupon_upc", "product_id"),
        "coupon_redemptions": redemptions.with_columns(_days("redemption_date")).sort(
            "redemption_date", "household_id", "coupon_upc"
        ),
    }


def open_bandit(folder: Path) -> dict[str, pl.DataFrame]:
    """Both men's logs and their item features, without the row number."""
    frames: dict[str, pl.DataFrame] = {}
    for policy in ("bts", "random"):
        log = pl.read_csv(folder / policy / "men.csv").drop("")
        frames[policy] = log.with_columns(
            pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M:%S%.f%:z").dt.replace_time_zone(None),
            pl.col("item_id", "position", "click").cast(pl.Int8),
            pl.col("^user-item_affinity_.*$").cast(pl.Float32),
        )
        items = pl.read_csv(folder / policy / "item_context.csv").drop("").sort("item_id")
        frames[f"{policy}_items"] = items.with_columns(pl.col("item_id").cast(pl.Int8))
    return frames


def movielens(folder: Path) -> dict[str, pl.DataFrame]:
    """Ratings and movies as they are; tags and links are left out."""
    ratings = pl.read_csv(folder / "ratings.csv").with_columns(pl.col("rating").cast(pl.Float32))
    return {"ratings": ratings, "movies": pl.read_csv(folder / "movies.csv")}


def nhefs(folder: Path) -> dict[str, pl.DataFrame]:
    """One row a smoker: squares are left out, indicators put together again, names told in words."""
    rows = pl.read_csv(folder / "nhefs.csv")

    def level(name: str, first: int, words: tuple[str, ...]) -> pl.Expr:
        told = pl.lit(words[0])
        for value, word in enumerate(words[1:], first + 1):
            told = pl.when(pl.col(f"{name}_{value}") == 1).then(pl.lit(word)).otherwise(told)
        return told.alias(name)

    return {
        "nhefs": rows.select(
            pl.col("trt").cast(pl.Int8).alias("quit_smoking"),
            pl.col("outcome").alias("weight_change"),
            pl.col("age", "sex", "race").cast(pl.Int8),
            level("education", 1, ("8th grade", "no degree", "high school", "some college", "college")),
            pl.col("smokeintensity").cast(pl.Int16).alias("cigarettes_a_day"),
            pl.col("smokeyrs").cast(pl.Int8).alias("years_smoked"),
            level("exercise", 0, ("much", "moderate", "little")),
            level("active", 0, ("very", "moderately", "inactive")),
            pl.col("wt71").alias("weight_before"),
        )
    }


def write(frames: dict[str, pl.DataFrame], folder: Path) -> None:
    """Write the frames as Parquet and their manifest; licence and source texts beside them stay."""
    manifest: dict[str, dict[str, object]] = {}
    for name, frame in frames.items():
        path = folder / f"{name}.parquet"
        with atomic_file(path) as temporary:
            frame.write_parquet(temporary, compression="zstd", compression_level=19, statistics=False)
        manifest[path.name] = {
            "sha256": checksum(path),
            "bytes": path.stat().st_size,
            "rows": frame.height,
            "columns": {column: str(kind) for column, kind in frame.schema.items()},
        }
        print(f"{path.relative_to(REPOSITORY)}: {frame.height:,} rows, {path.stat().st_size:,} bytes")
    write_json(folder / "manifest.json", manifest)


def _days(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Int32).cast(pl.Date)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the published folders are")
    parser.add_argument("--only", choices=("complete-journey", "open-bandit", "ml-latest-small", "nhefs"))
    given = parser.parse_args()
    makers = {
        "complete-journey": (complete_journey, "complete-journey", PACKAGE),
        "open-bandit": (open_bandit, "open-bandit", PACKAGE),
        "ml-latest-small": (movielens, "ml-latest-small", CHECKOUT),
        "nhefs": (nhefs, "health-nhefs", PACKAGE),
    }
    for name, (make, source, target) in makers.items():
        if given.only in (None, name):
            write(make(given.folder / source), target / name)


if __name__ == "__main__":
    main()
