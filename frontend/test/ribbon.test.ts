import assert from "node:assert/strict";
import test from "node:test";
import { ribbon, trips, type Change, type Span } from "../src/model/ribbon";
import type { State } from "../src/model/summary";

const change = (at: number, from: State | null, to: State, instance = "a"): Change => ({ at, from, to, instance });
const said = (spans: readonly Span[]): string => spans.map((span) => `${span.state} ${span.start}-${span.end}`).join(", ");
const at = (state: State, states: Partial<Record<State, number>>, since: string | null = null) => ({ state, states, since });

test("a breaker that stood still is one span", () => {
  assert.equal(said(ribbon([], at("closed", { closed: 3 }, new Date(0).toISOString()), 100, 200)), "closed 100-200");
});

test("what is not in history is left blank, never guessed", () => {
  assert.equal(said(ribbon([], at("closed", { closed: 1 }, new Date(150).toISOString()), 100, 200)), "null 100-150, closed 150-200");
  assert.equal(said(ribbon([], at("closed", { closed: 1 }, null), 100, 200)), "null 100-200");
  assert.equal(said(ribbon([change(150, null, "open")], at("open", { open: 1 }), 100, 200)), "null 100-150, open 150-200");
});

test("it is as its gravest instance at each moment", () => {
  const changes = [change(120, "closed", "open"), change(140, "closed", "open", "b"), change(160, "open", "half_open"), change(180, "open", "closed", "b")];
  assert.equal(said(ribbon(changes, at("half_open", { half_open: 1, closed: 1 }), 100, 200)), "closed 100-120, open 120-180, half_open 180-200");
});

test("instances without a change count as they stand now", () => {
  const changes = [change(150, "closed", "open"), change(170, "open", "closed")];
  assert.equal(said(ribbon(changes, at("open", { open: 1, closed: 1 }), 100, 200)), "open 100-200");
});

test("a lost instance does not outweigh a live one", () => {
  assert.equal(said(ribbon([change(150, "closed", "unknown")], at("closed", { closed: 1, unknown: 1 }), 100, 200)), "closed 100-200");
  assert.equal(said(ribbon([change(150, "closed", "unknown")], at("unknown", { unknown: 1 }), 100, 200)), "closed 100-150, unknown 150-200");
});

test("a summary that is fresher than history has the last word, and nothing before it is guessed", () => {
  const since = new Date(190).toISOString();
  const history = [change(120, null, "closed"), change(120, null, "closed", "b"), change(185, "closed", "open")];
  assert.equal(said(ribbon(history, at("open", { open: 2 }, since), 100, 200)), "null 100-120, closed 120-185, open 185-200");
  assert.equal(said(ribbon(history.slice(0, 2), at("open", { open: 2 }, since), 100, 200)), "null 100-120, closed 120-190, open 190-200");
});

test("changes before the window only say how it began", () => {
  assert.equal(said(ribbon([change(50, "closed", "open"), change(150, "open", "closed")], at("closed", { closed: 1 }), 100, 200)), "open 100-150, closed 150-200");
});

test("trips are openings inside the window", () => {
  const span = (state: State): Span => ({ start: 0, end: 1, state });
  assert.equal(trips([span("open"), span("closed"), span("open"), span("half_open"), span("open")]), 2);
  assert.equal(trips([span("open")]), 0);
});
