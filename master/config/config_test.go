package config_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corbie/master/config"
	"corbie/master/poll"
	"corbie/munin"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update and read the diff. Got:\n%s", file, got)
	}
}

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("corbie.yml", []byte(text), config.Flags{})
	if err != nil {
		t.Fatalf("%v\nin:\n%s", err, text)
	}
	return c
}

func parseError(t *testing.T, text string) string {
	t.Helper()
	_, err := config.Parse("corbie.yml", []byte(text), config.Flags{})
	if err == nil {
		t.Fatalf("no error in:\n%s", text)
	}
	return err.Error()
}

func TestTheReferenceFileIsValidAndShowsTheDefaults(t *testing.T) {
	c, err := config.Load("testdata/corbie.yml", config.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings: %q", c.Warnings)
	}
	empty := parse(t, "")
	for _, pair := range [][2]any{
		{c.Listen, empty.Listen},
		{c.Interval, empty.Interval},
		{c.Retention, empty.Retention},
		{c.Concurrency, empty.Concurrency},
		{c.Query, empty.Query},
		{c.Timeouts, empty.Timeouts},
		{c.Forecast.Schedule.String(), empty.Forecast.Schedule.String()},
		{fmt.Sprint(c.Notify), fmt.Sprint(empty.Notify)},
	} {
		if pair[0] != pair[1] {
			t.Errorf("the reference says %v, the default is %v", pair[0], pair[1])
		}
	}
	if got := c.Receivers[0].Email; got.Host != "mail.example.com" || got.Port != 587 || !got.Pictures || string(got.Password) != "not-a-real-one" {
		t.Errorf("email %+v", got)
	}
}

