"""Tab: a matcher for IPython's completer, which answers only on lines and in cells of ours."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

if TYPE_CHECKING:
    from gprochat_magic.notebook.magics import GPROChatMagics

_MAGIC = re.compile(r"(?:^|=)\s*%%?gprochat\s(?P<typed>.*)$")
_VALUED = re.compile(r"(?P<flag>--?[^\W\d][\w-]*)=(?P<value>.*)")
_FIELD = re.compile(r"\{(?P<path>[^\W\d][\w.]*|)$")


class Completion:
    """The matcher, as IPython wants one."""

    def __init__(self, magics: GPROChatMagics) -> None:
        self._magics = magics

        # The matcher carries attributes, which a bound method cannot, and a name, which a partial
        # function has not.
        marked: Any = context_matcher(identifier="gprochat")

        def match(typing: CompletionContext) -> SimpleMatcherResult:
            return self._match(typing)

        self.match = marked(match)

    def _match(self, typing: CompletionContext) -> SimpleMatcherResult:
        until = typing.text_until_cursor
        line = _MAGIC.search(until)
        inside_cell = typing.full_text.startswith("%%gprochat") and typing.cursor_line > 0
        if line is None and not inside_cell:
            return {"completions": []}
        from gprochat_magic.notebook.offers import Offers  # brings the grammar

        offers = Offers(self._magics)
        if field := _FIELD.search(until):
            return _result(offers.names(field["path"]), field["path"])
        if line is None:
            return {"completions": [], "suppress": True}
        *before, last = line["typed"].split(" ")
        if valued := _VALUED.fullmatch(last):
            before, last = [*before, valued["flag"]], valued["value"]
        return _result(offers.words(before, last), last)


def _result(candidates: Iterable[str], fragment: str) -> SimpleMatcherResult:
    # A name that needs quotes is found without them too.
    ways = (fragment, f'"{fragment}')
    fitting = [SimpleCompletion(each) for each in candidates if each.startswith(ways)]
    return {"completions": fitting, "matched_fragment": fragment, "suppress": True}
