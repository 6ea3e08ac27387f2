/** What is on a page: its anchors, what it points to, and what a browser loads for it. */
import { type HTMLElement, parse } from "node-html-parser";

/** A page, taken apart. */
export function parsePage(body: Buffer): HTMLElement {
  return parse(body.toString("utf8"), { comment: false, blockTextElements: { script: true, style: true, pre: false } });
}

/** The ids on a page. */
export function anchorsOf(page: HTMLElement): Set<string> {
  return new Set(page.querySelectorAll("[id]").map((each) => each.getAttribute("id") ?? ""));
}

/** Everything a page points to: links, style sheets, images and each candidate of a srcset. */
export function references(page: HTMLElement): string[] {
  const attributes = (selector: string, name: string) =>
    page.querySelectorAll(selector).flatMap((each) => each.getAttribute(name) ?? []);
  const candidates = attributes("[srcset]", "srcset").flatMap((set) =>
    set.split(",").map((one) => one.trim().split(/\s+/)[0] ?? ""),
  );
  return [
    ...attributes("a[href]", "href"),
    ...attributes("link[href]", "href"),
    ...attributes("[src]", "src"),
    ...candidates,
  ].filter((target) => target !== "");
}

/** What a browser on a wide screen loads for a page: the style sheets, and of each picture the largest WebP. */
export function needed(page: HTMLElement): string[] {
  const styles = page.querySelectorAll("link[rel=stylesheet][href]").map((each) => each.getAttribute("href") ?? "");
  const pictures = page
    .querySelectorAll("source[srcset]")
    .map((each) => each.getAttribute("srcset")?.split(",").at(-1)?.trim().split(/\s+/)[0] ?? "");
  return [...new Set([...styles, ...pictures])];
}

/** The path in a release that an absolute URL path stands for. */
export function releasePath(urlPath: string): string {
  const path = decodeURIComponent(urlPath.split("?")[0] ?? "").replace(/^\//, "");
  return path === "" || path.endsWith("/") ? `${path}index.html` : path;
}
