import assert from "node:assert/strict";
import test from "node:test";

import { missing, missingWords, onWhich, toChoose, within } from "../src/model/scope";

test("all are counted, and a few chosen ones are named", () => {
  assert.equal(onWhich(null, 3), "3 instances");
  assert.equal(onWhich(["a", "b"], 3), "a, b");
  assert.equal(onWhich(["a", "b", "c", "d"], 9), "4 instances");
  assert.equal(onWhich([], 3), "0 instances");
});

test("what is told of a wish is told of those that it is for", () => {
  const all = [{ instance: "a" }, { instance: "b" }];
  assert.deepEqual(within(null, all), all);
  assert.deepEqual(within(["b"], all), [{ instance: "b" }]);
});

test("a chosen instance that has left stays to be seen", () => {
  assert.deepEqual(toChoose(["c", "a"], ["b", "a"]), ["a", "b", "c"]);
});

test("who has left since it was chosen is told", () => {
  assert.deepEqual(missing(["a", "b"], ["b", "c"]), ["a"]);
  assert.deepEqual(missing(null, []), []);
  assert.equal(missingWords([]), "");
  assert.equal(missingWords(["a"]), " a is not known any more.");
  assert.equal(missingWords(["a", "b"]), " a, b are not known any more.");
});
