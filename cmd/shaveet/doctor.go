package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// An outcome is what came of a check.
type outcome string

const (
	fine    outcome = "ok"
	warning outcome = "warn"
	failure outcome = "FAIL"
	skipped outcome = "skip"
)

// A finding is what one check found, and what to change.
type finding struct {
	Check   string   `json:"check"`
	Outcome outcome  `json:"outcome"`
	Text    string   `json:"text"`
	Advice  []string `json:"advice,omitempty"`
}

func good(format string, args ...any) finding {
	return finding{Outcome: fine, Text: fmt.Sprintf(format, args...)}
}

func skip(format string, args ...any) finding {
	return finding{Outcome: skipped, Text: fmt.Sprintf(format, args...)}
}

func warn(advice []string, format string, args ...any) finding {
	return finding{Outcome: warning, Text: fmt.Sprintf(format, args...), Advice: advice}
}

func fail(advice []string, format string, args ...any) finding {
	return finding{Outcome: failure, Text: fmt.Sprintf(format, args...), Advice: advice}
}

// A check looks at one thing. It says only what it has seen.
type check struct {
	name  string
	needs need
	run   func(*doctor, context.Context) finding
}

// A need is what a check is skipped without.
type need int

const (
	needNothing need = iota
	needAnswer       // something answers at the address
	needClient       // we have a client of our own
	needPolls        // and its polls are answered
	needTime         // and there is the time to hold one
)

// checks are all checks in their order. Later ones use what earlier ones found.
var checks = []check{
	{"reachable", needNothing, (*doctor).reachable},
	{"certificate", needNothing, (*doctor).certificate},
	{"protocol", needAnswer, (*doctor).protocol},
	{"clock", needAnswer, (*doctor).clock},
	{"health", needAnswer, (*doctor).health},
	{"readiness", needAnswer, (*doctor).readiness},
	{"script", needAnswer, (*doctor).script},
	{"temporary client", needAnswer, (*doctor).makeClient},
	{"poll", needAnswer, (*doctor).endpoint},
	{"poll of 2010", needAnswer, (*doctor).oldEndpoint},
	{"credentials", needClient, (*doctor).credentials},
	{"caching", needPolls, (*doctor).caching},
	{"compression", needPolls, (*doctor).compression},
	{"held poll", needPolls, (*doctor).heldPoll},
	{"sse", needClient, (*doctor).events},
	{"stream", needClient, (*doctor).lines},
	{"websocket", needClient, (*doctor).webSocket},
	{"Socket.IO", needAnswer, (*doctor).socketIO},
	{"idle time-out", needTime, (*doctor).idleTimeout},
	{"idle streams", needTime, (*doctor).idleStreams},
	{"keep-alive", needAnswer, (*doctor).keepAlive},
	{"CORS preflight", needAnswer, (*doctor).preflight},
	{"CORS answer", needAnswer, (*doctor).crossOrigin},
	{"WebSocket origin", needAnswer, (*doctor).socketOrigin},
	{"admin API hidden", needAnswer, (*doctor).adminHidden},
	{"metrics hidden", needAnswer, (*doctor).metricsHidden},
	{"profiles hidden", needAnswer, (*doctor).profilesHidden},
	{"descriptors", needAnswer, (*doctor).descriptors},
	{"version", needAnswer, (*doctor).version},
}

// doctorTimes are what it waits for, and what it calls slow.
type doctorTimes struct {
	answer  time.Duration // for what should come at once
	pause   time.Duration // how long a poll is held before something is said
	slow    time.Duration // a delivery that takes longer is a warning,
	tooSlow time.Duration // or a failure
	hold    time.Duration // how long the poll of the idle check asks to be held; 0: as long as the server does
	longest time.Duration // after which it is let be
}

var usualTimes = doctorTimes{
	answer:  10 * time.Second,
	pause:   500 * time.Millisecond,
	slow:    500 * time.Millisecond,
	tooSlow: 2 * time.Second,
	longest: 2 * time.Minute,
}

// A doctor checks one installation.
type doctor struct {
	base   string    // the address that browsers use, without a slash at the end
	api    *adminAPI // nil if not known
	origin string    // the page that polls from elsewhere
	named  bool      // origin was given by the user
	quick  bool
	roots  *x509.CertPool
	times  doctorTimes
	http   *http.Client
	site   *site

	reached bool // something answers
	polls   bool // polls of the patient are answered
	patient patient
	streams []string              // the transports that stream, and work here
	trials  map[string]chan trial // what came of each transport that streams
	idle    chan idled            // how those that work fare without news; closed when they have ended
	running *sync.WaitGroup       // what is done beside the checks
}

// doctor checks a running installation from outside.
func (p *program) doctor(ctx context.Context, args []string) error {
	d, asJSON, err := p.newDoctor(args)
	if err != nil {
		return err
	}
	defer outliveReader()()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var unsaid error
	tell := func(f finding) {
		if err := printFinding(p, f); err != nil && unsaid == nil {
			unsaid = err
			stop() // what else is found nobody would know; but examine tidies up
		}
	}
	if asJSON {
		tell = func(finding) {}
	}
	findings := d.examine(ctx, tell)
	failed := 0
	for _, f := range findings {
		if f.Outcome == failure {
			failed++
		}
	}
	if asJSON {
		report := map[string]any{"url": d.base, "ok": failed == 0, "checks": findings}
		if err := json.NewEncoder(p.stdout).Encode(report); err != nil {
			return err
		}
	}
	switch {
	case unsaid != nil:
		return unsaid
	case ctx.Err() != nil:
		return errInterrupted
	case failed > 0:
		return fmt.Errorf("%d of %d checks failed", failed, len(findings))
	}
	return nil
}

