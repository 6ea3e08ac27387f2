package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const certificateDaysMin = 14

// probe tries something real, the way somebody would who means the site no good; nothing found means that it passed.
type probe func(ctx context.Context, seen *visitor) ([]finding, error)

// Signs that something outside the site was served, or a list of what is inside.
var (
	leaks        = []string{"root:", "PRIVATE KEY", `"token"`, "[boot loader]"}
	listingSigns = []string{"Index of /", "Directory listing for"}
	traversals   = []string{
		"/../../../../../../etc/passwd", "/..%2f..%2f..%2f..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
		"/assets/..%2f..%2f..%2fauthority%2fauthority-key.pem", "/assets/../../../authority/authority-key.pem",
		"/..%5c..%5c..%5cboot.ini", "/%252e%252e/%252e%252e/etc/passwd", "//etc/passwd", "/posts/%00/../../../etc/passwd",
	}
	listable       = []string{"/assets/", "/tags/", "/images/", "/posts/leftover/"}
	writingMethods = []string{"POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "OPTIONS"}
)

// direct asks an address as it is, by no proxy.
var direct = &http.Client{Transport: &http.Transport{Proxy: nil}}

// visitor resolves the site's name through its zone and trusts the site's authority, nothing else.
type visitor struct {
	site        site
	authorities *x509.CertPool
	client      *http.Client
}

func visit(place site) (*visitor, error) {
	pem, err := os.ReadFile(place.Certificate.AuthorityFile)
	if err != nil {
		return nil, err
	}
	v := &visitor{site: place, authorities: x509.NewCertPool()}
	if !v.authorities.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", place.Certificate.AuthorityFile)
	}
	v.client = &http.Client{
		Timeout:       2 * exchangeMax,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DialContext: v.dial, TLSClientConfig: v.trust(), DisableCompression: true},
	}
	return v, nil
}

func (v *visitor) trust() *tls.Config {
	return &tls.Config{RootCAs: v.authorities, ServerName: v.site.Domain, MinVersion: tls.VersionTLS12}
}

// dial goes where the zone says that the site is served; 443 and 80 become the ports at which it listens.
func (v *visitor) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(v.site.DNS.ZoneFile)
	if err != nil {
		return nil, err
	}
	var zone struct {
		Sites map[string]struct {
			Address   string `json:"address"`
			HTTPSPort int    `json:"https_port"`
			HTTPPort  int    `json:"http_port"`
		} `json:"sites"`
	}
	if err := json.Unmarshal(content, &zone); err != nil {
		return nil, err
	}
	record, known := zone.Sites[host]
	if !known {
		return nil, fmt.Errorf("the zone does not know %s", host)
	}
	switch port {
	case "443":
		port = strconv.Itoa(record.HTTPSPort)
	case "80":
		port = strconv.Itoa(record.HTTPPort)
	}
	return (&net.Dialer{Timeout: exchangeMax}).DialContext(ctx, network, net.JoinHostPort(record.Address, port))
}

// get asks for a page, and follows no redirect.
func (v *visitor) get(ctx context.Context, url string) (*http.Response, error) {
	asked, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := v.client.Do(asked)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, answerBytesMax))
	return response, err
}

func (v *visitor) connect(ctx context.Context, config *tls.Config) (*tls.Conn, error) {
	place := v.site.Distribution
	ctx, cancel := context.WithTimeout(ctx, exchangeMax)
	defer cancel()
	dialer := &tls.Dialer{Config: config}
	connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(place.Address, strconv.Itoa(place.HTTPSPort)))
	if err != nil {
		return nil, err
	}
	return connection.(*tls.Conn), nil
}

// answer to a raw request: 400 when the server hung up without one, which is a way of refusing.
type answer struct {
	status  int
	headers map[string]string
	body    string
}

