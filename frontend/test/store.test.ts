import assert from "node:assert/strict";
import test from "node:test";
import type { Changes, Snapshot } from "../src/live/frames";
import { Store } from "../src/live/store";
import type { Summary } from "../src/model/summary";
import { breaker } from "./make";

const snapshot = (version: number, breakers: Summary[], part = 1, parts = 1): Snapshot => ({ type: "snapshot", version, part, parts, breakers });
const changes = (version: number, changed: Summary[], removed: string[] = []): Changes => ({ type: "changes", version, changed, removed });

test("a snapshot replaces everything, and only what differs has changed", () => {
  const [kept, gone, other] = [breaker(), breaker(), breaker()];
  const store = new Store([kept, gone]);
  const { changed } = store.apply(snapshot(7, [{ ...kept }, other]));
  assert.deepEqual([...changed].sort(), [gone.id, other.id].sort());
  assert.deepEqual([...store.breakers.keys()], [kept.id, other.id]);
});

test("changes after a snapshot equal a fresh snapshot", () => {
  const [a, b, c] = [breaker(), breaker(), breaker()];
  const store = new Store();
  store.apply(snapshot(1, [a, b]));
  store.apply(changes(2, [{ ...a, state: "open" }, c]));
  const { changed } = store.apply(changes(3, [], [b.id]));
  const fresh = new Store();
  fresh.apply(snapshot(3, [{ ...a, state: "open" }, c]));
  assert.deepEqual([...store.breakers], [...fresh.breakers]);
  assert.deepEqual([...changed], [b.id]);
});

test("the parts of a snapshot take effect together", () => {
  const [a, b] = [breaker(), breaker()];
  const store = new Store([a]);
  assert.equal(store.apply(snapshot(4, [b], 1, 2)).changed.size, 0);
  assert.deepEqual([...store.breakers.keys()], [a.id]);
  assert.deepEqual([...store.apply(snapshot(4, [], 2, 2)).changed].sort(), [a.id, b.id].sort());
});

test("a part out of turn is a gap", () => {
  assert.equal(new Store().apply(snapshot(4, [], 2, 3)).gap, true);
});

test("a missed version changes nothing and asks for a snapshot", () => {
  const a = breaker();
  const store = new Store();
  store.apply(snapshot(1, [a]));
  const { gap } = store.apply(changes(3, [{ ...a, state: "open" }]));
  assert.equal(gap, true);
  assert.equal(store.breakers.get(a.id)?.state, "closed");
  assert.equal(store.apply(changes(4, [])).gap, true);
  assert.equal(store.apply(snapshot(9, [a])).gap, false);
  assert.equal(store.apply(changes(10, [])).gap, false);
});

test("changes before any snapshot are a gap: the page's own data has no version", () => {
  assert.equal(new Store([breaker()]).apply(changes(2, [])).gap, true);
});
