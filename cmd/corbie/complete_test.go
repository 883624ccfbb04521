package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
)

func TestShellsCompleteHostsGraphsAndWordsOfFlags(t *testing.T) {
	data, conf := t.TempDir(), filepath.Join(t.TempDir(), "corbie.yml")
	mustCorbie(t, "import", "munin", "--dbdir", muninDB(t, time.Now().Unix()/86400*86400), "--data", data)
	testenv.WriteFile(t, conf, "hosts: {www7: 192.0.2.1, db: {address: 192.0.2.2, group: shop}}\n", 0o644)
	for _, c := range []struct{ typed, want string }{
		{"export w", "web;www1 www1"},
		{"export www1 m", "multi.sub\tSeveral things"},
		{"export nosuch m", ""},
		{"export www1 --format o", "csv jsonl openmetrics"},
		{"graphs www", "www1"},
		{"rename www", "www1"},
		{"poll w", "www7"},
		{"poll s", "shop;db"},
		{"check --explain d", "db"},
		{"report c", "capacity"},
		{"hosts --format j", "text json"},
		{"token add x --role o", "viewer operator admin"},
	} {
		words := strings.Fields(c.typed)
		args := append([]string{"__complete", words[0], "--data", data, "--config", conf}, words[1:]...)
		out, talk, code := corbie(t, args...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if got := strings.Join(lines[:len(lines)-1], " "); code != exitOK || got != c.want {
			t.Errorf("corbie %s: got %q, want %q\n%s", c.typed, got, c.want, talk)
		}
	}
}
