"""Text of any script to vectors without a network: its characters and words, weighted by where they stand, hashed.

For catalogues that a text model cannot read. In Chinese, Japanese and Korean the kind of a product ends its name ("苹果汁" is a juice): a
character counts .7 of the one after it, and the first phrase more than what follows. Words of alphabets count whole and by their beginnings, which
inflection leaves alone. Each feature falls on one of `WIDTH` numbers with a sign of its own (feature hashing: Weinberger et al., 2009,
"Feature hashing for large scale multitask learning"), so that nothing is learnt, kept or looked up, and new items are read as old ones.

Constants were chosen on 160 Chinese titles of 20 kinds (nearest other title of the same kind: .92; characters, pairs and triples without
weights .71, the packaged text model .21), and judged once on 160 of 20 other kinds: .81, .68 and .16 (tests/represent/chinese_titles.json).
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

WIDTH = 640
_DECAY, _LATER = 0.7, 0.6
# Sizes, counts and models tell kinds less than words do.
_NUMBER = 0.2
_BEGINNINGS, _OF_BEGINNINGS = (3, 5), 0.5
_PHRASE = re.compile(r"[^\W_]+")
_RUN = re.compile(r"(?P<number>[a-z]*\d[a-z\d]*)|(?P<signs>[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af\U00020000-\U0003ffff]+)|(?P<word>.)")


def encode(texts: Sequence[str]) -> NDArray[np.float32]:
    """States of unit length, (len(texts), WIDTH); zeros of a text without letters and digits."""
    states = np.zeros((len(texts), WIDTH), dtype=np.float32)
    for row, text in zip(states, texts, strict=True):
        weights: dict[str, float] = {}
        for feature, weight in _features(text):
            weights[feature] = max(weights.get(feature, 0.0), weight)
        for feature, weight in weights.items():
            code = zlib.crc32(feature.encode())
            row[(code >> 1) % WIDTH] += weight if code & 1 else -weight
        row /= np.linalg.norm(row) or 1.0
    return states


def _features(text: str) -> Iterator[tuple[str, float]]:
    """Characters, words and beginnings of words, with their weights."""
    for place, phrase in enumerate(_PHRASE.findall(unicodedata.normalize("NFKC", text).casefold())):
        of_phrase = 1.0 if place == 0 else _LATER
        for kind, run, end in _runs(phrase):
            if kind == "number":
                yield run, _NUMBER * of_phrase
            elif kind == "signs":
                for i, sign in enumerate(run):
                    yield sign, of_phrase * _DECAY ** (len(phrase) - end + len(run) - 1 - i)
            else:
                yield run, of_phrase
                for n in _BEGINNINGS:
                    if len(run) > n:
                        yield f"{run[:n]}-", _OF_BEGINNINGS * of_phrase


def _runs(phrase: str) -> Iterator[tuple[str, str, int]]:
    """(kind, text, end) of the parts of a phrase: numbers with their units, signs that stand for syllables or words, words of an alphabet."""
    start = 0
    while start < len(phrase):
        found = _RUN.match(phrase, start)
        if found is None or found.lastgroup is None:
            return
        kind, end = found.lastgroup, found.end()
        if kind == "word":
            while end < len(phrase) and (more := _RUN.match(phrase, end)) and more.lastgroup == "word":
                end = more.end()
        yield kind, phrase[start:end], end
        start = end
