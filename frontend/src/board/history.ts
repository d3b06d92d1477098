/** The state changes behind the ribbons: fetched for a bounded number of rows, a few at a time. */

import { stateChanges } from "../api/breakers";
import type { KnownPast } from "../model/past";
import { ribbon, type Span } from "../model/ribbon";
import type { Summary } from "../model/summary";

export const WINDOW_MS = 30 * 60_000;
/** Rows with a ribbon; those below are reached by filtering. */
const MOST = 40;
const AT_ONCE = 3;
/** A flapping breaker is asked about no more often than this. */
const AGAIN_MS = 3_000;

const NOTHING = { changes: [], gap: null };

interface Fetched {
  /** null where it could not be had yet. */
  past: KnownPast | null;
  fetchedAt: number;
  /** What the summary said when this was fetched: another word means news. */
  of: string;
}

export class History {
  #fetched = new Map<string, Fetched>();
  #running = new Set<string>();
  #later: number | undefined;
  #wanted: readonly Summary[] = [];

  constructor(
    private readonly now: () => number,
    private readonly onChange: () => void,
    private readonly fetchChanges = stateChanges,
  ) {}

  /** The rows on the page, gravest first: what they need is fetched by and by. */
  want(summaries: readonly Summary[]): void {
    this.#wanted = summaries.slice(0, MOST);
    const ids = new Set(this.#wanted.map((summary) => summary.id));
    for (const id of this.#fetched.keys()) if (!ids.has(id)) this.#fetched.delete(id);
    this.#pump();
  }

  spans(summary: Summary, end: number): Span[] | null {
    const fetched = this.#fetched.get(summary.id);
    return fetched === undefined ? null : ribbon(fetched.past ?? NOTHING, summary, end - WINDOW_MS, end);
  }

  #pump(): void {
    const now = this.now();
    let soonest = Infinity;
    for (const summary of this.#wanted) {
      if (this.#running.size >= AT_ONCE) return;
      const fetched = this.#fetched.get(summary.id);
      if (this.#running.has(summary.id) || fetched?.of === stamp(summary)) continue;
      const due = fetched === undefined ? now : fetched.fetchedAt + AGAIN_MS;
      if (due > now) soonest = Math.min(soonest, due);
      else void this.#fetch(summary, now);
    }
    window.clearTimeout(this.#later);
    if (soonest < Infinity) this.#later = window.setTimeout(() => this.#pump(), soonest - now);
  }

  async #fetch(summary: Summary, now: number): Promise<void> {
    this.#running.add(summary.id);
    const known = this.#fetched.get(summary.id)?.past ?? null;
    const past = await this.fetchChanges(summary.id, new Date(now - WINDOW_MS), summary.not_closed_since, known);
    this.#running.delete(summary.id);
    // A refusal leaves the ribbon as it was; the next change asks again.
    this.#fetched.set(summary.id, { past: past ?? known, fetchedAt: now, of: stamp(summary) });
    this.onChange();
    this.#pump();
  }
}

function stamp(summary: Summary): string {
  return `${summary.since} ${JSON.stringify(summary.states)}`;
}
