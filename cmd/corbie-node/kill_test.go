package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
)

// killed is a node that is killed again and again, and what its master has got.
type killed struct {
	dir, config string
	since       int64          // the highest time that the master has seen
	seen        map[string]int // samples, by how often they came
	values      map[string][]int
}

// TestNothingFetchedIsLostOrRepeatedByKillsOfTheNode kills a node that samples every second with kill -9, five times or as often as
// CORBIE_TEST_KILLS says. Each run of a plugin has a number of its own.
func TestNothingFetchedIsLostOrRepeatedByKillsOfTheNode(t *testing.T) {
	t.Parallel()
	kills := 5
	if text := os.Getenv("CORBIE_TEST_KILLS"); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	k := newKilled(t)
	for range kills {
		d := startNode(t, "corbie-node", "--config", k.config)
		before := k.since
		testenv.Eventually(t, "there is a sample", func() bool {
			k.poll(t, d.addr)
			return k.since > before
		})
		<-time.After(time.Duration(rand.IntN(1100)) * time.Millisecond)
		k.poll(t, d.addr)
		d.Kill()
	}
	d := startNode(t, "corbie-node", "--config", k.config)
	before := k.since
	testenv.Eventually(t, "there is another sample", func() bool {
		k.poll(t, d.addr)
		return k.since > before
	})
	k.check(t, d, kills)
	d.Stop(t)
}

func newKilled(t *testing.T) *killed {
	t.Helper()
	dir := testenv.PublicDir(t)
	k := &killed{dir: dir, config: filepath.Join(dir, "node.conf"), seen: make(map[string]int), values: make(map[string][]int)}
	if err := os.Mkdir(filepath.Join(dir, "count"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "count")} { // The plugins write there, as nobody.
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	const script = `#!/bin/sh
if [ "$1" = config ]; then echo graph_title Runs; echo n.label runs; exit; fi
file=%s/count/${0##*/}
n=$(cat "$file" 2>/dev/null || echo 0)
n=$((n + 1))
echo $n >"$file.new" && mv "$file.new" "$file"
echo "n.value $n"
`
	for _, name := range []string{"one", "two", "three"} {
		testenv.WriteFile(t, filepath.Join(dir, "plugins", name), fmt.Sprintf(script, dir), 0o755)
	}
	testenv.WriteFile(t, k.config, "spool yes\nspooldir spool\nsample_interval 1\nservicedir plugins\nsconfdir conf\nstatedir state\nnative no\npeer_rate 0\n", 0o644)
	return k
}

// poll fetches what is newer than all that the master has.
func (k *killed) poll(t *testing.T, addr string) {
	t.Helper()
	reply := spoolReply(t, addr, k.since)
	for _, s := range reply.Samples {
		k.seen[fmt.Sprintf("%s.%s %d %v", s.Graph, s.Field, s.At.Unix(), s.Value)]++
		k.values[s.Graph] = append(k.values[s.Graph], int(s.Value))
		k.since = max(k.since, s.At.Unix())
	}
}

func (k *killed) check(t *testing.T, d *daemon, kills int) {
	t.Helper()
	all := spoolReply(t, d.addr, 0)
	kept := make(map[string]int)
	for _, s := range all.Samples {
		kept[fmt.Sprintf("%s.%s %d %v", s.Graph, s.Field, s.At.Unix(), s.Value)]++
	}
	for sample, times := range k.seen {
		if times != 1 || kept[sample] != 1 {
			t.Errorf("%s came %d times and is in the spool %d times", sample, times, kept[sample])
		}
	}
	missing := 0
	for name, values := range k.values {
		for i, value := range values[1:] {
			if value <= values[i] {
				t.Errorf("%s: run %d came after run %d", name, value, values[i])
			}
			missing += max(0, value-values[i]-1)
		}
	}
	if len(k.values) != 3 || missing > len(k.values)*kills {
		t.Errorf("%d samples are missing: more than were under way at %d kills", missing, kills)
	}
	if log := d.Log(); strings.Contains(log, "samples are lost") {
		t.Errorf("the node says:\n%s", log)
	}
	t.Logf("%d kills: %d samples fetched, each once and still in the spool; %d runs were under way when the node was killed", kills, len(k.seen), missing)
}
