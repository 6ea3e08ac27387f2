package dev.concert.internal;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import dev.concert.v1.Command;
import dev.concert.v1.Reply;
import io.grpc.MethodDescriptor;

/**
 * A call: where it is served as an rpc, and as what it travels in a session's frames.
 *
 * @param <Q> its request
 * @param <R> its response
 */
public final class Method<Q extends Message, R extends Message> {
    private final String name;
    private final MethodDescriptor<Q, R> rpc;
    private final FieldDescriptor commandField;
    private final FieldDescriptor replyField;
    private final FieldDescriptor namespaceField;
    private final FieldDescriptor requestIdField;
    private final FieldDescriptor attemptTokenField;

    private Method(String name, Q request, MethodDescriptor<Q, R> rpc, String frame, String answer) {
        this.name = name;
        this.rpc = rpc;
        this.commandField = frame.isEmpty() ? null : Command.getDescriptor().findFieldByName(frame);
        this.replyField = frame.isEmpty() ? null : Reply.getDescriptor().findFieldByName(answer);
        this.namespaceField = request.getDescriptorForType().findFieldByName("namespace");
        this.requestIdField = request.getDescriptorForType().findFieldByName("request_id");
        this.attemptTokenField = request.getDescriptorForType().findFieldByName("attempt_token");
    }

    /** One that is an rpc only. */
    static <Q extends Message, R extends Message> Method<Q, R> rpc(MethodDescriptor<Q, R> rpc, Q request) {
        return new Method<>(rpc.getBareMethodName(), request, rpc, "", "");
    }

    /** One that is an rpc, and travels in frames. */
    static <Q extends Message, R extends Message> Method<Q, R> both(
            MethodDescriptor<Q, R> rpc, Q request, String frame) {
        return new Method<>(rpc.getBareMethodName(), request, rpc, frame, frame);
    }

    /** One that travels in frames only, answered by Reported. */
    static <Q extends Message, R extends Message> Method<Q, R> report(Q request, String frame) {
        return new Method<>(request.getDescriptorForType().getName(), request, null, frame, "reported");
    }

    /** Its name in the contract. */
    public String name() {
        return name;
    }

    MethodDescriptor<Q, R> rpc() {
        return rpc;
    }

    boolean travelsInFrames() {
        return commandField != null;
    }

    /** The request with its namespace and request id, where it has such fields and they are empty. */
    @SuppressWarnings("unchecked") // a builder builds what it was made from
    Q complete(Q request, String namespace, RequestIds requestIds) {
        boolean names =
                namespaceField != null && !namespace.isEmpty() && ((String) request.getField(namespaceField)).isEmpty();
        boolean identifies = requestIdField != null && ((String) request.getField(requestIdField)).isEmpty();
        if (!names && !identifies) {
            return request;
        }
        Message.Builder builder = request.toBuilder();
        if (names) {
            builder.setField(namespaceField, namespace);
        }
        if (identifies) {
            builder.setField(requestIdField, requestIds.next());
        }
        return (Q) builder.build();
    }

    long attemptToken(Q request) {
        return attemptTokenField == null ? 0 : (Long) request.getField(attemptTokenField);
    }

    Command command(long correlationId, String traceparent, Q request) {
        return Command.newBuilder()
                .setCorrelationId(correlationId)
                .setTraceparent(traceparent)
                .setField(commandField, request)
                .build();
    }

    /** The response in a reply, or null when it holds something else. */
    @SuppressWarnings("unchecked") // the reply field has the response's type
    R response(Reply reply) {
        return reply.hasField(replyField) ? (R) reply.getField(replyField) : null;
    }
}
