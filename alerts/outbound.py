"""The one HTTP client: to public addresses, without redirects, within a time, and discreet about failures.

A name is resolved once and the connection goes to an address that was checked, so that a name cannot
point elsewhere between the check and the call; Host and SNI stay the name's. Nothing of an answer's body
is read: neither a log nor a test can be used to read what is inside a network.
"""

from __future__ import annotations

import email.utils
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpcore2
import httpx2

TOTAL_S = 15.0
_RETRY_AFTER_MAX_S = 7 * 86_400
_ADDRESSES_TRIED = 4
_FORESEEN_WITHIN_S = 2.0

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class OutboundFailed(Exception):
    """No answer; the message is fit for anyone who may see the channel."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer without its body. `retry_after` is in seconds, where the answer named a wait."""

    status: int
    retry_after: float | None


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be reached although it is not public."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, items: Iterable[str]) -> Allowed:
        """Hosts and networks as the setting lists them."""
        hosts, networks = set(), []
        for item in items:
            try:
                networks.append(ipaddress.ip_network(item.strip("[]"), strict=False))
            except ValueError:
                hosts.add(item.lower().rstrip("."))
        return cls(frozenset(hosts), tuple(networks))

    def permits(self, host: str, address: Address) -> bool:
        """Public addresses, and those listed; link-local ones never."""
        said = _inside(address)
        if any(one.is_link_local for one in (address, said)):
            return False
        if all(_is_public(one) for one in (address, said)):
            return True
        if host.lower().rstrip(".") in self.hosts:
            return True
        return any(said in network for network in self.networks if network.version == said.version)


_NOT_PUBLIC: tuple[Network, ...] = (
    ipaddress.IPv6Network("fec0::/10"),  # site-local, RFC 3879
    ipaddress.IPv4Network("192.0.0.0/24"),  # special uses, RFC 6890
    ipaddress.IPv4Network("192.88.99.0/24"),  # the relay of 6to4, RFC 7526
)
"""What `ipaddress` calls global, wholly or in some versions."""


def _is_public(address: Address) -> bool:
    return address.is_global and not (
        address.is_multicast
        or address.is_unspecified
        or address.is_reserved
        or any(address in network for network in _NOT_PUBLIC if network.version == address.version)
    )


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _inside(address: Address) -> Address:
    """The IPv4 address that an IPv6 one carries, else itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    carried = address.ipv4_mapped or address.sixtofour
    if carried is None and address.teredo is not None:
        carried = address.teredo[1]
    if carried is None and (address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1)):
        carried = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address if carried is None else carried


def resolve(host: str, port: int, *, within_s: float) -> list[Address]:
    """The addresses of a name, in the resolver's order; raises OutboundFailed."""
    found: list[Address] = []
    problem: list[OSError | UnicodeError] = []

    def look_up() -> None:
        try:
            for *_, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                found.append(ipaddress.ip_address(str(where[0]).partition("%")[0]))
        except (OSError, UnicodeError) as error:
            problem.append(error)

    # The resolver knows no time-out of its own.
    thread = threading.Thread(target=look_up, name="resolve", daemon=True)
    thread.start()
    thread.join(within_s)
    if thread.is_alive():
        raise OutboundFailed("The name was not resolved in time.")
    if problem or not found:
        raise OutboundFailed("The name could not be resolved.")
    return list(dict.fromkeys(found))


_REFUSED = (
    "Refused: the address is not public. "
    "PANELBOARD_WEBHOOK_ALLOW can list hosts and networks that may be reached."
)