func TestTheReferenceFileGivesTheseHosts(t *testing.T) {
	c, err := config.Load("testdata/corbie.yml", config.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, h := range c.Hosts {
		fmt.Fprintf(&b, "%s %s every %s silent after %s timeouts %v naming %d %q tags %v", h.ID, h.Address, h.Interval, h.SilentAfter, h.Timeouts, h.Naming, h.NodeName, h.Tags)
		for _, rule := range h.Plugins {
			fmt.Fprintf(&b, ", %s every %s", rule.Pattern, rule.Every)
		}
		if len(h.Facts) > 0 {
			fmt.Fprintf(&b, ", facts %v", h.Facts)
		}
		b.WriteByte('\n')
	}
	golden(t, "hosts.golden", b.String())
}

// The keys of the reference file, the code's own and the lists in messages must be the same.
func TestTheReferenceFileNamesEveryKey(t *testing.T) {
	text, err := os.ReadFile("testdata/corbie.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, probe := range []string{
		"nope: 1", "timeouts: {nope: 1}", "forecast: {nope: 1}", "groups: {a: {nope: 1}}", "hosts: {a: {nope: 1}}", "roles: {a: {nope: 1}}",
		"graphs: [{nope: 1}]", "file_sd: [{nope: 1}]", "remote: {nope: 1}", "query: {nope: 1}",
		"levels: [{nope: 1}]", "receivers: [{nope: 1}]", "receivers: [{email: {nope: 1}}]", "receivers: [{webhook: {nope: 1}}]", "notify: {nope: 1}",
	} {
		message := parseError(t, probe)
		_, list, ok := strings.Cut(message, "the keys here are ")
		if !ok {
			t.Errorf("%s: %s", probe, message)
			continue
		}
		list, _, _ = strings.Cut(list, "\n")
		for _, key := range strings.Split(list, ", ") {
			if !strings.Contains(string(text), key) {
				t.Errorf("the reference file does not mention %q", key)
			}
		}
	}
}

func TestEveryErrorIsToldAtOnceWithItsLine(t *testing.T) {
	_, err := config.Load("testdata/bad.yml", config.Flags{})
	var all *config.Error
	if !errors.As(err, &all) {
		t.Fatalf("error %v", err)
	}
	golden(t, "bad.golden", strings.ReplaceAll(err.Error(), "testdata"+string(filepath.Separator), "")+"\n")
	if len(config.Problems(err)) != len(all.Problems) {
		t.Errorf("%d lines for %d problems", len(config.Problems(err)), len(all.Problems))
	}
}

func TestAnUnknownKeyNamesFileLineAndNearestKey(t *testing.T) {
	got := parseError(t, "interval: 5m\nhosts:\n  www1:\n    intervall: 1m\n")
	if want := `corbie.yml:4: unknown key "intervall" in hosts.www1: did you mean "interval"?`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestBrokenYAMLIsNamedWithItsLineAndAdvice(t *testing.T) {
	for text, want := range map[string]string{
		"interval: 5m\nlevels:\n  - match: *:df.*\n    warning: 5\n": "put a text that begins with * or & in quotes",
		"hosts:\n\twww1: 10.0.0.1\n":                                 "with blanks, not with tabs",
		"interval: 5m\n url: http://x\n":                             "indented as those around it",
		"hosts: {a: 1\n":                                             "corbie.yml:",
		"interval: 5m\n---\ninterval: 6m\n":                          "more than one document",
		"- a\n- b\n":                                                 `want "key: value" pairs here, found a list`,
		"interval: !!int 5\n":                                        "tags (!!int) are not supported",
		"hosts: {<<: {a: 1.2.3.4}}\n":                                "hosts",
		"data: \"a\\u0000b\"\n":                                      "control characters",
		"data: \xff\n":                                               "not valid UTF-8",
	} {
		got := parseError(t, text)
		if !strings.Contains(got, want) || strings.Contains(got, "panic") {
			t.Errorf("%q:\n%s\nwant %q", text, got, want)
		}
	}
}

func TestAnEmptyFileAndAnEmptyHostsSectionAreLegal(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "hosts:\n", "hosts: {}\nlevels:\nreceivers:\ngroups:\n", "---\n"} {
		if c := parse(t, text); len(c.Hosts) != 0 || c.Interval != 5*time.Minute || c.Listen != "127.0.0.1:8080" {
			t.Errorf("%q: %+v", text, c)
		}
	}
}

func TestAddressesAreCompleted(t *testing.T) {
	for in, want := range map[string]string{
		"www1.example.com": "www1.example.com:4949", "10.0.0.1:5000": "10.0.0.1:5000", `"::1"`: "[::1]:4949", `"[::1]"`: "[::1]:4949",
		`"[2001:db8::1]:5000"`: "[2001:db8::1]:5000", "munin://node.example.com": "node.example.com:4949", `"fe80::1%eth0"`: "[fe80::1%eth0]:4949",
		"under_score:4950": "under_score:4950", "unix:///run/node.sock": "unix:///run/node.sock",
		"ssh://me@host/usr/bin/x --spoolfetch": "ssh://me@host/usr/bin/x --spoolfetch", "cmd:///bin/x y": "cmd:///bin/x y",
	} {
		if got := parse(t, "hosts: {a: "+in+"}").Hosts[0].Address; got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	for _, bad := range []string{"10.0.0.256", "1.2.3", "host:0", "host:http", "a b", "ssh://-x", "cmd://x", "unix://x", "ftp://x", "-x", `"[::1"`, `"::1:2:3:4:5:6:7:8:9"`, "a/b", "a:1:2"} {
		if got := parseError(t, "hosts: {a: "+bad+"}"); !strings.HasPrefix(got, "corbie.yml:1: hosts.a: the address") {
			t.Errorf("%s: %s", bad, got)
		}
	}
}

func TestYesAndOnAreTakenAsWritten(t *testing.T) {
	c := parse(t, "hosts:\n  a: {address: 10.0.0.1, use_node_name: on}\n  b: {address: 10.0.0.2, use_node_name: no}\n  yes: 10.0.0.3\n"+
		"receivers:\n  - {name: on, on: warning, command: [/bin/true]}\n")
	if c.Hosts[0].Naming != poll.NameBanner || c.Hosts[1].Naming != poll.NameHost || c.Hosts[2].ID != "yes" {
		t.Errorf("hosts %+v", c.Hosts)
	}
	if r := c.Receivers[0]; r.Name != "on" || len(r.On) != 1 || r.On[0] != "warning" {
		t.Errorf("receiver %+v", r)
	}
}

func TestHostsBehindOneAddressAreAskedByNameOnly(t *testing.T) {
	c := parse(t, "hosts: {a: 10.0.0.1, b: 10.0.0.1, c: 10.0.0.2}")
	for i, want := range []poll.Naming{poll.NameHost, poll.NameHost, poll.NameAuto} {
		if c.Hosts[i].Naming != want {
			t.Errorf("%s: naming %d, want %d", c.Hosts[i].ID, c.Hosts[i].Naming, want)
		}
	}
	// Who adds the second one changes what the first one is asked for.
	c = parse(t, "hosts:\n  c: 10.0.0.2\n  a: 10.0.0.1\n  b: 10.0.0.1\n")
	if len(c.Warnings) != 1 || !strings.HasPrefix(c.Warnings[0], "corbie.yml:4: 2 hosts have the address 10.0.0.1:4949 (a, b): each is asked for by its own name") {
		t.Errorf("warnings %q", c.Warnings)
	}
	c = parse(t, "hosts:\n  a: {address: 10.0.0.1, use_node_name: no}\n  b: {address: 10.0.0.1, node_name: B}\n")
	if len(c.Warnings) != 0 {
		t.Errorf("warnings where it is said: %q", c.Warnings)
	}
	c = parse(t, "hosts:\n  a: {address: 10.0.0.1, use_node_name: no}\n  b: {address: 10.0.0.1, node_name: A}\n")
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "corbie.yml:3: a and b have the same address") {
		t.Errorf("warnings %q", c.Warnings)
	}
}

func TestTheNearestGroupWins(t *testing.T) {
	c := parse(t, "interval: 10m\ngroups:\n  web: {interval: 1m, timeouts: {idle: 5s}}\n  web;eu: {interval: 2m}\nhosts:\n"+
		"  a: {group: web;eu;north}\n  b: {group: web;us}\n  c: {group: db}\n  d: {group: web;eu, interval: 30s, silent_after: 7m}\n")
	want := map[string]string{"web;eu;north;a": "2m0s 6m0s 5s", "web;us;b": "1m0s 3m0s 5s", "db;c": "10m0s 30m0s 30s", "web;eu;d": "30s 7m0s 5s"}
	for _, h := range c.Hosts {
		if got := fmt.Sprint(h.Interval, h.SilentAfter, h.Timeouts.Idle); got != want[string(h.ID)] {
			t.Errorf("%s: %s, want %s", h.ID, got, want[string(h.ID)])
		}
	}
	known := c.MuninHosts()
	if len(known) != 4 || known[0].ID != "db;c" || known[0].Silent != 30*time.Minute || known[0].Interval != 10*time.Minute || known[0].Address != "c:4949" {
		t.Errorf("for the catalogue: %+v", known)
	}
}

func graph() *munin.Graph {
	reply := munin.ParseConfig("df", []byte("graph_title Disk\n_dev_sda1.label /\n_dev_sda1.warning 92\n_dev_sda1.critical 98\n_dev_sda2.label /home\n"))
	return &reply.Graphs[0]
}

func TestLevelsWinOverThePluginAndSayWhereTheyComeFrom(t *testing.T) {
	c := parse(t, `
levels:
  - match: "df.*"
    warning: 80
  - match: "web;*:df._dev_sda1"
    warning: 70:90
    unknown_limit: 7
  - match: "www?:d*._dev_sda1"
    critical: none
`)
	g := graph()
	c.Override("web;eu;www1", g)
	first, second := g.Fields[0], g.Fields[1]
	if first.Warning.String() != "70:90" || !first.Critical.IsZero() || first.UnknownLimit != 7 || second.Warning.String() != ":80" {
		t.Errorf("%+v\n%+v", first, second)
	}
	if got := first.Origin; got["warning"] != "corbie.yml:6" || got["unknown_limit"] != "corbie.yml:7" || got["critical"] != "corbie.yml:9" || second.Origin["warning"] != "corbie.yml:4" {
		t.Errorf("origins %v and %v", first.Origin, second.Origin)
	}
	g = graph()
	c.Override("db;www1x", g)
	if f := g.Fields[0]; f.Warning.String() != ":80" || f.Critical.String() != ":98" || f.Origin["critical"] != "" {
		t.Errorf("another host: %+v", f)
	}
}

func TestPatternsMatch(t *testing.T) {
	for _, c := range []struct {
		match, host, graph, field string
		want                      bool
	}{
		{"diskstats_iops.sda.rdio", "h", "diskstats_iops.sda", "rdio", true},
		{"diskstats_iops.*.rdio", "h", "diskstats_iops.sda", "rdio", true},
		{"diskstats_iops.*", "h", "diskstats_iops", "x", true},
		{"diskstats_iops.*", "h", "diskstats_iops.sda", "rdio", false},
		{"*:*.*", "g;h", "a", "b", true},
		{"h:*.*", "g;h", "a", "b", true},
		{"g;h:*.*", "x;g;h", "a", "b", false},
		{"*;h:*.*", "x;g;h", "a", "b", true},
		{"h*:if_?.up", "h1", "if_0", "up", true},
		{"h*:if_?.up", "h1", "if_10", "up", false},
		{"H:a.b", "h", "a", "b", false},
	} {
		conf := parse(t, fmt.Sprintf("levels: [{match: %q, label: hit}]", c.match))
		g := &munin.Graph{Name: c.graph, Fields: []munin.Field{{Name: c.field}}}
		conf.Override(munin.HostID(c.host), g)
		if got := g.Fields[0].Label == "hit"; got != c.want {
			t.Errorf("%s and %s:%s.%s: %t", c.match, c.host, c.graph, c.field, got)
		}
	}
}

func TestATypoInALevelsHostIsAWarning(t *testing.T) {
	c := parse(t, "hosts: {www1: 10.0.0.1}\nlevels:\n  - {match: \"ww1:df.*\", warning: 5}\n  - {match: \"www1:df.*\", warning: 5}\n")
	if len(c.Warnings) != 1 || !strings.HasPrefix(c.Warnings[0], "corbie.yml:3: ") {
		t.Errorf("warnings %q", c.Warnings)
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	const secret = "correct-horse"
	text := `
receivers:
  - name: a
    email: {to: a@example.com, from: b@example.com, smarthost: mail, username: u, password: correct-horse}
    webhook: {url: "https://chat.example.com/correct-horse", token: correct-horse}
`
	c := parse(t, text)
	shown, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{string(shown), fmt.Sprintf("%v %+v %#v", c.Receivers[0].Email, *c.Receivers[0].Webhook, c.Receivers[0].Email)} {
		if strings.Contains(form, secret) {
			t.Errorf("the secret is shown: %s", form)
		}
	}
	if string(c.Receivers[0].Email.Password) != secret {
		t.Error("the secret is lost")
	}
	for _, bad := range []string{
		"receivers: [{name: a, webhook: {url: correct-horse}}]",
		"receivers: [{name: a, webhook: {url: \"https://x/\", token: correct-horse, password: correct-horse}}]",
		"receivers: [{name: a, email: {to: a@b, from: a@b, smarthost: m, password: correct-horse}}]",
		"receivers: [{name: a, webhook: \"ftp://correct-horse\"}]",
	} {
		if got := parseError(t, bad); strings.Contains(got, secret) {
			t.Errorf("the secret is in the message: %s", got)
		}
	}
}

func TestPasswordFilesAreReadBesideTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("corbie.yml", "receivers:\n  - name: a\n    webhook:\n      url_file: url\n")
	load := func() (*config.Config, error) { return config.Load(filepath.Join(dir, "corbie.yml"), config.Flags{}) }
	write("url", "https://chat.example.com/x\n")
	c, err := load()
	if err != nil || string(c.Receivers[0].Webhook.URL) != "https://chat.example.com/x" {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "two\nlines\n", strings.Repeat("x", 5000)} {
		write("url", bad)
		if _, err := load(); err == nil || !strings.Contains(err.Error(), "corbie.yml:4: ") {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "url")); err != nil {
		t.Fatal(err)
	}
	if _, err := load(); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("missing: %v", err)
	}
	if _, err := config.Load(filepath.Join(dir, "none.yml"), config.Flags{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no configuration: %v", err)
	}
}

func TestPagesBeyondLoopbackNeedAWord(t *testing.T) {
	for _, address := range []string{"0.0.0.0:8080", ":8080", "'[::]:8080'", "192.0.2.1:80", "corbie.example.com:8080"} {
		if got := parseError(t, "listen: "+address); !strings.Contains(got, "sign_in: none") {
			t.Errorf("%s: %s", address, got)
		}
		if c := parse(t, "sign_in: none\nlisten: "+address); !c.Anonymous {
			t.Errorf("%s: not anonymous", address)
		}
	}
	for _, address := range []string{"127.0.0.1:0", "localhost:8080", "'[::1]:8080'", "127.1.2.3:80"} {
		parse(t, "listen: "+address)
	}
}

func TestATargetIsFoundByPathNameOrAddress(t *testing.T) {
	c := parse(t, "hosts: {\"a;www1\": 10.0.0.1, \"b;www1\": 10.0.0.2, \"b;db1\": 10.0.0.3}")
	for name, want := range map[string]string{
		"a;www1": "a;www1 10.0.0.1:4949 0", "db1": "b;db1 10.0.0.3:4949 0", "10.0.0.9:5000": "10.0.0.9 10.0.0.9:5000 2", "::1": "::1 [::1]:4949 2",
	} {
		target, err := c.Target(name)
		if got := fmt.Sprint(target.Host, " ", target.Address, " ", int(target.Naming)); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, want)
		}
		if target.Override == nil || target.Timeouts.Dial == 0 || target.Interval == 0 {
			t.Errorf("%s: incomplete: %+v", name, target)
		}
	}
	if _, err := c.Target("www1"); !errors.Is(err, munin.ErrAmbiguous) {
		t.Errorf("www1: %v", err)
	}
	if _, err := c.Target("no such:thing:x"); err == nil {
		t.Error("rubbish is a target")
	}
	if n := len(c.Targets()); n != 3 {
		t.Errorf("%d targets", n)
	}
}

