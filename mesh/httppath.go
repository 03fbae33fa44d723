package mesh

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of names on the wire.
const (
	maxKindBytes   = 64
	maxIDBytes     = 255
	maxMethodBytes = 128
	maxKeyOwnBytes = 128 // of an Idempotency-Key
)

// actorPath is what follows /v1/actors/ in a request's path, decoded.
type actorPath struct {
	kind, id, method string // method is empty in the path of an actor
}

// parseActorPath parses "{kind}/{id}" or "{kind}/{id}/{method}", percent-encoded.
// It splits before it decodes, so that an id may hold a slash, and it does not
// clean, so that an id may be "..".
func parseActorPath(escaped string) (actorPath, *Problem) {
	kind, rest, found := strings.Cut(escaped, "/")
	if !found {
		return actorPath{}, notFound("an actor's path is /v1/actors/{kind}/{id}, a method's /v1/actors/{kind}/{id}/{method}")
	}
	id, method, hasMethod := strings.Cut(rest, "/")
	if strings.Contains(method, "/") {
		return actorPath{}, notFound("the path goes on after /v1/actors/{kind}/{id}/{method}; a slash in an id is written %%2F")
	}
	p := actorPath{}
	var problem *Problem
	if p.kind, problem = unescapeSegment("kind", kind); problem != nil {
		return actorPath{}, problem
	}
	if p.id, problem = unescapeSegment("id", id); problem != nil {
		return actorPath{}, problem
	}
	if p.method, problem = unescapeSegment("method", method); problem != nil {
		return actorPath{}, problem
	}
	switch {
	case !isKind(p.kind):
		return actorPath{}, badRequest("kind %q: a kind is 1 to %d of a-z, 0-9, '_', '.' and '-', and begins with a letter",
			clip(p.kind), maxKindBytes)
	case !isName(p.id, maxIDBytes):
		return actorPath{}, badRequest("id %q: an id is 1 to %d bytes of UTF-8 without control characters", clip(p.id), maxIDBytes)
	case hasMethod && !isName(p.method, maxMethodBytes):
		return actorPath{}, badRequest("method %q: a method is 1 to %d bytes of UTF-8 without control characters",
			clip(p.method), maxMethodBytes)
	}
	return p, nil
}

func unescapeSegment(what, segment string) (string, *Problem) {
	s, err := url.PathUnescape(segment)
	if err != nil {
		return "", badRequest("%s: %v", what, err)
	}
	return s, nil
}

// isKind reports whether s matches [a-z][a-z0-9_.-]{0,63}.
func isKind(s string) bool {
	if s == "" || len(s) > maxKindBytes || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		default:
			return false
		}
	}
	return true
}

// isName reports whether s is 1 to most bytes of UTF-8 without control
// characters.
func isName(s string, most int) bool {
	if s == "" || len(s) > most || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}

// clip shortens what a client sent for an error's text.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
