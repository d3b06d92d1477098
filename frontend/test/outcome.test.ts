import assert from "node:assert/strict";
import test from "node:test";
import { outcome, type Reported, type Seen, type Wish } from "../src/model/outcome";

const force: Wish = { verb: "Force open", revision: 7, standing: true };
const trip: Wish = { verb: "Trip", revision: 7, standing: false };
const one = (instance: string, applied: number, refused: number | null = null, error = ""): Reported => ({ instance, applied, refused, error });
const seen = (instances: Reported[], named: Partial<Seen> = {}): Seen => ({ revision: 7, override: 7, instances, ...named });
const said = (wish: Wish, what: Seen): string | undefined => outcome(wish, what)?.text;

test("until the page knows of it, it is on its way", () => {
  assert.equal(said(force, seen([one("a", 6), one("b", 6)], { revision: 6, override: null })), "Force open: on its way to 2 instances.");
});

test("it follows what the instances report", () => {
  assert.equal(said(force, seen([one("a", 7), one("b", 6)])), "Force open: 1 of 2 applied.");
  assert.equal(said(force, seen([one("a", 7), one("b", 7)])), "Force open: 2 of 2 applied.");
  assert.equal(said(trip, seen([one("a", 7)], { override: null })), "Trip: 1 of 1 applied.");
});

test("a refusal is named with its instance", () => {
  const told = outcome(force, seen([one("a", 7), one("b", 6, 7, "no such mode")]));
  assert.deepEqual(told, { text: "Force open: 1 of 2 applied. b refused: no such mode.", bad: true });
});

test("an older refusal, or one that was overcome, is none", () => {
  assert.equal(said(force, seen([one("a", 6, 3, "not then"), one("b", 7, 7, "at first")])), "Force open: 1 of 2 applied.");
});

test("it vanishes with the override: released, expired or replaced", () => {
  assert.equal(outcome(force, seen([one("a", 8)], { revision: 8, override: null })), null);
  assert.equal(outcome(force, seen([one("a", 7)], { revision: 8, override: 8 })), null);
});

test("a command while the override stands does not end what is said of it", () => {
  assert.equal(said(force, seen([one("a", 8)], { revision: 8 })), "Force open: 1 of 1 applied.");
});

test("a command is spoken of until something else is wished", () => {
  assert.equal(outcome(trip, seen([one("a", 8)], { revision: 8, override: null })), null);
});

test("who cannot hear of it is no success", () => {
  const deaf = { ...one("a", 0), deaf: true };
  assert.deepEqual(outcome(force, seen([deaf])), { text: "Force open: recorded, and nobody obeys it. 1 instance, known by events alone.", bad: true });
  assert.deepEqual(outcome(force, seen([one("b", 7), deaf])), {
    text: "Force open: 1 of 2 applied. 1 instance cannot obey: known by events alone.",
    bad: true,
  });
  assert.equal(outcome(trip, seen([deaf], { override: null }))?.bad, true);
});

test("none of none is not counted, and who has left is named", () => {
  assert.deepEqual(outcome(force, seen([], { missing: ["a"] })), { text: "Force open: recorded, and no live instance is there to obey it. a is not known any more.", bad: true });
  assert.deepEqual(outcome(force, seen([one("b", 7)], { missing: ["a"] })), { text: "Force open: 1 of 1 applied. a is not known any more.", bad: true });
  assert.equal(said(trip, seen([], { override: null })), "Trip: given, and no live instance is there to obey it.");
});
