"""`manage.py up` as a person at the terminal sees it (CONTRACT, "Starting it")."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import psycopg
import pytest
from django.conf import settings
from django.core.management.base import CommandError
from django.db.migrations.recorder import MigrationRecorder

from dashboard.management.commands.prepare import refuse_a_newer_schema
from dashboard.supervisor.ports import loopback_port
from dashboard.supervisor.process import is_alive
from tests.support import servers
from tests.support import stack as stacks
from tests.support.eventually import eventually
from tests.support.stack import Stack, ready_url

MakeStack = Callable[..., Stack]


def none_alive(pids: set[int]) -> bool:
    alive = {pid for pid in pids if is_alive(pid)}
    assert not alive, [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in alive]
    return True


def test_a_first_start_prints_the_sign_in_data_once_and_a_second_keeps_the_data(
    make_stack: MakeStack, tmp_path: Path
) -> None:
    """In a place where nobody else can look; root's PostgreSQL is another user's process all the same, and
    the folders stay as closed as they were."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    above = {folder: folder.stat().st_mode for folder in (closed, *closed.parents)}

    first = make_stack(PANELBOARD_ADMIN_PASSWORD="", data_dir=closed / "data")

    assert ready_url(first.output) == first.url
    passwords = re.findall(r"Sign in as admin with the password (\S+) ", first.output)
    assert len(passwords) == 1
    assert Path(f"/proc/{first.pid('postgres')}").stat().st_uid != 0
    with psycopg.connect(first.run["database_url"]) as connection:
        connection.execute("INSERT INTO environment (name) VALUES ('kept')")
    processes = first.processes()
    assert len(processes) > 5
    assert first.stop() == 0
    assert none_alive(processes)
    assert not (first.data_dir / "run.json").exists()

    second = make_stack(PANELBOARD_ADMIN_PASSWORD="", data_dir=closed / "data")

    assert "Sign in as" not in second.output
    with psycopg.connect(second.run["database_url"]) as connection:
        assert connection.execute("SELECT name FROM environment").fetchall() == [("kept",)]
    assert {folder: folder.stat().st_mode for folder in above} == above


def test_a_second_up_on_the_same_data_directory_is_refused(live_stack: Stack) -> None:
    other = stacks.start(live_stack.data_dir)

    assert other.ended() == 1
    assert len(other.output.splitlines()) == 1
    assert "already running" in other.output
    assert live_stack.is_ready()


def test_a_taken_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        other = stacks.start(tmp_path / "data", "--port", str(port))

        assert other.ended() == 1
    assert len(other.output.splitlines()) == 1
    assert str(port) in other.output
    assert not (tmp_path / "data" / "postgresql").exists()


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [("layout", "99\n", "newer Panelboard"), ("postgresql/PG_VERSION", "99\n", "newer PostgreSQL")],
)
def test_a_data_directory_of_a_newer_version_is_left_alone(
    tmp_path: Path, file: str, content: str, says: str
) -> None:
    newer = tmp_path / "data" / file
    newer.parent.mkdir(parents=True)
    newer.write_text(content)

    other = stacks.start(tmp_path / "data")

    assert other.ended() == 1
    assert len(other.output.splitlines()) == 1
    assert says in other.output
    assert newer.read_text() == content


@pytest.mark.django_db
def test_a_database_migrated_by_a_newer_version_is_left_alone() -> None:
    refuse_a_newer_schema()
    MigrationRecorder.Migration.objects.create(app="breakers", name="9999_later")

    with pytest.raises(CommandError, match=r"newer Panelboard \(it has breakers.9999_later\)"):
        refuse_a_newer_schema()


def test_secrets_in_the_data_directory_are_readable_by_their_owner_alone(live_stack: Stack) -> None:
    for name in ("run.json", "postgresql.json", "redis.json", "secret_key"):
        mode = stat.S_IMODE((live_stack.data_dir / name).stat().st_mode)
        assert mode == 0o600, name
    assert stat.S_IMODE(live_stack.data_dir.stat().st_mode) == 0o700


def test_the_servers_listen_on_loopback_alone(live_stack: Stack) -> None:
    for part in ("postgres", "redis", "web"):
        addresses = listening(live_stack.pid(part))
        assert addresses == {"127.0.0.1"}, part


def listening(pid: int) -> set[str]:
    """The addresses on which a process takes connections, of IPv4 and IPv6, by Linux's own tables."""
    sockets = {
        os.readlink(link).removeprefix("socket:[").rstrip("]")
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if link.is_symlink() and os.readlink(link).startswith("socket:[")
    }
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            local, state, inode = (line.split()[column] for column in (1, 3, 9))
            if state == "0A" and inode in sockets:
                packed = bytes.fromhex(local.partition(":")[0])
                words = [packed[at : at + 4][::-1] for at in range(0, len(packed), 4)]
                family = socket.AF_INET if table == "tcp" else socket.AF_INET6
                found.add(socket.inet_ntop(family, b"".join(words)))
    return found


def test_the_program_owns_nothing_in_the_embedded_database(live_stack: Stack) -> None:
    with psycopg.connect(live_stack.run["database_url"]) as connection:
        owned = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole"
        ).fetchone()
    assert owned == (0,)


def test_other_commands_find_the_running_system(live_stack: Stack) -> None:
    made = live_stack.manage("create_api_key", "from beside", "--scopes", "read")

    assert made.returncode == 0, made.stderr
    answer = httpx2.get(
        f"{live_stack.url}/api/v1/me", headers={"Authorization": f"Bearer {made.stdout.strip()}"}
    )
    assert answer.status_code == 200


