import assert from "node:assert/strict";
import test from "node:test";
import { filteredUnderline, headline, tabTitle, underline } from "../src/model/headline";
import { standingTitle, type State, type Summary } from "../src/model/summary";
import { ago, breakable, clock, instanceMarks, instanceWords, lasting, left, percent, probeDue, rateTail, rateWords, smallLine, standingSince } from "../src/model/words";
import cases from "./cases/words.json";
import { breaker } from "./make";

for (const [name, say] of Object.entries({ lasting, ago, left, percent })) {
  test(`${name} is said as the server says it`, () => {
    for (const [value, said] of cases[name as "lasting"]) assert.equal(say(value as number), said);
  });
}

test("when a probe is due is said as the server says it", () => {
  for (const [seconds, time, said] of cases.probe as [number, string, string][]) assert.equal(probeDue(seconds, time), said);
});

test("a clock says hours, minutes and seconds, and another day by its name", () => {
  const at = new Date(2026, 10, 9, 22, 7, 48).getTime();
  assert.equal(clock(at, at + 60_000), "22:07:48");
  assert.ok(/^9 Nov,? 22:07$/.test(clock(at, at + 86_400_000)));
});

test("a name goes on in the next line where the server lets it", () => {
  for (const [name, pieces] of cases.breakable as [string, string[]][]) assert.deepEqual(breakable(name), pieces);
});

test("since when is said as the server says it", () => {
  const moment = (clock: string | null): string | null => (clock === null ? null : `2026-11-09T${clock}Z`);
  for (const [[state, since, outage], [lead, from]] of cases.since as unknown as [[State, string | null, string | null], [string, string | null]][]) {
    assert.deepEqual(standingSince({ state, since: moment(since), not_closed_since: moment(outage) }), { lead, since: moment(from) });
  }
});

for (const { what, breakers, look = 0, headline: sentence, underline: line, tab } of cases.sentences) {
  test(`the headline when ${what}`, () => {
    const summaries = breakers.map((named) => breaker(named as Partial<Summary>));
    assert.equal(headline(summaries, false, look).map((part) => part.text).join(""), sentence);
    assert.equal(underline(summaries), line);
    assert.equal(tabTitle(summaries), tab);
  });
}

for (const { what, shown, hidden, headline: sentence, underline: line } of cases.filtered) {
  test(`a filtered board when ${what}`, () => {
    const [seen, unseen] = [shown, hidden].map((named) => named.map((one) => breaker(one as Partial<Summary>))) as [Summary[], Summary[]];
    assert.equal(headline(seen, true).map((part) => part.text).join(""), sentence);
    assert.equal(filteredUnderline(seen, unseen), line);
  });
}

test("what the headline is about filters by it", () => {
  const parts = headline([breaker({ state: "open" }), breaker({ state: "open", service: "feed" })]);
  assert.equal(parts.find((part) => part.filter !== undefined)?.filter, 'target="catalog"');
  assert.equal(parts[0]?.state, "open");
});

test("a breaker's standing is said as the server says it", () => {
  for (const { breaker: named, title, instances, rate, tail, small } of cases.standings) {
    const summary = breaker(named as unknown as Partial<Summary>);
    assert.equal(instanceWords(summary), instances);
    if (title !== undefined) assert.equal(standingTitle(summary), title);
    assert.equal(rateWords(summary), rate);
    if (tail !== undefined) assert.equal(rateTail(summary), tail);
    assert.equal(smallLine(summary), small);
  }
});

test("instance marks are gravest first, lost ones last, and bounded", () => {
  const summary = breaker({ state: "open", states: { closed: 9, unknown: 1, open: 2 }, instances: 12 });
  const { marks, more } = instanceMarks(summary, 10);
  assert.deepEqual(marks.slice(0, 3), ["open", "open", "closed"]);
  assert.equal(marks.length + more, 12);
  assert.equal(instanceMarks(summary, 12).marks.at(-1), "unknown");
});
