package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"corbie/master/config"
	"corbie/munin"
	"corbie/storage"
	"corbie/storage/series"
)

const verifiedHosts = `
listen: 127.0.0.1:0
hosts:
  web;x: {address: 127.0.0.1:1, interval: 1h}
`

// withHistory is a data folder with a hundred days of samples, hours and days, and the configuration of its master.
func withHistory(t *testing.T) (data, conf string) {
	t.Helper()
	data, conf = filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "corbie.yml")
	if err := os.WriteFile(conf, []byte(verifiedHosts), 0o600); err != nil {
		t.Fatal(err)
	}
	id := munin.SeriesID{Host: "web;x", Graph: "load", Field: "load"}
	now := time.Now().UTC()
	var readings []munin.Reading
	for at := now.AddDate(0, 0, -100).Truncate(24 * time.Hour); at.Before(now.AddDate(0, 0, -1)); at = at.Add(time.Hour) {
		readings = append(readings, munin.Reading{ID: id, Point: munin.Point{T: at.UnixMilli(), V: float64(at.Hour())}})
	}
	if err := series.WriteBlocks(t.Context(), storage.RawDir(data), slices.Values(readings)); err != nil {
		t.Fatal(err)
	}
	return data, conf
}

// rot flips a bit in the chunks of the first block of a folder, and gives the block's path.
func rot(t *testing.T, data, folder string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(data, folder, "0*", "chunks", "000001"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no chunks in %s: %v", folder, err)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	text[40] ^= 1
	if err := errors.Join(os.Remove(found[0]), os.WriteFile(found[0], text, 0o600)); err != nil {
		t.Fatal(err)
	}
	return folder + "/" + filepath.Base(filepath.Dir(filepath.Dir(found[0])))
}

func TestVerifyNamesWhatIsDamagedAndRestoreBringsItBack(t *testing.T) {
	data, conf := withHistory(t)
	dir := filepath.Join(t.TempDir(), "backup")
	master := startMaster(t, data, conf)
	if out := mustCorbie(t, "verify", "--data", data); !strings.Contains(out, "blocks") || strings.Contains(out, "do:") {
		t.Errorf("beside a master, of whole data it says %q", out)
	}
	mustCorbie(t, "backup", dir, "--data", data)
	block := rot(t, data, "raw")
	out, talk, code := corbie(t, "verify", "--data", data, "--rate", "1000")
	if code != exitFailed || !strings.Contains(talk, "1 part is damaged") {
		t.Errorf("exit %d, %s", code, talk)
	}
	for _, want := range []string{block + ": chunks/000001, byte 8: checksum mismatch", "  time: ", "  series: 1: web;x", "corbie restore --block " + block} {
		if !strings.Contains(out, want) {
			t.Errorf("it says\n%s\nwithout %q", out, want)
		}
	}
	if _, talk, code := corbie(t, "restore", "--block", block, dir, "--data", data); code != exitFailed || !strings.Contains(talk, "in use") {
		t.Errorf("beside a master: exit %d, %s", code, talk)
	}
	master.Stop(t)
	if out := mustCorbie(t, "restore", "--block", block, dir, "--data", data); !strings.Contains(out, block+" is back") || !strings.Contains(out, "set-aside") {
		t.Errorf("restore says %q", out)
	}
	mustCorbie(t, "verify", "--data", data)

	// What is no block is read, too.
	for path, want := range map[string]string{
		filepath.Join("alerts", "nflog"):           "the notification log: what follows byte 0",
		filepath.Join("queue", "0000000000.queue"): "the queue is damaged",
		"catalog.db":                        "catalog.db: ",
		filepath.Join("alerts", "silences"): "the silences: ",
	} {
		file := filepath.Join(data, path)
		before, err := os.ReadFile(file)
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, bytes.Repeat([]byte{0xff}, 5000), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, _, code := corbie(t, "verify", "--data", data); code != exitFailed || !strings.Contains(out, want) {
			t.Errorf("with a damaged %s: exit %d,\n%s", path, code, out)
		}
		if err != nil {
			err = os.Remove(file)
		} else {
			err = os.WriteFile(file, before, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	mustCorbie(t, "verify", "--data", data)
}

func TestTheMasterVerifiesEachWeekAndMakesDamagedHoursAgain(t *testing.T) {
	data, _ := withHistory(t)
	conf, err := config.Parse("corbie.yml", []byte(verifiedHosts), config.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	a, err := newApp(t.Context(), conf, data, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	if err := a.rollUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	job, err := a.verifyJob(data)
	if now := time.Now(); err != nil || job.Schedule.Next(now).After(now.Add(8*24*time.Hour)) {
		t.Fatalf("the job runs next at %s, %v", job.Schedule.Next(now), err)
	}
	hours := rot(t, data, "hour")
	raw, err := filepath.Glob(filepath.Join(data, "raw", "0*"))
	if err != nil || len(raw) < 2 {
		t.Fatal(raw, err)
	}
	if err := job.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, "a block is damaged") || !strings.Contains(text, hours) || !strings.Contains(text, "it is made again") {
		t.Errorf("the log says:\n%s", text)
	}
	if last := storage.LastVerified(data); last.Ended.IsZero() || last.Blocks == 0 || len(last.Faults) > 0 {
		t.Errorf("kept: %+v", last)
	}
	if out := mustCorbie(t, "verify", "--data", data); !strings.Contains(out, "blocks") {
		t.Errorf("afterwards: %q", out)
	}
	// What cannot be made again is a problem until somebody brings it back.
	rot(t, data, "raw")
	if err := job.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	if last := storage.LastVerified(data); len(last.Faults) != 1 {
		t.Errorf("kept: %+v", last)
	}
}

func TestReadingIsKeptToARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, pace := time.Now(), newPacer(1<<20)
		for range 100 {
			if err := pace.wait(t.Context(), 1<<19); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 49*time.Second || took > 51*time.Second {
			t.Errorf("50 MB at 1 MB a second took %s", took)
		}
	})
}
