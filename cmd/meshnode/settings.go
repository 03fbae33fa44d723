package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

const (
	envPrefix      = "MESHNODE_"
	maxConfigBytes = 1 << 20
)

// notSettings are the flags that are no setting of anything.
var notSettings = []string{"help", "config"}

// applySettings sets the flags which the command line does not, from the
// environment or else from the config file.
func (a *app) applySettings(cmd *cobra.Command) error {
	file, err := a.readConfig(cmd)
	if err != nil {
		return err
	}
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if failed != nil || f.Changed || slices.Contains(notSettings, f.Name) {
			return
		}
		value, from := a.lookup(envName(f.Name)), envName(f.Name)
		if value == "" {
			value, from = file[f.Name], "the config file"
		}
		if value == "" {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			failed = fmt.Errorf("%s, from %s: %w", f.Name, from, err)
		}
	})
	return failed
}

// lookup returns a variable of the environment; an empty one is one not set.
func (a *app) lookup(name string) string {
	value, _ := a.lookupEnv(name)
	return value
}

// envName returns the name of a flag in the environment.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// readConfig reads the config file, if there is one, as flags' names and their
// values as they would be written on a command line.
func (a *app) readConfig(cmd *cobra.Command) (map[string]string, error) {
	path, err := cmd.Flags().GetString("config")
	if err != nil {
		return nil, err
	}
	if path == "" {
		path = a.lookup(envName("config"))
	}
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the config file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err != nil {
		return nil, fmt.Errorf("the config file: %w", err)
	}
	if len(text) > maxConfigBytes {
		return nil, fmt.Errorf("the config file %s is larger than %d bytes", path, maxConfigBytes)
	}
	values, err := parseConfig(text, settingNames(cmd.Root()))
	if err != nil {
		return nil, fmt.Errorf("the config file %s: %w", path, err)
	}
	return values, nil
}

// settingNames returns the flags of all commands, so that one file serves them
// all, and a misspelt key is still found.
func settingNames(root *cobra.Command) map[string]bool {
	names := map[string]bool{}
	add := func(f *pflag.Flag) {
		if !slices.Contains(notSettings, f.Name) {
			names[f.Name] = true
		}
	}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		c.LocalFlags().VisitAll(add)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	return names
}

// parseConfig parses a YAML mapping from flags to scalars, or lists of them.
func parseConfig(text []byte, known map[string]bool) (map[string]string, error) {
	var file map[string]yaml.Node
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(file)) {
		if !known[key] {
			return nil, fmt.Errorf("no flag is named %q", key)
		}
		node := file[key]
		value, err := configValue(&node)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		values[key] = value
	}
	return values, nil
}

func configValue(node *yaml.Node) (string, error) {
	switch node.Kind {
	case yaml.ScalarNode:
		if node.Tag == "!!null" {
			return "", nil
		}
		return node.Value, nil
	case yaml.SequenceNode:
		var items []string
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				return "", errors.New("a list holds plain values only")
			}
			items = append(items, item.Value)
		}
		return strings.Join(items, ","), nil
	}
	return "", errors.New("a value is plain, or a list of plain values")
}
