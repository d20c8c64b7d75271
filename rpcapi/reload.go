package rpcapi

import (
	"net/http"
	"strings"
)

// reloadMethods let the backend do what SIGHUP does.
var reloadMethods = []Method{{
	Name:    "reload",
	Summary: "Reads the configuration again, and puts into force what can be changed while the server runs.",
	Description: "The result names the keys that have changed, and those that have new values but need a restart. " +
		"A configuration with anything wrong changes nothing: the error, of type `invalid_configuration`, says all that is wrong.",
	Tag:      TagServer,
	Errors:   []int{CodeInternal},
	Examples: []Example{{"reload", `{}`, `{"changed": ["log_level"], "restart": ["listen"]}`}},
}}

// reloader answers reloadMethods.
type reloader struct{ opts Options }

type reloadReply = struct {
	Changed []string `json:"changed" help:"keys whose new values are in force"`
	Restart []string `json:"restart" help:"keys whose new values need a restart"`
}

// Reload is reload().
func (s *reloader) Reload(r *http.Request, _ *noParams, reply *reloadReply) error {
	changed, restart, err := s.opts.Reload(r.Context())
	if err != nil {
		return &Error{Code: CodeInternal, Type: "invalid_configuration", Message: strings.ReplaceAll(err.Error(), "\n", "; ")}
	}
	reply.Changed, reply.Restart = orEmpty(changed), orEmpty(restart)
	return nil
}
