/** The page: brings the connection, the conversation and what is seen of them together. */

import { Connection } from "./connection.js";
import { Conversation } from "./conversation.js";
import { find, make, save } from "./dom.js";
import { Letters } from "./letters.js";
import { Log, Menu, Picker } from "./panels.js";
import { Stage } from "./stage.js";
import { change, current, text, write } from "./texts.js";

const MET = "chatnvl-met";
const FRAME = 60_000; // bytes of a message; the server takes a little more
const ASK_AGAIN = 20_000; // a reply may have been written by another process of the bot: look in the history

class Chat {
  letters = new Letters();
  cast = [];
  conversation = null;
  chosen = null; // whom this tab talks to; null: whom the server remembers
  unread = new Set();
  rewriting = null; // the reply that is being said another way
  thinking = false;
  #asking = 0;
  #retry = 0;
  #quiet = 0;
  #was = "";

  constructor() {
    const actions = {
      vote: (line, vote) => this.vote(line, vote),
      again: (line) => this.again(line),
      isLast: (line) => line === this.conversation?.lastReply && !this.conversation.waits,
      back: () => this.conversation && this.log.open(this.conversation),
    };
    this.stage = new Stage(actions);
    this.log = new Log(actions);
    this.picker = new Picker((id) => this.choose(id));
    this.menu = new Menu((command) => this.command(command));
    this.connection = new Connection({
      opened: () => this.hello(),
      lost: () => this.state("lost"),
      refused: () => this.state("closed"),
      frame: (frame) => this.take(frame),
    });
  }

