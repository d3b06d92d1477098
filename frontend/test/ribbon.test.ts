import assert from "node:assert/strict";
import test from "node:test";
import { moment } from "../src/model/moment";
import { painted, ribbon, trips, tripWords, type Change, type Past, type Span } from "../src/model/ribbon";
import type { State } from "../src/model/summary";

const change = (at: number, from: State | null, to: State, instance = "a"): Change => ({ at, from, to, instance });
const said = (spans: readonly Span[]): string => spans.map((span) => `${span.state} ${span.start}-${span.end}`).join(", ");
const at = (state: State, states: Partial<Record<State, number>>, since: string | null = null, outage: number | null = null) => ({
  instances: Object.values(states).reduce((sum, count) => sum + count, 0),
  state,
  states,
  since,
  not_closed_since: outage === null ? null : new Date(outage).toISOString(),
});
const whole = (...changes: Change[]): Past => ({ changes, gap: null });

test("a breaker that stood still is one span", () => {
  assert.equal(said(ribbon(whole(), at("closed", { closed: 3 }, new Date(0).toISOString()), 100, 200)), "closed 100-200");
});

test("what is not in history is left blank, never guessed", () => {
  assert.equal(said(ribbon(whole(), at("closed", { closed: 1 }, new Date(150).toISOString()), 100, 200)), "null 100-150, closed 150-200");
  assert.equal(said(ribbon(whole(), at("closed", { closed: 1 }, null), 100, 200)), "null 100-200");
  assert.equal(said(ribbon(whole(change(150, null, "open")), at("open", { open: 1 }), 100, 200)), "null 100-150, open 150-200");
});

test("it is as its gravest instance at each moment", () => {
  const changes = [change(120, "closed", "open"), change(140, "closed", "open", "b"), change(160, "open", "half_open"), change(180, "open", "closed", "b")];
  assert.equal(said(ribbon(whole(...changes), at("half_open", { half_open: 1, closed: 1 }), 100, 200)), "closed 100-120, open 120-180, half_open 180-200");
});

test("instances without a change count as they stand now", () => {
  const changes = [change(150, "closed", "open"), change(170, "open", "closed")];
  assert.equal(said(ribbon(whole(...changes), at("open", { open: 1, closed: 1 }), 100, 200)), "open 100-200");
});

test("a lost instance does not outweigh a live one", () => {
  assert.equal(said(ribbon(whole(change(150, "closed", "unknown")), at("closed", { closed: 1, unknown: 1 }), 100, 200)), "closed 100-200");
  assert.equal(said(ribbon(whole(change(150, "closed", "unknown")), at("unknown", { unknown: 1 }), 100, 200)), "closed 100-150, unknown 150-200");
});

test("a summary that is fresher than history has the last word, and nothing before it is guessed", () => {
  const since = new Date(190).toISOString();
  const history = [change(120, null, "closed"), change(120, null, "closed", "b"), change(185, "closed", "open")];
  assert.equal(said(ribbon(whole(...history), at("open", { open: 2 }, since), 100, 200)), "null 100-120, closed 120-185, open 185-200");
  assert.equal(said(ribbon(whole(...history.slice(0, 2)), at("open", { open: 2 }, since), 100, 200)), "null 100-120, closed 120-190, open 190-200");
});

test("it ends where the last instance took its leave", () => {
  const gone = (since: number | null) => at("unknown", {}, since === null ? null : new Date(since).toISOString());
  const history = whole(change(50, "open", "closed"));
  assert.equal(said(ribbon(history, gone(150), 100, 200)), "closed 100-150, null 150-200");
  assert.equal(said(ribbon(history, gone(90), 100, 200)), "null 100-200");
  assert.equal(said(ribbon(history, gone(null), 100, 200)), "null 100-200");
});

test("changes before the window only say how it began", () => {
  assert.equal(said(ribbon(whole(change(50, "closed", "open"), change(150, "open", "closed")), at("closed", { closed: 1 }), 100, 200)), "open 100-150, closed 150-200");
});

