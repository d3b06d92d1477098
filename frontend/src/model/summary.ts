/** What the server says of one breaker, word for word as in the contract. */

export const STATES = ["open", "forced_open", "half_open", "forced_closed", "closed", "unknown"] as const;
export type State = (typeof STATES)[number];

export interface Override {
  mode: "forced_open" | "forced_closed";
  reason: string;
  by: string;
  by_kind: "person" | "key" | "policy";
  expires_at: string | null;
  instances: string[] | null;
  applied: number;
  pending: number;
  /** Of the pending: reported why they could not. */
  refused?: number;
  /** Of the pending: known by events alone, so that they never hear of it. */
  unreachable?: number;
  /** Of the names in `instances`: nobody's. */
  not_known?: number;
}

export interface Summary {
  id: string;
  environment: string;
  service: string;
  breaker: string;
  target: string | null;
  state: State;
  states: Partial<Record<State, number>>;
  instances: number;
  /** Live instances that an agent speaks for; the other live ones are known by events alone. */
  agents: number;
  /** Of the agents: not heard any more, and not lost yet. */
  not_connected?: number;
  /** Live instances that have told metrics, say, and no state yet: unknown, and not lost. */
  untold?: number;
  since: string | null;
  /** The beginning of the outage, its probes included. */
  not_closed_since: string | null;
  /** When the first of the open instances lets a call through as a probe; in the past, it waits for that call. */
  probe_due_at: string | null;
  /** Live instances that an override holds and whose library would be open. */
  naturally_open: number;
  /** Live instances with an agent that are forced though no override concerns them: they have not heard of its end. */
  still_forced?: number;
  failure_rate: number | null;
  /** Of what calls the rate is, if not of those of now. */
  rate_of: "trials" | "before" | null;
  calls_per_second: number | null;
  override: Override | null;
  revision: number;
  updated_at: string | null;
}

const WORDS: Record<State, string> = {
  open: "open",
  forced_open: "forced open",
  half_open: "half open",
  forced_closed: "forced closed",
  closed: "closed",
  unknown: "unknown",
};

export function isState(text: unknown): text is State {
  return typeof text === "string" && (STATES as readonly string[]).includes(text);
}

export function stateWord(state: State): string {
  return WORDS[state];
}

/** The word as it stands at the head of a row: "Half open". */
export function stateTitle(state: State): string {
  const word = WORDS[state];
  return word.charAt(0).toUpperCase() + word.slice(1);
}

/** 0 is gravest, as the instances of a breaker are listed; breakers have an order of their own in gravity.ts. */
const GRAVITY: Record<State, number> = {
  open: 0,
  forced_open: 1,
  half_open: 2,
  unknown: 3,
  forced_closed: 4,
  closed: 5,
};

export function gravity(state: State): number {
  return GRAVITY[state];
}

/** Whether no instance holds it any more: the last one took its leave, which is no loss. */
export function isGone(summary: Pick<Summary, "instances">): boolean {
  return summary.instances === 0;
}

/** The word for how a breaker stands, at the head of a row. */
export function standingTitle(summary: Pick<Summary, "instances" | "state">): string {
  return isGone(summary) ? "No longer running" : stateTitle(summary.state);
}

/** Without those that are gone. */
export function countByState(summaries: Iterable<Summary>): Record<State, number> {
  const counts: Record<State, number> = { open: 0, forced_open: 0, half_open: 0, forced_closed: 0, closed: 0, unknown: 0 };
  for (const summary of summaries) if (!isGone(summary)) counts[summary.state] += 1;
  return counts;
}
