import assert from "node:assert/strict";
import test from "node:test";
import { filter } from "../src/model/filter";
import { breaker } from "./make";

const orders = breaker({ state: "open" });
const feed = breaker({ service: "feed", target: null, breaker: "pool", environment: "staging" });

test("what a filter lets through", () => {
  const cases: [string, boolean, boolean][] = [
    ["", true, true],
    ['service="orders"', true, false],
    ['service="orders", state="open"', true, false],
    ["service=orders", true, false],
    ['service!="orders"', false, true],
    ['target=~"cat.*"', true, false],
    ['target=~"cat"', false, false], // anchored, as in rules
    ['target!~"cat.*"', false, true],
    ['target=""', false, true],
    ["CATA", true, false],
    ["orders catalog", true, false],
    ["orders pool", false, false],
    ["staging", false, true],
    ['environment="staging" pool', false, true],
    ['nonsense="x"', false, false], // not a field: plain words
    ['target=~"("', false, false], // not an expression: plain words
  ];
  for (const [text, first, second] of cases) {
    assert.equal(filter(text)(orders), first, text);
    assert.equal(filter(text)(feed), second, text);
  }
});
