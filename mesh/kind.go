package mesh

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
)

// None is the argument of a method that takes nothing, or the result of one that
// returns nothing. In JSON it is {}; an empty argument and null are read as it.
type None struct{}

// HostOption names a kind of actor that a node hosts, or that a client calls.
type HostOption struct {
	kind *kind
	err  error
}

// KindOption sets something of a kind.
type KindOption func(*kind) error

// Host makes the struct type T the kind of actors of that name: T's exported
// fields are an actor's durable state, by the rules of encoding/json, and its
// methods are the kind's handlers:
//
//	func (*T) Name(ctx *mesh.Ctx, arg A) (R, error)   // may write
//	func (*T) Name(ctx *mesh.View, arg A) (R, error)  // reads only
//
// A and R are any types that can be stored; mesh.None says that there is none.
// On the wire a method is called by its name with a small first letter ("add",
// "addItem"). Other exported methods are no handlers and are left alone.
//
// A kind's name matches [a-z][a-z0-9_.-]{0,63}. What is wrong with T is an error
// of Start or Dial.
func Host[T any](name string, options ...KindOption) HostOption {
	k, err := newKind(name, reflect.TypeFor[T]())
	for _, option := range options {
		if err != nil {
			break
		}
		err = option(k)
	}
	if err != nil {
		return HostOption{err: fmt.Errorf("mesh: kind %q of %s: %w", name, reflect.TypeFor[T](), err)}
	}
	return HostOption{kind: k}
}

// IdleTimeout is how long an actor of the kind stays in memory without a call.
// If not given, Config.IdleTimeout.
func IdleTimeout(d time.Duration) KindOption {
	return func(k *kind) error {
		if d <= 0 {
			return fmt.Errorf("an idle timeout of %v", d)
		}
		k.idleTimeout = d
		return nil
	}
}

// maxMailbox bounds MailboxSize.
const maxMailbox = 1 << 20

// MailboxSize is how many calls may wait for one actor of the kind before
// further ones get ErrOverloaded: 1 to 1,048,576. If not given, the node's own.
func MailboxSize(calls int) KindOption {
	return func(k *kind) error {
		if calls < 1 || calls > maxMailbox {
			return fmt.Errorf("a mailbox of %d calls, it must be from 1 to %d", calls, maxMailbox)
		}
		k.mailboxSize = calls
		return nil
	}
}

// Alias lets calls by a method's old name reach the method that is now called
// new: callers, and sends that are still on their way, do not change with the
// program. Where a method was renamed more than once, the oldest name is given
// first.
func Alias(old, new string) KindOption {
	return func(k *kind) error {
		m := k.methods[new]
		if m == nil {
			return fmt.Errorf("the alias %q stands for %q, which is no method", old, new)
		}
		if !isName(old, maxMethodBytes) {
			return fmt.Errorf("the alias %q is no name", old)
		}
		if m.hashName == m.name {
			m.hashName = wireName(old)
		}
		return errors.Join(k.accept(wireName(old), m), k.accept(old, m))
	}
}

// OnActivate calls fn when an actor's state has been decoded into a fresh struct:
// when it is activated, and again after a turn that was rolled back. It may fill
// what is not durable. While it returns an error, calls fail with ErrUnavailable.
func OnActivate[T any](fn func(*T, *View) error) KindOption {
	return func(k *kind) error {
		if err := k.hookOf(reflect.TypeFor[T]()); err != nil {
			return err
		}
		k.onActivate = func(instance any, v *View) error { return fn(instance.(*T), v) }
		return nil
	}
}

// OnDeactivate calls fn when an actor leaves its node's memory in good order:
// idle, over the limit of memory, or because the node drains. After a crash, or
// where the node lost the actor, it is not called, so nothing may depend on it.
func OnDeactivate[T any](fn func(*T)) KindOption {
	return func(k *kind) error {
		if err := k.hookOf(reflect.TypeFor[T]()); err != nil {
			return err
		}
		k.onDeactivate = func(instance any) { fn(instance.(*T)) }
		return nil
	}
}

func (k *kind) hookOf(t reflect.Type) error {
	if t != k.typ {
		return fmt.Errorf("a hook that is given for %s", t)
	}
	return nil
}

// kind is a kind of actor: a type, and how to run its methods.
type kind struct {
	name         string
	typ          reflect.Type // the struct
	codec        *codec       // of typ
	methods      map[string]*method
	idleTimeout  time.Duration // 0 for the node's
	mailboxSize  int           // 0 for the node's
	onActivate   func(instance any, v *View) error
	onDeactivate func(instance any)
}

// method is one handler of a kind.
type method struct {
	name     string // on the wire
	hashName string // in hashes of arguments: the oldest name
	readOnly bool
	fn       reflect.Value // func(*T, *Ctx or *View, A) (R, error)
	arg      reflect.Type
	argCodec *codec
	res      reflect.Type
	resCodec *codec
}

