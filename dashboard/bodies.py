"""The bound on what Django is sent: it would take in any body whole, for as long as it takes."""

from __future__ import annotations

from breakers.asgi import (
    Application,
    Disconnected,
    Message,
    Receive,
    Scope,
    Send,
    Stalled,
    TooLarge,
    answer,
    answer_problem,
    read_body,
)

_PLAIN = b"text/plain; charset=utf-8"


def bounded(application: Application) -> Application:
    """The application, which is called once the body is there and within bounds."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(scope, receive)
        except Disconnected:
            return
        except (TooLarge, Stalled) as problem:
            await _refuse(scope, send, problem)
            return
        await application(scope, _again(body, receive), send)

    return serve


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read, and then what the server says: that the caller has gone."""
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return unread.pop() if unread else await receive()

    return receive_again


async def _refuse(scope: Scope, send: Send, problem: TooLarge | Stalled) -> None:
    if scope["path"].startswith("/api/"):
        await answer_problem(send, problem)
        return
    # What is left of the body is not read.
    await answer(
        send,
        problem.status,
        f"{problem.title}.\n".encode(),
        media=_PLAIN,
        headers=[(b"connection", b"close")],
    )
