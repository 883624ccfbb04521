package config_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"corbie/master/config"
)

func TestFactsOfAHostGoBeforeThoseOfItsRolesAndGroups(t *testing.T) {
	c := parse(t, `
groups:
  web: {facts: {owner: web team, site: north, rack: A1}}
  web;eu: {facts: {site: eu}}
roles:
  database: {facts: {owner: dba, "on call": dba@example.com}}
hosts:
  "web;eu;www1": {address: 10.0.0.1, roles: [database], facts: {rack: B7, ipmi: yes, bought: 2024-01-02}}
  "web;www2": 10.0.0.2
  www3: 10.0.0.3
`)
	want := []map[string]string{
		{"rack": "B7", "ipmi": "yes", "bought": "2024-01-02", "owner": "dba", "on call": "dba@example.com", "site": "eu"},
		{"owner": "web team", "site": "north", "rack": "A1"},
		nil,
	}
	for i, h := range c.Hosts {
		if !maps.Equal(h.Facts, want[i]) {
			t.Errorf("%s: %v", h.ID, h.Facts)
		}
	}
	said := fmt.Sprint(c.Hosts[0].Said)
	for _, part := range []string{"{facts.rack B7 corbie.yml:8}", "{facts.owner dba corbie.yml:6}", "{facts.site eu corbie.yml:4}"} {
		if !strings.Contains(said, part) {
			t.Errorf("%s is not among %s", part, said)
		}
	}
}

func TestTargetsOfOneListHaveFactsOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("targets.json", `[{"targets": ["10.0.0.1", "10.0.0.2"], "labels": {"group": "one"}}, {"targets": ["10.0.0.3"], "labels": {"group": "two"}}]`)
	file := write("corbie.yml", `
groups: {one: {facts: {owner: a}}, two: {facts: {owner: b}}}
file_sd: [{files: targets.json, facts: {site: north}}]
`)
	c, err := config.Load(file, config.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	for i, owner := range []string{"a", "a", "b"} {
		if got := c.Hosts[i].Facts; !maps.Equal(got, map[string]string{"site": "north", "owner": owner}) {
			t.Errorf("%s: %v", c.Hosts[i].ID, got)
		}
	}
}

func TestFactsAreLimited(t *testing.T) {
	many := func(prefix string, n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("%s%d: x", prefix, i))
		}
		return "{" + strings.Join(list, ", ") + "}"
	}
	for _, pair := range [][2]string{
		{"hosts: {a: {facts: [b]}}", "hosts.a.facts: want \"key: value\" pairs here, found a list"},
		{"hosts: {a: {facts: {b: }}}", "hosts.a.facts: \"b\" has no value"},
		{"hosts: {a: {facts: {b: [c]}}}", "want a single value here, found a list"},
		{"hosts: {a: {facts: {b: \"c\\nd\"}}}", "control characters or line ends"},
		{"hosts: {a: {facts: {<b>: c}}}", "the fact \"<b>\": want a name of at most 40 letters"},
		{"hosts: {a: {facts: {" + strings.Repeat("b", 41) + ": c}}}", "want a name of at most 40 letters"},
		{"hosts: {a: {facts: {b: " + strings.Repeat("ä", 201) + "}}}", "hosts.a.facts.b: the value has 201 characters, want at most 200"},
		{"hosts: {a: {facts: " + many("f", 21) + "}}", "hosts.a: it has 21 facts with those of its roles and groups, want at most 20"},
		{"groups: {g: {facts: " + many("g", 11) + "}}\nhosts: {\"g;a\": {facts: " + many("f", 10) + "}}", "it has 21 facts"},
	} {
		if got := parseError(t, pair[0]); !strings.Contains(got, pair[1]) {
			t.Errorf("%s:\n%s\nwant %s", pair[0], got, pair[1])
		}
	}
	parse(t, "hosts: {a: {facts: {b: "+strings.Repeat("ä", 200)+"}}}")
	parse(t, "hosts: {a: {facts: "+many("f", 20)+"}}")
}
