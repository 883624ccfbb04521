package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/storage/storagetest"
)

// seconds are the times at which a field of web1 has a value.
func seconds(t *testing.T, data, field string) []int64 {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(mustCorbie(t, "export", "web1", "--data", data, "--from", "now-1h"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var all []int64
	for _, row := range rows[1:] {
		at, err := time.Parse(time.RFC3339, row[0])
		if err != nil {
			t.Fatal(err)
		}
		if row[3] == field && row[4] != "" {
			all = append(all, at.Unix())
		}
	}
	slices.Sort(all)
	return all
}

func TestAFullDiskIsOneNoticeAndItsGapIsFilledFromTheSpool(t *testing.T) {
	t.Parallel()
	disk := storagetest.SmallDisk(t, "size=64m")
	data, ballast := filepath.Join(disk, "data"), filepath.Join(disk, "ballast")
	plugins := testenv.PublicDir(t)
	testenv.WriteFile(t, filepath.Join(plugins, "clock"), "#!/bin/sh\n[ \"$1\" = config ] && echo v.label v || echo v.value $(date +%s)\n", 0o755)
	h := newHook(t)
	conf := writeConfig(t, startNodeWith(t, plugins, "spool yes\nsample_interval 1s\n"), "notify: {wait: 0s, interval: 1s}\n"+
		"receivers:\n  - name: hook\n    webhook: {url: '"+h.URL+"'}\n")
	master := startMaster(t, data, conf)
	testenv.Eventually(t, "values are stored", func() bool { return len(seconds(t, data, "v")) > 3 })

	storagetest.Fill(t, ballast)
	master.WaitFor(t, "samples are not stored")
	full := time.Now().Unix()
	testenv.Eventually(t, "a notice", func() bool { return len(h.received()) > 0 })
	for range 3 { // the master goes on
		before := polls(t, master)
		testenv.Eventually(t, "polling goes on", func() bool { return polls(t, master) > before+2 })
		for _, path := range []string{"/", "/h/web1", "/h/web1/clock", "/h/web1/clock.svg", "/capacity"} {
			if text := master.page(t, path); strings.Contains(text, "does not answer") {
				t.Errorf("%s says that something does not answer", path)
			}
		}
	}
	if text := master.page(t, "/problems"); !strings.Contains(text, "corbie_storage.stopped") {
		t.Errorf("the page of problems does not tell of it:\n%s", text)
	}
	freed := time.Now().Unix()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	master.WaitFor(t, "samples are stored again")
	testenv.Eventually(t, "the gap is filled", func() bool { return len(gaps(seconds(t, data, "v"), full, freed)) == 0 })
	testenv.Eventually(t, "the recovery is told", func() bool { return len(h.received()) > 1 })
	if got := h.received(); !slices.Equal(got, []string{"firing", "resolved"}) {
		t.Errorf("the receiver was told %v", got)
	}
	if n := strings.Count(master.Log(), "level=ERROR"); n > 2 {
		t.Errorf("%d errors were logged for one trouble:\n%s", n, master.Log())
	}
	master.Kill()
	all := seconds(t, data, "v")
	t.Logf("full for %d s: one notice and one recovery, %d values, gaps %v", freed-full, len(all), gaps(all, full, freed))
}

// gaps are the seconds of a stretch of time at which there is no value, where the one before and the one after have none either: the slots of
// a loaded machine are not all on the second.
func gaps(all []int64, from, to int64) (missing []int64) {
	for at := from; at <= to; at++ {
		if i, ok := slices.BinarySearch(all, at-1); !ok && (i == len(all) || all[i] > at+1) {
			missing = append(missing, at)
		}
	}
	return missing
}

var pollsOf = regexp.MustCompile(`(?m)^corbie_polls_total(?:\{[^}]*\})? (\S+)$`)

// polls is how many polls the master says it has made.
func polls(t *testing.T, master *process) (n float64) {
	t.Helper()
	for _, found := range pollsOf.FindAllStringSubmatch(master.page(t, "/metrics"), -1) {
		var one float64
		if _, err := fmt.Sscan(found[1], &one); err != nil {
			t.Fatal(err)
		}
		n += one
	}
	return n
}
