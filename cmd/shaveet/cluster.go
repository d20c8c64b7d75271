package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"
)

// cluster prints what a node says of the nodes that share its log.
func (p *program) cluster(ctx context.Context, args []string) error {
	fs := p.flagSet("cluster")
	admin := p.adminFlags(fs)
	asJSON := fs.Bool("json", false, "print what the admin API says")
	if len(args) > 0 && args[0] == "status" { // flags may stand before and behind
		args = append(slices.Clone(args[1:]), "status")
	}
	if err := p.parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() != 1 || fs.Arg(0) != "status" {
		return p.misuse(fs, "there is only: cluster status")
	}
	api, err := admin()
	if err != nil {
		return err
	}
	result, err := api.call(ctx, "cluster", nil)
	if err != nil {
		return err
	}
	if *asJSON {
		fmt.Fprintln(p.stdout, string(result))
		return nil
	}
	var said clusterStatus
	if err := json.Unmarshal(result, &said); err != nil {
		return err
	}
	return p.printCluster(&said)
}

// clusterStatus is what the admin API's method cluster returns.
type clusterStatus struct {
	Shared   bool
	Position string
	Nodes    []struct {
		ID, Name, Address, Version, Position string
		Began                                int64
		LagUS                                int64 `json:"lag_us"`
		Readers                              int
		Silent                               int64 `json:"silent_ms"`
		Keeper, Self                         bool
	}
}

func (p *program) printCluster(said *clusterStatus) error {
	if !said.Shared {
		fmt.Fprintf(p.stdout, "This server has a log of its own, at %s: --redis makes it one of several.\n", said.Position)
		return nil
	}
	fmt.Fprintf(p.stdout, "The log is at %s here.\n\n", said.Position)
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tNAME\tADDRESS\tVERSION\tUP\tREADERS\tPOSITION\tLAG\tHEARD\t")
	readers := 0
	for _, n := range said.Nodes {
		notes := ""
		if n.Keeper {
			notes += " keeper"
		}
		if n.Self {
			notes += " (answers this)"
		}
		up := time.Since(time.UnixMilli(n.Began)).Round(time.Second)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%v\t%d\t%s\t%v\t%v ago\t%s\n", n.ID, orDash(n.Name), orDash(n.Address), n.Version, up, n.Readers,
			n.Position, time.Duration(n.LagUS)*time.Microsecond, (time.Duration(n.Silent) * time.Millisecond).Round(100*time.Millisecond), notes)
		readers += n.Readers
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "\n%d nodes, %d readers\n", len(said.Nodes), readers)
	return nil
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
