// Where one is: the part after the # says everything, so that it can be linked to, and Back goes back.

export const VIEWS = ["now", "runs", "run", "agents", "locks", "state", "events"];

/** The route of the address: view, id, and what else is asked for. */
export function here() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [view, id = ""] = path.split("/");
  const asked = Object.fromEntries(new URLSearchParams(query));
  return { view: VIEWS.includes(view) ? view : "now", id: decoded(id), asked };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a route. */
export function to(view, id = "", asked = {}) {
  const query = new URLSearchParams(Object.entries(asked).filter(([, value]) => value));
  const ns = here().asked.ns;
  if (ns && !query.has("ns")) query.set("ns", ns);
  const text = String(query);
  return `#/${view}${id ? `/${encodeURIComponent(id)}` : ""}${text ? `?${text}` : ""}`;
}

/** The same place with something else asked for. */
export function withAsked(changes) {
  const { view, id, asked } = here();
  return to(view, id, { ...asked, ...changes });
}

/** The address that explains something, here: {run_id, task_id}, {resource}, {agent_id} or {sequence}. */
export function explaining(subject) {
  const named = Object.entries(subject).filter(([, value]) => value);
  return withAsked({ x: String(new URLSearchParams(named)) });
}
