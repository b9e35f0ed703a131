/** The owner's page: asks for the figures now and then, and draws them. */

import { find, make } from "./dom.js";
import { calibration, interval, overTime } from "./owner-charts.js";
import { change, current, dayName, figure, kindName, metricName, moment, number, percent, text, write } from "./owner-texts.js";

const EVERY = 60_000, SOON = 1_500; // milliseconds

let figures = null;
let width = 0;

async function ask() {
  try {
    const answer = await fetch("owner/figures", { cache: "no-store" });
    if (answer.status === 404) return tell("away", true);
    if (!answer.ok) throw new Error(answer.statusText);
    figures = await answer.json();
    show();
  } catch {
    tell("lost", true);
  }
}

function tell(key, lost, values) {
  const when = find("when");
  when.textContent = text(key, values);
  when.classList.toggle("lost", lost);
}

function show() {
  write();
  if (!figures) return;
  tell("updated", false, { time: moment(figures.time) });
  const all = find("all");
  width = all.clientWidth;
  const known = figures.characters.filter((each) => each.versions.length || each.rewards.length || each.releases.length);
  all.replaceChildren(
    ...held(),
    ...known.flatMap(character),
    ...(known.length ? [] : [make("p", { class: "card" }, text("nothing"))]),
  );
  all.setAttribute("aria-busy", "false");
}

const card = (...children) => make("section", { class: "card" }, ...children);
const note = (words) => make("p", { class: "note" }, words);
const cells = (tag, ...texts) => texts.map((each) => make(tag, tag === "th" ? { scope: "col" } : {}, each));

const weights = (total) => ({ up: figure(total.weighted_up), down: figure(total.weighted_down) });
const spoken = (share) => ({ value: percent(share.value), low: percent(share.low), high: percent(share.high), n: number(share.n) });

// What is held back

function held() {
  if (!figures.held.length) return [];
  const names = new Map(figures.characters.map((each) => [each.id, each.name]));
  const rushes = figures.held.map((rush) => {
    const button = make("button", { type: "button", "data-rush": rush.id, onclick: () => release(rush.id, button) }, text("release"));
    const persons = rush.persons ? number(rush.persons) : text("everybody");
    const what = text("rush", { ...rush, persons, name: names.get(rush.character) ?? rush.character, versions: rush.versions.join(", ") });
    return make(
      "li", {},
      make("p", {}, what,
        make("small", {}, text("span", { since: moment(rush.since), until: moment(rush.until) })),
        make("small", { lang: "en" }, rush.reason)),
      button,
    );
  });
  return [make("section", { class: "card held" }, make("h3", {}, text("held")), make("ul", {}, ...rushes))];
}

async function release(id, button) {
  button.disabled = true;
  let answer = null;
  try {
    answer = await fetch("owner/release", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Owner-Proof": figures.proof },
      body: JSON.stringify({ id }),
    });
  } catch { /* as if it had been refused */ }
  button.textContent = text(answer?.ok ? "released" : "stillHeld");
  if (!answer?.ok) return;
  for (let tries = 0; tries < 8 && figures.held.some((rush) => rush.id === id); tries++) {
    await new Promise((done) => setTimeout(done, SOON)); // until the bot has written it down
    const next = await fetch("owner/figures", { cache: "no-store" });
    if (next.ok) figures = await next.json();
  }
  show();
}

// One character

function character(each) {
  return [
    make("h2", { lang: each.language }, each.name),
    ...each.releases.map(releaseState),
    ...(each.versions.some((version) => version.total.shown) ? [totals(each), history(each)] : []),
    ...evaluations(each),
    ...each.rewards.map(reward),
  ].filter(Boolean);
}

function releaseState(state) {
  const title = make("h3", {}, `${text("releaseTitle")} · ${state.base}`);
  if (state.error) return card(title, make("p", { lang: "en" }, state.error));
  const { canary, stable, previous, last } = state;
  const says = canary
    ? [text("releaseCanary", { version: canary.version, share: percent(canary.share), since: moment(canary.since), stable }), text(canary.decides ? "decides" : "asks")]
    : [text("releaseStable", { version: stable })];
  if (previous) says.push(text("before", { version: previous }));
  const change = last && text("lastChange", { ...last, action: text(last.action), time: moment(last.time), why: [last.by, last.reason].filter(Boolean).join(": ") || "–" });
  return card(
    title,
    make("p", {}, says.join(" ")),
    ...(state.comparison ? [make("p", { class: "comparison" }, state.comparison[current()] + text("stop"))] : []),
    ...(change ? [note(change)] : []),
  );
}

/** What a version is at present, on any base. */
function stateOf(each, version) {
  if (each.releases.some((release) => release.canary?.version === version)) return "canary";
  return each.releases.some((release) => release.stable === version) ? "stable" : "";
}

