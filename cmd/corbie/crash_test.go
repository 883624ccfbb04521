package main

import (
	"encoding/csv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
)

// exported is every stored value of the host as "corbie export" shows it, by time and series.
func exported(t *testing.T, data string) map[string]string {
	t.Helper()
	text := mustCorbie(t, "export", "web1", "--data", data, "--from", "now-1h")
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, row := range rows[1:] {
		all[strings.Join(row[:4], " ")] = row[4]
	}
	return all
}

func TestNothingExportedIsMissingAfterKill(t *testing.T) {
	t.Parallel()
	plugins := testenv.PublicDir(t)
	testenv.WriteFile(t, filepath.Join(plugins, "clock"), `#!/bin/sh
if [ "$1" = config ]; then
	echo graph_title Clock
	for i in 1 2 3 4 5 6 7 8 9; do echo "f$i.label f$i"; done
	exit
fi
now=$(date +%s%N)
for i in 1 2 3 4 5 6 7 8 9; do echo "f$i.value $now"; done
`, 0o755)
	conf := writeConfig(t, startNode(t, plugins), "")
	data := t.TempDir()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	shown := make(map[string]string)
	kills := 20
	for kill := range kills {
		master := startMaster(t, data, conf)
		before := len(shown)
		testenv.Eventually(t, "a new value is stored", func() bool {
			for key, value := range exported(t, data) {
				shown[key] = value
			}
			return len(shown) > before
		})
		<-time.After(time.Duration(random.IntN(1200)) * time.Millisecond)
		for key, value := range exported(t, data) {
			shown[key] = value
		}
		master.Kill()

		after := exported(t, data)
		for key, value := range shown {
			if got, ok := after[key]; !ok || got != value {
				t.Fatalf("kill %d: %s was %s before, is %q now", kill, key, value, got)
			}
		}
	}
	t.Logf("%d kills, %d values shown, none missing", kills, len(shown))
	if _, err := os.Stat(filepath.Join(data, "quarantine")); err == nil {
		t.Error("a kill made the master set data aside")
	}
}
