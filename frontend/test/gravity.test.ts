import assert from "node:assert/strict";
import test from "node:test";
import { arrange } from "../src/model/arrange";
import { rung, RUNGS } from "../src/model/gravity";
import cases from "./cases/gravity.json";
import { breaker, override } from "./make";

const NOW = Date.parse(cases.now);
const made = cases.gravest_first.map(({ breaker: named, incident = false, ...said }, n) => {
  const { override: held, ...rest } = named as Record<string, unknown>;
  return { ...said, incident, summary: breaker({ ...rest, target: `${10 + n}`, ...(held ? { override: override(held) } : {}) }) };
});

for (const { what, rung: said, incident, summary } of made) {
  test(`${what}: ${said}`, () => assert.equal(rung(summary, incident, NOW), said));
}

test("the board stands in this order, whatever order it comes in", () => {
  const incidents = new Set(made.filter((one) => one.incident).map((one) => one.summary.id));
  const { look, rungs, well, gone } = arrange(made.map((one) => one.summary).reverse(), { incidents, now: NOW });
  const ofLook = made.filter((one) => one.rung !== "well" && one.rung !== "gone");
  assert.deepEqual(look.map((one) => rungs.get(one.id)), ofLook.map((one) => one.rung));
  assert.deepEqual(look, ofLook.map((one) => one.summary));
  for (const [name, groups] of Object.entries({ well, gone })) {
    assert.deepEqual(groups.flatMap((group) => group.members), made.filter((one) => one.rung === name).map((one) => one.summary));
  }
  assert.deepEqual([...new Set(made.map((one) => one.rung))], RUNGS);
});
