/** On which instances a hand acts: all (null), or only those that were chosen by name. */

import { counted } from "./words";

export type Only = readonly string[] | null;

const NAMED_MOST = 3;

/** "3 instances", or of chosen ones their names, as long as they are few. */
export function onWhich(only: Only, live: number): string {
  if (only === null || only.length === 0) return counted(only === null ? live : 0, "instance");
  return only.length > NAMED_MOST ? counted(only.length, "instance") : only.join(", ");
}

export function within<T extends { instance: string }>(only: Only, all: readonly T[]): T[] {
  return all.filter(({ instance }) => only === null || only.includes(instance));
}

/** Those that were chosen and are nobody's any more. */
export function missing(only: Only, known: readonly string[]): string[] {
  return (only ?? []).filter((name) => !known.includes(name));
}

/** " a is not known any more.", or nothing. */
export function missingWords(names: readonly string[]): string {
  return names.length === 0 ? "" : ` ${onWhich(names, 0)} ${names.length === 1 ? "is" : "are"} not known any more.`;
}

/** The names to choose from: the live ones, and those that were chosen and have left since. */
export function toChoose(live: readonly string[], chosen: readonly string[]): string[] {
  return [...new Set([...live, ...chosen])].sort();
}
