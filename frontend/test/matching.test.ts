import assert from "node:assert/strict";
import test from "node:test";
import { matchingWords } from "../src/model/matching";

test("matchers that choose nothing are warned of", () => {
  assert.deepEqual(matchingWords({ ok: true, value: { breakers: 0, of: 12 } }), { words: "⚠ Matches 0 of 12 breakers now: nothing would fire.", warns: true });
  assert.deepEqual(matchingWords({ ok: true, value: { breakers: 3, of: 1204 } }), { words: "Matches 3 of 1,204 breakers now.", warns: false });
  assert.equal(matchingWords({ ok: true, value: { breakers: 0, of: 0 } }).warns, false);
});

test("what is wrong is said with its line", () => {
  const errors = [{ loc: ["matchers", 1], msg: "no breaker has a label “env”" }];
  const refused = matchingWords({ ok: false, problem: { status: 422, title: "Invalid input", detail: "", errors, retry: false } });
  assert.deepEqual(refused, { words: "Line 2: no breaker has a label “env”.", warns: true });
});
