"""Verifying: a table of named tamperings, each found with its place, and nothing found where nothing is wrong."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.log.__main__ import main
from gateway.log.line import id_checksum, seal_line
from gateway.log.manifest import BLOCK_BYTES, FILE, read_chain
from gateway.log.retention import expire
from gateway.log.segment import create, parse_name
from gateway.log.settings import LogSettings
from gateway.log.verify import Finding, verify
from tests.gateway.log.rows import HEADER, payload
from tests.gateway.log.sealed import NOON, seal_all, sealed_entries, verified, write_segment

ROWS = 20


@dataclass(frozen=True)
class Place:
    """Three sealed segments under `live`, in the order of the chain, and the head that was witnessed."""

    live: Path
    paths: tuple[Path, Path, Path]
    head: str

    @property
    def chain(self) -> Path:
        """The chain's file."""
        return self.live / FILE

    def chain_lines(self) -> list[bytes]:
        """The lines of the chain."""
        return self.chain.read_bytes().splitlines(keepends=True)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Three sealed segments of 20 rows."""
    live = tmp_path / "data" / "live"
    for number in range(3):
        write_segment(live, ROWS, first=number * 1000)
    head = seal_all(live).head
    first, second, third = (live / entry.path for entry in sealed_entries(live))
    return Place(live, (first, second, third), head)


def rewrite(path: Path, content: bytes) -> None:
    """Replace a sealed file's content as someone with the rights to do so would, leaving its mode."""
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(0o444)


def line_offsets(path: Path) -> list[int]:
    """Where each line of a file begins, the header first."""
    offsets = [0]
    for line in path.read_bytes().splitlines(keepends=True)[:-1]:
        offsets.append(offsets[-1] + len(line))
    return offsets


