/** The stage: her portrait, the name plate, and the line that is being said, typed out as it comes. */

import { find, icon, make } from "./dom.js";
import { text } from "./texts.js";

const PACE = 34; // characters a second when nothing waits
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Stage {
  #line = null;
  #text = "";
  #shown = 0;
  #before = 0;
  #frame = 0;
  #actions;
  #thinks = false;
  #character = null;

  /** `actions`: vote(line, "up"|"down"), again(line), back() when somebody looks for what was said. */
  constructor(actions) {
    this.#actions = actions;
    this.box = find("box");
    this.words = find("words");
    this.box.addEventListener("click", (event) => {
      if (!event.target.closest("button") && !getSelection().toString()) this.finish();
    });
    find("stage").addEventListener("wheel", (event) => {
      const inside = this.words.contains(event.target) && this.words.scrollTop > 0;
      if (event.deltaY < -4 && !inside && !event.target.closest("textarea, .notice")) actions.back();
    }, { passive: true });
  }

  enter(character) {
    if (this.#character?.id === character.id) return;
    this.#character = character;
    const portrait = find("portrait");
    portrait.classList.remove("here");
    portrait.onload = () => portrait.classList.add("here");
    portrait.onerror = () => {
      portrait.onerror = null;
      portrait.src = "static/silhouette.svg";
    };
    portrait.classList.toggle("nobody", !character.portrait);
    portrait.src = character.portrait ?? "static/silhouette.svg";
    find("background").src = character.background ?? "static/night.svg";
    find("who-face").src = character.portrait ?? "static/silhouette.svg";
    find("who-name").textContent = character.name;
    find("who-name").lang = character.language;
    document.title = `${character.name} · ChatNVL`;
  }

  /** Show a line. `at once`: it is not new, or nobody wants to see it typed. */
  show(line, { atOnce = false } = {}) {
    const same = this.#line && (this.#line === line || (line.reply && this.#line.reply === line.reply));
    if (!same) this.#shown = 0;
    this.#line = line;
    // A reply that was begun again differs from what is typed already.
    if (!line.text.startsWith(this.#text.slice(0, this.#shown))) this.#shown = 0;
    this.#text = line.text;
    if (atOnce || still.matches || line.who !== "her") this.#shown = this.#text.length;
    this.#dress();
    this.#type();
  }

  /** Whether she has been asked and has not answered. */
  think(on) {
    this.#thinks = on;
    if (this.#line) this.#dress();
  }

  /** Type the rest at once. True when there was a rest. */
  finish() {
    const rest = this.#shown < this.#text.length;
    this.#shown = this.#text.length;
    this.#type();
    return rest;
  }

  again() {
    if (this.#line) this.#dress();
  }

  /** Her last reply is being said another way. */
  fade(on) {
    this.box.classList.toggle("fading", on);
    this.again();
  }

  #plate(name, who) {
    find("plate").textContent = name;
    this.box.dataset.who = who;
    document.body.dataset.speaks = who;
  }

  #dress() {
    const line = this.#line;
    this.words.lang = line.who === "her" ? this.#character.language : "";
    this.#plate(line.who === "her" ? this.#character.name : text("you"), line.who);
    find("version").textContent = line.version ?? "";
    const below = find("marks");
    const held = ["up", "down", "again"].find((name) => document.activeElement?.closest("#marks") && document.activeElement.classList.contains(name));
    below.replaceChildren(...this.#below(line));
    if (held) below.querySelector(`.${held}`)?.focus(); // a keyboard stays where it was
  }

  /** Under the words: what can be done with them, or what is being waited for. */
  #below(line) {
    if (line.who === "me" && !line.taken) return [make("small", {}, text("pending"))];
    const rewriting = this.box.classList.contains("fading");
    if (this.#thinks && (line.who === "me" || rewriting)) {
      const dots = make("span", { class: "dots", "aria-hidden": "true" }, make("i"), make("i"), make("i"));
      return [make("small", {}, text("thinks", { name: this.#character.name })), dots];
    }
    return line.who === "her" && line.reply && line.final && !rewriting ? marks(line, this.#actions) : [];
  }

  #type() {
    cancelAnimationFrame(this.#frame);
    this.#before = performance.now();
    const step = (now) => {
      const waits = this.#text.length - this.#shown;
      // Behind a fast model it types faster, so that the reply is never long ahead of what is seen.
      this.#shown = Math.min(this.#text.length, this.#shown + ((now - this.#before) / 1000) * Math.max(PACE, waits * 1.6));
      this.#before = now;
      this.#draw();
      if (this.#shown < this.#text.length) this.#frame = requestAnimationFrame(step);
    };
    this.#draw();
    if (this.#shown < this.#text.length) this.#frame = requestAnimationFrame(step);
  }

  #draw() {
    let end = Math.floor(this.#shown);
    if (end < this.#text.length && /[\ud800-\udbff]/.test(this.#text[end - 1] ?? "")) end += 1; // not half an emoji
    const said = this.#text.slice(0, end);
    if (this.words.textContent !== said) {
      this.words.textContent = said;
      this.words.scrollTop = this.words.scrollHeight;
    }
    this.box.classList.toggle("typing", end < this.#text.length || this.#line?.final === false);
  }
}

/** Thumbs for a reply of hers, and "another way" for the last one. */
export function marks(line, actions) {
  const thumb = (vote, title) => make(
    "button",
    {
      type: "button", class: `mark ${vote}`, title: text(title), "aria-label": text(title),
      "aria-pressed": String(line.vote === vote), onclick: () => actions.vote(line, vote),
    },
    icon(vote),
  );
  const buttons = [thumb("up", "good"), thumb("down", "bad")];
  if (actions.isLast(line)) {
    const title = text("again");
    buttons.push(make(
      "button",
      { type: "button", class: "mark again", title, "aria-label": title, onclick: () => actions.again(line) },
      icon("again"),
    ));
  }
  return buttons;
}