function totals(each) {
  const rows = each.versions.filter((version) => version.total.shown).map((version) => {
    const { shown, rated, liked, up, down, regenerated, quarantined } = version.total;
    const state = stateOf(each, version.name);
    return make(
      "tr", {},
      make("th", { scope: "row" }, version.name, make("span", { class: `state ${state}` }, state && text(state))),
      make("td", {}, ...(liked ? [interval(liked, text("likedShort", spoken(liked))), `${percent(liked.value)} `, make("small", {}, `${percent(liked.low)}–${percent(liked.high)}`)] : [text("none")])),
      make("td", {}, `${number(up)} / ${number(down)} `, make("small", {}, text("byWeight", weights(version.total)))),
      make("td", {}, number(shown)),
      make("td", {}, percent(rated.value), " ", make("small", {}, `${percent(rated.low)}–${percent(rated.high)}`)),
      make("td", {}, number(regenerated)),
      make("td", {}, number(quarantined)),
    );
  });
  const head = cells("th", text("version"), text("liked"), text("votes"), text("shown"), text("rated"), text("again"), text("heldBack"));
  return card(make("div", { class: "scroll" }, make("table", { class: "totals" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows))));
}

function history(each) {
  const told = each.versions.filter((version) => version.total.shown);
  const most = Math.max(...told.flatMap((version) => version.points.map((point) => (point ? Math.max(point.up, point.down) : 0))));
  const columns = width > 900 && told.length > 1 ? 2 : 1;
  const room = Math.floor((width - 14 * (columns - 1)) / columns) - 34;
  const panels = told.map((version) => card(
    make("h3", {}, version.name),
    overTime({
      width: room, periods: figures.periods, points: version.points, most, name: dayName,
      text: text("overText", { name: version.name }),
      describe: (period, point) => [
        text("point", { ...point, period: dayName(period) }),
        point.liked && text("pointLiked", spoken(point.liked)),
      ].filter(Boolean).join("\n"),
    }),
  ));
  return make("section", {}, make("h3", {}, text("over")), note(text("overNote", { period: text(figures.period) })), make("div", { class: "panels" }, ...panels));
}

// How it was tested

function evaluations(each) {
  return each.bases.filter((base) => base.evaluations.length).map((base) => {
    const names = base.evaluations.map((one) => one.version);
    const metrics = new Map(base.evaluations.flatMap((one) => one.metrics.map((metric) => [metric.name, metric])));
    const cell = (metric) => (metric ? make("td", {}, figure(metric.value), " ", make("small", {}, `${figure(metric.low)}–${figure(metric.high)}`)) : make("td", {}, ""));
    const rows = [...metrics.values()].map((metric) => {
      const unit = metric.unit ? ` (${metric.unit})` : "";
      const better = metric.better === "lower" ? " ↓" : " ↑";
      return make(
        "tr", {},
        make("td", { class: "name" }, metricName(metric), make("span", { class: "grey" }, unit + better)),
        ...base.evaluations.map((one) => cell(one.metrics.find((other) => other.name === metric.name))),
        make("td", { class: "grey" }, metric.base == null ? "" : figure(metric.base)),
      );
    });
    const goals = make(
      "tr", {}, make("td", { class: "name" }, text("goals")),
      ...base.evaluations.map((one) => make("td", {}, one.goals.of ? text("goalsOf", one.goals) : "")),
      make("td", {}, ""),
    );
    const head = cells("th", text("metric"), ...names, base.base);
    return card(
      make("h3", {}, `${text("evaluation")} · ${base.base}`), note(text("evaluationNote")),
      make("div", { class: "scroll" }, make("table", { class: "evaluations" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows, goals))),
    );
  });
}

// The reward model

function reward(one) {
  const kinds = one.kinds.map((kind) => make(
    "tr", {}, make("td", { class: "name" }, kindName(kind.name)), make("td", {}, interval(kind, text("right", spoken(kind)), 110), percent(kind.value), " ", make("small", {}, `n ${number(kind.n)}`)),
  ));
  const bins = one.calibration.bins;
  const describe = (bin) => text("bin", { confidence: percent(bin.confidence), accuracy: percent(bin.accuracy), n: number(bin.n) });
  return card(
    make("h3", {}, `${text("reward")} · ${text("rewardOf", one)}`),
    make("p", {}, `${one.name} `, text("right", spoken(one.accuracy))),
    make(
      "div", { class: "pair" },
      make("div", { class: "scroll kinds" }, note(text("kinds")), make("table", {}, make("tbody", {}, ...kinds))),
      make("div", {}, note(`${text("sure")} ${text("error", { value: percent(one.calibration.error) })}`), calibration(bins, describe, text("sure"), Math.min(300, width - 40))),
    ),
  );
}

// Begin

find("language").addEventListener("click", () => {
  change();
  show();
});
let resized = 0;
addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(() => find("all").clientWidth !== width && show(), 150);
});
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && ask());
setInterval(() => document.visibilityState === "visible" && ask(), EVERY);
write();
ask();
