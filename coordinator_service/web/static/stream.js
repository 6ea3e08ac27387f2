// The stream: one connection for everything that is viewed, made again whenever it is lost.

const RETRY_MS = [400, 800, 1500, 3000, 5000];

export class Stream {
  /** told(frame) for each frame; stood(state, why) with "connecting", "live" or "lost". */
  constructor(told, stood) {
    this.told = told;
    this.stood = stood;
    this.url = "";
    this.source = null;
    this.failures = 0;
    this.timer = 0;
    // A page that nobody sees costs nobody anything, and leaves its connection to those that are seen.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()));
    window.addEventListener("online", () => this.open());
  }

  view(namespace, topics) {
    const query = new URLSearchParams([["namespace", namespace], ...topics.map((topic) => ["topic", topic])]);
    const url = `live?${query}`;
    if (url === this.url && this.source) return;
    this.url = url;
    this.failures = 0;
    this.open();
  }

  open() {
    this.close();
    if (!this.url || document.hidden) return;
    this.stood("connecting", "");
    const source = (this.source = new EventSource(this.url));
    source.onopen = () => this.stood("connecting", "");
    source.onmessage = (message) => {
      this.failures = 0;
      this.stood("live", "");
      this.told(JSON.parse(message.data));
    };
    source.onerror = () => this.lost();
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  async lost() {
    this.close();
    const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)] * (0.75 + Math.random() / 2);
    this.failures += 1;
    const url = this.url;
    this.timer = setTimeout(() => this.open(), wait);
    this.stood("lost", "the coordinator does not answer");
    if (this.failures > 2) {
      const why = await refusal(url);
      if (why && this.url === url && this.failures) this.stood("lost", why);
    }
  }
}

/** What the coordinator says when it does not stream. */
async function refusal(url) {
  try {
    const aborting = new AbortController();
    const answer = await fetch(url, { signal: aborting.signal, cache: "no-store" });
    if (answer.ok) {
      aborting.abort();
      return "";
    }
    return (await answer.json()).fault;
  } catch {
    return "";
  }
}
