package rpcapi

import (
	"fmt"
	"reflect"
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
// A [ClientID] or [ChannelName] is checked for being one. A json.RawMessage
// takes any value; it is part of the request's body, so copy it before keeping
// it. Types that are not basic are read by encoding/json, which does not mind
// duplicate members. The reply is written by encoding/json. An error that is
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
	Summary string // one sentence for system.describe
	Void    bool   // it has no value: answers null in 2.0, 200 in the old dialect
}

// method is a registered method.
type method struct {
	name    string
	summary string
	void    bool
	goName  string // as gorilla knows it
	params  []paramSpec
	list    string // the parameters as an error message lists them
	reply   reflect.Type
}

// paramSpec is one parameter: field i of the parameter struct is params[i].
type paramSpec struct {
	name     string
	optional bool
	typ      reflect.Type
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
		a.methods[m.Name] = newMethod(m, goName, reflect.ValueOf(s.Receiver).MethodByName(camel(m.Name)).Type())
	}
}

func newMethod(m Method, goName string, f reflect.Type) *method {
	args := f.In(1).Elem()
	if args.Kind() != reflect.Struct || args.NumField() > maxParams {
		panic(fmt.Sprintf("rpcapi: the parameters of %s must be a struct of at most %d fields", m.Name, maxParams))
	}
	specs := make([]paramSpec, args.NumField())
	names := make([]string, len(specs))
	for i := range specs {
		field := args.Field(i)
		name, option, _ := strings.Cut(field.Tag.Get("param"), ",")
		if name == "" || !field.IsExported() || (option != "" && option != "optional") {
			panic(fmt.Sprintf("rpcapi: field %s of the parameters of %s must be exported and have a param tag", field.Name, m.Name))
		}
		specs[i] = paramSpec{name: name, optional: option != "", typ: field.Type}
		names[i] = name
	}
	return &method{
		name: m.Name, summary: m.Summary, void: m.Void, goName: goName,
		params: specs, list: strings.Join(names, ", "), reply: f.In(2).Elem(),
	}
}

// sorted returns all methods by name.
func (a *API) sorted() []*method {
	all := make([]*method, 0, len(a.methods))
	for _, m := range a.methods {
		all = append(all, m)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	return all
}

// camel turns create_client into CreateClient.
func camel(name string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '_' || r == '.' }) {
		b.WriteString(strings.ToUpper(word[:1]))
		b.WriteString(word[1:])
	}
	return b.String()
}
