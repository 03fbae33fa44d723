package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"actormesh/mesh"
)

// clientOptions are the flags of the commands that ask a node.
type clientOptions struct {
	addrs   []string
	certs   string
	as      string
	token   string
	timeout time.Duration
}

func (o *clientOptions) addFlags(cmd *cobra.Command, timeout time.Duration) {
	f := cmd.Flags()
	f.SortFlags = false
	f.StringSliceVar(&o.addrs, "http", []string{"127.0.0.1:8001"}, "HOST:PORT,... of nodes' HTTP APIs, tried in this order")
	f.StringVar(&o.certs, "certs", "", "speak HTTPS; the directory with ca.crt")
	f.StringVar(&o.as, "as", "", "show the certificate NAME.crt of the --certs directory")
	f.StringVar(&o.token, "token", "", "show this bearer token; best given as MESHNODE_TOKEN")
	f.DurationVar(&o.timeout, "timeout", timeout, "the longest wait for an answer")
}

// ask runs f with a client, until the timeout or a signal.
func (a *app) ask(o *clientOptions, f func(context.Context, *mesh.HTTPClient) error) error {
	var conf *tls.Config
	if o.certs != "" {
		var err error
		if conf, err = mesh.ClientTLS(o.certs, o.as); err != nil {
			return err
		}
	} else if o.as != "" {
		return fmt.Errorf("%w: --as names a certificate of a directory: give --certs as well", mesh.ErrUsage)
	}
	if o.timeout <= 0 {
		return fmt.Errorf("%w: --timeout is %v, it must be above 0", mesh.ErrUsage, o.timeout)
	}
	client, err := mesh.NewHTTPClient(o.addrs, conf, o.token)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), o.timeout)
	defer cancel()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-a.signals:
			cancel()
		case <-ended:
		}
	}()
	return f(ctx, client)
}

func (a *app) callCommand() *cobra.Command {
	var o clientOptions
	var once string
	cmd := &cobra.Command{
		Use:   "call KIND ID METHOD [JSON]",
		Short: "Call a method of an actor",
		Long: `Call a method of an actor, and print its result as JSON. The argument "-" is read
from standard input.

With --once the call takes effect once however often it is repeated with that key,
and is tried at the next address where one fails. Without it, only a try that took no
effect for certain is.`,
		Example: `  meshnode call counter visits add '{"n":1}'
  meshnode call account alice transfer '{"to":"bob","amount":5}' --once pay-17`,
		Args: cobra.RangeArgs(3, 4),
	}
	o.addFlags(cmd, 10*time.Second)
	cmd.Flags().StringVar(&once, "once", "", "the call's own key")
	cmd.RunE = a.do(func(_ *cobra.Command, args []string) error {
		var arg []byte
		if len(args) == 4 {
			var err error
			if arg, err = a.argument(args[3]); err != nil {
				return err
			}
		}
		return a.ask(&o, func(ctx context.Context, c *mesh.HTTPClient) error {
			reply, err := c.Call(ctx, args[0], args[1], args[2], arg, once)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%s\n", reply)
			return err
		})
	})
	return cmd
}

// maxArgumentBytes is more than any node takes.
const maxArgumentBytes = 8 << 20

// argument returns a call's argument as it stands on the command line, or all of
// standard input for "-".
func (a *app) argument(text string) ([]byte, error) {
	if text != "-" {
		return []byte(text), nil
	}
	b, err := io.ReadAll(io.LimitReader(a.stdin, maxArgumentBytes+1))
	if err == nil && len(b) > maxArgumentBytes {
		err = fmt.Errorf("it is larger than %d bytes", maxArgumentBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("the argument on standard input: %w", err)
	}
	return b, nil
}

func (a *app) retireCommand(name, short, long string) *cobra.Command {
	var o clientOptions
	cmd := &cobra.Command{
		Use:   name + " [--http ADDR]",
		Short: short,
		Long:  long,
		Args:  cobra.NoArgs,
	}
	o.addFlags(cmd, 10*time.Minute)
	cmd.RunE = a.do(func(*cobra.Command, []string) error {
		if len(o.addrs) != 1 {
			return fmt.Errorf("%w: %s is for one node: give one --http address", mesh.ErrUsage, name)
		}
		return a.ask(&o, func(ctx context.Context, c *mesh.HTTPClient) error {
			reply, err := c.Post(ctx, "/v1/"+name)
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(reply)
			return err
		})
	})
	return cmd
}
