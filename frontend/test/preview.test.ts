import assert from "node:assert/strict";
import test from "node:test";
import { lastedWords, previewWords } from "../src/model/preview";

const nothing = { breakers: 12, events: 340, total: 0, incidents: [] };

test("a preview says how often, and by how much it was judged", () => {
  assert.equal(previewWords(nothing, "last 24 h"), "Over the last 24 h it would not have fired, by 340 changes of 12 breakers.");
  assert.equal(previewWords({ ...nothing, total: 1, breakers: 1, events: 1 }, "last 7 d"), "Over the last 7 d it would have fired once, by 1 change of 1 breaker.");
  assert.equal(previewWords({ ...nothing, total: 1204 }, "last 30 d"), "Over the last 30 d it would have fired 1,204 times, by 340 changes of 12 breakers.");
  assert.equal(previewWords({ ...nothing, breakers: 0 }, "last 24 h"), "Over the last 24 h its matchers choose no breaker.");
});

test("each incident says how long, or that it lasts", () => {
  const one = { summary: "s", environment: "prod", started_at: "2026-11-09T13:00:00Z", resolved_at: "2026-11-09T13:01:05Z", from_before: false };
  assert.equal(lastedWords(one), "for 1 min 05 s");
  assert.equal(lastedWords({ ...one, resolved_at: null }), "still firing");
  assert.equal(lastedWords({ ...one, from_before: true }), "began before, for 1 min 05 s of it");
});