func (p *program) newDoctor(args []string) (d *doctor, asJSON bool, err error) {
	d = &doctor{times: usualTimes, running: new(sync.WaitGroup)}
	fs := p.flagSet("doctor")
	admin := fs.String("admin-url", "", "the admin API's `address`; if URL is on this machine: SHAVEET_URL or "+defaultURL)
	tokenFile := p.tokenFlag(fs)
	fs.StringVar(&d.origin, "origin", "", "an `origin` whose pages poll, as in https://www.example.com")
	fs.BoolVar(&d.quick, "quick", false, "do not hold a poll and streams for their full time")
	fs.DurationVar(&d.times.hold, "hold", 0, "how long the poll of the idle check, and the silence of its streams, are to last; else as long as the server has it")
	fs.DurationVar(&d.times.answer, "timeout", d.times.answer, "how long to wait for what should come at once (default 10s)")
	caFile := fs.String("ca-file", "", "`file` of certificates to trust beside the system's, at URL and at --admin-url")
	fs.BoolVar(&asJSON, "json", false, "print the findings as JSON")
	rest, err := p.parseMixed(fs, args)
	if err != nil {
		return nil, false, err
	}
	switch {
	case len(rest) > 1:
		return nil, false, p.misuse(fs, "more than one URL")
	case d.times.hold < 0:
		return nil, false, p.misuse(fs, "--hold must not be negative")
	case d.times.answer <= 0:
		return nil, false, p.misuse(fs, "--timeout must be more than 0")
	}
	base := cmp.Or(strings.Join(rest, ""), p.getenv("SHAVEET_PUBLIC"), defaultURL)
	if d.base, err = siteURL(base); err != nil {
		return nil, false, err
	}
	if *admin == "" && isLoopback(d.base) {
		*admin = cmp.Or(p.getenv("SHAVEET_URL"), defaultURL)
	}
	if d.roots, err = readRoots(*caFile); err != nil {
		return nil, false, err
	}
	if *admin != "" {
		if d.api, err = p.adminAt(*admin, *tokenFile); err != nil {
			return nil, false, err
		}
		d.api.trust(d.roots)
	}
	if d.named = d.origin != ""; !d.named {
		d.origin = "https://doctor.invalid"
	}
	d.http = d.newHTTP()
	d.site = newSite(d.base, d.unchecked())
	return d, asJSON, nil
}

func siteURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
		return "", fmt.Errorf("%q is not an address as https://push.example.com", text)
	}
	return strings.TrimRight(text, "/"), nil
}

func isLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New(file + " has no certificate")
	}
	return roots, nil
}

// unchecked takes any certificate. What is wrong with it one check says; the
// others look behind it.
func (d *doctor) unchecked() *tls.Config {
	return &tls.Config{RootCAs: d.roots, InsecureSkipVerify: true}
}

// newHTTP returns a client with connections of its own.
func (d *doctor) newHTTP() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = d.unchecked()
	transport.DisableCompression = true // answers are looked at as they come
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// examine runs the checks, tells each finding at once, and leaves nothing
// behind on the server.
func (d *doctor) examine(ctx context.Context, tell func(finding)) (all []finding) {
	add := func(name string, f finding) {
		f.Check = name
		all = append(all, f)
		tell(f)
	}
	for _, c := range checks {
		if ctx.Err() != nil {
			break
		}
		f, able := d.able(c.needs)
		if able {
			f = c.run(d, ctx)
		}
		if ctx.Err() == nil {
			add(c.name, f)
		}
	}
	d.running.Wait()
	if d.patient.id != "" {
		add("tidying up", d.removeClient(context.WithoutCancel(ctx)))
	}
	d.http.CloseIdleConnections()
	d.site.close()
	return all
}

// able reports whether a check has what it needs, or why it is skipped.
func (d *doctor) able(needs need) (finding, bool) {
	switch {
	case needs >= needAnswer && !d.reached:
		return skip("nothing answers"), false
	case needs >= needClient && d.api == nil:
		return skip("needs the admin API: say by --admin-url where it is"), false
	case needs >= needClient && d.patient.key == "":
		return skip("there is no temporary client"), false
	case needs >= needPolls && !d.polls:
		return skip("polls are not answered"), false
	case needs >= needTime && d.quick:
		return skip("left out by --quick"), false
	}
	return finding{}, true
}

func printFinding(p *program, f finding) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%-4s  %-16s  %s\n", f.Outcome, f.Check, printable(f.Text))
	for _, line := range f.Advice {
		fmt.Fprintf(&b, "%24s%s\n", "", line)
	}
	_, err := io.WriteString(p.stdout, b.String())
	return err
}