func newKind(name string, t reflect.Type) (*kind, error) {
	if !isKind(name) {
		return nil, errors.New("a kind's name matches [a-z][a-z0-9_.-]{0,63}")
	}
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("an actor's type is a struct, not a %s", t.Kind())
	}
	k := &kind{name: name, typ: t, methods: map[string]*method{}}
	var err error
	if k.codec, err = codecOf(t); err != nil {
		return nil, err
	}
	ptr := reflect.PointerTo(t)
	for i := range ptr.NumMethod() {
		m, err := newMethod(ptr.Method(i))
		if err != nil {
			return nil, fmt.Errorf("method %s: %w", ptr.Method(i).Name, err)
		}
		if m == nil {
			continue
		}
		if err := k.accept(m.name, m); err != nil {
			return nil, err
		}
		if err := k.accept(ptr.Method(i).Name, m); err != nil {
			return nil, err
		}
	}
	if len(k.methods) == 0 {
		return nil, errors.New("no method is a handler: func(*mesh.Ctx or *mesh.View, A) (R, error)")
	}
	return k, nil
}

// accept makes m answer to the name.
func (k *kind) accept(name string, m *method) error {
	if other := k.methods[name]; other != nil && other != m {
		return fmt.Errorf("two methods are called %q", name)
	}
	k.methods[name] = m
	return nil
}

// list returns the kind's methods, by name.
func (k *kind) list() []*method {
	return slices.SortedFunc(maps.Values(k.canonical()), func(a, b *method) int { return strings.Compare(a.name, b.name) })
}

func (k *kind) canonical() map[string]*method {
	own := make(map[string]*method, len(k.methods))
	for _, m := range k.methods {
		own[m.name] = m
	}
	return own
}

var (
	ctxType   = reflect.TypeFor[*Ctx]()
	viewType  = reflect.TypeFor[*View]()
	errorType = reflect.TypeFor[error]()
)

// newMethod returns the handler that m is, or nil if it is none. A method that
// takes a Ctx or a View is meant to be one.
func newMethod(m reflect.Method) (*method, error) {
	t := m.Type
	meant := false
	for i := 1; i < t.NumIn(); i++ {
		in := t.In(i)
		meant = meant || in == ctxType || in == viewType || in == ctxType.Elem() || in == viewType.Elem()
	}
	if !meant {
		return nil, nil
	}
	if t.NumIn() != 3 || t.IsVariadic() || t.In(1) != ctxType && t.In(1) != viewType ||
		t.NumOut() != 2 || t.Out(1) != errorType {
		return nil, fmt.Errorf("a handler is func(*mesh.Ctx or *mesh.View, A) (R, error), this is %s", t)
	}
	name := wireName(m.Name)
	if len(name) > maxMethodBytes {
		return nil, fmt.Errorf("its name is longer than %d bytes", maxMethodBytes)
	}
	out := &method{name: name, hashName: name, readOnly: t.In(1) == viewType, fn: m.Func, arg: t.In(2), res: t.Out(0)}
	var err error
	if out.argCodec, err = codecOf(out.arg); err != nil {
		return nil, fmt.Errorf("argument: %w", err)
	}
	if out.resCodec, err = codecOf(out.res); err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	return out, nil
}

// wireName returns a Go method's name as it is on the wire: without the capitals
// that it begins with, apart from the one that begins its second word. Add is
// add, AddItem is addItem, HTTPGet is httpGet, and ID is id.
func wireName(name string) string {
	runes := []rune(name)
	for i, r := range runes {
		if !unicode.IsUpper(r) || i > 0 && i+1 < len(runes) && unicode.IsLower(runes[i+1]) {
			break
		}
		runes[i] = unicode.ToLower(r)
	}
	return string(runes)
}

// kindSet is the kinds of one program, by name and by type.
type kindSet struct {
	byName map[string]*kind
	byType map[reflect.Type][]string
}

func newKindSet(hosts []HostOption) (*kindSet, error) {
	s := &kindSet{byName: map[string]*kind{}, byType: map[reflect.Type][]string{}}
	for _, h := range hosts {
		switch {
		case h.err != nil:
			return nil, h.err
		case h.kind == nil:
			return nil, errors.New("mesh: a HostOption that Host did not make")
		case s.byName[h.kind.name] != nil:
			return nil, fmt.Errorf("mesh: two types are kind %q", h.kind.name)
		}
		s.byName[h.kind.name] = h.kind
		s.byType[h.kind.typ] = append(s.byType[h.kind.typ], h.kind.name)
	}
	return s, nil
}

// kindFor returns the one kind of which t is the type.
func (s *kindSet) kindFor(t reflect.Type) (string, error) {
	switch names := s.byType[t]; len(names) {
	case 0:
		return "", fail(errNoKind, fmt.Sprintf("%s is no kind here: give mesh.Host, or name the kind with mesh.GetKind", t))
	case 1:
		return names[0], nil
	default:
		return "", fail(errBadRequest, fmt.Sprintf("%s is of the kinds %s: name one with mesh.GetKind", t, strings.Join(names, ", ")))
	}
}
