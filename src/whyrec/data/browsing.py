"""Browsed and not bought, with the reason known: a simulated shop that says which single change would have sold the item.

A visitor looks at an item: its price, whether it is in stock, its brand, its place on the page, and a rival of its
category. It is bought where it is in stock and

    1.2 affinity + 1.4 own_brand - 7 log(price / usual_price) - 3 rival_advantage - 0.25 log2(position) > threshold + noise,

noise logistic. Confounded as shops are: what is popular and liked is placed higher, priced lower and sells out. The noise is
kept, so that it is known of every visit what would have happened under any other price, stock, brand, place or rival.
The constants were chosen once, for some 25% of visits ending in a purchase.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from whyrec.estimate import FloatArray

CAUSES = ("price", "stock", "brand", "position", "rival")
GRAPH = """
popularity -> price; popularity -> in_stock; popularity -> position; affinity -> position; affinity -> own_brand;
usual_price -> price; price -> bought; usual_price -> bought; in_stock -> bought; own_brand -> bought;
position -> bought; rival_advantage -> bought; affinity -> bought; popularity -> bought
"""
# What puts a cause at its reference: the usual price, in stock, the visitor's own brand, first on the page, no better rival.
REFERENCES: dict[str, dict[str, object]] = {
    "price": {"price": "least(price, usual_price)"},
    "stock": {"in_stock": 1},
    "brand": {"own_brand": 1},
    "position": {"position": 1},
    "rival": {"rival_advantage": 0},
}


@dataclass(frozen=True)
class Browsing:
    """visits: one row a visit, columns of GRAPH. sells: by cause, whether its reference alone would have sold it, (n,)."""

    visits: pl.DataFrame
    sells: dict[str, FloatArray]

    @property
    def one_reason(self) -> FloatArray:
        """Visits without a purchase that exactly one reference would have turned into one, (n,)."""
        count = np.sum([self.sells[cause] for cause in CAUSES], axis=0)
        result: FloatArray = (self.visits["bought"].to_numpy() == 0) & (count == 1)
        return result

    def reason(self) -> FloatArray:
        """Place in CAUSES of what would have sold each of the visits of `one_reason`."""
        result: FloatArray = np.column_stack([self.sells[cause] for cause in CAUSES])[self.one_reason].argmax(axis=1)
        return result


def browsing(visits: int, random_state: int = 0) -> Browsing:
    """Draw visits and what would have been."""
    g = np.random.default_rng(random_state)
    popularity, affinity = g.normal(size=visits), g.normal(size=visits)
    usual = np.exp(g.normal(1.2, 0.5, visits))
    promoted, raised = g.random(visits) < 0.25, g.random(visits) < 0.25
    move = np.where(promoted, -g.uniform(0.05, 0.3, visits), np.where(raised, g.uniform(0.1, 0.5, visits), 0.0))
    price = usual * np.exp(move - 0.02 * popularity)
    stock = (g.random(visits) < _expit(2.2 - 0.4 * popularity)).astype(np.float64)
    own = (g.random(visits) < _expit(0.8 * affinity)).astype(np.float64)
    place = np.clip(np.ceil(np.exp(g.normal(1.6 - 0.4 * affinity - 0.4 * popularity, 0.8))), 1, 60)
    rival = np.where(g.random(visits) < 0.35, g.uniform(0.1, 1.0, visits), 0.0)
    noise = g.logistic(size=visits)

    def bought(
        price: FloatArray = price, stock: FloatArray = stock, own: FloatArray = own, place: FloatArray = place,
        rival: FloatArray = rival,
    ) -> FloatArray:  # fmt: skip
        wish = (
            1.2 * affinity
            + 0.3 * popularity
            + 1.4 * own
            - 7 * np.log(price / usual)
            - 3 * rival
            - 0.25 * np.log2(place)
        )
        result: FloatArray = (stock == 1) & (wish > 1.6 + noise)
        return result

    one, zero = np.ones(visits), np.zeros(visits)
    sells = {
        "price": bought(price=np.minimum(price, usual)),
        "stock": bought(stock=one),
        "brand": bought(own=one),
        "position": bought(place=one),
        "rival": bought(rival=zero),
    }
    frame = pl.DataFrame(
        {
            "popularity": popularity, "affinity": affinity, "usual_price": usual, "price": price, "in_stock": stock,
            "own_brand": own, "position": place, "rival_advantage": rival, "bought": bought().astype(np.int64),
        }
    )  # fmt: skip
    return Browsing(frame, sells)


def _expit(x: FloatArray) -> FloatArray:
    result: FloatArray = 1 / (1 + np.exp(-x))
    return result
