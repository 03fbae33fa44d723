package script

import (
	"slices"
	"strings"
)

// Kind is a kind of actor that a workload calls.
type Kind string

// The kinds. Package workload has the actors.
const (
	Counter  Kind = "counter"
	Register Kind = "register"
	List     Kind = "list"
	Account  Kind = "account"
	Lock     Kind = "lock"
)

// method is one method of a kind: how often it is called, and with what.
type method struct {
	name   string
	reads  bool
	weight int      // among those that read, or those that write
	args   []string // the words of what a call gives it
}

// The words of methods' arguments.
const (
	argNumber  = "number"  // 1 to 9
	argValue   = "value"   // unlike any other of the plan
	argAccount = "account" // the id of another account
	argTime    = "time"    // a duration
)

var kindMethods = map[Kind][]method{
	Counter:  {{"add", false, 1, []string{argNumber}}, {"get", true, 1, nil}},
	Register: {{"write", false, 1, []string{argValue}}, {"cas", false, 2, []string{argValue}}, {"read", true, 1, nil}},
	List:     {{"append", false, 1, []string{argValue}}, {"read", true, 1, nil}},
	Account: {
		{"transfer", false, 3, []string{argAccount, argNumber}},
		{"pay", false, 2, []string{argAccount, argNumber}},
		{"balance", true, 1, nil},
	},
	Lock: {
		{"acquire", false, 3, []string{argTime}}, {"renew", false, 1, []string{argTime}},
		{"release", false, 2, nil}, {"holder", true, 1, nil},
	},
}

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{Counter, Register, List, Account, Lock} }

// ReadOnly reports whether the call only reads.
func (c *Call) ReadOnly() bool {
	m, ok := c.Actor.Kind.method(c.Method)
	return ok && m.reads
}

func (k Kind) method(name string) (method, bool) {
	methods := kindMethods[k]
	i := slices.IndexFunc(methods, func(m method) bool { return m.name == name })
	if i < 0 {
		return method{}, false
	}
	return methods[i], true
}

// maxActorIDBytes bounds the id of an actor in a script.
const maxActorIDBytes = 32

// parseActor reads "kind/id".
func parseActor(word string) (Actor, bool) {
	kind, id, ok := strings.Cut(word, "/")
	_, known := kindMethods[Kind(kind)]
	return Actor{Kind(kind), id}, ok && known && isWord(id, maxActorIDBytes)
}

// isWord reports whether s is 1 to limit letters, digits and the signs -_. that
// have no meaning of their own in the language.
func isWord(s string, limit int) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return s != "" && len(s) <= limit
}
