/**
 * What this tab has said and not yet seen answered. It outlives a reload and a lost connection; each has an id by which
 * the server takes it once, however often it is sent.
 */

const KEPT = "chatnvl-letters";
const OLD = 3600; // seconds: an answer that takes longer is found in the history

export class Letters {
  #all = new Map();

  constructor() {
    try {
      const now = Date.now() / 1000;
      for (const letter of JSON.parse(sessionStorage.getItem(KEPT) ?? "[]")) {
        if (now - letter.time < OLD) this.#all.set(letter.id, letter);
      }
    } catch {
      sessionStorage.removeItem(KEPT); // something else wrote there
    }
  }

  write(character, text) {
    const id = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    return this.add({ id, character, text, time: Date.now() / 1000, taken: false });
  }

  add(letter) {
    this.#all.set(letter.id, letter);
    this.#keep();
    return letter;
  }

  get(id) {
    return this.#all.get(id);
  }

  take(id) {
    const letter = this.#all.get(id);
    if (letter) letter.taken = true;
    this.#keep();
    return letter;
  }

  /** The bot said something about it instead of her: it may stay unanswered. */
  excuse(id) {
    const letter = this.#all.get(id);
    if (letter) letter.excused = true;
    this.#keep();
  }

  /** Those said before `id` that nobody will answer any more. */
  abandoned(id) {
    const all = [...this.#all.values()];
    const { character } = this.#all.get(id) ?? {};
    return all.slice(0, all.findIndex((letter) => letter.id === id)).filter(
      (letter) => letter.excused && letter.character === character,
    );
  }

  drop(id) {
    const letter = this.#all.get(id);
    if (this.#all.delete(id)) this.#keep();
    return letter;
  }

  /** Those that the server has not confirmed, in the order they were said. */
  pending() {
    return [...this.#all.values()].filter((letter) => !letter.taken);
  }

  to(character) {
    return [...this.#all.values()].filter((letter) => letter.character === character);
  }

  #keep() {
    sessionStorage.setItem(KEPT, JSON.stringify([...this.#all.values()]));
  }
}
