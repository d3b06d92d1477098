/** What is said of matchers while they are typed. */

import type { Answer } from "../api/http";
import type { Matching } from "../api/rules";
import { counted } from "./words";

export function matchingWords(answer: Answer<Matching>): { words: string; warns: boolean } {
  if (!answer.ok) {
    const { errors, title } = answer.problem;
    const said = errors.map(({ loc, msg }) => (typeof loc[1] === "number" ? `Line ${loc[1] + 1}: ${msg}.` : `${msg}.`));
    return { words: said.join(" ") || `${title}.`, warns: true };
  }
  const { breakers, of } = answer.value;
  if (of === 0) return { words: "No breaker is known yet.", warns: false };
  const words = `Matches ${breakers.toLocaleString("en-GB")} of ${counted(of, "breaker")} now`;
  return breakers === 0 ? { words: `⚠ ${words}: nothing would fire.`, warns: true } : { words: `${words}.`, warns: false };
}
