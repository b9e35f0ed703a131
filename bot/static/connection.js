/** The WebSocket: opened again when it is lost, at once when the browser comes back to life. */

const SHORTEST = 400;
const LONGEST = 8000; // milliseconds between attempts
const PATIENCE = 10_000; // for an answer, before the connection is thought dead
const TURNED_AWAY = 4401;
const RELOADED = "chatnvl-reloaded";

export class Connection {
  #socket = null;
  #failures = 0;
  #timer = 0;
  #deadline = 0;
  #handlers;

  /** `handlers`: opened(), lost(), refused(), frame(object). */
  constructor(handlers) {
    this.#handlers = handlers;
    const hurry = () => document.visibilityState === "visible" && this.#hurry();
    window.addEventListener("online", hurry);
    document.addEventListener("visibilitychange", hurry);
    window.addEventListener("pageshow", hurry);
  }

  get open() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  connect() {
    clearTimeout(this.#timer);
    const address = new URL("chat", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    address.search = address.hash = "";
    const socket = (this.#socket = new WebSocket(address));
    socket.addEventListener("open", () => {
      this.#failures = 0;
      this.#handlers.opened();
    });
    socket.addEventListener("message", (event) => {
      this.#answered();
      this.#handlers.frame(JSON.parse(event.data));
    });
    socket.addEventListener("close", (event) => {
      if (socket === this.#socket) this.#lost(event.code);
    });
  }

  /** `expects`: the server answers this at once; silence means that nobody is there any more. */
  send(frame, { expects = false } = {}) {
    if (!this.open) return false;
    this.#socket.send(JSON.stringify(frame));
    if (expects && !this.#deadline) {
      this.#deadline = setTimeout(() => {
        const dead = this.#socket;
        this.#lost(0); // without waiting for a goodbye that will not come
        dead.close();
      }, PATIENCE);
    }
    return true;
  }

  #answered() {
    clearTimeout(this.#deadline);
    this.#deadline = 0;
  }

  #lost(code) {
    this.#answered();
    this.#socket = null;
    if (code === TURNED_AWAY) {
      const before = Number(sessionStorage.getItem(RELOADED) ?? 0);
      sessionStorage.setItem(RELOADED, Date.now());
      if (Date.now() - before > 15_000) location.reload(); // it brings the cookie, or asks for the token
      else this.#handlers.refused();
      return;
    }
    this.#handlers.lost();
    const wait = Math.min(SHORTEST * 2 ** this.#failures++, LONGEST) * (0.75 + Math.random() / 2);
    this.#timer = setTimeout(() => this.connect(), wait);
  }

  #hurry() {
    if (this.#socket || !this.#timer) return;
    this.#failures = 0;
    this.connect();
  }
}
