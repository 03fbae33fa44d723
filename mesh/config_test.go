package mesh

import (
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestConfigDefaults(t *testing.T) {
	c, err := Config{Name: "n1", DataDir: "d"}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	// What a node may do without has no default.
	empty := map[string]bool{"HTTP": true, "Advertise": true, "Expect": true, "Join": true, "Zone": true, "CertsDir": true,
		"Token": true, "Voters": true}
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && v.Field(i).IsZero() != empty[f.Name] {
			t.Errorf("%s is %v", f.Name, v.Field(i))
		}
	}
	if c.Lease != 500*time.Millisecond || c.Heartbeat != 100*time.Millisecond || c.Slots != 256 || c.Replication != 3 {
		t.Errorf("%+v", c)
	}
	if again, err := c.withDefaults(); err != nil || !reflect.DeepEqual(again, c) {
		t.Errorf("defaults of defaults: %+v, %v", again, err)
	}
}

func TestConfigWithoutLeases(t *testing.T) {
	c, err := Config{Name: "n1", DataDir: "d", Lease: -1}.withDefaults()
	if err != nil || c.Lease != -1 || c.Heartbeat != 100*time.Millisecond {
		t.Errorf("lease %v, heartbeat %v, %v", c.Lease, c.Heartbeat, err)
	}
}

// TestConfigUsage changes one thing of a Config that works into one that does
// not, and looks for what the error must speak of.
func TestConfigUsage(t *testing.T) {
	for what, change := range map[string]func(*Config){
		"--name n1":      func(c *Config) { c.Name = "" },
		`name "a b"`:     func(c *Config) { c.Name = "a b" },
		`name "-a"`:      func(c *Config) { c.Name = "-a" },
		"63 letters":     func(c *Config) { c.Name = strings.Repeat("a", 64) },
		"--data DIR":     func(c *Config) { c.DataDir = "" },
		"zone":           func(c *Config) { c.Zone = "a/b" },
		"in the clear":   func(c *Config) { c.Token = strings.Repeat("t", 32) },
		"at least 16":    func(c *Config) { c.Token, c.CertsDir = "short", "certs" },
		"HOST:PORT":      func(c *Config) { c.Listen = "localhost" },
		"65535":          func(c *Config) { c.Listen = "127.0.0.1:70000" },
		"certs init":     func(c *Config) { c.Listen = "10.0.0.1:7001" },
		"not a loopback": func(c *Config) { c.Listen = ":7001" },
		"0.0.0.0:8001":   func(c *Config) { c.HTTP = "0.0.0.0:8001" },
		"node.example":   func(c *Config) { c.HTTP = "node.example:8001" },
		"--advertise":    func(c *Config) { c.Listen, c.CertsDir = "0.0.0.0:7001", "certs" },
		"[::]:8001":      func(c *Config) { c.HTTP, c.CertsDir = "[::]:8001", "certs" },
		`--join "n2"`:    func(c *Config) { c.Join = []string{"127.0.0.1:7002", "n2"} },
		`--join ":7002"`: func(c *Config) { c.Join = []string{":7002"} },
		`"n2:0"`:         func(c *Config) { c.Join = []string{"n2:0"} },
		"expect is -1":   func(c *Config) { c.Expect = -1 },
		"expect is 65":   func(c *Config) { c.Expect = 65 },
		"slots is 4097":  func(c *Config) { c.Slots = 4097 },
		"replication":    func(c *Config) { c.Replication = 8 },
		"must be odd":    func(c *Config) { c.Voters = 4 },
		"lease is 1ms":   func(c *Config) { c.Lease = time.Millisecond },
		"half of the":    func(c *Config) { c.Heartbeat = 300 * time.Millisecond },
		"drift":          func(c *Config) { c.Drift = 0.2 },
		"call-timeout":   func(c *Config) { c.CallTimeout = time.Hour },
		"retention":      func(c *Config) { c.Retention = -time.Hour },
		"idle-timeout":   func(c *Config) { c.IdleTimeout = -1 },
		"record-bytes":   func(c *Config) { c.MaxRecordBytes = 5 << 20 },
		"value-bytes":    func(c *Config) { c.MaxValueBytes = 5 << 20 },
		"http-conns":     func(c *Config) { c.MaxHTTPConns = -1 },
	} {
		c := Config{Name: "n1", DataDir: "d", HTTP: "127.0.0.1:8001"}
		change(&c)
		if _, err := c.withDefaults(); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, which does not speak of %q", err, what)
		}
	}
}

func TestConfigListensOnLoopback(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "127.9.9.9:7001", "localhost:7001", "[::1]:7001"} {
		if _, err := (Config{Name: "n1", DataDir: "d", Listen: listen}).withDefaults(); err != nil {
			t.Errorf("%s: %v", listen, err)
		}
	}
	c := Config{Name: "n1", DataDir: "d", Listen: "0.0.0.0:7001", Advertise: "n1.example", CertsDir: "certs"}
	if _, err := c.withDefaults(); err != nil {
		t.Error(err)
	}
}

func TestConfigAdvertised(t *testing.T) {
	for _, c := range []struct{ advertise, listen, bound, want string }{
		{"", "127.0.0.1:0", "127.0.0.1:4321", "127.0.0.1:4321"},
		{"", "localhost:0", "127.0.0.1:4321", "127.0.0.1:4321"},
		{"", "n1.example:0", "10.0.0.1:4321", "n1.example:4321"},
		{"n1.example", "0.0.0.0:7001", "[::]:7001", "n1.example:7001"},
		{"2001:db8::1", "[::]:7001", "[::]:7001", "[2001:db8::1]:7001"},
	} {
		bound, err := net.ResolveTCPAddr("tcp", c.bound)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&Config{Advertise: c.advertise}).advertised(c.listen, bound.String()); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