def test_the_bootstrap_key_may_do_everything(live_stack: Stack) -> None:
    with live_stack.client() as client:
        answer = client.get("/api/v1/me")
    assert answer.status_code == 200
    assert answer.json()["can"] == ["admin", "agent", "ingest", "operate", "read"]
    assert answer.json()["environments"] is None


def test_a_weak_bootstrap_key_is_refused(tmp_path: Path) -> None:
    weak = stacks.start(tmp_path / "data", PANELBOARD_BOOTSTRAP_KEY="short")

    assert weak.ended() == 1
    assert "24 characters" in weak.output


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_wish_to_stop_while_starting_leaves_no_process(
    make_stack: MakeStack, how: signal.Signals
) -> None:
    starting = make_stack(ready=False)
    eventually(
        lambda: "postgres" in starting.run["parts"] and "redis" in starting.run["parts"],
        within=stacks.START_S,
    )
    processes = starting.processes()

    starting.process.send_signal(how)

    assert starting.ended() == 0
    assert eventually(lambda: none_alive(processes))


def test_a_killed_up_leaves_no_process_and_the_next_one_keeps_the_data(
    make_stack: MakeStack, tmp_path: Path
) -> None:
    """Also where PostgreSQL takes no notice of its parent's end: the next start stops it cleanly."""
    first = make_stack(data_dir=tmp_path / "data")
    with psycopg.connect(first.run["database_url"]) as connection:
        connection.execute("INSERT INTO environment (name) VALUES ('kept')")
    postgres = first.pid("postgres")
    cluster = {postgres, *stacks.children(postgres)}
    others = first.processes() - cluster

    os.kill(postgres, signal.SIGSTOP)
    first.process.kill()

    assert first.ended() == -signal.SIGKILL
    assert eventually(lambda: none_alive(others))
    assert is_alive(postgres)
    os.kill(postgres, signal.SIGCONT)

    second = make_stack(data_dir=tmp_path / "data")

    assert none_alive(cluster)
    with psycopg.connect(second.run["database_url"]) as connection:
        assert connection.execute("SELECT name FROM environment").fetchall() == [("kept",)]


def test_servers_that_urls_name_are_used_and_several_web_processes_share_one_address(
    make_stack: MakeStack, tmp_path: Path
) -> None:
    with psycopg.connect(servers.superuser_url("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS elsewhere WITH (FORCE)")
        connection.execute("CREATE DATABASE elsewhere OWNER panelboard_owner")
    urls = {
        name: servers.on_database(os.environ[name], "elsewhere")
        for name in ("DATABASE_URL", "DATABASE_OWNER_URL")
    }

    running = make_stack("--port", "0", "--workers", "2", REDIS_URL=settings.REDIS_URL, **urls)

    assert set(running.run["parts"]) == {"web.1", "web.2", "worker", "beat"}
    assert {entry.name for entry in running.data_dir.iterdir()}.isdisjoint({"postgresql", "redis"})
    killed = running.kill("web.1")
    assert eventually(lambda: running.restarted("web.1", killed), within=30)


def test_a_database_that_does_not_answer_is_named(tmp_path: Path) -> None:
    nowhere = f"postgresql://panelboard:wrong@127.0.0.1:{loopback_port()}/panelboard"

    alone = stacks.start(tmp_path / "data", DATABASE_URL=nowhere)

    assert alone.ended() == 1
    assert "PostgreSQL does not let us in" in alone.output
    assert "Traceback" not in alone.output


def test_the_state_of_the_parts_is_told_beside_the_system(live_stack: Stack) -> None:
    told = json.loads((live_stack.data_dir / "run.json").read_text())

    assert told["ready"] is True
    assert set(told["parts"]) == {"postgres", "redis", "web", "worker", "beat"}
    assert all(is_alive(pid) for pid in told["parts"].values())


@pytest.mark.parametrize(
    ("arguments", "name", "content", "said"),
    [
        ((), "redis.json", "[]", "redis.json is damaged"),
        ((), "postgresql.json", "{", "postgresql.json cannot be read"),
        (("--demo", "weather"), "", "", "no demo system weather; there is shop"),
    ],
)
def test_what_cannot_be_started_is_said_in_one_line(
    make_stack: MakeStack,
    tmp_path: Path,
    arguments: tuple[str, ...],
    name: str,
    content: str,
    said: str,
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    if name:
        (data / name).write_text(content)

    up = make_stack("--port", "0", *arguments, ready=False, data_dir=data)

    assert up.ended() != 0
    told = [line for line in up.output.splitlines() if "cannot start" in line]
    assert len(told) == 1
    assert said in told[0]
    assert "Traceback" not in up.output


@pytest.mark.parametrize(
    ("command", "name", "content"),
    [
        ("create_api_key", "run.json", "{"),
        ("create_api_key", "run.json", "[1]"),
        ("create_api_key", "secret_key", ""),
        ("create_api_key", "secret_key", "\xff\xfe"),
    ],
)
def test_a_damaged_file_of_the_data_directory_is_named_in_one_line(
    tmp_path: Path, command: str, name: str, content: str
) -> None:
    (tmp_path / name).write_bytes(content.encode("latin-1"))

    told = manage(tmp_path, command, "name", "--scopes", "read")

    assert told.returncode == 1
    assert len(told.stderr.splitlines()) == 1
    assert f"{name} is damaged" in told.stderr


@pytest.mark.parametrize("command", ["up", "web"])
def test_no_web_process_at_all_is_refused(tmp_path: Path, command: str) -> None:
    told = manage(tmp_path, command, "--workers", "0")

    assert told.returncode != 0
    assert "1 to 64" in told.stderr
    assert "Traceback" not in told.stderr


def manage(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**servers.outside_environment(), "PANELBOARD_DATA_DIR": str(data_dir)}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=servers.ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
