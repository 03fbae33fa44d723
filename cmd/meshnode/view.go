package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"actormesh/mesh"
)

// viewCommand is a command that reads path, and shows the T that it finds there
// as a table, or as it came.
func viewCommand[T any](a *app, name, short, path string, show func(io.Writer, *T)) *cobra.Command {
	var o clientOptions
	var raw bool
	cmd := &cobra.Command{Use: name + " [--http ADDR] [--json]", Short: short, Args: cobra.NoArgs}
	o.addFlags(cmd, 10*time.Second)
	cmd.Flags().BoolVar(&raw, "json", false, "print the answer as it came")
	cmd.RunE = a.do(func(*cobra.Command, []string) error {
		return a.ask(&o, func(ctx context.Context, c *mesh.HTTPClient) error {
			body, err := c.Get(ctx, path)
			if err != nil {
				return err
			}
			if raw {
				_, err = a.stdout.Write(body)
				return err
			}
			var view T
			if err := json.Unmarshal(body, &view); err != nil {
				return fmt.Errorf("the answer of %s: %w", path, err)
			}
			table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			show(table, &view)
			return table.Flush()
		})
	})
	return cmd
}

func (a *app) statusCommand() *cobra.Command {
	return viewCommand(a, "status", "Show the mesh as a node sees it", "/v1/status", showStatus)
}

func (a *app) membersCommand() *cobra.Command {
	return viewCommand(a, "members", "Show the members", "/v1/status", showMembers)
}

func (a *app) slotsCommand() *cobra.Command {
	return viewCommand(a, "slots", "Show the slot table", "/v1/slots", showSlots)
}

func (a *app) kindsCommand() *cobra.Command {
	return viewCommand(a, "kinds", "Show the kinds of actors and their methods", "/v1/kinds", showKinds)
}

func showStatus(w io.Writer, s *mesh.Status) {
	fmt.Fprintf(w, "cluster\t%s\n", orDash(s.Cluster))
	fmt.Fprintf(w, "node\t%s\n", s.Node)
	fmt.Fprintf(w, "epoch\t%d\n", s.Epoch)
	fmt.Fprintf(w, "coordinator\t%s\n", orDash(s.Coordinator))
	fmt.Fprintf(w, "quorum\t%s\n", yesNo(s.Quorum))
	fmt.Fprintf(w, "slots\t%d, of which %d active; %s owns %d\n", s.Slots.Total, s.Slots.Active, s.Node, s.Slots.Owned)
	fmt.Fprintf(w, "members\t%d\n", len(s.Members))
	if len(s.Members) < s.Replication {
		fmt.Fprintf(w, "replicas\t%d of each slot, for want of members; it should be %d\n", len(s.Members), s.Replication)
	} else {
		fmt.Fprintf(w, "replicas\t%d of each slot\n", s.Replication)
	}
}

func showMembers(w io.Writer, s *mesh.Status) {
	fmt.Fprintln(w, "NAME\tSTATE\tADDR\tHTTP\tZONE\tVOTER\tOWNED\tDISK")
	for _, m := range s.Members {
		name := m.Name
		if name == s.Coordinator {
			name += " *"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n",
			name, m.State, m.Addr, orDash(m.HTTP), orDash(m.Zone), yesNo(m.Voter), m.Owned, m.Disk)
	}
}

func showSlots(w io.Writer, slots *[]mesh.SlotStatus) {
	fmt.Fprintln(w, "SLOT\tEPOCH\tREPLICAS\tLEARNERS\tFROM\tACTIVE\tLAST\tCOMMIT")
	for _, s := range *slots {
		var from []string
		for _, set := range s.From {
			from = append(from, strings.Join(set, ","))
		}
		fmt.Fprintf(w, "%d\t%d\t%s\t%s\t%s\t%s\t%d\t%d\n", s.Slot, s.Epoch, orDash(strings.Join(s.Replicas, ",")),
			orDash(strings.Join(s.Learners, ",")), orDash(strings.Join(from, " ")), yesNo(s.Active), s.Last, s.Commit)
	}
}

func showKinds(w io.Writer, kinds *[]mesh.KindStatus) {
	fmt.Fprintln(w, "KIND\tMETHOD\tREADS ONLY")
	for _, k := range *kinds {
		for _, m := range k.Methods {
			fmt.Fprintf(w, "%s\t%s\t%s\n", k.Kind, m.Name, yesNo(m.Read))
		}
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
