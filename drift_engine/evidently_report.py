"""Evidently's part of the report: plots and tables of a sample, with our figures and thresholds.

Evidently draws; it decides nothing. Every column's method and threshold are pinned to tests registered here
that return what the verdict was made from, on all rows. Evidently is imported only when a page is rendered.
It may raise anything on odd data, so each section is tried on its own, and what could not be drawn is said.
"""

from __future__ import annotations

import dataclasses
import gc
import io
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np

from drift_engine.estimation.answers import class_codes
from drift_engine.findings import Subject
from drift_engine.results.schema import Check, ColumnFinding
from drift_engine.table import NumberColumn, Table
from drift_engine.verdict import decisive, measure
from gateway.registry import ModelCard
from gateway.registry.columns import LABEL, PREDICTION, class_text, probability_column, probability_columns

_QUALITY = "Quality on the labelled rows"


@dataclass(frozen=True)
class Comparison:
    """What is to be drawn: samples of both sides, and what was found on all rows.

    `judged` are the inputs, then the answers, of which those that moved most are drawn, `columns_max` at most;
    `reference_labelled` and `window_labelled` hold labelled rows only, None where quality was not judged.
    Without a model (`card`) there is no quality to draw.
    """

    card: ModelCard | None
    judged: tuple[tuple[Subject, ColumnFinding], ...]
    reference: Table
    window: Table
    reference_labelled: Table | None
    window_labelled: Table | None
    columns_max: int


@dataclass(frozen=True)
class Rendered:
    """A complete, self-contained HTML document, and a sentence for each thing that could not be drawn."""

    html: str
    omitted: tuple[str, ...]


class NothingToDraw(Exception):
    """Evidently could not draw a single section; the text says why."""


