/** The state changes behind the ribbons: fetched for a bounded number of rows, a few at a time. */

import { stateChanges } from "../api/breakers";
import { ribbon, type Change, type Span } from "../model/ribbon";
import type { Summary } from "../model/summary";

export const WINDOW_MS = 30 * 60_000;
/** Rows with a ribbon; those below are reached by filtering. */
const MOST = 40;
const AT_ONCE = 3;
/** A flapping breaker is asked about no more often than this. */
const AGAIN_MS = 3_000;

interface Past {
  changes: Change[];
  fetchedAt: number;
  /** What the summary said when this was fetched: another word means news. */
  of: string;
}

export class History {
  #past = new Map<string, Past>();
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
    for (const id of this.#past.keys()) if (!ids.has(id)) this.#past.delete(id);
    this.#pump();
  }

  spans(summary: Summary, end: number): Span[] | null {
    const past = this.#past.get(summary.id);
    return past === undefined ? null : ribbon(past.changes, summary, end - WINDOW_MS, end);
  }

  #pump(): void {
    const now = this.now();
    let soonest = Infinity;
    for (const summary of this.#wanted) {
      if (this.#running.size >= AT_ONCE) return;
      const past = this.#past.get(summary.id);
      if (this.#running.has(summary.id) || past?.of === stamp(summary)) continue;
      const due = past === undefined ? now : past.fetchedAt + AGAIN_MS;
      if (due > now) soonest = Math.min(soonest, due);
      else void this.#fetch(summary, now);
    }
    window.clearTimeout(this.#later);
    if (soonest < Infinity) this.#later = window.setTimeout(() => this.#pump(), soonest - now);
  }

  async #fetch(summary: Summary, now: number): Promise<void> {
    this.#running.add(summary.id);
    const changes = await this.fetchChanges(summary.id, new Date(now - WINDOW_MS));
    this.#running.delete(summary.id);
    // A refusal leaves the ribbon as it was; the next change asks again.
    this.#past.set(summary.id, { changes: changes ?? this.#past.get(summary.id)?.changes ?? [], fetchedAt: now, of: stamp(summary) });
    this.onChange();
    this.#pump();
  }
}

function stamp(summary: Summary): string {
  return `${summary.since} ${JSON.stringify(summary.states)}`;
}
