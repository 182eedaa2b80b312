"""What is to be done, checked: nothing is sent before template, rows and terms fit each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gprochat_magic import config
from gprochat_magic.batch.asking import Manner
from gprochat_magic.batch.rows import Rows, rows_of
from gprochat_magic.batch.template import Template, Unfit
from gprochat_magic.batch.terms import Terms
from gprochat_magic.draft import checked
from gprochat_magic.errors import ConfigError
from gprochat_magic.sending import Options

_LOOKED_AT = 1_000
_UNUSED = frozenset({"history", "turns", "cell", "rerun", "again", "images"})


@dataclass(frozen=True)
class Plan:
    """What is to be done: a template over rows, how each is sent, and how the run goes."""

    template: Template
    rows: Rows
    manner: Manner
    terms: Terms

    @property
    def count(self) -> int:
        """How many rows are to be asked: all, or as many as a trial takes."""
        most = self.terms.limit
        return len(self.rows) if most is None else min(most, len(self.rows))


def planned(
    template: str,
    data: Any,
    how: Mapping[str, Any],
    *,
    settings: config.Settings,
    model: Callable[[Options], str],
) -> Plan:
    """A plan. `how` has keywords of `Terms` and of `Options`; `model` names the model to ask.

    Raises `ConfigError` for what does not fit, and `TypeError` for a keyword that there is not.
    """
    own = {name: how[name] for name in how if name in Terms.__dataclass_fields__}
    rest = {name: value for name, value in how.items() if name not in own}
    taken = Options.__dataclass_fields__.keys() - _UNUSED
    if unknown := sorted(rest.keys() - taken):
        known = ", ".join(sorted(taken | Terms.__dataclass_fields__.keys()))
        raise TypeError(f"a map takes no {', '.join(unknown)}; it takes {known}")
    terms, options = Terms(**own), Options(history=False, **rest)
    checked(options, settings)
    rows = rows_of(data, most=terms.limit)
    if terms.column and not rows.is_frame:
        raise ConfigError(
            "only a DataFrame can have the answers in a column", hint="Nothing was sent."
        )
    made = Plan(
        Template(template, rows.names, single=rows.single),
        rows,
        Manner(options, settings, model(options)),
        terms,
    )
    _look_at(made)
    if terms.client is not None:
        from gprochat_magic.batch import cluster  # of no use without a cluster

        cluster.check(terms.client, settings, options)
    return made


def _look_at(plan: Plan) -> None:
    """Find the values that cannot be text."""
    template, rows = plan.template, plan.rows
    template.settle(rows.values(template.columns, 0, 1)[0])
    columns = template.columns
    first, bad = "", 0
    for start in range(0, plan.count, _LOOKED_AT):
        stop = min(start + _LOOKED_AT, plan.count)
        for number, values in enumerate(rows.values(columns, start, stop), start):
            try:
                template.fill(values, columns)
            except Unfit as error:
                bad += 1
                first = first or f"row {rows.label(number)}: {error}"
    if bad:
        more = f"; {bad:,} rows are like that" if bad > 1 else ""
        raise ConfigError(
            f"{first}{more}", hint="Fill or drop such rows; nothing was sent.", kind="unfit"
        )
