//go:build !linux

package netns

import (
	"context"
	"errors"

	"actormesh/chaos/local"
	"actormesh/chaos/script"
)

var errLinux = errors.New("netns cannot make network namespaces here: it takes Linux")

// Run returns an error: there are no namespaces.
func Run(context.Context, *script.Plan, local.Options) (*local.Result, error) { return nil, errLinux }

// Probe returns an error: there are no namespaces.
func Probe(...*script.Plan) error { return errLinux }
