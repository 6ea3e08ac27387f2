// Package concert is a client of Concert: let many independent agents do one job together without stepping on each other.
//
//	client, err := concert.Connect("127.0.0.1:7420")
//	if err != nil { ... }
//	defer client.Close()
//	sequence, err := client.Publish(ctx, "page_rendered", map[string]any{"path": "/"})
//
// A Client makes every call an rpc of its own; a Session (Client.OpenSession) has the same methods over one stream. Agents are in
// package agent, the contract's messages in package concertv1.
package concert

import (
	"strings"
)

// AddressDefault is where a coordinator listens that was not told otherwise.
const AddressDefault = "127.0.0.1:7420"

// Client makes calls to a coordinator, each an rpc of its own. Its methods may be called from any goroutine.
type Client struct {
	Surface
	connection *connection
}

// Connect makes a client for a coordinator: "host:port", or several of them separated by commas (replicas: any will do), or any
// other target of grpc-go; AddressDefault when empty. It connects with the first call, without TLS unless WithTLS or
// WithTLSFiles says otherwise.
func Connect(address string, options ...Option) (*Client, error) {
	if strings.Trim(address, ", ") == "" {
		address = AddressDefault
	}
	c := &connection{
		target: address, callTimeout: callTimeoutDefault, retry: retryTimeoutDefault, requestIDs: newRequestIDs(),
	}
	writer := "client-" + randomHex(8)
	for _, option := range options {
		option(c)
	}
	if c.writer != "" {
		writer = c.writer
	}
	if err := c.open(); err != nil {
		return nil, err
	}
	return &Client{newSurface(origin{caller: c, writer: writer}), c}, nil
}

// Namespace is the one that its calls are for.
func (c *Client) Namespace() string {
	if c.connection.namespace == "" {
		return "default"
	}
	return c.connection.namespace
}

// Address is what Connect was given.
func (c *Client) Address() string { return c.connection.target }

// Close closes the connection; calls still open end. Sessions have connections of their own.
func (c *Client) Close() error { return c.connection.close() }