func TestAHugeFileIsRefused(t *testing.T) {
	if got := parseError(t, "# "+strings.Repeat("x", 9<<20)); !strings.Contains(got, "longer than") {
		t.Error(got)
	}
}

func TestAThousandErrorsAreCutShort(t *testing.T) {
	got := parseError(t, strings.Repeat("x: 1\n", 1000))
	if n := strings.Count(got, "\n"); n != 200 || !strings.HasSuffix(got, "and 800 problems more") {
		t.Errorf("%d lines, the last: %s", n+1, got[strings.LastIndexByte(got, '\n')+1:])
	}
}

func TestFlagsWinOverTheFile(t *testing.T) {
	text := []byte("interval: 1m\nlisten: 0.0.0.0:80\nhosts:\n  a: 127.0.0.1\n  b: {address: 127.0.0.1, interval: 2m, node_name: x}\n")
	if _, err := config.Parse("corbie.yml", text, config.Flags{}); err == nil {
		t.Error("pages for everybody are served without being asked for")
	}
	conf, err := config.Parse("corbie.yml", text, config.Flags{Listen: "127.0.0.1:81", Interval: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if conf.Listen != "127.0.0.1:81" || conf.Hosts[0].Interval != 10*time.Second || conf.Hosts[1].Interval != 2*time.Minute {
		t.Errorf("listen %s, intervals %v and %v", conf.Listen, conf.Hosts[0].Interval, conf.Hosts[1].Interval)
	}
	if err := (config.Flags{Interval: time.Millisecond}).Check(); err == nil {
		t.Error("an interval of a millisecond is accepted")
	}
}
