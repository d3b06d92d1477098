"""What the server itself decides within a commit: news of a hello or an applied, a loss, a goodbye.

Each becomes an event that carries the last (boot, seq) of its breaker instance and sorts after the
agent's, so that current state stays a pure function of history (I2).
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from breakers.ingest.jobs import (
    AnyJob,
    Disconnect,
    Introduce,
    Introduced,
    Lose,
    Report,
    Retire,
    Settle,
)
from breakers.ingest.ledger import Ledger
from breakers.ingest.registry import GoneFromRegistry, Registry
from breakers.ingest.remembered import Seen
from breakers.ingest.row import Pair, Row
from breakers.ingest.rows import as_json, events_as_lines
from breakers.ingest.statements import Moved, Statements
from breakers.ingest.unnamed import lowest_id
from breakers.ingest.validate import amiss_in_due
from breakers.states import Origin, State
from breakers.wire import DETAIL_MAX, HELLO_MAX, BreakerHello, Cause, Happened

_STEP = timedelta(microseconds=1)
_OLDEST = timedelta(days=7)


class Decisions:
    """Judged in the order of the jobs, each against the state that went before."""

    def __init__(
        self,
        db: Statements,
        ledger: Ledger,
        registry: Registry,
        *,
        pairs_of: Mapping[int, Sequence[Pair]],
        breakers: Mapping[int, Seen],
    ) -> None:
        self._db = db
        self._ledger = ledger
        self._registry = registry
        self._pairs_of = pairs_of
        self._breakers = breakers
        self._now = datetime.now(UTC)
        self.new_targets: dict[int, str] = {}
        self.back: set[int] = set()
        """Instances that were retired, or lost, and speak again."""
        self.left: list[Pair] = []
        """What leaves its instance."""
        self._returned: list[Pair] = []
        """What had left its instance and is back, or is spoken of again."""
        self.applied: set[int] = set()
        """Breakers of which an instance said what it has applied."""

    async def decide_all(self, jobs: Iterable[AnyJob]) -> dict[AnyJob, object]:
        """Does what the jobs ask, one after the other, and gives their answers.

        Reports that stand side by side are stored together: a whole fleet answers a wish at once.
        """
        answers: dict[AnyJob, object] = {}
        reports: dict[Pair, Report] = {}
        for job in jobs:
            pair = (job.breaker_id, job.instance_id) if isinstance(job, Report) else None
            # One statement moves a row once, so that a second word of one pair waits for the first's.
            if reports and (pair is None or pair in reports):
                await self._report(reports)
                reports = {}
            if isinstance(job, Report) and pair is not None:
                reports[pair] = job
                answers[job] = None
            else:
                answers[job] = await self._decide(job)
        if reports:
            await self._report(reports)
        back = [pair for instance in sorted(self.back) for pair in self._pairs_of.get(instance, ())]
        left = await self._left_by(self.back) if back else set()
        silent = await self._silent_in(self.back) if back else set()
        back = [pair for pair in back if pair not in left]
        self._ledger.begin_again(dict.fromkeys([*back, *self._returned]), silent=silent)
        return answers

    async def _left_by(self, instances: Iterable[int]) -> set[Pair]:
        """What these instances no longer have."""
        return set(await self._db.fetch("left_by_instances", instances=sorted(instances)))

    async def _silent_in(self, instances: Iterable[int]) -> set[Pair]:
        """Of what their present life has said nothing, before this group."""
        return set(await self._db.fetch("silent_of_instances", instances=sorted(instances)))

    async def _decide(self, job: AnyJob) -> object:
        match job:
            case Introduce():
                return await self._introduce(job)
            case Lose():
                return await self._lose(job)
            case Settle():
                await self._settle(job)
                return None
            case Retire():
                gone = await self._db.fetch("retire", instance=job.instance_id, session=job.session)
                if gone:
                    # It changes no state, and yet what it leaves behind is to be judged.
                    self._ledger.look_again(self._pairs_of.get(job.instance_id, ()))
                return bool(gone)
            case Disconnect():
                gone = await self._db.fetch(
                    "disconnect",
                    instance=job.instance_id,
                    session=job.session,
                    silent_for_s=job.silent_for_s,
                )
                if gone:
                    self._ledger.changed |= self._breakers_of(job.instance_id)
                return bool(gone)
        raise TypeError(f"no decision on {type(job).__name__}")

    def _breakers_of(self, instance: int) -> set[int]:
        return {breaker for breaker, _ in self._pairs_of.get(instance, ())}

    async def _introduce(self, job: Introduce) -> Introduced | None:
        hello = job.hello
        service = self._registry.service_id(job.environment, hello.service)
        instance = self._registry.instance_id(service, hello.instance)
        ids = {
            item.breaker: self._registry.breaker_id(service, item.breaker)
            for item in hello.breakers
        }
        found = await self._db.fetch(
            "introduce",
            instance=instance,
            session=job.session,
            connection=hello.connection,
            again=job.again,
            boot=hello.boot,
            agent_name=hello.agent.name,
            agent_version=hello.agent.version,
            labels=as_json(hello.labels) or "{}",
            connected=job.connected,
        )
        if not found:
            raise GoneFromRegistry
        [(taken_from, boot_before, name, is_left, is_back)] = found
        if is_left:
            return None
        if is_back:
            self.back.add(instance)
        if boot_before != hello.boot:
            if boot_before is not None:
                self._db.ask("end_commands", instance=instance, called=name)
            self._db.ask("begin_life", instance=instance)
        unknown_revisions: dict[str, int] = {}
        if hello.breakers:
            presented = {ids[item.breaker]: item for item in hello.breakers}
            if boot_before == hello.boot:  # an earlier hello of this life did not name all
                self._returned += await self._silent_in([instance]) & {
                    (breaker, instance) for breaker in presented
                }
            if len(hello.breakers) < HELLO_MAX:  # else it may have more than it can name
                await self._leave(instance, hello.boot, presented)
            found = await self._db.fetch(
                "present_breakers",
                instance=instance,
                boot=hello.boot,
                breakers=list(presented),
                libraries=[item.library or None for item in presented.values()],
                configs=[as_json(item.config) for item in presented.values()],
                applied=[item.applied_revision for item in presented.values()],
            )
            for breaker, is_unknown, had_left in found:
                item = presented[breaker]
                if is_unknown:
                    unknown_revisions[item.breaker] = item.applied_revision or 0
                if had_left:
                    self._returned.append((breaker, instance))
            news = [
                row
                for breaker, item in presented.items()
                if (row := self._news_of_hello(service, breaker, instance, hello.boot, item))
            ]
            await self._record(news)
            for breaker, item in presented.items():
                due = item.probe_due_at
                if due is not None and amiss_in_due(due, at=self._now) is None:
                    self._ledger.note_due((breaker, instance), due)
                if item.target and item.target != self._breakers[breaker].target:
                    self.new_targets[breaker] = item.target
        self._ledger.changed |= set(ids.values())
        self.applied |= set(ids.values())
        self._ledger.changed |= self._breakers_of(instance)
        taken_from = taken_from if taken_from != job.session else None
        return Introduced(service, instance, name, ids, taken_from, unknown_revisions)

    async def _leave(self, instance: int, boot: str, presented: Iterable[int]) -> None:
        """What earlier hellos had named and this one does not."""
        found = await self._db.fetch(
            "leave_breakers", instance=instance, boot=boot, breakers=sorted(presented)
        )
        left = {(breaker, instance): was_here for breaker, gone, was_here in found if gone}
        self._part(left)
        self._ledger.look_again(pair for pair, was_here in left.items() if was_here)

    async def _settle(self, job: Settle) -> None:
        instance = job.instance_id
        found = await self._db.fetch("settle_leaving", instance=instance)
        left = [(breaker, instance) for breaker, leaves, _ in found if leaves]
        self._part(left)
        self._ledger.look_again(left)
        self._returned += [(breaker, instance) for breaker, _, is_back in found if is_back]

    def _part(self, left: Collection[Pair]) -> None:
        """Raises Moved where another process has just named one of them, which is not under lock."""
        if any(breaker not in self._breakers for breaker, _ in left):
            raise Moved
        self.left += left

    def _news_of_hello(
        self, service: int, breaker: int, instance: int, boot: str, item: BreakerHello
    ) -> Row | None:
        """The state change that a presented state stands for, or None where it is known or stale."""
        held = self._ledger.held((breaker, instance))
        state = State(item.state)
        natural = State(item.natural_state) if item.natural_state else None
        if held and held.state is state and (natural is None or natural is held.natural_state):
            return None
        same_boot = held is not None and held.last.boot == boot
        seq = item.seq if item.seq is not None or not same_boot or held is None else held.last.seq
        at = self._now
        if item.since is not None and item.since < self._now:
            # Compared first: a time at the edge of the calendar cannot be moved to UTC.
            oldest = self._now - _OLDEST
            at = item.since.astimezone(UTC) if item.since > oldest else oldest
        if held is not None and (same_boot or (instance, boot) not in self._ledger.boots):
            if same_boot and (seq if seq is not None else -1) < (
                held.last.seq if held.last.seq is not None else -1
            ):
                return None
            # What an agent says of itself now comes after all it said, whatever its clock said then.
            if at <= held.last.occurred_at:
                at = max(self._now, held.last.occurred_at + _STEP)
        return self._server_row(
            service,
            breaker,
            instance,
            to=state,
            natural=natural,
            boot=boot,
            seq=seq,
            at=at,
            reason="hello",
            event_id=lowest_id(),
        )

    async def _report(self, reports: Mapping[Pair, Report]) -> None:
        said = [job.applied for job in reports.values()]
        believed = await self._db.fetch(
            "store_applied",
            breakers=[breaker for breaker, _ in reports],
            instances=[instance for _, instance in reports],
            sessions=[str(job.session) for job in reports.values()],
            revisions=[one.revision for one in said],
            oks=[one.ok for one in said],
            errors=[
                None
                if one.ok
                else (one.error or "the agent gave no reason").replace("\0", "")[:DETAIL_MAX]
                for one in said
            ],
        )
        breakers = {breaker for breaker, *_ in believed}
        self._ledger.changed |= breakers
        self.applied |= breakers
        # A refusal ends with its life and the next one takes its place: history has them all.
        await self._record(
            [
                row
                for breaker, instance, ok, revision, refusal in believed
                for job in [reports[breaker, instance]]
                if (
                    row := self._news_of_report(job)
                    if ok
                    else self._note_of_refusal(job, revision, refusal)
                )
            ]
        )

    def _note_of_refusal(self, job: Report, revision: int, refusal: str | None) -> Row | None:
        """None where it is no news."""
        if refusal is None:
            return None
        held = self._ledger.held((job.breaker_id, job.instance_id))
        return self._server_row(
            job.service_id,
            job.breaker_id,
            job.instance_id,
            to=None,
            natural=None,
            boot=held.last.boot if held else None,
            seq=held.last.seq if held else None,
            at=job.heard_at,
            reason="refused",
            detail=f"revision {revision}: {refusal}"[:DETAIL_MAX],
            cause="override",
        )

    def _news_of_report(self, job: Report) -> Row | None:
        """The state change that a success stands for, or None where it is known."""
        said = job.applied
        held = self._ledger.held((job.breaker_id, job.instance_id))
        if said.state is None or held is None:
            return None
        state = State(said.state)
        natural = State(said.natural_state) if said.natural_state else None
        if held.state is state and (natural is None or natural is held.natural_state):
            return None
        return self._server_row(
            job.service_id,
            job.breaker_id,
            job.instance_id,
            to=state,
            natural=natural,
            boot=held.last.boot,
            seq=held.last.seq,
            at=max(job.heard_at, held.last.occurred_at + _STEP),
            reason="applied",
            cause="override",
        )

    async def _lose(self, job: Lose) -> list[int]:
        lost = [id for (id,) in await self._db.fetch("lose", instances=sorted(job.instance_ids))]
        services: dict[int, int] = dict(
            await self._db.fetch("services_of_instances", instances=lost)
        )
        left = await self._left_by(lost)
        rows = []
        for instance in lost:
            for breaker, _ in self._pairs_of.get(instance, ()):
                held = self._ledger.held((breaker, instance))
                if held is None or held.state is State.UNKNOWN or (breaker, instance) in left:
                    continue
                rows.append(
                    self._server_row(
                        services[instance],
                        breaker,
                        instance,
                        to=State.UNKNOWN,
                        natural=None,
                        boot=held.last.boot,
                        seq=held.last.seq,
                        at=max(self._now, held.last.occurred_at + _STEP),
                        reason="instance_lost",
                    )
                )
        await self._record(rows)
        return lost

    def _server_row(
        self,
        service: int,
        breaker: int,
        instance: int,
        *,
        to: State | None,
        natural: State | None,
        boot: str | None,
        seq: int | None,
        at: datetime,
        reason: str,
        detail: str | None = None,
        cause: Cause = "unknown",
        event_id: str | None = None,
    ) -> Row:
        """A state change, or a note where it is one to no state."""
        held = self._ledger.held((breaker, instance))
        event = Happened(
            environment="",
            service="",
            instance="",
            breaker="",
            type="note" if to is None else "state_change",
            event_id=event_id or str(uuid.uuid4()),
            named=False,
            timed=True,
            occurred_at=at,
            to=to,
            from_=held.state if held and to else None,
            natural_state=natural,
            boot=boot,
            seq=seq,
            cause=cause,
            reason=reason,
            detail=detail,
            origin=Origin.SERVER,
        )
        return Row(service, (breaker, instance), event, at)

    async def _record(self, rows: Sequence[Row]) -> None:
        if rows:
            async with self._db.copying("copy_events", partial(events_as_lines, rows)):
                pass
            await self._ledger.take(rows)
