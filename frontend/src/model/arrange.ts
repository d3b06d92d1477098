/** Which breakers need a look, in what order, and how the well ones are grouped. */

import { rung, RUNGS, type Rung } from "./gravity";
import type { Summary } from "./summary";
import { title } from "./words";

export interface Group {
  key: string;
  environment: string;
  service: string;
  members: Summary[];
}

export interface Arranged {
  look: Summary[];
  well: Group[];
  /** Those that no instance holds any more. */
  gone: Group[];
  /** Where each of `look` stands. */
  rungs: ReadonlyMap<string, Rung>;
}

/** What beside a breaker's summary decides where it stands: the ids that are in incidents, and the time in milliseconds. */
export interface Circumstances {
  incidents: { has(id: string): boolean };
  now: number;
}

function byName(a: Summary, b: Summary): number {
  return compare(title(a), title(b)) || compare(a.environment, b.environment) || compare(a.breaker, b.breaker);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export type Grouping = "state" | "service";

/** What needs a look by gravity, then by name; what is well by name. */
export function arrange(summaries: Iterable<Summary>, { incidents, now }: Circumstances, grouping: Grouping = "state"): Arranged {
  const look: Summary[] = [];
  const rungs = new Map<string, Rung>();
  const wellGroups = new Map<string, Group>();
  const goneGroups = new Map<string, Group>();
  for (const summary of summaries) {
    const found = rung(summary, incidents.has(summary.id), now);
    if (found !== "well" && found !== "gone") {
      look.push(summary);
      rungs.set(summary.id, found);
    } else {
      const key = `${summary.service}\0${summary.environment}`;
      const groups = found === "well" ? wellGroups : goneGroups;
      let group = groups.get(key);
      if (group === undefined) {
        group = { key, environment: summary.environment, service: summary.service, members: [] };
        groups.set(key, group);
      }
      group.members.push(summary);
    }
  }
  const place = ({ id }: Summary): number => RUNGS.indexOf(rungs.get(id) as Rung);
  look.sort((a, b) => place(a) - place(b) || byName(a, b));
  return { look: grouping === "state" ? look : byService(look), well: sorted(wellGroups), gone: sorted(goneGroups), rungs };
}

function sorted(groups: ReadonlyMap<string, Group>): Group[] {
  for (const group of groups.values()) group.members.sort(byName);
  return [...groups.values()].sort((a, b) => compare(a.key, b.key));
}

/** The service with the gravest breaker first; inside one, as they were. Takes a list in that order. */
function byService(look: readonly Summary[]): Summary[] {
  const services = new Map<string, Summary[]>();
  for (const summary of look) {
    const key = `${summary.environment}\0${summary.service}`;
    services.set(key, [...(services.get(key) ?? []), summary]);
  }
  return [...services.values()].flat();
}

/** The picture as it stood when the pointer came: same places, new states, and how many wait to move. */
export function held(before: Arranged, next: Arranged, now: ReadonlyMap<string, Summary>): { shown: Arranged; waiting: number } {
  const fresh = (summaries: readonly Summary[]): Summary[] =>
    summaries.map((summary) => now.get(summary.id)).filter((summary) => summary !== undefined);
  const look = fresh(before.look);
  const stillThere = (groups: readonly Group[]): Group[] =>
    groups.map((group) => ({ ...group, members: fresh(group.members) })).filter((group) => group.members.length > 0);
  const stood = new Set(before.look.map((summary) => summary.id));
  const waiting = next.look.filter((summary) => !stood.has(summary.id)).length;
  return { shown: { look, well: stillThere(before.well), gone: stillThere(before.gone), rungs: next.rungs }, waiting };
}
