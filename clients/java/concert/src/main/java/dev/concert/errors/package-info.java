/** What can go wrong: the tree is drawn at the top of {@link dev.concert.errors.ConcertException}. */
package dev.concert.errors;