def refusal(url: str, *, allowed: Allowed) -> str | None:
    """Why nothing would be sent there, as the name resolves now; None also where that is not known."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        addresses = resolve(host, 0, within_s=_FORESEEN_WITHIN_S)
    except OutboundFailed:
        return None
    return None if any(allowed.permits(host, one) for one in addresses) else _REFUSED


class _Deadline:
    def __init__(self, total_s: float) -> None:
        self._end = time.monotonic() + total_s

    @property
    def left_s(self) -> float:
        return max(self._end - time.monotonic(), 0.001)

    def check(self) -> None:
        if time.monotonic() >= self._end:
            raise httpcore2.ReadTimeout("the total time is over")


class _Stream(httpcore2.NetworkStream):
    """A connection that ends with its deadline, however slowly bytes trickle."""

    def __init__(self, inner: httpcore2.NetworkStream, deadline: _Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._deadline.check()
        return self._inner.read(max_bytes, timeout=self._deadline.left_s)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._deadline.check()
        self._inner.write(buffer, timeout=self._deadline.left_s)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, timeout=self._deadline.left_s)
        return _Stream(inner, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore2.NetworkBackend):
    """Connects to checked addresses only."""

    def __init__(self, allowed: Allowed, deadline: _Deadline) -> None:
        self._allowed, self._deadline = allowed, deadline
        self._inner = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        addresses = resolve(host, port, within_s=self._deadline.left_s)
        permitted = [one for one in addresses if self._allowed.permits(host, one)]
        if not permitted:
            raise OutboundFailed(_REFUSED)
        return _Stream(self._connect(permitted[:_ADDRESSES_TRIED], port), self._deadline)

    def _connect(self, addresses: Sequence[Address], port: int) -> httpcore2.NetworkStream:
        for tried, address in enumerate(addresses, start=1):
            # Half of what is left, so that a dead first address leaves time for the next.
            share = self._deadline.left_s / (2 if tried < len(addresses) else 1)
            try:
                return self._inner.connect_tcp(str(address), port, timeout=share)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if tried == len(addresses):
                    raise
        raise AssertionError("there is at least one address")


@cache
def _tls() -> ssl.SSLContext:
    # Reading the certificates costs about 10 ms.
    return httpx2.create_ssl_context(trust_env=False)


class _Transport(httpx2.BaseTransport):
    """httpx2 over a connection of our own: no proxies, no environment, no reuse."""

    def __init__(self, allowed: Allowed, deadline: _Deadline) -> None:
        self._pool = httpcore2.ConnectionPool(
            ssl_context=_tls(),
            max_connections=1,
            network_backend=_Backend(allowed, deadline),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        answer = self._pool.handle_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.read(),
                extensions=request.extensions,
            )
        )
        # The body is never read; closing the connection is enough.
        answer.close()
        return httpx2.Response(status_code=answer.status, headers=answer.headers)

    def close(self) -> None:
        self._pool.close()


def post(
    url: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    allowed: Allowed,
    total_s: float = TOTAL_S,
) -> Reply:
    """Posts and gives the answer's status, whatever it is; raises OutboundFailed without one."""
    transport = _Transport(allowed, _Deadline(total_s))
    try:
        with httpx2.Client(transport=transport, trust_env=False, follow_redirects=False) as client:
            answer = client.post(url, content=body, headers=dict(headers), timeout=total_s)
    except OutboundFailed:
        raise
    except (httpcore2.TimeoutException, httpx2.TimeoutException):
        raise OutboundFailed(f"No answer within {total_s:g} s.") from None
    except (httpcore2.ConnectError, httpx2.ConnectError) as problem:
        raise OutboundFailed(_why_not_connected(problem)) from None
    except (httpx2.InvalidURL, httpcore2.UnsupportedProtocol, httpx2.UnsupportedProtocol):
        raise OutboundFailed("The URL cannot be used.") from None
    except Exception:  # whatever a peer makes the client raise, its text may hold addresses
        raise OutboundFailed("The connection broke before an answer came.") from None
    return Reply(answer.status_code, _retry_after(answer.headers.get("retry-after")))


def _why_not_connected(problem: Exception) -> str:
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"The certificate was not accepted: {cause.verify_message}."
        if isinstance(cause, ssl.SSLError):
            return "TLS could not be agreed on."
        if isinstance(cause, ConnectionRefusedError):
            return "The connection was refused."
        cause = cause.__cause__ or cause.__context__
    return "No connection could be made."


def _retry_after(said: str | None) -> float | None:
    """Seconds from now; a date in the past or nonsense is None."""
    if not said:
        return None
    try:
        seconds = float(said)
    except ValueError:
        try:
            at = email.utils.parsedate_to_datetime(said)
        except (ValueError, TypeError):
            return None
        seconds = (
            (at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)
        ).total_seconds()
    # Also false for NaN.
    return min(seconds, _RETRY_AFTER_MAX_S) if seconds > 0 else None


def url_problem(url: str) -> str | None:
    """Why a URL cannot be a webhook's, or None. Where it leads is checked at each call."""
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
        httpx2.URL(url)
    except (ValueError, httpx2.InvalidURL):
        return "is not a URL"
    if not url.isprintable() or " " in url:
        return "holds spaces or characters that cannot be printed"
    if parts.scheme not in ("http", "https"):
        return "must begin with https:// or http://"
    if not parts.hostname or not port_is_fine:
        return "names no host"
    if parts.username is not None or parts.password is not None:
        return "must not hold a user or password; use “authorization”"
    return None
