package server

import (
	"fmt"
	"maps"
	"slices"

	"github.com/shaveet/shaveet/server/backend"
	"github.com/shaveet/shaveet/server/handler"
	"github.com/shaveet/shaveet/server/handler/webhook"
	"github.com/shaveet/shaveet/server/hub"
)

// Handlers is what [Config] says of who answers pages.
type Handlers struct {
	handler.Limits

	HandlerMaxAnswerBytes int `help:"bytes of a handler's answer" live:"yes"`

	ClientHandler string `help:"handler that is told when clients are let go, killed or back, whatever they are connected by: the name of a webhook, or \"rpc\"" live:"yes"`
}

func defaultHandlers() Handlers {
	return Handlers{
		Limits: handler.DefaultLimits(),

		HandlerMaxAnswerBytes: webhook.DefaultMaxAnswerBytes,
	}
}

// BackendHandler is the name of the handler that is the backend's own WebSocket.
const BackendHandler = backend.Handler

// A WebhookRule is a handler that is asked by HTTP.
type WebhookRule struct {
	Name string
	WebhookSettings
}

// WebhookSettings are what a table for a webhook can say.
type WebhookSettings struct {
	URL        string   `help:"where the backend is asked, by POST: http or https"`
	Secrets    []string `help:"with which the calls are signed, each of at least 16 characters: several while one is replaced by another" secret:"true"`
	SecretFile string   `help:"file that holds the secrets, one on each line"`
}

// checkHandlers says what is wrong about handlers.
func (c *Config) checkHandlers(check func(ok bool, format string, args ...any)) {
	if err := c.Handlers.Limits.Validate(); err != nil {
		check(false, "%w", err)
	}
	check(c.HandlerMaxAnswerBytes > 0, "handler_max_answer_bytes: must be more than 0")
	names := map[string]bool{BackendHandler: true}
	for _, w := range c.Webhook {
		check(w.Name != "" && !names[w.Name], "webhook.%q: there is a handler of this name already, or it is empty", w.Name)
		names[w.Name] = true
		err := webhook.CheckURL(w.URL)
		check(err == nil, "webhook.%q: %v", w.Name, err)
		check(len(w.Secrets) > 0, "webhook.%q: secrets: there must be one, or a secret_file", w.Name)
		for _, secret := range w.Secrets {
			err := webhook.CheckSecret(secret)
			check(err == nil, "webhook.%q: secrets: %v", w.Name, err)
		}
	}
	list := fmt.Sprint(slices.Sorted(maps.Keys(names)))
	check(c.ClientHandler == "" || names[c.ClientHandler], "client_handler: %q is none of the handlers %s", c.ClientHandler, list)
	for _, n := range c.Namespace {
		check(n.Handler == "" || names[n.Handler], "namespace.%q: handler: %q is none of the handlers %s", n.Name, n.Handler, list)
		err := hub.CheckRelay(n.Relay, c.Limits.NameBytes)
		check(err == nil, "namespace.%q: relay: %v", n.Name, err)
		for _, event := range n.Events {
			err := hub.CheckEvent(event, c.Limits.NameBytes)
			check(err == nil, "namespace.%q: events: %v", n.Name, err)
		}
	}
}
