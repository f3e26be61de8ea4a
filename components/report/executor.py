"""The executor of Report: gathers what the page shows, and writes the page."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.contract import features
from components.contract.artifacts import Artifacts
from components.report.inputs import ReportInputs
from components.report.page import FAILED, find_corrections, gather_content, render

progress = logging.getLogger("graft.progress")


class Executor(base_executor.BaseExecutor):
    """Writes the page as `report.html`, what it shows as `content.json`, and likely label errors as CSV."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Makes the page; a section that fails leaves a note: a page is no reason to lose a model."""
        uris = {name: artifact_utils.get_single_uri(list(found)) for name, found in input_dict.items()}
        passport = json.loads(exec_properties["passport"])
        inputs = ReportInputs(uris, exec_properties["features_dir"], exec_properties["data_path"], passport)
        content = gather_content(inputs)
        page = render(content)
        folder = artifact_utils.get_single_uri(output_dict["page"])
        io_utils.write_string_file(os.path.join(folder, features.CONTENT_FILE), json.dumps(content))
        io_utils.write_string_file(os.path.join(folder, features.REPORT_FILE), page)
        if corrections := find_corrections(content):
            with fileio.open(os.path.join(folder, features.CORRECTIONS_FILE), "wb") as file:
                file.write(corrections)
        failed = page.count(FAILED)
        trouble = f"; {failed} sections could not be made, see the log" if failed else ""
        pictures = len(content["pictures"])
        progress.info(f"{len(page) / 1e6:.1f} MB, {pictures:,} pictures{trouble}", extra={"done": True})
