package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
)

// muninDB makes the dbdir of a Munin master that polled one host for three days, until now.
func muninDB(t *testing.T, now int64) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "web"), 0o755); err != nil {
		t.Fatal(err)
	}
	datafile := "version 2.0.73\n"
	for i, kind := range []string{"GAUGE", "DERIVE", "COUNTER"} {
		name := fmt.Sprintf("f%d", i)
		datafile += fmt.Sprintf("web;www1:multi.sub.graph_title Several things\nweb;www1:multi.sub.%s.label %s\nweb;www1:multi.sub.%s.type %s\n", name, kind, name, kind)
		path := filepath.Join(dir, "web", "www1-multi-sub-"+name+"-"+strings.ToLower(kind[:1])+".rrd")
		args := []string{"create", path, "--start", strconv.FormatInt(now-3*86400, 10), "--step", "300", "DS:42:" + kind + ":600:U:U"}
		for _, rows := range []string{"1:576", "6:432", "24:540", "288:450"} {
			for _, function := range []string{"AVERAGE", "MIN", "MAX"} {
				args = append(args, "RRA:"+function+":0.5:"+rows)
			}
		}
		testenv.RRDTool(t, args...)
		args = []string{"update", path}
		for at := now - 3*86400 + 300; at <= now; at += 300 {
			args = append(args, fmt.Sprintf("%d:%d", at+at%7, at*int64(i+1)+at%1000))
		}
		testenv.RRDTool(t, args...)
	}
	datafile += "web;www1:multi.sub.gone.label no file\n"
	testenv.WriteFile(t, filepath.Join(dir, "datafile"), datafile, 0o644)
	return dir
}

func TestAnImportedMuninShowsWhatRrdtoolFetches(t *testing.T) {
	now := time.Now().Unix() / 86400 * 86400
	dbdir, data := muninDB(t, now), filepath.Join(t.TempDir(), "data")
	if out := mustCorbie(t, "import", "munin", "--dbdir", dbdir, "--data", data); !strings.HasPrefix(out, "3 fields of 1 hosts") || !strings.Contains(out, "1 have no RRD file") {
		t.Errorf("it says %q", out)
	}
	if out := mustCorbie(t, "import", "munin", "--dbdir", dbdir, "--data", data); !strings.HasPrefix(out, "0 fields of 1 hosts: 0 rows brought in; 3 fields were there already") {
		t.Errorf("the second time it says %q", out)
	}
	if out := mustCorbie(t, "graphs", "www1", "--data", data); !strings.Contains(out, "Several things") {
		t.Errorf("graphs: %s", out)
	}
	for _, step := range []int64{300, 7200, 86400} {
		from := now - step*8
		text := mustCorbie(t, "export", "www1", "multi.sub", "--data", data, "--step", fmt.Sprint(step),
			"--from", fmt.Sprint(from), "--to", fmt.Sprint(now))
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		compared := 0
		for _, row := range rows[1:] {
			start, err := time.Parse(time.RFC3339, row[0])
			if err != nil {
				t.Fatal(err)
			}
			kind := map[string]string{"f0": "g", "f1": "d", "f2": "c"}[row[3]]
			if kind == "" || row[4] == "" {
				continue
			}
			path := filepath.Join(dbdir, "web", "www1-multi-sub-"+row[3]+"-"+kind+".rrd")
			end := start.Unix() + step
			fetched := testenv.RRDTool(t, "fetch", path, "AVERAGE", "-r", fmt.Sprint(step), "-s", fmt.Sprint(end-step), "-e", fmt.Sprint(end-step))
			got, err := strconv.ParseFloat(row[4], 64)
			if err != nil {
				t.Fatal(err)
			}
			_, value, ok := strings.Cut(fetched, fmt.Sprintf("%d: ", end))
			want, err := strconv.ParseFloat(strings.TrimSpace(strings.SplitN(value, "\n", 2)[0]), 64)
			if !ok || err != nil || math.Abs(got-want) > 1e-9*math.Abs(want) {
				t.Errorf("step %d, %s at %d: %v, rrdtool says\n%s", step, row[3], end, got, fetched)
			}
			compared++
		}
		if compared < 6 {
			t.Errorf("step %d: only %d values were compared", step, compared)
		}
	}
}

func TestAnInterruptedImportSaysHowToGoOn(t *testing.T) {
	dbdir, data := muninDB(t, time.Now().Unix()/86400*86400), filepath.Join(t.TempDir(), "data")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, talk bytes.Buffer
	code := run(ctx, []string{"import", "munin", "--dbdir", dbdir, "--data", data}, &out, &talk)
	if code != exitFailed || talk.String() != "corbie: what was brought in so far stays; the same command brings in the rest\ncorbie: interrupted\n" {
		t.Errorf("exit %d: %s%s", code, &out, &talk)
	}
	if out := mustCorbie(t, "import", "munin", "--dbdir", dbdir, "--data", data); !strings.HasPrefix(out, "3 fields of 1 hosts") {
		t.Errorf("then it says %q", out)
	}
}

func TestAnImportNamesHostsThatTheConfigurationCallsOtherwise(t *testing.T) {
	dbdir, dir := muninDB(t, time.Now().Unix()/86400*86400), t.TempDir()
	data, conf := filepath.Join(dir, "data"), filepath.Join(dir, "corbie.yml")
	testenv.WriteFile(t, conf, "hosts: {www1: 192.0.2.1, www2: 192.0.2.2}\n", 0o644)
	_, talk, code := corbie(t, "import", "munin", "--dbdir", dbdir, "--data", data, "--config", conf)
	const advice = "corbie rename 'web;www1' www1"
	if code != exitOK || !strings.Contains(talk, "1 host is not in the configuration") || !strings.Contains(talk, advice) {
		t.Fatalf("exit %d: %s", code, talk)
	}
	// The advice works before the host was ever polled.
	mustCorbie(t, "rename", "web;www1", "www1", "--data", data, "--config", conf)
	if out := mustCorbie(t, "rename", "--list", "--data", data); !strings.Contains(out, "web;www1") || strings.Contains(out, "web;www1  web;www1") {
		t.Errorf("renamed: %s", out)
	}
	testenv.WriteFile(t, conf, "hosts: {www1: {address: 192.0.2.1, group: web}}\n", 0o644)
	if _, talk, _ := corbie(t, "import", "munin", "--dbdir", dbdir, "--data", data, "--config", conf); talk != "" {
		t.Errorf("with the same names it says %q", talk)
	}
}

func TestAMuninThreeIsRefusedWithTheReason(t *testing.T) {
	dbdir := t.TempDir()
	testenv.WriteFile(t, filepath.Join(dbdir, "datafile.sqlite"), "SQLite format 3", 0o644)
	if _, talk, code := corbie(t, "import", "munin", "--dbdir", dbdir, "--data", t.TempDir()); code != exitFailed || !strings.Contains(talk, "Munin 3") {
		t.Errorf("exit %d: %s", code, talk)
	}
}
