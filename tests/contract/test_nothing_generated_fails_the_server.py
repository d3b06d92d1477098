"""What Schemathesis makes of the published document, against the whole running system."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.support.stack import Stack

CHECKS = "not_a_server_error,status_code_conformance"


@pytest.mark.timeout(420)  # a minute and a half as a rule
def test_no_generated_call_gets_a_5xx_or_a_status_that_is_not_published(
    make_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    stack = make_stack()
    bearer = f"Bearer {stack.key}"
    with httpx2.Client(base_url=stack.url, headers={"Authorization": bearer}, timeout=30) as http:
        http.post(
            "/api/v1/events", json=[{"service": "orders", "breaker": "catalog", "to": "open"}]
        ).raise_for_status()
        [breaker] = http.get("/api/v1/breakers").json()["items"]
        [instance] = http.get("/api/v1/instances").json()["items"]
        # One to be revoked: by its own key, the rest would be refused.
        key = http.post("/api/v1/keys", json={"name": "spare", "scopes": ["read"]}).json()
    # Ids that exist: else most calls would end at 404.
    config = tmp_path / "schemathesis.toml"
    config.write_text(
        f'[parameters]\n"path.breaker_id" = "{breaker["id"]}"\n'
        f'"path.instance_id" = "{instance["id"]}"\n'
        f'"path.key_id" = "{key["id"]}"\n'
    )

    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            f"--config-file={config}",
            "run",
            f"{stack.url}/api/v1/openapi.json",
            f"--header=Authorization: {bearer}",
            f"--checks={CHECKS}",
            "--phases=coverage,fuzzing",
            "--max-examples=2",
            "--seed=1",
            "--no-color",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout[-8000:]
    assert "Traceback" not in stack.output
