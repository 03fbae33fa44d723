package script

import "strings"

// words is a line that is being read. The first thing that is wrong stays.
type words struct {
	line int
	w    []string
	err  *Error
}

// newWords splits a line. A comment begins with a # that begins a word.
func newWords(line int, text string) *words {
	w := &words{line: line}
	for word := range strings.FieldsSeq(strings.ReplaceAll(text, "|", " | ")) {
		if word[0] == '#' {
			break
		}
		w.w = append(w.w, word)
	}
	return w
}

func (w *words) fail(format string, args ...any) {
	if w.err == nil {
		w.err = errorf(w.line, format, args...)
	}
	w.w = nil
}

// peek returns the next word, or "" at the end.
func (w *words) peek() string {
	if len(w.w) == 0 {
		return ""
	}
	return w.w[0]
}

// next returns the next word, which what says what it should be.
func (w *words) next(what string) string {
	if len(w.w) == 0 {
		w.fail("%s is missing", what)
		return ""
	}
	word := w.w[0]
	w.w = w.w[1:]
	return word
}

// take reads the next word if it is this one.
func (w *words) take(word string) bool {
	if w.peek() != word {
		return false
	}
	w.w = w.w[1:]
	return true
}

// end fails if there is more.
func (w *words) end() {
	if len(w.w) > 0 {
		w.fail("%q is too much", strings.Join(w.w, " "))
	}
}

// value reads the next word with parse; what and example are for the error.
func value[T any](w *words, what, example string, parse func(string) (T, bool)) T {
	word := w.next(what)
	v, ok := parse(word)
	if !ok {
		w.fail("%s is %q, it is written like %s", what, clip(word), example)
	}
	return v
}

// number reads a number within bounds.
func (w *words) number(what string, low, high int) int {
	word := w.next(what)
	n, ok := parseInt(word, low, high)
	if !ok {
		w.fail("%s is %q, it is a number from %d to %d", what, clip(word), low, high)
	}
	return n
}

// maxQuoted is how much of a bad word an error repeats.
const maxQuoted = 40

func clip(s string) string {
	if len(s) > maxQuoted {
		return s[:maxQuoted] + "..."
	}
	return s
}
