// Texts whose contrast to what lies under them is below 4.5 (WCAG 1.4.3).
() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const rgba = (css) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = "#000";
    context.fillStyle = css;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const linear = (v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const under = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      layers.push(colour);
      if (colour[3] > 0.99) break;
    }
    let base = layers.at(-1)[3] > 0.99 ? layers.pop() : rgba(getComputedStyle(document.documentElement).backgroundColor);
    for (const [r, g, b, a] of layers.reverse()) base = [r, g, b].map((v, at) => v * a + base[at] * (1 - a));
    return base;
  };
  const left = ".hidden, noscript, svg, .skip, .note.inside, [hidden]"; // Drawn over pictures, or not at all.
  const poor = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const of = node.parentElement;
    if (!node.data.trim() || of.closest(left) || !of.getClientRects().length) continue;
    const [a, b] = [light(rgba(getComputedStyle(of).color)), light(under(of))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${of.className}: ${node.data.slice(0, 40)}`);
  }
  return poor;
}
