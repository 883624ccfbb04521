package config_test

import (
	"strings"
	"testing"
	"time"

	"corbie/master/config"
)

func TestTheNearestOfIntervalAndScheduleHolds(t *testing.T) {
	c := parse(t, `
groups:
  night: {schedule: "*/10 1-5 * * *"}
  night;often: {interval: 30s}
roles:
  daily: {schedule: "@daily"}
hosts:
  a: {group: night}
  b: {group: night;often}
  c: {group: night, interval: 1m}
  d: {group: night, roles: [daily]}
  e: {}
`)
	want := map[string]struct {
		interval time.Duration
		schedule string
	}{
		"night;a": {10 * time.Minute, "*/10 1-5 * * *"}, "night;often;b": {30 * time.Second, ""}, "night;c": {time.Minute, ""},
		"night;d": {24 * time.Hour, "@daily"}, "e": {5 * time.Minute, ""},
	}
	for _, target := range c.Targets() {
		schedule := ""
		if target.Schedule != nil {
			schedule = target.Schedule.String()
		}
		if w := want[string(target.Host)]; target.Interval != w.interval || schedule != w.schedule {
			t.Errorf("%s: %s, %q, want %v", target.Host, target.Interval, schedule, w)
		}
	}
	for text, message := range map[string]string{
		"hosts: {a: {interval: 1m, schedule: \"@daily\"}}": "only one of interval and schedule",
		"hosts: {a: {schedule: \"@monthly\"}}":             "polls 1 s to 1 d apart",
		"hosts: {a: {schedule: \"every day\"}}":            "five cron fields",
	} {
		if got := parseError(t, text); !strings.Contains(got, message) {
			t.Errorf("%s: %s", text, got)
		}
	}
}

func TestPluginsHaveRhythmsOfTheirOwn(t *testing.T) {
	c := parse(t, "groups: {g: {plugins: {\"apt*\": 1h, df: never}}}\nhosts: {a: {group: g, plugins: {apt_all: 6h}}}\n")
	target := c.Targets()[0]
	for plugin, want := range map[string]time.Duration{"apt_all": 6 * time.Hour, "apt": time.Hour, "df": -1, "load": 0} {
		if got := target.Every(plugin); got != want {
			t.Errorf("%s: %s, want %s", plugin, got, want)
		}
	}
	g := graph()
	g.Plugin = "apt"
	if target.Override(g); g.UpdateRate != time.Hour {
		t.Errorf("the graph of a plugin that is asked every hour has the rhythm %s", g.UpdateRate)
	}
	for _, bad := range []string{"{\"a b\": 1h}", "{x: }", "{x: 1ms}", "{x: soon}", "[x]"} {
		parseError(t, "hosts: {a: {plugins: "+bad+"}}")
	}
}

