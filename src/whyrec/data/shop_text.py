"""Plain words for the products of the grocery sample, whose labels are upper-case till abbreviations."""

from __future__ import annotations

import polars as pl

_DEPARTMENTS = {
    "DRUG GM": "drugstore and general merchandise",
    "MEAT-PCKGD": "packaged meat",
    "SEAFOOD-PCKGD": "packaged seafood",
    "GM MERCH EXP": "general merchandise",
    "CNTRL/STORE SUP": "store supplies",
}
_WORDS = {
    "frzn": "frozen", "frz": "frozen", "misc": "miscellaneous", "fd": "food", "ss": "shelf stable",
    "drnk": "drink", "drnks": "drinks", "dnr": "dinner", "dnrs": "dinners", "sherbts": "sherbets",
    "refrgratd": "refrigerated", "refrig": "refrigerated", "bkd": "baked", "flvrd": "flavored",
    "flvr": "flavor", "btl": "bottle", "sft": "soft", "sald": "salad", "sal": "salad", "drsng": "dressing",
    "sndwch": "sandwich", "sandwic": "sandwich", "sprd": "spread", "brkfst": "breakfast",
    "whlsm": "wholesome", "sply": "supply", "wtr": "water", "wat": "water", "dsh": "dish",
    "cleang": "cleaning", "prem": "premium", "mxs": "mixes", "mixs": "mixes", "mx": "mix", "btr": "butter",
    "pnt": "peanut", "trsh": "trash", "bg": "bag", "fem": "feminine", "incl": "including",
    "hygn": "hygiene", "pkld": "pickled", "pwdr": "powder", "chococlate": "chocolate", "gds": "goods",
    "jce": "juice", "conc": "concentrate", "mw": "microwave", "catfd": "cat food", "dogfd": "dog food",
    "sngl": "single", "sgl": "single", "tiss": "tissue", "crmd": "creamed", "choc": "chocolate",
    "veg": "vegetables", "pkgd": "packaged", "pk": "pack", "cnd": "canned", "cndy": "candy",
    "snks": "snacks", "crbntd": "carbonated", "bev": "beverage", "syrp": "syrup", "whl": "whole",
    "chix": "chicken", "chick": "chicken", "sugars": "sugar", "sweetners": "sweeteners", "brd": "bread",
    "hbc": "health and beauty care", "bn": "beans", "vend": "vending", "mach": "machine", "sup": "supplies",
    "supppplies": "supplies", "crystl": "crystals",
}  # fmt: skip
_UNITS = {
    "oz": "ounces",
    "lb": "pounds",
    "ct": "count",
    "ml": "ml",
    "l": "liters",
    "gal": "gallons",
    "pk": "pack",
}


def product_table(products: pl.DataFrame) -> pl.DataFrame:
    """Item table: product_id, text, department, category, type, brand, size; null where the shop says
    nothing.

    text reads like "private brand shredded cheese, 8 ounces, cheese, grocery".
    """
    words = products.select(
        "product_id",
        department=pl.col("department").replace(_DEPARTMENTS).str.to_lowercase().str.replace_all(" & ", " and "),
        category=_plain("product_category"),
        type=_plain("product_type"),
        brand=pl.col("brand").str.to_lowercase(),
        size=_size("package_size"),
    )
    kind = pl.coalesce("type", "category", "department")
    text = pl.concat_str(
        [
            pl.concat_str([pl.col("brand") + " brand", kind], separator=" ", ignore_nulls=True),
            "size",
            pl.when(pl.col("category") != kind).then("category"),
            pl.when(pl.col("department") != kind).then("department"),
        ],
        separator=", ",
        ignore_nulls=True,
    )
    return words.select("product_id", text.alias("text"), "department", "category", "type", "brand", "size")


def _plain(column: str) -> pl.Expr:
    """Lower case, punctuation to spaces, till abbreviations written out, doubled words once."""
    words = (
        pl.col(column)
        .str.to_lowercase()
        .str.replace_all("&", " and ")
        .str.replace_all(r"[^a-z0-9' ]+", " ")
        .str.split(" ")
    )
    written_out = words.list.eval(pl.element().filter(pl.element() != "").replace(_WORDS))
    text = written_out.list.unique(maintain_order=True).list.join(" ")
    return pl.when(text != "").then(text)


def _size(column: str) -> pl.Expr:
    size = pl.col(column).str.strip_chars().str.to_lowercase()
    for short, long in _UNITS.items():
        size = size.str.replace(rf"\b{short}\b", long)
    return pl.when(size != "").then(size)
