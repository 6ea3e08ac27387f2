package dev.concert.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.concert.errors.ConcertException;
import dev.concert.errors.FeatureMissingException;
import dev.concert.errors.UnavailableException;
import dev.concert.errors.UntrustedException;
import io.grpc.Metadata;
import io.grpc.Status;
import java.nio.channels.ClosedChannelException;
import java.security.cert.CertificateException;
import javax.net.ssl.SSLHandshakeException;
import org.junit.jupiter.api.Test;

class RefusalsTest {
    private static ConcertException of(Status status) {
        return Refusals.fromCall(status, new Metadata(), "Publish", "one:7420");
    }

    @Test
    void aChannelThatWasResetIsUnavailableWhateverItsStatusSays() {
        ConcertException reset = of(Status.UNKNOWN.withCause(new ClosedChannelException()));
        assertInstanceOf(UnavailableException.class, reset);
        assertTrue(Refusals.isTransient(reset));
        assertEquals(
                "UNKNOWN", of(Status.UNKNOWN.withDescription("of the server")).code());
    }

    @Test
    void aCertificateThatIsNotTrustedIsToldWithItsCureAndNotWaitedOut() {
        Exception handshake = new SSLHandshakeException("General OpenSslEngine problem");
        handshake.initCause(new CertificateException("PKIX path building failed"));
        ConcertException error = of(Status.UNAVAILABLE.withCause(handshake));
        assertInstanceOf(UntrustedException.class, error);
        assertFalse(Refusals.isTransient(error));
        assertTrue(
                error.getMessage().contains("the certificate of one:7420 is signed by nobody trusted"), error.said());
    }

    @Test
    void aCallThatTheCoordinatorDoesNotKnowIsNamed() {
        ConcertException missing = of(Status.UNIMPLEMENTED);
        assertInstanceOf(FeatureMissingException.class, missing);
        assertTrue(missing.getMessage().contains("does not know Publish: upgrade it"), missing.said());
    }
}
