"""What functions of `pipeline.api` give: typed, and shown by notebooks as what a person wants to see first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.runs.read import Run

SHOWN = ("accuracy", "macro_f1", "top_k", "auc", "log_loss", "ece")  # metrics in the notebook's table


@dataclass(frozen=True)
class CheckResult:
    """What a run would find in the data.

    Attributes:
        verdict: `accepted`; `refused`, where the data gate would stop the run; or `unusable`.
        reasons: why the run would stop; empty where it would not.
        warnings: what the run would say without stopping.
        findings: everything, as `graft check --json` prints it: `found`, `examples` (split -> class -> count),
            `quarantined`, `duplicates`, `near_duplicates`, `conflicts`, `leakage`, `formats`, `flags`, ...
    """

    verdict: str
    reasons: list[str]
    warnings: list[str]
    findings: dict[str, Any]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """The number of images: split (`train`, `eval`) -> class -> count."""
        return dict(self.findings["examples"])

    @property
    def classes(self) -> list[str]:
        """The names of the classes, sorted."""
        return sorted({name for counts in self.counts.values() for name in counts})

    def _repr_html_(self) -> str:
        from pipeline import notebook

        accepted = self.verdict == "accepted"
        words = "A run would go on with this data." if accepted else f"A run would stop: the data is {self.verdict}."
        rows = [(name, *(f"{counts.get(name, 0):,}" for counts in self.counts.values())) for name in self.classes]
        return (
            notebook.headline(words, accepted)
            + notebook.bullets([*self.reasons, *self.warnings])
            + notebook.table(rows, ("class", *self.counts))
        )


@dataclass(frozen=True)
class RunResult:
    """How a run ended. A gate's no is a result, not an error.

    Attributes:
        run_id: the name of its folder below `runs/` of the working directory.
        workdir: the working directory.
        summary: the content of `summary.json`; the user guide has its fields.
    """

    run_id: str
    workdir: Path
    summary: dict[str, Any]

    @cached_property
    def _run(self) -> Run:
        from pipeline.runs.read import Run

        return Run(self.workdir / "runs" / self.run_id, self.summary)

    @property
    def status(self) -> str:
        """The end: `pushed`, `unchanged`, `data_refused`, `not_blessed` or `not_servable`."""
        return self._run.status

    @property
    def pushed(self) -> bool:
        """Whether a version holds the run's model."""
        return self.version is not None

    @property
    def accuracy(self) -> float | None:
        """The accuracy on the eval images, 0..1; None where nothing was evaluated."""
        return self._run.number("metrics", "accuracy")

    @property
    def interval(self) -> tuple[float, float] | None:
        """The confidence interval of the accuracy, 0..1."""
        return self._run.interval

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics of `summary.json`; empty where nothing was evaluated."""
        return self._run.table("metrics")

    @property
    def version(self) -> int | None:
        """The number of the version that holds the model; None where none was pushed."""
        return self._run.version

    @property
    def model_path(self) -> Path | None:
        """The folder of that version; None where none was pushed: `api.load(workdir, candidate=True)` loads it then."""
        path = self._run.get("model", "path")
        return Path(path) if path else None

    @property
    def reasons(self) -> list[str]:
        """Why no model was pushed, a line each."""
        return self._run.reasons

    @property
    def report_path(self) -> Path | None:
        """The run's page, `report.html`; None where there is none."""
        path = self._run.folder / "report.html"
        return path if path.is_file() else None

    def __repr__(self) -> str:
        return f"<RunResult {self.run_id}: {self._verdict}>"

    @property
    def _verdict(self) -> str:
        from pipeline.runs.candidate import describe_standing
        from pipeline.runs.describe import describe_run
        from pipeline.runs.tables import accuracy_of

        row = describe_run(self._run)
        said = f", accuracy {accuracy_of(row)} on {row['examples']:,} images" if row["examples"] else ""
        return f"{describe_standing(self._run)}{said}"

    def _repr_html_(self) -> str:
        from pipeline import notebook

        values = [(name, self._run.number("metrics", name)) for name in SHOWN]
        rows = [(name, f"{value:.4f}") for name, value in values if value is not None]
        verdict = self._verdict
        return (
            notebook.headline(f"Run {self.run_id}: {verdict}", self.pushed)
            + notebook.bullets(reason for reason in self.reasons if reason not in verdict)
            + notebook.table(rows)
            + notebook.page(self.report_path)
        )


@dataclass(frozen=True)
class Report:
    """A run's page.

    Attributes:
        path: of the HTML file, which needs neither network nor server.
    """

    path: Path

    def _repr_html_(self) -> str:
        from pipeline import notebook

        return notebook.page(self.path)
