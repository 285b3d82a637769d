"""Golden files pin the formats: what an earlier version wrote is read, and what is written stays the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateway.registry import Feature, Metric, ModelCard, Registry, Serving, pointer
from gateway.registry.card import Artifact, CorruptCard, FileRecord, decode, encode
from gateway.registry.check_rows import CheckRows, read_check_rows
from gateway.registry.pointer import Split

GOLDEN = Path(__file__).parent / "golden"

CARD = ModelCard(
    name="fraud",
    version="2026-11",
    task="binary",
    features=(
        Feature("amount", "number", False, None, 0.1, 2600.0),
        Feature("visits", "integer", True, None, 0.0, 19.0),
        Feature("job", "category", True, ("clerk", 'a, "b"', "Köln")),
        Feature("known", "boolean"),
    ),
    target="y",
    classes=(False, True),
    positive_class=True,
    has_probabilities=True,
    prediction_is_argmax=True,
    input_form="dataframe",
    artifact=Artifact("skops", FileRecord("model.skops", "a" * 64, 1234), ("sklearn.tree._tree.Tree",)),
    check_rows=FileRecord("check.npz", "b" * 64, 567),
    reference=FileRecord("2026-11.parquet", "c" * 64, 89_012),
    reference_rows=5000,
    baseline=(
        Metric("accuracy", 0.93, 0.9226, 0.9368, None, "wilson"),
        Metric("f1_score", 0.8, 0.75, 0.84, "positive", "wilson"),
        Metric("brier", 0.05, None, None),
    ),
    created_at="2026-11-20T15:11:39.123456Z",
    estimator="Pipeline(ColumnTransformer, RandomForestClassifier)",
    libraries={"python": "3.11.2", "scikit-learn": "1.9.1"},
    importances={"amount": 0.5, "visits": 0.25, "job": 0.25, "known": 0.0},
)
CHECK = CheckRows(
    rows=((0.1, 3, 'a, "b"', True), (1e308, None, None, False)),
    predictions=np.array(["true", "false"]),
    probabilities=np.array([[0.25, 0.75], [1 / 3, 2 / 3]]),
)


def test_the_card_is_written_as_before() -> None:
    """Byte for byte; a change here is a change of the format."""
    assert encode(CARD) == (GOLDEN / "model.json").read_bytes()


def test_a_card_of_before_unseen_values_is_read() -> None:
    """The field came later; without it each type goes its own way."""
    assert decode((GOLDEN / "model-without-unseen.json").read_bytes(), "golden") == CARD


def test_the_card_is_read_as_before() -> None:
    """Every field, and the JSON type of every class."""
    found = decode((GOLDEN / "model.json").read_bytes(), "golden")
    assert found == CARD
    assert [type(label) for label in found.classes] == [bool, bool]


def test_check_rows_of_an_earlier_version_are_read() -> None:
    """Values, missing ones and probabilities."""
    found = read_check_rows(GOLDEN / "check.npz")
    assert found.rows == CHECK.rows
    np.testing.assert_array_equal(found.predictions, CHECK.predictions)
    np.testing.assert_array_equal(found.probabilities, CHECK.probabilities)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"format_version": 1', b'"format_version": 2', "newer than this program"),
        (b'"sentinelml.model"', b'"other"', "not a 'sentinelml.model'"),
        (b'"binary"', b'"ternary"', "task"),
        (b"}", b"", "golden"),
    ],
)
def test_other_cards_are_refused(old: bytes, new: bytes, reason: str) -> None:
    """A newer format, another file, an impossible value, a torn file: each with its reason."""
    data = (GOLDEN / "model.json").read_bytes().replace(old, new)
    with pytest.raises(CorruptCard, match=reason):
        decode(data, "golden")


SERVING = Serving(
    default_model="fraud",
    versions={"fraud": "2026-11", "bank": "1"},
    splits={"fraud": Split("2026-12", 0.1)},
    shadows={"bank": "2"},
    earlier={"fraud": ("2026-09", "2026-10")},
)


def test_the_serving_pointer_is_written_and_read_as_documented(tmp_path: Path) -> None:
    """Byte for byte; a card in the wrong folder is refused."""
    registry = Registry(tmp_path / "models", tmp_path / "reference")
    registry.set_serving(SERVING)
    assert (registry.models / "serving.json").read_bytes() == (GOLDEN / "serving-v2.json").read_bytes()
    assert registry.serving() == SERVING
    (registry.models / "fraud" / "1").mkdir(parents=True)
    (registry.models / "fraud" / "1" / "model.json").write_bytes(encode(CARD))
    with pytest.raises(CorruptCard, match=r"says it is fraud 2026-11"):
        registry.card("fraud", "1")


def test_a_serving_pointer_of_the_first_format_is_read_and_replaced_by_the_present_one(tmp_path: Path) -> None:
    """What it said still holds; it knew of nothing else."""
    registry = Registry(tmp_path / "models", tmp_path / "reference")
    registry.models.mkdir()
    (registry.models / "serving.json").write_bytes((GOLDEN / "serving-v1.json").read_bytes())
    found = registry.serving()
    assert (found.default_model, found.versions) == (SERVING.default_model, SERVING.versions)
    assert (found.splits, found.shadows, found.earlier) == ({}, {}, {})
    registry.set_serving(found)
    assert registry.serving() == Serving(SERVING.default_model, SERVING.versions)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"format_version": 2', b'"format_version": 3', "newer than this program"),
        # What a newer format holds may be anything: that it is newer is what to say.
        (b'"format_version": 2', b'"format_version": 3, "versions": []', "newer than this program"),
        (b'"share": 0.1', b'"share": 1.5', "share"),
        (b'"share": 0.1', b'"share": 0', "share"),
        (b"}", b"", "golden"),
    ],
)
def test_other_serving_pointers_are_refused(old: bytes, new: bytes, reason: str) -> None:
    """A newer format, a share that is none, a torn file: each with its reason."""
    data = (GOLDEN / "serving-v2.json").read_bytes().replace(old, new)
    with pytest.raises(CorruptCard, match=reason):
        pointer.decode(data, "golden")
