"""Labels from a file: judged as /feedback judges them, all or nothing, and any number of times."""

from __future__ import annotations

import fcntl
import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from gateway import import_labels as module
from gateway.clock import utc_text
from gateway.import_labels import Imported, ImportRefused, InvalidLines, import_labels
from gateway.label_file import UnreadableFile
from gateway.log import labels
from gateway.log.line import header_line
from gateway.log.writer import SegmentWriter
from gateway.registry import ModelCard
from gateway.settings import GatewaySettings, Paths
from tests.gateway.cards import card
from tests.logs import label_rows
from tests.models import register_numbers
from tests.running import Place

NOW = 1_770_000_000.0
CARD = card()
VALUE = card(task="regression", classes=(), positive_class=None, has_probabilities=False)
IDS = [str(uuid.UUID(int=number)) for number in range(1, 100)]


def table(tmp_path: Path, *lines: str, header: str = "request_id,instance,label,observed_at") -> Path:
    """A CSV file."""
    path = tmp_path / "labels.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def run(file: Path, tmp_path: Path, model: ModelCard = CARD, *, at: float = NOW, **options: Any) -> Imported:
    """Import into `tmp_path`."""
    return import_labels(file, model, Paths(data=tmp_path / "data"), GatewaySettings(), clock=lambda: at, **options)


def logged(tmp_path: Path, model: ModelCard = CARD) -> list[dict[str, Any]]:
    """The rows of the label log, without what the writer adds."""
    rows = label_rows(tmp_path / "data" / "live", model)
    return [{name: row[name] for name in row if name not in ("seq", "crc32")} for row in rows]


def test_every_line_becomes_a_label_with_what_it_says(tmp_path: Path) -> None:
    """Ids, instance, label, and time in UTC; an empty field is a value that is not given."""
    file = table(tmp_path, f"{IDS[0]},,1,", f"{IDS[0].upper()},3,0,2026-01-01T01:00:00+01:00")
    assert run(file, tmp_path) == Imported(recorded=2, known=0, repeated=0, skipped=0)
    common = {"request_id": IDS[0], "client_id": None, "received_at": utc_text(NOW)}
    assert logged(tmp_path) == [
        {**common, "instance": 0, "label": "1", "observed_at": None},
        {**common, "instance": 3, "label": "0", "observed_at": "2026-01-01T00:00:00.000000Z"},
    ]


def test_both_ids_may_have_a_column_and_texts_may_be_quoted(tmp_path: Path) -> None:
    """Quotes, commas and a byte order mark, as spreadsheets write them; lines may end in CR LF."""
    path = tmp_path / "labels.csv"
    text = f'\ufefflabel,client_id,request_id\r\n1,"order ""7"", x",\r\n\r\n0,,{IDS[0]}\r\n'
    path.write_bytes(text.encode())
    assert run(path, tmp_path).recorded == 2
    assert [(row["client_id"], row["request_id"]) for row in logged(tmp_path)] == [
        ('order "7", x', None),
        (None, IDS[0]),
    ]
    assert run(path, tmp_path).known == 2


@pytest.mark.parametrize(
    ("model", "text", "recorded"),
    [
        (CARD, "1", "1"),
        (CARD, "1.0", "1"),
        (card(classes=(False, True), positive_class=True), "True", "true"),
        (card(classes=("no", "1.0"), positive_class="no"), "1.0", "1.0"),
        (VALUE, "3", 3.0),
        (VALUE, "-1.5e-3", -0.0015),
    ],
)
def test_a_label_is_taken_as_tables_write_it(
    tmp_path: Path, model: ModelCard, text: str, recorded: str | float
) -> None:
    """A column of integers with gaps comes out of pandas as 1.0, one of booleans as True."""
    file = table(tmp_path, f"{IDS[0]},0,{text},")
    assert run(file, tmp_path, model).recorded == 1
    assert [row["label"] for row in logged(tmp_path, model)] == [recorded]
    assert run(file, tmp_path, model) == Imported(recorded=0, known=1, repeated=0, skipped=0)


WRONG = [
    f"{IDS[0]},0,1,",
    f"{IDS[1]},0,2,",
    ",0,1,",
    f"{IDS[2]},-1,1,yesterday",
    f"{IDS[3]},0,1",
    "not a uuid,x,,",
    f"{IDS[0]},0,0,",
    f"{IDS[4]},0,0,",
]


def test_all_faults_are_named_by_line_and_nothing_is_written(tmp_path: Path) -> None:
    """One look at the file, then everything that is wrong with it."""
    with pytest.raises(InvalidLines) as refused:
        run(table(tmp_path, *WRONG), tmp_path)
    assert [(fault.line, fault.column) for fault in refused.value.file.faults] == [
        (3, "label"),
        (4, ""),
        (5, "instance"),
        (5, "observed_at"),
        (6, ""),
        (7, "request_id"),
        (7, "instance"),
        (7, "label"),
        (8, "label"),
    ]
    assert refused.value.file.faults[-1].detail == "line 2 has another label for the same prediction"
    assert not (tmp_path / "data").exists()


