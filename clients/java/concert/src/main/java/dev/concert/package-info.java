/**
 * Concert for Java: let many independent agents do one job together without stepping on each other.
 *
 * <p>{@link dev.concert.Client} asks and tells a coordinator everything; agents are in {@code dev.concert.agent}, what can go
 * wrong in {@code dev.concert.errors}, the contract's messages in {@code dev.concert.v1}. {@code dev.concert.internal} is
 * private and may change at any time.
 */
package dev.concert;
