package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// startMuninNode runs Debian's munin-node with its default plugins on a port of its own.
func startMuninNode(t *testing.T) (address string) {
	t.Helper()
	needPeer(t, "munin-node", "munin-run")
	address = freeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	dir := t.TempDir()
	conf := filepath.Join(dir, "munin-node.conf")
	writeFile(t, conf, fmt.Sprintf(`log_level 4
log_file %[1]s/node.log
pid_file %[1]s/node.pid
background 0
setsid 0
user root
group root
host_name debian.test
allow ^127\.0\.0\.1$
host 127.0.0.1
port %[2]s
`, dir, port), 0o644)
	start(t, "munin-node", nil, "/usr/sbin/munin-node", "--foreground", "--config", conf)
	eventually(t, "munin-node has probed its plugins and listens", func() bool {
		out, _, code := corbie(t, "poll", address, "--plugin", "uptime", "--format", "json")
		return code == exitOK && strings.Contains(out, `"plugin": "uptime"`)
	})
	return address
}

// muninRun is what Debian's munin-run prints for a plugin: the values by graph and field.
func muninRun(t *testing.T, plugin string) map[string]float64 {
	t.Helper()
	var talk bytes.Buffer
	cmd := exec.Command("/usr/sbin/munin-run", plugin)
	cmd.Stderr = &talk
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("munin-run %s: %v\n%s", plugin, err, talk.String())
	}
	values := make(map[string]float64)
	graph := plugin
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if key == "multigraph" {
			graph = value
			continue
		}
		field, isValue := strings.CutSuffix(key, ".value")
		if v, err := strconv.ParseFloat(value, 64); isValue && err == nil {
			values[graph+" "+field] = v
		}
	}
	return values
}

type storedPoll struct {
	Plugins []string `json:"plugins"`
	Values  []struct{ Plugin, Graph, Field, Type string }
}

func TestEveryPluginOfDebiansNodeIsStoredAsItSaid(t *testing.T) {
	address := startMuninNode(t)
	var said storedPoll
	out, talk, _ := corbie(t, "poll", address, "--format", "json")
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		t.Fatalf("%v\n%s%s", err, out, talk)
	}
	before := make(map[string]map[string]float64)
	for _, plugin := range said.Plugins {
		before[plugin] = muninRun(t, plugin)
	}
	data := t.TempDir()
	startMaster(t, data, writeConfig(t, address, "    use_node_name: yes\n    interval: 10s\n"))
	eventually(t, "the first poll is over", func() bool {
		out, _, code := corbie(t, "hosts", "--data", data, "--format", "json")
		return code == exitOK && strings.Contains(out, `"state": "ok"`)
	})
	stored := lastStored(t, data)

	exact, moving := 0, 0
	for _, plugin := range said.Plugins {
		after := muninRun(t, plugin)
		fields, found := 0, 0
		for _, v := range said.Values {
			if v.Plugin != plugin {
				continue
			}
			key := v.Graph + " " + v.Field
			fields++
			got, ok := stored[key]
			if !ok {
				t.Errorf("%s: %s is not stored", plugin, key)
				continue
			}
			found++
			was, is := before[plugin][key], after[key]
			if was == is {
				exact++
				if got != is {
					t.Errorf("%s: %s is stored as %v, munin-run says %v before and after", plugin, key, got, is)
				}
				continue
			}
			moving++
			low, high := math.Min(was, is), math.Max(was, is)
			if room := 3*(high-low) + 0.05*high; v.Type == "GAUGE" && (got < low-room || got > high+room) {
				t.Errorf("%s: %s is stored as %v, munin-run says %v before and %v after", plugin, key, got, was, is)
			}
			if v.Type != "GAUGE" && (got < low || got > high) {
				t.Errorf("%s: the counter %s is stored as %v, munin-run says %v before and %v after", plugin, key, got, was, is)
			}
		}
		if fields == 0 || found != fields {
			t.Errorf("%s: %d of its %d fields are stored", plugin, found, fields)
		}
	}
	t.Logf("%d plugins, %d values: %d equal to munin-run's, %d moving ones between its two", len(said.Plugins), exact+moving, exact, moving)
	if len(said.Plugins) < 20 {
		t.Errorf("munin-node offers only %d plugins: is Debian's default set installed?", len(said.Plugins))
	}
}

// lastStored is the newest stored value of every series of the host, by graph and field.
func lastStored(t *testing.T, data string) map[string]float64 {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(mustCorbie(t, "export", "web1", "--data", data))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	last := make(map[string]float64)
	for _, row := range rows[1:] {
		v, err := strconv.ParseFloat(row[4], 64)
		if err != nil {
			v = math.NaN()
		}
		last[row[2]+" "+row[3]] = v
	}
	return last
}