func TestTagsAndRolesPickHosts(t *testing.T) {
	c := parse(t, `
roles: {db: {tags: [team=x]}}
hosts:
  a: {roles: [db]}
  b: {tags: [canary]}
levels:
  - {match: "@team=*:df.*", warning: 1}
  - {match: "@canary:df.*", warning: 2}
graphs:
  - {match: "@db:df", graph_title: Disks of databases, graph: no}
  - {match: "b:d*", graph_category: Boring}
`)
	a, b := graph(), graph()
	c.Override("a", a)
	c.Override("b", b)
	if a.Fields[0].Warning.String() != ":1" || b.Fields[0].Warning.String() != ":2" {
		t.Errorf("levels %v and %v", a.Fields[0].Warning, b.Fields[0].Warning)
	}
	if a.Title != "Disks of databases" || !a.Hidden || b.Hidden || b.Category != "boring" || a.Origin["graph_title"] != "corbie.yml:10" {
		t.Errorf("%+v\n%+v", a, b)
	}
	for text, want := range map[string]string{
		"hosts: {a: {roles: [nobody]}}":            `there is no role "nobody"`,
		"hosts: {a: {tags: [\"a b\"]}}":            `the tag "a b"`,
		"graphs: [{match: \"a:\"}]":                "want HOST:GRAPH",
		"graphs: [{match: df}]":                    "it changes nothing",
		"graphs: [{graph_title: x}]":               "match is missing",
		"graphs: [{match: df, graph_period: day}]": "want second, minute or hour",
	} {
		if got := parseError(t, text); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestFilesOfHostsAndTargets(t *testing.T) {
	dir := t.TempDir()
	write := fileWriter(t, dir)
	main := write("corbie.yml", "include: [\"conf.d/*.yml\"]\nfile_sd:\n  - {files: [\"t/*\"], group: sd, interval: 1m, tags: [sd]}\n")
	write("conf.d/b.yml", "hosts: {b: 10.0.0.2}\nlevels: [{match: \"df.*\", warning: 2}]\n")
	write("conf.d/a.yml", "hosts: {a: 10.0.0.1}\nlevels: [{match: \"df.*\", warning: 1}]\n")
	write("t/one.yml", "- targets: [10.0.1.1, \"10.0.1.2:5000\"]\n  labels: {env: prod, __x: y}\n")
	two := write("t/two.json", "[{\"targets\":[\"10.0.2.1\"],\t\"labels\":{\"host\":\"two\",\"group\":\"other\",\"node_name\":\"n2\"}}]")
	load := func() *config.Config {
		t.Helper()
		c, err := config.Load(main, config.Flags{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := load()
	var got []string
	for _, h := range c.Hosts {
		got = append(got, string(h.ID)+" "+h.Address+" "+h.Interval.String()+" "+strings.Join(h.Tags, " ")+" "+h.NodeName)
	}
	want := "a 10.0.0.1:4949 5m0s  |b 10.0.0.2:4949 5m0s  |other;two 10.0.2.1:4949 1m0s sd n2|" +
		"sd;10.0.1.1 10.0.1.1:4949 1m0s env=prod sd |sd;10.0.1.2 10.0.1.2:5000 1m0s env=prod sd "
	if text := strings.Join(got, "|"); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	g := graph()
	if c.Override("a", g); g.Fields[0].Warning.String() != ":2" || !strings.HasSuffix(g.Fields[0].Origin["warning"], "b.yml:2") {
		t.Errorf("%+v", g.Fields[0])
	}
	before := c.Fingerprint()
	if before == "" || before != load().Fingerprint() || before != c.Seen() {
		t.Errorf("the fingerprint of files that did not change: %q", before)
	}
	write("t/three.yml", "- targets: [10.0.3.1]\n")
	if c.Fingerprint() == before || len(load().Hosts) != 6 {
		t.Error("a new file of targets is not seen")
	}
	for text, message := range map[string]string{
		"{\"targets\": []}":                                              "want a list of",
		"[{\"targets\": [\"10.0.0.300\"]}]":                              "no IP address",
		"[{\"target\": [\"10.0.0.3\"]}]":                                 "did you mean \"targets\"",
		"[{\"targets\": \"10.0.0.3\"}]":                                  "want a list of addresses",
		"[{\"targets\": [\"a\", \"b\"], \"labels\": {\"host\": \"x\"}}]": "host names one target only",
		"[{\"targets\": [\"10.0.1.1\"]}]":                                "is there twice",
		"[{":                                                             "this is not YAML",
	} {
		write("t/two.json", text)
		if _, err := config.Load(main, config.Flags{}); err == nil || !strings.Contains(err.Error(), message) || !strings.Contains(err.Error(), two) {
			t.Errorf("%s: %v, want %s", text, err, message)
		}
	}
	write("corbie.yml", "include: none.yml\nfile_sd: [{group: x}]\n")
	if _, err := config.Load(main, config.Flags{}); err == nil || !strings.Contains(err.Error(), "there is no file") || !strings.Contains(err.Error(), "files is missing") {
		t.Errorf("%v", err)
	}
}

func TestAKeyInTheWrongSectionSaysWhereItBelongs(t *testing.T) {
	_, err := config.Parse("corbie.yml", []byte(`interval: "*/5 * * * *"
graphs:
  - {match: "*:df", colour: ff0000}
levels:
  - {match: "df.*", graph_title: x}
`), config.Flags{})
	want := []string{
		`corbie.yml:1: "*/5 * * * *" is a schedule as cron has it: write it under "schedule" of a group`,
		`corbie.yml:3: "colour" in graphs, entry 1: it is an attribute of fields; write it under "levels"`,
		`corbie.yml:5: "graph_title" in levels, entry 1: it is an attribute of graphs; write it under "graphs"`,
	}
	got := config.Problems(err)
	for i, text := range want {
		if i >= len(got) || !strings.HasPrefix(got[i], text) {
			t.Errorf("want %s, got %q", text, got)
		}
	}
}