def render(comparison: Comparison) -> Rendered:
    """Draw what can be drawn. Raises NothingToDraw."""
    with (
        warnings.catch_warnings(),
        np.errstate(all="ignore"),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        _import_evidently()
        omitted: list[str] = []
        sections = []
        for title, draw in (
            ("Inputs and answers against the reference", _draw_drift),
            (_QUALITY, _draw_quality),
        ):
            widgets = _attempt(draw, comparison, title, omitted)
            if widgets:
                sections.append((title, widgets))
        if not sections:
            raise NothingToDraw("; ".join(omitted) or "no column has values on both sides")
        try:
            return Rendered(_document(sections), tuple(omitted))
        except Exception as error:  # a private part of Evidently: the page must not depend on it
            raise NothingToDraw(f"Evidently's page cannot be made ({_brief(error)})") from error


def _import_evidently() -> None:
    """Import it once and for all, without looking for garbage among its 3,000 modules: a third of the time it takes.

    What is there afterwards stays; frozen, it costs no later collection anything either.
    """
    if "evidently" in sys.modules:
        return
    was_on = gc.isenabled()
    gc.disable()
    try:
        import evidently.presets  # noqa: F401 - for its effect
    except Exception:  # noqa: BLE001 - whoever draws imports it again, and says what fails
        return
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


def _attempt(
    draw: Callable[[Comparison, list[str]], list[Any]], comparison: Comparison, title: str, omitted: list[str]
) -> list[Any]:
    try:
        return draw(comparison, omitted)
    except Exception as error:  # noqa: BLE001 - a foreign library on arbitrary data; the report says what is missing
        omitted.append(f"{title}: not drawn ({_brief(error)})")
        return []


def _draw_drift(comparison: Comparison, omitted: list[str]) -> list[Any]:
    drawable = _most_moved(_drawable(comparison, omitted), comparison.columns_max, omitted)
    if not drawable:
        return []
    try:
        return _drift_widgets(comparison, drawable)
    except Exception:  # noqa: BLE001 - find the columns it cannot take, and draw the others
        sound = []
        for subject, check in drawable:
            try:
                _drift_widgets(comparison, [(subject, check)])
                sound.append((subject, check))
            except Exception as error:  # noqa: BLE001 - as above
                omitted.append(f"{subject.name}: not drawn ({_brief(error)})")
        return _drift_widgets(comparison, sound) if sound else []


def _drawable(comparison: Comparison, omitted: list[str]) -> list[tuple[Subject, Check]]:
    """Subjects with a verdict and with values in both samples; Evidently fails on an empty column."""
    found = []
    for subject, finding in comparison.judged:
        check = decisive(finding)
        sides = [table.columns.get(subject.column) for table in (comparison.reference, comparison.window)]
        empty = any(side is None or not _has_values(side) for side in sides)
        if check is None or empty:
            omitted.append(f"{subject.name}: no values to draw")
        else:
            found.append((subject, check))
    return found


def _most_moved(
    drawable: list[tuple[Subject, Check]], columns_max: int, omitted: list[str]
) -> list[tuple[Subject, Check]]:
    """The strongest `columns_max`, in their own order: a page of hundreds of plots takes minutes and shows nothing."""
    if len(drawable) <= columns_max:
        return drawable
    left_out = len(drawable) - columns_max
    omitted.append(
        f"{left_out} of {len(drawable)} columns and answers: the {columns_max} that moved most are drawn "
        "(plot_columns_max); the tables above have all of them"
    )
    ratios = np.array([-(check.drift_ratio or 0.0) for _, check in drawable])
    return [drawable[place] for place in sorted(np.argsort(ratios, kind="stable")[:columns_max])]


def _has_values(column: Any) -> bool:
    if isinstance(column, NumberColumn):
        return bool(np.isfinite(column.values).any())
    return bool((column.codes >= 0).any())


def _drift_widgets(comparison: Comparison, drawable: Sequence[tuple[Subject, Check]]) -> list[Any]:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    class TableOfColumns(DataDriftPreset):  # type: ignore[misc]
        """The preset without its figures of each column by itself: they cost as much as its table, and no page has
        them."""

        def generate_metrics(self, context: Any) -> list[Any]:
            return []

    methods = _register_tests({subject.column: check for subject, check in drawable})
    columns = [subject.column for subject, _ in drawable]
    numbers = [name for name in columns if isinstance(comparison.reference.columns[name], NumberColumn)]
    definition = DataDefinition(
        numerical_columns=numbers, categorical_columns=[name for name in columns if name not in numbers]
    )
    current, reference = (
        Dataset.from_pandas(_frame(table, columns), data_definition=definition)
        for table in (comparison.window, comparison.reference)
    )
    preset = TableOfColumns(
        columns=columns,
        per_column_method=methods,
        per_column_threshold={subject.column: float(check.threshold or 0.0) for subject, check in drawable},
        # One drifted column is a drift of the data set, as in the verdict.
        drift_share=round(0.5 / len(columns), 4),
    )
    return list(Report([preset], include_tests=False).run(current, reference)._widgets)


def _register_tests(checks: dict[str, Check]) -> dict[str, str]:
    """Register one test per measure, answering by the column's name; return each column's test."""
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    def answer(reference: Any, current: Any, feature_type: Any, threshold: float) -> tuple[float, bool]:
        check = checks[current.name]
        return float(check.score or 0.0), bool(check.detected)

    tests = {column: f"sentinel {measure(check)}" for column, check in checks.items()}
    for column, name in tests.items():
        test = StatTest(
            name=name,
            # What stands in Evidently's tables beside each figure.
            display_name=f"{measure(checks[column])}, all rows",
            allowed_feature_types=[ColumnType.Numerical, ColumnType.Categorical],
        )
        register_stattest(test, default_impl=answer)
    return tests


def _draw_quality(comparison: Comparison, omitted: list[str]) -> list[Any]:
    """The preset of the model's task; without the reference, the probabilities or both where it fails with them.

    It fails where a class has no label or, in two classes, neither label nor prediction.
    """
    card, window, reference = comparison.card, comparison.window_labelled, comparison.reference_labelled
    if window is None or card is None:
        return []
    if card.task != "regression":
        window = _of_known_classes(card, window, "window", omitted)
        reference = None if reference is None else _of_known_classes(card, reference, "reference", omitted)
        if not window.rows:
            return []
        reference = reference if reference is not None and reference.rows else None
    faults: list[str] = []
    for asked, beside, lacking in _ways_to_draw(card, reference):
        try:
            widgets = _quality_widgets(asked, window, beside)
        except Exception as error:  # noqa: BLE001 - a foreign library on arbitrary data; the next way asks less of it
            faults.append(_brief(error))
            continue
        if lacking:
            omitted.append(f"{_QUALITY}: drawn without {lacking} ({_why(card, window, reference) or faults[0]})")
        return widgets
    omitted.append(f"{_QUALITY}: not drawn ({_why(card, window, reference) or faults[0]})")
    return []


def _ways_to_draw(card: ModelCard, reference: Table | None) -> list[tuple[ModelCard, Table | None, str]]:
    """What Evidently is asked for in turn, each less than the one before, with what it then lacks."""
    ways: list[tuple[ModelCard, Table | None, str]] = [(card, reference, "")]
    if reference is not None:
        ways.append((card, None, "the reference"))
    if card.has_probabilities:
        plain = dataclasses.replace(card, has_probabilities=False)
        ways.append((plain, reference, "probabilities"))
        if reference is not None:
            ways.append((plain, None, "probabilities and the reference"))
    return ways


def _of_known_classes(card: ModelCard, table: Table, side: str, omitted: list[str]) -> Table:
    """The rows whose label is one of the model's classes; Evidently fails on another."""
    known = class_codes(card, table, LABEL) >= 0
    left_out = int(np.count_nonzero(~known))
    if left_out:
        omitted.append(f"{_QUALITY}: {left_out:,} rows of the {side} whose label is no class of the model are left out")
    return table.take(known) if left_out else table


def _why(card: ModelCard, window: Table, reference: Table | None) -> str:
    """What is odd about the labels, in words; empty where nothing is."""
    if card.task == "regression":
        return ""
    for table, side in ((window, "window"), (reference, "reference")):
        seen = set() if table is None else set(class_codes(card, table, LABEL).tolist())
        if len(seen) == 1:
            return f"the labels of the {side} are all of one class"
        missing = [class_text(label) for place, label in enumerate(card.classes) if place not in seen]
        if seen and missing:
            return f"no label of the {side} is of class {missing[0]!r}"
    return ""


def _quality_widgets(card: ModelCard, current: Table, reference: Table | None) -> list[Any]:
    from evidently import (
        BinaryClassification,
        DataDefinition,
        Dataset,
        MulticlassClassification,
        Regression,
        Report,
    )
    from evidently.presets import ClassificationPreset, RegressionPreset

    scores = probability_columns(card)
    if card.task == "regression":
        definition = DataDefinition(
            numerical_columns=[LABEL, PREDICTION], regression=[Regression(target=LABEL, prediction=PREDICTION)]
        )
        preset: Any = RegressionPreset()
        renames: dict[str, str] = {}
    elif len(card.classes) == 2 and card.positive_class is not None:
        positive = class_text(card.positive_class)
        task = BinaryClassification(
            target=LABEL,
            prediction_labels=PREDICTION,
            prediction_probas=probability_column(card.positive_class) if scores else None,
            pos_label=positive,
        )
        definition = DataDefinition(
            categorical_columns=[LABEL, PREDICTION], numerical_columns=list(scores), classification=[task]
        )
        preset, renames = ClassificationPreset(), {}
    else:
        # Evidently takes a class's probability from the column that bears the class's name.
        renames = {probability_column(label): class_text(label) for label in card.classes} if scores else {}
        many = MulticlassClassification(
            target=LABEL, prediction_labels=PREDICTION, prediction_probas=list(renames.values()) or None
        )
        definition = DataDefinition(
            categorical_columns=[LABEL, PREDICTION], numerical_columns=list(renames.values()), classification=[many]
        )
        preset = ClassificationPreset()
    columns = [LABEL, PREDICTION, *scores]
    datasets = [
        None
        if table is None
        else Dataset.from_pandas(_frame(table, columns).rename(columns=renames), data_definition=definition)
        for table in (current, reference)
    ]
    return list(Report([preset], include_tests=False).run(datasets[0], datasets[1])._widgets)


def _frame(table: Table, columns: Sequence[str]) -> Any:
    import pandas as pd

    data = {}
    for name in columns:
        column = table.columns[name]
        data[name] = (
            pd.Series(column.values) if isinstance(column, NumberColumn) else pd.Series(column.texts(), dtype=object)
        )
    return pd.DataFrame(data)


def _document(sections: Sequence[tuple[str, list[Any]]]) -> str:
    """Evidently's page, with its data escaped.

    Evidently writes its JSON into a script element as it is, so that a category named `</script>` would end
    the element and the rest would run. Inside JSON `<` occurs in texts alone, where \\u003c means the same.
    """
    import uuid

    from evidently.legacy.model.dashboard import DashboardInfo
    from evidently.legacy.model.widget import AdditionalGraphInfo, BaseWidgetInfo
    from evidently.legacy.renderers.html_widgets import group_widget
    from evidently.legacy.utils import NumpyEncoder
    from evidently.legacy.utils.dashboard import TemplateParams, dashboard_info_to_json, file_html_template

    groups = [group_widget(title=title, widgets=widgets) for title, widgets in sections]
    graphs: dict[str, Any] = {}
    for group in groups:
        for graph in group.get_additional_graphs():
            info = graph.params if isinstance(graph, AdditionalGraphInfo) else graph
            graphs[str(graph.id)] = info.dict() if isinstance(info, BaseWidgetInfo) else info
    dashboard_id = f"report_{uuid.uuid4().hex}"
    info = DashboardInfo(name="Report", widgets=groups)
    page: str = file_html_template(TemplateParams(dashboard_id, info, graphs, embed_data=False))
    widgets_json = dashboard_info_to_json(info).replace("<", "\\u003c")
    graphs_json = json.dumps(graphs, cls=NumpyEncoder).replace("<", "\\u003c")
    graphs_name = f"additional_graphs_{dashboard_id}"
    data = f"<script>\nvar {dashboard_id} = {widgets_json};\nvar {graphs_name} = {graphs_json};\n</script>"
    placeholder = "<!-- no embedded data -->"
    if placeholder not in page:
        raise LookupError("its template has no place for the data")
    return page.replace(placeholder, data, 1)


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
