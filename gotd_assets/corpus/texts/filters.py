"""Filter conditions and field paths on plain records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gotd_assets.corpus.texts.conditions import safe_condition
from gotd_assets.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def field_value(record: Mapping[str, Any], path: str) -> Any:
    """Value of the field `path`: the field of that very name, else the nested one its dots lead to, else None."""
    if path in record:
        return record[path]
    value: Any = record
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


class Condition:
    """A SQL condition on a record's fields, such as "lang = 'en' and score > 3".

    Raises:
        InputError: the condition is not SQL, or is more than an expression on fields.
    """

    def __init__(self, sql: str, label: str) -> None:
        import polars as pl

        self._described = f"{label}.filter {sql!r}"
        safe = safe_condition(sql, self._described)
        try:
            self._expression = pl.sql_expr(safe)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise InputError(f"{self._described} is not a SQL condition: {error}") from error
        self.fields = sorted(set(self._expression.meta.root_names()))

    def keep(self, records: Sequence[Mapping[str, Any]]) -> list[bool | None]:
        """For each record whether the condition holds (null counts as not), or None if it cannot be evaluated."""
        import polars as pl

        if not records:
            return []
        columns = {name: [record.get(name) for record in records] for name in self.fields}
        try:
            frame = pl.DataFrame([pl.Series(name, values, strict=True) for name, values in columns.items()])
            result = frame.select(self._expression.alias("keep")).to_series()
            if result.dtype not in (pl.Boolean, pl.Null):
                raise InputError(f"{self._described} gives {result.dtype}, not true or false: compare with something")
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, TypeError, ValueError, OverflowError):
            if len(records) == 1:
                return [None]
            half = len(records) // 2
            return self.keep(records[:half]) + self.keep(records[half:])
        return [bool(value) for value in result]
