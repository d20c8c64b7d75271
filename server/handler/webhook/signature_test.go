package webhook

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

var now = time.Unix(1_700_000_000, 0)

// signed returns the header of a call.
func signed(body string, at time.Time, secrets ...string) http.Header {
	h := make(http.Header)
	sign(h, id, []byte(body), secrets, at)
	return h
}

func TestVerify(t *testing.T) {
	const body = `{"jsonrpc":"2.0","id":"` + id + `"}`
	with := func(name string, values ...string) http.Header {
		h := signed(body, now, secret)
		h[name] = values
		return h
	}
	good := signed(body, now, secret)
	sum := strings.TrimPrefix(good.Get(HeaderSignature), version)
	timestamp := good.Get(HeaderTimestamp)
	for _, tt := range []struct {
		name   string
		header http.Header
		body   string
		want   error
	}{
		{"good", good, body, nil},
		{"with two secrets", signed(body, now, otherSecret, secret), body, nil},
		{"with another version beside", with(HeaderSignature, "v2=00, v1="+sum+",x"), body, nil},
		{"almost too old", signed(body, now.Add(-Window), secret), body, nil},
		{"almost too young", signed(body, now.Add(Window), secret), body, nil},

		{"too old", signed(body, now.Add(-Window-time.Second), secret), body, ErrTimestamp},
		{"too young", signed(body, now.Add(Window+time.Second), secret), body, ErrTimestamp},
		{"with another secret", signed(body, now, otherSecret), body, ErrSignature},
		{"too old and forged", signed(body, now.Add(-time.Hour), otherSecret), body, ErrSignature},
		{"another body", good, body + " ", ErrSignature},
		{"a shorter body", good, body[:len(body)-1], ErrSignature},
		{"no body", good, "", ErrSignature},
		{"another time", with(HeaderTimestamp, strconv.FormatInt(now.Unix()+1, 10)), body, ErrSignature},
		{"the dot elsewhere", with(HeaderTimestamp, timestamp[:9]), timestamp[9:] + "." + body, ErrSignature},

		{"no header", http.Header{}, body, ErrUnsigned},
		{"no time", with(HeaderTimestamp), body, ErrUnsigned},
		{"two times", with(HeaderTimestamp, timestamp, timestamp), body, ErrUnsigned},
		{"no signature", with(HeaderSignature), body, ErrUnsigned},
		{"two signatures", with(HeaderSignature, "v1="+sum, "v1="+sum), body, ErrUnsigned},
		{"another version alone", with(HeaderSignature, "v2="+sum), body, ErrUnsigned},
		{"no version", with(HeaderSignature, sum), body, ErrUnsigned},
		{"a short signature", with(HeaderSignature, "v1="+sum[:62]), body, ErrUnsigned},
		{"an empty signature", with(HeaderSignature, "v1="), body, ErrUnsigned},
		{"a long signature", with(HeaderSignature, "v1="+sum+"00"), body, ErrUnsigned},
		{"not hex", with(HeaderSignature, "v1="+strings.Repeat("x", 64)), body, ErrUnsigned},
		{"too many signatures", with(HeaderSignature, strings.Repeat("v1="+strings.Repeat("0", 64)+",", maxSignatures)+"v1="+sum), body, ErrSignature},
		{"a time with a sign", with(HeaderTimestamp, "+"+timestamp), body, ErrUnsigned},
		{"a time with a zero", with(HeaderTimestamp, "0"+timestamp), body, ErrUnsigned},
		{"a time with a space", with(HeaderTimestamp, " "+timestamp), body, ErrUnsigned},
		{"no number as time", with(HeaderTimestamp, "soon"), body, ErrUnsigned},
		{"a huge time", with(HeaderTimestamp, "99999999999999999999"), body, ErrUnsigned},
		{"hex as time", with(HeaderTimestamp, "0x65"), body, ErrUnsigned},
		{"underscores", with(HeaderTimestamp, "1_700_000_000"), body, ErrUnsigned},
	} {
		if err := Verify(secret, tt.header, []byte(tt.body), now); err != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if err := Verify("", signed(body, now, ""), []byte(body), now); err != ErrSignature {
		t.Errorf("with no secret: %v", err)
	}
}

// The signature is that of the manual, so that receivers can be written in any
// language.
func TestSignature(t *testing.T) {
	h := signed(`{"a":1}`, now, secret)
	const want = "v1=9eb18f493f8ec135d9eb2dad817c369bb4e9cbfa818657897a7437c1cd8c3a23"
	if got := h.Get(HeaderSignature); got != want || h.Get(HeaderTimestamp) != "1700000000" {
		t.Errorf("%v, want %s", h, want)
	}
}

// Nobody but who knows the secret can sign.
func FuzzVerify(f *testing.F) {
	const body = `{"a":1}`
	good := signed(body, now, secret)
	f.Add(good.Get(HeaderTimestamp), good.Get(HeaderSignature), []byte(body))
	f.Add(good.Get(HeaderTimestamp), "v1="+strings.Repeat("0", 64)+",v2=x", []byte(body))
	f.Add("0", "v1=", []byte(""))
	f.Fuzz(func(t *testing.T, timestamp, signature string, body []byte) {
		h := http.Header{HeaderTimestamp: {timestamp}, HeaderSignature: {signature}}
		if Verify(secret, h, body, now) == nil && (timestamp != "1700000000" || string(body) != `{"a":1}`) {
			t.Fatalf("%q %q %q is taken", timestamp, signature, body)
		}
		// What is signed is taken, whatever it is.
		if h := signed(string(body), now, secret, otherSecret); Verify(otherSecret, h, body, now) != nil {
			t.Fatalf("%v is not taken", h)
		}
	})
}

func TestOptions(t *testing.T) {
	for _, url := range []string{"http://a", "https://a.example:8443/x?y=z", "http://[::1]:80/"} {
		if err := CheckURL(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{"", "a", "/a", "http:", "http://", "http://:80", "ftp://a", "unix:///a", "file:///etc", "http://u:p@a", "http://a/#b", "http://a b", "javascript:x"} {
		if err := CheckURL(url); err == nil {
			t.Errorf("%q is taken", url)
		} else if url != "" && strings.Contains(err.Error(), "u:p") {
			t.Errorf("the error has the password: %v", err)
		}
	}
	for _, o := range []Options{{}, {URL: "http://a"}, {URL: "http://a", Secrets: []string{"short"}}, {Secrets: []string{secret}}, {URL: "http://a", Secrets: []string{secret, ""}}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// Secrets and the URL change while calls are made; what is wrong changes nothing.
func TestConfigure(t *testing.T) {
	got := make(chan string, 1)
	hook := func(name string) string {
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			got <- name
			write(w, answer("1"))
		}).URL
	}
	a, b := hook("a"), hook("b")
	c := newCaller(t, a)
	call(c, patience)
	if err := c.Configure(Options{URL: b}); err == nil {
		t.Error("no secret is taken")
	}
	first := <-got
	call(c, patience)
	second := <-got
	if err := c.Configure(Options{URL: b, Secrets: []string{otherSecret}}); err != nil {
		t.Error(err)
	}
	call(c, patience)
	if third := <-got; first != "a" || second != "a" || third != "b" {
		t.Error(first, second, third)
	}
}