def test_invalid_lines_are_skipped_and_counted_when_asked(tmp_path: Path) -> None:
    """The others are recorded, and a second import changes nothing."""
    file = table(tmp_path, *WRONG)
    assert run(file, tmp_path, skip_invalid=True) == Imported(recorded=2, known=0, repeated=0, skipped=6)
    assert run(file, tmp_path, skip_invalid=True) == Imported(recorded=0, known=2, repeated=0, skipped=6)
    assert [row["request_id"] for row in logged(tmp_path)] == [IDS[0], IDS[4]]


def test_an_import_adds_only_what_the_log_does_not_say_yet(tmp_path: Path) -> None:
    """A repeat is skipped, a correction recorded; the newest label counts, also one that came by /feedback."""
    assert run(table(tmp_path, f"{IDS[0]},0,1,", f"{IDS[1]},0,1,", f"{IDS[1]},0,1,"), tmp_path) == Imported(2, 0, 1, 0)
    assert run(table(tmp_path, f"{IDS[0]},0,1,", f"{IDS[1]},0,0,"), tmp_path, at=NOW + 1) == Imported(1, 1, 0, 0)
    assert run(table(tmp_path, f"{IDS[0]},0,1,", f"{IDS[1]},0,1,"), tmp_path, at=NOW + 2) == Imported(1, 1, 0, 0)
    folder, header = labels.folder(tmp_path / "data" / "live", CARD.name), header_line(labels.columns(CARD))
    writer = SegmentWriter(folder, labels.PREFIX, header)
    writer.append([labels.LabelEncoder(CARD).encode(IDS[0], None, 0, "0", None, utc_text(NOW + 3))])
    writer.close()
    assert run(table(tmp_path, f"{IDS[0]},0,1,"), tmp_path, at=NOW + 4) == Imported(1, 0, 0, 0)
    assert [row["label"] for row in logged(tmp_path) if row["request_id"] == IDS[1]].count("1") == 2


def test_a_correction_from_the_past_is_refused(tmp_path: Path) -> None:
    """The newest label wins, so that one recorded under a clock that went back would have no effect, silently."""
    run(table(tmp_path, f"{IDS[0]},0,1,"), tmp_path)
    with pytest.raises(ImportRefused, match="check the clock"):
        run(table(tmp_path, f"{IDS[0]},0,0,"), tmp_path, at=NOW - 60)


def test_an_import_that_was_stopped_is_finished_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recorded is skipped; every label is there once."""
    monkeypatch.setattr(module, "BATCH", 10)
    file = table(tmp_path, *[f"{request},0,1," for request in IDS])

    def stop(what: str, count: int) -> None:
        if (what, count) == ("labels recorded", 30):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(file, tmp_path, progress=stop)
    assert run(file, tmp_path) == Imported(recorded=69, known=30, repeated=0, skipped=0)
    assert sorted(row["request_id"] for row in logged(tmp_path)) == IDS


def test_what_cannot_be_recorded_is_said(tmp_path: Path) -> None:
    """No disk, no label."""
    folder = labels.folder(tmp_path / "data" / "live", CARD.name)
    folder.parent.mkdir(parents=True)
    folder.write_text("in the way")
    with pytest.raises(ImportRefused, match="0 of 1 labels are recorded"):
        run(table(tmp_path, f"{IDS[0]},0,1,"), tmp_path)


def test_two_imports_at_once_are_one_too_many(tmp_path: Path) -> None:
    """Neither would see what the other records."""
    locks = tmp_path / "data" / "state" / "locks"
    locks.mkdir(parents=True)
    fd = os.open(locks / f"labels-{CARD.name}.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(ImportRefused, match="another import"):
        run(table(tmp_path, f"{IDS[0]},0,1,"), tmp_path)
    os.close(fd)
    assert run(table(tmp_path, f"{IDS[0]},0,1,"), tmp_path).recorded == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"request_id;label\nx;1\n", "unknown column 'request_id;label'"),
        (b"request_id,label,label\n", "column 'label' stands twice"),
        (b"label\n1\n", "no column 'request_id' or 'client_id'"),
        (b"client_id\n1\n", "no column 'label'"),
        (b"client_id,label\na,1\n\xff,1\n", "is not UTF-8"),
        (b'client_id,label\na,1\n"b,1\n', "is not CSV"),
    ],
)
def test_a_file_that_is_no_table_of_labels_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """With one plain sentence, and also when invalid lines are to be skipped."""
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=reason):
        run(path, tmp_path, skip_invalid=True)


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    """Counts on stdout and 0; or every fault with file and line on stderr, and 1."""
    place = Place(tmp_path)
    register_numbers(place.registry, tmp_path / "in")
    file = table(tmp_path, f"{IDS[0]},0,1,", f"{IDS[1]},0,0,")
    done = place.run("-m", "gateway.import_labels", str(file), "--name", "numbers")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("numbers: 2 labels recorded;")
    file = table(tmp_path, f"{IDS[0]},0,7,")
    refused = place.run("-m", "gateway.import_labels", str(file))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        f"{file}:2: label: must be one of 0, 1\nrefused: 1 of 1 lines are not acceptable; nothing was recorded\n"
    )
    assert place.run("-m", "gateway.import_labels", str(tmp_path / "none.csv")).returncode == 1
    assert place.run("-m", "gateway.import_labels", str(file), "--name", "other").returncode == 1
    assert place.run("-m", "gateway.import_labels").returncode == 2
