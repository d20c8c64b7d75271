package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	url := fs.String("url", cmp.Or(p.getenv("SHAVEET_URL"), defaultURL), "the admin API's `address` (SHAVEET_URL)")
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
func callMethod(ctx context.Context, url, token, method string, args []string) (json.RawMessage, error) {
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
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return answer(http.DefaultClient.Do(req))
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

// healthcheck asks a server whether it is healthy.
func (p *program) healthcheck(ctx context.Context, args []string) error {
	fs := p.flagSet("healthcheck")
	if err := p.parse(fs, args); err != nil {
		return err
	}
	base := cmp.Or(fs.Arg(0), p.getenv("SHAVEET_URL"), healthURL(p.getenv("SHAVEET_LISTEN")))
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("unhealthy: %s", resp.Status)
	}
	fmt.Fprintln(p.stdout, "healthy")
	return nil
}

// healthURL is where a server that listens on the address is found from the
// same machine.
func healthURL(listen string) string {
	if listen == "" {
		return defaultURL
	}
	if rest, ok := strings.CutPrefix(listen, "0.0.0.0:"); ok || strings.HasPrefix(listen, ":") {
		return "http://127.0.0.1:" + strings.TrimPrefix(rest, ":")
	}
	return "http://" + listen
}