def with_line(path: Path, number: int, payload_bytes: bytes) -> bytes:
    """The content of a segment with another row as its line `number`, its checksum recomputed."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number] = seal_line(number - 1, payload_bytes, id_checksum(parse_name(path).segment_id))
    return b"".join(lines)


def test_intact_logs_have_no_findings(place: Place) -> None:
    """Open, closed and sealed segments side by side: rows and bytes are all of them."""
    write_segment(place.live, 5)
    open_segment = create(place.live / "loans" / "1", "live_predictions", HEADER, NOON)
    os.write(open_segment.fd, seal_line(0, payload(0), id_checksum(open_segment.segment_id)) + b"1,half a li")
    found = verified(place.live, place.head)
    os.close(open_segment.fd)
    assert found.findings == ()
    assert (found.result.segments, found.result.sealed, found.result.rows) == (5, 3, 3 * ROWS + 6)
    assert found.result.bytes == sum(path.stat().st_size for path in place.live.rglob("*.csv"))
    assert found.result.head == place.head
    assert [kind for _, kind, _ in verified(place.live).damages()] == ["cut line"], "its writer is gone now"


def flip_a_byte(place: Place) -> list[tuple[str, str, int | None]]:
    """One byte of a row."""
    path = place.paths[1]
    content = bytearray(path.read_bytes())
    at = line_offsets(path)[7]
    content[at + 50] ^= 1
    rewrite(path, bytes(content))
    return [(path.name, "edited", None), (path.name, "edited", at)]


def edit_with_checksum(place: Place) -> list[tuple[str, str, int | None]]:
    """A row's amount, its line's checksum recomputed: no line is wrong in itself."""
    path = place.paths[1]
    # A checksum has nine or ten digits: take a value that leaves the file as long as it was.
    edited = (with_line(path, 7, payload(1006, amount=tenths / 10)) for tenths in range(20, 99))
    rewrite(path, next(content for content in edited if len(content) == path.stat().st_size))
    return [(path.name, "edited", None), (path.name, "edited", 0)]


def edit_with_all_checksums(place: Place) -> list[tuple[str, str, int | None]]:
    """As before, and the row's id is chosen so that the line's and the block's checksum are the old ones: CRCs are
    no protection against intent, the SHA-256 is."""
    path = place.paths[1]
    original = path.read_bytes()
    lines = original.splitlines(keepends=True)
    forged = forge(original, line_offsets(path)[7], lines[7].replace(b",1.5,", b",2.5,"))
    rewrite(path, forged)
    assert zlib.crc32(forged) == zlib.crc32(original)
    return [(path.name, "edited", None), (path.name, "edited", 0)]


def forge(original: bytes, at: int, line: bytes) -> bytes:
    """`original` with `line` at `at` and four bytes of its uuid set so that the CRC-32 of all of it stays."""
    wanted = zlib.crc32(original)
    content = bytearray(original)
    content[at : at + len(line)] = line
    hole = at + 5
    # CRC-32 is affine: learn what each of the 32 bits in the hole does, then solve for the wanted sum.
    content[hole : hole + 4] = bytes(4)
    base = zlib.crc32(content)
    rows = []
    for bit in range(32):
        content[hole : hole + 4] = (1 << bit).to_bytes(4, "little")
        rows.append((zlib.crc32(content) ^ base, 1 << bit))
    solution, target = 0, wanted ^ base
    for column in range(31, -1, -1):
        pivot = next(row for row in rows if row[0] >> column & 1)
        rows = [
            (row[0] ^ pivot[0], row[1] ^ pivot[1]) if row[0] >> column & 1 else row for row in rows if row is not pivot
        ]
        if target >> column & 1:
            target, solution = target ^ pivot[0], solution ^ pivot[1]
    content[hole : hole + 4] = solution.to_bytes(4, "little")
    return bytes(content)


def swap_rows(place: Place) -> list[tuple[str, str, int | None]]:
    """Two rows of a sealed segment: both are whole, their order is not."""
    path = place.paths[0]
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3], lines[4] = lines[4], lines[3]
    rewrite(path, b"".join(lines))
    at = line_offsets(path)
    return [(path.name, "edited", None), *((path.name, "edited", at[number]) for number in (3, 4, 5))]


def delete_a_row(place: Place) -> list[tuple[str, str, int | None]]:
    """A whole line is gone: the file is shorter, and seq does not go on."""
    path = place.paths[0]
    before = path.stat().st_size
    at = line_offsets(path)[6]
    lines = path.read_bytes().splitlines(keepends=True)
    gone = lines.pop(6)
    rewrite(path, b"".join(lines))
    assert path.stat().st_size == before - len(gone)
    return [(path.name, "edited", None), (path.name, "edited", before - len(gone)), (path.name, "edited", at)]


def add_a_row(place: Place) -> list[tuple[str, str, int | None]]:
    """A forged row with a right checksum behind the last one."""
    path = place.paths[2]
    content = path.read_bytes()
    rewrite(path, content + seal_line(ROWS, payload(9), id_checksum(parse_name(path).segment_id)))
    return [(path.name, "edited", None), (path.name, "edited", len(content))]


def cut_the_end(place: Place) -> list[tuple[str, str, int | None]]:
    """The last row of a sealed segment is gone."""
    path = place.paths[2]
    at = line_offsets(path)[-1]
    rewrite(path, path.read_bytes()[:at])
    return [(path.name, "edited", None), (path.name, "edited", at)]


def swap_segments(place: Place) -> list[tuple[str, str, int | None]]:
    """Two sealed segments exchange their names."""
    first, second, _ = place.paths
    contents = first.read_bytes(), second.read_bytes()
    rewrite(first, contents[1])
    rewrite(second, contents[0])
    return sorted([(first.name, "swapped", 0), (second.name, "swapped", 0)])


def delete_a_segment(place: Place) -> list[tuple[str, str, int | None]]:
    """A sealed file is gone, and nothing in the chain allowed it."""
    place.paths[1].unlink()
    return [(place.paths[1].name, "deleted", None)]


def move_a_segment(place: Place) -> list[tuple[str, str, int | None]]:
    """A sealed segment lies under another version, where it would count as that version's."""
    path = place.paths[1]
    elsewhere = place.live / "loans" / "2"
    elsewhere.mkdir()
    path.rename(elsewhere / path.name)
    return [(path.name, "misplaced", None), (path.name, "deleted", None)]


def rename_a_segment(place: Place) -> list[tuple[str, str, int | None]]:
    """Readers look for names of segments: under another name its rows are lost."""
    path = place.paths[1]
    path.rename(path.with_name("old.csv"))
    return [("old.csv", "no segment", None), (path.name, "deleted", None)]


