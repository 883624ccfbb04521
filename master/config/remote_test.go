package config_test

import (
	"strings"
	"testing"
	"time"

	"corbie/master/config"
)

func TestRemoteStorageIsReadWithItsDefaults(t *testing.T) {
	c := parse(t, "storage: remote\nremote: {engine: mimir, url: 'http://m:9009/', headers: {x-scope-orgid: ops}, labels: {site: north}, protocol: 2.0, queue_size: 10M}")
	r := c.Remote
	if !c.Elsewhere || r.Engine != "mimir" || r.URL != "http://m:9009" || r.Headers["X-Scope-Orgid"] != "ops" || r.Labels["site"] != "north" {
		t.Errorf("%+v", r)
	}
	if r.Version != 2 || r.QueueBytes != 10<<20 || r.QueueAge != 7*24*time.Hour || r.Connections != 4 || r.Timeout != 30*time.Second {
		t.Errorf("%+v", r)
	}
	if c := parse(t, "remote: {engine: prometheus, url: 'http://m:9090'}"); c.Elsewhere || c.Remote == nil {
		t.Error("with storage: embedded the engine gets a copy")
	}
	if c := parse(t, ""); c.Elsewhere || c.Remote != nil {
		t.Error("nothing is sent anywhere by default")
	}
}

func TestRemoteStorageThatCannotWorkIsAnError(t *testing.T) {
	for text, want := range map[string]string{
		"storage: remote":                                                              "needs the section remote",
		"storage: elsewhere":                                                           "want embedded, remote",
		"remote: {url: 'http://m'}":                                                    "engine",
		"remote: {engine: thanos, write_url: 'http://m'}":                              "or both write_url and read_url",
		"remote: {engine: influx, url: 'http://m'}":                                    "want victoriametrics",
		"remote: {engine: mimir, url: 'm:9009'}":                                       "want an address",
		"remote: {engine: mimir, url: 'http://u:p@m:9009'}":                            "keys of their own",
		"remote: {engine: mimir, url: 'http://m', labels: {host: a}}":                  "Corbie sets itself",
		"remote: {engine: mimir, url: 'http://m', labels: {a-b: a}}":                   "letters, digits",
		"remote: {engine: mimir, url: 'http://m', headers: {'a b': a}}":                "no header",
		"remote: {engine: mimir, url: 'http://m', username: a}":                        "go together",
		"remote: {engine: mimir, url: 'http://m', username: a, password: b, token: c}": "only one of",
		"remote: {engine: mimir, url: 'http://m', protocol: 3}":                        "want auto, 1.0, 2.0",
		"remote: {engine: mimir, url: 'http://m', queue_size: 1k}":                     "want a size",
	} {
		if got := parseError(t, text); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", text, got, want)
		}
	}
	if _, err := config.Parse("c.yml", []byte("remote: {engine: mimir, url: 'http://m', ca_file: /nowhere}"), config.Flags{}); err != nil {
		t.Errorf("files are not read by Parse: %v", err)
	}
}
