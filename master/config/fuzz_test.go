package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corbie/master/config"
	"corbie/munin"
)

func FuzzParse(f *testing.F) {
	for _, name := range []string{"corbie.yml", "bad.yml"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("hosts: {a: {b: [c]}}"))
	f.Add([]byte("levels: [{match: \"*:*.*\", warning: 1:2}]"))
	f.Add([]byte("a: &a [*a, *a]\nhosts: *a\n? [x]\n: y\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := config.Parse("f.yml", text, config.Flags{})
		if err != nil {
			for _, line := range config.Problems(err) {
				if !strings.HasPrefix(line, "f.yml") {
					t.Errorf("a message without a place: %q", line)
				}
			}
			return
		}
		seen := make(map[munin.HostID]bool)
		for _, target := range c.Targets() {
			if seen[target.Host] || target.Interval < time.Second || target.Address == "" || target.Host.Name() == "" {
				t.Errorf("a bad target is valid: %+v", target)
			}
			seen[target.Host] = true
			target.Override(graph())
		}
	})
}

// FuzzTargets reads a file of targets that others write.
func FuzzTargets(f *testing.F) {
	f.Add([]byte(`[{"targets": ["10.0.0.1:4949", "[::1]:4949"], "labels": {"group": "web;eu", "env": "prod", "__meta": "x"}}]`))
	f.Add([]byte("- targets: [ssh://a@b/c]\n  labels: {host: a, node_name: b}\n- targets: [10.0.0.1, 10.0.0.1]\n"))
	f.Add([]byte("[{targets: [&a x, *a]}, {labels: [1]}, 3, {targets: {}}]"))
	dir := f.TempDir()
	conf := filepath.Join(dir, "corbie.yml")
	if err := os.WriteFile(conf, []byte("file_sd: [{files: [t.json], group: g, tags: [t]}]\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, "t.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(conf, config.Flags{})
		if err != nil {
			if len(config.Problems(err)) == 0 {
				t.Errorf("not a list of problems: %v", err)
			}
			return
		}
		seen := make(map[munin.HostID]bool)
		for _, target := range c.Targets() {
			if seen[target.Host] || target.Host.Name() == "" || target.Address == "" || strings.ContainsAny(string(target.Host), "\n\x00 ") {
				t.Errorf("a bad target: %q at %q", target.Host, target.Address)
			}
			seen[target.Host] = true
		}
	})
}
