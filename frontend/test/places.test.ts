import assert from "node:assert/strict";
import test from "node:test";
import { placeOf } from "../src/model/places";

const names = ["name", "params.count", "params.percent", "matchers", "trip.count"];

test("a problem stands beside its own field", () => {
  assert.equal(placeOf(["params", "count"], names), "params.count");
  assert.equal(placeOf(["trip", "count"], names), "trip.count");
  assert.equal(placeOf(["name"], names), "name");
});

test("what is within a field stands beside that", () => {
  assert.equal(placeOf(["matchers", 1], names), "matchers");
  assert.equal(placeOf(["params", "count", "more"], names), "params.count");
});

test("what no field is about has no place", () => {
  assert.equal(placeOf(["kind"], names), undefined);
  assert.equal(placeOf(["params"], names), undefined);
  assert.equal(placeOf([], names), undefined);
});