  async begin() {
    write();
    this.wire();
    for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
      try {
        const answer = await fetch("characters");
        if (answer.status === 401) return location.reload();
        if (answer.ok) {
          this.cast = await answer.json();
          break;
        }
      } catch {
        // the bot is not there; try again
      }
      this.state("lost");
      await new Promise((done) => setTimeout(done, wait));
    }
    this.connection.connect();
  }

  // What comes from the server

  hello() {
    this.connection.send({ type: "hello", character: this.chosen, language: current() }, { expects: true });
  }

  take(frame) {
    switch (frame.type) {
      case "history": return this.history(frame);
      case "unavailable":
        this.state("memory");
        clearTimeout(this.#retry);
        this.#retry = setTimeout(() => this.hello(), 3000);
        return;
      case "taken": return this.taken(frame.id);
      case "said":
        if (!this.letters.get(frame.id)) this.letters.add({ ...frame, taken: true });
        return this.refresh(frame.character);
      case "part": return this.part(frame);
      case "typing": return this.think(frame.on);
      case "vote": return this.voted(frame);
      case "notice": return this.notice(frame);
      case "character": return this.choose(frame.character);
      case "file": return save(frame.name, frame.text);
    }
  }

  history({ character, utterances, thinking, after }) {
    const fresh = this.conversation?.character.id !== character;
    const before = this.conversation?.lines.at(-1);
    if (fresh) this.enter(character);
    this.chosen = character;
    this.unread.delete(character);
    if (!after) {
      this.rewriting = null;
      this.stage.fade(false);
    }
    this.conversation.load(utterances, after);
    this.state("");
    this.dress();
    const last = this.conversation.lines.at(-1);
    // A reply that was written while the connection was gone is typed out; an old one is there at once.
    const news = !fresh && before && last?.reply && last.reply !== before.reply;
    if (last) this.stage.show(last, { atOnce: !news && !last.greeting });
    this.think(thinking);
    for (const letter of this.letters.pending()) this.post(letter);
    if (fresh && !utterances.length && !localStorage.getItem(MET) && this.cast.length > 1) {
      const kin = this.cast.find((each) => each.language === current()); // somebody she can read
      this.picker.open(this.cast, kin?.id ?? character, this.unread);
    }
    if (utterances.length) localStorage.setItem(MET, "1");
  }

  taken(id) {
    const letter = this.letters.take(id);
    if (!letter) return;
    if (isCommand(letter.text)) this.letters.drop(id); // obeyed without a word; what it did is seen
    this.refresh(letter.character);
    this.askAgain();
  }

  part(frame) {
    if (frame.character !== this.conversation?.character.id) {
      if (frame.final) this.unread.add(frame.character);
      return this.dress();
    }
    const { line, known } = this.conversation.part(frame);
    this.rewriting = null;
    this.stage.fade(false);
    this.stage.show(line);
    this.log.show(this.conversation);
    if (line.final && frame.final) {
      this.speak(`${this.conversation.character.name}: ${line.text}`, this.conversation.character.language);
      if (!known) this.hello(); // said from another page, or before this one was loaded
    }
    this.askAgain();
  }

  think(on) {
    this.thinking = on;
    this.stage.think(on || (this.conversation?.waits ?? false));
    if (!on && this.rewriting) this.askAgain();
  }

  voted(frame) {
    if (!frame.counted) {
      this.conversation?.vote({ ...frame, added: !frame.added });
      this.tell(text("voteLost"));
    } else this.conversation?.vote(frame);
    this.stage.again();
    if (this.conversation) this.log.show(this.conversation);
  }

  notice({ text: words, id, reply, answers }) {
    const letter = id ? this.letters.drop(id) : null;
    if (answers) this.letters.excuse(answers);
    if (letter && !isCommand(letter.text) && !find("text").value) {
      find("text").value = letter.text; // it was not taken: say it again with one key
      this.grow();
    }
    if (reply || answers) {
      this.rewriting = null;
      this.stage.fade(false);
    }
    if (this.conversation) {
      this.conversation.notice(words);
      this.refresh(this.conversation.character.id);
      const last = this.conversation.lines.findLast((line) => line.who !== "notice");
      if (last) this.stage.show(last, { atOnce: true });
      this.think(this.thinking);
    }
    this.tell(words);
  }

  // What the person does

  say() {
    const field = find("text");
    const words = field.value.trim();
    if (!words || !this.conversation) return;
    if (new TextEncoder().encode(words).length > FRAME) return this.tell(text("tooLong"));
    field.value = "";
    this.grow();
    this.hush();
    localStorage.setItem(MET, "1");
    const letter = this.letters.write(this.conversation.character.id, words);
    if (!this.post(letter)) this.tell(text("unsent"));
    this.refresh(letter.character);
    const line = this.conversation.lines.find((each) => each.id === letter.id);
    if (line && !isCommand(words)) this.stage.show(line);
  }

  post({ id, character, text: words }) {
    return this.connection.send({ type: "say", id, character, text: words }, { expects: true });
  }

  command(words) {
    const character = this.conversation?.character.id;
    if (!character || !this.connection.send({ type: "command", text: words, character })) this.tell(text("lost"));
  }

  vote(line, vote) {
    const added = line.vote !== vote;
    const frame = { type: "vote", reply: line.reply, vote, added };
    if (!this.connection.send(frame)) return this.tell(text("lost"));
    this.conversation.vote(frame);
    this.stage.again();
    this.log.show(this.conversation);
  }

  again(line) {
    if (this.rewriting) return;
    if (!this.connection.send({ type: "regenerate", reply: line.reply })) return this.tell(text("lost"));
    this.rewriting = line.reply;
    find("log").close();
    this.stage.show(line, { atOnce: true });
    this.stage.fade(true);
    this.askAgain();
  }

  enter(id) {
    this.conversation = new Conversation(this.cast.find((each) => each.id === id), this.letters);
    this.stage.enter(this.conversation.character);
  }

  choose(id) {
    localStorage.setItem(MET, "1");
    this.chosen = id;
    this.hush();
    if (this.conversation?.character.id !== id) {
      this.enter(id); // what is written now is for her, though her history has yet to come
      this.hello();
    }
    if (matchMedia("(hover: hover)").matches) find("text").focus();
  }

  // What is seen

  refresh(character) {
    if (this.conversation?.character.id !== character) return;
    this.conversation.refresh();
    this.stage.again();
    this.log.show(this.conversation);
    this.think(this.thinking);
  }

  dress() {
    const character = this.conversation?.character;
    if (!character) return;
    find("text").placeholder = text("to", { name: character.name });
    find("who").classList.toggle("unread", this.unread.size > 0);
    this.log.show(this.conversation);
  }

  state(key) {
    const pill = find("state");
    clearTimeout(this.#quiet);
    if (!key && (this.#was === "lost" || this.#was === "memory")) {
      pill.textContent = text("back");
      pill.dataset.state = "back";
      this.#quiet = setTimeout(() => (pill.hidden = true), 1800);
    } else {
      pill.textContent = key ? text(key) : "";
      pill.dataset.state = key;
      pill.hidden = !key;
    }
    this.#was = key;
  }

  tell(words) {
    const notice = find("notice");
    clearTimeout(this.hiding);
    notice.firstElementChild.textContent = words;
    notice.hidden = false;
    this.hiding = setTimeout(() => this.hush(), Math.max(7000, words.length * 90));
  }

  hush() {
    clearTimeout(this.hiding);
    find("notice").hidden = true;
  }

  /** For those who listen: whole lines, not letters. */
  speak(words, language) {
    const region = find("spoken");
    region.append(make("p", { lang: language }, words));
    while (region.childElementCount > 5) region.firstElementChild.remove();
  }

  askAgain() {
    clearTimeout(this.#asking);
    if (!this.conversation?.waits && !this.rewriting) return;
    this.#asking = setTimeout(() => {
      this.hello();
      this.askAgain();
    }, ASK_AGAIN);
  }

  grow() {
    const field = find("text");
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight, innerHeight * 0.3)}px`;
  }

  translate() {
    change(current() === "zh" ? "en" : "zh");
    write();
    this.dress();
    this.stage.again();
    this.think(this.thinking);
    this.state(this.#was);
    this.hello(); // notices come in this language from now on
  }

  wire() {
    const field = find("text");
    find("say").addEventListener("submit", (event) => {
      event.preventDefault();
      this.say();
    });
    field.addEventListener("input", () => this.grow());
    field.addEventListener("keydown", (event) => {
      // While an input method composes, Enter picks a word (keyCode 229 is how Safari says so).
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.say();
    });
    document.addEventListener("keydown", (event) => {
      const free = !document.querySelector("dialog[open]") && !event.target.closest?.("textarea, button, input");
      if (free && (event.key === "Enter" || event.key === " ")) {
        event.preventDefault();
        if (!this.stage.finish()) field.focus();
      } else if (event.key === "PageUp" && !document.querySelector("dialog[open]")) {
        event.preventDefault();
        if (this.conversation) this.log.open(this.conversation);
      }
    });
    find("open-log").addEventListener("click", () => this.conversation && this.log.open(this.conversation));
    find("open-menu").addEventListener("click", () => this.menu.open());
    find("language").addEventListener("click", () => this.translate());
    find("who").addEventListener("click", () => this.picker.open(this.cast, this.conversation?.character.id, this.unread));
    find("notice").lastElementChild.addEventListener("click", () => this.hush());
  }
}

const isCommand = (words) => /^[/／]/.test(words);

new Chat().begin();
