/** The last half hour as a ribbon of states. Set `spans`; drawn in the text's own units (percent), so
 * that patterns keep their size. */

import { lasting } from "../model/words";
import { painted, tripWords, type Span } from "../model/ribbon";
import { stateWord } from "../model/summary";

const SVG = "http://www.w3.org/2000/svg";

export class PbRibbon extends HTMLElement {
  #drawn = "";

  /** null while history is on its way. */
  set spans(spans: readonly Span[] | null) {
    const key = spans === null ? "" : spans.map((span) => `${span.state}:${span.start}`).join() + (spans.at(-1)?.end ?? "");
    if (key === this.#drawn) return;
    this.#drawn = key;
    this.replaceChildren();
    if (spans === null || spans.length === 0) return;
    this.append(draw(spans));
  }
}

function draw(spans: readonly Span[]): SVGSVGElement {
  const start = (spans[0] as Span).start;
  const whole = (spans.at(-1) as Span).end - start;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", inWords(spans));
  svg.setAttribute("width", "100%");
  svg.setAttribute("height", "100%");
  for (const span of painted(spans)) {
    if (span.state === null) continue;
    const x = ((span.start - start) / whole) * 100;
    const width = ((span.end - span.start) / whole) * 100;
    svg.append(rect(x, width, `span ${span.state}`));
    if (span.state === "half_open" || span.state === "unknown") svg.append(rect(x, width, `pattern ${span.state}`));
  }
  return svg;
}

function rect(x: number, width: number, className: string): SVGRectElement {
  const made = document.createElementNS(SVG, "rect");
  made.setAttribute("x", `${x}%`);
  // A moment of trouble is never too short to be seen.
  made.setAttribute("width", `${Math.max(width, 0.8)}%`);
  made.setAttribute("height", "100%");
  made.setAttribute("class", className);
  return made;
}

function inWords(spans: readonly Span[]): string {
  const last = spans.slice(-4).map((span) => {
    const word = span.state === null ? "not known" : stateWord(span.state);
    return `${word} for ${lasting((span.end - span.start) / 1_000)}`;
  });
  return `Last 30 minutes: ${last.join(", then ")}. ${tripWords(spans)}.`;
}

customElements.define("pb-ribbon", PbRibbon);
