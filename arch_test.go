package actormesh_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestArchitecture holds every file of the repository to the rules: pure
// packages are pure, arrows between packages go down only, files and functions
// are short, packages are documented.
func TestArchitecture(t *testing.T) {
	files := readSources(t, ".")
	for _, dir := range pure {
		if !slices.ContainsFunc(files, func(s source) bool { return s.dir == dir }) {
			t.Errorf("no file in %s: the rules do not look where the code is", dir)
		}
	}
	for _, finding := range checkSources(files) {
		t.Error(finding)
	}
}

func readSources(t *testing.T, root string) []source {
	t.Helper()
	var files []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin") {
			return fs.SkipDir
		}
		if d.IsDir() || path.Ext(name) != ".go" {
			return nil
		}
		text, err := os.ReadFile(name)
		files = append(files, source{filepath.ToSlash(filepath.Dir(name)), d.Name(), string(text)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestArchitectureRules plants one violation of each rule and asks for it to be
// found, and nothing else.
func TestArchitectureRules(t *testing.T) {
	long := func(n int) string { return strings.Repeat("\tprintln()\n", n) }
	dispatch := func(lines int) string {
		return "\tswitch n {\n" + strings.Repeat("\tcase 1:\n"+long(lines), 60/lines) + "\t}\n"
	}
	for _, test := range []struct {
		name, file, body string // body follows the package clause
		want             string // part of the one finding; empty for none
	}{
		{"clean", "quorum/a.go", "import \"time\"\nfunc f(d time.Duration) { d.String() }", ""},
		{"go", "quorum/a.go", "func f() { go f() }", "starts a goroutine"},
		{"chan", "ring/a.go", "type t chan int", "has a channel"},
		{"make chan", "mesh/core/a.go", "func f() { _ = make(chan int) }", "has a channel"},
		{"select", "mesh/core/a.go", "func f() { select {} }", "selects"},
		{"send", "ring/a.go", "func f(c t) { c <- 1 }", "sends on a channel"},
		{"receive", "ring/a.go", "func f(c t) { <-c }", "receives from a channel"},
		{"sync", "quorum/a.go", "import _ \"sync/atomic\"", "imports sync/atomic"},
		{"context", "quorum/a.go", "import _ \"context\"", "imports context"},
		{"os", "quorum/a.go", "import _ \"os/exec\"", "imports os/exec"},
		{"net", "quorum/a.go", "import _ \"net\"", "imports net"},
		{"netip", "quorum/a.go", "import _ \"net/netip\"", ""},
		{"log", "quorum/a.go", "import _ \"log/slog\"", "imports log/slog"},
		{"clock", "quorum/a.go", "import \"time\"\nvar t = time.Now()", "uses time.Now"},
		{"clock as a value", "quorum/a.go", "import \"time\"\nvar now = time.Now", "uses time.Now"},
		{"clock by another name", "quorum/a.go", "import clock \"time\"\nvar t = clock.Now()", "renames time"},
		{"timer", "ring/a.go", "import \"time\"\nfunc f() { time.Sleep(1) }", "uses time.Sleep"},
		{"old random", "quorum/a.go", "import \"math/rand\"\nvar r = rand.New(nil)", "imports math/rand"},
		{"global random", "quorum/a.go", "import \"math/rand/v2\"\nvar r = rand.IntN(3)", "global source: rand.IntN"},
		{"seeded random", "quorum/a.go", "import \"math/rand/v2\"\nvar r = rand.New(rand.NewPCG(1, 2))", ""},
		{"foreign module", "ring/a.go", "import _ \"github.com/cockroachdb/pebble/v2\"", "imports github.com"},
		{"hash", "ring/a.go", "import _ \"github.com/cespare/xxhash/v2\"", ""},
		{"up", "quorum/a.go", "import _ \"actormesh/mesh\"", "quorum may not import mesh"},
		{"sideways", "local/a.go", "import _ \"actormesh/transport\"", "local may not import transport"},
		{"past a layer", "cmd/meshnode/a.go", "import _ \"actormesh/quorum\"", "cmd/meshnode may not import quorum"},
		{"a new package", "helpers/a.go", "import _ \"actormesh/mesh\"", "helpers may not import mesh"},
		{"the shell's core", "mesh/a.go", "import _ \"actormesh/mesh/core\"", ""},
		{"the root", "mesh/a.go", "import _ \"actormesh\"", "imports the root"},
		{"impure where it may be", "mesh/a.go", "import _ \"os\"\nfunc f() { go f() }", ""},
		{"impure test of a pure package", "quorum/a_test.go", "import _ \"os\"\nfunc f() { go f() }", ""},
		{"long file", "mesh/a.go", strings.Repeat("\n", maxFileLines), "800 at most"},
		{"long function", "mesh/a.go", "func f() {\n" + long(maxFunctionLines) + "}", "f has 72 lines"},
		{"flat dispatch", "mesh/a.go", "func f() {\n" + long(20) + dispatch(3) + "}", ""},
		{"dispatch that is not flat", "mesh/a.go", "func f() {\n" + long(20) + dispatch(20) + "}", "f has"},
		{"dispatch in something long", "mesh/a.go", "func f() {\n" + long(30) + dispatch(3) + "}", "f has"},
		{"TestMain", "mesh/a_test.go", "func TestMain(m *testing.M) { m.Run() }", "does not use goleak"},
		{"TestMain that looks", "mesh/a_test.go", "func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }", ""},
		{"syntax", "mesh/a.go", "func", "expected"},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := "// Package p is a sample.\npackage p\n" + test.body
			found := checkSources([]source{{path.Dir(test.file), path.Base(test.file), text}})
			switch {
			case test.want == "" && len(found) > 0:
				t.Errorf("found %q, want nothing", found)
			case test.want != "" && (len(found) != 1 || !strings.Contains(found[0], test.want)):
				t.Errorf("found %q, want one with %q", found, test.want)
			}
		})
	}
	undocumented := checkSources([]source{{"mesh", "a.go", "package mesh"}, {"mesh", "b.go", "package mesh"}})
	if len(undocumented) != 1 || !strings.Contains(undocumented[0], "no doc comment") {
		t.Errorf("found %q, want one missing doc comment", undocumented)
	}
}
