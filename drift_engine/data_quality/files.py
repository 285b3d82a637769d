"""What of the logs could not be used: values of a wrong type, damaged lines, segments of another schema or version."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from drift_engine.data_quality.findings import counted, first_few, graded
from drift_engine.reading.live_log import LiveRows
from drift_engine.reading.refusals import Refusals
from drift_engine.results.schema import InputFile, QualityFinding
from drift_engine.sentences import percent, printable
from gateway.log import labels, predictions, refusals
from gateway.log.line import header_line
from gateway.log.segment import UnreadableSegment, parse_name
from gateway.registry import ModelCard

#: Reasons to drop a line that speak of a value's type.
_WRONG_TYPE = ("unreadable value", "unreadable line", "unreadable label", "unreadable refusal")


def file_faults(card: ModelCard, live: LiveRows, refused: Refusals) -> Iterator[QualityFinding]:
    """Findings about whole lines and files of all logs."""
    rows = int(live.in_window.sum())
    dropped, inputs = live.dropped | refused.dropped, (*live.inputs, *refused.inputs)
    wrong = {reason: dropped[reason] for reason in _WRONG_TYPE if reason in dropped}
    if wrong:
        count = sum(wrong.values())
        told = ", ".join(f"{reason}: {number:,}" for reason, number in wrong.items())
        sentence = f"{counted(count, 'line')} with an intact checksum cannot be read as the model's columns ({told})"
        share = count / (rows + count)
        yield QualityFinding("wrong type", "", count, share, graded(share, "warning"), sentence)
    foreign = [file for file in inputs if _is_foreign(card, file)]
    if foreign:
        share = len(foreign) / len(inputs)
        sentence = (
            f"{counted(len(foreign), 'segment')} of {len(inputs)} read, written for other columns than those of "
            f"{card.name} {card.version}, or in a newer format: no row of them is used"
        )
        examples = first_few(printable(file.path) for file in foreign)
        yield QualityFinding("schema mismatch", "", len(foreign), share, "high", sentence, examples)
    damaged = [file for file in inputs if file.corrupt_lines and file not in foreign]
    count = live.corrupt + refused.corrupt - len(foreign)
    if count > 0 and damaged:
        share = count / (rows + count)
        sentence = f"{counted(count, 'damaged line')} that may belong to the window ({percent(share)}); 'make verify'"
        examples = first_few(
            printable(f"{PurePosixPath(file.path).name}: {file.corrupt[0].reason}") for file in damaged
        )
        yield QualityFinding("damaged lines", "", count, share, graded(share, "warning"), sentence, examples)


def _is_foreign(card: ModelCard, file: InputFile) -> bool:
    """Whether a segment's name says that it was begun with another header, or is of another format."""
    match file.log:
        case "predictions":
            columns = predictions.columns(card)
        case "labels":
            columns = labels.columns(card)
        case "refusals":
            columns = refusals.columns()
    try:
        return parse_name(Path(file.path)).header_crc != zlib.crc32(header_line(columns))
    except UnreadableSegment:
        return True
