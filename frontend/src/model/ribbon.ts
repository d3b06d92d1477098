/** The last half hour of a breaker as spans of states, from its instances' state changes. */

import { moment } from "./moment";
import { gravity, STATES, type State, type Summary } from "./summary";
import { counted } from "./words";

export interface Change {
  instance: string;
  from: State | null;
  to: State;
  /** In milliseconds, with the microseconds behind the point: a breaker may change twice in a millisecond. */
  at: number;
  /** Tells changes of one instance at one instant apart. */
  seq?: number | null;
}

export interface Span {
  start: number;
  end: number;
  /** null where history does not say. */
  state: State | null;
}

/** The state changes of a breaker since some moment, in no particular order, but for those of one instant: newest first, as
 * the API has them. */
export interface Past {
  changes: readonly Change[];
  /** [start, end) of which nothing was fetched, for there is too much: null where all is there. */
  gap: { start: number; end: number } | null;
}

type Standing = Pick<Summary, "instances" | "state" | "states" | "since" | "not_closed_since">;

/** Spans that fill [start, end), in milliseconds. A breaker is as its gravest instance at each moment.
 * Instances without a change in the window have stood still: the summary's counts tell their state.
 * In a gap only what the summary says of the outage is known: that it was not closed. It ends where nothing runs any more. */
export function ribbon(past: Past, summary: Standing, start: number, end: number): Span[] {
  if (summary.instances > 0) return running(past, summary, start, end);
  const left = summary.since === null ? start : Math.max(start, Math.min(moment(summary.since), end));
  const before = left > start ? running(past, summary, start, left) : [];
  return left < end ? [...before, { start: left, end, state: null }] : before;
}

function running({ changes, gap }: Past, summary: Standing, start: number, end: number): Span[] {
  const outage = summary.not_closed_since === null ? Infinity : moment(summary.not_closed_since);
  const inside = changes.filter((change) => change.at < end);
  const lanes = new Map<string, Change[]>();
  for (const change of inside) lanes.set(change.instance, [change, ...(lanes.get(change.instance) ?? [])]);
  for (const lane of lanes.values()) lane.sort((a, b) => a.at - b.at || (a.seq ?? 0) - (b.seq ?? 0));
  const still = stillStates(summary, lanes);
  if (lanes.size === 0) return withoutChanges(summary, start, end);

  const turns = [...inside.map((change) => change.at), ...(gap === null ? [] : [gap.start, gap.end, outage])];
  const times = [...new Set([start, ...turns.filter((at) => at > start && at < end), end])].sort((a, b) => a - b);
  const spans: Span[] = [];
  for (let n = 0; n + 1 < times.length; n++) {
    const at = times[n] as number;
    const unseen = gap !== null && gap.start <= at && at < gap.end;
    const state = unseen ? (outage <= at ? "open" : null) : gravest([...still, ...[...lanes.values()].map((lane) => stateAt(lane, at, gap))]);
    const last = spans[spans.length - 1];
    if (last !== undefined && last.state === state) last.end = times[n + 1] as number;
    else spans.push({ start: at, end: times[n + 1] as number, state });
  }
  return endAs(spans, summary);
}

/** The summary is fresher than the history that was fetched before it: it has the last word since its `since`. */
function endAs(spans: Span[], summary: Pick<Summary, "state" | "since">): Span[] {
  const last = spans.at(-1);
  if (last === undefined || last.state === summary.state || summary.since === null) return spans;
  const since = Math.max(moment(summary.since), last.start);
  if (since >= last.end) return spans;
  const now: Span = { start: since, end: last.end, state: summary.state };
  if (since === last.start) return [...spans.slice(0, -1), now];
  return [...spans.slice(0, -1), { ...last, end: since }, now];
}

function withoutChanges(summary: Pick<Summary, "state" | "since">, start: number, end: number): Span[] {
  const since = summary.since === null ? end : moment(summary.since);
  if (since <= start) return [{ start, end, state: summary.state }];
  if (since >= end) return [{ start, end, state: null }];
  return [{ start, end: since, state: null }, { start: since, end, state: summary.state }];
}

function stillStates(summary: Pick<Summary, "states">, lanes: ReadonlyMap<string, Change[]>): State[] {
  const counts = { ...summary.states };
  let without = STATES.reduce((sum, state) => sum + (counts[state] ?? 0), 0) - lanes.size;
  for (const lane of lanes.values()) {
    const last = lane[lane.length - 1] as Change;
    counts[last.to] = (counts[last.to] ?? 0) - 1;
  }
  // If history and summary are of different moments, too many remain: the mildest are the likelier.
  const still: State[] = [];
  for (const state of [...STATES].sort((a, b) => gravity(b) - gravity(a))) {
    for (let n = counts[state] ?? 0; n > 0 && without > 0; n--, without--) still.push(state);
  }
  return still;
}

function stateAt(lane: readonly Change[], at: number, gap: Past["gap"]): State | null {
  const first = lane[0] as Change;
  // What it left after the gap, it may have become within it.
  let state = gap !== null && at < gap.start && first.at >= gap.end ? null : first.from;
  for (const change of lane) if (change.at <= at) state = change.to;
  return state;
}

/** The gravest of what is known; a live instance outweighs a lost one, as in the summary. */
function gravest(states: readonly (State | null)[]): State | null {
  const known = states.filter((state) => state !== null);
  const live = known.filter((state) => state !== "unknown");
  const pick = live.length > 0 ? live : known;
  return pick.length === 0 ? null : pick.reduce((a, b) => (gravity(a) <= gravity(b) ? a : b));
}

/** In the order of painting, the gravest last: a moment that is drawn wider than it was would else be painted over. */
export function painted(spans: readonly Span[]): Span[] {
  return [...spans].sort((a, b) => rank(b) - rank(a));
}

function rank({ state }: Span): number {
  return state === null ? Infinity : gravity(state);
}

/** How often the breaker left closed inside the window. A probe that fails is no trip, and neither is a hand on it. */
export function trips(spans: readonly Span[]): number {
  return spans.filter((span, n) => (span.state === "open" || span.state === "half_open") && spans[n - 1]?.state === "closed").length;
}

/** "1 trip", "3 trips". */
export function tripWords(spans: readonly Span[]): string {
  return counted(trips(spans), "trip");
}
