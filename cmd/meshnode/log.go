package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"golang.org/x/term"
)

// newLogger returns the program's logger. The format is "text", "json", or
// "auto": text on a terminal, JSON elsewhere.
func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var min slog.Level
	if err := min.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: it is debug, info, warn or error", level)
	}
	switch {
	case format == "text", format == "auto" && isTerminal(w):
		return slog.New(newTextHandler(w, min)), nil
	case format == "json", format == "auto":
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: min})), nil
	}
	return nil, fmt.Errorf("--log-format %q: it is auto, text or json", format)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// textHandler writes "15:04:05.000 INFO message key=value" for people. It leaves
// the attributes to slog.TextHandler.
type textHandler struct {
	attrs slog.Handler // writes to out.line
	out   *textOutput
}

// textOutput is shared by a handler and those derived from it.
type textOutput struct {
	mu   sync.Mutex
	line bytes.Buffer
	w    io.Writer
}

func newTextHandler(w io.Writer, min slog.Level) *textHandler {
	out := &textOutput{w: w}
	return &textHandler{out: out, attrs: slog.NewTextHandler(&out.line, &slog.HandlerOptions{
		Level: min,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
				return slog.Attr{} // the handler writes these itself
			}
			return a
		},
	})}
}

// Enabled implements slog.Handler.
func (h *textHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.attrs.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h *textHandler) Handle(ctx context.Context, r slog.Record) error {
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	h.out.line.Reset()
	fmt.Fprintf(&h.out.line, "%s %-5s %s ", r.Time.Format("15:04:05.000"), r.Level, r.Message)
	if err := h.attrs.Handle(ctx, r); err != nil {
		return err
	}
	_, err := h.out.w.Write(h.out.line.Bytes())
	return err
}

// WithAttrs implements slog.Handler.
func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &textHandler{out: h.out, attrs: h.attrs.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h *textHandler) WithGroup(name string) slog.Handler {
	return &textHandler{out: h.out, attrs: h.attrs.WithGroup(name)}
}
