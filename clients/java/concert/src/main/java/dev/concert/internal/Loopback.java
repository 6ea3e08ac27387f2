package dev.concert.internal;

import io.grpc.netty.shaded.io.netty.util.NetUtil;
import java.net.InetAddress;
import java.net.UnknownHostException;

/** Which addresses are of this machine. */
public final class Loopback {
    private Loopback() {}

    /** Whether what goes to {@code host:port} never leaves this machine. Resolves nothing. */
    public static boolean is(String address) {
        if (address.startsWith("unix:")) {
            return true;
        }
        String host =
                address.replaceFirst("^dns:/*", "").replaceFirst(":\\d*$", "").replaceFirst("^\\[(.*)]$", "$1");
        byte[] numbers = NetUtil.createByteArrayFromIpAddressString(host);
        try {
            return numbers == null
                    ? host.equalsIgnoreCase("localhost")
                    : InetAddress.getByAddress(numbers).isLoopbackAddress();
        } catch (UnknownHostException impossible) {
            throw new AssertionError(impossible);
        }
    }
}
