package mesh

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzActorPath checks the parser against what the API says, said otherwise:
// each part is what splitting and decoding give, and legal, or there is a
// problem.
func FuzzActorPath(f *testing.F) {
	for _, s := range []string{
		"counter/visits/add", "kv/a%2Fb/get", "kv/../get", "kv/%", "kv/%zz/get", "kv//get", "kv/a/", "kv", "", "/", "//",
		"///", "kv/a/b/c", "kv/%00/get", "kv/%ff/get", "Kv/a/get", "kv/\x00/get", "k/" + strings.Repeat("x", 256),
	} {
		f.Add(s)
	}
	kind := regexp.MustCompile(`^[a-z][a-z0-9_.-]{0,63}$`)
	legal := func(s string, most int) bool {
		return s != "" && len(s) <= most && utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		p, problem := parseActorPath(escaped)
		parts := strings.Split(escaped, "/")
		want := len(parts) == 2 || len(parts) == 3
		for i, part := range parts {
			s, err := url.PathUnescape(part)
			want = want && err == nil
			parts[i] = s
		}
		want = want && kind.MatchString(parts[0]) && legal(parts[1], 255) && (len(parts) == 2 || legal(parts[2], 128))
		if want != (problem == nil) {
			t.Fatalf("%q: %+v, %v; legal is %v", escaped, p, problem, want)
		}
		if problem != nil {
			if problem.Status != 400 && problem.Status != 404 || !utf8.ValidString(problem.Detail) {
				t.Fatalf("%q: %+v", escaped, problem)
			}
			return
		}
		parts = append(parts, "")
		if p.kind != parts[0] || p.id != parts[1] || p.method != parts[2] {
			t.Fatalf("%q: %+v, want %q", escaped, p, parts)
		}
	})
}