def remove_a_manifest(place: Place) -> list[tuple[str, str, int | None]]:
    """One entry in the middle of the chain."""
    lines = place.chain_lines()
    place.chain.write_bytes(lines[0] + lines[2])
    return [(FILE, "broken link", len(lines[0]))]


def garble_a_manifest(place: Place) -> list[tuple[str, str, int | None]]:
    """One entry in the middle made unreadable: the next one was built on it, so it was no interrupted seal."""
    lines = place.chain_lines()
    place.chain.write_bytes(lines[0] + lines[1][5:] + lines[2])
    second = len(lines[0])
    return [(FILE, "broken link", second), (FILE, "broken link", second + len(lines[1]) - 5)]


def edit_a_manifest(place: Place) -> list[tuple[str, str, int | None]]:
    """One number in an entry: the next one's `previous` is of what stood there."""
    lines = place.chain_lines()
    place.chain.write_bytes(lines[0] + lines[1].replace(b'"rows":20', b'"rows":10') + lines[2])
    return [(FILE, "broken link", len(lines[0] + lines[1]))]


def reorder_the_chain(place: Place) -> list[tuple[str, str, int | None]]:
    """Two entries exchange their places."""
    first, second, third = place.chain_lines()
    place.chain.write_bytes(first + third + second)
    return [(FILE, "broken link", len(first)), (FILE, "broken link", len(first + third))]


def lose_the_chains_start(place: Place) -> list[tuple[str, str, int | None]]:
    """The oldest entry is gone."""
    place.chain.write_bytes(b"".join(place.chain_lines()[1:]))
    return [(FILE, "broken link", 0)]


@pytest.mark.parametrize(
    "tamper",
    [
        flip_a_byte, edit_with_checksum, edit_with_all_checksums, swap_rows, delete_a_row, add_a_row, cut_the_end,
        swap_segments, delete_a_segment, move_a_segment, rename_a_segment, remove_a_manifest, garble_a_manifest,
        edit_a_manifest, reorder_the_chain, lose_the_chains_start,
    ],
)  # fmt: skip
def test_every_tampering_is_found_with_its_place(
    place: Place, tamper: Callable[[Place], list[tuple[str, str, int | None]]]
) -> None:
    """Kind, file and offset; what was not touched is not named."""
    expected = tamper(place)
    assert verified(place.live).damages() == expected


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_a_chain_that_lost_its_end_is_found_by_a_witnessed_head(place: Place, keep: int) -> None:
    """Without a witness a shorter chain looks like an earlier one; the head that was kept elsewhere tells."""
    place.chain.write_bytes(b"".join(place.chain_lines()[:keep]))
    alone = verified(place.live)
    assert alone.damages() == []
    assert alone.notes() == ["half sealed"] * (3 - keep)
    assert verified(place.live, place.head).damages() == [(FILE, "lost head", None)]


def test_a_chain_written_anew_is_found_by_a_witnessed_head(place: Place) -> None:
    """Whoever edits a row and rebuilds segment, entries and links still has not the old head."""
    rewrite(place.paths[1], with_line(place.paths[1], 7, payload(1006, amount=2.5)))
    place.chain.unlink()
    seal_all(place.live)
    assert verified(place.live).findings == ()
    assert verified(place.live, place.head).damages() == [(FILE, "lost head", None)]


def test_an_old_head_stays_in_the_chain(place: Place) -> None:
    """A witness need not be the newest: the chain that goes on contains it."""
    write_segment(place.live, 1)
    assert seal_all(place.live).head != place.head
    assert verified(place.live, place.head).findings == ()


def test_a_segment_sealed_again_otherwise_is_found(place: Place) -> None:
    """After an entry was removed the next seal takes its segment again; an edit in between cannot hide."""
    lines = place.chain_lines()
    rewrite(place.paths[1], with_line(place.paths[1], 7, payload(1006, amount=2.5)))
    place.chain.write_bytes(lines[0] + lines[2])
    seal_all(place.live)
    place.chain.write_bytes(b"".join(lines) + place.chain_lines()[-1])
    assert (place.paths[1].name, "sealed twice", None) in verified(place.live).damages()


