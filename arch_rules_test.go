package actormesh_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// The limits of docs/DESIGN.md's shape: one concept a file.
const (
	maxFileLines     = 800
	maxFunctionLines = 70
	// A function may be longer where it is one flat dispatch: outside of its
	// longest switch it is short, and so is each case.
	maxOutsideLines = 25
	maxCaseLines    = 12
)

const module = "actormesh"

// mayImport says which packages of this module a package may import, by the
// longest prefix of its path. Arrows go down only.
var mayImport = map[string][]string{
	"":              {},
	"quorum":        {"quorum/mutant"},
	"quorum/mutant": {}, // nothing is left of it in a normal build
	"ring":          {"quorum/mutant"},
	"mesh/core":     {"quorum", "quorum/mutant", "ring"},
	"local":         {"local/engine", "quorum", "quorum/mutant", "ring"},
	"local/engine":  {},
	"transport":     {"quorum", "quorum/mutant", "ring"},
	"mesh":          {"mesh/core", "local", "transport", "quorum", "quorum/mutant", "ring"},
	"mesh/kinds":    {"mesh"},
	"bench":         {"mesh", "mesh/kinds", "bench", "chaos"},
	"chaos":         {"mesh", "mesh/kinds", "mesh/core", "local", "local/engine", "transport", "quorum", "ring", "chaos"},
	"cmd/meshnode":  {"mesh", "mesh/kinds", "bench", "chaos", "cmd/meshnode"},
	"examples":      {"mesh", "chaos/cluster", "examples"},
}

// pure lists the packages that have no goroutine, clock, I/O or randomness of
// their own. They may import these other modules only.
var (
	pure        = []string{"quorum", "ring", "mesh/core"}
	pureModules = []string{"github.com/cespare/xxhash/v2", "github.com/google/btree"}
)

// impureImports are the packages of the standard library, each with those under
// it, that a pure package may not import.
var impureImports = []string{
	"context", "crypto/rand", "database", "embed", "io/fs", "io/ioutil", "log", "net",
	"os", "plugin", "runtime", "sync", "syscall", "testing", "unsafe",
}

// impureTime are the names of package time that read a clock or start a timer.
var impureTime = []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}

// pureRand are the names of math/rand/v2 that do not use its global source.
var pureRand = []string{"ChaCha8", "New", "NewChaCha8", "NewPCG", "NewZipf", "PCG", "Rand", "Source", "Zipf"}

// source is one Go file, and the directory that it is in, relative to the root
// and with slashes.
type source struct {
	dir, name, text string
}

func (s source) isTest() bool { return strings.HasSuffix(s.name, "_test.go") }

// checkSources returns what is wrong with the files, one finding a line.
func checkSources(files []source) []string {
	var found []string
	documented := map[string]bool{}
	for _, s := range files {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path.Join(s.dir, s.name), s.text, parser.ParseComments)
		if err != nil {
			found = append(found, err.Error())
			continue
		}
		c := checker{fset: fset, dir: s.dir}
		c.length(file)
		if s.isTest() {
			c.leakCheck(file)
		} else {
			documented[s.dir] = documented[s.dir] || file.Doc.Text() != ""
			c.imports(file)
			c.functions(file)
			if slices.Contains(pure, s.dir) {
				c.purity(file)
			}
		}
		found = append(found, c.found...)
	}
	for dir, ok := range documented {
		if !ok {
			found = append(found, fmt.Sprintf("%s: the package has no doc comment", dir))
		}
	}
	slices.Sort(found)
	return found
}

type checker struct {
	fset  *token.FileSet
	dir   string
	found []string
}

func (c *checker) report(at token.Pos, format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf("%s: %s", c.fset.Position(at), fmt.Sprintf(format, args...)))
}

func (c *checker) lines(n ast.Node) int {
	return c.fset.Position(n.End()).Line - c.fset.Position(n.Pos()).Line + 1
}

func (c *checker) length(file *ast.File) {
	if n := c.fset.File(file.Pos()).LineCount(); n > maxFileLines {
		c.report(file.Pos(), "%d lines, %d at most", n, maxFileLines)
	}
}

