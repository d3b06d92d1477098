"""The data directory: one owner at a time, and nothing in it half written."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from dashboard.supervisor.folder import Folder, write_private
from dashboard.supervisor.process import UpError


def test_a_directory_has_one_owner_at_a_time(tmp_path: Path) -> None:
    Folder(tmp_path / "new" / "data").claim()

    with pytest.raises(UpError, match="already running"):
        Folder(tmp_path / "new" / "data").claim()


def test_what_is_remembered_is_found_and_private(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.remembered("postgresql") == {}

    folder.remember("postgresql", {"port": 20_001})

    assert Folder(tmp_path).remembered("postgresql") == {"port": 20_001}
    assert stat.S_IMODE((tmp_path / "postgresql.json").stat().st_mode) == 0o600


def test_writing_replaces_a_file_that_others_could_read(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)

    write_private(path, "new")

    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


def test_a_damaged_layout_is_named(tmp_path: Path) -> None:
    (tmp_path / "layout").write_text("?")

    with pytest.raises(UpError, match="layout is damaged"):
        Folder(tmp_path).claim()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"port": "x"}', b'{"password": "p"}']
)
def test_a_damaged_memory_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "redis.json").write_bytes(content)

    with pytest.raises(UpError, match=r"redis\.json .*restore it"):
        Folder(tmp_path).remembered("redis", password=str, port=int)
