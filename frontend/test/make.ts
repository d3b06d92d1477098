/** A summary in which a test names only what matters. */

import type { Override, Summary } from "../src/model/summary";

let made = 0;

export function breaker(named: Partial<Summary> = {}): Summary {
  const state = named.state ?? "closed";
  return {
    id: String(++made),
    environment: "prod",
    service: "orders",
    breaker: "catalog-api",
    target: "catalog",
    state,
    states: { [state]: 1 },
    instances: 1,
    agents: 1,
    since: "2026-11-09T13:00:00Z",
    not_closed_since: null,
    probe_due_at: null,
    naturally_open: 0,
    failure_rate: null,
    rate_of: null,
    calls_per_second: null,
    override: null,
    revision: 0,
    updated_at: "2026-11-09T14:00:00Z",
    ...named,
  };
}

export function override(named: Partial<Override> = {}): Override {
  return { mode: "forced_open", reason: "r", by: "ana", by_kind: "person", expires_at: null, instances: null, applied: 1, pending: 0, ...named };
}
