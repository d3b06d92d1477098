import assert from "node:assert/strict";
import test from "node:test";
import { readOn, readPast, type Page, type Read } from "../src/model/past";
import { ribbon, tripWords, type Change, type Past } from "../src/model/ribbon";
import type { State } from "../src/model/summary";

const PAGE = 20;
const T0 = Date.parse("2026-11-09T14:00:00Z");
const at = (s: number): number => T0 + s * 1_000;
const iso = (s: number): string => new Date(at(s)).toISOString();
const change = (s: number, from: State, to: State): Change => ({ instance: "a", at: at(s), from, to });

/** Tripped at a moment, probed every 5 s in vain until another. */
function outage(from: number, until: number): Change[] {
  const changes = [change(from, "closed", "open")];
  for (let s = from + 5; s < until; s += 5) changes.push(change(s, "open", "half_open"), change(s + 1, "half_open", "open"));
  return changes;
}

/** Pages of a history as the API gives them: newest first, bounded, with a cursor. */
function api(history: readonly Change[], asked: string[] = []): Read {
  return ({ since, until, cursor }): Promise<Page<Change>> => {
    asked.push(until ?? cursor ?? "");
    const found = history
      .filter((one) => one.at >= Date.parse(since) && (until === undefined || one.at < Date.parse(until)))
      .sort((a, b) => b.at - a.at);
    const start = Number(cursor ?? 0);
    return Promise.resolve({ items: found.slice(start, start + PAGE), next: found.length > start + PAGE ? String(start + PAGE) : null });
  };
}

const drawn = (past: Past | null, state: State, since: number, began: number | null): string => {
  const standing = { instances: 1, state, states: { [state]: 1 }, since: iso(since), not_closed_since: began === null ? null : iso(began) };
  const spans = ribbon(past ?? { changes: [], gap: null }, standing, at(0), at(1_800));
  const said = spans.slice(0, 2).map((span) => `${span.state} ${(span.start - T0) / 1_000}`);
  return `${said.join(", ")}: ${tripWords(spans)}`;
};

test("a short history is one page", async () => {
  const asked: string[] = [];
  const past = await readPast(api([change(600, "closed", "open")], asked), new Date(T0), iso(600));
  assert.equal(past?.gap, null);
  assert.deepEqual(asked, [""]);
});

test("a long outage is its newest page and its beginning", async () => {
  const asked: string[] = [];
  const past = await readPast(api(outage(600, 1_790), asked), new Date(T0), iso(600));
  assert.equal(drawn(past, "open", 1_786, 600), "closed 0, open 600: 1 trip");
  assert.deepEqual(asked, ["", iso(630)]);
});

test("an outage older than the window fills it", async () => {
  const past = await readPast(api(outage(-600, 1_790)), new Date(T0), iso(-600));
  assert.equal(drawn(past, "open", 1_786, -600), "open 0, half_open 1740: 0 trips");
});

test("what lies before a young outage is read on, and left blank where it is too long", async () => {
  const history = [...outage(600, 900), change(901, "open", "closed"), ...outage(1_790, 1_800)];
  const past = await readPast(api(history), new Date(T0), iso(1_790));
  assert.deepEqual(past?.gap, { start: T0, end: Math.min(...(past?.changes ?? []).map((one) => one.at)) });
  assert.equal(past?.changes.length, 3 * PAGE);
});

test("without an outage as many pages are read as it takes", async () => {
  const history = [...outage(600, 640), change(641, "open", "closed")];
  const past = await readPast(api(history), new Date(T0), null);
  assert.equal(past?.gap, null);
  assert.equal(drawn(past, "closed", 641, null), "closed 0, open 600: 1 trip");
});

test("history that cannot be had is no history", async () => {
  assert.equal(await readPast(() => Promise.resolve(null), new Date(T0), null), null);
});

test("what is new is read on by itself, and all of it once a minute", async () => {
  const asked: string[] = [];
  const [older, newer] = [outage(600, 640), [change(1_800, "open", "half_open"), change(1_801, "half_open", "open")]];
  const first = await readOn(api(older, asked), new Date(at(0)), iso(600), null);
  const whole = asked.splice(0).length;

  const second = await readOn(api([...older, ...newer], asked), new Date(at(10)), iso(600), first);
  assert.equal(asked.splice(0).length, 1);
  assert.deepEqual(second?.changes.length, older.length + newer.length);
  assert.equal(new Set(second?.changes.map((one) => one.at)).size, older.length + newer.length);

  const late = change(620.5, "open", "half_open");
  const third = await readOn(api([...older, late, ...newer], asked), new Date(at(61)), iso(600), second);
  assert.ok(asked.length >= whole);
  assert.ok(third?.changes.includes(late));
});

test("more news than a page holds is read as at first", async () => {
  const first = await readOn(api(outage(600, 610)), new Date(at(0)), iso(600), null);
  const second = await readOn(api(outage(600, 1_790)), new Date(at(10)), iso(600), first);
  assert.equal(drawn(second, "open", 1_786, 600), "closed 0, open 600: 1 trip");
});
