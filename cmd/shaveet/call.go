package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const defaultURL = "http://127.0.0.1:8082/"

// callTimeout is how long a command waits for a server.
const callTimeout = 10 * time.Second

// call calls a method of the admin API and prints the result.
func (p *program) call(ctx context.Context, args []string) error {
	fs := p.flagSet("call")
	url := fs.String("url", cmp.Or(p.getenv("SHAVEET_URL"), defaultURL), "the admin API's `address`, http://… or unix:/path (SHAVEET_URL)")
	tokenFile := fs.String("admin-token-file", p.getenv("SHAVEET_ADMIN_TOKEN_FILE"), "`file` that holds the admin token")
	if err := p.parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() == 0 {
		fs.Usage()
		return errUsage
	}
	token := p.getenv("SHAVEET_ADMIN_TOKEN")
	if *tokenFile != "" {
		content, err := os.ReadFile(*tokenFile)
		if err != nil {
			return err
		}
		token = strings.TrimSpace(string(content))
	}
	result, err := callMethod(ctx, *url, token, fs.Arg(0), fs.Args()[1:])
	if err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, string(result))
	return nil
}

// callMethod makes one JSON-RPC 2.0 call and returns the result as it came.
func callMethod(ctx context.Context, address, token, method string, args []string) (json.RawMessage, error) {
	params := make([]json.RawMessage, len(args))
	for i, a := range args {
		params[i] = json.RawMessage(a)
		if !json.Valid(params[i]) {
			params[i], _ = json.Marshal(a)
		}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	client, url := reach(address)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return answer(client.Do(req))
}

// reach returns a client for an address, which may be a Unix socket
// (unix:/path), and the URL to call with it.
func reach(address string) (*http.Client, string) {
	path, isUnix := strings.CutPrefix(address, "unix:")
	if !isUnix {
		return http.DefaultClient, address
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}, "http://localhost/"
}

// answer reads a JSON-RPC answer.
func answer(resp *http.Response, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered %s; is this the admin API, and is the token right?", resp.Status)
	}
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var a struct {
		Result json.RawMessage
		Error  *struct {
			Code    int
			Message string
		}
	}
	if err := json.Unmarshal(content, &a); err != nil {
		return nil, errors.New("the answer is not JSON-RPC")
	}
	if a.Error != nil {
		return nil, fmt.Errorf("%s (%d)", a.Error.Message, a.Error.Code)
	}
	return a.Result, nil
}
