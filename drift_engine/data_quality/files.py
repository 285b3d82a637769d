"""What of the log could not be used: values of a wrong type, damaged lines, segments of another schema or version.

Requests that the gateway refused for a value of a wrong type never reach the log. They are counted by the gateway
(`model_prediction_errors_total`), without the time at which each came, so that no result could state them twice alike.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from drift_engine.data_quality.findings import counted, first_few, graded
from drift_engine.reading.live_log import LiveRows
from drift_engine.results.schema import InputFile, QualityFinding
from drift_engine.sentences import percent, printable
from gateway.log import labels, predictions
from gateway.log.line import header_line
from gateway.log.segment import UnreadableSegment, parse_name
from gateway.registry import ModelCard

#: Reasons of `LiveRows.dropped` that speak of a value's type.
_WRONG_TYPE = ("unreadable value", "unreadable line", "unreadable label")


def file_faults(card: ModelCard, live: LiveRows) -> Iterator[QualityFinding]:
    """Findings about whole lines and files of both logs."""
    rows = int(live.in_window.sum())
    wrong = {reason: live.dropped[reason] for reason in _WRONG_TYPE if reason in live.dropped}
    if wrong:
        count = sum(wrong.values())
        told = ", ".join(f"{reason}: {number:,}" for reason, number in wrong.items())
        sentence = f"{counted(count, 'line')} with an intact checksum cannot be read as the model's columns ({told})"
        share = count / (rows + count)
        yield QualityFinding("wrong type", "", count, share, graded(share, "warning"), sentence)
    foreign = [file for file in live.inputs if _is_foreign(card, file)]
    if foreign:
        share = len(foreign) / len(live.inputs)
        sentence = (
            f"{counted(len(foreign), 'segment')} of {len(live.inputs)} read, written for other columns than those of "
            f"{card.name} {card.version}, or in a newer format: no row of them is used"
        )
        examples = first_few(printable(file.path) for file in foreign)
        yield QualityFinding("schema mismatch", "", len(foreign), share, "high", sentence, examples)
    damaged = [file for file in live.inputs if file.corrupt_lines and file not in foreign]
    if live.corrupt > len(foreign) and damaged:
        count = live.corrupt - len(foreign)
        share = count / (rows + count)
        sentence = f"{counted(count, 'damaged line')} that may belong to the window ({percent(share)}); 'make verify'"
        examples = first_few(
            printable(f"{PurePosixPath(file.path).name}: {file.corrupt[0].reason}") for file in damaged
        )
        yield QualityFinding("damaged lines", "", count, share, graded(share, "warning"), sentence, examples)


def _is_foreign(card: ModelCard, file: InputFile) -> bool:
    """Whether a segment's name says that it was begun with another header, or is of another format."""
    columns = predictions.columns(card) if file.log == "predictions" else labels.columns(card)
    try:
        return parse_name(Path(file.path)).header_crc != zlib.crc32(header_line(columns))
    except UnreadableSegment:
        return True
