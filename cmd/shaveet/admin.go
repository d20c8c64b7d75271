package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const defaultURL = "http://127.0.0.1:8082/"

// callTimeout is how long a command waits for a server.
const callTimeout = 10 * time.Second

// An adminAPI is the admin API of a server, to be called.
type adminAPI struct {
	address string // http://… or unix:/path
	token   string
	client  *http.Client
	url     string // what client asks for address
}

// adminFlags declares the flags by which a command finds the admin API. What
// it returns is for after they have been parsed.
func (p *program) adminFlags(fs *flag.FlagSet) (found func() (*adminAPI, error)) {
	address := fs.String("url", cmp.Or(p.getenv("SHAVEET_URL"), defaultURL), "the admin API's `address`, http://… or unix:/path (SHAVEET_URL)")
	tokenFile := p.tokenFlag(fs)
	return func() (*adminAPI, error) { return p.adminAt(*address, *tokenFile) }
}

func (p *program) tokenFlag(fs *flag.FlagSet) *string {
	return fs.String("admin-token-file", p.getenv("SHAVEET_ADMIN_TOKEN_FILE"), "`file` that holds the admin token")
}

// adminAt is the admin API at an address. The token is in the file, if there
// is one, else in the environment, if there at all.
func (p *program) adminAt(address, tokenFile string) (*adminAPI, error) {
	token := p.getenv("SHAVEET_ADMIN_TOKEN")
	if tokenFile != "" {
		content, err := os.ReadFile(tokenFile)
		if err != nil {
			return nil, err
		}
		token = strings.TrimSpace(string(content))
	}
	if err := checkAddress(address); err != nil {
		return nil, err
	}
	return newAdminAPI(address, token), nil
}

// checkAddress refuses what no server can be asked by.
func checkAddress(address string) error {
	for _, scheme := range []string{"http://", "https://", "unix:"} {
		if strings.HasPrefix(address, scheme) {
			return nil
		}
	}
	return fmt.Errorf("%q is not an address: it must begin with unix:, http:// or https:// and name a host", address)
}

func newAdminAPI(address, token string) *adminAPI {
	client, target := reach(address)
	return &adminAPI{address: address, token: token, client: client, url: target}
}

// reach returns a client for an address, which may be a Unix socket
// (unix:/path), and the URL to call with it.
func reach(address string) (*http.Client, string) {
	path, isUnix := strings.CutPrefix(address, "unix:")
	if !isUnix {
		return &http.Client{CheckRedirect: stay}, address
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &http.Client{CheckRedirect: stay, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}, "http://localhost/"
}

// stay has a redirect taken for the answer that it is. To follow it would be to
// take tokens and keys along to wherever it points.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// maxAnswer is how much of an answer is read. No server of ours says as much.
const maxAnswer = 64 << 20

func readAnswer(body io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if err == nil && len(text) > maxAnswer {
		err = fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	return text, err
}

// trust has the server's certificate checked by roots, if there are any, in
// place of the system's.
func (a *adminAPI) trust(roots *x509.CertPool) {
	if roots == nil || !strings.HasPrefix(a.address, "https://") {
		return
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	a.client = &http.Client{CheckRedirect: stay, Transport: transport}
}

// call makes one JSON-RPC 2.0 call, with an array or an object of parameters,
// and returns the result as it came. An error of the method is an *rpcError,
// an answer that is none a *statusError.
func (a *adminAPI) call(ctx context.Context, method string, params any) (json.RawMessage, error) {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	a.authorize(req)
	return answer(a.client.Do(req))
}

// get is call with the result read into result.
func (a *adminAPI) get(ctx context.Context, method string, params, result any) error {
	text, err := a.call(ctx, method, params)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, result); err != nil {
		return fmt.Errorf("the server answered %s in another way than it should: %w", method, err)
	}
	return nil
}

// page is one of the pages for operators that stand beside the admin API.
func (a *adminAPI) page(ctx context.Context, path string) (string, error) {
	beside := strings.TrimSuffix(strings.TrimSuffix(a.url, "/"), "/rpc")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, beside+path, nil)
	if err != nil {
		return "", err
	}
	a.authorize(req)
	resp, err := a.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := readAnswer(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = &statusError{status: resp.StatusCode, text: "the server answered " + resp.Status}
	}
	return string(text), err
}

func (a *adminAPI) authorize(req *http.Request) {
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
}

// An rpcError is the admin API's refusal of a call.
type rpcError struct {
	Code    int
	Message string
}

func (e *rpcError) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

// Those of its codes that commands act upon.
const (
	rpcUnknownClient  = -32001
	rpcUnknownChannel = -32002
	rpcUnavailable    = -32005
)

func hasCode(err error, code int) bool {
	var e *rpcError
	return errors.As(err, &e) && e.Code == code
}

// A statusError is an HTTP answer that does not have what was asked for.
type statusError struct {
	status     int
	text       string
	retryAfter time.Duration // what the server advises, if it does
	said       bool          // it is the server's own word, and no proxy's
}

func (e *statusError) Error() string { return e.text }

// mayPass reports whether a call that failed with err might succeed later, as
// it is: the server is away, or says that it cannot now.
func mayPass(err error) bool {
	var status *statusError
	var refusal *rpcError
	var broken *brokenError
	switch {
	case errors.As(err, &refusal):
		return refusal.Code == rpcUnavailable
	case errors.As(err, &status):
		return status.status == http.StatusTooManyRequests || status.status >= 500
	case errors.As(err, &broken):
		return true
	}
	return isNetwork(err)
}

// isNetwork reports whether err is of the way to the server, and not of what
// it is or answers.
func isNetwork(err error) bool {
	var certificate *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	if errors.As(err, &certificate) || errors.As(err, &plain) {
		return false
	}
	var way *url.Error
	var network net.Error
	return errors.As(err, &way) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// answer reads a JSON-RPC answer.
func answer(resp *http.Response, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &statusError{
			status:     resp.StatusCode,
			text:       fmt.Sprintf("the server answered %s; is this the admin API, and is the token right?", resp.Status),
			retryAfter: retryAfter(resp.Header),
		}
	}
	content, err := readAnswer(resp.Body)
	if err != nil {
		return nil, err
	}
	var a struct {
		Result json.RawMessage
		Error  *rpcError
	}
	if err := json.Unmarshal(content, &a); err != nil {
		return nil, errors.New("the answer is not JSON-RPC")
	}
	if a.Error != nil {
		return nil, a.Error
	}
	return a.Result, nil
}

// retryAfter is what the header of that name advises, in whole seconds, or 0.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 || seconds > 3600 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
