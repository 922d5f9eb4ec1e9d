"""What `dg scaffold defs gotd_assets.SelectionPipeline NAME` writes."""

import re
from pathlib import Path

import dagster as dg

_TEMPLATE = Path(__file__).with_name("defs.yaml.template")


class SelectionPipelineScaffolder(dg.Scaffolder[dg.Model]):
    """Writes a commented defs.yaml, to be pointed at files and models of one's own."""

    def scaffold(self, request: dg.ScaffoldRequest[dg.Model]) -> None:
        """Write it into the folder of the request, or append it to the defs.yaml that is there."""
        if request.scaffold_format != "yaml":
            raise ValueError("a SelectionPipeline is described in YAML: leave out --format, or say --format yaml")
        name = re.sub(r"\W", "_", request.target_path.name).strip("_") or "selection"
        content = _TEMPLATE.read_text(encoding="utf-8").replace("@NAME@", name).replace("@TYPE@", request.type_name)
        path = request.target_path / "defs.yaml"
        if request.append and path.is_file():
            content = f"{path.read_text(encoding='utf-8').rstrip()}\n---\n{content}"
        path.write_text(content, encoding="utf-8")
