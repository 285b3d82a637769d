"""A replay as a page: how many answers change, from what to what, where, and which of both versions is right."""

from __future__ import annotations

from drift_engine.charts import axis_for, bar_chart
from drift_engine.pages import rendered
from drift_engine.replay.schema import Replay
from drift_engine.sentences import number, percent


def headline(replay: Replay) -> str:
    """The finding in a few words."""
    if replay.is_itself:
        if replay.differing:
            return f"The log is not reproduced: {replay.differing:,} of {replay.rows:,} answers differ"
        return f"The log is reproduced: all {replay.rows:,} answers are equal"
    share = replay.changed
    what = "predictions change" if share.count != 1 else "prediction changes"
    return f"{percent(share.share)} of the answers change: {share.count:,} of {share.of:,} {what}"


def tone(replay: Replay) -> str:
    """How the finding is coloured."""
    if replay.is_itself:
        return "worse" if replay.differing else "better"
    if replay.comparison is None:
        return "unsure"
    return {"better": "better", "worse": "worse", "no difference": "unsure"}[replay.comparison.verdict]


def details(replay: Replay) -> tuple[str, ...]:
    """Sentences under the headline."""
    found = []
    if replay.is_itself:
        found.append(f"largest difference of any number: {number(replay.largest_difference)} (1e-9 is allowed)")
    else:
        share = replay.changed
        found.append(f"95 % interval of that share {percent(share.lower)} to {percent(share.upper)}")
        if replay.comparison is not None:
            found.append(f"version {replay.model_version} where labels are known: {replay.comparison.sentence}")
        else:
            found.append(replay.comparison_reason or "which version is right is not known")
    if replay.refused_rows:
        reasons = "; ".join(f"{reason} ({count:,})" for reason, count in replay.refused.items())
        found.append(f"{replay.refused_rows:,} further rows it would refuse: {reasons}")
    return tuple(found)


def replay_page(replay: Replay) -> str:
    """A self-contained HTML page."""
    spread = replay.spread
    bars = [
        (start, end, float(count))
        for start, end, count in zip(spread.edges, spread.edges[1:], spread.counts, strict=False)
    ]
    says = f"Rows by change of the {spread.what}, new minus old, in {len(bars)} equal steps."
    chart = bar_chart(
        bars,
        axis_for([spread.edges[0], spread.edges[-1]], f"change of the {spread.what}"),
        axis_for([0.0, float(max(spread.counts))], "rows", within=(0.0, float("inf"))),
        says,
    )
    return rendered(
        "replay.html.j2",
        r=replay,
        tone=tone(replay),
        headline=headline(replay),
        details=details(replay),
        chart=chart,
        says=says,
    )
