package dev.concert.errors;

/**
 * A field, or the subject of a quota, and what is wrong with it.
 *
 * @param field which one
 * @param description what is wrong, with the limit
 */
public record Violation(String field, String description) {}
