"""Conditions that users write in SQL: parsed, and made of nothing but a record's fields, values, operators and functions."""

from __future__ import annotations

import itertools
from typing import Any

from gotd_assets.errors import InputError

# Polars' SQL as it is here is nearest to that of PostgreSQL.
_DIALECT = "postgres"
_MOST_PARTS = 10_000
_MOST_TOKENS = 2 * _MOST_PARTS
# Operators and values, and functions that look at their arguments alone; whatever else SQL has is no part of a condition.
_ALLOWED = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "ArrayContains",
        "Between",
        "Boolean",
        "Bracket",
        "Case",
        "Cast",
        "Cbrt",
        "Ceil",
        "Coalesce",
        "Column",
        "Concat",
        "DataType",
        "Date",
        "Div",
        "Dot",
        "DPipe",
        "EndsWith",
        "EQ",
        "Exp",
        "Extract",
        "Floor",
        "GT",
        "GTE",
        "Greatest",
        "Identifier",
        "If",
        "ILike",
        "In",
        "Initcap",
        "Interval",
        "Is",
        "Least",
        "Left",
        "Length",
        "Like",
        "Literal",
        "Lower",
        "LT",
        "LTE",
        "Mod",
        "Mul",
        "NEQ",
        "Neg",
        "Not",
        "Null",
        "Nullif",
        "NullSafeEQ",
        "NullSafeNEQ",
        "Or",
        "Paren",
        "Pow",
        "RegexpILike",
        "RegexpLike",
        "Replace",
        "Reverse",
        "Right",
        "Round",
        "Sign",
        "Sqrt",
        "StartsWith",
        "StrPosition",
        "Sub",
        "Substring",
        "Trim",
        "Upper",
        "Var",
    ]
)
# Functions that sqlglot does not know by a class of its own.
_FUNCTIONS = frozenset(["bit_length", "concat_ws", "octet_length", "strpos"])


def safe_condition(condition: str, described: str) -> str:
    """The SQL of `condition` written anew from its parts, every name quoted; `described` names it in messages.

    Raises:
        InputError: it is no SQL, is too large, or has parts that no condition on a record's own fields needs.
    """
    import sqlglot
    from sqlglot import expressions as sql
    from sqlglot.errors import SqlglotError

    too_large = (
        f"{described[:200]}…: a condition may have {_MOST_PARTS:,} parts; many values of a field are shorter as IN (…)"
    )
    try:
        if len(sqlglot.tokenize(condition, dialect=_DIALECT)) > _MOST_TOKENS:
            raise InputError(too_large)
        tree = sqlglot.parse_one(condition, dialect=_DIALECT)
        parts = list(tree.walk())
        if len(parts) > _MOST_PARTS:
            raise InputError(too_large)
        for part in parts:
            _check(part, described)
        for part in parts:
            if isinstance(part, sql.And | sql.Or) and not isinstance(part.parent, type(part)):
                tree = _balanced(part, tree)
            elif isinstance(part, sql.ArrayContains):
                # PostgreSQL has it not, so it would be written otherwise.
                part.replace(sql.Anonymous(this="array_contains", expressions=[part.this, part.expression]))
        return tree.sql(dialect=_DIALECT, identify=True, comments=False)
    except SqlglotError as error:
        found = getattr(error, "errors", None) or [{}]
        raise InputError(
            f"{described} is not a SQL condition: {found[0].get('description', 'it cannot be parsed')}"
        ) from None
    except RecursionError:
        raise InputError(f"{described[:200]}…: the condition is nested too deeply") from None


def _check(part: Any, described: str) -> None:
    kind = type(part).__name__
    if kind in _ALLOWED or (kind == "Anonymous" and str(part.this).lower() in _FUNCTIONS):
        return
    what = f"the function {part.this}" if kind == "Anonymous" else part.key.upper()
    raise InputError(
        f"{described}: only conditions on a record's own fields are allowed, made of fields, values, operators and "
        f"functions of these; {what} is none. A field of such a name is written in double quotes"
    )


def _balanced(chain: Any, tree: Any) -> Any:
    """`tree` with a chain of ANDs or ORs as a tree of its own, which a thousand operands do not make deep."""
    from sqlglot import expressions as sql

    operands = [sql.Paren(this=operand.copy()) for operand in chain.flatten(unnest=False)]
    while len(operands) > 1:
        operands = [
            sql.Paren(this=type(chain)(this=left, expression=right)) if right is not None else left
            for left, right in itertools.zip_longest(operands[::2], operands[1::2])
        ]
    if chain is tree:
        return operands[0]
    chain.replace(operands[0])
    return tree
