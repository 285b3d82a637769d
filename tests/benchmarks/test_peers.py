"""The servers that the gateway is compared with. Only the one that needs no environment of its own starts here."""

from __future__ import annotations

import sys
from pathlib import Path

import joblib
import numpy as np
import pytest

from benchmarks.comparison import Work, WrongAnswer, check_answers
from benchmarks.peers import installation
from benchmarks.peers.catalogue import PEERS, Row
from benchmarks.servers import NotStarted, peer
from gateway.registry.artifact import load_verified
from tests.models import COLUMNS, number_table, register_numbers
from tests.running import Place

FLASK = next(known for known in PEERS if known.name == "flask")


def small_work(folder: Path) -> Work:
    """A forest on five numbers, three rows."""
    place = Place(folder)
    card = register_numbers(place.registry, folder)
    model = load_verified(place.registry.folder(card.name, card.version), card)
    joblib.dump(model, folder / "model.joblib")
    table = number_table(3, seed=3)[COLUMNS]
    rows: list[Row] = [dict(zip(COLUMNS, values, strict=True)) for values in table.to_numpy().tolist()]
    return Work(card, folder / "model.joblib", rows, [rows], model.predict_proba(table[:1]), model.predict_proba(table))


def test_a_peer_is_measured_only_with_the_right_answers(tmp_path: Path) -> None:
    """Flask round the same model answers as scikit-learn does; compared with another model's answers it does not."""
    work = small_work(tmp_path)
    body = FLASK.dialect.one_body(work.singles[0])
    with peer(tmp_path, FLASK, Path(sys.executable), work.model, body) as server:
        check_answers(server.url, FLASK.dialect, work)
        wrong = Work(work.card, work.model, work.singles, work.batches, work.single, work.batch[::-1])
        with pytest.raises(WrongAnswer, match="answered 3 rows otherwise"):
            check_answers(server.url, FLASK.dialect, wrong)


def test_a_peer_that_ends_is_named_with_its_last_words(tmp_path: Path) -> None:
    """Without a model to load it cannot start: that is said, and not waited for."""
    with (
        pytest.raises(NotStarted, match="exit code"),
        peer(tmp_path, FLASK, Path(sys.executable), tmp_path / "no.joblib", b"{}"),
    ):
        pass


@pytest.mark.parametrize("known", PEERS, ids=lambda known: known.name)
def test_every_peer_is_asked_for_all_values_of_all_rows(known: object) -> None:
    """Whatever the dialect, the numbers of two rows are all in the request, in order."""
    assert isinstance(known, type(FLASK))
    rows: list[Row] = [{"a": 0.125, "b": 0.25}, {"a": 0.375, "b": 0.5}]
    many, one = known.dialect.many_body(rows).decode(), known.dialect.one_body(rows[0]).decode()
    places = [many.index(text) for text in ("0.125", "0.25", "0.375", "0.5")]
    assert places == sorted(places)
    assert "0.125" in one
    assert "0.25" in one
    assert "0.375" not in one


def test_probabilities_of_the_v2_protocol_are_a_flat_tensor() -> None:
    """MLServer answers with a shape and a flat list."""
    (mlserver,) = [known for known in PEERS if known.name == "mlserver"]
    output = {"name": "predict_proba", "shape": [2, 2], "data": [0.1, 0.9, 0.6, 0.4]}
    assert np.array(mlserver.dialect.probabilities({"outputs": [output]})).tolist() == [[0.1, 0.9], [0.6, 0.4]]


def test_an_environment_that_cannot_be_installed_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer without its packages is left out of the comparison, with pip's own reason, and tried again next time."""
    (tmp_path / "none.txt").write_text(f"--requirement {tmp_path}/nowhere.txt\n")
    monkeypatch.setattr(installation, "_REQUIREMENTS", tmp_path)
    monkeypatch.setattr(installation, "ENVIRONMENTS", tmp_path / "venvs")
    with pytest.raises(installation.NotInstalled, match=r"nowhere\.txt"):
        installation.python_of("none")
    assert not (tmp_path / "venvs" / "none" / "installed").exists()


def test_every_peer_has_pinned_requirements() -> None:
    """Each package that an environment names is pinned, so that a figure can be made again."""
    for name in {known.environment for known in PEERS} - {None}:
        assert installation.versions(str(name))
