package explore

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A script is a counterexample in text. Its first line names the configuration,
// and every further one is a step, in the words in which a search prints it:
//
//	# a restarted node has lost its last record
//	# CommittedAgree: ...
//	config slot-nosync
//	a writes record 1
//	a→b append 1.1 at 1.1.1 commit 1 +1.1.2 #57b1
//
// Empty lines and lines that begin with # say what the script shows.

// WriteScript writes the violation's script, after what its configuration is
// about and what it breaks.
func (r *Result) WriteScript(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n# %s\nconfig %s\n", r.About, r.Violation.What, r.Name)
	for _, step := range r.Violation.Steps {
		fmt.Fprintln(&b, step)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Replay runs a script, writes each step and what it brings about to out, and
// returns the invariant that the last step breaks, or "" if none does.
func Replay(script io.Reader, out io.Writer) (string, error) {
	lines := bufio.NewScanner(script)
	var s *search
	var w world
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		name, isConfig := strings.CutPrefix(line, "config ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case isConfig:
			c, err := Find(name)
			if err != nil {
				return "", err
			}
			s = newSearch(c.model, c.bound)
			w = s.worlds[0]
		case s == nil:
			return "", fmt.Errorf("%q comes before the configuration", line)
		default:
			next, broken, err := s.follow(w, line, out)
			if err != nil || broken != "" {
				return broken, err
			}
			w = next
		}
	}
	return "", lines.Err()
}

// follow takes the step of the text.
func (s *search) follow(w world, text string, out io.Writer) (next world, broken string, err error) {
	var found []action
	s.actions(w, func(a action) {
		if s.describe(&w, &a) == text {
			found = append(found, a)
		}
	})
	if len(found) != 1 {
		return w, "", fmt.Errorf("%d steps of this state are %q", len(found), text)
	}
	next, broken, ok := s.apply(w, &found[0])
	if !ok {
		return w, "", fmt.Errorf("%q is beyond the bound of the network", text)
	}
	fmt.Fprintln(out, text)
	s.show(w, next, out)
	if broken == "" {
		broken = s.model.check(s.see(&next, &s.to))
	}
	return next, broken, nil
}

// show writes what a step has brought about: what nodes say that was not said before.
func (s *search) show(before, after world, out io.Writer) {
	for _, n := range s.nets.list[after.net] {
		if _, found := slices.BinarySearch(s.nets.list[before.net], n); !found {
			fmt.Fprintf(out, "    sends %s\n", s.describe(&before, &action{event: event{kind: evDeliver, msg: n}}))
		}
	}
	for _, n := range s.factSet.list[after.facts] {
		if _, found := slices.BinarySearch(s.factSet.list[before.facts], n); !found {
			fmt.Fprintf(out, "    %s\n", s.locals.facts.list[n].text)
		}
	}
}
