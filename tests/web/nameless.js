// What can be acted on, or stands for a picture, without a name (WCAG 4.1.2).
() =>
  [...document.querySelectorAll("a, button, input, select, [role=img], [role=region], [role=grid]")]
    .filter((each) => each.getClientRects().length)
    .filter((each) => !(each.getAttribute("aria-label") || each.textContent.trim() || each.closest("label")?.textContent.trim()))
    .map((each) => each.outerHTML.slice(0, 120))
