"use strict";
// Asks for the state once a second while the page is seen, and paints it as text: nothing that
// came from elsewhere is ever read as HTML.

const WORDS = { fresh: "fresh", cache: "served from cache", error: "error" };
const byId = (id) => document.getElementById(id);

function element(tag, { text, className, ...more } = {}, ...children) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  for (const [name, value] of Object.entries(more)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const clock = (at) => new Date(at * 1000).toLocaleTimeString([], { hour12: false });

function when(at) {
  return element("time", { text: clock(at), className: "when", datetime: new Date(at * 1000).toISOString() });
}

async function send(path, body) {
  byId("said").textContent = "";
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body ?? {}),
  });
  if (!answer.ok) byId("said").textContent = (await answer.json()).detail ?? `HTTP ${answer.status}`;
  await refresh();
}

// Buttons are made once and then only changed, so that the focus stays where it is.
const buttons = new Map();

function paintFaults(faults) {
  const box = byId("faults");
  for (const fault of faults) {
    const key = `${fault.system}/${fault.fault}`;
    let button = buttons.get(key);
    if (!button) {
      button = element("button", { text: fault.label, type: "button", "data-fault": fault.fault });
      button.addEventListener("click", () =>
        send("/api/faults", { system: fault.system, fault: fault.fault, on: button.getAttribute("aria-pressed") !== "true" }));
      buttons.set(key, button);
      box.append(button);
    }
    button.setAttribute("aria-pressed", String(fault.active));
  }
  let mend = buttons.get("mend");
  if (!mend) {
    mend = element("button", { text: "Mend", type: "button", className: "mend", "data-fault": "mend" });
    mend.addEventListener("click", () => send("/api/mend"));
    buttons.set("mend", mend);
    box.append(mend);
  }
  mend.disabled = !faults.some((fault) => fault.active);
}

function headline(state) {
  const active = state.faults.filter((fault) => fault.active);
  const got = state.systems.map((system) => system.shares).reduce(
    (sum, shares) => ({ fresh: sum.fresh + shares.fresh, cache: sum.cache + shares.cache, error: sum.error + shares.error }),
    { fresh: 0, cache: 0, error: 0 });
  const customers = got.error
    ? `${got.error} customers got an error.`
    : got.cache ? `Customers are served: ${got.cache} of ${got.fresh + got.cache} from cache.`
    : "Customers get fresh answers.";
  const held = state.held.map(({ service, breaker, mode, by }) => `${service}'s ${breaker} is ${mode.replace("_", " ")} by ${by}`);
  if (!active.length && held.length) return `Nothing is broken, but ${held.join(", and ")} until that ends. ${customers}`;
  if (!active.length) return got.cache || got.error ? `Mended, recovering. ${customers}` : `All is well. ${customers}`;
  return `${active.map((fault) => fault.effect).join(". ")}. ${customers}`;
}

function paintAnswers(systems) {
  byId("shares").replaceChildren(...systems.flatMap((system) =>
    Object.entries(system.shares).map(([source, count]) =>
      element("div", { className: "share" },
        element("b", { text: String(count) }),
        element("span", { text: WORDS[source], className: `tag ${source}` })))));
  byId("answers").replaceChildren(...systems.flatMap((system) => system.answers.slice(0, 12)).map((answer) =>
    element("li", {},
      when(answer.at),
      element("span", {}, element("span", { text: WORDS[answer.source] ?? answer.source, className: `tag ${answer.source}` })),
      element("span", { text: `${answer.instance}  ${answer.detail}`, className: "detail" }),
      element("span", { text: `${answer.took_ms} ms`, className: "when" }))));
}

function paintInbox(id, items, empty, line) {
  const rows = items.map((item) => element("li", {}, ...line(item)));
  byId(id).replaceChildren(...(rows.length ? rows : [element("li", { text: empty, className: "empty" })]));
}

function paint(state) {
  byId("headline").textContent = headline(state);
  byId("board").href = state.panel || "#";
  byId("customer").href = state.systems[0]?.customer_url ?? "#";
  paintFaults(state.faults);
  paintAnswers(state.systems);
  const waiting = state.setup === "done" ? "None yet. Break catalog, and one arrives." : `Alerts: ${state.setup}`;
  paintInbox("webhooks", state.webhooks, waiting, (hook) => [
    when(hook.at), " ",
    element("span", { text: hook.verified ? "verified" : "wrong signature", className: `tag ${hook.verified ? "verified" : "forged"}` }), " ",
    element("b", { text: hook.type }),
    ...(hook.times > 1 ? [` ×${hook.times}`] : []),
    element("p", { text: hook.summary }),
  ]);
  paintInbox("mails", state.mails, waiting, (mail) => [
    when(mail.at), " ", element("b", { text: mail.subject }),
    element("p", { text: `to ${mail.to}` }),
  ]);
}

async function refresh() {
  try {
    const answer = await fetch("/api/state");
    paint(await answer.json());
    document.body.classList.remove("stale");
  } catch {
    document.body.classList.add("stale");
    byId("headline").textContent = "The demo does not answer. What is below is old.";
  }
}

refresh();
setInterval(() => { if (!document.hidden) refresh(); }, 1000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