def test_edits_in_two_places_of_a_long_segment_are_named_one_by_one(tmp_path: Path) -> None:
    """Blocks are compared by themselves: what lies between two edits is not suspected."""
    path = write_segment(tmp_path, 26_000)
    seal_all(tmp_path)
    content = bytearray(path.read_bytes())
    assert len(content) > 3 * BLOCK_BYTES
    at = [offset for offset in line_offsets(path) if 10_000 < offset % BLOCK_BYTES < 10_200]
    assert len(at) >= 3
    for offset in (at[0], at[2]):
        content[offset + 60] ^= 1
    rewrite(path, bytes(content))
    assert [offset for _, _, offset in verified(tmp_path).damages()] == [None, at[0], at[2]]


def test_every_flipped_byte_of_a_sealed_segment_is_named_at_its_line(tmp_path: Path) -> None:
    """For every byte: one finding for the file, and the offset of a line that the byte is in, or joins."""
    path = write_segment(tmp_path, 3)
    seal_all(tmp_path)
    whole = path.read_bytes()
    offsets = line_offsets(path)
    for at, byte in enumerate(whole):
        rewrite(path, whole[:at] + bytes([byte ^ 1]) + whole[at + 1 :])
        damages = verified(tmp_path).damages()
        assert damages[0] == (path.name, "edited", None)
        assert damages[1][2] == max(offset for offset in offsets if offset <= at), at


def test_damage_before_sealing_is_named_in_open_and_in_sealed_segments(tmp_path: Path) -> None:
    """A torn tail, a corrupt line and a suspect file are damage before and after they are sealed, at the same place."""
    path = write_segment(tmp_path, 5)
    content = bytearray(path.read_bytes())
    offsets = line_offsets(path)
    content[offsets[2] + 40] ^= 1
    path.write_bytes(bytes(content[:-10]))
    path = path.rename(path.with_suffix(".suspect.csv"))
    expected = [
        (path.name, "suspect", None),
        (path.name, "corrupt line", offsets[2]),
        (path.name, "cut line", offsets[-1]),
    ]
    before = verified(tmp_path)
    assert before.damages() == expected
    seal_all(tmp_path)
    after = verified(tmp_path)
    assert after.damages() == expected
    assert (before.result.rows, after.result.rows) == (3, 3)


def test_a_gap_in_an_open_segment_is_found(tmp_path: Path) -> None:
    """Removing whole lines leaves only sound ones; their numbers tell."""
    path = write_segment(tmp_path, 5)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[4:]))
    assert verified(tmp_path).damages() == [(path.name, "sequence break", len(lines[0] + lines[1]))]


def test_a_segment_full_of_faults_is_summed_up(tmp_path: Path) -> None:
    """A hundred lines are named, the rest are counted: the output stays readable."""
    path = write_segment(tmp_path, 500)
    foreign = path.with_name(path.name[:-5] + ("0" if path.name[-5] != "0" else "1") + ".csv")
    path.rename(foreign)
    found = verified(tmp_path)
    assert len(found.damages()) == 101
    assert found.findings[-1].detail == "400 more lines of this segment are at fault"


def test_a_sealed_segment_full_of_edits_is_summed_up(tmp_path: Path) -> None:
    """The same for a sealed one: nobody must think that the hundred named lines are all."""
    path = write_segment(tmp_path, 300)
    seal_all(tmp_path)
    rewrite(path, path.read_bytes().replace(b",1.5,", b",2.5,"))
    found = verified(tmp_path)
    assert [kind for _, kind, _ in found.damages()] == ["edited"] * 101 + ["more faults"]
    assert found.findings[-1].detail == "200 more lines of this segment are at fault"


def test_strangers_and_leftovers(place: Place) -> None:
    """A file that is no segment is damage, since it may have been one; a crash's temporary file is not."""
    folder = place.paths[0].parent
    (folder / ".tmp-live_predictions-x.csv").touch()
    (folder / "no\nsense.csv").touch()
    newer = folder / place.paths[0].name.replace("-v1-", "-v2-")
    newer.touch()
    found = verified(place.live)
    assert sorted(kind for _, kind, _ in found.damages()) == ["no segment", "no segment"]
    assert found.notes() == ["stray file"]
    assert all("\n" not in finding.path for finding in found.findings)


