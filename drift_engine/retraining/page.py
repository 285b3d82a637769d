"""The model report as a page for whoever decides: the verdict, what it rests on, and what it is silent about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from drift_engine.charts import Axis, Line, axis_for, line_chart
from drift_engine.pages import rendered
from drift_engine.retraining.schema import CalibrationBin, ModelReport

_TONES = {"better": "better", "worse": "worse", "no difference": "unsure"}
_HEADLINES = {
    "better": "The candidate is better",
    "worse": "The candidate is worse",
    "no difference": "No difference that the rows show",
}


@dataclass(frozen=True)
class Picture:
    """A picture and what it says in words."""

    svg: Markup
    says: str


def headline(report: ModelReport) -> str:
    """The verdict in a few words."""
    against = f", but not by {', '.join(report.comparison.against)}" if report.comparison.against else ""
    return _HEADLINES[report.comparison.verdict] + against


def model_report_page(report: ModelReport) -> str:
    """A self-contained HTML page."""
    candidate = {(metric.name, metric.average): metric for metric in report.candidate_metrics}
    return rendered(
        "model_report.html.j2",
        r=report,
        tone=_TONES[report.comparison.verdict],
        headline=headline(report),
        pictures=[picture for picture in (_over_time(report), _calibration(report)) if picture is not None],
        metrics=[(before, candidate.get((before.name, before.average))) for before in report.champion_metrics],
    )


def _over_time(report: ModelReport) -> Picture:
    what = "mean absolute error" if report.task == "regression" else "accuracy"
    slices = report.slices
    lines = [
        Line(f"version {report.champion}", [(float(place), part.champion) for place, part in enumerate(slices)]),
        Line(f"version {report.model_version}", [(float(place), part.candidate) for place, part in enumerate(slices)]),
    ]
    ends = [(0.0, slices[0].start[:16].replace("T", " "))]
    if len(slices) > 1:
        ends.append((len(slices) - 1.0, slices[-1].end[:16].replace("T", " ")))
    values = [value for line in lines for _, value in line.points]
    within = (0.0, 1.0) if report.task != "regression" else (0.0, float("inf"))
    says = f"{what.capitalize()} of both versions on the judged rows, in {len(slices)} parts in order of time."
    x = Axis(-0.3, len(slices) - 0.7, ends, "time of the prediction (UTC)")
    return Picture(line_chart(lines, x, axis_for(values, what, within=within), says), says)


def _calibration(report: ModelReport) -> Picture | None:
    sides = (report.champion_calibration, report.candidate_calibration)
    if not all(sides):
        return None
    share = report.task != "regression"
    score, seen = {
        "binary": ("predicted probability of the positive class", "share that was positive"),
        "multiclass": ("confidence", "share that was right"),
        "regression": ("prediction", "mean true value"),
    }[report.task]
    names = (f"version {report.champion}", f"version {report.model_version}")
    lines = [Line(name, *_points(bins)) for name, bins in zip(names, sides, strict=True)]
    within = (0.0, 1.0) if share else (-float("inf"), float("inf"))
    x = axis_for([point[0] for line in lines for point in line.points], score, within=within)
    y = axis_for([value for line in lines for value in _heights(line)], seen, within=within)
    says = f"Calibration: {seen} by {score}, in ten bins of equally many rows; a perfect model lies on the dashed line."
    return Picture(line_chart(lines, x, y, says, diagonal=True), says)


def _points(bins: Sequence[CalibrationBin]) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    points = [(item.score, item.observed) for item in bins]
    bounds = [(item.lower, item.upper) for item in bins if item.lower is not None and item.upper is not None]
    return points, bounds


def _heights(line: Line) -> list[float]:
    return [value for _, value in line.points] + [value for bound in line.bounds for value in bound]
