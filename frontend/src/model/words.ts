/** How numbers, spans of time and a breaker's standing are said. `dashboard/pages/words.py` says the
 * same words for the first paint; test/cases/words.json holds both to it. */

import { lost } from "./gravity";
import { moment } from "./moment";
import { gravity, stateWord, STATES, type Override, type State, type Summary } from "./summary";

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** How long something has lasted: "4 s", "2 min 14 s", "3 h 05 min", "9 d 4 h". */
export function lasting(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  if (s < MINUTE) return `${s} s`;
  if (s < HOUR) return `${Math.floor(s / MINUTE)} min ${two(s % MINUTE)} s`;
  if (s < DAY) return `${Math.floor(s / HOUR)} h ${two(Math.floor((s % HOUR) / MINUTE))} min`;
  return `${Math.floor(s / DAY)} d ${Math.floor((s % DAY) / HOUR)} h`;
}

/** How long ago: "just now", "40 s ago", "6 min ago", "3 h ago", "9 d ago"; ahead of now: "in a moment", "in 6 min". */
export function ago(seconds: number): string {
  const s = Math.floor(Math.abs(seconds));
  if (s < 5) return seconds < 0 ? "in a moment" : "just now";
  if (seconds < 0 && s >= HOUR) return `in ${lasting(s)}`;
  const span =
    s < MINUTE ? `${s} s` : s < HOUR ? `${Math.floor(s / MINUTE)} min` : s < DAY ? `${Math.floor(s / HOUR)} h` : `${Math.floor(s / DAY)} d`;
  return seconds < 0 ? `in ${span}` : `${span} ago`;
}

/** What is left of a countdown: "0:09", "11:58", "1:02:03", "2 d 4 h". */
export function left(seconds: number): string {
  const s = Math.max(0, Math.ceil(seconds));
  if (s < HOUR) return `${Math.floor(s / MINUTE)}:${two(s % MINUTE)}`;
  if (s < DAY) return `${Math.floor(s / HOUR)}:${two(Math.floor((s % HOUR) / MINUTE))}:${two(s % MINUTE)}`;
  return lasting(s);
}

const CALLS_APART_S = 15;

/** When an open breaker probes: "probe due in 12 s"; past that, which was at `clock`, only the next call moves it.
 * Calls may be some seconds apart: that there are none is said no sooner. */
export function probeDue(seconds: number, clock: string): string {
  if (seconds < 0) return `probe due in ${lasting(Math.ceil(-seconds))}`;
  return seconds < CALLS_APART_S ? "probe due now" : `probe due since ${clock}, no traffic`;
}

/** "71%", "0.4%"; one digit after the point only where it says something. */
export function percent(rate: number): string {
  const rounded = rate > 0 && rate < 10 ? Math.round(rate * 10) / 10 : Math.round(rate);
  return `${rounded}%`;
}

/** Since when it has been so, as people mean it, and the words before it. A breaker that probes and opens
 * again has been open all the while, whichever of the two it is in now. */
export function standingSince(summary: Pick<Summary, "state" | "since" | "not_closed_since">): { lead: string; since: string | null } {
  const { state, since, not_closed_since: outage } = summary;
  if ((state !== "open" && state !== "half_open") || since === null || outage === null) return { lead: "", since };
  return { lead: state === "half_open" && moment(outage) < moment(since) ? "open for " : "", since: outage };
}

export function rateWords(summary: Pick<Summary, "failure_rate" | "calls_per_second">): string {
  if (summary.failure_rate !== null) return percent(summary.failure_rate);
  return summary.calls_per_second === 0 ? "no calls" : "no rate";
}

/** What stands after a rate: of which calls it is. */
export function rateTail(summary: Pick<Summary, "rate_of">): string {
  if (summary.rate_of === "trials") return "of trials failing";
  return summary.rate_of === "before" ? "before it closed" : "failing";
}

