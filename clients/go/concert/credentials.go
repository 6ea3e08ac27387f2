package concert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// TokenSource gives the bearer token that is valid now. It is asked for every call and every stream, from any goroutine, so it should
// remember its answer. When it fails the call is UNAUTHENTICATED, unless its error has a code of its own (a status of grpc-go): what is
// UNAVAILABLE is tried again.
type TokenSource func(ctx context.Context) (string, error)

// Token is one that stays the same.
func Token(token string) TokenSource {
	return func(context.Context) (string, error) { return token, nil }
}

// TokenFile follows a file, such as a mounted secret: it is read again once it has changed.
func TokenFile(path string) TokenSource {
	var mu sync.Mutex
	var token string
	var changed time.Time
	return func(context.Context) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		found, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		if !found.ModTime().Equal(changed) {
			read, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			token, changed = strings.TrimSpace(string(read)), found.ModTime()
		}
		return token, nil
	}
}

// bearer puts a token into the metadata of every call.
type bearer struct {
	source TokenSource
	// local says that nothing leaves this machine.
	local bool
}

var _ credentials.PerRPCCredentials = bearer{}

func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := b.source(ctx)
	if err == nil {
		return map[string]string{"authorization": "Bearer " + token}, nil
	}
	if _, coded := status.FromError(err); coded {
		return nil, err
	}
	return nil, status.Errorf(codes.Unauthenticated, "there is no token: %v", err)
}

func (b bearer) RequireTransportSecurity() bool { return !b.local }

// TLSFiles are certificates in PEM files, read anew for every connection, so that renewed ones count.
type TLSFiles struct {
	// CA has the authorities that the coordinator's certificate is trusted from; those of the system when empty.
	CA string
	// Certificate (with its chain) and Key are this client's own, for mutual TLS.
	Certificate, Key string
	// ServerName is the name that the coordinator's certificate is for, where that is not the one in the address.
	ServerName string
}

func (f TLSFiles) config() (*tls.Config, error) {
	config := &tls.Config{ServerName: f.ServerName, MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate in PEM", f.CA)
		}
	}
	if f.Certificate != "" || f.Key != "" {
		own, err := tls.LoadX509KeyPair(f.Certificate, f.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{own}
	}
	return config, nil
}

// version changes when a file does.
func (f TLSFiles) version() string {
	version := ""
	for _, path := range []string{f.CA, f.Certificate, f.Key} {
		if found, err := os.Stat(path); err == nil {
			version += found.ModTime().String()
		}
		version += ","
	}
	return version
}

// fromFiles is TLS with what is in the files when a connection is made.
type fromFiles struct{ TLSFiles }

var _ credentials.TransportCredentials = fromFiles{}

func (f fromFiles) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	config, err := f.config()
	if err != nil {
		return nil, nil, err
	}
	return credentials.NewTLS(config).ClientHandshake(ctx, authority, raw)
}

func (f fromFiles) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, fmt.Errorf("these are credentials of a client")
}

func (f fromFiles) Info() credentials.ProtocolInfo {
	return credentials.NewTLS(&tls.Config{ServerName: f.ServerName}).Info()
}

func (f fromFiles) Clone() credentials.TransportCredentials { return f }

func (f fromFiles) OverrideServerName(string) error {
	return fmt.Errorf("say it in TLSFiles.ServerName")
}

// WithTLS encrypts as config says: give it the authority that signed the coordinator's certificate (RootCAs) and, for mutual TLS,
// one's own certificate. nil means TLS by the authorities of the system.
func WithTLS(config *tls.Config) Option {
	return func(c *connection) { c.credentials = credentials.NewTLS(config) }
}

// WithTLSFiles encrypts with certificates in files. Connect fails when one cannot be read.
func WithTLSFiles(files TLSFiles) Option {
	return func(c *connection) { c.credentials = fromFiles{files} }
}

// WithToken sends a bearer token with every call: one that stays (Token), that of a file (TokenFile), or of a function of one's own. It
// is not sent in plain text beyond this machine: Connect fails then.
func WithToken(source TokenSource) Option {
	return func(c *connection) { c.token = source }
}
