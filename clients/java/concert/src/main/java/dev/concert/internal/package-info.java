/** How it works inside. Private: may change at any time. */
package dev.concert.internal;
