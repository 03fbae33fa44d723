package mesh_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"actormesh/mesh"
	"actormesh/mesh/kinds"
)

// The built-in kinds, as HTTP calls them. A step is "method body → answer", and an
// answer that ends in "…" is only its beginning.
func TestBuiltinKinds(t *testing.T) {
	for name, script := range map[string]string{
		"counter": `
			get → {"value":0}
			add {"n":5} → {"value":5}
			add {"n":-7} → {"value":-2}
			add → {"value":-2}
			get {} → {"value":-2}
			get null → {"value":-2}
			add {"n":-9223372036854775807} → error overflow: …
			add {"n":9223372036854775807} → {"value":9223372036854775805}
			add {"n":3} → error overflow: …
			add {"n":1.5} → error bad request: argument: …
			add {"m":1} → error bad request: argument: json: unknown field "m"
			add {"n":1}{} → error bad request: argument: json: more follows the value
			add {"n" → error bad request: argument: …
			get {"n":1} → error bad request: argument: …
			sub {"n":1} → error no such method: sub
			get → {"value":9223372036854775805}`,
		"kv": `
			get {"key":"a"} → error not_found: no key "a"
			put {"key":"a","value":"1"} → {"version":1}
			put {"key":"a","value":"2"} → {"version":2}
			get {"key":"a"} → {"value":"2","version":2}
			put {"key":"b","value": {"x" : [1, 2.50, "<&>"]}} → {"version":3}
			get {"key":"b"} → {"value":{"x":[1,2.50,"<&>"]},"version":3}
			put {"key":"n","value":null} → {"version":4}
			get {"key":"n"} → {"value":null,"version":4}
			cas {"key":"a","value":3,"version":1} → error version_mismatch: key "a" has version 2, not 1
			cas {"key":"a","value":3,"version":2} → {"version":5}
			cas {"key":"a","value":3} → error version_mismatch: …
			cas {"key":"c","value":3,"version":1} → error version_mismatch: key "c" has version 0, not 1
			cas {"key":"c","value":3,"version":0} → {"version":6}
			delete {"key":"c"} → {"deleted":true}
			delete {"key":"c"} → {"deleted":false}
			get {"key":"c"} → error not_found: …
			cas {"key":"c","value":4,"version":6} → error version_mismatch: …
			put {"key":"c","value":4} → {"version":7}
			list → {"items":[{"key":"a","value":3,"version":5},{"key":"b","value":{"x":[1,2.50,"<&>"]},"version":3},{"key":"c","value":4,"version":7},{"key":"n","value":null,"version":4}],"next":""}
			list {"limit":2,"prefix":""} → {"items":[{"key":"a","value":3,"version":5},{"key":"b","value":{"x":[1,2.50,"<&>"]},"version":3}],"next":"b"}
			list {"limit":2,"after":"b"} → {"items":[{"key":"c","value":4,"version":7},{"key":"n","value":null,"version":4}],"next":""}
			list {"prefix":"c"} → {"items":[{"key":"c","value":4,"version":7}],"next":""}
			list {"after":"n"} → {"items":[],"next":""}
			list {"limit":-1} → error invalid_argument: …
			list {"limit":1001} → error invalid_argument: …
			put {"value":1} → error invalid_argument: a key is …
			get → error invalid_argument: a key is …
			delete → error invalid_argument: a key is …
			cas → error invalid_argument: a key is …
			put {"key":"d"} → error invalid_argument: the value is missing
			put {"key":"d","value":} → error bad request: …`,
		"account": `
			balance → {"balance":0}
			deposit {"amount":100} → {"balance":100}
			withdraw {"amount":30} → {"balance":70}
			withdraw {"amount":71} → error insufficient_funds: the balance is 70, not 71
			deposit {"amount":0} → error invalid_argument: …
			deposit {"amount":-1} → error invalid_argument: …
			withdraw {"amount":-1} → error invalid_argument: …
			withdraw → error invalid_argument: …
			transfer {"to":"x","amount":-1} → error invalid_argument: …
			transfer {"to":"","amount":1} → error invalid_argument: …
			transfer {"to":"a\u0000b","amount":1} → error invalid_argument: …
			transfer {"to":"x","amount":71} → error insufficient_funds: …
			transfer {"to":"account","amount":71} → error insufficient_funds: …
			transfer {"to":"account","amount":70} → {"balance":70}
			transfer {"to":"x","amount":20} → {"balance":50}
			credit {"from":"","amount":1} → error invalid_argument: …
			credit {"from":"x","amount":0} → error invalid_argument: …
			deposit {"amount":9007199254740942} → error overflow: …
			deposit {"amount":9007199254740941} → {"balance":9007199254740991}`,
		"lock": `
			acquire {"holder":"a","ttl":"10s"} → {"token":1}
			acquire {"holder":"b","ttl":"10s"} → error held: "a" holds the lock until 2023-11-14T22:13:30Z
			acquire {"holder":"a","ttl":"10s"} → error held: …
			+9s
			renew {"holder":"a","token":1,"ttl":"10s"} → {"token":1}
			renew {"holder":"b","token":1,"ttl":"10s"} → error not_held: …
			renew {"holder":"a","token":2,"ttl":"10s"} → error not_held: …
			+9s
			acquire {"holder":"b","ttl":"10s"} → error held: …
			release {"holder":"b","token":1} → {"released":false}
			+1s
			renew {"holder":"a","token":1,"ttl":"10s"} → error not_held: …
			release {"holder":"a","token":1} → {"released":false}
			acquire {"holder":"b","ttl":"1h30m"} → {"token":2}
			release {"holder":"b","token":2} → {"released":true}
			release {"holder":"b","token":2} → {"released":false}
			acquire {"holder":"a","ttl":"10s"} → {"token":3}
			acquire {"holder":"","ttl":"10s"} → error invalid_argument: …
			acquire {"holder":"c","ttl":"0s"} → error invalid_argument: …
			acquire {"holder":"c","ttl":"-1s"} → error invalid_argument: …
			acquire {"holder":"c","ttl":"25h"} → error invalid_argument: …
			acquire {"holder":"c"} → error invalid_argument: …
			renew {"holder":"a","token":3} → error invalid_argument: …
			acquire {"holder":"c","ttl":10} → error bad request: …
			acquire {"holder":"c","ttl":"soon"} → error bad request: …`,
	} {
		for _, restarts := range []bool{false, true} { // also when each call is on a fresh activation
			m := mesh.NewFakeMesh(t, kinds.All()...)
			for line := range strings.Lines(script) {
				line = strings.TrimSpace(line)
				if d, ok := strings.CutPrefix(line, "+"); ok {
					pause, err := time.ParseDuration(d)
					if err != nil {
						t.Fatal(err)
					}
					m.Advance(pause)
					continue
				}
				step, want, found := strings.Cut(line, " → ")
				if !found {
					continue
				}
				method, body, _ := strings.Cut(step, " ")
				got := m.JSON(name, name, method, body)
				beginning, cut := strings.CutSuffix(want, "…")
				if got != want && !(cut && strings.HasPrefix(got, beginning)) {
					t.Errorf("%s %s\ngot  %s\nwant %s", name, step, got, want)
				}
				if restarts {
					m.Restart()
				}
			}
		}
	}
}

