// Package scripts holds the project's chaos scripts. Each begins with a comment
// that says what it does to a mesh, and what the mesh has to do about it.
package scripts

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed *.chaos
var files embed.FS

const ending = ".chaos"

// Names returns the names of all scripts, in order.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // the directory is part of the program
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ending)
	}
	return names
}

// Text returns the script of that name.
func Text(name string) (string, error) {
	text, err := files.ReadFile(name + ending)
	if err != nil {
		return "", fmt.Errorf("there is no script %q; there are %s", name, strings.Join(Names(), ", "))
	}
	return string(text), nil
}
