package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/shaveet/shaveet/server"
)

// A setting is one field of the configuration, under the name it has in the
// file; the environment variable and the flag follow from that.
type setting struct {
	name   string
	help   string
	secret bool
	live   bool // can be changed while the server runs
	value  reflect.Value
}

func (s setting) env() string  { return "SHAVEET_" + strings.ToUpper(s.name) }
func (s setting) flag() string { return strings.ReplaceAll(s.name, "_", "-") }

// settings lists the fields of cfg, those of structs inside it as if they were
// its own.
func settings(cfg *server.Config) (all []setting) {
	for _, s := range cfg.Settings() {
		all = append(all, setting{name: s.Key, help: s.Help, secret: s.Secret, live: s.Live, value: s.Value})
	}
	return all
}

// setText sets s from the environment or a flag.
func (s setting) setText(text string) error {
	switch s.value.Interface().(type) {
	case string:
		s.value.SetString(text)
	case []string:
		s.value.Set(reflect.ValueOf(strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })))
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf(`%q is not a duration such as "25s" or "5m"`, text)
		}
		s.value.SetInt(int64(d))
	case bool:
		yes, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		s.value.SetBool(yes)
	default: // int, int64
		n, err := strconv.ParseInt(text, 10, s.value.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		s.value.SetInt(n)
	}
	return nil
}

// setTOML sets s from a value of the file.
func (s setting) setTOML(v any) error {
	switch v := v.(type) {
	case string:
		if k := s.value.Kind(); k == reflect.String || s.isDuration() {
			return s.setText(v)
		}
	case int64:
		if s.value.CanInt() && !s.isDuration() {
			return s.setText(strconv.FormatInt(v, 10))
		}
	case bool:
		if s.value.Kind() == reflect.Bool {
			s.value.SetBool(v)
			return nil
		}
	case map[string]any:
		if pairs, ok := textPairs(v); ok && s.value.Kind() == reflect.Map {
			s.value.Set(reflect.ValueOf(pairs))
			return nil
		}
	case []any:
		if list, ok := texts(v); ok && s.value.Kind() == reflect.Slice {
			s.value.Set(reflect.ValueOf(list))
			return nil
		}
	}
	return fmt.Errorf("must be %s", s.kind())
}

func (s setting) isDuration() bool { return s.value.Type() == reflect.TypeFor[time.Duration]() }

// kind says what a value of s looks like.
func (s setting) kind() string {
	switch {
	case s.isDuration():
		return `a duration such as "25s"`
	case s.value.CanInt():
		return "a whole number"
	case s.value.Kind() == reflect.Slice:
		return "a list of strings"
	case s.value.Kind() == reflect.Map:
		return "a table of strings"
	case s.value.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a string"
}

func texts(values []any) ([]string, bool) {
	if len(values) == 0 {
		return nil, true // an empty list is none
	}
	list := make([]string, 0, len(values))
	for _, v := range values {
		text, ok := v.(string)
		if !ok {
			return nil, false
		}
		list = append(list, text)
	}
	return list, true
}

func textPairs(values map[string]any) (map[string]string, bool) {
	if len(values) == 0 {
		return nil, true
	}
	pairs := make(map[string]string, len(values))
	for key, v := range values {
		text, ok := v.(string)
		if !ok {
			return nil, false
		}
		pairs[key] = text
	}
	return pairs, true
}

// String returns s as it is written in a file.
func (s setting) String() string {
	switch v := s.value.Interface().(type) {
	case time.Duration:
		return strconv.Quote(short(v))
	case string:
		if s.secret && v != "" {
			v = "(secret)"
		}
		return strconv.Quote(v)
	case []string:
		quoted := make([]string, len(v))
		for i, text := range v {
			if s.secret {
				text = "(secret)"
			}
			quoted[i] = strconv.Quote(text)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case map[string]string:
		pairs := make([]string, 0, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			pairs = append(pairs, strconv.Quote(key)+" = "+strconv.Quote(v[key]))
		}
		if len(pairs) == 0 {
			return "{}"
		}
		return "{ " + strings.Join(pairs, ", ") + " }"
	}
	return fmt.Sprint(s.value.Interface())
}

// short writes a duration without the zeros at its end: 5m, not 5m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// applyFile sets what the TOML file says. A key it does not know is an error:
// a misspelt limit must not go unnoticed.
func applyFile(cfg *server.Config, path string) error {
	var values map[string]any
	if _, err := toml.DecodeFile(path, &values); err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	faults := slices.Concat(channelTables.read(values, &cfg.Channel), namespaceTables.read(values, &cfg.Namespace), webhookTables.read(values, &cfg.Webhook))
	sockets, hasSockets := values[zeromqKey]
	delete(values, zeromqKey)
	faults = append(applyTable(settings(cfg), values), faults...)
	if hasSockets {
		all, wrong := socketConfigs(sockets)
		cfg.ZeroMQ = all
		faults = append(faults, wrong...)
	}
	for i, err := range faults {
		faults[i] = fmt.Errorf("%s: %w", path, err)
	}
	return errors.Join(faults...)
}

// applyTable sets what one table of a file says, and returns all that is wrong
// with it.
func applyTable(all []setting, values map[string]any) (faults []error) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		i := slices.IndexFunc(all, func(s setting) bool { return s.name == key })
		if i < 0 {
			faults = append(faults, fmt.Errorf("unknown key %q", key))
			continue
		}
		if err := all[i].setTOML(values[key]); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", key, err))
		}
	}
	return faults
}