// Money is neither made nor lost, whatever the order of transfers and deliveries.
func TestBuiltinAccountsKeepMoney(t *testing.T) {
	m := mesh.NewFakeMesh(t, kinds.All()...)
	rng := rand.New(rand.NewPCG(3, 4))
	const accounts, each = 5, 100
	balance := func(i int) (b int64) {
		var v kinds.AccountBalance
		if err := json.Unmarshal([]byte(m.JSON("account", fmt.Sprint(i), "balance", "")), &v); err != nil {
			t.Fatal(err)
		}
		return v.Balance
	}
	for i := range accounts {
		m.JSON("account", fmt.Sprint(i), "deposit", fmt.Sprintf(`{"amount":%d}`, each))
	}
	done := 0
	for range 2000 {
		from, to := rng.IntN(accounts), rng.IntN(accounts)
		answer := m.JSON("account", fmt.Sprint(from), "transfer", fmt.Sprintf(`{"to":"%d","amount":%d}`, to, rng.IntN(80)))
		if strings.HasPrefix(answer, "{") {
			done++
		}
		switch rng.IntN(10) {
		case 0:
			m.Restart()
		case 1, 2:
			m.Deliver()
		}
	}
	m.Deliver()
	sum := int64(0)
	for i := range accounts {
		b := balance(i)
		if b < 0 {
			t.Errorf("account %d has %d", i, b)
		}
		sum += b
	}
	if sum != accounts*each || done < 100 {
		t.Errorf("%d in all after %d transfers, want %d", sum, done, accounts*each)
	}
}

