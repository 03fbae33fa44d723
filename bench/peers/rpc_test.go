package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
)

// connect returns a client of handle.
func connect(t *testing.T, handle handler) *rpcClient {
	here, there := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- serve(t.Context(), there, handle) }()
	c := newRPCClient(here)
	t.Cleanup(func() {
		c.Close()
		if err := <-served; err == nil {
			t.Error("serve ended without a reason")
		}
	})
	return c
}

// TestCallsPassEachOther answers the second call first.
func TestCallsPassEachOther(t *testing.T) {
	var late func()
	c := connect(t, func(asked []byte, answer func(byte, []byte)) {
		if late == nil {
			late = func() { answer(answerOK, asked) }
			return
		}
		answer(answerError, []byte("no "+string(asked)))
		late()
	})
	var wg sync.WaitGroup
	var said [2][]byte
	var errs [2]error
	for i := range said {
		wg.Go(func() { said[i], errs[i] = c.call(t.Context(), []byte("call"), []byte{'0' + byte(i)}) })
	}
	wg.Wait()
	refused := 0
	for i := range said {
		call := "call" + string('0'+byte(i))
		switch {
		case errors.Is(errs[i], errAnswered) && strings.HasSuffix(errs[i].Error(), "no "+call):
			refused++
		case errs[i] != nil || string(said[i]) != call:
			t.Errorf("%s is answered %q, %v", call, said[i], errs[i])
		}
	}
	if refused != 1 {
		t.Errorf("%d calls were refused", refused)
	}
}

// TestCallsEndWithTheConnection leaves nobody waiting.
func TestCallsEndWithTheConnection(t *testing.T) {
	var c *rpcClient
	c = connect(t, func([]byte, func(byte, []byte)) { go c.end(errors.New("cut")) })
	for range 2 {
		if _, err := c.call(t.Context(), []byte("x")); !errors.Is(err, errHungUp) {
			t.Errorf("the answer is %v", err)
		}
	}
}

// TestCallIsLeft forgets a call that nobody waits for.
func TestCallIsLeft(t *testing.T) {
	c := connect(t, func([]byte, func(byte, []byte)) {})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.call(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if len(c.waiting) != 0 {
		t.Errorf("%d calls wait", len(c.waiting))
	}
}

func TestReadFrame(t *testing.T) {
	whole := []byte{3, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 1, 'a', 'b', 'c'}
	id, said, err := readFrame(bytes.NewReader(whole))
	if err != nil || id != 7|1<<56 || string(said) != "abc" {
		t.Errorf("%d, %q, %v", id, said, err)
	}
	for n := range whole {
		if _, _, err := readFrame(bytes.NewReader(whole[:n])); err == nil {
			t.Errorf("%d bytes are a frame", n)
		}
	}
	whole[3] = 1
	if _, _, err := readFrame(bytes.NewReader(whole)); !errors.Is(err, errFrame) {
		t.Errorf("16 MB are a frame: %v", err)
	}
}
