package rpcapi

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
)

// Service is a set of methods with the Go value that answers them.
//
// A method of the Receiver is called by gorilla/rpc and has this form:
//
//	func (s *stats) CountWords(r *http.Request, p *Params, reply *int) error
//
// Of r, only the context is set. Params is a struct, exported or without a
// name. Its fields are the parameters, in positional order, each with its name
// in a tag; ",optional" lets callers leave it out, or say null:
//
//	type Params = struct {
//		Channel rpcapi.ChannelName `param:"channel_name"`
//		Words   []string           `param:"words"`
//		Fold    bool               `param:"fold,optional"`
//	}
//
// The tag help says what the parameter is, default what it is when it is left
// out, in JSON. The tags min and max, which come together, bound a whole number
// or the bytes of a string. Fields of an embedded struct are parameters too.
//
// A [ClientID] or [ChannelName] is checked for being one. A json.RawMessage
// takes any value; it is part of the request's body, so copy it before keeping
// it. Types that are not basic are read by encoding/json, which does not mind
// duplicate members. The reply is written by encoding/json; the tags help and
// enum of its fields are for the document. An error that is
// no [*Error] or hub.Error is logged, and the caller hears of an internal
// error.
type Service struct {
	Name     string // a Go name, unique; callers never see it
	Receiver any
	Methods  []Method
}

// Method is one entry of a service's table. The method create_client is
// answered by the Receiver's CreateClient: dots and underscores begin a word.
type Method struct {
	Name    string // as callers say it
	Summary string // one sentence
	Void    bool   // it has no value: answers null in 2.0, 200 in the old dialect

	// What follows is for the OpenRPC document alone.
	Description string // all that there is to know beside the summary, in Markdown
	Tag         Tag    // where it belongs; empty: TagServer
	Errors      []int  // codes of the errors that it may answer, invalid_params not counted
	Result      string // what the result is, in a few words; empty: its type says it
	Examples    []Example
}

// Example is a call and its answer, both in JSON.
type Example struct {
	Name   string // a few words
	Params string // an object: named parameters
	Result string // "": what this call gives when the document is written; it must change nothing
}

// method is a registered method.
type method struct {
	Method
	signature
	goName string // as gorilla knows it
	reply  reflect.Type
	direct direct // answers it without gorilla and reflection; nil for most
}

func (a *API) register(s Service) {
	if err := a.rpc.RegisterService(s.Receiver, s.Name); err != nil {
		panic("rpcapi: " + err.Error())
	}
	for _, m := range s.Methods {
		if _, taken := a.methods[m.Name]; taken {
			panic(fmt.Sprintf("rpcapi: method %s is registered twice", m.Name))
		}
		goName := s.Name + "." + camel(m.Name)
		if !a.rpc.HasMethod(goName) {
			panic(fmt.Sprintf("rpcapi: %s has no method of the right form for %s", goName, m.Name))
		}
		added := newMethod(m, goName, reflect.ValueOf(s.Receiver).MethodByName(camel(m.Name)).Type())
		a.methods[m.Name] = added
		a.table = append(a.table, added)
	}
}

func newMethod(m Method, goName string, f reflect.Type) *method {
	takes, err := newSignature(f.In(1).Elem())
	if err != nil {
		panic(fmt.Sprintf("rpcapi: %s: %v", m.Name, err))
	}
	if m.Tag == "" {
		m.Tag = TagServer
	}
	for _, code := range m.Errors {
		if meanings[code] == "" {
			panic(fmt.Sprintf("rpcapi: %s: the document does not know the error %d", m.Name, code))
		}
	}
	for _, e := range m.Examples {
		if fault := takes.misfit(e); fault != "" {
			panic(fmt.Sprintf("rpcapi: example %q of %s: %s", e.Name, m.Name, fault))
		}
	}
	return &method{Method: m, signature: takes, goName: goName, reply: f.In(2).Elem()}
}

// misfit says what keeps e from being an example of a method that takes s.
func (s *signature) misfit(e Example) (fault string) {
	var given map[string]json.RawMessage
	if err := json.Unmarshal([]byte(e.Params), &given); err != nil {
		return "the parameters are no JSON object"
	}
	for name := range given {
		if !s.takes([]byte(name)) {
			return "there is no parameter " + name
		}
	}
	if e.Result != "" && !json.Valid([]byte(e.Result)) {
		return "the result is not JSON"
	}
	return ""
}

// sorted returns all methods by name.
func (a *API) sorted() []*method {
	all := slices.Clone(a.table)
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

// camel turns create_client into CreateClient.
func camel(name string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '_' || r == '.' }) {
		b.WriteString(upperFirst(word))
	}
	return b.String()
}

func upperFirst(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + word[1:]
}
