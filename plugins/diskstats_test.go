package plugins_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"corbie/munin"
	"corbie/plugins"
)

func TestDiskstatsReportsWhatHappenedSinceTheSameMasterAsked(t *testing.T) {
	root := fstest.MapFS{}
	counted := func(line string) { root["proc/diskstats"] = &fstest.MapFile{Data: []byte(" 8 0 sda " + line + "\n")} }
	now := time.Unix(1_800_000_000, 0)
	set := plugins.New(root, plugins.Options{Now: func() time.Time { return now }})
	first := map[string]string{"MUNIN_STATEFILE": "a"}
	fetch := func(env map[string]string) map[string]string {
		got := make(map[string]string)
		graph := ""
		for line := range strings.Lines(string(run(t, set, "diskstats", "", env))) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			if key == "multigraph" {
				graph = value
			} else {
				got[graph+"."+strings.TrimSuffix(key, ".value")] = value
			}
		}
		return got
	}
	counted("100 0 8000 1000 100 0 8000 2000 0 500 3000")
	if got := fetch(first)["diskstats_iops.sda.rdio"]; got != "U" {
		t.Errorf("at the first time reads are %s, want U: there is nothing to compare with", got)
	}
	now = now.Add(10 * time.Second)
	counted("200 0 28000 2000 150 0 8400 2500 0 5500 4500")
	got := fetch(first)
	for field, want := range map[string]string{
		"diskstats_iops.sda_rdio":             "10",
		"diskstats_iops.sda.wrio":             "5",
		"diskstats_throughput.sda.rdbytes":    "1024000",
		"diskstats_utilization.sda.util":      "50",
		"diskstats_latency.sda_avgwait":       "0.01",
		"diskstats_latency.sda.avgrdwait":     "0.01",
		"diskstats_latency.sda.svctm":         "0.033333",
		"diskstats_iops.sda.avgrdrqsz":        "102.4",
		"diskstats_iops.sda.avgwrrqsz":        "4.096",
		"diskstats_throughput.sda.wrbytes":    "20480",
		"diskstats_utilization.sda_util":      "50",
		"diskstats_latency.sda.avgwrwait":     "0.01",
		"diskstats_throughput.sda_rdbytes":    "1024000",
		"diskstats_iops.sda_wrio":             "5",
		"diskstats_throughput.sda_wrbytes":    "20480",
		"diskstats_latency.sda.avgwait":       "0.01",
		"diskstats_iops.sda.rdio":             "10",
		"diskstats_throughput.sdb.wrbytes":    "",
		"diskstats_utilization.sda.nonsense_": "",
	} {
		if got[field] != want {
			t.Errorf("%s is %q, want %q", field, got[field], want)
		}
	}
	// Another master starts anew, and does not take the first one's span away.
	if got := fetch(map[string]string{"MUNIN_STATEFILE": "b"})["diskstats_iops.sda.rdio"]; got != "U" {
		t.Errorf("for another master reads are %s, want U", got)
	}
	now = now.Add(time.Second)
	if got := fetch(first)["diskstats_iops.sda.rdio"]; got != "9.090909" {
		t.Errorf("asked again at once, reads are %s, want those of the last eleven seconds, 9.090909", got)
	}
	now = now.Add(9 * time.Second)
	counted("5 0 40 10 5 0 40 10 0 10 20")
	if got := fetch(first)["diskstats_iops.sda.rdio"]; got != "U" {
		t.Errorf("after the counters began anew, reads are %s, want U", got)
	}
	now = now.Add(2 * time.Hour)
	if got := fetch(first)["diskstats_iops.sda.rdio"]; got != "U" {
		t.Errorf("two hours later reads are %s, want U", got)
	}
}

func TestDiskstatsOfAnIdleDiskAndOfATimeThatWrapped(t *testing.T) {
	root := fstest.MapFS{}
	now := time.Unix(1_800_000_000, 0)
	set := plugins.New(root, plugins.Options{Now: func() time.Time { return now }})
	root["proc/diskstats"] = &fstest.MapFile{Data: []byte(
		" 8 0 sda 100 0 800 4294967000 0 0 0 0 0 4294967000 0\n 8 16 sdb 5 0 40 9 0 0 0 0 0 9 9\n")}
	run(t, set, "diskstats", "", nil)
	now = now.Add(10 * time.Second)
	root["proc/diskstats"] = &fstest.MapFile{Data: []byte(
		" 8 0 sda 200 0 1600 704 0 0 0 0 0 704 0\n 8 16 sdb 5 0 40 9 0 0 0 0 0 9 9\n")}
	out := string(run(t, set, "diskstats", "", nil))
	for _, want := range []string{
		"multigraph diskstats_latency\nsda_avgwait.value 0.01\nsdb_avgwait.value 0\n",
		"multigraph diskstats_utilization\nsda_util.value 10\nsdb_util.value 0\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestDiskstatsLeavesPartitionsOutWhereThereIsNoSys(t *testing.T) {
	var text strings.Builder
	for _, name := range []string{
		"sda", "sda1", "sda12", "nvme0n1", "nvme0n1p2", "mmcblk0", "mmcblk0p1", "md0", "md127", "loop1", "loop10", "vdb1", "dm-3",
	} {
		fmt.Fprintf(&text, " 8 0 %s 1 1 1 1 1 1 1 1 1 1 1\n", name)
	}
	set := plugins.New(fstest.MapFS{"proc/diskstats": {Data: []byte(text.String())}}, plugins.Options{})
	var disks []string
	for _, g := range munin.ParseConfig("diskstats", run(t, set, "diskstats", "config", nil)).Graphs {
		if name, ok := strings.CutPrefix(g.Name, "diskstats_iops."); ok {
			disks = append(disks, name)
		}
	}
	if got, want := strings.Join(disks, " "), "loop1 loop10 md0 md127 mmcblk0 nvme0n1 sda vdb1 dm_3"; got != want {
		t.Errorf("disks are %s, want %s", got, want)
	}
}
