"""What came of labels, in words for people."""

from __future__ import annotations

from drift_engine.results.quality import LabelCounts
from drift_engine.sentences import percent


def label_words(counts: LabelCounts) -> str:
    """One sentence, without its full stop.

    >>> from drift_engine.results.quality import Quantiles
    >>> delays = Quantiles(1.0, 86400.0 * 7, 86400.0 * 8, 86400.0 * 9, 86400.0 * 9)
    >>> label_words(LabelCounts("2026-11-04T15:00:00.000000Z", 900, 600, 2 / 3, 605, 2, 3, 5, None, delays, None, None))
    '600 of 900 predictions since 2026-11-04 15:00 have a label (67 %), half of them within 7.0 days and 90 % within \
8.0 days; 2 repeats, 3 corrected, 5 of the window for others'
    """
    since = f"{counts.since[:10]} {counts.since[11:16]}"
    said = f"{counts.labelled:,} of {counts.predictions:,} predictions since {since} have a label"
    if counts.coverage is not None:
        said += f" ({percent(counts.coverage)})"
    if counts.delay_seconds is not None:
        delays = counts.delay_seconds
        said += f", half of them within {_duration(delays.p50)} and 90 % within {_duration(delays.p90)}"
    rest = [
        (counts.repeated, "repeats"),
        (counts.corrected, "corrected"),
        (counts.elsewhere, "of the window for others"),
    ]
    told = ", ".join(f"{count:,} {what}" for count, what in rest if count)
    return f"{said}; {told}" if told else said


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
