package server

import (
	"reflect"
	"strings"
	"unicode"
)

// A Setting is one value of a [Config] under its key, the name it has in the
// configuration file.
type Setting struct {
	Key    string
	Help   string
	Secret bool          // not to be shown
	Live   bool          // Reload puts a new value into force; others need a restart
	Value  reflect.Value // can be set if it comes from a pointer's Settings
}

// Settings lists the settings of c, those of structs inside it as if they were
// its own. The tables for channels are not among them.
func (c *Config) Settings() []Setting { return appendSettings(nil, reflect.ValueOf(c).Elem(), false) }

func appendSettings(all []Setting, v reflect.Value, live bool) []Setting {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		live := live || f.Tag.Get("live") != ""
		switch {
		case f.Type.Kind() == reflect.Struct:
			all = appendSettings(all, v.Field(i), live)
		case f.Tag.Get("help") != "":
			all = append(all, Setting{
				Key:    Key(f.Name),
				Help:   f.Tag.Get("help"),
				Secret: f.Tag.Get("secret") != "",
				Live:   live,
				Value:  v.Field(i),
			})
		}
	}
	return all
}

// Key turns a field's name into a key: MaxJSONDepth into max_json_depth,
// PublishIDs into publish_ids.
func Key(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if i > 0 && startsWord(runes, i) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// startsWord reports whether a word begins at name[i]: with a capital after a
// small letter, or with the last of several capitals before one. The s of IDs
// is no such letter.
func startsWord(name []rune, i int) bool {
	if !unicode.IsUpper(name[i]) {
		return false
	}
	if !unicode.IsUpper(name[i-1]) {
		return true
	}
	rest := name[i+1:]
	plural := len(rest) > 0 && rest[0] == 's' && (len(rest) == 1 || unicode.IsUpper(rest[1]))
	return len(rest) > 0 && unicode.IsLower(rest[0]) && !plural
}

// sameAs reports whether s and t have the same value. A list without entries
// is one, whether or not it was ever made.
func (s Setting) sameAs(t Setting) bool {
	if s.Value.Kind() == reflect.Slice && s.Value.Len() == 0 && t.Value.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(s.Value.Interface(), t.Value.Interface())
}
