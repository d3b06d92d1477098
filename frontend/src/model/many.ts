/** What a hand on many breakers would touch, in words. */

import type { Touched } from "../api/overrides";
import { author, counted } from "./words";

/** "12 breakers, 36 instances. 2 are overridden already: theirs are replaced. 3 instances cannot obey …" */
export function reachWords(breakers: readonly Touched[], isRelease: boolean): string {
  if (breakers.length === 0) return isRelease ? "No override stands on what matches: there is nothing to release." : "No breaker matches: nothing would be touched.";
  const instances = breakers.reduce((sum, one) => sum + one.instances.length, 0);
  const deaf = breakers.reduce((sum, one) => sum + one.unreachable.length, 0);
  const held = breakers.filter((one) => one.override !== null).length;
  const said = [`${counted(breakers.length, "breaker")}, ${counted(instances, "instance")}.`];
  if (held > 0 && !isRelease) said.push(`${held === 1 ? "1 is" : `${held} are`} overridden already, and ${held === 1 ? "that is" : "those are"} replaced.`);
  const planned = breakers.filter((one) => one.planned !== null).length;
  if (planned > 0) said.push(`${planned === 1 ? "1 has" : `${planned} have`} a plan that waits, and ${planned === 1 ? "that is" : "those are"} replaced.`);
  if (deaf > 0 && !isRelease) said.push(`${counted(deaf, "instance")} cannot obey: known by events alone.`);
  return said.join(" ");
}

/** What the button does: "Force open 12 breakers". */
export function actWords(verb: string, breakers: readonly Touched[], isLater: boolean): string {
  const said = `${verb} ${counted(breakers.length, "breaker")}`;
  return isLater ? `Plan: ${said.charAt(0).toLowerCase()}${said.slice(1)}` : said;
}

export function standingWords(one: Touched): string {
  return one.override === null ? "none stands" : `${one.override.mode === "forced_open" ? "forced open" : "forced closed"} by ${author(one.override)}: ${one.override.reason}`;
}

export function instancesWords(one: Touched): string {
  const deaf = one.unreachable.length;
  return counted(one.instances.length, "instance") + (deaf > 0 ? `, ${deaf} cannot obey` : "");
}
