import assert from "node:assert/strict";
import test from "node:test";
import { meaning } from "../src/page/parts";

test("a missing worker is told by what it means", () => {
  assert.ok(meaning(["worker"]).startsWith("No worker answers: alerts, messages and policies wait"));
});

test("without redis nobody claims to know of the worker", () => {
  assert.equal(meaning(["redis", "worker"]), meaning(["redis"]));
});

test("beat is told by what waits, unless nobody would hear the time", () => {
  assert.ok(meaning(["beat"]).startsWith("Nothing gives the time (beat): rules that go by it"));
  assert.equal(meaning(["worker", "beat"]), meaning(["worker"]));
  assert.equal(meaning(["redis", "worker", "beat"]), meaning(["redis"]));
});

test("an unknown part is named", () => {
  assert.equal(meaning(["oracle"]), "oracle does not answer.");
});
