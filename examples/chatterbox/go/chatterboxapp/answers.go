package chatterboxapp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// refusal is an error that the browser is told about.
type refusal struct {
	status  int
	message string
}

func (r refusal) Error() string { return r.message }

func refuse(status int, message string) error { return refusal{status, message} }

// fields are the body of a POST.
type fields map[string]any

func (f fields) text(name string) (string, error) {
	switch value := f[name].(type) {
	case string:
		return value, nil
	case nil:
		if _, there := f[name]; !there {
			return "", nil
		}
	}
	return "", refuse(http.StatusBadRequest, name+" must be a string")
}

// plain is printable text, with those control characters that are allowed.
func (f fields) plain(name, allowed string) (string, error) {
	value, err := f.text(name)
	if err != nil {
		return "", err
	}
	control := strings.ContainsFunc(value, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune(allowed, r) })
	value = strings.TrimSpace(value)
	if n := utf8.RuneCountInString(value); control || n < 1 || n > limits[name] {
		return "", refuse(http.StatusBadRequest, fmt.Sprintf("%s: 1 to %d printable characters", name, limits[name]))
	}
	return value, nil
}

// answer reads the JSON body, calls f and writes what it returns as JSON.
func (a *App) answer(f func(context.Context, fields) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req, err := decode(w, r)
		var result any
		if err == nil {
			result, err = f(r.Context(), req)
		}
		switch known := (refusal{}); {
		case errors.As(err, &known):
			writeJSON(w, known.status, map[string]string{"error": known.message})
		case err != nil:
			log.Printf("shaveet: %v", err)
			writeJSON(w, http.StatusBadGateway, map[string]string{"error": "the push server does not answer"})
		case result == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			writeJSON(w, http.StatusOK, result)
		}
	}
}

func decode(w http.ResponseWriter, r *http.Request) (req fields, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("a JSON object of %d bytes at most is expected", maxBody))
	}
	if err := json.Unmarshal(body, &req); err != nil || req == nil {
		return nil, refuse(http.StatusBadRequest, "a JSON object is expected")
	}
	return req, nil
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}
