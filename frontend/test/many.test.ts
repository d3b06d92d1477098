import assert from "node:assert/strict";
import test from "node:test";
import type { Touched } from "../src/api/overrides";
import { actWords, instancesWords, reachWords, standingWords } from "../src/model/many";

const held = { mode: "forced_open", reason: "down", by: "ana", by_kind: "person" as const, expires_at: null, instances: null, applied: 1, pending: 0 } as const;
const touched = (named: Partial<Touched> = {}): Touched => ({
  id: "1",
  environment: "prod",
  service: "orders",
  breaker: "catalog-api",
  target: "catalog",
  state: "closed",
  override: null,
  instances: ["a", "b"],
  unreachable: [],
  planned: null,
  ...named,
});

test("what would be touched is counted, and what is in the way is named", () => {
  assert.equal(reachWords([touched()], false), "1 breaker, 2 instances.");
  assert.equal(
    reachWords([touched({ override: { ...held } }), touched({ unreachable: ["a"] })], false),
    "2 breakers, 4 instances. 1 is overridden already, and that is replaced. 1 instance cannot obey: known by events alone.",
  );
  assert.equal(reachWords([touched({ planned: "2026-11-25T02:00:00Z" }), touched()], false), "2 breakers, 4 instances. 1 has a plan that waits, and that is replaced.");
  assert.equal(reachWords([touched({ override: { ...held } })], true), "1 breaker, 2 instances.");
  assert.equal(reachWords([], false), "No breaker matches: nothing would be touched.");
  assert.equal(reachWords([], true), "No override stands on what matches: there is nothing to release.");
});

test("the button says what it does, and a row what stands", () => {
  assert.equal(actWords("Force open", [touched(), touched()], false), "Force open 2 breakers");
  assert.equal(actWords("Force open", [touched()], true), "Plan: force open 1 breaker");
  assert.equal(standingWords(touched()), "none stands");
  assert.equal(standingWords(touched({ override: { ...held } })), "forced open by ana: down");
  assert.equal(instancesWords(touched({ unreachable: ["a"] })), "2 instances, 1 cannot obey");
});
