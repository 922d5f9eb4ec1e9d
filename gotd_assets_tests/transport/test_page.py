"""What docs/transport.md shows runs as it stands there."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "transport.md"


def test_the_page_runs_from_top_to_bottom() -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code) == 5
    names: dict[str, object] = {}
    exec("\n".join(code), names)  # noqa: S102
    assert len(names["best"]) == 100
    assert names["where"].shape == (5, 16)
    assert names["index"].shape == names["share"].shape == (5, 3)
