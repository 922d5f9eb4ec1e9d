"""`python -m benchmarks.use_cases docs/use-cases.md`: run the paper's use cases, and write the page of their figures.

Goes on where it was stopped. `--part` runs some of them, `--read` reads what was made of them so far, `--page` writes the
page from what is kept in benchmarks/results/use-cases.json alone.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.use_cases.page import write_page
from benchmarks.use_cases.parts import PARTS, Place, run_part
from benchmarks.use_cases.sizes import FULL, TINY
from gotd_assets.errors import GotdError

RECORD = Path(__file__).parents[1] / "results" / "use-cases.json"


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="Markdown file to write")
    parser.add_argument("--part", nargs="+", choices=[*PARTS], default=[*PARTS], help="parts to run, in this order")
    parser.add_argument("--page", action="store_true", dest="page_only", help="run nothing")
    parser.add_argument("--read", action="store_true", help="read what was made so far of the parts, and run nothing")
    parser.add_argument("--minutes", type=float, help="begin no training of a comparison after so many")
    parser.add_argument("--home", type=Path, default=Path(".gotd"), help="folder for texts, models and projects")
    parser.add_argument("--record", type=Path, default=RECORD, help="file that figures are kept in")
    parser.add_argument("--tiny", action="store_true", help="a few texts of everything, to see that it works")
    asked = parser.parse_args()
    place = Place(
        TINY if asked.tiny else FULL,
        asked.home.resolve(),
        lambda line: print(line, flush=True),
        minutes=asked.minutes,
        runs=not asked.read,
    )
    for name in () if asked.page_only else asked.part:
        print(f"== {name}", flush=True)
        try:
            run_part(name, place, asked.record)
        except GotdError as error:
            raise SystemExit(f"{name}: {error}") from None
        write_page(json.loads(asked.record.read_text(encoding="utf-8")), asked.page)
    if asked.record.is_file():
        write_page(json.loads(asked.record.read_text(encoding="utf-8")), asked.page)


if __name__ == "__main__":
    main()
