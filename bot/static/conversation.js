/**
 * The lines of the conversation with one character, in order: what the history says, what is still on its way to the
 * server, and the reply that is being written.
 *
 * A line: {who: "her"|"me"|"notice", id, reply, text, time, vote, version, final, taken, answers}
 */

export class Conversation {
  #letters;
  #history = [];
  #live = new Map(); // reply id -> line: not in the history yet
  lines = [];

  constructor(character, letters) {
    this.character = character;
    this.#letters = letters;
    this.#compose();
  }

  /** The last of her replies: the one that can be said again. */
  get lastReply() {
    return this.lines.findLast((line) => line.reply && line.final);
  }

  get waits() {
    return this.#letters.to(this.character.id).some((letter) => letter.taken && !letter.excused);
  }

  load(utterances, after) {
    let answers = null;
    this.#history = utterances.map((line) => {
      if (!line.reply) {
        answers = line.message;
        for (const letter of this.#letters.abandoned(line.message)) this.#letters.drop(letter.id);
        this.#letters.drop(line.message);
        return { who: "me", id: line.message, text: line.text, time: line.time, taken: true };
      }
      this.#live.delete(line.reply);
      const { reply, text, time, version, mine } = line;
      return { who: "her", reply, text, time, version, vote: mine, final: true, answers };
    });
    if (after && !utterances.length) {
      for (const letter of this.#letters.to(this.character.id)) if (letter.taken) this.#letters.drop(letter.id);
      this.#live.clear();
    }
    for (const [reply, line] of this.#live) if (line.final) this.#live.delete(reply);
    this.#compose();
  }

  /** A piece of a reply. Returns its line, and whether the message that it answers is known here. */
  part(frame) {
    let line = this.#live.get(frame.reply) ?? this.#history.find((each) => each.reply === frame.reply);
    if (!line) {
      line = {
        who: "her", reply: frame.reply, text: "", time: Date.now() / 1000, version: frame.version, vote: null, final: false,
        answers: null, parts: [],
      };
      this.#live.set(frame.reply, line);
    }
    line.answers ??= frame.answers;
    line.parts ??= [line.text];
    line.parts[frame.index] = frame.text;
    if (frame.last) line.parts.length = frame.index + 1;
    line.text = line.parts.join("\n");
    if (frame.final && frame.last) line.final = true;
    const known = this.#knows(line.answers);
    if (line.final && known) this.#settle(line);
    this.#compose();
    return { line, known };
  }

  vote({ reply, vote, added }) {
    const line = this.lines.find((each) => each.reply === reply);
    if (line) line.vote = added ? vote : line.vote === vote ? null : line.vote;
    return line;
  }

  refresh() {
    this.#compose();
  }

  notice(text) {
    const line = { who: "notice", text, time: Date.now() / 1000, final: true };
    this.#history.push(line);
    this.#compose();
    return line;
  }

  #knows(message) {
    return !!message && (!!this.#letters.get(message) || this.#history.some((line) => line.id === message));
  }

  /** A finished reply becomes history, with the message it answers. */
  #settle(line) {
    this.#live.delete(line.reply);
    for (const letter of [...this.#letters.abandoned(line.answers), this.#letters.get(line.answers)]) {
      if (!letter) continue;
      this.#letters.drop(letter.id);
      this.#history.push({ who: "me", id: letter.id, text: letter.text, time: letter.time, taken: true });
    }
    this.#put(this.#history, line);
  }

  /** Put a reply where it belongs: in the place of an older one to the same message, else behind that message. */
  #put(lines, line) {
    const older = lines.findIndex((each) => each.reply && each.answers && each.answers === line.answers);
    if (older >= 0) {
      lines[older] = line;
      return;
    }
    const asked = lines.findIndex((each) => each.id && each.id === line.answers);
    lines.splice(asked >= 0 ? asked + 1 : lines.length, 0, line);
  }

  #compose() {
    const { greeting } = this.character;
    const known = new Set(this.#history.map((line) => line.id));
    this.lines = greeting ? [{ who: "her", reply: "", text: greeting, final: true, greeting: true }] : [];
    this.lines.push(...this.#history);
    for (const letter of this.#letters.to(this.character.id)) {
      if (known.has(letter.id)) continue;
      this.lines.push({ who: "me", id: letter.id, text: letter.text, time: letter.time, taken: letter.taken });
    }
    for (const line of this.#live.values()) this.#put(this.lines, line);
  }
}
