package dev.concert.agent;

/** Thrown from validatePreconditions: the task fails with PRECONDITION_FAILED, for good. */
public class PreconditionFailedException extends Exception {
    private static final long serialVersionUID = 1L;

    /** With what does not hold. */
    public PreconditionFailedException(String message) {
        super(message);
    }
}
