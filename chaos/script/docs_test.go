package script

import (
	"os"
	"strings"
	"testing"
)

// The reference has every word of the language, and its examples are scripts.
func TestReference(t *testing.T) {
	text, err := os.ReadFile("../../docs/chaos.md")
	if err != nil {
		t.Fatal(err)
	}
	reference := string(text)
	var words []string
	for _, v := range verbs {
		words = append(words, "`"+string(v.verb)+" ")
	}
	words = append(words, "`heal`", "`calm`")
	for _, m := range Modes() {
		words = append(words, " "+string(m))
	}
	for _, s := range Steps() {
		words = append(words, "`"+string(s)+"`")
	}
	for _, c := range CheckNames() {
		words = append(words, "`"+c+"`")
	}
	for _, target := range targetWords {
		words = append(words, "`"+target.word)
	}
	for _, k := range Kinds() {
		words = append(words, "| `"+string(k)+"` |")
		for _, m := range kindMethods[k] {
			words = append(words, "`"+m.name)
		}
	}
	for _, word := range words {
		if word == "`heal " || word == "`calm " {
			continue // they have nothing behind them
		}
		if !strings.Contains(reference, word) {
			t.Errorf("docs/chaos.md lacks %q", word)
		}
	}
	var example strings.Builder
	for line := range strings.Lines(reference) {
		blank := strings.TrimSpace(line) == ""
		code, ok := strings.CutPrefix(line, "    ")
		if example.Len() > 0 && !ok && !blank {
			break
		}
		if ok || blank && example.Len() > 0 {
			example.WriteString(code)
		}
	}
	s := mustParse(t, example.String())
	if len(s.Faults) != 2 || len(s.Random) != 1 || len(s.Workloads) != 2 || len(s.Checks) != 3 {
		t.Errorf("the example is read as %+v", s)
	}
}
