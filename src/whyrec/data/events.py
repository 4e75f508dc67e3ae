"""Words for events that everybody uses alike, and which of them are choices of the user; nothing is guessed of others."""

from __future__ import annotations

# What a user was shown or looked at, took back or turned down: no choice of the item, unless an outcome says so.
PASSIVE = frozenset(
    ["view", "views", "viewed", "impression", "impressions", "shown", "exposure", "seen", "hover", "scroll", "open", "opened", "dislike", "disliked", "downvote", "thumbs_down", "skip", "skipped", "dismiss", "dismissed", "hide", "hidden", "block", "blocked", "report", "reported", "return", "returned", "refund", "refunded", "cancel", "cancelled", "canceled", "remove", "removed", "remove_from_cart", "removed_from_cart", "remove_from_wishlist", "unlike", "unfollow", "unsubscribe", "unsave", "uninstall", "unfavorite", "unfavourite", "pv", "exposed", "浏览", "曝光", "查看", "退货", "退款", "取消"]
)
CHOICES = frozenset(
    ["action", "click", "clicked", "tap", "purchase", "purchased", "buy", "bought", "order", "ordered", "transaction", "checkout", "cart", "add_to_cart", "addtocart", "basket", "wishlist", "add_to_wishlist", "favorite", "favourite", "like", "liked", "upvote", "thumbs_up", "save", "saved", "share", "shared", "bookmark", "subscribe", "follow", "play", "played", "listen", "watch", "watched", "read", "download", "install", "redeem", "redeemed", "reorder", "fav", "点击", "购买", "下单", "加购", "收藏", "点赞", "分享", "播放", "关注"]
)


def usual_outcome(event: str) -> float | None:
    """1 for a word that says a choice, 0 for one that says none, None for any other."""
    word = plain(event)
    return float(word in CHOICES) if word in CHOICES or word in PASSIVE else None


def plain(event: str) -> str:
    """The word as it is looked up: without capitals, dots and hyphens."""
    return event.strip().casefold().replace("-", "_").replace(".", "_").replace(" ", "_")
