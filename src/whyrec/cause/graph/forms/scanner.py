"""A text as tokens, one at a time, and the place of each for errors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from whyrec.errors import BadInput


@dataclass(frozen=True)
class Token:
    """kind: name of the pattern that matched, or "end". text: as it stands. start: place in the text, from 0."""

    kind: str
    text: str
    start: int


class Scanner:
    """Tokens of `text` by a pattern whose groups name their kinds; the group "skip" is passed over.

    form: what the text is called in errors, such as "DOT text". `token` is the one that comes next.
    """

    def __init__(self, text: str, pattern: re.Pattern[str], form: str, start: int = 0) -> None:
        self.text, self.pattern, self.form = text, pattern, form
        self._end = start
        self.token = Token("end", "", start)
        self.take()

    def take(self) -> Token:
        """The next token; moves behind it."""
        taken = self.token
        while True:
            if self._end == len(self.text):
                self.token = Token("end", "", self._end)
                return taken
            match = self.pattern.match(self.text, self._end)
            if match is None or not match[0]:
                self.refuse(self._unknown(), self._end)
            kind = match.lastgroup or ""
            self._end = match.end()
            if kind != "skip":
                self.token = Token(kind, match[0], match.start())
                return taken

    def jump(self, end: int) -> None:
        """Go on at `end`: what lies before it was read by other means."""
        self._end = end
        self.take()

    def at(self, *texts: str) -> bool:
        """Whether the next token is one of these signs or bare words."""
        return self.token.kind not in ("end", "string") and self.token.text in texts

    def accept(self, text: str) -> bool:
        """Move behind this sign where it is next."""
        found = self.at(text)
        if found:
            self.take()
        return found

    def expect(self, text: str, where: str) -> Token:
        """The sign that must come next; an error says where it belongs."""
        if not self.at(text):
            self.refuse(f"{text!r} is missing {where}; found {self.found()}")
        return self.take()

    def found(self) -> str:
        """The next token in words."""
        return "the end of the text" if self.token.kind == "end" else repr(self.token.text)

    def refuse(self, words: str, start: int | None = None) -> NoReturn:
        """BadInput with the place of the next token, or of `start`."""
        raise BadInput(f"{self.form}, {place(self.text, self.token.start if start is None else start)}: {words}")

    def _unknown(self) -> str:
        rest = self.text[self._end :]
        if rest.startswith('"'):
            return "a quotation mark opens here and is never closed"
        if rest.startswith("/*"):
            return "a comment opens here and is never closed"
        piece = re.match(r"\S{1,12}", rest)
        return f"{(piece[0] if piece else rest[0])!r} is not understood; a name with other signs in it stands in double quotes"


def place(text: str, start: int) -> str:
    """ "line 2, column 7" of a place in a text."""
    line = text.count("\n", 0, start) + 1
    return f"line {line}, column {start - (text.rfind(chr(10), 0, start) + 1) + 1}"