// applyEnv sets what the environment says. Unknown SHAVEET_ variables are
// errors too, but for those that other commands read.
func applyEnv(all []setting, environ []string) error {
	var faults []error
	for _, line := range environ {
		key, text, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(key, "SHAVEET_") || slices.Contains(otherEnv, key) || fromKubernetes(key, text) {
			continue
		}
		i := slices.IndexFunc(all, func(s setting) bool { return s.env() == key })
		if i < 0 {
			faults = append(faults, fmt.Errorf("unknown environment variable %s", key))
			continue
		}
		if err := all[i].setText(text); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", key, err))
		}
	}
	return errors.Join(faults...)
}

// otherEnv are the variables that are not settings: the file's name, where
// `shaveet call` finds the server, and what our examples and tests read.
var otherEnv = []string{"SHAVEET_CONFIG", "SHAVEET_URL", "SHAVEET_RPC", "SHAVEET_TOKEN", "SHAVEET_PUBLIC", "SHAVEET_BIN", "SHAVEET_LONG"}

// fromKubernetes reports whether a variable is one of those that Kubernetes
// gives every container beside a service called shaveet, like
// SHAVEET_SERVICE_HOST and SHAVEET_PORT=tcp://10.0.0.1:8082.
func fromKubernetes(key, text string) bool {
	return strings.HasPrefix(key, "SHAVEET_SERVICE_") || strings.HasPrefix(key, "SHAVEET_PORT_") ||
		key == "SHAVEET_PORT" && strings.Contains(text, "://")
}

// readSecrets fills the secrets of webhooks from their files, one on each line.
func readSecrets(cfg *server.Config) error {
	for i := range cfg.Webhook {
		w := &cfg.Webhook[i]
		if w.SecretFile == "" {
			continue
		}
		if len(w.Secrets) > 0 {
			return fmt.Errorf("webhook.%q: secrets and secret_file: only one may be given", w.Name)
		}
		content, err := os.ReadFile(w.SecretFile)
		if err != nil {
			return fmt.Errorf("webhook.%q: secret_file: %w", w.Name, err)
		}
		if w.Secrets = strings.Fields(string(content)); len(w.Secrets) == 0 {
			return fmt.Errorf("webhook.%q: secret_file: %s is empty", w.Name, w.SecretFile)
		}
	}
	return nil
}

// readToken fills the admin token from its file.
func readToken(cfg *server.Config) error {
	if cfg.AdminTokenFile == "" {
		return nil
	}
	if cfg.AdminToken != "" {
		return errors.New("admin_token and admin_token_file: only one may be given")
	}
	content, err := os.ReadFile(cfg.AdminTokenFile)
	if err != nil {
		return fmt.Errorf("admin_token_file: %w", err)
	}
	cfg.AdminToken = strings.TrimSpace(string(content))
	if cfg.AdminToken == "" {
		return fmt.Errorf("admin_token_file: %s is empty", cfg.AdminTokenFile)
	}
	return nil
}
