/** Finding secrets in text: by the shapes that real credentials have, and by how random a quoted password looks. */

// Bits per character. Words and placeholders lie below, generated passwords above.
const RANDOM_FROM_BITS = 3.2;
const SHAPES: Readonly<Record<string, RegExp>> = {
  "private key": /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/g,
  "AWS access key": /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g,
  "GitHub token": /\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})\b/g,
  "Slack token": /\bxox[abprs]-[A-Za-z0-9-]{10,}\b/g,
  "Google API key": /\bAIza[0-9A-Za-z_-]{35}\b/g,
  "Stripe key": /\b[rs]k_live_[0-9A-Za-z]{16,}\b/g,
  "JSON web token": /\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}/g,
  "URL with password": /\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@<>"']+:[^\s/:@<>"']{6,}@[^\s<>"']+/g,
};
const ASSIGNED =
  /\b[\w-]*(?:password|passwd|secret|api[_-]?key|access[_-]?key|token)[\w-]*["']?\s*[:=]\s*["']([^\s"']{12,})["']/gi;

/** Every secret in a text, said without the secret itself. */
export function secretsIn(text: string): string[] {
  const shaped = Object.entries(SHAPES).flatMap(([kind, shape]) =>
    [...text.matchAll(shape)].map(([found]) => told(kind, found)),
  );
  const assigned = [...text.matchAll(ASSIGNED)]
    .map(([, secret = ""]) => secret)
    .filter((secret) => bitsPerCharacter(secret) >= RANDOM_FROM_BITS);
  return [...shaped, ...assigned.map((secret) => told("assigned secret", secret))];
}

function told(kind: string, secret: string): string {
  return `${kind} beginning '${secret.slice(0, 4)}', ${secret.length} characters`;
}

function bitsPerCharacter(text: string): number {
  const counts = new Map<string, number>();
  for (const letter of text) counts.set(letter, (counts.get(letter) ?? 0) + 1);
  return -[...counts.values()].reduce((sum, count) => sum + (count / text.length) * Math.log2(count / text.length), 0);
}
