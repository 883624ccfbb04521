package main

import (
	"encoding/csv"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"corbie/internal/testenv"
)

// historyPlugin tells the values of the last nine hours at once, with their times, as plugins may: munin-update stores them all.
const historyPlugin = `#!/bin/sh
if [ "$1" = config ]; then
	echo graph_title History
	echo graph_data_size SIZES
	for kind in GAUGE DERIVE COUNTER ABSOLUTE; do
		echo "f$kind.label $kind"
		echo "f$kind.type $kind"
		echo "f$kind.min 0"
	done
	exit
fi
now=$(date +%s)
at=$((now / 300 * 300 - 32400))
n=0
while [ $at -le $now ]; do
	n=$((n + 1))
	echo "fGAUGE.value $at:$((n * 7919 % 1000)).25"
	echo "fDERIVE.value $at:$((n * 1000 + n * n % 977))"
	echo "fCOUNTER.value $at:$((n * 54321 + n * n % 977))"
	echo "fABSOLUTE.value $at:$((n * 31 % 5000))"
	at=$((at + 300))
done
`

// TestFilesOfMuninUpdateAreImportedRowByRow lets Debian's munin-update write RRD files of every type and two sets of sizes, imports them, and
// compares every row with what rrdtool fetches.
func TestFilesOfMuninUpdateAreImportedRowByRow(t *testing.T) {
	uid, gid := account(t)
	plugins := testenv.PublicDir(t)
	sizes := map[string][]int64{"normal": {300, 1800, 7200}, "custom 1d, 10m for 3d, 1h for 2w": {300, 600, 3600}}
	graphs := map[string]string{"normal": "h_normal", "custom 1d, 10m for 3d, 1h for 2w": "h_custom"}
	for size, graph := range graphs {
		testenv.WriteFile(t, filepath.Join(plugins, graph), strings.Replace(historyPlugin, "SIZES", size, 1), 0o755)
	}
	dir, conf := muninFolders(t, "dbdir /var/lib/munin\nhtmldir /var/cache/munin/www\nlogdir /var/log/munin\nrundir /var/run/munin\n\n"+
		"[web;www1]\n\taddress 127.0.0.1\n\tport 4949\n\tuse_node_name yes\n", startNode(t, plugins), uid, gid)
	update := exec.CommandContext(t.Context(), muninUpdate, "--config", conf)
	update.Dir = "/"
	update.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + dir, "USER=munin", "LOGNAME=munin", "LC_ALL=C"}
	update.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}} //nolint:gosec // small
	if out, err := update.CombinedOutput(); err != nil {
		t.Fatalf("munin-update: %v\n%s", err, out)
	}
	data := filepath.Join(t.TempDir(), "data")
	if out := mustCorbie(t, "import", "munin", "--dbdir", filepath.Join(dir, "lib"), "--data", data); !strings.HasPrefix(out, "8 fields of 1 hosts") {
		t.Fatalf("it says %q", out)
	}
	now := time.Now().Unix()
	compared := make(map[string]int)
	for size, graph := range graphs {
		for _, step := range sizes[size] {
			from, to := (now-36000)/step*step, now/step*step
			text := mustCorbie(t, "export", "www1", graph, "--data", data, "--step", fmt.Sprint(step), "--from", fmt.Sprint(from), "--to", fmt.Sprint(to))
			shown, err := csv.NewReader(strings.NewReader(text)).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			for _, kind := range []string{"GAUGE", "DERIVE", "COUNTER", "ABSOLUTE"} {
				path := filepath.Join(dir, "lib", "web", "www1-"+graph+"-f"+kind+"-"+strings.ToLower(kind[:1])+".rrd")
				want := testenv.RRDFetch(t, path, "AVERAGE", time.Duration(step)*time.Second, from, to-1)
				for _, row := range shown[1:] {
					start, err := time.Parse(time.RFC3339, row[0])
					if err != nil {
						t.Fatal(err)
					}
					v, known := want[start.Unix()+step]
					if row[3] != "f"+kind || !known {
						continue // Where this archive knows nothing, a coarser one may.
					}
					got, err := strconv.ParseFloat(row[4], 64)
					if err != nil || math.Abs(got-v) > 1e-9*max(1, math.Abs(v)) {
						t.Errorf("%s %s step %d: row that ends at %d is %q, rrdtool says %v", graph, kind, step, start.Unix()+step, row[4], v)
					}
					delete(want, start.Unix()+step)
					compared[kind]++
				}
				delete(want, to)
				delete(want, to+step)
				delete(want, from) // The range as asked begins and ends within one.
				if len(want) > 0 {
					t.Errorf("%s %s step %d: rows that are not shown: %v", graph, kind, step, want)
				}
			}
		}
	}
	for _, kind := range []string{"GAUGE", "DERIVE", "COUNTER", "ABSOLUTE"} {
		if compared[kind] < 200 {
			t.Errorf("only %d rows of type %s were compared", compared[kind], kind)
		}
	}
	t.Logf("rows compared: %v", compared)
}
