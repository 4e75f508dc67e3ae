"""Which events are choices, where their sender does not say: words that everybody uses alike, and nothing guessed of others."""

from __future__ import annotations

from collections.abc import Mapping

from whyrec.errors import BadInput
from whyrec.serve.store import Event

# What a user was shown or looked at, took back or turned down: no choice of the item, unless an outcome says so.
PASSIVE = frozenset(
    ["view", "views", "viewed", "impression", "impressions", "shown", "exposure", "seen", "hover", "scroll", "open", "opened", "dislike", "disliked", "downvote", "thumbs_down", "skip", "skipped", "dismiss", "dismissed", "hide", "hidden", "block", "blocked", "report", "reported", "return", "returned", "refund", "refunded", "cancel", "cancelled", "canceled", "remove", "removed", "remove_from_cart", "removed_from_cart", "remove_from_wishlist", "unlike", "unfollow", "unsubscribe", "unsave", "uninstall", "unfavorite", "unfavourite"]
)
CHOICES = frozenset(
    ["action", "click", "clicked", "tap", "purchase", "purchased", "buy", "bought", "order", "ordered", "transaction", "checkout", "cart", "add_to_cart", "addtocart", "basket", "wishlist", "add_to_wishlist", "favorite", "favourite", "like", "liked", "upvote", "thumbs_up", "save", "saved", "share", "shared", "bookmark", "subscribe", "follow", "play", "played", "listen", "watch", "watched", "read", "download", "install", "redeem", "redeemed", "reorder"]
)


def outcome_of(event: str, outcome: float | None, said: Mapping[str, float] | None = None) -> float:
    """The outcome of an event: as sent, else as the model's schema says of this event, else 1 for a choice and 0 for what is none.

    said: the schema's `events`. BadInput for an event that none of these knows.
    """
    if outcome is not None:
        return float(outcome)
    if said is not None and event in said:
        return float(said[event])
    word = event.casefold().replace("-", "_").replace(".", "_")
    if word in CHOICES or word in PASSIVE:
        return float(word in CHOICES)
    raise BadInput(
        f"event {event!r}: whether it is a choice of the user is not known; send its outcome (1 for a choice, 0 for none), or name it in the "
        "schema that the model is fitted with"
    )


def acted(event: Event) -> bool:
    """Whether an event may be a choice of the user, and so belongs to the history; each model's own rule says of its outcome."""
    return event.outcome > 0 or event.event.casefold().replace("-", "_").replace(".", "_") not in PASSIVE