// exchange is one request exactly as written, over TLS, since clients tidy such paths up.
func (v *visitor) exchange(ctx context.Context, method, path, host string) (answer, error) {
	connection, err := v.connect(ctx, v.trust())
	if err != nil {
		return answer{}, err
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(exchangeMax))
	_, _ = fmt.Fprintf(connection, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", method, path, host)
	received, _ := io.ReadAll(io.LimitReader(connection, answerBytesMax))
	head, body, _ := strings.Cut(string(received), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	words := strings.Split(lines[0], " ")
	if len(words) < 2 {
		return answer{status: 400}, nil
	}
	status, err := strconv.Atoi(words[1])
	if err != nil {
		return answer{status: 400}, nil
	}
	made := answer{status, map[string]string{}, body}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		made.headers[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	return made, nil
}

func (a answer) holds(signs []string) bool {
	for _, sign := range signs {
		if strings.Contains(a.body, sign) {
			return true
		}
	}
	return false
}

// tlsVersions: TLS 1.0 and 1.1 have to be refused, and 1.2 or 1.3 accepted.
func tlsVersions(ctx context.Context, seen *visitor) ([]finding, error) {
	shakes := func(version uint16) bool { // what is asked is the version, not the certificate
		connection, err := seen.connect(ctx, &tls.Config{
			InsecureSkipVerify: true, ServerName: seen.site.Domain, MinVersion: version, MaxVersion: version,
		})
		if err != nil {
			return false
		}
		_ = connection.Close()
		return true
	}
	var found []finding
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		if shakes(version) {
			found = append(found, finding{"high", "tls_versions", seen.site.URL, "accepts " + tls.VersionName(version)})
		}
	}
	if !shakes(tls.VersionTLS12) && !shakes(tls.VersionTLS13) {
		found = append(found, finding{"critical", "tls_versions", seen.site.URL, "accepts neither TLS 1.2 nor 1.3"})
	}
	return found, nil
}

// certificate has to be trusted, for this name, strong, and good for some time yet.
func certificate(ctx context.Context, seen *visitor) ([]finding, error) {
	of := func(severity, what string) finding { return finding{severity, "certificate", seen.site.URL, what} }
	connection, err := seen.connect(ctx, seen.trust())
	if err != nil {
		return []finding{of("critical", fmt.Sprintf("no trusted connection: %v", err))}, nil
	}
	defer connection.Close()
	leaf := connection.ConnectionState().PeerCertificates[0]
	var found []finding
	if left := time.Until(leaf.NotAfter); left < certificateDaysMin*24*time.Hour {
		found = append(found, of("high", fmt.Sprintf("ends in %d days", int(left.Hours()/24))))
	}
	switch key := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			found = append(found, of("high", "its key is too short"))
		}
	case *ecdsa.PublicKey:
		if key.Curve.Params().BitSize < 256 {
			found = append(found, of("high", "its key is too short"))
		}
	}
	switch leaf.SignatureAlgorithm {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.MD5WithRSA:
		found = append(found, of("high", "signed with a broken hash"))
	}
	return found, nil
}

// each sends one raw request for each path, and judges the answer.
func each(ctx context.Context, seen *visitor, paths []string, judge func(path string, got answer) []finding) ([]finding, error) {
	var found []finding
	for _, path := range paths {
		got, err := seen.exchange(ctx, http.MethodGet, path, seen.site.Domain)
		if err != nil {
			return nil, err
		}
		found = append(found, judge(path, got)...)
	}
	return found, nil
}

// traversal: no path may lead out of the site, however it is written.
func traversal(ctx context.Context, seen *visitor) ([]finding, error) {
	return each(ctx, seen, traversals, func(path string, got answer) []finding {
		if got.holds(leaks) || (got.status >= 200 && got.status < 300) {
			return []finding{{"critical", "traversal", path, fmt.Sprintf("answered with %d", got.status)}}
		}
		return nil
	})
}

// listings: nobody may be shown what lies under a path.
func listings(ctx context.Context, seen *visitor) ([]finding, error) {
	return each(ctx, seen, listable, func(path string, got answer) []finding {
		if got.status == 200 && got.holds(listingSigns) {
			return []finding{{"medium", "listings", path, "lists what is under it"}}
		}
		return nil
	})
}

