/** The board in one sentence, as a person would say it aloud. */

import { isFailing, lost } from "./gravity";
import { countByState, isGone, type State, type Summary } from "./summary";
import { counted, title } from "./words";

export interface Part {
  text: string;
  state?: State;
  /** A target or a service that the sentence is about: a link that filters by it. */
  filter?: string;
}

const SAID: [State, string][] = [
  ["open", "open"],
  ["forced_open", "forced open"],
  ["half_open", "probing"],
  ["unknown", "lost"],
  ["forced_closed", "held closed"],
];

/** What is held closed works, unless it would be open: see `covered`. */
const GRAVE = SAID.slice(0, -1).map(([state]) => state);

/** "2 open, both on catalog. 1 forced open, 1 probing, 1 lost." or "All 570 breakers closed."; `filtered` where
 * it is not all of the board, `look` of which need a look. */
export function headline(all: readonly Summary[], filtered = false, look = 0): Part[] {
  if (all.length === 0) return [{ text: filtered ? "No breaker matches the filter." : "No breakers yet." }];
  const summaries = all.filter((summary) => !isGone(summary));
  if (summaries.length === 0) return [{ text: filtered ? "Nothing shown is running any more." : "No breaker is running any more." }];
  const counts = countByState(summaries);
  const present = saidOf(summaries).filter(([state]) => counts[state] > 0);
  if (present.length === 0) {
    if (summaries.length === 1) return [{ text: `The one breaker${filtered ? " shown" : ""} is closed${look > 0 ? ", and needs a look" : ""}.` }];
    const yet = look > 0 ? `, ${look.toLocaleString("en-GB")} ${look === 1 ? "needs" : "need"} a look` : "";
    return [{ text: `All ${counted(summaries.length, "breaker")}${filtered ? " shown are" : ""} closed${yet}.` }];
  }
  if (present.length === 1 && counts.forced_closed > 0) {
    const beside = [...covered(summaries), ...more(look - counts.forced_closed)];
    if (counts.closed === 0) return [{ text: `${counts.forced_closed} held closed`, state: "forced_closed" }, { text: "." }, ...beside];
    return [
      { text: `${counted(counts.closed, "breaker")} closed, ` },
      { text: `${counts.forced_closed} held closed`, state: "forced_closed" },
      { text: " by hand." },
      ...beside,
    ];
  }
  // What is held closed works: it is only said when nothing graver is.
  const [[gravest, word], ...rest] = present.filter(([state]) => state !== "forced_closed") as [[State, string], ...[State, string][]];
  const parts: Part[] = [
    { text: `${counts[gravest]} ${word}`, state: gravest },
    ...where(summaries.filter((summary) => summary.state === gravest)),
    { text: "." },
  ];
  if (rest.length > 0) {
    parts.push({ text: ` ${rest.map(([state, said]) => `${counts[state]} ${said}`).join(", ")}.` });
  }
  const told = GRAVE.reduce((sum, state) => sum + counts[state], 0) + failing(summaries);
  return [...parts, ...covered(summaries), ...more(look - told)];
}

/** A breaker that is unknown because no state was told yet is not lost. */
function saidOf(summaries: readonly Summary[]): [State, string][] {
  const untold = summaries.some((summary) => summary.state === "unknown" && lost(summary) === 0);
  return SAID.map(([state, said]) => [state, untold && said === "lost" ? "unknown" : said]);
}

/** Those that need a look beside the ones that are told of. */
function more(count: number): Part[] {
  if (count <= 0) return [];
  return [{ text: count === 1 ? " 1 more needs a look." : ` ${count.toLocaleString("en-GB")} more need a look.` }];
}

/** The outages that are held closed: calls go through, and fail. */
function covered(summaries: readonly Summary[]): Part[] {
  const count = failing(summaries);
  return count === 0 ? [] : [{ text: " " }, { text: `${count} held closed, yet failing`, state: "open" }, { text: "." }];
}

function failing(summaries: readonly Summary[]): number {
  return summaries.filter(isFailing).length;
}

/** Where the gravest ones are, if that can be said shortly. */
function where(gravest: readonly Summary[]): Part[] {
  const first = gravest[0] as Summary;
  if (gravest.length === 1) return [{ text: ": " }, { text: title(first), filter: `service="${first.service}"` }];
  const all = gravest.length === 2 ? "both" : "all";
  if (first.target !== null && gravest.every((summary) => summary.target === first.target)) {
    return [{ text: `, ${all} on ` }, { text: first.target, filter: `target="${first.target}"` }];
  }
  if (gravest.every((summary) => summary.service === first.service)) {
    return [{ text: `, ${all} in ` }, { text: first.service, filter: `service="${first.service}"` }];
  }
  return [];
}

/** The quiet line below: "570 breakers of 41 services in 2 environments". */
export function underline(summaries: readonly Summary[]): string {
  if (summaries.length === 0) return "Connect a service and its breakers appear here by themselves.";
  const services = new Set(summaries.map((summary) => `${summary.environment}\0${summary.service}`)).size;
  const environments = new Set(summaries.map((summary) => summary.environment)).size;
  const words = `${counted(summaries.length, "breaker")} of ${counted(services, "service")}`;
  return environments > 1 ? `${words} in ${environments} environments` : words;
}

/** The quiet line where not all is shown: nothing grave is hidden unsaid. */
export function filteredUnderline(shown: readonly Summary[], hidden: readonly Summary[]): string {
  const grave = graveCounts(hidden);
  const rest = grave.length > 0 ? `Hidden: ${grave.join(", ")}.` : "What is hidden is closed.";
  return `Filtered: ${shown.length.toLocaleString("en-GB")} of ${counted(shown.length + hidden.length, "breaker")} shown. ${rest}`;
}

/** The board in a browser's tab: its gravest news. */
export function tabTitle(summaries: readonly Summary[]): string {
  const count = failing(summaries);
  const calm = count > 0 ? `${count} held closed, yet failing` : summaries.some((summary) => !isGone(summary)) ? "All closed" : "Board";
  return `${graveCounts(summaries)[0] ?? calm} · Panelboard`;
}

/** "2 open", "1 probing", gravest first. */
function graveCounts(summaries: readonly Summary[]): string[] {
  const counts = countByState(summaries);
  return saidOf(summaries).filter(([state]) => GRAVE.includes(state) && counts[state] > 0).map(([state, word]) => `${counts[state]} ${word}`);
}
