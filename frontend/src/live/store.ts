/** The board as the server last told it: a Map of summaries, and which of them a frame changed. */

import type { Summary } from "../model/summary";
import type { Changes, Snapshot } from "./frames";

export interface Applied {
  /** Ids whose summary is new or different, or gone. */
  changed: Set<string>;
  /** A version was missed: only a new snapshot makes the picture right again. */
  gap: boolean;
}

const NOTHING: Applied = { changed: new Set(), gap: false };

export class Store {
  readonly breakers = new Map<string, Summary>();
  #version: number | null = null;
  #parts: Summary[] = [];
  #expected = 1;

  constructor(initial: readonly Summary[] = []) {
    for (const summary of initial) this.breakers.set(summary.id, summary);
  }

  apply(frame: Snapshot | Changes): Applied {
    return frame.type === "snapshot" ? this.#snapshot(frame) : this.#changes(frame);
  }

  /** Parts are gathered and take effect together: half a board would look like a smaller fleet. */
  #snapshot(frame: Snapshot): Applied {
    if (frame.part === 1) {
      this.#parts = [];
      this.#expected = 1;
    }
    if (frame.part !== this.#expected) return { changed: new Set(), gap: true };
    this.#parts.push(...frame.breakers);
    this.#expected += 1;
    if (frame.part < frame.parts) return NOTHING;

    const changed = new Set<string>();
    const next = new Map(this.#parts.map((summary) => [summary.id, summary]));
    this.#parts = [];
    this.#version = frame.version;
    for (const id of this.breakers.keys()) {
      if (!next.has(id)) {
        this.breakers.delete(id);
        changed.add(id);
      }
    }
    for (const [id, summary] of next) if (this.#put(id, summary)) changed.add(id);
    return { changed, gap: false };
  }

  #changes(frame: Changes): Applied {
    if (this.#version === null || frame.version !== this.#version + 1) {
      this.#version = null;
      return { changed: new Set(), gap: true };
    }
    this.#version = frame.version;
    const changed = new Set<string>();
    for (const summary of frame.changed) if (this.#put(summary.id, summary)) changed.add(summary.id);
    for (const id of frame.removed) if (this.breakers.delete(id)) changed.add(id);
    return { changed, gap: false };
  }

  #put(id: string, summary: Summary): boolean {
    const before = this.breakers.get(id);
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(summary)) return false;
    this.breakers.set(id, summary);
    return true;
  }
}