// A credit for which there is no room goes back to where it is from.
func TestBuiltinAccountCreditGoesBack(t *testing.T) {
	m := mesh.NewFakeMesh(t, kinds.All()...)
	m.JSON("account", "full", "credit", `{"from":"a","amount":9223372036854775807}`)
	m.JSON("account", "a", "deposit", `{"amount":5}`)
	m.JSON("account", "a", "transfer", `{"to":"full","amount":5}`)
	m.Deliver()
	if got := m.JSON("account", "a", "balance", "") + m.JSON("account", "full", "balance", ""); got != `{"balance":5}{"balance":9223372036854775807}` {
		t.Errorf("balances %s", got)
	}
}

// The store agrees with a map, gives no version twice, and lists page by page.
func TestBuiltinKVAgainstMap(t *testing.T) {
	m := mesh.NewFakeMesh(t, kinds.All()...)
	rng := rand.New(rand.NewPCG(5, 6))
	type entry struct {
		Value   int    `json:"value"`
		Version uint64 `json:"version"`
	}
	want := map[string]entry{}
	given := map[uint64]bool{}
	for i := range 3000 {
		key := fmt.Sprintf("k%02d", rng.IntN(60))
		switch rng.IntN(4) {
		case 0:
			got := m.JSON("kv", "s", "delete", fmt.Sprintf(`{"key":%q}`, key))
			if _, had := want[key]; got != fmt.Sprintf(`{"deleted":%v}`, had) {
				t.Fatalf("delete %s: %s", key, got)
			}
			delete(want, key)
		case 1:
			version := want[key].Version
			if rng.IntN(2) == 0 {
				version = rng.Uint64N(100)
			}
			got := m.JSON("kv", "s", "cas", fmt.Sprintf(`{"key":%q,"value":%d,"version":%d}`, key, i, version))
			if version != want[key].Version {
				if !strings.HasPrefix(got, "error version_mismatch") {
					t.Fatalf("cas %s at %d: %s", key, version, got)
				}
				continue
			}
			want[key] = entry{i, newVersion(t, given, got)}
		default:
			got := m.JSON("kv", "s", "put", fmt.Sprintf(`{"key":%q,"value":%d}`, key, i))
			want[key] = entry{i, newVersion(t, given, got)}
		}
	}
	var keys []string
	for after, pages := "", 0; ; pages++ {
		var list struct {
			Items []struct {
				Key string `json:"key"`
				entry
			} `json:"items"`
			Next string `json:"next"`
		}
		if err := json.Unmarshal([]byte(m.JSON("kv", "s", "list", fmt.Sprintf(`{"after":%q,"limit":7}`, after))), &list); err != nil {
			t.Fatal(err)
		}
		for _, item := range list.Items {
			keys = append(keys, item.Key)
			if item.entry != want[item.Key] {
				t.Errorf("%s is %+v, want %+v", item.Key, item.entry, want[item.Key])
			}
		}
		if after = list.Next; after == "" {
			break
		}
		if len(list.Items) != 7 || pages > 20 {
			t.Fatalf("a page of %d after %d pages", len(list.Items), pages)
		}
	}
	if !slices.Equal(keys, slices.Sorted(maps.Keys(want))) {
		t.Errorf("listed %v", keys)
	}
}

func newVersion(t *testing.T, given map[uint64]bool, answer string) uint64 {
	t.Helper()
	var v kinds.Versioned
	if err := json.Unmarshal([]byte(answer), &v); err != nil || v.Version == 0 || given[v.Version] {
		t.Fatalf("answer %s gives no new version", answer)
	}
	given[v.Version] = true
	return v.Version
}

// A value of any size that is taken is given back, and a list ends before a reply
// would be too large.
func TestBuiltinKVSizes(t *testing.T) {
	m := mesh.NewFakeMesh(t, kinds.All()...)
	big := strings.Repeat("x", 1<<20-4<<10-2)
	for _, key := range []string{"a", strings.Repeat("k", 1024)} {
		if got := m.JSON("kv", "s", "put", fmt.Sprintf(`{"key":%q,"value":%q}`, key, big)); !strings.HasPrefix(got, `{"version"`) {
			t.Fatal(got)
		}
		if got := m.JSON("kv", "s", "get", fmt.Sprintf(`{"key":%q}`, key)); len(got) < len(big) {
			t.Fatal(got)
		}
	}
	if got := m.JSON("kv", "s", "put", fmt.Sprintf(`{"key":"b","value":%q}`, big+"x")); !strings.HasPrefix(got, "error invalid_argument") {
		t.Errorf("a value over the limit: %s", got)
	}
	if got := m.JSON("kv", "s", "list", ""); !strings.HasSuffix(got, `"next":"a"}`) {
		t.Errorf("a list of two large values: %d bytes", len(got))
	}
}
