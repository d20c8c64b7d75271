package stream_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// wire carries the admin calls of a back end.
type wire struct {
	cut   atomic.Bool  // nothing comes through
	loses atomic.Int32 // so many answers are lost
	tries atomic.Int32 // how often a number of stream:random was told, cut or not

	passing sync.RWMutex // held by calls that are under way
}

func startWire(t *testing.T, srv *live.Server) (w *wire, url string) {
	t.Helper()
	target, err := neturl.Parse(srv.Main)
	if err != nil {
		t.Fatal(err)
	}
	w = &wire{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(*http.Response) error {
			if w.loses.Add(-1) >= 0 {
				panic(http.ErrAbortHandler)
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "stream:random-") {
			w.tries.Add(1)
		}
		w.passing.RLock()
		defer w.passing.RUnlock()
		if w.cut.Load() {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	return w, server.URL + "/"
}

// between runs f while no call is under way: what Shaveet has been told then,
// the back end knows.
func (w *wire) between(f func()) {
	w.passing.Lock()
	defer w.passing.Unlock()
	f()
}
