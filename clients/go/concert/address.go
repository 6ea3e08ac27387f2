package concert

import (
	"net"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

const replicasScheme = "concert-replicas"

// isLocal tells whether an address, or each of several, is of this machine, so that nothing leaves it.
func isLocal(address string) bool {
	for each := range strings.SplitSeq(address, ",") {
		each = strings.TrimSpace(each)
		if each == "" || strings.HasPrefix(each, "unix:") || strings.HasPrefix(each, "unix-abstract:") {
			continue
		}
		for _, scheme := range []string{"dns:", "passthrough:"} {
			each = strings.TrimLeft(strings.TrimPrefix(each, scheme), "/")
		}
		host, _, err := net.SplitHostPort(each)
		if err != nil || !strings.EqualFold(host, "localhost") && !net.ParseIP(host).IsLoopback() {
			return false
		}
	}
	return true
}

// resolveTarget makes one target of an address, or of several separated by commas: any replica will do, and the next is tried
// when one does not answer. What goes with it are the options that resolve it.
func resolveTarget(address string) (string, []grpc.DialOption) {
	var replicas []resolver.Address
	for each := range strings.SplitSeq(address, ",") {
		each = strings.TrimSpace(each)
		if each == "" {
			continue
		}
		name, _, err := net.SplitHostPort(each)
		if err != nil {
			name = each
		}
		replicas = append(replicas, resolver.Address{Addr: each, ServerName: name})
	}
	if len(replicas) < 2 {
		return strings.TrimSpace(strings.Trim(address, ", ")), nil
	}
	several := manual.NewBuilderWithScheme(replicasScheme)
	several.InitialState(resolver.State{Addresses: replicas})
	return replicasScheme + ":///" + replicas[0].Addr, []grpc.DialOption{grpc.WithResolvers(several)}
}