test("what changed twice within a millisecond, or at one instant, ends as it ended", () => {
  const [probed, closed] = [moment("2026-11-09T14:00:00.123400Z"), moment("2026-11-09T14:00:00.123493+00:00")];
  assert.ok(probed < closed && closed - probed < 1);
  const [start, end] = [probed - 10, closed + 10];
  const newestFirst = [change(closed, "half_open", "closed"), change(probed, "open", "half_open")];
  assert.equal(ribbon(whole(...newestFirst), at("closed", { closed: 1 }), start, end).at(-1)?.state, "closed");

  const tied = newestFirst.map((one) => ({ ...one, at: 150 }));
  assert.equal(said(ribbon(whole(...tied), at("closed", { closed: 1 }), 100, 200)), "open 100-150, closed 150-200");
  const counted = [{ ...change(150, "open", "half_open"), seq: 7 }, { ...change(150, "half_open", "closed"), seq: 8 }];
  assert.equal(said(ribbon(whole(...counted), at("closed", { closed: 1 }), 100, 200)), "open 100-150, closed 150-200");
});

test("in a gap it was not closed since the outage began, and before that nobody knows", () => {
  const newest = [change(180, "open", "half_open"), change(181, "half_open", "open"), change(182, "open", "half_open", "b"), change(183, "half_open", "open", "b")];
  const beginning = [change(110, "closed", "open"), change(115, "closed", "open", "b")];
  const gap = { start: 120, end: 180 };

  assert.equal(said(ribbon({ changes: [...newest, ...beginning], gap }, at("open", { open: 2 }, null, 110), 100, 200)), "closed 100-110, open 110-200");
  assert.equal(said(ribbon({ changes: newest, gap: { start: 100, end: 180 } }, at("open", { open: 2 }, null, 50), 100, 200)), "open 100-200");
  assert.equal(said(ribbon({ changes: newest, gap: { start: 100, end: 180 } }, at("open", { open: 2 }, null, 150), 100, 200)), "null 100-150, open 150-200");
});

test("what an instance left after a gap says nothing of before it", () => {
  const changes = [change(190, "open", "half_open", "b"), change(110, "open", "closed"), change(110, "closed", "open")];
  const spans = ribbon({ changes, gap: { start: 120, end: 180 } }, at("half_open", { closed: 1, half_open: 1 }, null, 175), 100, 200);
  assert.equal(said(spans), "closed 100-120, null 120-175, open 175-190, half_open 190-200");
});

const spans = (...states: (State | null)[]): Span[] => states.map((state, n) => ({ start: n, end: n + 1, state }));

test("a trip is one leaving of closed", () => {
  assert.equal(trips(spans("open", "closed", "open", "half_open", "open", "half_open", "open")), 1);
  assert.equal(trips(spans("closed", "open", "half_open", "closed", "open")), 2);
  assert.equal(trips(spans("closed", "half_open", "open")), 1);
  assert.equal(tripWords(spans("closed", "open")), "1 trip");
});

test("what stood open from the start, was taken by hand or comes from the unknown is no trip", () => {
  assert.equal(trips(spans("open")), 0);
  assert.equal(trips(spans("closed", "forced_open", "open")), 0);
  assert.equal(trips(spans(null, "open")), 0);
  assert.equal(trips(spans("closed", "unknown", "open")), 0);
});

test("a probe that the instances make unevenly is no trip, however often it fails", () => {
  const changes = [change(110, "closed", "open"), change(111, "closed", "open", "b")];
  for (let n = 0; n < 10; n++) changes.push(change(120 + n * 5, "open", "half_open"), change(121 + n * 5, "half_open", "open"));
  changes.push(change(150, "open", "closed", "b"), change(155, "closed", "open", "b"));
  assert.equal(tripWords(ribbon(whole(...changes), at("open", { open: 2 }, null, 110), 100, 200)), "1 trip");
});

test("trouble is painted over what is calm, and the gravest last", () => {
  const spans = (["closed", "open", "half_open", "closed"] as State[]).map((state, at) => ({ state, start: at, end: at + 1 }));
  assert.equal(painted(spans).map(({ state, start }) => `${state} ${start}`).join(), "closed 0,closed 3,half_open 2,open 1");
});
