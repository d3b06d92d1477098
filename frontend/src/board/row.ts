/** One breaker that needs a look. `templates/board/row.html` paints the same for the first paint. */

import { html, nothing, type TemplateResult } from "lit";
import type { Unwell } from "../api/incidents";
import { lost, type Rung } from "../model/gravity";
import { trips, tripWords, type Span } from "../model/ribbon";
import { counted, smallLine } from "../model/words";
import type { Override, Summary } from "../model/summary";
import { breakerUrl, glyph, instances, nameOf, rate, since, word } from "./parts";

/** Tripping this often within the ribbon's half hour is worth a word of its own. */
const FLAPPING = 3;

export function row(summary: Summary, spans: readonly Span[] | null, incident: Unwell | undefined, rung: Rung | undefined): TemplateResult {
  return html`<li class="row" data-breaker=${summary.id} data-state=${summary.state}>
    ${glyph(summary.state)}
    <div class="who"><a class="name" href=${breakerUrl(summary)}>${nameOf(summary)}</a><div class="small">${smallLine(summary)}</div></div>
    <div class="what"><b class="word">${word(summary)}</b><div class="small">${since(summary)}</div></div>
    <div class="past"><pb-ribbon .spans=${spans}></pb-ribbon><div class="small"><span>30 min</span><span>${spans === null ? "" : tripWords(spans)}</span></div></div>
    ${rate(summary)} ${instances(summary)}
    <div class="tag">${probe(summary)}${tag(summary, spans, incident, rung)}</div>
  </li>`;
}

/** Until when an open breaker waits before it lets a call through, or since when it waits for one. */
function probe({ probe_due_at: due }: Summary): TemplateResult | typeof nothing {
  return due === null ? nothing : html`<span class="pill"><pb-time at=${due} as="probe"></pb-time></span>`;
}

/** What to know next: what is left of an override, how old the last word is, and the incident; or else who is lost. */
function tag(summary: Summary, spans: readonly Span[] | null, incident: Unwell | undefined, rung: Rung | undefined): TemplateResult {
  const stray = summary.still_forced ? html`<span class="pill toned">still forced on ${counted(summary.still_forced, "instance")}</span>` : nothing;
  const link = incident && html`<a class="pill" href="/incidents/${encodeURIComponent(incident.incident)}/">incident · ${incident.rule.name}</a>`;
  const old = rung === "silent" && summary.state !== "unknown" && summary.updated_at !== null;
  const silence = old ? html`<span class="pill">no word for <pb-time at=${summary.updated_at} as="lasting"></pb-time></span>` : nothing;
  if (summary.override || link) return html`${summary.override ? left(summary.override) : nothing}${stray}${silence}${link ?? nothing}`;
  if (lost(summary) > 0) return html`${stray}${silence}<span class="pill">${counted(lost(summary), "instance")} lost</span>`;
  if (old || summary.still_forced) return html`${stray}${silence}`;
  const count = spans === null ? 0 : trips(spans);
  return html`${count >= FLAPPING ? html`<span class="pill">flapping · ${count} in 30 min</span>` : nothing}`;
}

function left({ expires_at: end }: Override): TemplateResult {
  return end === null ? html`<span class="pill toned">no expiry</span>` : html`<span class="pill toned">ends in <pb-time at=${end} as="left"></pb-time></span>`;
}
