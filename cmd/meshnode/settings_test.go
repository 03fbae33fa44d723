package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"actormesh/mesh"
)

// TestPrecedence sets one flag in every combination of places.
func TestPrecedence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n1.yaml")
	if err := os.WriteFile(path, []byte("zone: file\nonce: k1 # of another command\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mask := range 8 {
		r, want := newRig(), ""
		args := []string{"start"}
		if mask&1 != 0 {
			args, want = append(args, "--config", path), "file"
		}
		if mask&2 != 0 {
			r.env["MESHNODE_ZONE"], want = "env", "env"
		}
		if mask&4 != 0 {
			args, want = append(args, "--zone", "flag"), "flag"
		}
		if code := r.run(args...); code != exitOK || r.config.Zone != want {
			t.Errorf("%v, %v: exit %d, zone %q, want %q: %s", args, r.env, code, r.config.Zone, want, r.err.String())
		}
	}
}

// TestAllPlaces sets the same through each place: the same comes out.
func TestAllPlaces(t *testing.T) {
	want := mesh.Config{
		Name: "n1", DataDir: "d", Listen: "127.0.0.1:1", HTTP: "127.0.0.1:2", Expect: 3, Join: []string{"a:1", "b:2"}, Zone: "z",
		CertsDir: "certs", Lease: -1, Drift: 0.05, FoldBytes: 1024, Slots: 64, Replication: 5,
	}
	check := func(r *rig, code int) {
		t.Helper()
		c := r.config
		got := mesh.Config{
			Name: c.Name, DataDir: c.DataDir, Listen: c.Listen, HTTP: c.HTTP, Expect: c.Expect, Join: c.Join, Zone: c.Zone,
			CertsDir: c.CertsDir, Lease: c.Lease, Drift: c.Drift, FoldBytes: c.FoldBytes, Slots: c.Slots, Replication: c.Replication,
		}
		if code != exitOK || !reflect.DeepEqual(got, want) {
			t.Errorf("exit %d, %s\n%+v, want\n%+v", code, r.err.String(), got, want)
		}
	}
	settings := [][2]string{
		{"name", "n1"}, {"data", "d"}, {"listen", "127.0.0.1:1"}, {"http", "127.0.0.1:2"}, {"expect", "3"}, {"join", "a:1,b:2"},
		{"zone", "z"}, {"certs", "certs"}, {"lease", "0"}, {"drift", "0.05"}, {"fold-bytes", "1024"}, {"slots", "64"}, {"replication", "5"},
	}
	flags, env, file := newRig(), newRig(), newRig()
	args, yaml := []string{"start"}, ""
	for _, s := range settings {
		args = append(args, "--"+s[0]+"="+s[1])
		env.env["MESHNODE_"+strings.ToUpper(strings.ReplaceAll(s[0], "-", "_"))] = s[1]
		if s[0] == "join" {
			s[1] = "[a:1, b:2]"
		}
		yaml += s[0] + ": " + s[1] + "\n"
	}
	check(flags, flags.run(args...))
	check(env, env.run("start"))
	path := filepath.Join(t.TempDir(), "n1.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	file.env["MESHNODE_CONFIG"] = path
	check(file, file.run("start"))
}

func TestDefaults(t *testing.T) {
	r := newRig()
	r.env["MESHNODE_ZONE"] = "" // empty is not set
	if code := r.run("start"); code != exitOK {
		t.Fatal(r.err.String())
	}
	c := r.config
	if c.Listen != "127.0.0.1:7001" || c.HTTP != "127.0.0.1:8001" || c.Lease != 500*time.Millisecond || c.Expect != 0 || c.Zone != "" {
		t.Errorf("%+v", c)
	}
}

func TestBadEnvironment(t *testing.T) {
	r := newRig()
	r.env["MESHNODE_EXPECT"] = "many"
	if code := r.run("start"); code != exitUsage || !strings.Contains(r.err.String(), "MESHNODE_EXPECT") {
		t.Errorf("exit %d, %s", code, r.err.String())
	}
}

// FuzzConfig reads whatever a file holds without harm.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{"name: n1", "join: [a, b]", "expect: 3\nlease: 0", "name:", "a: &a [*a]", "{", "- x", "name: !!binary eA=="} {
		f.Add([]byte(s))
	}
	known := map[string]bool{"name": true, "join": true, "expect": true, "lease": true}
	f.Fuzz(func(t *testing.T, text []byte) {
		values, err := parseConfig(text, known)
		if err != nil {
			return
		}
		for key := range values {
			if !known[key] {
				t.Errorf("%q was taken", key)
			}
		}
	})
}
