package main

import (
	"fmt"

	"github.com/shaveet/shaveet/server"
)

// printConfig prints the configuration in force as a TOML file with comments,
// secrets left out.
func (p *program) printConfig(args []string) error {
	cfg, rest, err := p.configure("config", server.DefaultConfig(), args, nil)
	if err != nil {
		return err
	}
	if err := noArguments("config", rest); err != nil {
		return err
	}
	for _, s := range settings(&cfg) {
		line := fmt.Sprintf("%s = %s", s.name, s)
		if s.secret && s.value.String() != "" {
			line = "# " + line
		}
		fmt.Fprintf(p.stdout, "# %s\n%s\n\n", s.help, line)
	}
	fmt.Fprint(p.stdout, channelTables.printed(cfg.Channel), webhookTables.printed(cfg.Webhook), namespaceTables.printed(cfg.Namespace), printedSockets(cfg.ZeroMQ))
	return nil
}
