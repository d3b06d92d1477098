/** What became of a hand's wish, as far as the instances have reported it. */

import { missingWords } from "./scope";
import { counted } from "./words";

export interface Wish {
  /** What was asked for, as the button said it: "Force open". */
  verb: string;
  revision: number;
  /** An override stands until it ends; a command is done once it is done. */
  standing: boolean;
}

export interface Reported {
  instance: string;
  applied: number;
  refused: number | null;
  error: string;
  /** Known by events alone: it never hears of a wish. */
  deaf?: boolean;
}

export interface Seen {
  /** The breaker's own revision, and that of the override that stands. */
  revision: number;
  override: number | null;
  /** The live ones that it is for. */
  instances: readonly Reported[];
  /** Names that it is for and that are nobody's any more. */
  missing?: readonly string[];
}

export interface Outcome {
  text: string;
  bad: boolean;
}

/** null once there is nothing more to say: the override has ended, or something else was wished since. */
export function outcome(wish: Wish, seen: Seen): Outcome | null {
  if (seen.revision < wish.revision) return { text: `${wish.verb}: on its way to ${counted(seen.instances.length, "instance")}.`, bad: false };
  if (wish.standing ? seen.override !== wish.revision : seen.revision > wish.revision) return null;
  const missing = missingWords(seen.missing ?? []);
  if (seen.instances.length === 0) return { text: `${wish.verb}: ${wish.standing ? "recorded" : "given"}, and no live instance is there to obey it.${missing}`, bad: true };
  const waiting = seen.instances.filter((one) => one.applied < wish.revision);
  const refusals = waiting.filter((one) => one.refused !== null && one.refused >= wish.revision);
  const applied = `${seen.instances.length - waiting.length} of ${seen.instances.length} applied.`;
  const deaf = waiting.filter((one) => one.deaf === true);
  if (deaf.length > 0 && deaf.length === seen.instances.length) {
    const stands = wish.standing ? "recorded, and nobody obeys it" : "nobody obeys it";
    return { text: `${wish.verb}: ${stands}. ${counted(deaf.length, "instance")}, known by events alone.`, bad: true };
  }
  const refused = refusals.map((one) => ` ${one.instance} refused: ${one.error}.`);
  if (deaf.length > 0) refused.push(` ${counted(deaf.length, "instance")} cannot obey: known by events alone.`);
  if (missing !== "") refused.push(missing);
  return { text: `${wish.verb}: ${applied}${refused.join("")}`, bad: refused.length > 0 };
}
