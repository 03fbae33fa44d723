// Meshnode is the one program of the mesh: a node, and the command line to
// found, watch and call it. It wires nothing but flags; what a node does is in
// the package mesh.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"actormesh/mesh"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// app is the program, with what it has from outside.
type app struct {
	args           []string // without the program's name
	stdout, stderr io.Writer
	stdin          io.Reader
	lookupEnv      func(string) (string, bool)
	signals        <-chan os.Signal // interrupts and terminations
	executable     string           // path of this program, to start more of it

	// start starts a node. It is mesh.Start with the kinds that the program
	// hosts.
	start func(context.Context, mesh.Config) (node, error)

	running bool // the command line was in order, and a command has begun

	saying sync.Mutex // held by what speaks where several speak at a time
}

const quietBuffers = "QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING"

func main() {
	// Where the system caps socket buffers quic-go says so at each start, past
	// the log; docs/bench.md says what the cap costs.
	if os.Getenv(quietBuffers) == "" {
		os.Setenv(quietBuffers, "true")
	}
	signals := make(chan os.Signal, 2) // a second one, while the first is served
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	executable, err := os.Executable()
	if err != nil {
		executable = os.Args[0]
	}
	a := app{
		args:       os.Args[1:],
		stdout:     os.Stdout,
		stderr:     os.Stderr,
		stdin:      os.Stdin,
		lookupEnv:  os.LookupEnv,
		signals:    signals,
		executable: executable,
		start:      startNode,
	}
	os.Exit(a.run())
}

// run runs the command line and returns the exit code.
func (a *app) run() int {
	root := a.rootCommand()
	root.SetArgs(a.args)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	cmd, err := root.ExecuteC()
	switch {
	case err == nil:
		return exitOK
	case !a.running || errors.Is(err, mesh.ErrUsage):
		// What fails before a command runs is the command line itself.
		fmt.Fprintf(a.stderr, "meshnode: %v\nSee `%s --help`.\n", err, cmd.CommandPath())
		return exitUsage
	}
	fmt.Fprintf(a.stderr, "meshnode: %v\n", err)
	return exitFailure
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "meshnode",
		Short: "A mesh of durable actors: every node is this program.",
		Long: `A mesh of durable actors: every node is this program.

Every flag is also a key of the YAML file that --config names, and MESHNODE_<FLAG>
in the environment (--fold-bytes is MESHNODE_FOLD_BYTES). A flag wins over the
environment, the environment over the file.

Exit codes: 0 done, 1 failed, 2 wrong usage.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		RunE:              needsCommand,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.applySettings(cmd) },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().String("config", "", "a YAML file of flags, by their names without dashes")
	root.AddCommand(
		a.startCommand(),
		a.callCommand(),
		a.statusCommand(), a.membersCommand(), a.slotsCommand(), a.kindsCommand(),
		a.retireCommand("drain", "Let a node give up what it owns and exit, for a restart",
			"The node gives up ownership and coordination, stays a replica, and exits. SIGTERM does the same."),
		a.retireCommand("leave", "Let a node leave the mesh for good",
			"The node gives up ownership, its replicas and its vote, and exits. Its data directory is of no more use."),
		a.certsCommand(),
		a.devCommand(),
		a.benchCommand(),
		a.chaosCommand(),
		a.versionCommand(),
	)
	return root
}

// needsCommand is what a command does that only has others below it.
func needsCommand(cmd *cobra.Command, args []string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			names = append(names, c.Name())
		}
	}
	what := "a command is missing"
	if len(args) > 0 {
		what = fmt.Sprintf("there is no command %q", args[0])
	}
	return fmt.Errorf("%s: it is one of %s", what, strings.Join(names, ", "))
}

// do is a command's RunE. What fails from then on is no matter of usage, unless
// it says so.
func (a *app) do(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.running = true
		return f(cmd, args)
	}
}
