package dev.concert.internal;

import com.google.protobuf.ByteString;
import com.google.protobuf.CodedOutputStream;
import dev.concert.errors.ConcertException;
import dev.concert.errors.UnavailableException;
import dev.concert.v1.ConnectRequest;
import dev.concert.v1.ConnectResponse;
import dev.concert.v1.SessionServiceGrpc;
import io.grpc.ClientCall;
import io.grpc.KnownLength;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.List;

/**
 * One Connect stream: frames of client messages out, coordinator messages in. Knows nothing of sessions. On a channel of
 * its own, so that a reconnect never inherits the state of the one before.
 *
 * <p>Messages are serialised once, when they are made, because a command may be sent again; a frame is then only a join,
 * since a repeated field is its framed elements one after another.
 */
final class FrameStream {
    private static final MethodDescriptor<byte[], ConnectResponse> CONNECT =
            SessionServiceGrpc.getConnectMethod().toBuilder(
                            new FrameMarshaller(),
                            SessionServiceGrpc.getConnectMethod().getResponseMarshaller())
                    .build();

    /** Who is told what comes of it. Called on the event loop. */
    interface Listener {
        /** A frame came. */
        void onFrame(FrameStream stream, ConnectResponse frame);

        /** There is room to write again. */
        void onReady(FrameStream stream);

        /** It is over. */
        void onEnd(FrameStream stream, ConcertException why);
    }

    private final EventLoop loop;
    private final Route route;
    private final Route.Way way;
    private final ClientCall<byte[], ConnectResponse> call;

    /** Opens it; what goes wrong shows as its end. */
    FrameStream(Connection connection, Listener listener) {
        loop = connection.loop();
        route = connection.route;
        way = route.open();
        call = way.channel().newCall(CONNECT, connection.callOptions());
        call.start(new Relay(listener), connection.headers());
        call.request(Limits.RESPONSES_AHEAD_MAX);
    }

    /** Whether a frame would go out now. */
    boolean isReady() {
        return call.isReady();
    }

    /** Sends a frame. */
    void write(byte[] frame) {
        call.sendMessage(frame);
    }

    /** Has the next stream opened to another replica, if there is one. */
    void avoid() {
        route.avoid(way.index());
    }

    /** Ends the stream and its channel. */
    void close() {
        call.cancel("closed", null);
        way.channel().shutdownNow();
    }

    /** A ConnectRequest of client messages that are serialised already. */
    static byte[] encodeFrame(List<ByteString> messages) {
        int size = messages.stream().mapToInt(FrameStream::framedSize).sum();
        byte[] frame = new byte[size];
        CodedOutputStream output = CodedOutputStream.newInstance(frame);
        try {
            for (ByteString message : messages) {
                output.writeBytes(ConnectRequest.MESSAGES_FIELD_NUMBER, message);
            }
        } catch (IOException impossible) {
            throw new UncheckedIOException(impossible);
        }
        return frame;
    }

    /** How many bytes a message takes in a frame. */
    static int framedSize(ByteString message) {
        return CodedOutputStream.computeBytesSize(ConnectRequest.MESSAGES_FIELD_NUMBER, message);
    }

    /** From the network's thread to the event loop. */
    private final class Relay extends ClientCall.Listener<ConnectResponse> {
        private final Listener listener;

        Relay(Listener listener) {
            this.listener = listener;
        }

        @Override
        public void onMessage(ConnectResponse frame) {
            loop.execute(() -> {
                listener.onFrame(FrameStream.this, frame);
                call.request(1);
            });
        }

        @Override
        public void onReady() {
            loop.execute(() -> listener.onReady(FrameStream.this));
        }

        @Override
        public void onClose(Status status, Metadata trailers) {
            ConcertException why = status.isOk()
                    ? new UnavailableException("the stream ended")
                    : Refusals.fromCall(status, trailers, "Connect", route.address(way.index()));
            loop.execute(() -> listener.onEnd(FrameStream.this, why));
        }
    }

    private static final class FrameMarshaller implements MethodDescriptor.Marshaller<byte[]> {
        @Override
        public InputStream stream(byte[] frame) {
            return new FrameInput(frame);
        }

        @Override
        public byte[] parse(InputStream stream) {
            throw new UnsupportedOperationException("a client receives no requests");
        }
    }

    private static final class FrameInput extends ByteArrayInputStream implements KnownLength {
        FrameInput(byte[] frame) {
            super(frame);
        }
    }
}
