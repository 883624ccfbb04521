package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"corbie/master/config"
	"corbie/munin/wire"
	"corbie/munin/wire/wiretest"
)

// tlsOf is how the only host with a name is encrypted.
func tlsOf(t *testing.T, c *config.Config, name string) wire.TLSSettings {
	t.Helper()
	for i := range c.Hosts {
		if c.Hosts[i].ID.Name() != name {
			continue
		}
		if c.Hosts[i].TLS == nil {
			return wire.TLSSettings{}
		}
		return c.Hosts[i].TLS.Settings()
	}
	t.Fatalf("no host %s", name)
	return wire.TLSSettings{}
}

func TestHostsTakeWhatTheyDoNotSayOfTLSFromTheirGroups(t *testing.T) {
	c := parse(t, `
tls: {mode: auto, key: /k.pem, ca: /ca.pem, verify_depth: 2}
groups:
  web: {tls: {mode: enabled, match: CN=web}}
  open: {tls: disabled}
hosts:
  a: 10.0.0.1
  "web;b": 10.0.0.2
  "web;c": {address: 10.0.0.3, tls: {certificate: /own.pem, verify: no}}
  "open;d": 10.0.0.4
`)
	for name, want := range map[string]wire.TLSSettings{
		"a": {Mode: wire.TLSAuto, Key: "/k.pem", Certificate: "/k.pem", CA: "/ca.pem", Verify: true, Depth: 2},
		"b": {Mode: wire.TLSEnabled, Key: "/k.pem", Certificate: "/k.pem", CA: "/ca.pem", Verify: true, Depth: 2, Match: "CN=web"},
		"c": {Mode: wire.TLSEnabled, Key: "/own.pem", Certificate: "/own.pem", CA: "/ca.pem", Depth: 2, Match: "CN=web"},
		"d": {},
	} {
		if got := tlsOf(t, c, name); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if got := tlsOf(t, parse(t, "hosts: {a: {address: 10.0.0.1, tls: enabled}}"), "a"); got != (wire.TLSSettings{Mode: wire.TLSEnabled, Depth: 5}) {
		t.Errorf("a mode by itself: %+v", got)
	}
	if got := tlsOf(t, parse(t, "hosts: {a: 10.0.0.1}"), "a"); got != (wire.TLSSettings{}) {
		t.Errorf("nothing said: %+v", got)
	}
	if c := parse(t, "hosts: {a: {address: 10.0.0.1, tls: {ca: /x}}}"); len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "no mode") {
		t.Errorf("warnings %q", c.Warnings)
	}
	for _, bad := range []string{"tls: on", "tls: {mode: on}", "tls: {match: (}", "tls: {verify: perhaps}", "tls: {verify_depth: -1}", "tls: {cert: x}"} {
		if got := parseError(t, bad); !strings.HasPrefix(got, "corbie.yml:1: ") {
			t.Errorf("%s: %s", bad, got)
		}
	}
}

