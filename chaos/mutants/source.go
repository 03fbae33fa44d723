package main

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// planted is one mutant, as the source has it: this program is built without any,
// and so reads what they are.
type planted struct {
	Const   string // of package mutant
	Name    string
	Hazards []string
	Breaks  string
	Where   []string // files that ask for it, with slashes, ascending
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("where the module is: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// readMutants returns the mutants in the order of their declaration. Each has a
// name of its own, an entry in the registry, and a place in the code.
func readMutants(root string) ([]planted, error) {
	list, err := readNames(filepath.Join(root, "quorum/mutant/names.go"))
	if err != nil {
		return nil, err
	}
	registered, err := readRegistry(filepath.Join(root, "quorum/mutant/registry.go"))
	if err != nil {
		return nil, err
	}
	places, err := readPlaces(root)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for i := range list {
		m := &list[i]
		entry, ok := registered[m.Const]
		switch {
		case !ok || len(entry) != 2 || entry[0] == "" || entry[1] == "":
			return nil, fmt.Errorf("the registry does not say of %s which hazards it is for and what it breaks", m.Const)
		case seen[m.Name]:
			return nil, fmt.Errorf("two mutants are named %s", m.Name)
		case len(places[m.Const]) == 0:
			return nil, fmt.Errorf("no code asks for %s", m.Const)
		}
		seen[m.Name] = true
		m.Hazards, m.Breaks, m.Where = strings.Fields(entry[0]), entry[1], places[m.Const]
		delete(registered, m.Const)
		delete(places, m.Const)
	}
	for name := range registered {
		return nil, fmt.Errorf("the registry has %s, which is not declared", name)
	}
	for name, files := range places {
		return nil, fmt.Errorf("%s asks for %s, which is not declared", files[0], name)
	}
	return list, nil
}

// readNames returns the constants of type Name.
func readNames(file string) ([]planted, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		return nil, err
	}
	var list []planted
	ast.Inspect(f, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			list = append(list, planted{Const: spec.Names[0].Name, Name: text(spec.Values[0])})
		}
		return true
	})
	return list, nil
}

// readRegistry returns the texts of each entry of the map in registry.go.
func readRegistry(file string) (map[string][]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		return nil, err
	}
	entries := map[string][]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		pair, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		key, _ := pair.Key.(*ast.Ident)
		value, _ := pair.Value.(*ast.CompositeLit)
		if key != nil && value != nil {
			texts := []string{}
			for _, e := range value.Elts {
				texts = append(texts, text(e))
			}
			entries[key.Name] = texts
		}
		return false
	})
	return entries, nil
}

func text(e ast.Expr) string {
	literal, _ := e.(*ast.BasicLit)
	if literal == nil {
		return ""
	}
	s, _ := strconv.Unquote(literal.Value)
	return s
}

// readPlaces returns the files that ask for each mutant, by its constant.
func readPlaces(root string) (map[string][]string, error) {
	places := map[string][]string{}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if c := askedFor(n); c != "" && !slices.Contains(places[c], name) {
				places[c] = append(places[c], name)
			}
			return true
		})
		return nil
	})
	return places, err
}

// askedFor returns X for the call mutant.On(mutant.X), or On(X).
func askedFor(n ast.Node) string {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) != 1 || member(call.Fun) != "On" {
		return ""
	}
	return member(call.Args[0])
}

// member returns X for the expression mutant.X, or X.
func member(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		if of, ok := e.X.(*ast.Ident); ok && of.Name == "mutant" {
			return e.Sel.Name
		}
	}
	return ""
}
