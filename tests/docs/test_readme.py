"""The README's examples work as they stand, with a key limited to an environment as /connect/ makes it."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from asgiref.sync import sync_to_async

from tests.support.make import make_key
from tests.support.servers import ROOT
from tests.support.web import Web, serve


@pytest.fixture
async def web(transactional_db: None) -> AsyncIterator[Web]:
    async with serve() as running:
        yield running


async def test_its_curl_is_accepted_with_a_key_of_one_environment(web: Web) -> None:
    _, key = await sync_to_async(make_key)(scopes=["ingest", "agent"], environment="dev")
    [said] = re.findall(r"^curl .*?(?=^```)", (ROOT / "README.md").read_text(), re.M | re.S)
    command, url, *options = shlex.split(said.replace("\\\n", " "))
    given = dict(zip(options[::2], options[1::2], strict=True))
    headers = {
        name: value.replace("pb_…", key)
        for name, _, value in (
            one.partition(": ")
            for flag, one in zip(options[::2], options[1::2], strict=True)
            if flag == "-H"
        )
    }

    answer = await web.http.post(urlsplit(url).path, content=given["-d"], headers=headers)

    assert command == "curl"
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
