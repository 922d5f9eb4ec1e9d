"""The transport benchmark's rows as a Markdown table, and what they say in sentences."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.transport_solvers import Row
from gotd_assets.catalogue.tables import markdown_table

_HEADER = (
    "problem",
    "N",
    "M",
    "solver",
    "seconds",
    "dual value",
    "marginal error",
    "passes (full + subsample)",
    "private memory",
)


def table(report: Row) -> str:
    """The report as Markdown."""
    cells = []
    rows = sorted(report["rows"], key=lambda row: (row["problem"] != "isotropic", row["n"], row["m"]))
    for row in rows:
        head = (row["problem"], f"{row['n']:,}", f"{row['m']:,}", row["solver"])
        if "failed" in row:
            cells.append((*head, row["failed"], "", "", "", ""))
        elif row["solver"] == "one pass":
            cells.append((*head, f"{row['seconds']:.2f}", "", "", "1", ""))
        elif "transport_cost" in row:
            figures = (f"{row['seconds']:.2f}", f"⟨C,P⟩ {row['transport_cost']:.4f}", "", "")
            cells.append((*head, *figures, f"{row['peak_private_bytes'] / 2**30:.2f} GiB"))
        elif "dual_value" in row:
            passes = f"{row.get('passes', '')}" + (f" + {row['subsample_passes']}" if "subsample_passes" in row else "")
            figures = (f"{row['seconds']:.2f}", f"{row['dual_value']:.4f}", f"{row['marginal_error']:.4f}", passes)
            cells.append((*head, *figures, f"{row['peak_private_bytes'] / 2**30:.2f} GiB"))
    return "\n".join([*markdown_table(_HEADER, cells), *_ratios(rows), ""])


def _ratios(rows: list[Row]) -> list[str]:
    """Side-by-side ratios, rank agreement, warm starts and growth, one sentence each."""
    seconds = {(row["solver"], row["problem"], row["n"], row["m"]): row["seconds"] for row in rows if "seconds" in row}
    said = []
    for (solver, *size), taken in seconds.items():
        mine, name = seconds.get(("gotd-assets", *size)), _name(*size)
        if mine is not None and solver == "one pass":
            said.append(f"- {name}: a solve takes {mine / taken:.1f} times one product-and-softmax pass.")
        elif mine is not None and not solver.startswith("gotd-assets"):
            said.append(f"- {name}: {taken / mine:.1f} times faster than {solver}.")
    for row in rows:
        name = _name(row["problem"], row["n"], row["m"])
        if row.get("product_error"):
            said.append(f"- {name}: reduced products are off by at most {row['product_error']:.2g} ε where looked at.")
        said += _together(name, row)
        if "top_overlap" in row:
            shares = ", ".join(f"{tolerance}: {share:.1%}" for tolerance, share in row["top_overlap"].items())
            said.append(f"- {name}: top 1% in common with tolerance 1e-4, by tolerance: {shares}.")
        for again in row.get("warm_starts", []):
            said.append(
                f"- {name}, tolerance {again['tolerance']:g}, {again['changed']:.0%} of the target changed: "
                f"{again['warm_passes']} + {again['warm_subsample_passes']} passes ({again['warm_seconds']:.2f} s) instead "
                f"of {again['cold_passes']} + {again['cold_subsample_passes']} ({again['cold_seconds']:.2f} s)."
            )
    for ours in ("gotd-assets", "gotd-assets, no cache", "one pass"):
        sizes = [
            (n, m, taken)
            for (solver, problem, n, m), taken in seconds.items()
            if (solver, problem) == (ours, "isotropic")
        ]
        if len(sizes) >= 4:
            design = np.array([[1.0, math.log(n), math.log(m)] for n, m, _ in sizes])
            power = np.linalg.lstsq(design, np.log([taken for *_, taken in sizes]), rcond=None)[0]
            said.append(f"- {ours}: over these {len(sizes)} sizes, time grows as N^{power[1]:.2f} · M^{power[2]:.2f}.")
    return said


def _together(name: str, row: Row) -> list[str]:
    """What several targets in lock-step take beside one by one."""
    said = []
    for kind in ("mapped", "compressed"):
        if f"{kind}, together" in row:
            wall, processor = (
                row[f"{kind}, one by one{what}"] / row[f"{kind}, together{what}"] for what in ("", ", processor")
            )
            said.append(
                f"- {name}: eight targets over {kind} shards take {wall:.2f} times as long one by one as together, and "
                f"{processor:.2f} times the processor seconds."
            )
    return said


def _name(problem: str, n: int, m: int) -> str:
    return f"{n:,}×{m:,}" + ("" if problem == "isotropic" else f" {problem}")
