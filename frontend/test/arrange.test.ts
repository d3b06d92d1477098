import assert from "node:assert/strict";
import test from "node:test";
import { arrange, held } from "../src/model/arrange";
import type { Summary } from "../src/model/summary";
import { breaker, override } from "./make";

const QUIET = { incidents: new Set<string>(), now: Date.parse("2026-11-09T14:00:00Z") };
const names = (summaries: readonly Summary[]): string[] => summaries.map((summary) => `${summary.service} ${summary.state}`);

test("grouped by service, the service with the gravest breaker comes first", () => {
  const { look } = arrange(
    [breaker({ state: "half_open", service: "b" }), breaker({ state: "unknown", service: "a" }), breaker({ state: "open", service: "a", target: "z" })],
    QUIET,
    "service",
  );
  assert.deepEqual(names(look), ["a open", "a unknown", "b half_open"]);
});

test("the well are grouped by service, and a hand on one is no wellness", () => {
  const overridden = breaker({
    state: "forced_closed",
    override: override({ mode: "forced_closed" }),
  });
  const { look, well } = arrange([breaker({ service: "b" }), breaker({ service: "a" }), breaker({ service: "b", target: "a" }), overridden], QUIET);
  assert.deepEqual(look, [overridden]);
  assert.deepEqual(well.map((group) => [group.service, group.members.length]), [["a", 1], ["b", 2]]);
});

test("a held picture keeps places, shows new states, and says how many wait", () => {
  const [open, closed] = [breaker({ state: "open" }), breaker({ state: "closed", service: "feed" })];
  const before = arrange([open, closed], QUIET);
  const after = [{ ...open, state: "closed" as const }, { ...closed, state: "open" as const }];
  const { shown, waiting } = held(before, arrange(after, QUIET), new Map(after.map((summary) => [summary.id, summary])));
  assert.deepEqual(names(shown.look), ["orders closed"]);
  assert.deepEqual(names(shown.well.flatMap((group) => group.members)), ["feed open"]);
  assert.equal(waiting, 1);
});

test("a breaker that is gone leaves a held picture", () => {
  const open = breaker({ state: "open" });
  const { shown } = held(arrange([open], QUIET), arrange([], QUIET), new Map());
  assert.deepEqual([shown.look, shown.well], [[], []]);
});
