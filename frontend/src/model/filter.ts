/** The filter box: `service="orders" state!="closed" target=~"cat.*" plain words`. */

import type { Summary } from "./summary";

type Test = (summary: Summary) => boolean;

const FIELDS: Record<string, (summary: Summary) => string> = {
  environment: (summary) => summary.environment,
  service: (summary) => summary.service,
  breaker: (summary) => summary.breaker,
  target: (summary) => summary.target ?? "",
  state: (summary) => summary.state,
};

const MATCHER = /([a-z]+)(=~|!~|!=|=)(?:"([^"]*)"|([^\s,"]+)),?/g;

/** A test for one text; an unknown field or a broken expression is taken as plain words. */
export function filter(text: string): Test {
  const tests: Test[] = [];
  const words = text.replace(MATCHER, (whole, field: string, operator: string, quoted?: string, bare?: string) => {
    const test = matcher(field, operator, quoted ?? bare ?? "");
    if (test === null) return whole;
    tests.push(test);
    return " ";
  });
  for (const word of words.toLowerCase().split(/[\s,]+/).filter(Boolean)) {
    tests.push((summary) => haystack(summary).includes(word));
  }
  return (summary) => tests.every((test) => test(summary));
}

function matcher(field: string, operator: string, value: string): Test | null {
  const read = FIELDS[field];
  if (read === undefined) return null;
  if (operator === "=") return (summary) => read(summary) === value;
  if (operator === "!=") return (summary) => read(summary) !== value;
  try {
    const pattern = new RegExp(`^(?:${value})$`);
    return operator === "=~" ? (summary) => pattern.test(read(summary)) : (summary) => !pattern.test(read(summary));
  } catch {
    return null;
  }
}

function haystack(summary: Summary): string {
  return `${summary.service} ${summary.breaker} ${summary.target ?? ""} ${summary.environment} ${summary.state.replace("_", " ")}`.toLowerCase();
}
