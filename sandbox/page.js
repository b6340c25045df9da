// Everything that comes from the sandbox is put on the page as text, never as markup.
"use strict";

const byId = (id) => document.getElementById(id);
const shown = new Map();
let opened = null;
let current = null;

function make(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Draw a part of the page only where its data has changed, so that focus and scrolling stay.
function draw(id, data, build) {
  const text = JSON.stringify(data);
  if (shown.get(id) === text) return false;
  shown.set(id, text);
  const place = byId(id);
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  place.replaceChildren(...build(data));
  if (focused) place.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  return true;
}

async function send(path, body) {
  const notice = byId("notice");
  try {
    const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    notice.textContent = (await answer.json()).text;
    notice.className = answer.ok ? "" : "bad";
  } catch {
    notice.textContent = "The sandbox does not answer; it may have been stopped.";
    notice.className = "bad";
  }
  await refresh();
}

// Budgets

const money = (budget, amount) => `${Math.round(amount).toLocaleString("en")} ${budget.currency}`;
const percent = (budget, amount) => (budget.amount ? Math.round((100 * amount) / budget.amount) : 0);
let timer = 0;

function slider(budget, label, value, name) {
  const share = make("output", { class: "share", text: value === null ? "none" : `${value} %` });
  const input = make("input", {
    type: "range", min: 0, max: 150, step: 1, value: value ?? 0, name, "data-key": `${budget.id}-${name}`,
    "aria-valuetext": `${value ?? 0} percent of the budget`,
    on: {
      input: () => { share.textContent = `${input.value} %`; },
      change: () => {
        clearTimeout(timer);
        timer = setTimeout(() => {
          const amount = (budget.amount * Number(input.value)) / 100;
          send("/spend", name === "spent" ? { budget: budget.id, spent: amount } : { budget: budget.id, spent: budget.spent, forecast: amount });
        }, 350);
      },
    },
  });
  return make("label", {}, make("span", { text: label }), input, share);
}

// Where the budget's thresholds lie, under the slider of their kind of spend.
function marks(budget, basis, amount) {
  const line = make("div");
  for (const rule of budget.thresholds.filter((each) => each.basis === basis)) {
    const mark = make("span", { class: amount >= rule.percent * budget.amount ? "passed" : "", text: `${Math.round(rule.percent * 100)}%` });
    mark.style.left = `${(rule.percent * 100) / 1.5}%`;
    line.append(mark);
  }
  return make("div", { class: "marks", "aria-hidden": "true" }, line);
}

function budgetCard(budget) {
  const again = make("button", { type: "button", text: "Send its status again", on: { click: () => send("/spend", { budget: budget.id, spent: budget.spent }) } });
  const next = make("button", { type: "button", text: budget.next_month ? `Begin ${budget.next_month}` : "Next month is to come", on: { click: () => send("/next-month", { budget: budget.id }) } });
  next.disabled = !budget.next_month;
  return make("div", { class: "budget" },
    make("div", {}, make("b", { text: budget.name }), make("span", { class: "quiet", text: ` · ${budget.month}` })),
    make("div", { class: "figures", text: `${money(budget, budget.spent)} of ${money(budget, budget.amount)} spent` }),
    make("div", { class: "buttons" }, again, next),
    slider(budget, "Spent", percent(budget, budget.spent), "spent"),
    marks(budget, "CURRENT_SPEND", budget.spent),
    slider(budget, "Forecast", budget.forecast === null ? null : percent(budget, budget.forecast), "forecast"),
    marks(budget, "FORECASTED_SPEND", budget.forecast ?? 0));
}

// Services and worker pools

const line = (...inside) => make("span", { class: "line" }, ...inside);

function box(each, classes, ...lines) {
  const button = make("button", {
    type: "button", "data-key": each.key, title: each.details.map(([name, text]) => `${name}: ${text}`).join("\n"),
    class: `cell ${each.state} ${classes}`, on: { click: () => openDetails(each.key) },
  }, make("span", { class: "name", text: each.name }), ...lines);
  if (each.badges.length) button.append(line(...each.badges.map((badge) => make("span", { class: "badge", text: badge }))));
  return make("li", {}, button);
}

function cell(each) {
  const now = each.state === "warm" ? `${each.instances} warm` : each.state;
  const classes = `${each.env === "prod" ? "prod" : ""} ${each.changing ? "changing" : ""}`;
  return box(each, classes, line(make("span", { class: "now", text: now }), ` · ${each.scaling}`));
}

function regions(list) {
  const names = [...new Set(list.map((each) => each.region))].sort().reverse();
  return names.flatMap((region) => {
    const inside = list.filter((each) => each.region === region);
    const running = inside.reduce((sum, each) => sum + each.instances, 0);
    return [
      make("h3", { text: `${region} · ${inside.length} · ${running} instances running` }),
      make("ul", { class: "cells", "aria-label": region }, ...inside.map(cell)),
    ];
  });
}

// Training runs

function trainingRun(each) {
  const lines = [line(make("span", { class: "now", text: each.state })), line(each.amount)];
  if (each.deleted) lines.push(make("span", { class: "line quiet", text: each.deleted }));
  return box(each, "", ...lines);
}

function trainingRuns(list) {
  return [...new Set(list.map((each) => each.group))].flatMap((group) => {
    const inside = list.filter((each) => each.group === group);
    return [make("h3", { text: `${group} · ${inside.length}` }), make("ul", { class: "cells", "aria-label": group }, ...inside.map(trainingRun))];
  });
}

// What can be done to what was clicked

const RUN_VERBS = [["fail", "Let it fail"], ["retry", "Retry it"], ["promote", "Promote it"]];

function verbs(each) {
  const button = (text, path, body) => make("button", { type: "button", text, on: { click: () => { byId("details").close(); send(path, body); } } });
  if (each.kind !== "run") return [button("Deploy over it", "/deploy", { resource: each.key })];
  return RUN_VERBS.map(([what, text]) => button(text, "/run", { run: each.key, what }));
}

function find(key) {
  return [...current.services, ...current.pools, ...current.artifacts.runs].find((one) => one.key === key);
}

function openDetails(key) {
  opened = key;
  byId("details-verbs").replaceChildren(...verbs(find(key)));
  drawDetails();
  byId("details").showModal();
}

function drawDetails() {
  const each = find(opened);
  if (!each) return;
  byId("details-name").textContent = each.name;
  byId("details-list").replaceChildren(...each.details.flatMap(([name, text]) => [make("dt", { text: name }), make("dd", { text })]));
}

// Slack

function run(each) {
  if (each.code) return make("code", { text: each.text });
  let node = document.createTextNode(each.text);
  if (each.link) node = make("a", { href: each.link, rel: "noreferrer", target: "_blank" }, node);
  if (each.strike) node = make("s", {}, node);
  if (each.italic) node = make("em", {}, node);
  if (each.bold) node = make("strong", {}, node);
  return node;
}

function part(each, from) {
  if (each.type === "divider") return make("div", { class: "part" }, make("hr"));
  const place = make(each.type === "header" ? "h3" : "div", { class: `part ${each.type}` }, ...(each.runs ?? []).map(run));
  if (each.fields?.length) place.append(make("div", { class: "fields" }, ...each.fields.map((field) => make("div", {}, ...field.map(run)))));
  if (each.controls?.length) place.append(make("div", { class: "controls" }, ...each.controls.map((one) => control(one, from))));
  else place.append(...(each.elements ?? []).map((element) => make("div", {}, ...element.map(run))));
  return place;
}

// What somebody is asked before a press counts; gives whether it does.
function sure(asked) {
  const dialog = byId("sure");
  byId("sure-title").textContent = asked.title;
  byId("sure-text").replaceChildren(...asked.runs.map(run));
  byId("sure-deny").textContent = asked.deny;
  byId("sure-confirm").textContent = asked.confirm;
  byId("sure-confirm").className = asked.style || "primary";
  dialog.returnValue = "deny";
  dialog.showModal();
  return new Promise((done) => { dialog.addEventListener("close", () => done(dialog.returnValue === "confirm"), { once: true }); });
}

async function press(one, from, option) {
  if (one.confirm && !(await sure(one.confirm))) return false;
  await send("/press", { channel: from.channel, ts: from.ts, action: one.action_id, block: one.block_id, option, user: byId("me").value });
  return true;
}

function control(one, from) {
  const key = `${from.key}-${one.block_id}-${one.action_id}`;
  if (one.type === "button") {
    return make("button", { type: "button", class: one.style, "data-key": key, text: one.text, on: { click: () => press(one, from, null) } });
  }
  if (one.type !== "static_select") return make("button", { type: "button", disabled: "", text: one.text || one.type });
  const options = one.options.map((option) => make("option", { value: option.value, text: option.text }));
  const select = make("select", { "data-key": key, "aria-label": one.text || one.action_id }, make("option", { value: "", disabled: "", text: one.text || "Choose" }), ...options);
  let last = one.selected ?? "";
  select.value = last;
  select.addEventListener("change", async () => {
    const option = select.value;
    if (await press(one, from, option)) last = option;
    else select.value = last;
  });
  return select;
}

function message(each, channel, within = "") {
  const from = { channel, ts: each.ts, key: `${within}${each.ts}` };
  const classes = `message ${within ? "reply" : ""} ${each.only_for ? "private" : ""} ${each.failed ? "failed" : ""}`;
  const head = make("div", {}, make("span", { class: "who", text: each.failed ? "Slack" : "Cost Watchdog" }), make("span", { class: "app", text: "APP" }), make("span", { class: "who-time", text: each.time }));
  if (each.only_for) head.append(make("span", { class: "aside", text: `Only visible to ${each.only_for}` }));
  if (each.broadcast) head.append(make("span", { class: "aside", text: within ? "Also sent to the channel" : "Replied to a thread" }));
  const body = make("div", {}, head, ...each.parts.map((one) => part(one, from)));
  if (each.edited) body.append(make("div", { class: "aside", text: "(edited)" }));
  if (each.replies.length) {
    const title = `${each.replies.length} ${each.replies.length === 1 ? "reply" : "replies"}`;
    body.append(make("div", { class: "thread", role: "group", "aria-label": title }, make("div", { class: "aside", text: title }), ...each.replies.map((reply) => message(reply, channel, `${each.ts}/`))));
  }
  return make("article", { class: classes, "data-ts": each.ts }, make("div", { class: "avatar", "aria-hidden": "true", text: each.failed ? "!" : "CW" }), body);
}

function drawPeople(people) {
  const me = byId("me").value;
  const drawn = draw("me", people, (list) => list.map((each) => make("option", { value: each.id, text: each.name })));
  if (drawn && people.some((each) => each.id === me)) byId("me").value = me;
}

function shownChannel() {
  return current.slack.find((each) => each.id === byId("channel").value) || current.slack[0];
}

function drawSlack(channels) {
  const chosen = byId("channel").value;
  draw("channel", channels.map(({ id, name }) => ({ id, name })), (list) => list.map((each) => {
    const option = make("option", { value: each.id, text: each.name });
    option.selected = each.id === chosen;
    return option;
  }));
  const channel = shownChannel();
  const place = byId("messages");
  const atEnd = place.scrollHeight - place.scrollTop - place.clientHeight < 80;
  const empty = [make("p", { class: "empty", text: "No messages yet. Spend more than half of the budget, or let a training run fail." })];
  const changed = draw("messages", channel.messages, (messages) => (messages.length ? messages.map((each) => message(each, channel.id)) : empty));
  const last = place.lastElementChild;
  if (changed && atEnd && last) place.scrollTop = last.offsetTop - place.offsetTop;
}

// The rest

function log(each) {
  const lines = each.lines.map((line) => make("div", { class: line.severity.replace(/[^A-Z]/g, ""), text: `${line.severity.padEnd(8)} ${line.message}` }));
  const title = `${each.target} ${each.alive ? "(running)" : "(not running)"}`;
  return [make("h3", { text: title }), make("div", { class: "log mono", tabindex: "0", role: "log", "aria-label": `Log of ${each.target}` }, ...lines)];
}

function drawLogs(functions) {
  if (draw("logs", functions, (list) => (list.length ? list.flatMap(log) : [make("p", { class: "quiet", text: "No functions are running." })]))) {
    for (const place of document.querySelectorAll(".log")) place.scrollTop = place.scrollHeight;
  }
}

async function refresh() {
  let data;
  try {
    data = await (await fetch("/state")).json();
  } catch {
    byId("notice").textContent = "The sandbox does not answer; it may have been stopped.";
    byId("notice").className = "bad";
    return;
  }
  current = data;
  byId("project").textContent = data.project;
  byId("time").textContent = data.time;
  if (document.activeElement?.type !== "range" || !document.activeElement.matches(":active")) {
    draw("budgets", data.budgets, (list) => list.map(budgetCard));
  }
  const running = data.services.reduce((sum, each) => sum + each.instances, 0);
  byId("services-count").textContent = `${data.services.length} services, ${running} instances running`;
  draw("services", data.services, regions);
  draw("pools", data.pools, regions);
  const bucket = data.artifacts;
  byId("runs-count").textContent = `gs://${bucket.name}: ${bucket.live}; ${bucket.deleted}`;
  draw("runs", bucket.runs, trainingRuns);
  draw("buckets", data.buckets, (list) => list.map((each) => make("li", { text: `${each.name}: ${each.objects} objects, ${each.bytes.toLocaleString("en")} bytes` })));
  draw("journal", data.journal, (list) => list.map((each) => make("li", { text: `${each.updated.slice(11, 19)}  ${each.name}` })));
  draw("faults", data.faults, (list) => list.map((text) => make("li", { text })));
  drawLogs(data.functions);
  drawPeople(data.people);
  if (data.slack.length) drawSlack(data.slack);
  if (byId("details").open) drawDetails();
}

byId("fault").addEventListener("submit", (event) => {
  event.preventDefault();
  const asked = new FormData(event.target);
  const status = asked.get("status");
  send("/fault", { method: asked.get("method"), status: status === "drop" ? status : Number(status), times: asked.get("times") ? Number(asked.get("times")) : null });
});
byId("command").addEventListener("submit", (event) => {
  event.preventDefault();
  send("/command", { channel: shownChannel().id, text: new FormData(event.target).get("text"), user: byId("me").value });
});
byId("channel").addEventListener("change", () => drawSlack(current.slack));
byId("mend").addEventListener("click", () => send("/fault", { clear: true }));

async function poll() {
  await refresh();
  setTimeout(poll, 1000);
}
poll();
