package dev.concert.agent;

import dev.concert.internal.Limits;
import dev.concert.internal.Methods;
import dev.concert.internal.SessionStream;
import dev.concert.v1.Progress;
import dev.concert.v1.TaskProgress;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;

/** Reports how far an attempt is, one report at a time: the latest one wins. */
final class ProgressReporter {
    private static final Logger LOG = System.getLogger("dev.concert.agent");

    private final SessionStream session;
    private final long attemptToken;
    private Progress next;
    private int count;
    private boolean isReporting;
    private boolean isStopped;

    ProgressReporter(SessionStream session, long attemptToken) {
        this.session = session;
        this.attemptToken = attemptToken;
    }

    synchronized void report(Progress progress) {
        next = progress;
        if (!isReporting && !isStopped) {
            isReporting = true;
            send();
        }
    }

    /** No more of them: what is said next is final. Waits for none. */
    synchronized void stop() {
        isStopped = true;
        next = null;
    }

    private synchronized void send() {
        if (next == null || isStopped) {
            isReporting = false;
            return;
        }
        count++;
        TaskProgress report = TaskProgress.newBuilder()
                .setRequestId("attempt/" + attemptToken + "/progress/" + count)
                .setAttemptToken(attemptToken)
                .setProgress(next)
                .build();
        next = null;
        session.call(Methods.TASK_PROGRESS, report, null).whenComplete((reported, error) -> {
            if (error != null) {
                LOG.log(Level.DEBUG, "progress of attempt {0} was not taken: {1}", attemptToken, error.getMessage());
            }
            session.loop().schedule(Limits.PROGRESS_PAUSE, this::send);
        });
    }
}
