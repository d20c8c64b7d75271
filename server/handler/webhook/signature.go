package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a call.
const (
	HeaderTimestamp = "Shaveet-Timestamp" // when it was posted, in seconds of Unix
	HeaderSignature = "Shaveet-Signature" // v1= and hex, and so on for every secret
	HeaderID        = "Shaveet-Id"        // the same for all tries of one call
)

// Window is how much older or younger than now a call may be.
const Window = 5 * time.Minute

// Why a call is not taken.
var (
	ErrUnsigned  = errors.New("webhook: the call has no timestamp or no signature of this form")
	ErrTimestamp = errors.New("webhook: the call is older or younger than five minutes")
	ErrSignature = errors.New("webhook: the signature is not that of the call")
)

const version = "v1="

// sign sets the headers of a call.
func sign(h http.Header, id string, body []byte, secrets []string, now time.Time) {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	all := make([]string, len(secrets))
	for i, s := range secrets {
		all[i] = version + hex.EncodeToString(mac(s, timestamp, body))
	}
	h.Set(HeaderTimestamp, timestamp)
	h.Set(HeaderSignature, strings.Join(all, ","))
	h.Set(HeaderID, id)
}

// mac is the HMAC-SHA-256 over the timestamp, a dot and the body.
func mac(secret, timestamp string, body []byte) []byte {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(timestamp))
	m.Write([]byte{'.'})
	m.Write(body)
	return m.Sum(nil)
}

// maxSignatures is how many signatures of a call are looked at.
const maxSignatures = 16

// Verify says whether a call was signed with the secret, and not long ago. It
// does not know whether it was heard before: [Protect] does.
func Verify(secret string, h http.Header, body []byte, now time.Time) error {
	_, err := verify([]string{secret}, h, body, now)
	return err
}

// verify returns when the call was signed, with one of the secrets. The
// signature is looked at also of a call that is too old, so that only who has
// signed it is told that.
func verify(secrets []string, h http.Header, body []byte, now time.Time) (at time.Time, err error) {
	timestamps, signatures := h.Values(HeaderTimestamp), h.Values(HeaderSignature)
	if len(timestamps) != 1 || len(signatures) != 1 {
		return at, ErrUnsigned
	}
	if at, err = parseTimestamp(timestamps[0]); err != nil {
		return at, err
	}
	given := parseSignatures(signatures[0])
	if len(given) == 0 {
		return at, ErrUnsigned
	}
	good := false
	for _, secret := range secrets {
		if secret == "" {
			continue // anybody could have signed with that
		}
		want := mac(secret, timestamps[0], body)
		for _, got := range given {
			good = hmac.Equal(got, want) || good
		}
	}
	switch {
	case !good:
		return at, ErrSignature
	case at.Before(now.Add(-Window)) || at.After(now.Add(Window)):
		return at, ErrTimestamp
	}
	return at, nil
}

// parseTimestamp reads nothing but what [Caller] writes, of which there is one
// form for each second.
func parseTimestamp(s string) (time.Time, error) {
	n, err := strconv.ParseUint(s, 10, 40)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return time.Time{}, ErrUnsigned
	}
	return time.Unix(int64(n), 0), nil
}

// parseSignatures reads the signatures of the version that is known.
func parseSignatures(s string) (all [][]byte) {
	for part := range strings.SplitSeq(s, ",") {
		digits, ok := strings.CutPrefix(strings.TrimSpace(part), version)
		if !ok {
			continue
		}
		sum, err := hex.DecodeString(digits)
		if err != nil || len(sum) != sha256.Size {
			continue
		}
		if all = append(all, sum); len(all) == maxSignatures {
			break
		}
	}
	return all
}
