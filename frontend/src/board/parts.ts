/** Small pieces that rows, tiles and chips share. */

import { html, nothing, svg, type SVGTemplateResult, type TemplateResult } from "lit";
import { breakable, instanceMarks, instanceWords, percent, rateTail, rateWords, standingSince } from "../model/words";
import { standingTitle, type State, type Summary } from "../model/summary";

/** The state as a circuit diagram draws it; the word always stands beside it. */
export function glyph(state: State): TemplateResult {
  return html`<svg class="glyph" viewBox="0 0 28 16" aria-hidden="true"><use href="#g-${state}"></use></svg>`;
}

export function breakerUrl(summary: Summary): string {
  return `/breakers/${encodeURIComponent(summary.id)}/`;
}

export function nameOf({ service, breaker, target }: Summary): TemplateResult {
  return target === null
    ? html`${broken(service)}<span class="arrow"> · </span>${broken(breaker)}`
    : html`${broken(service)}<span class="arrow"> → </span>${broken(target)}`;
}

/** A name that goes on in the next line after a joint of its own, and within a word only where it must. */
export function broken(name: string): (string | TemplateResult)[] {
  return breakable(name).flatMap((piece, n) => (n === 0 ? [piece] : [html`<wbr>`, piece]));
}

export function since(summary: Summary): TemplateResult | typeof nothing {
  const { lead, since: moment } = standingSince(summary);
  return moment === null ? nothing : html`${lead}<pb-time at=${moment} as="lasting"></pb-time>`;
}

/** A percentage as a bar, in attributes: the policy allows no inline style. */
export function bar(part: number): SVGTemplateResult | TemplateResult {
  const width = `${Math.min(100, Math.max(0, part))}%`;
  return html`<svg class="bar" aria-hidden="true">
    ${svg`<rect class="track" width="100%" height="4" y="1" rx="2"></rect><rect class="fill" width=${width} height="4" y="1" rx="2"></rect>`}
  </svg>`;
}

export function rate(summary: Summary): TemplateResult {
  if (summary.failure_rate === null) return html`<div class="rate quiet">${rateWords(summary)}</div>`;
  return html`<div class="rate"><span><b>${percent(summary.failure_rate)}</b> ${rateTail(summary)}</span>${bar(summary.rate_of === "before" ? 0 : summary.failure_rate)}</div>`;
}

export function instances(summary: Summary): TemplateResult {
  const { marks, more } = instanceMarks(summary);
  return html`<div class="marks">
    <span class="mark-row" aria-hidden="true"
      >${marks.map((state) => html`<i class="mark" data-mark=${state}></i>`)}${more > 0 ? html`<i class="mark-more">+${more}</i>` : nothing}</span
    ><span class="small">${instanceWords(summary)}</span>
  </div>`;
}

export function word(summary: Summary): string {
  return standingTitle(summary);
}