def run(place: Place, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The command, in an installation whose logs are `place`'s."""
    monkeypatch.setenv("SENTINEL_PATHS_DATA", str(place.live.parent))
    return main(arguments)


def test_the_command_says_what_is_wrong_in_one_line_each(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 and a summary when all is intact; 1 and path:offset: kind otherwise; 2 for a head that is none."""
    assert run(place, monkeypatch, "verify", "--head", place.head) == 0
    out = capsys.readouterr().out
    assert out.startswith("intact: 3 segments (3 sealed), 60 rows, ")
    assert out.endswith(f"3 entries\nhead {place.head}\n")
    flip_a_byte(place)
    assert run(place, monkeypatch, "verify") == 1
    lines = capsys.readouterr().out.splitlines()
    at = line_offsets(place.paths[1])[7]
    relative = place.paths[1].relative_to(place.live)
    assert lines[1] == f"{relative}:{at}: edited: corrupt line: checksum does not match"
    assert lines[2].startswith("DAMAGED (2 findings): 3 segments")
    with pytest.raises(SystemExit) as usage:
        run(place, monkeypatch, "verify", "--head", "abc")
    assert usage.value.code == 2


def test_the_command_answers_programs_in_json(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One object with the same content."""
    delete_a_segment(place)
    assert run(place, monkeypatch, "verify", "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["intact"], answer["rows"], answer["head"]) == (False, 40, read_chain(place.live).head)
    assert [finding["kind"] for finding in answer["findings"]] == ["deleted"]


def test_sealing_by_command_prints_the_head(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The head is what a witness keeps; a quiet seal with nothing to do says nothing."""
    path = write_segment(place.live, 2)
    assert run(place, monkeypatch, "seal") == 0
    out = capsys.readouterr().out
    assert f"sealed {path.relative_to(place.live)}: 2 rows" in out
    assert f"head {read_chain(place.live).head}" in out
    assert run(place, monkeypatch, "seal", "--quiet") == 0
    assert "head" not in capsys.readouterr().out
    remove_a_manifest(place)
    assert run(place, monkeypatch, "seal") == 1, "a damaged chain goes on, and says so"
    assert "the manifest chain is damaged" in capsys.readouterr().err


def test_a_segment_that_turns_suspect_while_the_logs_are_verified_is_followed(tmp_path: Path) -> None:
    """A rename after the folder was listed is no loss: the segment is checked under its new name."""
    path = write_segment(tmp_path, 2)
    stranger = tmp_path / "loans" / "0" / "stranger"
    stranger.parent.mkdir()
    stranger.touch()
    findings: list[Finding] = []

    def rename_in_between(finding: Finding) -> None:
        findings.append(finding)
        if path.exists():
            path.rename(path.with_suffix(".suspect.csv"))

    assert verify(tmp_path, rename_in_between).rows == 2
    assert [finding.kind for finding in findings] == ["no segment", "suspect"]


def test_a_segment_that_expires_while_the_logs_are_verified_is_no_damage(tmp_path: Path) -> None:
    """Listed, and deleted before its turn: the chain says why."""
    found, path = verified_while(tmp_path, lambda live, _: expire(live, LogSettings(retention_days=1), now=9e9))
    assert not path.exists()
    assert [finding.kind for finding in found] == ["no segment"]


def test_a_segment_that_somebody_deletes_while_the_logs_are_verified_is_named_once(tmp_path: Path) -> None:
    """A loss is one finding, whichever look at the folder it falls behind."""
    found, path = verified_while(tmp_path, lambda _, path: path.unlink())
    assert [(finding.kind, Path(finding.path).name) for finding in found[1:]] == [("deleted", path.name)]


def verified_while(live: Path, act: Callable[[Path, Path], object]) -> tuple[list[Finding], Path]:
    """Verify a log with one sealed segment, and let something happen to it after its folder was listed."""
    path = write_segment(live, 2)
    seal_all(live)
    # Comes first in the folder; naming it is the occasion.
    (path.parent / "a stranger").touch()
    findings: list[Finding] = []

    def act_once(finding: Finding) -> None:
        findings.append(finding)
        if len(findings) == 1:
            act(live, path)

    verify(live, act_once)
    return findings, path
