package dev.concert.examples;

import java.util.Arrays;

/** Starts one of the examples by its name: {@code Examples basic|resume|fencing|greeter ARGUMENT...}. */
public final class Examples {
    private Examples() {}

    /** Starts it. */
    public static void main(String[] arguments) throws InterruptedException {
        String[] rest = Arrays.copyOfRange(arguments, 1, arguments.length);
        switch (arguments[0]) {
            case "basic" -> Basic.main(rest);
            case "resume" -> Resume.main(rest);
            case "fencing" -> Fencing.main(rest);
            case "greeter" -> Greeter.main(rest);
            default -> throw new IllegalArgumentException("there is no example " + arguments[0]);
        }
    }
}
