package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Output says where else than to a terminal a report goes. What is empty is not
// written.
type Output struct {
	JSON      string // a file: the whole report
	Benchstat string // a file: see WriteBenchstat
	Plots     string // a directory: see WritePlots
	Doc       string // a file of Markdown: see Update
}

// Save writes the report to all of them. The text is what Doc is to show.
func (r *Report) Save(o Output, text string) error {
	var errs []error
	if o.JSON != "" {
		errs = append(errs, writeFile(o.JSON, func(w io.Writer) error {
			out := json.NewEncoder(w)
			out.SetIndent("", "\t")
			return out.Encode(r)
		}))
	}
	if o.Benchstat != "" {
		errs = append(errs, writeFile(o.Benchstat, r.WriteBenchstat))
	}
	if o.Plots != "" {
		_, err := r.WritePlots(o.Plots)
		errs = append(errs, err)
	}
	if o.Doc != "" {
		errs = append(errs, Update(o.Doc, text))
	}
	return errors.Join(errs...)
}

func writeFile(path string, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// The part of a page that a command writes.
const (
	docBegin = "<!-- written by a command: begin -->\n"
	docEnd   = "<!-- written by a command: end -->\n"
)

// Update puts text, as it is, into the part of a Markdown file that stands between
// two comments.
func Update(path, text string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, begun := bytes.Cut(page, []byte(docBegin))
	_, tail, ended := bytes.Cut(rest, []byte(docEnd))
	if !begun || !ended {
		return fmt.Errorf("%s has no part between %q and %q", path, docBegin, docEnd)
	}
	var b bytes.Buffer
	b.Write(head)
	fmt.Fprintf(&b, "%s```\n%s```\n%s", docBegin, text, docEnd)
	b.Write(tail)
	return os.WriteFile(path, b.Bytes(), 0o644)
}