export function perSecond(calls: number): string {
  return calls >= 10 ? String(Math.round(calls)) : String(Math.round(calls * 10) / 10);
}

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString("en-GB")} ${count === 1 ? one : many}`;
}

/** "ana", "policy checkout", "key ci": a person by name alone. */
export function author({ by, by_kind: kind }: Pick<Override, "by" | "by_kind">): string {
  return kind === "person" ? by : `${kind} ${by}`;
}

/** The small line under a name: "prod · breaker catalog-api · 42 calls/s", "prod · by ana: provider is down". */
export function smallLine(summary: Summary): string {
  const words = [summary.environment];
  if (summary.override) {
    words.push(`by ${author(summary.override)}: ${summary.override.reason}`);
  } else {
    if (summary.target !== null) words.push(`breaker ${summary.breaker}`);
    if (summary.calls_per_second !== null) words.push(`${perSecond(summary.calls_per_second)} calls/s`);
  }
  return words.join(" · ");
}

/** The instances in a sentence: "3 of 3 open", "3 of 4 applied, 1 lost", "2 of 2 lost". */
export function instanceWords(summary: Summary): string {
  const total = summary.instances;
  if (total === 0) return `no instances${notKnownYet(summary)}`;
  const gone = lost(summary);
  if (summary.override) {
    const { applied, pending, refused = 0, unreachable = 0 } = summary.override;
    const no = refused > 0 ? `, ${refused} refused` : "";
    const deaf = unreachable > 0 ? `, ${unreachable} cannot obey` : "";
    const beneath = summary.naturally_open > 0 ? `, ${summary.naturally_open} would be open` : "";
    const concerned = applied + pending;
    // A policy's last probe leaves out all there are.
    const live = total - gone;
    const where = concerned < live ? ` on ${concerned} of ${live} instances` : "";
    const words = `${concerned > 0 ? `${applied} of ${concerned} applied${where}` : "on no live instance"}${no}${deaf}${notKnownYet(summary)}${beneath}`;
    return words + absent(summary);
  }
  if (summary.state === "unknown") return gone > 0 ? `${gone} of ${total} lost` : `${total} told no state yet`;
  const words = `${summary.states[summary.state] ?? 0} of ${total} ${stateWord(summary.state)}`;
  return words + absent(summary);
}

/** How many of the names that the override is for are nobody's. */
function notKnownYet({ override }: Summary): string {
  return override?.not_known ? `, ${override.not_known} not known yet` : "";
}

/** Who is not heard, or lost: ", 1 not connected, 2 lost". */
function absent(summary: Summary): string {
  const { not_connected: mute = 0 } = summary;
  const gone = lost(summary);
  return (mute > 0 ? `, ${mute} not connected` : "") + (gone > 0 ? `, ${gone} lost` : "");
}

/** One mark an instance, gravest first, lost ones last; cut off at `most`. */
export function instanceMarks(summary: Summary, most = 10): { marks: State[]; more: number } {
  const order = [...STATES].sort((a, b) => gravity(a) - gravity(b)).filter((state) => state !== "unknown");
  const marks: State[] = [];
  for (const state of [...order, "unknown" as const]) {
    for (let n = summary.states[state] ?? 0; n > 0; n--) marks.push(state);
  }
  return marks.length <= most ? { marks, more: 0 } : { marks: marks.slice(0, most - 1), more: marks.length - most + 1 };
}

/** The one thing to call a breaker: "orders → catalog", or by its own name where no target is known. */
export function title(summary: Pick<Summary, "service" | "breaker" | "target">): string {
  return summary.target === null ? `${summary.service} · ${summary.breaker}` : `${summary.service} → ${summary.target}`;
}

/** The pieces between which a long name may go on in the next line: "com.", "example.", "Client_", "fetch". */
export function breakable(name: string): string[] {
  return name.split(/(?<=[./_-])(?=[^./_\s-])/);
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY_AND_CLOCK = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** A time as it stands on a clock: "22:07:48", on another day than that of `at` "9 Nov, 22:07". In milliseconds. */
export function clock(moment: number, at: number): string {
  const today = new Date(moment).toDateString() === new Date(at).toDateString();
  return (today ? CLOCK : DAY_AND_CLOCK).format(moment);
}