// dotfiles are not for visitors, whether they are there or not.
func dotfiles(ctx context.Context, seen *visitor) ([]finding, error) {
	paths := []string{"/.env", "/.git/config", "/assets/.htpasswd", "/%2eenv"}
	return each(ctx, seen, paths, func(path string, got answer) []finding {
		if got.status != http.StatusForbidden {
			return []finding{{"medium", "dotfiles", path, fmt.Sprintf("answered with %d", got.status)}}
		}
		return nil
	})
}

// methods: a site that is only read allows reading only.
func methods(ctx context.Context, seen *visitor) ([]finding, error) {
	var found []finding
	for _, method := range writingMethods {
		got, err := seen.exchange(ctx, method, "/", seen.site.Domain)
		if err != nil {
			return nil, err
		}
		if got.status < 400 || (method == "TRACE" && got.holds([]string{"TRACE"})) {
			found = append(found, finding{"medium", "methods", method + " /", fmt.Sprintf("answered with %d", got.status)})
		}
	}
	return found, nil
}

// disclosure: answers do not say which version of which software gave them, and errors show no trace of code.
func disclosure(ctx context.Context, seen *visitor) ([]finding, error) {
	return each(ctx, seen, []string{"/", "/no-such-page", "/%"}, func(path string, got answer) []finding {
		var found []finding
		for _, name := range []string{"server", "x-powered-by"} {
			if strings.ContainsAny(got.headers[name], "0123456789") {
				found = append(found, finding{"low", "disclosure", path, name + ": " + got.headers[name]})
			}
		}
		if got.holds([]string{"Traceback (most recent call last)"}) {
			found = append(found, finding{"medium", "disclosure", path, "shows a traceback"})
		}
		return found
	})
}

// hosts: a name that is not the site's gets nothing, so that nobody can borrow the site under another name.
func hosts(ctx context.Context, seen *visitor) ([]finding, error) {
	got, err := seen.exchange(ctx, http.MethodGet, "/", "somebody-else.example")
	if err != nil || got.status >= 400 {
		return nil, err
	}
	return []finding{{"low", "hosts", "Host", fmt.Sprintf("any host is answered, with %d", got.status)}}, nil
}

// openAdmin: nobody changes or reads the settings without the token.
func openAdmin(ctx context.Context, seen *visitor) ([]finding, error) {
	url := fmt.Sprintf("http://%s:%d/settings", seen.site.Distribution.Address, seen.site.Distribution.AdminPort)
	var found []finding
	for _, token := range []string{"", "guess", "Bearer "} {
		for _, attempt := range []struct{ method, url, authorization, what string }{
			{http.MethodGet, url, "Bearer " + token, "open without the token"},
			{http.MethodPut, url + "/access", token, "writable without token"},
		} {
			asked, err := http.NewRequestWithContext(ctx, attempt.method, attempt.url, strings.NewReader("{}"))
			if err != nil {
				return nil, err
			}
			asked.Header.Set("Authorization", attempt.authorization)
			response, err := direct.Do(asked)
			if err != nil {
				return nil, err
			}
			_ = response.Body.Close()
			if response.StatusCode != http.StatusUnauthorized {
				found = append(found, finding{"critical", "admin", url, attempt.what})
			}
		}
	}
	return found, nil
}

// headersMissing: every answer carries every expected header, errors included.
func headersMissing(ctx context.Context, seen *visitor) ([]finding, error) {
	var found []finding
	for _, path := range []string{"/", "/no-such-page", "/.env", "/assets/"} {
		response, err := seen.get(ctx, strings.TrimRight(seen.site.URL, "/")+path)
		if err != nil {
			return nil, err
		}
		for name := range securityHeaders {
			if response.Header.Get(name) == "" {
				found = append(found, finding{"high", "headers", path, name + " is missing"})
			}
		}
	}
	return found, nil
}
