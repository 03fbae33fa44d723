package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Output says where else than to a terminal a report goes. What is empty is not
// written.
type Output struct {
	JSON      string // a file: the whole report
	Benchstat string // a file: see WriteBenchstat
	Plots     string // a directory: see WritePlots
	Doc       string // a file of Markdown: see Update
	Part      string // of Doc, for a Report; that of a Study has its name
}

// Save writes the report to all of them. The text is what Doc is to show.
func (r *Report) Save(o Output, text string) error {
	err := o.save(r, r.WriteBenchstat, o.Part, text)
	if o.Plots != "" {
		_, drawn := r.WritePlots(o.Plots)
		err = errors.Join(err, drawn)
	}
	return err
}

func (o *Output) save(findings any, benchstat func(io.Writer) error, part, text string) error {
	var errs []error
	if o.JSON != "" {
		errs = append(errs, writeFile(o.JSON, func(w io.Writer) error {
			out := json.NewEncoder(w)
			out.SetIndent("", "\t")
			return out.Encode(findings)
		}))
	}
	if o.Benchstat != "" {
		errs = append(errs, writeFile(o.Benchstat, benchstat))
	}
	if o.Doc != "" {
		errs = append(errs, Update(o.Doc, part, text))
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

// The comments around a part of a page that a command writes.
const (
	docBegin = "<!-- %s, written by a command: begin -->\n"
	docEnd   = "<!-- %s, written by a command: end -->\n"
)

// Update puts text, but for the spaces at the ends of lines, into the part of a
// Markdown file that stands between two comments with the part's name.
func Update(path, part, text string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	begin, end := fmt.Sprintf(docBegin, part), fmt.Sprintf(docEnd, part)
	head, rest, begun := bytes.Cut(page, []byte(begin))
	_, tail, ended := bytes.Cut(rest, []byte(end))
	if !begun || !ended {
		return fmt.Errorf("%s has no part between %q and %q", path, begin, end)
	}
	var b bytes.Buffer
	b.Write(head)
	fmt.Fprintf(&b, "%s```\n", begin)
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	fmt.Fprintf(&b, "```\n%s", end)
	b.Write(tail)
	return os.WriteFile(path, b.Bytes(), 0o644)
}