// imports checks the arrows between packages.
func (c *checker) imports(file *ast.File) {
	allowed := mayImport[layer(c.dir)]
	for _, spec := range file.Imports {
		name, _ := strconv.Unquote(spec.Path.Value)
		inside, ok := strings.CutPrefix(name, module+"/")
		if name == module {
			c.report(spec.Pos(), "imports the root package")
		}
		if ok && !slices.Contains(allowed, inside) && !slices.Contains(allowed, layer(inside)) {
			c.report(spec.Pos(), "%s may not import %s", c.dir, inside)
		}
	}
}

// layer returns the longest key of mayImport that dir is or is under.
func layer(dir string) string {
	for dir != "." && dir != "" {
		if _, ok := mayImport[dir]; ok {
			return dir
		}
		dir = path.Dir(dir)
	}
	return ""
}

func (c *checker) purity(file *ast.File) {
	for _, spec := range file.Imports {
		name, _ := strconv.Unquote(spec.Path.Value)
		switch {
		case name == "net/netip", name == "math/rand/v2", strings.HasPrefix(name, module+"/"):
		case name == "math/rand", slices.ContainsFunc(impureImports, func(p string) bool { return under(name, p) }):
			c.report(spec.Pos(), "a pure package imports %s", name)
		case strings.Contains(name, ".") && !slices.Contains(pureModules, name):
			c.report(spec.Pos(), "a pure package imports %s", name)
		}
		if spec.Name != nil && (spec.Name.Name == "." || name == "time" || name == "math/rand/v2") {
			c.report(spec.Pos(), "a pure package renames %s", name)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			c.report(n.Pos(), "a pure package starts a goroutine")
		case *ast.SelectStmt:
			c.report(n.Pos(), "a pure package selects")
		case *ast.ChanType:
			c.report(n.Pos(), "a pure package has a channel")
		case *ast.SendStmt:
			c.report(n.Pos(), "a pure package sends on a channel")
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				c.report(n.Pos(), "a pure package receives from a channel")
			}
		case *ast.SelectorExpr:
			c.selector(n)
		}
		return true
	})
}

func under(name, prefix string) bool {
	return name == prefix || strings.HasPrefix(name, prefix+"/")
}

func (c *checker) selector(n *ast.SelectorExpr) {
	from, ok := n.X.(*ast.Ident)
	switch {
	case !ok:
	case from.Name == "time" && slices.Contains(impureTime, n.Sel.Name):
		c.report(n.Pos(), "a pure package uses time.%s", n.Sel.Name)
	case from.Name == "rand" && !slices.Contains(pureRand, n.Sel.Name):
		c.report(n.Pos(), "a pure package uses the global source: rand.%s", n.Sel.Name)
	}
}

// functions checks the length of each function, literals included in the one
// that they stand in.
func (c *checker) functions(file *ast.File) {
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		if n := c.lines(f); n > maxFunctionLines && !c.flatDispatch(f) {
			c.report(f.Pos(), "%s has %d lines, %d at most", f.Name.Name, n, maxFunctionLines)
		}
	}
}

// flatDispatch reports whether f is little more than one switch of short cases.
func (c *checker) flatDispatch(f *ast.FuncDecl) bool {
	var longest ast.Stmt
	var cases []ast.Stmt
	consider := func(s ast.Stmt, body *ast.BlockStmt) {
		if longest == nil || c.lines(s) > c.lines(longest) {
			longest, cases = s, body.List
		}
	}
	for _, s := range f.Body.List {
		switch s := s.(type) {
		case *ast.SwitchStmt:
			consider(s, s.Body)
		case *ast.TypeSwitchStmt:
			consider(s, s.Body)
		}
	}
	if longest == nil || c.lines(f)-c.lines(longest) > maxOutsideLines {
		return false
	}
	return !slices.ContainsFunc(cases, func(s ast.Stmt) bool { return c.lines(s) > maxCaseLines })
}

// leakCheck asks that whoever writes a TestMain looks for leaked goroutines.
func (c *checker) leakCheck(file *ast.File) {
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Name.Name != "TestMain" {
			continue
		}
		looks := false
		ast.Inspect(f, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			looks = looks || ok && id.Name == "goleak"
			return true
		})
		if !looks {
			c.report(f.Pos(), "TestMain does not use goleak")
		}
	}
}
