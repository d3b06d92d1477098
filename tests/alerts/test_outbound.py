from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from alerts import outbound
from alerts.outbound import Allowed, OutboundFailed, post, url_problem

LOCAL = Allowed.of(["127.0.0.1"])


def send(url: str, *, allowed: Allowed = LOCAL, total_s: float = 5.0) -> outbound.Reply:
    return post(url, body=b"{}", headers={"x-test": "1"}, allowed=allowed, total_s=total_s)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "2002:7f00:1::",
        "fd00::1",
        "fe80::1",
        "ff02::1",
        "2001:db8::1",
        "fec0::1",
        "192.0.0.8",
        "192.88.99.1",
        "::ffff:192.88.99.1",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str):
    assert not Allowed().permits("hook.example.com", ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_public_addresses_are_permitted(address: str):
    assert Allowed().permits("hook.example.com", ipaddress.ip_address(address))


def test_what_is_listed_is_permitted_by_host_or_network():
    allowed = Allowed.of(["10.0.0.0/8", "chat.internal", "fd00::/8", "127.0.0.1"])

    assert allowed.permits("any", ipaddress.ip_address("10.2.3.4"))
    assert allowed.permits("any", ipaddress.ip_address("::ffff:10.2.3.4"))
    assert allowed.permits("any", ipaddress.ip_address("fd00::5"))
    assert allowed.permits("Chat.Internal.", ipaddress.ip_address("192.168.0.5"))
    assert not allowed.permits("other.internal", ipaddress.ip_address("192.168.0.5"))
    assert not allowed.permits("any", ipaddress.ip_address("127.0.0.2"))


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254"])
def test_link_local_is_refused_even_where_it_is_listed(address: str):
    allowed = Allowed.of(["0.0.0.0/0", "::/0", "metadata.internal"])

    assert not allowed.permits("metadata.internal", ipaddress.ip_address(address))


def test_it_posts_and_keeps_the_host(httpserver: HTTPServer):
    httpserver.expect_request("/hook", method="POST").respond_with_data("", status=204)

    reply = send(httpserver.url_for("/hook"))

    assert reply.status == 204
    request, _ = httpserver.log[0]
    assert request.host == f"{httpserver.host}:{httpserver.port}"
    assert request.headers["x-test"] == "1"
    assert request.data == b"{}"


def test_without_permission_nothing_is_sent_and_no_address_is_named(httpserver: HTTPServer):
    with pytest.raises(OutboundFailed) as raised:
        send(f"http://localhost:{httpserver.port}/hook", allowed=Allowed())

    assert "127.0.0.1" not in str(raised.value)
    assert "::1" not in str(raised.value)
    assert not httpserver.log


def test_the_connection_goes_to_the_address_that_was_checked(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
):
    """A name that answers publicly once and privately the next time is asked once."""
    httpserver.expect_request("/hook").respond_with_data("", status=200)
    asked = []
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])

    def look_up(host, port, *args, **kwargs):
        asked.append(host)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in next(answers)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    # `create_connection` asks too, for an address that needs no answer.
    real = socket.create_connection

    def connect(address, *args, **kwargs):
        monkeypatch.setattr(socket, "getaddrinfo", _real_getaddrinfo)
        assert address[0] == "127.0.0.1"
        return real(address, *args, **kwargs)

    monkeypatch.setattr(socket, "create_connection", connect)

    assert send(f"http://hook.example.com:{httpserver.port}/hook").status == 200
    assert asked == ["hook.example.com"]
    request, _ = httpserver.log[0]
    assert request.headers["Host"] == f"hook.example.com:{httpserver.port}"


_real_getaddrinfo = socket.getaddrinfo


def test_redirects_are_not_followed(httpserver: HTTPServer):
    httpserver.expect_request("/hook").respond_with_data(
        "", status=302, headers={"Location": httpserver.url_for("/other")}
    )

    assert send(httpserver.url_for("/hook")).status == 302
    assert len(httpserver.log) == 1


def test_proxies_of_the_environment_are_ignored(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    httpserver.expect_request("/hook").respond_with_data("", status=200)

    assert send(httpserver.url_for("/hook")).status == 200


@pytest.fixture
def trickler() -> Iterator[str]:
    """Sends a byte of its answer each tenth of a second, for ever."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            while True:
                peer, _ = server.accept()
                peer.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                for _ in range(200):
                    peer.sendall(b"x")
                    time.sleep(0.1)
        except OSError:
            return

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/"
    server.close()


def test_the_total_time_holds_however_slowly_bytes_trickle(trickler: str):
    began = time.monotonic()

    with pytest.raises(OutboundFailed, match="No answer within"):
        send(trickler, total_s=0.6)

    assert time.monotonic() - began < 2


def test_an_endless_body_is_not_read(httpserver: HTTPServer):
    def endless(request: Request) -> Response:
        return Response((b"x" * 65536 for _ in range(100_000)), status=200)

    httpserver.expect_request("/hook").respond_with_handler(endless)
    began = time.monotonic()

    assert send(httpserver.url_for("/hook")).status == 200
    assert time.monotonic() - began < 2


def test_failures_are_told_without_addresses():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    with pytest.raises(OutboundFailed) as raised:
        send(f"http://127.0.0.1:{port}/secret-path")

    assert str(raised.value) == "The connection was refused."


def test_a_name_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(OutboundFailed, match="could not be resolved"):
        send("http://no-such-name.invalid/")


def test_a_tls_failure_is_told(httpserver: HTTPServer):
    with pytest.raises(OutboundFailed, match="TLS"):
        send(f"https://127.0.0.1:{httpserver.port}/")


def test_what_is_no_http_is_told():
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        peer, _ = server.accept()
        peer.recv(100)
        peer.sendall(b"\x00\x01nonsense\r\n\r\n")
        peer.close()

    threading.Thread(target=serve, daemon=True).start()
    with pytest.raises(OutboundFailed, match="broke"):
        send(f"http://127.0.0.1:{server.getsockname()[1]}/")
    server.close()


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120),
        ("0", None),
        ("-5", None),
        ("nan", None),
        ("soon", None),
        ("1e99", 7 * 86_400),
    ],
)
def test_retry_after_is_seconds(httpserver: HTTPServer, said: str, seconds: float | None):
    httpserver.expect_request("/").respond_with_data("", status=503, headers={"Retry-After": said})

    reply = send(httpserver.url_for("/"))

    assert reply.retry_after == (None if seconds is None else pytest.approx(seconds, abs=30))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://user:password@example.com/",
        "http://example.com:99999/",
        "http://exa mple.com/",
        "http://[::1/",
        "http://example.com/\r\nx: y",
    ],
)
def test_what_cannot_be_a_webhooks_url_is_refused(url: str):
    assert url_problem(url)


@pytest.mark.parametrize(
    "url", ["https://example.com/hook?x=1", "http://127.0.0.1:8080/", "http://[::1]:80/"]
)
def test_what_can_be_one_is_not(url: str):
    assert url_problem(url) is None


@pytest.mark.parametrize(("ahead_s", "seconds"), [(100, 100), (-100, None)])
def test_retry_after_may_be_a_date(httpserver: HTTPServer, ahead_s: int, seconds: float | None):
    said = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead_s), usegmt=True)
    httpserver.expect_request("/").respond_with_data("", status=503, headers={"Retry-After": said})

    reply = send(httpserver.url_for("/"))

    assert reply.retry_after == (None if seconds is None else pytest.approx(seconds, abs=30))
