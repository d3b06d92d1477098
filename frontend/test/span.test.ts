import assert from "node:assert/strict";
import test from "node:test";
import { expiryOf, inHours, startOf, zoneOf } from "../src/model/span";

const NOW = Date.parse("2026-11-09T14:00:30Z");
const later = { starts_at: "2026-11-09T16:00:00.000Z" };
const local = (iso: string): string => inHours((Date.parse(iso) - NOW) / 3_600_000 - 0.016, NOW);

test("a field says in which zone it is read, at its own time of the year", () => {
  const { TZ } = process.env;
  const said = (zone: string, moment: string): string => {
    process.env["TZ"] = zone;
    return zoneOf(moment, NOW);
  };
  assert.equal(said("Europe/Berlin", "2026-11-09T15:00"), "Europe/Berlin, UTC+1");
  assert.equal(said("Europe/Berlin", "2027-07-09T15:00"), "Europe/Berlin, UTC+2");
  assert.equal(said("America/St_Johns", ""), "America/St_Johns, UTC−3:30");
  assert.equal(said("UTC", ""), "UTC");
  process.env["TZ"] = TZ;
});

test("now says nothing, and later a moment that lies ahead", () => {
  assert.deepEqual(startOf("now", "", NOW), {});
  assert.deepEqual(startOf("later", local("2026-11-09T16:00:00Z"), NOW), later);
  assert.equal(typeof startOf("later", "", NOW), "string");
  assert.equal(typeof startOf("later", local("2026-11-09T13:00:00Z"), NOW), "string");
});

test("it ends after a while, at a moment after its start, or never", () => {
  assert.deepEqual(expiryOf("600", "", {}, NOW), { expires_in: 600 });
  assert.deepEqual(expiryOf("never", "", {}, NOW), { no_expiry: true });
  assert.deepEqual(expiryOf("until", local("2026-11-09T17:00:00Z"), later, NOW), { expires_at: "2026-11-09T17:00:00.000Z" });
  assert.equal(expiryOf("until", local("2026-11-09T15:00:00Z"), later, NOW), "It must end after it begins.");
  assert.equal(typeof expiryOf("until", "", {}, NOW), "string");
  assert.equal(typeof expiryOf("until", local("2026-11-09T13:00:00Z"), {}, NOW), "string");
});
