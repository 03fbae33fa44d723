package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"actormesh/mesh"
)

func (a *app) certsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Make the certificates of a mesh",
		Long: `Make the certificates of a mesh. A node needs ca.crt, gossip.key, and its own NAME.crt
and NAME.key; a client ca.crt and its own two. Keep ca.key off the nodes.`,
		RunE: needsCommand,
	}
	cmd.AddCommand(a.certsInitCommand(), a.certsNodeCommand(), a.certsClientCommand())
	return cmd
}

func (a *app) certsInitCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "init --dir DIR",
		Short: "Make a cluster's CA: ca.crt, ca.key, gossip.key",
		Args:  cobra.NoArgs,
	}
	addDirFlag(cmd, &dir)
	cmd.RunE = a.do(func(*cobra.Command, []string) error {
		if err := checkDir(dir); err != nil {
			return err
		}
		if err := mesh.InitCerts(dir); err != nil {
			return err
		}
		_, err := fmt.Fprintf(a.stdout, "made ca.crt, ca.key and gossip.key in %s\n", dir)
		return err
	})
	return cmd
}

func (a *app) certsNodeCommand() *cobra.Command {
	var dir string
	var hosts []string
	cmd := &cobra.Command{
		Use:   "node NAME --dir DIR [--host ADDR,...]",
		Short: "Issue a node's certificate: NAME.crt, NAME.key",
		Args:  cobra.ExactArgs(1),
	}
	addDirFlag(cmd, &dir)
	cmd.Flags().StringSliceVar(&hosts, "host", nil, "names and addresses by which HTTP clients reach the node")
	cmd.RunE = a.do(func(_ *cobra.Command, args []string) error {
		return a.issue(dir, args[0], func() error { return mesh.IssueNodeCert(dir, args[0], hosts) })
	})
	return cmd
}

func (a *app) certsClientCommand() *cobra.Command {
	var dir, role string
	cmd := &cobra.Command{
		Use:   "client NAME --dir DIR [--role client|admin]",
		Short: "Issue a client's certificate: NAME.crt, NAME.key",
		Args:  cobra.ExactArgs(1),
	}
	addDirFlag(cmd, &dir)
	cmd.Flags().StringVar(&role, "role", "client", "client: call and look; admin: also drain nodes and let them leave")
	cmd.RunE = a.do(func(_ *cobra.Command, args []string) error {
		return a.issue(dir, args[0], func() error { return mesh.IssueClientCert(dir, args[0], role) })
	})
	return cmd
}

func (a *app) issue(dir, name string, issue func() error) error {
	if err := checkDir(dir); err != nil {
		return err
	}
	if err := issue(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "made %s.crt and %s.key in %s\n", name, name, dir)
	return err
}

func addDirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", "", "the directory with the CA's files")
}

func checkDir(dir string) error {
	if dir == "" {
		return fmt.Errorf("%w: say which directory with --dir DIR", mesh.ErrUsage)
	}
	return nil
}
