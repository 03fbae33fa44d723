package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// screen prints what happens, each line with the time since the start, and below
// it one line of progress that is written over. Where the output is no
// terminal, progress is a line now and then.
type screen struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	start    time.Time
	shown    bool      // a progress line is on the screen
	last     time.Time // of the last progress line
}

// plainInterval is the time between lines of progress in a file.
const plainInterval = 2 * time.Second

// say prints one line.
func (s *screen) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	fmt.Fprintf(s.out, "%s  %s\n", s.stamp(), fmt.Sprintf(format, args...))
}

// progress replaces the line of progress.
func (s *screen) progress(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.terminal {
		if now := time.Now(); now.Sub(s.last) >= plainInterval {
			s.last = now
			fmt.Fprintf(s.out, "%s  %s\n", s.stamp(), line)
		}
		return
	}
	s.clear()
	fmt.Fprintf(s.out, "%s  %s", s.stamp(), line)
	s.shown = true
}

// clear takes the line of progress away.
func (s *screen) clear() {
	if s.shown {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.shown = false
	}
}

func (s *screen) stamp() string { return fmt.Sprintf("%6.1fs", time.Since(s.start).Seconds()) }

const barWidth = 24

// bar draws done of total.
func bar(done, total int) string {
	full := done * barWidth / max(total, 1)
	return strings.Repeat("█", full) + strings.Repeat("░", barWidth-full)
}

// thousands writes a number with commas.
func thousands[T int | int64](n T) string {
	digits := strconv.FormatInt(int64(n), 10)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// brief writes a duration as people read it.
func brief(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
