//go:build !linux

package bench

import (
	"context"
	"errors"
)

// fsyncWatch is not to be had here.
type fsyncWatch struct{}

func watchFsyncs(context.Context, []int) (*fsyncWatch, error) { return nil, errors.ErrUnsupported }

func (*fsyncWatch) end() (int, error) { return 0, errors.ErrUnsupported }
