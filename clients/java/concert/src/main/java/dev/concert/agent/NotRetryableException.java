package dev.concert.agent;

/** Throw it, or one derived from it: the task fails and is not tried again. */
public class NotRetryableException extends Exception {
    private static final long serialVersionUID = 1L;

    /** With why. */
    public NotRetryableException(String message) {
        super(message);
    }

    /** With why. */
    public NotRetryableException(String message, Throwable cause) {
        super(message, cause);
    }
}