func TestFilesOfTLSAreReadWhenTheConfigurationIs(t *testing.T) {
	ca := wiretest.NewCA(t, "authority")
	dir := filepath.Dir(ca.File)
	key := filepath.Base(ca.Issue(t, "master"))
	load := func(tls string) error {
		file := filepath.Join(dir, "corbie.yml")
		if err := os.WriteFile(file, []byte("hosts:\n  a: 10.0.0.1\n  b: 10.0.0.2\ntls: "+tls+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := config.Load(file, config.Flags{})
		return err
	}
	good := fmt.Sprintf("{mode: paranoid, key: %s, ca: %s}", key, filepath.Base(ca.File))
	if err := load(good); err != nil {
		t.Error(err)
	}
	for tls, want := range map[string]string{
		"paranoid":                                       "no key is set",
		"{mode: enabled, key: missing.pem}":              "key: open " + dir + "/missing.pem",
		"{mode: enabled, ca: missing.pem}":               "CA certificate: open " + dir + "/missing.pem",
		"{mode: auto, key: " + key + ", ca: corbie.yml}": "no certificate in PEM form",
		"{mode: paranoid, key: " + key + ", certificate: authority-ca.pem, ca: " + key + "}": "does not match",
	} {
		if err := load(tls); err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "\n") > 1 {
			t.Errorf("%s: %v", tls, err)
		}
	}
}

func TestAMuninConfSaysHowSessionsAreEncrypted(t *testing.T) {
	ca := wiretest.NewCA(t, "authority")
	dir := filepath.Dir(ca.File)
	key := ca.Issue(t, "munin") // munin.pem, where Munin looks for it.
	file := filepath.Join(dir, "munin.conf")
	load := func(text string) (*config.Config, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return config.LoadMunin(config.Flags{MuninConf: file})
	}
	c, err := load("tls enabled\ntls_ca_certificate " + ca.File + "\n" +
		"[g;a]\naddress 10.0.0.1\n" +
		"[g;b]\naddress 10.0.0.2\ntls paranoid\ntls_verify_certificate yes\ntls_match CN=b\ntls_verify_depth 1\n" +
		"[g;c]\naddress 10.0.0.3\ntls disabled\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]wire.TLSSettings{
		"a": {Mode: wire.TLSEnabled, Key: key, Certificate: key, CA: ca.File, Depth: 5},
		"b": {Mode: wire.TLSParanoid, Key: key, Certificate: key, CA: ca.File, Verify: true, Match: "CN=b", Depth: 1},
		"c": {},
	} {
		if got := tlsOf(t, c, name); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	for bad, want := range map[string]string{
		"tls on\n":                   "munin.conf:1: tls ",
		"tls enabled\ntls_match (\n": "munin.conf:2: tls_match ",
		"tls enabled\ntls_verify_certificate often\n":                              "munin.conf:2: tls_verify_certificate: ",
		"tls enabled\ntls_verify_depth deep\n":                                     "munin.conf:2: tls_verify_depth ",
		"tls paranoid\ntls_pem /missing.pem\ntls_ca_certificate " + ca.File + "\n": "munin.conf:5: tls of a: key: open /missing.pem",
	} {
		text := bad + "[g;a]\naddress 10.0.0.1\n"
		if _, err := load(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", bad, err)
		}
		// A master that runs goes on, but says so, and nothing is sent in the clear or to just anybody.
		c, err := config.LoadMunin(config.Flags{MuninConf: file, Tolerant: true})
		if err != nil || len(c.Rejected) != 1 || !strings.Contains(c.Rejected[0], want) || !tlsOf(t, c, "a").Mode.Required() {
			t.Errorf("%q: %+v, %v", bad, c, err)
		}
	}
}

func TestHostsOfAMuninConfThatSaysNothingOfTLSTakeItFromTheConfiguration(t *testing.T) {
	ca := wiretest.NewCA(t, "authority")
	dir := filepath.Dir(ca.File)
	for name, text := range map[string]string{
		"munin.conf": "[g;a]\naddress 10.0.0.1\n[g;b]\naddress 10.0.0.2\ntls disabled\n",
		"corbie.yml": "munin_conf: munin.conf\ntls: {mode: enabled, ca: " + filepath.Base(ca.File) + "}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(filepath.Join(dir, "corbie.yml"), config.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	want := wire.TLSSettings{Mode: wire.TLSEnabled, CA: ca.File, Verify: true, Depth: 5}
	if a, b := tlsOf(t, c, "a"), tlsOf(t, c, "b"); a != want || b != (wire.TLSSettings{}) {
		t.Errorf("a: %+v, b: %+v", a, b)
	}
	target, err := c.Target("10.0.0.9") // which is not configured
	if err != nil || target.TLS == nil || target.TLS.Settings() != want {
		t.Errorf("%+v, %v", target, err)
	}
}
