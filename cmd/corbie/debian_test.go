package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"corbie/internal/testenv"
)

// startMuninNode runs Debian's munin-node with its default plugins on a port of its own.
func startMuninNode(t *testing.T) (address string) {
	t.Helper()
	address, _ = testenv.MuninNode(t, "debian.test")
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
		if value == "U" {
			value = "NaN"
		}
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

// comparison is how one poll's stored values fare against what munin-run printed before and after it.
type comparison struct {
	wrong         map[string]string // by plugin and field: what differs
	exact, moving int
}

func TestEveryPluginOfDebiansNodeIsStoredAsItSaid(t *testing.T) {
	address := startMuninNode(t)
	var said storedPoll
	out, talk, _ := corbie(t, "poll", address, "--format", "json")
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		t.Fatalf("%v\n%s%s", err, out, talk)
	}
	if len(said.Plugins) < 20 {
		t.Errorf("munin-node offers only %d plugins: is Debian's default set installed?", len(said.Plugins))
	}
	// A value can flicker between two runs of munin-run that agree, such as a count of zombies: what differs in one
	// poll has to agree in another.
	var wrong map[string]string
	for range 6 {
		got := compareWithMuninRun(t, address, &said)
		t.Logf("%d plugins: %d values equal to munin-run's, %d moving ones between its two", len(said.Plugins), got.exact, got.moving)
		for key := range got.wrong {
			if _, before := wrong[key]; wrong != nil && !before {
				delete(got.wrong, key)
			}
		}
		if wrong = got.wrong; len(wrong) == 0 {
			return
		}
	}
	for key, why := range wrong {
		t.Errorf("%s: %s", key, why)
	}
}

func compareWithMuninRun(t *testing.T, address string, said *storedPoll) comparison {
	t.Helper()
	before := make(map[string]map[string]float64)
	for _, plugin := range said.Plugins {
		before[plugin] = muninRun(t, plugin)
	}
	data := t.TempDir()
	master := startMaster(t, data, writeConfig(t, address, "    use_node_name: yes\n    interval: 10s\n"))
	testenv.Eventually(t, "the first poll is over", func() bool {
		out, _, code := corbie(t, "hosts", "--data", data, "--format", "json")
		return code == exitOK && strings.Contains(out, `"state": "ok"`)
	})
	master.Kill()
	stored := lastStored(t, data)

	c := comparison{wrong: make(map[string]string)}
	for _, plugin := range said.Plugins {
		after := muninRun(t, plugin)
		fields := 0
		for _, v := range said.Values {
			if v.Plugin != plugin {
				continue
			}
			fields++
			key := v.Graph + " " + v.Field
			got, ok := stored[key]
			if !ok {
				t.Errorf("%s: %s is not stored", plugin, key)
				continue
			}
			if averagesSinceItsLastRun[plugin] {
				continue
			}
			if why := c.judge(plugin, got, before[plugin][key], after[key], v.Type); why != "" {
				c.wrong[plugin+" "+key] = why
			}
		}
		if fields == 0 {
			t.Errorf("%s: none of its fields is stored", plugin)
		}
	}
	return c
}

// averagesSinceItsLastRun are plugins whose values span the time since they ran last for the same master, so that
// munin-run and a poll, which keep apart state, rightly differ. They have to be stored, and are not compared.
var averagesSinceItsLastRun = map[string]bool{"diskstats": true}

// countsThePoller are plugins that count processes or connections, which a poll itself adds to.
var countsThePoller = map[string]float64{"processes": 5, "netstat": 5, "threads": 50, "proc_pri": 5, "vmstat": 5}

// judge compares a stored value with what munin-run printed before and after the poll. NaN is U.
func (c *comparison) judge(plugin string, got, was, is float64, kind string) string {
	own := countsThePoller[plugin]
	if was == is || math.IsNaN(was) && math.IsNaN(is) {
		c.exact++
		if !(math.Abs(got-is) <= own) && !(math.IsNaN(got) && math.IsNaN(is)) {
			return fmt.Sprintf("stored as %v, munin-run says %v before and after", got, is)
		}
		return ""
	}
	c.moving++
	low, high := math.Min(was, is), math.Max(was, is)
	room := own
	if kind == "GAUGE" {
		room += 3*(high-low) + high
	}
	if got < low-room || got > high+room {
		return fmt.Sprintf("the %s is stored as %v, munin-run says %v before and %v after", kind, got, was, is)
	}
	return ""
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
