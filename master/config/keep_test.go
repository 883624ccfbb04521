package config_test

import (
	"strings"
	"testing"
	"time"

	"corbie/master/config"
	"corbie/munin"
)

func TestAGroupIsKeptAsItSaysOrTheGroupsAroundIt(t *testing.T) {
	const day = 24 * time.Hour
	conf := parse(t, `
retention: 300d
groups:
  web: {retention: {raw: 30d, hours: 90d}}
  web;eu: {retention: {raw: 60d}}
  web;eu;lab: {retention: {days: 200d}}
  db: {tags: [x]}
hosts:
  web;a: 10.0.0.1
  web;eu;b: 10.0.0.2
  web;eu;lab;c: 10.0.0.3
  db;d: 10.0.0.4
`)
	for id, want := range map[munin.HostID]config.Keep{
		"web;a":             {Raw: 30 * day, Hour: 90 * day},
		"web;eu;b":          {Raw: 60 * day, Hour: 90 * day},
		"web;eu;lab;c":      {Raw: 60 * day, Hour: 90 * day, Day: 200 * day},
		"web;asia;tokyo;is": {Raw: 30 * day, Hour: 90 * day},
		"db;d":              {},
		"website;a":         {},
		"web":               {},
	} {
		got, ok := conf.Keep(id)
		if got != want || ok != (want != config.Keep{}) {
			t.Errorf("%s: %+v, %t, want %+v", id, got, ok, want)
		}
	}
	if parse(t, "retention: 300d").KeepsLess() || !conf.KeepsLess() {
		t.Error("it is not told whether any group is kept for less")
	}
}

func TestAGroupCannotBeKeptForLongerThanTheRest(t *testing.T) {
	for text, want := range map[string]string{
		"{raw: 500d}":             "raw: 500d is longer than retention of the master, which is 400d: a group can only be kept for less; raise retention",
		"{raw: forever}":          "raw: forever is longer than retention of the master",
		"{hours: 6y}":             "is longer than retention_hour of the master",
		"{hours: 90d}":            "hours are kept for 90d and raw values for 400d: what is kept longest must be the coarsest; write raw: 90d or less too",
		"{raw: 10d, days: 100d}":  "days are kept for 100d and hours for 5y",
		"{raw: 10d, days: 1h}":    "1h: want 1 d to",
		"{raw: 10d, minutes: 1d}": "unknown key \"minutes\" in groups.web.retention",
		"30d":                     "groups.web.retention",
	} {
		if got := parseError(t, "groups:\n  web: {retention: "+text+"}\nhosts: {web;a: 10.0.0.1}\n"); !strings.Contains(got, want) {
			t.Errorf("%s gives %q, want %q", text, got, want)
		}
	}
	if got := parseError(t, "roles:\n  x: {retention: {raw: 10d}}\nhosts: {a: {address: 10.0.0.1, roles: [x]}}\n"); !strings.Contains(got, "retention") {
		t.Errorf("a role gives %q", got)
	}
}
