package storage_test

import (
	"bytes"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
)

// FuzzMarks reads the file that says which samples were deleted: whatever is in it, no mark lies ahead, and what was understood is understood again.
func FuzzMarks(f *testing.F) {
	for _, text := range []string{
		`{"before":{"web;www1":1700000000000},"hours":{"web;www1":1600000000000},"unfinished":true}`, `{"before":null}`, `{}`, ``, `null`, `[]`,
		`{"before":{"":5,"web;":5,"a":-1,"b":9223372036854775807,"c":1e3}}`, `{"before":{"a":1},"before":{"b":2}}`, `{"hours":{"\u0000":0}}`,
	} {
		f.Add([]byte(text))
	}
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text []byte) {
		m, _, err := storage.ParseMarks(text, now)
		if err != nil {
			return
		}
		for _, all := range []map[munin.HostID]int64{m.Before, m.Hours} {
			for host, at := range all {
				if host.Name() == "" || at < 0 || at > now.UnixMilli() {
					t.Errorf("%q at %d was taken", host, at)
				}
			}
		}
		again, err := m.Text()
		if err != nil {
			t.Fatal(err)
		}
		other, dropped, err := storage.ParseMarks(again, now)
		if err != nil || dropped > 0 || !maps.Equal(m.Before, other.Before) || !maps.Equal(m.Hours, other.Hours) || m.Unfinished != other.Unfinished {
			t.Errorf("%s is understood as %+v, %d dropped, %v; want %+v", again, other, dropped, err, m)
		}
	})
}

func TestMarksThatCannotBeArePassedOverAndSaid(t *testing.T) {
	dir := t.TempDir()
	m := newModel(1, rngOf(31))
	begin := fillPast(t, dir, m, 10)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "retention"), 0o700))
	path := filepath.Join(dir, "retention", "trimmed.json")
	for _, text := range []string{`{"before":{"b":9000000000000000000,"web;a":99999999999999}}`, `{"before":{"b":`} {
		must(os.WriteFile(path, []byte(text), 0o600))
		var log bytes.Buffer
		s := open(t, dir, storage.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for host, first := range oldest(t, s, m, munin.Range{From: begin, To: time.Now()}) {
			if !first.Equal(begin) {
				t.Errorf("%s: the oldest sample of %s is of %s", text, host, first)
			}
		}
		closeStore(t, s)
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), "put that of a backup in its place") {
			t.Errorf("%s is said %d times:\n%s", text, n, log.String())
		}
	}
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Error(err)
	}
}
