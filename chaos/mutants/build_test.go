package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestNoMutantInTheProgram builds the program as it is shipped, and looks for the
// mutants' names in it: there is none. In a build with the tag are all of its own.
func TestNoMutantInTheProgram(t *testing.T) {
	mutants, err := readMutants(root)
	if err != nil {
		t.Fatal(err)
	}
	shipped, planted := buildProgram(t, ""), buildProgram(t, "mutant")
	if bytes.Contains(shipped, []byte("MESH_MUTANT")) || !bytes.Contains(planted, []byte("MESH_MUTANT")) {
		t.Error("a program reads MESH_MUTANT if, and only if, it has the tag")
	}
	for _, m := range mutants {
		if bytes.Contains(shipped, []byte(m.Name)) {
			t.Errorf("%s is in the program", m.Name)
		}
		if !bytes.Contains(planted, []byte(m.Name)) {
			t.Errorf("%s is not in the program with the tag: this test looks for nothing", m.Name)
		}
	}
}

func buildProgram(t *testing.T, tags string) []byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), "meshnode")
	cmd := exec.Command("go", "build", "-tags", tags, "-o", name, "./cmd/meshnode")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return program
}
