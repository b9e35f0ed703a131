/** What lies over the stage: the log of all that was said, the cast to choose from, the menu. */

import { find, make } from "./dom.js";
import { marks } from "./stage.js";
import { current, text } from "./texts.js";

export function openable(id) {
  const dialog = find(id);
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside the panel
  });
  return dialog;
}

export class Log {
  #dialog = openable("log");
  #list = find("lines");
  #actions;

  constructor(actions) {
    this.#actions = actions;
  }

  open(conversation) {
    if (this.#dialog.open || document.querySelector("dialog[open]")) return;
    this.#dialog.showModal();
    this.show(conversation);
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#list.focus({ preventScroll: true });
  }

  show(conversation) {
    if (!this.#dialog.open) return;
    const follow = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 40;
    const focused = document.activeElement?.closest("li")?.dataset.reply;
    const button = [...(document.activeElement?.classList ?? [])].find((name) => ["up", "down", "again"].includes(name));
    this.#list.replaceChildren(...conversation.lines.map((line) => this.#entry(line, conversation.character)));
    if (follow) this.#list.scrollTop = this.#list.scrollHeight;
    if (focused && button) this.#list.querySelector(`li[data-reply="${focused}"] .${button}`)?.focus();
  }

  #entry(line, character) {
    const names = { her: character.name, me: text("you"), notice: "" };
    const small = [];
    if (line.time) small.push(make("time", {}, moment(line.time)));
    if (line.version) small.push(make("span", {}, line.version));
    if (line.who === "me" && !line.taken) small.push(make("span", {}, text("pending")));
    const buttons = line.who === "her" && line.reply && line.final ? marks(line, this.#actions) : [];
    return make(
      "li",
      { class: line.who, "data-reply": line.reply },
      make("b", {}, names[line.who]),
      make("p", { lang: line.who === "her" ? character.language : null }, line.text),
      make("footer", {}, ...small, make("span", { class: "marks" }, ...buttons)),
    );
  }
}

export class Picker {
  #dialog = openable("picker");
  #list = find("cast");
  #choose;

  constructor(choose) {
    this.#choose = choose;
  }

  open(cast, chosen, unread) {
    this.show(cast, chosen, unread);
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#list.querySelector("[aria-current]")?.focus();
  }

  show(cast, chosen, unread) {
    this.#list.replaceChildren(...cast.map((each) => {
      const face = make("img", { src: each.portrait ?? "static/silhouette.svg", alt: "", class: each.portrait ? "" : "nobody" });
      const tongue = each.language === "zh" ? "中文" : "English";
      const card = make(
        "button",
        {
          type: "button", "data-character": each.id, "aria-current": each.id === chosen ? "true" : null,
          onclick: () => {
            this.#dialog.close();
            this.#choose(each.id);
          },
        },
        make("span", { class: "frame" }, face),
        make("b", { lang: each.language }, each.name),
        make("small", {}, unread.has(each.id) ? `● ${text("unread")}` : tongue),
        make("span", { class: "about", lang: each.language }, each.about),
      );
      return make("li", {}, card);
    }));
  }
}

export class Menu {
  #dialog = openable("menu");
  #sure = find("sure");
  #wanted = null;

  /** `obey(command)` is called when a command was chosen, and confirmed where it should be. */
  constructor(obey) {
    const done = (command) => {
      this.#dialog.close();
      obey(command);
    };
    for (const button of this.#dialog.querySelectorAll("[data-command]")) {
      button.addEventListener("click", () => {
        if (!button.dataset.confirm) return done(button.dataset.command);
        this.#wanted = button.dataset.command;
        this.#sure.firstElementChild.textContent = text(button.dataset.confirm);
        this.#sure.hidden = false;
        find("no").focus();
      });
    }
    find("yes").addEventListener("click", () => done(this.#wanted));
    find("no").addEventListener("click", () => (this.#sure.hidden = true));
  }

  open() {
    this.#sure.hidden = true;
    this.#dialog.showModal();
  }
}

function moment(seconds) {
  const when = new Date(seconds * 1000);
  const today = when.toDateString() === new Date().toDateString();
  const style = today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat(current() === "zh" ? "zh-CN" : "en-GB", style).format(when);
}
